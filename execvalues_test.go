package psyco_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/psyco-go/psyco"
)

func TestExecValues(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		mustExec(t, db, "CREATE TABLE t (id serial, a bigint, b text, c date)")
		for _, tt := range []struct {
			name, query string
			opts        psyco.ValuesOptions
			rows        [][]any
			want        []string // a, b, c in the order of id
			affected    int64
		}{
			{
				name: "one page", query: "INSERT INTO t (a, b, c) VALUES %s",
				rows: [][]any{{1, "x", "2024-01-01"}, {nil, nil, nil}, {int64(1) << 40, "100%", nil}},
				want: []string{"1,x,2024-01-01", ",,", "1099511627776,100%,"}, affected: 3,
			},
			{
				name: "pages", query: "INSERT INTO t (a, b) VALUES %s ON CONFLICT DO NOTHING", opts: psyco.ValuesOptions{PageSize: 2},
				rows: [][]any{{nil, "a"}, {nil, nil}, {3, "c"}, {4, nil}, {int64(1) << 40, "e"}},
				want: []string{",a,", ",,", "3,c,", "4,,", "1099511627776,e,"}, affected: 5,
			},
			{
				name: "template", query: "INSERT INTO t (a, b, c) VALUES %s", opts: psyco.ValuesOptions{Template: "(%s + 1, upper(%s) || '%%', '2024-02-29')"},
				rows: [][]any{{1, "x"}, {2, "y"}},
				want: []string{"2,X%,2024-02-29", "3,Y%,2024-02-29"}, affected: 2,
			},
			{
				name: "named template", query: "INSERT INTO t (a, b) VALUES %s", opts: psyco.ValuesOptions{Template: "(%(n)s, %(n)s::int % 3 || %(s)s)", PageSize: 1},
				rows: [][]any{{map[string]any{"n": 4, "s": "x"}}, {struct {
					N int
					S string
				}{5, "y"}}},
				want: []string{"4,1x,", "5,2y,"}, affected: 2,
			},
			{
				name: "update", opts: psyco.ValuesOptions{Template: "(%s::int, %s)"}, query: "WITH new AS (INSERT INTO t (a) VALUES (100)) UPDATE t SET b = v.b FROM (VALUES %s) AS v (a, b) WHERE t.a = v.a",
				rows: [][]any{{1, "x"}}, want: []string{"100,,"}, affected: 0,
			},
		} {
			if strings.Contains(t.Name(), "wrapped") && tt.name == "template" {
				tt.opts.Template = "(%s::int + 1, upper(%s) || '%%', '2024-02-29')" // lib/pq declares no types
			}
			for round := range 2 {
				mustExec(t, db, "TRUNCATE t")
				n, err := psyco.ExecValues(ctx, db, tt.query, listed(tt.rows...), &tt.opts)
				if err != nil || n != tt.affected {
					t.Fatalf("%s, round %d: %d rows, %v", tt.name, round, n, err)
				}
				got := all(t, db, "SELECT concat_ws(',', coalesce(a::text, ''), coalesce(b, ''), coalesce(c::text, '')) FROM t ORDER BY id")
				if !slices.Equal(got, tt.want) {
					t.Errorf("%s, round %d: got %q, want %q", tt.name, round, got, tt.want)
				}
			}
		}
	})
}

func TestExecValuesReturning(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		mustExec(t, db, "CREATE TABLE t (id serial PRIMARY KEY, a int, at timestamptz DEFAULT '2024-01-01')")
		for _, n := range []int{1, 3, 10, 9000} {
			mustExec(t, db, "TRUNCATE t RESTART IDENTITY")
			var ids, values []int
			affected, err := psyco.ExecValues(ctx, db, "INSERT INTO t (a) VALUES %s RETURNING id, a, at",
				argRows(n, func(i int) []any { return []any{i * i} }), &psyco.ValuesOptions{
					PageSize: 3000,
					Each: func(row *sql.Rows) error {
						var id, a int
						var at sql.NullTime
						if err := row.Scan(&id, &a, &at); err != nil {
							return err
						}
						ids, values = append(ids, id), append(values, a)
						return nil
					},
				})
			if err != nil || affected != int64(n) {
				t.Fatalf("%d: %d rows, %v", n, affected, err)
			}
			if len(ids) != n {
				t.Fatalf("%d rows came back, want %d", len(ids), n)
			}
			for i := range ids {
				if ids[i] != i+1 || values[i] != i*i {
					t.Fatalf("row %d is %d, %d", i, ids[i], values[i])
				}
			}
		}
		// What the callback says ends the operation, which has happened.
		stop := errors.New("stop")
		calls := 0
		_, err := psyco.ExecValues(ctx, db, "INSERT INTO t (a) VALUES %s RETURNING id", listed([]any{1}, []any{2}), &psyco.ValuesOptions{
			Each: func(row *sql.Rows) error { calls++; return stop },
		})
		if err != stop || calls != 1 {
			t.Errorf("%v after %d calls", err, calls)
		}
		if got := all(t, db, "SELECT count(*) FROM t"); got[0] != "9002" {
			t.Errorf("%s rows", got[0])
		}
	})
}

func TestExecValuesMistakes(t *testing.T) {
	db := testDB(t)
	ctx := context.Background()
	mustExec(t, db, "CREATE TABLE t (a int PRIMARY KEY, b text)")
	wide := make([]any, 70_000)
	for _, tt := range []struct {
		name, query, template, want string
		rows                        [][]any
	}{
		{"no placeholder", "INSERT INTO t VALUES (1)", "", "one %s", [][]any{{1}}},
		{"two", "INSERT INTO t VALUES %s, %s", "", "one %s", [][]any{{1}}},
		{"named", "INSERT INTO t VALUES %(rows)s", "", "one %s", [][]any{{1}}},
		{"native", "INSERT INTO t VALUES $1", "", "$1", [][]any{{1}}},
		{"IN", "DELETE FROM t WHERE a IN %s", "", "one %s", [][]any{{1}}},
		{"template", "INSERT INTO t VALUES %s", "(1, 2)", "template", [][]any{{1}}},
		{"width", "INSERT INTO t VALUES %s", "", "row 2: the query has 2 placeholders but 1 parameters were passed", [][]any{{1, "a"}, {2}}},
		{"no values", "INSERT INTO t VALUES %s", "", "row 1: the row has no values", [][]any{{}}},
		{"too many values", "INSERT INTO t VALUES %s", "", "row 1", [][]any{wide}},
		{"type", "INSERT INTO t VALUES %s", "", "row 3: parameter 2", [][]any{{1, "a"}, {2, "b"}, {3, map[string]int{}}}},
		{"duplicate", "INSERT INTO t VALUES %s", "", "rows 1 to 3: pq: duplicate key", [][]any{{1, "a"}, {2, "b"}, {2, "b"}}},
		{"one row", "INSERT INTO t VALUES %s", "", "row 1: pq: null value", [][]any{{nil, "a"}}},
	} {
		_, err := psyco.ExecValues(ctx, db, tt.query, listed(tt.rows...), &psyco.ValuesOptions{Template: tt.template})
		if err == nil || !strings.HasPrefix(err.Error(), "psyco: ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	// An error on a later page undoes the earlier ones.
	for _, n := range []int{30, 10_000} {
		_, err := psyco.ExecValues(ctx, db, "INSERT INTO t VALUES %s", argRows(n, func(i int) []any { return []any{i % (n - 1), "x"} }), &psyco.ValuesOptions{PageSize: 10})
		var re *psyco.RowError
		if !errors.As(err, &re) || re.Row != n-9 || re.Rows != 10 {
			t.Errorf("%d rows: %v", n, err)
		}
	}
	if got := all(t, db, "SELECT count(*) FROM t"); got[0] != "0" {
		t.Errorf("%s rows are left", got[0])
	}
	if n, err := psyco.ExecValues(ctx, db, "INSERT INTO t VALUES %s", listed(), nil); n != 0 || err != nil {
		t.Errorf("no rows: %d, %v", n, err)
	}
}

func TestExecValuesRoundTrips(t *testing.T) {
	ctx := context.Background()
	conn, err := testDB(t).Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	mustExec(t, conn, "CREATE TABLE t (a int, b text)")
	for _, tt := range []struct {
		rows int
		want uint64
	}{
		{100, 2},  // Parse, then the page
		{100, 1},  // known
		{2500, 2}, // two kinds of pages are parsed together
		{9000, 4}, // chunks of 4,000, COMMIT
		{9300, 5}, // and Parse for the last page
	} {
		got := roundTrips(t, conn, func() {
			n, err := psyco.ExecValues(ctx, conn, "INSERT INTO t VALUES %s", argRows(tt.rows, func(i int) []any {
				if i%3 == 0 {
					return []any{i, nil} // must not make pages differ
				}
				return []any{i, fmt.Sprint(i)}
			}), nil)
			if err != nil || n != int64(tt.rows) {
				t.Fatalf("%d rows, %v", n, err)
			}
		})
		if got != tt.want {
			t.Errorf("%d rows: %d round trips, want %d", tt.rows, got, tt.want)
		}
	}
}
