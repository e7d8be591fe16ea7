package values_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testsize"
)

// insertWays are the ways to insert one value that keep something prepared. Each
// returns a function that keeps its statement, if it has one.
var insertWays = []struct {
	name  string
	start func(t *testing.T, conn *sql.Conn) func(h psyco.Handle, value any) error
}{
	{"native", func(*testing.T, *sql.Conn) func(psyco.Handle, any) error {
		return func(h psyco.Handle, value any) error {
			return second(h.ExecContext(context.Background(), "INSERT INTO t VALUES ($1)", value))
		}
	}},
	{"psycopg", func(*testing.T, *sql.Conn) func(psyco.Handle, any) error {
		return func(h psyco.Handle, value any) error {
			return second(h.ExecContext(context.Background(), "INSERT INTO t VALUES (%s)", value))
		}
	}},
	{"native, prepared", func(t *testing.T, conn *sql.Conn) func(psyco.Handle, any) error {
		return insertPrepared(t, conn, "INSERT INTO t VALUES ($1)")
	}},
	{"psycopg, prepared", func(t *testing.T, conn *sql.Conn) func(psyco.Handle, any) error {
		return insertPrepared(t, conn, "INSERT INTO t VALUES (%s)")
	}},
	{"Batch", func(*testing.T, *sql.Conn) func(psyco.Handle, any) error {
		return func(h psyco.Handle, value any) error {
			var b psyco.Batch
			b.Queue("INSERT INTO t VALUES ($1)", value)
			return b.Run(context.Background(), h)
		}
	}},
	{"ExecMany", func(*testing.T, *sql.Conn) func(psyco.Handle, any) error {
		return func(h psyco.Handle, value any) error {
			return second(psyco.ExecMany(context.Background(), h, "INSERT INTO t VALUES (%s)", psyco.SliceRows([][]any{{value}})))
		}
	}},
	{"ExecValues", func(*testing.T, *sql.Conn) func(psyco.Handle, any) error {
		return func(h psyco.Handle, value any) error {
			return second(psyco.ExecValues(context.Background(), h, "INSERT INTO t VALUES %s", psyco.SliceRows([][]any{{value}}), nil))
		}
	}},
}

func insertPrepared(t *testing.T, conn *sql.Conn, query string) func(psyco.Handle, any) error {
	stmt, err := conn.PrepareContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stmt.Close() })
	return func(h psyco.Handle, value any) error {
		if tx, ok := h.(*sql.Tx); ok {
			return second(tx.Stmt(stmt).Exec(value))
		}
		return second(stmt.Exec(value))
	}
}

// TestStatementsFollowTheSchema inserts values until a statement is prepared, changes
// what the column is, and inserts again: the value must be stored as if the
// statement were new.
func TestStatementsFollowTheSchema(t *testing.T) {
	const (
		intTable  = "CREATE TABLE t (a int)"
		textTable = "CREATE TABLE t (a text)"
		schemas   = "CREATE TABLE t (a int); CREATE SCHEMA other; CREATE TABLE other.t (a text)"
	)
	for n, tt := range []struct {
		name, setup string
		change      []string // each by itself; a leading @ has another session do it, ! in between inserts
		warm, value string
		want        string
	}{
		{"DROP and CREATE", intTable, []string{"DROP TABLE t", textTable}, "7", "007", "007"},
		{"DROP and CREATE, one text", intTable, []string{"DROP TABLE t;" + textTable}, "7", "A12", "A12"},
		{"ALTER", intTable, []string{"ALTER TABLE t ALTER a TYPE text"}, "7", "007", "007"},
		{"DO", intTable, []string{"DO $$ BEGIN ALTER TABLE t ALTER a TYPE text; END $$"}, "7", "007", "007"},
		{"a function", intTable + "; CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS 'BEGIN ALTER TABLE t ALTER a TYPE text; END'", []string{"SELECT f()"}, "7", "A12", "A12"},
		{"ROLLBACK", intTable, []string{"BEGIN", "ALTER TABLE t ALTER a TYPE text", "!", "ROLLBACK"}, "7", "7", "7"},
		{"ROLLBACK TO", intTable, []string{"BEGIN", "SAVEPOINT s", "ALTER TABLE t ALTER a TYPE text", "!", "ROLLBACK TO s", "COMMIT"}, "7", "7", "7"},
		{"ON COMMIT DROP", intTable, []string{"BEGIN", "CREATE TEMP TABLE t (a text) ON COMMIT DROP", "!", "COMMIT"}, "7", "7", "7"},
		{"timestamptz", "CREATE TABLE t (a timestamp)", []string{"DROP TABLE t", "CREATE TABLE t (a timestamptz)"},
			"2024-01-01 00:00:00", "2024-01-01 12:00:00+05", "2024-01-01 07:00:00+00"},
		{"bigint", intTable, []string{"ALTER TABLE t ALTER a TYPE bigint"}, "7", "3000000000", "3000000000"},
		{"enum", "CREATE TYPE e AS ENUM ('x'); CREATE TABLE t (a e)", []string{"DROP TABLE t; DROP TYPE e; CREATE TYPE e AS ENUM ('x'); CREATE TABLE t (a e)"}, "x", "x", "x"},
		{"SET search_path", schemas, []string{"SET search_path = other"}, "7", "007", "007"},
		{"SET SCHEMA", schemas, []string{"set schema 'other'"}, "7", "007", "007"},
		{"set_config", schemas, []string{"SELECT set_config('search_path', 'other', false)"}, "7", "007", "007"},
		{"RESET", schemas + "; SET search_path = other", []string{"RESET search_path"}, "x", "7", "7"},
		{"RESET ALL", schemas + "; SET search_path = other", []string{"RESET ALL"}, "x", "7", "7"},
		{"SET LOCAL", schemas, []string{"BEGIN", "SET LOCAL search_path = other", "!", "COMMIT"}, "7", "7", "7"},
		{"SET, undone", schemas, []string{"BEGIN", "SET search_path = other", "!", "ROLLBACK"}, "7", "7", "7"},
		{"CREATE TABLE AS", intTable, []string{"CREATE TEMP TABLE t AS SELECT 'x'::text AS a"}, "7", "007", "007"},
		{"SELECT INTO", intTable, []string{"SELECT 'x'::text AS a INTO TEMP t"}, "7", "007", "007"},
		{"DISCARD TEMP", intTable + "; CREATE TEMP TABLE t (a text)", []string{"DISCARD TEMP"}, "x", "7", "7"},
		{"DISCARD ALL", schemas + "; SET search_path = other", []string{"DISCARD ALL"}, "x", "7", "7"},
		{"DEALLOCATE ALL", intTable, []string{"DEALLOCATE ALL"}, "7", "8", "8"},
		{"of another session", intTable, []string{"@ALTER TABLE t ALTER a TYPE text"}, "7", "A12", "A12"},
		{"bigint of another session", intTable, []string{"@ALTER TABLE t ALTER a TYPE bigint"}, "7", "3000000000", "3000000000"},
		{"enum of another session", "CREATE TYPE e AS ENUM ('x'); CREATE TABLE t (a e)",
			[]string{"@DROP TABLE t; DROP TYPE e; CREATE TYPE e AS ENUM ('x'); CREATE TABLE t (a e)"}, "x", "x", "x"},
	} {
		for m, mode := range []string{"prepare_threshold=1", "statement_cache_capacity=0", "binary_parameters=yes"} {
			for i := range testsize.Some(1, len(insertWays)) { // others for the next row and mode
				way := insertWays[(n+m+i)%len(insertWays)]
				t.Run(tt.name+"/"+mode+"/"+way.name, func(t *testing.T) {
					t.Parallel()
					dsn := pgserver.TestDSN(t)
					admin := open(t, dsn)
					conn := mustConn(t, open(t, dsn+" timezone=UTC "+mode))
					mustExec(t, conn, tt.setup)
					insert := way.start(t, conn)
					for range 3 {
						if err := insert(conn, tt.warm); err != nil {
							t.Fatal(err)
						}
					}
					for _, sql := range tt.change {
						switch {
						case sql == "!":
							for range 3 {
								if err := insert(conn, "x"); err != nil {
									t.Fatalf("in between: %v", err)
								}
							}
						case sql[0] == '@':
							mustExec(t, admin, sql[1:])
						default:
							mustExec(t, conn, sql)
						}
					}
					mustExec(t, conn, "DELETE FROM t")
					if err := insert(conn, tt.value); err != nil {
						t.Fatal(err)
					}
					if got := all(t, conn, "SELECT a::text FROM t"); !slices.Equal(got, []string{tt.want}) {
						t.Errorf("%q became %q, want %q", tt.value, got, tt.want)
					}
				})
			}
		}
	}
}

// TestStatementsOfATransactionFollowTheSchema is about what cannot be tried again once
// it has failed: no statement may fail in a transaction for an ALTER of its own, nor as its
// first one for that of another session.
func TestStatementsOfATransactionFollowTheSchema(t *testing.T) {
	ctx := context.Background()
	for _, query := range []string{"SELECT * FROM t WHERE a = $1", "SELECT * FROM t WHERE a = %s"} {
		for _, prepared := range []bool{false, true} {
			for _, where := range []string{"own", "first", "first with options", "savepoint"} {
				t.Run(fmt.Sprint(query, "/", where, "/prepared ", prepared), func(t *testing.T) {
					t.Parallel()
					dsn := pgserver.TestDSN(t)
					admin := open(t, dsn)
					mustExec(t, admin, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
					conn := mustConn(t, open(t, dsn))
					stmt, err := conn.PrepareContext(ctx, query)
					if err != nil {
						t.Fatal(err)
					}
					defer stmt.Close()
					ask := func(tx *sql.Tx) []string {
						if !prepared {
							return all(t, tx, query, 1)
						}
						rows, err := tx.Stmt(stmt).Query(1)
						if err != nil {
							t.Fatal(err)
						}
						defer rows.Close()
						return scanAll(t, rows)
					}
					for range 3 {
						tx := mustBegin(t, conn)
						ask(tx)
						if err := tx.Commit(); err != nil {
							t.Fatal(err)
						}
					}
					const alter = "ALTER TABLE t ADD b text DEFAULT 'x'"
					if strings.HasPrefix(where, "first") {
						mustExec(t, admin, alter)
					}
					opts := &psyco.TxOptions{}
					if where == "first with options" {
						opts.Isolation, opts.Deferrable = sql.LevelSerializable, true
					}
					tx, err := psyco.BeginTx(ctx, conn, opts)
					if err != nil {
						t.Fatal(err)
					}
					defer tx.Rollback()
					switch where {
					case "own":
						ask(tx)
						mustExec(t, tx, alter)
					case "savepoint":
						mustExec(t, tx, "INSERT INTO t VALUES (2)")
						mustExec(t, admin, "CREATE TABLE u (a int, b text); INSERT INTO u VALUES (1, 'x')")
						err := psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
							mustExec(t, tx, "ALTER TABLE t RENAME TO old; ALTER TABLE u RENAME TO t")
							if got := ask(tx); !slices.Equal(got, []string{"1,x"}) {
								t.Errorf("got %q", got)
							}
							return psyco.Rollback("")
						})
						if err != nil {
							t.Fatal(err)
						}
						if got := ask(tx); !slices.Equal(got, []string{"1"}) {
							t.Errorf("after the rollback: %q", got)
						}
						mustExec(t, tx, alter)
					}
					for range 2 {
						if got := ask(tx); !slices.Equal(got, []string{"1,x"}) {
							t.Errorf("got %q", got)
						}
					}
					if where == "first with options" {
						if got := all(t, tx, "SELECT current_setting('transaction_isolation'), current_setting('transaction_deferrable')"); !slices.Equal(got, []string{"serializable,on"}) {
							t.Errorf("the transaction is %q", got)
						}
					}
					if err := tx.Commit(); err != nil {
						t.Fatal(err)
					}
				})
			}
		}
	}
}

// TestBatchFollowsItsOwnDefinitions changes a column between two statements of one batch.
func TestBatchFollowsItsOwnDefinitions(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		conn := mustConn(t, db)
		mustExec(t, conn, "CREATE TABLE t (a int); CREATE SCHEMA other; CREATE TABLE other.t (a text)")
		for _, change := range []string{"ALTER TABLE t ALTER a TYPE text", "SET LOCAL search_path = other"} {
			for range 3 {
				var b psyco.Batch
				b.Queue("INSERT INTO t VALUES ($1)", "7")
				if err := b.Run(t.Context(), conn); err != nil {
					t.Fatal(err)
				}
			}
			tx := mustBegin(t, conn)
			var b psyco.Batch
			b.Queue("INSERT INTO t VALUES ($1)", "7")
			b.Queue(change)
			b.Queue("INSERT INTO t VALUES ($1)", "007")
			if err := b.Run(t.Context(), tx); err != nil {
				t.Fatal(err)
			}
			if got := all(t, tx, "SELECT a FROM t WHERE a::text LIKE '00%'"); !slices.Equal(got, []string{"007"}) {
				t.Errorf("%s: got %q", change, got)
			}
			tx.Rollback()
		}
	})
}

// TestOtherSettingsKeepStatements sets what does not change names: what was
// prepared stays.
func TestOtherSettingsKeepStatements(t *testing.T) {
	conn := mustConn(t, open(t, pgserver.TestDSN(t)+" prepare_threshold=1"))
	mustExec(t, conn, "CREATE TABLE t (a int)")
	mustExec(t, conn, "SELECT $1::int", 1)
	for _, sql := range []string{
		"SET statement_timeout = 0", "SET LOCAL lock_timeout = 0", "RESET statement_timeout", "BEGIN; COMMIT",
		"INSERT INTO t VALUES (1)", "WITH x AS (INSERT INTO t VALUES (2) RETURNING a) SELECT * FROM x", "TRUNCATE t", "LISTEN x",
	} {
		mustExec(t, conn, sql)
		mustExec(t, conn, "SELECT $1::int", 1)
	}
	if s := stats(t, conn); s.Prepared != 1 {
		t.Errorf("%+v, want 1 prepared", s)
	}
}

// TestPipelinesOfATransactionFollowTheSchema has a pipeline as the first statements of a
// transaction, after another session has changed the column.
func TestPipelinesOfATransactionFollowTheSchema(t *testing.T) {
	for _, way := range insertWays {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			dsn := pgserver.TestDSN(t)
			admin := open(t, dsn)
			mustExec(t, admin, "CREATE TABLE t (a int)")
			conn := mustConn(t, open(t, dsn))
			insert := way.start(t, conn)
			for range 3 {
				if err := insert(conn, "7"); err != nil {
					t.Fatal(err)
				}
			}
			mustExec(t, admin, "ALTER TABLE t ALTER a TYPE bigint; DELETE FROM t")
			tx := mustBegin(t, conn)
			if err := insert(tx, "3000000000"); err != nil {
				t.Fatal(err)
			}
			if err := insert(tx, "8"); err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			// A value that does not fit in either way is an error, and nothing is done twice.
			if err := insert(conn, "x"); code(err) != "22P02" {
				t.Errorf("got %v", err)
			}
			if got := all(t, admin, "SELECT string_agg(a::text, ' ' ORDER BY a) FROM t"); !slices.Equal(got, []string{"8 3000000000"}) {
				t.Errorf("got %q", got)
			}
		})
	}
}

// TestRunsOnceAfterAnError counts the calls of a function that fails in every way a
// statement can fail after it has begun: it must not be called again for it.
func TestRunsOnceAfterAnError(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		conn := mustConn(t, db)
		mustExec(t, conn, `CREATE SEQUENCE calls; CREATE FUNCTION f(code text) RETURNS int LANGUAGE plpgsql AS
			$$ BEGIN PERFORM nextval('calls'); IF code <> '' THEN RAISE EXCEPTION USING errcode = code; END IF; RETURN 1; END $$`)
		calls := 0
		for range 3 {
			mustExec(t, conn, "SELECT f($1)", "")
			calls++
		}
		for _, state := range []string{"22P02", "22003", "42804", "42883", "XX000", "0A000", "26000", "3F000"} {
			for range 2 {
				if _, err := conn.ExecContext(t.Context(), "SELECT f($1)", state); code(err) != state {
					t.Errorf("got %v, want %s", err, state)
				}
				calls++
				var b psyco.Batch
				b.Queue("SELECT f($1)", state)
				if err := b.Run(t.Context(), conn); code(err) != state {
					t.Errorf("got %v, want %s", err, state)
				}
				calls++
			}
		}
		if got := all(t, conn, "SELECT last_value FROM calls"); !slices.Equal(got, []string{fmt.Sprint(calls)}) {
			t.Errorf("%v calls, want %d", got, calls)
		}
	})
}

// TestInferredTypesFollowTheSchema replaces a function by one whose argument's type the
// server can infer, and the other way round. What a connector remembers of its
// queries must not outlive that.
func TestInferredTypesFollowTheSchema(t *testing.T) {
	const (
		poly   = "CREATE FUNCTION g(anyelement) RETURNS text LANGUAGE sql AS $$ SELECT 'any' $$"
		single = "CREATE FUNCTION g(int) RETURNS text LANGUAGE sql AS $$ SELECT 'int' $$"
	)
	for _, tt := range []struct{ name, before, drop, after, was, want string }{
		{"to a type", poly, "DROP FUNCTION g(anyelement)", single, "any", "int"},
		{"from a type", single, "DROP FUNCTION g(int)", poly, "int", "any"},
	} {
		for _, mode := range []string{"", "prepare_threshold=1", "statement_cache_capacity=0", "binary_parameters=yes"} {
			t.Run(tt.name+"/"+mode, func(t *testing.T) {
				t.Parallel()
				dsn := pgserver.TestDSN(t)
				admin := open(t, dsn)
				mustExec(t, admin, tt.before)
				db := open(t, dsn+" "+mode)
				const query = "SELECT g(%s)"
				conns := []*sql.Conn{mustConn(t, db), mustConn(t, db)}
				for range 2 {
					for _, c := range conns {
						if got := all(t, c, query, "7"); !slices.Equal(got, []string{tt.was}) {
							t.Fatalf("before: got %q", got)
						}
					}
				}
				mustExec(t, admin, tt.drop)
				mustExec(t, admin, tt.after)
				for range 2 {
					for _, c := range append(conns, mustConn(t, db)) {
						if got := all(t, c, query, "7"); !slices.Equal(got, []string{tt.want}) {
							t.Errorf("got %q, want %q", got, tt.want)
						}
					}
				}
			})
		}
	}
}
