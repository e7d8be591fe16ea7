package bulk_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testsize"
)

func TestExecMany(t *testing.T) {
	at := time.Date(2024, 2, 29, 12, 30, 0, 123456000, time.FixedZone("", 3600))
	inModes(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		mustExec(t, db, `CREATE TABLE t (a bigint, b text, c bytea, d timestamptz, e float8, f int[], g boolean)`)
		for _, tt := range []struct {
			name, query string
			rows        [][]any
		}{
			{"psycopg", "INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s, %s)", [][]any{
				{1, "one", []byte("\x00\xff"), at, 1.5, []int{1, 2}, true},
				{nil, nil, nil, nil, nil, nil, nil},
				{int64(1) << 40, `\x41'`, []byte(`\x41`), time.Date(-10, 1, 1, 0, 0, 0, 0, time.UTC), -0.25, []int(nil), false},
				{"7", []byte("bytes"), "text", "2020-01-01 00:00:00Z", 3, "{5}", "yes"},
			}},
			{"native", "INSERT INTO t VALUES ($1, $2, $3, $4, $5, $6, $7)", [][]any{
				{nil, "one", []byte("\x00\xff"), at, 1.5, pq.Array([]int{1, 2}), true},
				{1, nil, "text", at, nil, pq.Array([]int64(nil)), nil},
				{uint8(3), "", []byte{}, nil, float32(2), nil, false},
			}},
			{"named", "INSERT INTO t (b, a) VALUES (%(b)s, %(a)s)", [][]any{
				{map[string]any{"a": 1, "b": "x"}},
				{struct {
					A int
					B string
				}{2, "y"}},
				{sql.Named("a", 3), sql.Named("b", "z")},
			}},
			{"no arguments", "INSERT INTO t (b) VALUES ('100%')", [][]any{{}, {}}},
		} {
			for _, row := range tt.rows {
				mustExec(t, db, tt.query, row...)
			}
			want := all(t, db, "SELECT t::text FROM t")
			mustExec(t, db, "TRUNCATE t")
			for round := range 3 {
				n, err := psyco.ExecMany(ctx, db, tt.query, listed(tt.rows...))
				if err != nil || n != int64(len(tt.rows)) {
					t.Fatalf("%s, round %d: %d rows, %v", tt.name, round, n, err)
				}
				if got := all(t, db, "SELECT t::text FROM t"); strings.Join(got, "\n") != strings.Join(want, "\n") {
					t.Errorf("%s, round %d:\n got %q\nwant %q", tt.name, round, got, want)
				}
				mustExec(t, db, "TRUNCATE t")
			}
		}
	})
}

// TestExecManyTypes gives rows that need different types for one text. The
// server cannot infer the type of $1 in it.
func TestExecManyTypes(t *testing.T) {
	ctx := context.Background()
	values := []any{nil, 1, "s", nil, int64(1) << 40, true, 1.5, nil, []string{"a"}, 2, time.Hour, nil, []byte{1}}
	want := strings.Split("text,integer,text,,bigint,boolean,double precision,,text[],integer,interval,,bytea", ",")
	for _, mode := range []string{"", " prepare_threshold=1", " statement_cache_capacity=0", " statement_cache_capacity=1", " binary_parameters=yes"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			db := open(t, pgserver.TestDSN(t)+mode)
			mustExec(t, db, "CREATE TABLE t (v text)")
			exec := func(h psyco.Handle) error {
				n, err := psyco.ExecMany(ctx, h, "INSERT INTO t SELECT pg_typeof(%s)", argRows(len(values), func(i int) []any { return values[i : i+1] }))
				if err == nil && n != int64(len(values)) {
					t.Errorf("%d rows", n)
				}
				return err
			}
			for name, err := range map[string]error{
				"alone":       exec(db),
				"transaction": psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error { return exec(tx) }),
			} {
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			for i, got := range all(t, db, "SELECT v FROM t") {
				if want := want[i%len(want)]; want != "" && got != want {
					t.Errorf("%v (%T) is %s, want %s", values[i%len(want)], values[i%len(want)], got, want)
				}
			}
		})
	}
}

func TestExecManyRoundTrips(t *testing.T) {
	ctx := context.Background()
	conn, err := testDB(t).Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	mustExec(t, conn, "CREATE TABLE t (a int, b text)")
	const query = "INSERT INTO t VALUES (%s, %s)"
	in := func(h psyco.Handle, n int) {
		t.Helper()
		got, err := psyco.ExecMany(ctx, h, query, argRows(n, func(i int) []any { return []any{i, "text"} }))
		if err != nil || got != int64(n) {
			t.Fatalf("%d rows, %v", got, err)
		}
	}
	inTx := func(n int) {
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		in(tx, n)
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		want uint64
		run  func()
	}{
		{"no rows", 0, func() { in(conn, 0) }},
		{"new", 2, func() { in(conn, 1000) }},
		{"prepared", 1, func() { in(conn, 1000) }},
		{"one row", 1, func() { in(conn, 1) }},
		{"three chunks and COMMIT", 4, func() { in(conn, 10_000) }},
		{"transaction", 2, func() { inTx(1000) }},
		{"transaction, three chunks", 4, func() { inTx(10_000) }},
	} {
		if got := roundTrips(t, conn, tt.run); got != tt.want {
			t.Errorf("%s: %d round trips, want %d", tt.name, got, tt.want)
		}
	}
}

func TestExecManyErrors(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		mustExec(t, db, "CREATE TABLE t (a int PRIMARY KEY, b int)")
		const query = "INSERT INTO t VALUES (%s, %s)"
		bad := errors.New("no more rows")
		for k, tt := range []struct {
			name string
			n    int
			row  func(i int) ([]any, error)
			at   int
			text string
		}{
			{"duplicate", 100, func(i int) ([]any, error) { return []any{i % 70, 0}, nil }, 70, "duplicate key"},
			{"duplicate in the second chunk", 4200, func(i int) ([]any, error) { return []any{i % 4150, 0}, nil }, 4150, "duplicate key"},
			{"value", 100, func(i int) ([]any, error) {
				if i == 42 {
					return []any{i, map[string]int{}}, nil
				}
				return []any{i, 0}, nil
			}, 42, "parameter 2"},
			{"value in the second chunk", 4200, func(i int) ([]any, error) {
				if i == 4150 {
					return []any{i, "x"}, nil
				}
				return []any{i, 0}, nil
			}, 4150, "integer"},
			{"too many values", 3, func(i int) ([]any, error) {
				if i == 2 {
					return []any{i, 0, 0}, nil
				}
				return []any{i, 0}, nil
			}, 2, "2 placeholders but 3 parameters"},
			{"iterator", 4200, func(i int) ([]any, error) {
				if i == 4150 {
					return nil, bad
				}
				return []any{i, 0}, nil
			}, 4150, "no more rows"},
			{"first row", 3, func(i int) ([]any, error) { return nil, bad }, 0, "no more rows"},
		} {
			rows := func(yield func([]any, error) bool) {
				for i := range tt.n {
					if !yield(tt.row(i)) {
						return
					}
				}
			}
			ways := []string{"alone", "transaction"}
			if tt.n > 1000 && len(ways) > testsize.Cases(1, 2) {
				ways = ways[k%2:][:1] // the other for the next
				if row := strings.Contains(t.Name(), "client_binding") || wrapped(t); row && k > 1 {
					continue // row by row there is no chunk: one is enough
				}
			}
			for _, in := range ways {
				var n int64
				var err error
				if in == "alone" {
					n, err = psyco.ExecMany(ctx, db, query, rows)
				} else {
					err = psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
						n, err = psyco.ExecMany(ctx, tx, query, rows)
						return err
					})
				}
				var re *psyco.RowError
				if n != 0 || !errors.As(err, &re) || re.Row != tt.at+1 || re.Rows != 1 || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("%s, %s: %d, %v; want an error about row %d with %q", tt.name, in, n, err, tt.at+1, tt.text)
				}
				if tt.text == "duplicate key" && (pq.As(err) == nil || pq.As(err).Constraint != "t_pkey") {
					t.Errorf("%s, %s: no *pq.Error in %v", tt.name, in, err)
				}
				if tt.text == bad.Error() && !errors.Is(err, bad) {
					t.Errorf("%s, %s: the iterator's error is lost in %v", tt.name, in, err)
				}
				if got := all(t, db, "SELECT count(*) FROM t"); got[0] != "0" {
					t.Errorf("%s, %s: %s rows are left", tt.name, in, got[0])
				}
			}
		}
	})
}

// plain is a driver of the oldest kind: it can prepare statements and nothing
// else. It notes what it is asked to do and fails where it is told to.
type plain struct {
	log  []string
	fail map[string]error
}

func (p *plain) Connect(context.Context) (driver.Conn, error) { return p, p.do("connect") }
func (p *plain) Driver() driver.Driver                        { return nil }
func (p *plain) Begin() (driver.Tx, error)                    { return p, p.do("begin") }
func (p *plain) Commit() error                                { return p.do("commit") }
func (p *plain) Rollback() error                              { return p.do("rollback") }
func (p *plain) Close() error                                 { return nil }
func (p *plain) Prepare(query string) (driver.Stmt, error)    { return plainStmt{p, query}, nil }

func (p *plain) do(what string) error {
	p.log = append(p.log, what)
	err := p.fail[what]
	delete(p.fail, what)
	return err
}

type plainStmt struct {
	*plain
	query string
}

func (s plainStmt) NumInput() int { return -1 }

func (s plainStmt) Exec(args []driver.Value) (driver.Result, error) {
	return driver.RowsAffected(1), s.do(fmt.Sprint(s.query, " ", args))
}

func (s plainStmt) Query(args []driver.Value) (driver.Rows, error) {
	return &plainRows{n: 2}, s.do(fmt.Sprint(s.query, " ", args))
}

type plainRows struct{ n int }

func (r *plainRows) Columns() []string { return []string{"n"} }
func (r *plainRows) Close() error      { return nil }
func (r *plainRows) Next(dest []driver.Value) error {
	if r.n == 0 {
		return io.EOF
	}
	dest[0] = int64(r.n)
	r.n--
	return nil
}

// TestBulkWrapped runs over a driver without pipelines, and with its faults.
func TestBulkWrapped(t *testing.T) {
	ctx := context.Background()
	broken := errors.New("broken")
	many := func(db *sql.DB) error {
		_, err := psyco.ExecMany(ctx, db, "INSERT %s", listed([]any{1}, []any{2}))
		return err
	}
	for _, tt := range []struct {
		name string
		run  func(db *sql.DB) error
		fail map[string]error
		log  string
		want error
	}{
		{"one row", func(db *sql.DB) error {
			_, err := psyco.ExecMany(ctx, db, "INSERT %s", listed([]any{1}))
			return err
		}, nil, "INSERT $1 [1]", nil},
		{"rows", many, nil, "begin; INSERT $1 [1]; INSERT $1 [2]; commit", nil},
		{"transaction", func(db *sql.DB) error {
			return psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
				for range 2 {
					if _, err := psyco.ExecMany(ctx, tx, "INSERT %s", listed([]any{1}, []any{2})); err != nil {
						return err
					}
				}
				return nil
			})
		}, nil, "begin; INSERT $1 [1]; INSERT $1 [2]; INSERT $1 [1]; INSERT $1 [2]; commit", nil},
		{"after a transaction", func(db *sql.DB) error {
			if err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error { return nil }); err != nil {
				return err
			}
			return many(db)
		}, nil, "begin; commit; begin; INSERT $1 [1]; INSERT $1 [2]; commit", nil},
		{"an error", many, map[string]error{"INSERT $1 [2]": broken}, "begin; INSERT $1 [1]; INSERT $1 [2]; rollback", broken},
		{"lost before anything ran", many, map[string]error{"INSERT $1 [1]": driver.ErrBadConn},
			"begin; INSERT $1 [1]; rollback; connect; begin; INSERT $1 [1]; INSERT $1 [2]; commit", nil},
		{"lost in between", many, map[string]error{"INSERT $1 [2]": driver.ErrBadConn}, "begin; INSERT $1 [1]; INSERT $1 [2]; rollback", errAny},
		{"lost while committing", many, map[string]error{"commit": driver.ErrBadConn}, "begin; INSERT $1 [1]; INSERT $1 [2]; commit", psyco.ErrCommitUnknown},
		{"values", func(db *sql.DB) error {
			n := 0
			_, err := psyco.ExecValues(ctx, db, "INSERT %s RETURNING n", listed([]any{1}, []any{2}, []any{3}), &psyco.ValuesOptions{
				PageSize: 2, Each: func(row *sql.Rows) error { return row.Scan(&n) },
			})
			return errors.Join(err, wantOne(n))
		}, nil, "begin; INSERT ($1), ($2) RETURNING n [1 2]; INSERT ($1) RETURNING n [3]; commit", nil},
		{"batch", func(db *sql.DB) error {
			var b psyco.Batch
			n := 0
			//psyco:allow the error is what is wanted
			b.Queue("UPDATE %s", 1)
			b.Queue("TABLE b").Each(func(row *sql.Rows) error { return row.Scan(&n) })
			return errors.Join(b.Run(ctx, db), wantOne(n))
		}, nil, "begin; UPDATE $1 [1]; TABLE b []; commit", nil},
	} {
		p := &plain{fail: tt.fail}
		db := openDB(t, psyco.Wrap(p))
		err := tt.run(db)
		if tt.want == errAny && (err == nil || errors.Is(err, driver.ErrBadConn)) || tt.want != errAny && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := strings.Join(slices.DeleteFunc(p.log[:1], func(s string) bool { return s == "connect" }), "") + strings.Join(p.log[1:], "; "); got != tt.log {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.log)
		}
	}
}

var errAny = errors.New("any but driver.ErrBadConn")

func wantOne(n int) error {
	if n != 1 {
		return fmt.Errorf("the last row is %d, want 1", n)
	}
	return nil
}

// TestBulkForeign uses a handle that is not psyco's.
func TestBulkForeign(t *testing.T) {
	ctx := context.Background()
	db := sql.OpenDB(&plain{})
	defer db.Close()
	var b, rows psyco.Batch
	b.Queue("a")
	rows.Queue("a").Each(func(*sql.Rows) error { return nil })
	_, many := psyco.ExecMany(ctx, db, "INSERT %s", listed([]any{1}))
	_, values := psyco.ExecValues(ctx, db, "INSERT %s", listed([]any{1}), nil)
	for name, err := range map[string]error{"Batch": b.Run(ctx, db), "Batch with rows": rows.Run(ctx, db), "ExecMany": many, "ExecValues": values} {
		if err == nil || !strings.Contains(err.Error(), `driver is "psyco"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

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
