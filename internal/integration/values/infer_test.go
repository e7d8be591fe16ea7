package values_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
)

// TestTypedParameters checks that a parameter has the type of its Go value, and
// that what the server cannot infer is found out without harm to a transaction.
func TestTypedParameters(t *testing.T) {
	at := time.Date(2024, 2, 29, 12, 30, 0, 0, time.UTC)
	tests := []struct {
		name, query string
		args        []any
		want        string
	}{
		{"int", "SELECT pg_typeof(%s), %s + 1", []any{1, 1}, "integer,2"},
		{"big int", "SELECT pg_typeof(%s)", []any{int64(1 << 40)}, "bigint"},
		{"float", "SELECT pg_typeof(%s), %s / 2", []any{1.5, 3.0}, "double precision,1.5"},
		{"bool", "SELECT pg_typeof(%s), NOT %s", []any{true, true}, "boolean,false"},
		{"duration", "SELECT pg_typeof(%s), %s::text", []any{time.Minute, 90 * time.Second}, "interval,00:01:30"},
		{"time", "SELECT pg_typeof(%s), extract(epoch FROM %s)::bigint", []any{at.Local().In(time.FixedZone("x", 3600)), at.In(time.FixedZone("x", 3600))}, fmt.Sprintf("timestamp with time zone,%d", at.Unix())},
		{"json_build_object", "SELECT json_build_object('a', %s)::text", []any{1}, `{"a" : 1}`},
		{"json_build_object with a string", "SELECT json_build_object('a', %s)::text", []any{"x"}, `{"a" : "x"}`},
		{"IS NULL OR", "SELECT %s IS NULL OR 5 = %s", []any{5, 5}, "true"},
		{"nil IS NULL", "SELECT %s IS NULL", []any{nil}, "true"},
		{"COALESCE", "SELECT COALESCE(%s, 0)", []any{nil}, "0"},
		{"now minus a duration", "SELECT now() - %s < now()", []any{time.Hour}, "true"},
		{"concatenation", "SELECT %s || 'x'", []any{"y"}, "yx"},
		{"concatenation of a parameter pair", "SELECT %s || %s", []any{"y", "z"}, "yz"},
		{"concat", "SELECT concat(%s, %s)", []any{"a", 1}, "a1"},
		{"unnest", "SELECT sum(i) FROM unnest(%s) i", []any{[]int{1, 2, 3}}, "6"},
		{"unnest strings", "SELECT string_agg(s, '') FROM unnest(%s) s", []any{[]string{"a", "b"}}, "ab"},
		{"array_length", "SELECT array_length(%s, 1)", []any{[]string{"a", "b"}}, "2"},
		{"a string becomes a date", "SELECT date '2020-01-01' + 1 = %s", []any{"2020-01-02"}, "true"},
		{"a string becomes json", "SELECT %s::jsonb ->> 'a'", []any{`{"a": 5}`}, "5"},
		{"a string becomes a number", "SELECT 1 + %s", []any{"41"}, "42"},
		{"unnest floats", "SELECT pg_typeof(f) FROM unnest(%s) f", []any{[]float64{1.5}}, "double precision"},
		{"unnest nil", "SELECT count(*) FROM unnest(%s) i", []any{[]int(nil)}, "0"},
		{"array_append", "SELECT (array_append(%s, %s))[2]", []any{[]string{"a"}, "b"}, "b"},
		{"array_agg", "SELECT array_to_string(array_agg(%s), ',')", []any{"a"}, "a"},
		{"to_json", "SELECT to_json(%s)::text", []any{"a"}, `"a"`},
		{"percentile_cont", "SELECT percentile_cont(%s) WITHIN GROUP (ORDER BY n) FROM generate_series(1, 3) n", []any{[]float64{0.5, 1}}, "{2,3}"},
		{"percentile_cont and concat", "SELECT percentile_cont(%s) WITHIN GROUP (ORDER BY n), concat(%s, 'b') FROM generate_series(1, 3) n", []any{[]float64{0.5, 1}, "a"}, "{2,3},ab"},
		{"percentile_cont of one", "SELECT percentile_cont(%s) WITHIN GROUP (ORDER BY n) FROM generate_series(1, 3) n", []any{0.5}, "2"},
		{"percentile_disc", "SELECT percentile_disc(%s) WITHIN GROUP (ORDER BY n) FROM generate_series(1, 3) n", []any{[]float64{0.5, 1}}, "{2,3}"},
		{"GROUP BY a name", "SELECT substr(s, %(n)s), concat(%(x)s, count(*)) FROM (VALUES ('xa'), ('ya')) v (s) GROUP BY substr(s, %(n)s)", []any{map[string]any{"n": 2, "x": "n"}}, "a,n2"},
		{"GROUP BY an open name", "SELECT concat(%(x)s, s) FROM (VALUES ('a'), ('a')) v (s) WHERE %(x)s IS NOT NULL GROUP BY concat(%(x)s, s)", []any{map[string]any{"x": "n"}}, "na"},
		{"LIMIT", "SELECT count(*) FROM (SELECT 1 FROM generate_series(1, 10) LIMIT %s) t", []any{3}, "3"},
		{"left", "SELECT left(%s, %s)", []any{"abc", 2}, "ab"},
		{"pg_typeof of a string", "SELECT pg_typeof(%s)", []any{"x"}, "text"},
	}
	inModes(t, func(t *testing.T, db *sql.DB) {
		if t.Name() == "TestTypedParameters/wrapped" {
			return // types are declared through the wire only
		}
		mustExec(t, db, "CREATE TABLE log (n int)")
		for i, tt := range tests {
			if clientBinding(t) && tt.name == "pg_typeof of a string" {
				tt.want = "unknown" // as that of a literal, which is not an error
			}
			t.Run(tt.name, func(t *testing.T) {
				for range 3 {
					if got := all(t, db, tt.query, tt.args...); !slices.Equal(got, []string{tt.want}) {
						t.Fatalf("got %q, want %q", got, tt.want)
					}
				}
			})
			t.Run(tt.name+" in a transaction", func(t *testing.T) {
				// A text of its own, so that nothing is known about it.
				query := fmt.Sprintf("%s -- %d", tt.query, i)
				err := psyco.InTx(context.Background(), db, nil, func(tx *sql.Tx) error {
					mustExec(t, tx, "INSERT INTO log VALUES (%s)", i)
					for range 3 {
						if got := all(t, tx, query, tt.args...); !slices.Equal(got, []string{tt.want}) {
							t.Fatalf("got %q, want %q", got, tt.want)
						}
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			})
		}
		if got := all(t, db, "SELECT count(DISTINCT n) FROM log"); got[0] != fmt.Sprint(len(tests)) {
			t.Errorf("%s of %d transactions were committed", got[0], len(tests))
		}
	})
}

func TestStringsStayInferred(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		mustExec(t, db, `CREATE TYPE mood AS ENUM ('sad', 'happy');
			CREATE TABLE t (d date, m mood, j json, n numeric, ts timestamp, b bool, i int, u uuid)`)
		for range 3 {
			mustExec(t, db, "INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
				"2020-01-02", "happy", `{"a": 1}`, "1.50", "2020-01-02 03:04:05", "yes", "7", "00000000-0000-0000-0000-000000000001")
		}
		got := all(t, db, "SELECT d::text, m, j ->> 'a', n, ts::text, b, i FROM t WHERE m = %s LIMIT 1", "happy")
		if want := "2020-01-02,happy,1,1.50,2020-01-02 03:04:05,true,7"; got[0] != want {
			t.Errorf("got %s, want %s", got[0], want)
		}
	})
}

func clientBinding(t *testing.T) bool { return strings.Contains(t.Name(), "/client_binding") }

// TestInferredElsewhere checks the other ways in which a query with a type that
// the server cannot infer may be run.
func TestInferredElsewhere(t *testing.T) {
	ctx := context.Background()
	const query = "SELECT s FROM unnest(%s) s"
	list := []string{"a", "b"}
	tests := []struct {
		name string
		run  func(t *testing.T, tx *sql.Tx) []string
	}{
		{"query", func(t *testing.T, tx *sql.Tx) []string { return all(t, tx, query, list) }},
		{"prepared", func(t *testing.T, tx *sql.Tx) []string {
			stmt, err := tx.Prepare(query)
			if err != nil {
				t.Fatal(err)
			}
			rows, err := stmt.Query(list)
			if err != nil {
				t.Fatal(err)
			}
			return scanAll(t, rows)
		}},
		{"ServerSide", func(t *testing.T, tx *sql.Tx) []string { return all(t, tx, query, list, psyco.ServerSide(1)) }},
		{"cursor", func(t *testing.T, tx *sql.Tx) []string {
			cur, err := psyco.DeclareCursor(ctx, tx, "c%s", nil, query, list)
			if err != nil {
				t.Fatal(err)
			}
			rows, err := cur.FetchAll(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return scanAll(t, rows)
		}},
		{"batch", func(t *testing.T, tx *sql.Tx) (got []string) {
			var b psyco.Batch
			b.Queue(query, list).Each(func(rows *sql.Rows) error {
				var s string
				err := rows.Scan(&s)
				got = append(got, s)
				return err
			})
			if err := b.Run(ctx, tx); err != nil {
				t.Fatal(err)
			}
			return got
		}},
		{"INSERT", func(t *testing.T, tx *sql.Tx) []string {
			return all(t, tx, "INSERT INTO log SELECT unnest(%s) RETURNING s", list)
		}},
		{"batch with percentile_cont", func(t *testing.T, tx *sql.Tx) []string {
			var b psyco.Batch
			b.Queue("SELECT (percentile_cont(%s) WITHIN GROUP (ORDER BY n))::text FROM generate_series(1, 3) n", []float64{0.5, 1}).Each(func(row *sql.Rows) error {
				var got string
				if err := row.Scan(&got); err != nil || got != "{2,3}" {
					return fmt.Errorf("percentile_cont: %s, %v", got, err)
				}
				return nil
			})
			if err := b.Run(ctx, tx); err != nil {
				t.Error(err)
			}
			return list
		}},
	}
	inModes(t, func(t *testing.T, db *sql.DB) {
		if wrapped(t) {
			return // types are declared through the wire only
		}
		mustExec(t, db, "CREATE TABLE log (s text)")
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				for range 2 {
					err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
						if got := tt.run(t, tx); !slices.Equal(got, list) {
							t.Errorf("got %q", got)
						}
						mustExec(t, tx, "INSERT INTO log VALUES ('')") // the transaction is whole
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
				}
			})
		}
		if got := all(t, db, "SELECT count(*), count(*) FILTER (WHERE s <> '') FROM log"); got[0] != fmt.Sprint(2*len(tests)+4)+",4" {
			t.Errorf("the log has %s rows", got[0])
		}
	})
}

// TestListForASingleValue checks that a list which no type makes right has the error that
// it always had, and leaves the connection usable.
func TestListForASingleValue(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		mustExec(t, db, "CREATE TABLE f (n int)")
		for range 4 {
			if _, err := db.Query("SELECT n FROM f WHERE n = %s", []int{1}); code(err) != "22P02" {
				t.Errorf("error %v", err)
			}
			tx := mustBegin(t, db)
			if _, err := tx.Query("SELECT n FROM f WHERE n = %s", []int{1}); code(err) != "22P02" {
				t.Errorf("in a transaction: error %v", err)
			}
			if err := tx.Rollback(); err != nil {
				t.Error(err)
			}
			var b psyco.Batch
			b.Queue("SELECT n FROM f WHERE n = %s", []int{1})
			if err := b.Run(t.Context(), db); code(err) != "22P02" {
				t.Errorf("in a batch: error %v", err)
			}
		}
		all(t, db, "SELECT n FROM f WHERE n = %s", 1)
	})
}

// TestFunctionsOwnTypeErrors checks that only the server's refusal of a query
// leads to a second attempt. A procedure that has begun may have committed.
func TestFunctionsOwnTypeErrors(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		mustExec(t, db, `CREATE TABLE log (n int);
			CREATE PROCEDURE p(x text) LANGUAGE plpgsql AS $$
			BEGIN
				INSERT INTO log VALUES (1);
				COMMIT;
				RAISE datatype_mismatch;
			END $$`)
		_, err := db.Exec("CALL p(%s)", "x")
		if code(err) != "42804" {
			t.Errorf("error %v", err)
		}
		if got := all(t, db, "SELECT count(*) FROM log"); got[0] != "1" {
			t.Errorf("the procedure ran %s times", got[0])
		}
	})
}

// TestLiteralsInTransactions counts what it costs to find out whether a query
// does without casts, and looks at what is left behind.
func TestLiteralsInTransactions(t *testing.T) {
	db := open(t, pgserver.TestDSN(t)+" binding=client")
	conn := mustConn(t, db)
	begin := func() *sql.Tx { return mustBegin(t, conn) }
	trips := func(want uint64, f func(tx *sql.Tx)) {
		t.Helper()
		tx := begin()
		if got := roundTrips(t, tx, func() { f(tx) }); got != want {
			t.Errorf("%d round trips, want %d", got, want)
		}
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
	}
	once := func(query string, args ...any) func(*sql.Tx) {
		return func(tx *sql.Tx) { all(t, tx, query, args...) }
	}
	// BEGIN and the savepoint, the query; once it is known, BEGIN and the query.
	trips(2, once("SELECT 1 WHERE %s = 'x'", "x"))
	trips(2, once("SELECT 1 WHERE %s = 'x'", "y"))
	// Undoing and the second attempt come to that, the first time.
	trips(4, once("SELECT count(*) FROM unnest(%s)", []int{1}))
	trips(2, once("SELECT count(*) FROM unnest(%s)", []int{2, 3}))
	trips(2, once("SELECT %s", 1)) // nothing to infer
	// The release goes before the next statement, if there is one.
	trips(4, func(tx *sql.Tx) {
		all(t, tx, "SELECT 2 WHERE %s = 'x'", "x")
		all(t, tx, "SELECT 2 WHERE %s = 'x'", "x")
	})

	// A query that fails while its rows are read leaves a savepoint that must not
	// stand in the way of the program's own.
	tx := begin()
	mustExec(t, tx, "SAVEPOINT mine")
	rows, err := tx.Query("SELECT 1/(5 - i), %s::text FROM generate_series(1, 10) i", "x")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
	}
	if code(rows.Err()) != "22012" {
		t.Errorf("error %v", rows.Err())
	}
	mustExec(t, tx, "ROLLBACK TO SAVEPOINT mine")
	all(t, tx, "SELECT 1")
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}

	// What no cast can mend has the error of the query as it was written.
	_, err = begin().Query("SELECT unnest(%s), nonsense(%s)", []int{1}, "x")
	if err == nil || strings.Contains(err.Error(), "text") {
		t.Errorf("error %v", err)
	}
}

// TestPrepareWithOpenTypes checks that Prepare refuses a query that no arguments
// can make right, and no other, and leaves a transaction as it should.
func TestPrepareWithOpenTypes(t *testing.T) {
	db := testDB(t)
	for _, tt := range []struct{ query, want string }{
		{"SELECT unnest(%s)", "<nil>"},
		{"SELECT array_length(%s, 1)", "<nil>"},
		{"SELECT %s", "<nil>"},
		{"SELECT %s FROM nowhere", "42P01"},
		{"SELECT %s WHERE 1", "42804"},
	} {
		t.Run(tt.query, func(t *testing.T) {
			if _, err := db.Prepare(tt.query); code(err) != tt.want {
				t.Errorf("error %v", err)
			}
			tx := mustBegin(t, db)
			mustExec(t, tx, "SELECT 1")
			if _, err := tx.Prepare(tt.query); code(err) != tt.want {
				t.Errorf("in a transaction: error %v", err)
			}
			want := pq.ErrInFailedTransaction
			if tt.want == "<nil>" {
				want = nil
				all(t, tx, "SELECT 1 WHERE %s = 1", 1)
			}
			if err := tx.Commit(); err != want {
				t.Errorf("Commit: %v", err)
			}
		})
	}
}

// TestInferredTypesChange runs one text with values of several types, where the
// server cannot infer any: no value may be read as one of a type before it.
func TestInferredTypesChange(t *testing.T) {
	type step struct {
		arg  any
		want string
	}
	tests := []struct {
		name, query string
		steps       []step
	}{
		{"json", "SELECT jsonb_build_object('v', %s)::text", []step{
			{"a", `{"v": "a"}`}, {[]int{1}, `{"v": [1]}`}, {psyco.JSON[map[string]any]{V: map[string]any{"a": 1}}, `{"v": {"a": 1}}`}, {[]string{"b"}, `{"v": ["b"]}`}}},
		{"arrays", "SELECT sum(x)::text FROM unnest(%s) x", []step{
			{[]int{1, 2}, "3"}, {[]float64{1.5}, "1.5"}, {[]time.Duration{time.Hour}, "01:00:00"}}},
		{"NULL", "SELECT (%s IS NULL)::text", []step{
			{psyco.Timestamp{Time: time.Unix(0, 0).UTC()}, "false"}, {"x", "false"}, {[]int{1}, "false"}, {nil, "true"}}},
	}
	inModes(t, func(t *testing.T, db *sql.DB) {
		if wrapped(t) || strings.HasSuffix(t.Name(), "/client_binding") {
			return // types are declared through the wire only
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				for _, tx := range []bool{false, true} {
					for first := range tt.steps {
						conn := mustConn(t, db)
						var h psyco.Handle = conn
						if tx {
							h = mustBegin(t, conn)
						}
						stmt, err := h.(interface {
							PrepareContext(context.Context, string) (*sql.Stmt, error)
						}).PrepareContext(context.Background(), tt.query)
						if err != nil {
							t.Fatal(err)
						}
						defer stmt.Close()
						for i := range 4 * len(tt.steps) {
							s := tt.steps[(first+i/3)%len(tt.steps)] // three times each
							if got := all(t, h, tt.query, s.arg); !slices.Equal(got, []string{s.want}) {
								t.Errorf("%d from %d, in a transaction %t: %v: %v, want %v", i, first, tx, s.arg, got, s.want)
							}
							var got string
							if err := stmt.QueryRow(s.arg).Scan(&got); err != nil || got != s.want {
								t.Errorf("prepared, %d from %d, in a transaction %t: %v: %v, %v, want %v", i, first, tx, s.arg, got, err, s.want)
							}
						}
						if tx {
							if err := h.(*sql.Tx).Rollback(); err != nil {
								t.Error(err)
							}
						}
						if err := conn.Close(); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
	})
}

// TestInferenceRunsOnce has errors with the codes of a type that cannot be inferred,
// from a cast that is reached when something has happened already.
func TestInferenceRunsOnce(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		if wrapped(t) {
			return // nothing is tried twice
		}
		ways := map[string]func(query string) error{
			"Exec": func(query string) error { return second(db.Exec(query, "abs")) },
			"ExecMany": func(query string) error {
				return second(psyco.ExecMany(t.Context(), db, query, psyco.SliceRows([][]any{{"abs"}})))
			},
			"Batch": func(query string) error {
				var b psyco.Batch
				b.Queue(query, "abs")
				return b.Run(t.Context(), db)
			},
		}
		for name, run := range ways {
			mustExec(t, db, "CREATE SEQUENCE s")
			err := run("SELECT nextval('s'), (%s || '')::regproc")
			if pq.As(err, pqerror.AmbiguousFunction) == nil {
				t.Errorf("%s: error %v", name, err)
			}
			if got := all(t, db, "SELECT last_value FROM s"); got[0] != "1" {
				t.Errorf("%s: ran %s times", name, got[0])
			}
			mustExec(t, db, "DROP SEQUENCE s")
		}
	})
}

// TestOneOpenParameter has queries in which the server can infer the type of one
// parameter, and not that of another: that one alone gets a type of psyco's choice.
// psycopg2 runs all of them.
func TestOneOpenParameter(t *testing.T) {
	columns := []struct{ typ, value string }{
		{"date", "2024-02-29"}, {"timestamptz", "2024-02-29 12:00:00+00"}, {"interval", "01:00:00"}, {"time", "12:00:00"},
		{"int", "7"}, {"int8", "7"}, {"numeric", "1.50"}, {"float8", "1.5"}, {"bool", "t"}, {"uuid", "00000000-0000-0000-0000-000000000001"},
		{"text", "a'b"}, {"char(5)", "ab"}, {"name", "n"}, {"citext", "AB"}, {"mood", "happy"}, {"inet", "10.0.0.1"},
		{"jsonb", `{"a": 1}`}, {"bytea", `\x00ff`}, {"int[]", "{1,2}"}, {"daterange", "[2024-01-01,2024-02-01)"}, {"money", "$7.00"}, {"bit(3)", "101"},
	}
	queries := []struct {
		name, query string
		args        func(v string) []any
		want        string
	}{
		{"optional filter", "SELECT n FROM f WHERE (%s IS NULL OR d = %s)", func(v string) []any { return []any{v, v} }, "[1]"},
		{"optional filter, none", "SELECT n FROM f WHERE (%s IS NULL OR d = %s)", func(string) []any { return []any{nil, nil} }, "[1]"},
		{"unnest", "UPDATE f SET d = %s WHERE n IN (SELECT unnest(%s)) RETURNING n", func(v string) []any { return []any{v, []int{1, 2}} }, "[1]"},
		{"rows of unnest", "INSERT INTO f (n, d) SELECT i + 10, %s FROM unnest(%s) i RETURNING n", func(string) []any { return []any{nil, []int{1, 2}} }, "[11 12]"},
		{"concat", "SELECT concat(%s, n) FROM f WHERE d = %s", func(v string) []any { return []any{"x", v} }, "[x1]"},
		{"array_length", "SELECT array_length(%s, 1) FROM f WHERE d = %s", func(v string) []any { return []any{[]string{"a", "b"}, v} }, "[2]"},
		{"two functions", "SELECT cardinality(%s) + num_nulls(%s, %s) FROM f WHERE d = %s AND n = ANY(%s)", func(v string) []any { return []any{[]string{"a"}, nil, nil, v, []int{1}} }, "[3]"},
		{"optional filter by name", "SELECT n FROM f WHERE (%(v)s IS NULL OR d = %(v)s)", func(v string) []any { return []any{map[string]any{"v": v}} }, "[1]"},
		{"optional filter by name, none", "SELECT n FROM f WHERE (%(v)s IS NULL OR d = %(v)s)", func(string) []any { return []any{map[string]any{"v": nil}} }, "[1]"},
		{"several places", "SELECT n FROM f WHERE %(n)s = n AND concat(%(v)s) <> '' AND d = %(v)s AND %(v)s IS NOT NULL", func(v string) []any { return []any{map[string]any{"v": v, "n": 1}} }, "[1]"},
		{"places of two types", "SELECT n FROM f WHERE d = %(v)s OR n::text = %(v)s", func(v string) []any { return []any{map[string]any{"v": v}} }, "[1]"},
		{"behind other letters", "SELECT n /* é漢😀 */ FROM f WHERE n IN (SELECT unnest(%s)) AND d = %s", func(v string) []any { return []any{[]int{1}, v} }, "[1]"},
	}
	inModes(t, func(t *testing.T, db *sql.DB) {
		if wrapped(t) {
			return // types are declared through the wire only
		}
		mustExec(t, db, "CREATE EXTENSION citext; CREATE TYPE mood AS ENUM ('sad', 'happy')")
		ctx := t.Context()
		for _, col := range columns {
			t.Run(col.typ, func(t *testing.T) {
				tx := mustBegin(t, db)
				mustExec(t, tx, "SET LOCAL lc_monetary = 'C'; CREATE TEMP TABLE f (n int, d "+col.typ+") ON COMMIT DROP")
				mustExec(t, tx, "INSERT INTO f VALUES (1, %s) -- "+col.typ, col.value)
				for _, q := range queries {
					mustExec(t, tx, "SAVEPOINT test")
					query := q.query + " -- " + col.typ
					for range 3 {
						if got := fmt.Sprint(all(t, tx, query, q.args(col.value)...)); got != q.want {
							t.Errorf("%s: got %s, want %s", q.name, got, q.want)
						}
					}
					mustExec(t, tx, "ROLLBACK TO test")
					if col.typ != "date" {
						continue
					}
					var b psyco.Batch
					var got []string
					b.Queue(query+" batch", q.args(col.value)...).Each(func(row *sql.Rows) error {
						got = append(got, "")
						return row.Scan(&got[len(got)-1])
					})
					if err := b.Run(ctx, tx); err != nil || fmt.Sprint(got) != q.want {
						t.Errorf("%s in a batch: got %s, %v, want %s", q.name, got, err, q.want)
					}
					mustExec(t, tx, "ROLLBACK TO test")
					if n, err := psyco.ExecMany(ctx, tx, query+" many", psyco.SliceRows([][]any{q.args(col.value), q.args(col.value)})); err != nil || n == 0 {
						t.Errorf("%s with ExecMany: %d, %v", q.name, n, err)
					}
					mustExec(t, tx, "ROLLBACK TO test")
					stmt, err := tx.PrepareContext(ctx, query+" prepared")
					if err != nil {
						t.Fatal(err)
					}
					for range 2 {
						rows, err := stmt.QueryContext(ctx, q.args(col.value)...)
						if err != nil {
							t.Fatalf("%s, prepared: %v", q.name, err)
						}
						if got := fmt.Sprint(scanAll(t, rows)); got != q.want {
							t.Errorf("%s, prepared: got %s, want %s", q.name, got, q.want)
						}
					}
					mustExec(t, tx, "ROLLBACK TO test")
				}
			})
		}
		mustExec(t, db, "CREATE TABLE f (n int, d date); INSERT INTO f VALUES (1, '2024-02-29')")
		for _, q := range queries {
			for range 2 {
				if got := fmt.Sprint(all(t, db, q.query+" -- outside", q.args("2024-02-29")...)); got != q.want {
					t.Errorf("%s outside a transaction: got %s, want %s", q.name, got, q.want)
				}
				mustExec(t, db, "DELETE FROM f WHERE n > 10")
			}
		}
	})
}

// TestFloatsInMoney stores floats in a money column, as psycopg2 does: money takes numeric,
// but not float8.
func TestFloatsInMoney(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		if wrapped(t) {
			return // types are declared through the wire only
		}
		ctx := t.Context()
		mustExec(t, db, "CREATE TABLE m (m money, f float8, s text)")
		for _, tx := range []bool{false, true} {
			var h psyco.Handle = db
			if tx {
				h = mustBegin(t, db)
			}
			mustExec(t, h, "DELETE FROM m")
			for range 3 {
				mustExec(t, h, "INSERT INTO m VALUES (%s)", 10.5)
				mustExec(t, h, "INSERT INTO m (m, f, s) VALUES (%s, %s, %s)", float32(10.5), 0.1, "x")
				mustExec(t, h, "UPDATE m SET m = %(m)s, f = %(m)s WHERE f = %(f)s", map[string]any{"m": 10.5, "f": 0.1})
				mustExec(t, h, "INSERT INTO m VALUES (%s)", 10)
				mustExec(t, h, "INSERT INTO m VALUES (%s)", psyco.Numeric("10.5"))
			}
			if _, err := psyco.ExecMany(ctx, h, "INSERT INTO m VALUES (%s)", psyco.SliceRows([][]any{{10.5}, {10.5}})); err != nil {
				t.Error(err)
			}
			if _, err := psyco.ExecValues(ctx, h, "INSERT INTO m (m, f) VALUES %s", psyco.SliceRows([][]any{{10.5, 0.1}, {10.5, 0.1}}), nil); err != nil {
				t.Error(err)
			}
			var b psyco.Batch
			b.Queue("INSERT INTO m (m, f) VALUES (%s, %s)", 10.5, 0.1)
			b.Queue("INSERT INTO m (m, f) VALUES (%s, %s)", 10.5, 0.1)
			if err := b.Run(ctx, h); err != nil {
				t.Error(err)
			}
			got := all(t, h, "SELECT m::numeric, f, s, count(*) FROM m GROUP BY 1, 2, 3 ORDER BY 1, 2 NULLS LAST, 3")
			if want := []string{"10.00,<nil>,<nil>,3", "10.50,0.1,<nil>,4", "10.50,10.5,x,3", "10.50,<nil>,<nil>,8"}; !slices.Equal(got, want) {
				t.Errorf("in a transaction %t: got %q, want %q", tx, got, want)
			}
			if _, err := h.ExecContext(ctx, "INSERT INTO m (s, m) SELECT 'x', %s::date", 1.5); err == nil {
				t.Error("a float is a date")
			}
			if tx {
				if err := h.(*sql.Tx).Rollback(); err != nil {
					t.Error(err)
				}
			}
		}
		if _, err := db.Exec("UPDATE m SET s = 'x' WHERE %s", 1.5); code(err) != "42804" {
			t.Errorf("error %v", err)
		}
	})
}
