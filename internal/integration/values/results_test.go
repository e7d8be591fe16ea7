package values_test

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
)

// TestEveryTagWithACountCounts runs statements of which the server tells how many rows
// they concern.
func TestEveryTagWithACountCounts(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		conn := mustConn(t, db)
		var version int
		if err := conn.QueryRowContext(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
			t.Fatal(err)
		}
		mustExec(t, conn, "CREATE TABLE t (a int); CREATE TABLE s (a int); INSERT INTO s VALUES (1), (2), (3)")
		mustExec(t, conn, "PREPARE listed AS SELECT a FROM s")
		const merge = "MERGE INTO t USING (SELECT a FROM s WHERE a < %s) s ON t.a = s.a WHEN NOT MATCHED THEN INSERT VALUES (s.a)"
		for _, tt := range []struct {
			query string
			args  []any
			want  int64
			since int  // the server's version
			libpq bool // counts in lib/pq too
		}{
			{"INSERT INTO t SELECT a FROM s", nil, 3, 0, true},
			{"INSERT INTO t SELECT a FROM s WHERE a < %s", []any{3}, 2, 0, true},
			{"UPDATE t SET a = a + %s", []any{0}, 5, 0, true},
			{"DELETE FROM t", nil, 5, 0, true},
			{strings.Replace(merge, "%s", "3", 1), nil, 2, 150000, false},
			{merge, []any{4}, 1, 150000, false},
			{merge, []any{4}, 0, 150000, true},
			{"WITH x AS (SELECT 1) " + strings.Replace(merge, "< %s", "> 0 OR false", 1), nil, 0, 150000, true},
			{"SELECT a FROM s WHERE a < %s", []any{3}, 2, 0, true},
			{"TABLE s", nil, 3, 0, true},
			{"CREATE TABLE made AS SELECT a FROM s", nil, 3, 0, true},
			{"CREATE TABLE IF NOT EXISTS made AS SELECT a FROM s", nil, 0, 0, true},
			{"SELECT a INTO made2 FROM s", nil, 3, 0, true},
			{"CREATE MATERIALIZED VIEW seen AS SELECT a FROM s", nil, 3, 0, true},
			{"REFRESH MATERIALIZED VIEW seen", nil, 0, 0, true},
			{"EXECUTE listed", nil, 3, 0, true},
			{"BEGIN", nil, 0, 0, true},
			{"DECLARE c SCROLL CURSOR FOR SELECT a FROM s", nil, 0, 0, true},
			{"FETCH 2 FROM c", nil, 2, 0, true},
			{"MOVE BACKWARD ALL IN c", nil, 1, 0, true},
			{"COPY s TO '/dev/null'", nil, 3, 0, true},
			{"ROLLBACK", nil, 0, 0, true},
		} {
			if version < tt.since {
				continue
			}
			want := tt.want
			if wrapped(t) && !tt.libpq {
				want = 0 // of Exec, lib/pq tells no more
			}
			if n, err := mustExec(t, conn, tt.query, tt.args...).RowsAffected(); n != want || err != nil {
				t.Errorf("%s: %d rows, %v; want %d", tt.query, n, err, want)
			}
		}
		if version >= 150000 { // where rows are asked for, everybody can tell
			mustExec(t, conn, "TRUNCATE t")
			var b psyco.Batch
			s := b.Queue(merge, 4).Each(func(*sql.Rows) error { return nil })
			if err := b.Run(ctx, conn); err != nil {
				t.Fatal(err)
			}
			if n, err := s.RowsAffected(); n != 3 || err != nil {
				t.Errorf("MERGE in a batch: %d rows, %v", n, err)
			}
			if !wrapped(t) {
				mustExec(t, conn, "TRUNCATE t")
				n, err := psyco.ExecMany(ctx, conn, merge, psyco.SliceRows([][]any{{2}, {4}}))
				if n != 3 || err != nil {
					t.Errorf("MERGE by ExecMany: %d rows, %v", n, err)
				}
			}
		}
	})
}

// TestColumnTypesSayOnlyWhatIsKnown looks at columns with and without a modifier.
func TestColumnTypesSayOnlyWhatIsKnown(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		if wrapped(t) {
			return // lib/pq's own rows
		}
		conn := mustConn(t, db)
		mustExec(t, conn, `CREATE DOMAIN code AS varchar(3); CREATE DOMAIN price AS numeric(8,2); CREATE DOMAIN free AS varchar`)
		const none = "false false"
		types := map[string]string{
			"varchar": none, "varchar(7)": "7 false", "char": "1 false", "char(9)": "9 false", "bpchar": none,
			"text": fmt.Sprint(int64(math.MaxInt64), " false"), "bytea": fmt.Sprint(int64(math.MaxInt64), " false"), `"char"`: none, "name": none,
			"varbit": none, "varbit(5)": "5 false", "bit": "1 false", "bit(12)": "12 false",
			"numeric": none, "numeric(5)": "false 5,0", "numeric(10,3)": "false 10,3", "numeric(1000,1000)": "false 1000,1000",
			"numeric[]": none, "numeric(10,3)[]": "false 10,3", "varchar(7)[]": none,
			"timestamp": none, "timestamp(3)": none, "timestamptz(0)": none, "time(2)": none, "interval": none, "interval(3)": none, "interval day to second": none,
			"code": "3 false", "price": "false 8,2", "free": none, "int": none, "float8": none, "jsonb": none, "uuid": none,
		}
		if all(t, conn, "SELECT current_setting('server_version_num')::int >= 150000")[0] == "true" {
			types["numeric(3,-2)"] = "false 3,-2"
			types["numeric(3,5)"] = "false 3,5"
			types["numeric(1000,-1000)"] = "false 1000,-1000"
		}
		var names, columns []string
		for name := range types {
			columns = append(columns, fmt.Sprintf("c%d %s", len(names), name))
			names = append(names, name)
		}
		mustExec(t, conn, "CREATE TABLE t ("+strings.Join(columns, ", ")+", wanted bool)")
		mustExec(t, conn, "INSERT INTO t (wanted) SELECT true FROM generate_series(1, 2)")
		check := func(where string, rows *sql.Rows) {
			t.Helper()
			got, err := rows.ColumnTypes()
			if err != nil {
				t.Fatal(err)
			}
			for i, name := range names {
				size := make([]string, 2)
				size[0], size[1] = "false", "false"
				if n, ok := got[i].Length(); ok {
					size[0] = fmt.Sprint(n)
				} else if n != 0 {
					t.Errorf("%s: %s has the length %d that it has not", where, name, n)
				}
				if precision, scale, ok := got[i].DecimalSize(); ok {
					size[1] = fmt.Sprintf("%d,%d", precision, scale)
				} else if precision != 0 || scale != 0 {
					t.Errorf("%s: %s has the size %d,%d that it has not", where, name, precision, scale)
				}
				if s := strings.Join(size, " "); s != types[name] {
					t.Errorf("%s: %s is %s, want %s", where, name, s, types[name])
				}
			}
		}
		for range 3 {
			for _, tt := range []struct {
				query string
				args  []any
			}{
				{"TABLE t", nil},
				{"SELECT * FROM t WHERE wanted = %s", []any{true}},
				{"SELECT * FROM t WHERE wanted = $1", []any{true}},
				{"SELECT * FROM t WHERE wanted = %s", []any{psyco.ServerSide(1), true}},
			} {
				rows, err := conn.QueryContext(t.Context(), tt.query, tt.args...)
				if err != nil {
					t.Fatalf("%s: %v", tt.query, err)
				}
				check(tt.query, rows)
				if len(tt.args) < 2 { // else they stay on the server
					mustExec(t, conn, "SELECT 1") // reads the rows into memory
					check(tt.query+", in memory", rows)
				}
				rows.Close()
			}
			var b psyco.Batch
			for _, args := range [][]any{nil, {true}} {
				query := "SELECT * FROM t"
				if args != nil {
					query += " WHERE wanted = %s"
				}
				b.Queue(query, args...).Each(func(row *sql.Rows) error { check("batch", row); return nil })
			}
			if err := b.Run(t.Context(), conn); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestNextResultSetDropsTheRest asks for the next result before the current one is read
// to its end, as database/sql allows.
func TestNextResultSetDropsTheRest(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		if wrapped(t) {
			return // lib/pq's own rows
		}
		conn := mustConn(t, db)
		for _, tt := range []struct {
			name, query string
			results     []int // their columns
			want        string
		}{
			{"two", "SELECT i, i FROM generate_series(1, 3) i; SELECT 7", []int{2, 1}, "<nil>"},
			{"three", "SELECT 1, 2, 3; SELECT i, i FROM generate_series(1, 3) i; SELECT 7", []int{3, 2, 1}, "<nil>"},
			{"long", "SELECT i, repeat('x', 1000) FROM generate_series(1, 2000) i; SELECT 7", []int{2, 1}, "<nil>"},
			{"one", "SELECT i FROM generate_series(1, 3) i", []int{1}, "<nil>"},
			{"one, then an error", "SELECT i FROM generate_series(1, 3) i; SELECT 1/0", []int{1}, "22012"},
			{"an error in the rest", "SELECT 10 / (3 - i) FROM generate_series(1, 3) i; SELECT 7", []int{1}, "22012"},
			{"a value that cannot be decoded in the rest", "SET datestyle = 'SQL'; SELECT CASE i WHEN 2 THEN '2024-01-31'::date END FROM generate_series(1, 3) i; RESET datestyle; SELECT 7, 7", []int{1, 2}, "<nil>"},
		} {
			for read := range 3 {
				for _, in := range []string{"directly", "memory"} {
					if strings.HasPrefix(tt.name, "a value") && (read > 1 || in == "memory") {
						continue // it is read
					}
					rows, err := conn.QueryContext(t.Context(), tt.query)
					if err != nil {
						t.Fatalf("%s: %v", tt.name, err)
					}
					where := fmt.Sprintf("%s, %s, after %d rows", tt.name, in, read)
					var results []int
					for more := true; more; more = rows.NextResultSet() {
						columns, err := rows.Columns()
						if err != nil {
							t.Fatalf("%s: %v", where, err)
						}
						results = append(results, len(columns))
						for range read {
							rows.Next()
						}
						if in == "memory" {
							mustExec(t, conn, "SELECT 1")
						}
					}
					if got := code(rows.Err()); !slices.Equal(results, tt.results) || got != tt.want {
						t.Errorf("%s: %v columns, %s; want %v, %s", where, results, got, tt.results, tt.want)
					}
					rows.Close()
				}
			}
			if got := all(t, conn, "SELECT 1"); got[0] != "1" {
				t.Errorf("%s: then %q", tt.name, got)
			}
		}
	})
	// With arguments there is one result, which ends.
	db := testDB(t)
	for range 3 {
		rows, err := db.Query("SELECT i, repeat('x', 1000) FROM generate_series(1, $1) i", 200)
		if err != nil {
			t.Fatal(err)
		}
		if rows.Next(); rows.NextResultSet() || rows.Err() != nil {
			t.Errorf("another result, %v", rows.Err())
		}
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestSimpleQueriesAsLibPQ compares the rows of texts without arguments with lib/pq's, set
// by set: most of them are read without it.
func TestSimpleQueriesAsLibPQ(t *testing.T) {
	dsn := pgserver.TestDSN(t)
	reference, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer reference.Close()
	mustExec(t, reference, `CREATE TABLE logged (id int, word text); CREATE TABLE log (id int);
		CREATE RULE more AS ON INSERT TO logged DO ALSO SELECT NEW.word, NEW.id FROM generate_series(1, 3);
		CREATE FUNCTION loud(i int) RETURNS int LANGUAGE plpgsql AS $$BEGIN RAISE NOTICE 'row %', i; RETURN i; END$$`)
	read := func(h psyco.Handle, text string) (seen []string) {
		rows, err := h.QueryContext(t.Context(), text)
		if err != nil {
			return []string{fmt.Sprint("no rows: ", err)}
		}
		defer rows.Close()
		for set := 0; ; set++ {
			columns, _ := rows.Columns()
			types, _ := rows.ColumnTypes()
			seen = append(seen, fmt.Sprintf("set %d: %q", set, columns))
			for _, c := range types {
				seen = append(seen, fmt.Sprint(c.Name(), " ", c.DatabaseTypeName(), " ", c.ScanType()))
			}
			dest := make([]any, len(columns))
			for i := range dest {
				dest[i] = new(any)
			}
			for rows.Next() {
				if err := rows.Scan(dest...); err != nil {
					return append(seen, err.Error())
				}
				for _, d := range dest {
					seen = append(seen, fmt.Sprintf("%#v", *d.(*any)))
				}
			}
			if !rows.NextResultSet() {
				break
			}
		}
		return append(seen, fmt.Sprint(rows.Err()))
	}
	db := open(t, dsn)
	for _, tt := range []struct{ name, text string }{
		{"no row", "SELECT 1 WHERE false"},
		{"one row", "SELECT 1, 'x', NULL, now() - now(), ARRAY[1]"},
		{"many rows", "SELECT i, i::text, i / 3.0::float8, '2024-02-29'::timestamptz + i * interval '1 day', i::numeric FROM generate_series(1, 5000) i"},
		{"long rows", "SELECT repeat('x', i * 100), i FROM generate_series(1, 2000, 97) i"},
		{"two sets of other types", "SELECT i FROM generate_series(1, 3) i; SELECT i::text, true FROM generate_series(1, 3) i"},
		{"sets of one row", "SELECT 1; SELECT 'x'; SELECT 2.5"},
		{"an empty one between", "SELECT i FROM generate_series(1, 3) i; SELECT 'x' WHERE false; SELECT i > 1 FROM generate_series(1, 3) i"},
		{"what gives no rows between", "SELECT i FROM generate_series(1, 3) i; CREATE TEMP TABLE z (i int); DROP TABLE z; SELECT i::text FROM generate_series(1, 3) i"},
		{"an empty statement", "SELECT 1;; SELECT 'x'"},
		{"no statement", ""},
		{"another zone between", "SELECT '2024-02-29 12:00+00'::timestamptz FROM generate_series(1, 3); SET LOCAL TimeZone = 'Asia/Kolkata'; SELECT '2024-02-29 12:00+00'::timestamptz FROM generate_series(1, 3)"},
		{"an error in the middle", "SELECT 10 / (5 - i) FROM generate_series(1, 9) i"},
		{"an error in the second", "SELECT i FROM generate_series(1, 3) i; SELECT 1/0"},
		{"notices", "SELECT loud(i) FROM generate_series(1, 9) i"},
		{"a rule's rows", "INSERT INTO logged VALUES (1, 'x')"},
		{"a rule's rows behind others", "SELECT i FROM generate_series(1, 3) i; INSERT INTO logged VALUES (1, 'x')"},
		{"a binary cursor", "BEGIN; DECLARE b BINARY CURSOR FOR SELECT i::int4, i::text FROM generate_series(1, 5) i; FETCH ALL FROM b; COMMIT"},
		{"a binary cursor behind text", "BEGIN; DECLARE b BINARY CURSOR FOR SELECT i::int8, 'a'::bytea FROM generate_series(1, 5) i; SELECT i::text, i FROM generate_series(1, 3) i; FETCH ALL FROM b; COMMIT"},
		{"columns with one name", "SELECT i AS a, i::text AS a FROM generate_series(1, 3) i"},
		{"no columns", "SELECT FROM generate_series(1, 3)"},
		{"EXPLAIN", "EXPLAIN (COSTS off) SELECT * FROM log JOIN logged USING (id)"},
		{"SHOW", "SHOW datestyle"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ours, theirs := mustConn(t, db), mustConn(t, reference)
			for range 2 {
				got, want := read(ours, tt.text), read(theirs, tt.text)
				if !slices.Equal(got, want) {
					t.Errorf("got %.2000q\nwant %.2000q", got, want)
				}
				mustExec(t, ours, "SELECT %s", 1)
			}
			for _, n := range []int{0, 1, 2, 3} { // rows that are read
				rows, err := ours.QueryContext(t.Context(), tt.text)
				if err != nil {
					continue
				}
				for range n {
					rows.Next()
				}
				mustExec(t, ours, "SELECT %s", n) // reads the others into memory
				for rows.Next() {
				}
				_ = rows.Close()
				mustExec(t, ours, "ROLLBACK; SELECT 1")
			}
		})
	}
}
