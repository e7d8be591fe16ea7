package psyco

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testsize"
)

// TestFirstUse counts the round trips of texts that are used for the first time, and
// compares what they give with lib/pq, which needs two.
func TestFirstUse(t *testing.T) {
	for _, tt := range []struct {
		name  string
		query string
		arg   any
		trips uint64
	}{
		{"an integer", "SELECT $1::int", 7, 1},
		{"an integer for bytea", "SELECT $1::bytea", 7, 1},
		{"NULL", "SELECT $1::bytea", nil, 1},
		{"text", "SELECT $1::text", "abc'\"", 1},
		{"text beyond ASCII", "SELECT $1::text", "déjà vu", 1},
		{"text for bytea", "SELECT $1::bytea", "déjà vu", 1},
		{"a backslash", "SELECT $1::text", `a\b`, 2},
		{"a backslash for bytea", "SELECT $1::bytea", `\x41`, 2},
		{"a NUL for bytea", "SELECT $1::bytea", "a\x00b", 2},
		{"a NUL for text", "SELECT $1::text", "a\x00b", 2},
		{"broken UTF-8 for bytea", "SELECT $1::bytea", "\xc3", 2},
		{"broken UTF-8 for text", "SELECT $1::text", "\xc3", 2},
		{"bytes for json", "SELECT $1::json", []byte(`{"a": 1}`), 1},
		{"bytes for bytea", "SELECT $1::bytea", []byte("abc"), 1},
		{"any bytes for bytea", "SELECT $1::bytea", []byte{0, 255, '\\'}, 2},
		{"an array", "SELECT $1::text[]", pq.Array([]string{"a", "b c"}), 1},
		{"an array with a backslash", "SELECT $1::text[]", pq.Array([]string{`a"b`}), 2},
		{"many columns", "SELECT " + strings.Repeat("NULL, ", 1000) + "$1::int", 1, 1},
		{"many rows", "SELECT i FROM generate_series(1, $1::int) i", 100_000, 0},
		{"a syntax error", "SELECT $1::int FROM", 1, 1},
		{"an error of Bind", "SELECT $1::int", "x", 1},
		{"an error of Execute", "SELECT 1 / $1::int", 0, 1},
		{"an error after rows", "SELECT 10 / (3 - i) FROM generate_series(1, $1::int) i", 5, 1},
		{"no type to infer", "SELECT $1 IS NULL", "x", 1},
		{"a statement that takes no parameters", "CREATE TABLE t (a int DEFAULT $1)", 1, 1},
		{"too many arguments", "SELECT 1", 1, 1},
		{"too few arguments", "SELECT $1::int, $2::int", 1, 1},
		{"several statements", "SELECT $1::int; SELECT 2", 1, 1},
		{"a NUL", "SELECT $1::int --\x00", 1, 0},
	} {
		for _, way := range []string{preparedWay, unpreparedWay} {
			t.Run(tt.name+"/"+way, func(t *testing.T) {
				t.Parallel()
				ours, theirs := openBoth(t, way)
				show := func(c *sql.Conn) (s shown, detail string) {
					s = showRows(t, func(ctx context.Context, args ...any) (*sql.Rows, error) {
						rows, err := c.QueryContext(ctx, tt.query, args...)
						if pe := pq.As(err); pe != nil {
							detail = pe.ErrorWithDetail()
						}
						return rows, err
					}, tt.arg)
					return s, detail
				}
				var got, want shown
				var detail, wantDetail string
				trips := roundTrips(t, ours, func() { got, detail = show(ours) })
				want, wantDetail = show(theirs)
				if !reflect.DeepEqual(got, want) || detail != wantDetail {
					t.Errorf("got %+v %s\nwant %+v %s", got, detail, want, wantDetail)
				}
				if tt.trips > 0 && trips != tt.trips {
					t.Errorf("%d round trips, want %d", trips, tt.trips)
				}
				var n int
				if err := ours.QueryRowContext(t.Context(), "SELECT $1::int", 1).Scan(&n); err != nil || n != 1 {
					t.Errorf("afterwards %d, %v", n, err)
				}
			})
		}
	}
}

// TestFirstUseInTransaction has statements without parameters and such that fail
// in a transaction, and counts.
func TestFirstUseInTransaction(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		ours, _ := openBoth(t, way)
		trips := roundTrips(t, ours, func() {
			tx, err := ours.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				var n int
				if err := tx.QueryRow(fmt.Sprintf("SELECT $1::int + %d", i), 1).Scan(&n); err != nil || n != i+1 {
					t.Errorf("got %d, %v", n, err)
				}
			}
			if err := tx.Commit(); err != nil {
				t.Error(err)
			}
		})
		if trips != 4 {
			t.Errorf("%d round trips, want 4", trips)
		}
		// What lib/pq finds out by itself does not fail the transaction.
		tx, err := ours.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, query := range []string{"SELECT $1::int, $2::int", "CREATE TABLE t (a int DEFAULT $1)"} {
			if _, err := tx.Exec(query, 1); err == nil || !strings.Contains(err.Error(), "got 1 parameters but") {
				t.Errorf("%s: %v", query, err)
			}
		}
		if _, err := tx.Exec("SELECT 1 / $1::int", 0); err == nil {
			t.Error("no error")
		}
		if _, err := tx.Exec("SELECT $1::int", 0); pq.As(err, pqerror.InFailedSQLTransaction) == nil {
			t.Errorf("in a failed transaction: %v", err)
		}
		if err := tx.Commit(); err != pq.ErrInFailedTransaction {
			t.Errorf("Commit: %v", err)
		}
	})
}

// TestOtherServerEncoding writes text to a bytea in a database whose encoding is not
// that of the connection.
func TestOtherServerEncoding(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		dsn := pgserver.TestDSN(t)
		admin := openConn(t, "psyco", dsn)
		var name string
		if err := admin.QueryRowContext(t.Context(), "SELECT current_database() || '_latin1'").Scan(&name); err != nil {
			t.Fatal(err)
		}
		if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name+" ENCODING LATIN1 LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"); err != nil {
			t.Fatal(err)
		}
		defer admin.ExecContext(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)")
		c := openConn(t, "psyco", dsn+" dbname="+name+" "+way)
		for range 3 {
			for _, x := range []string{"abc", "é"} {
				var b []byte
				if err := c.QueryRowContext(t.Context(), "SELECT $1::bytea", x).Scan(&b); err != nil || string(b) != x {
					t.Errorf("%q became %q, %v", x, b, err)
				}
				var s string
				if err := c.QueryRowContext(t.Context(), "SELECT $1::text", x).Scan(&s); err != nil || s != x {
					t.Errorf("%q became %q, %v", x, s, err)
				}
			}
		}
	})
}

// TestLongRequest sends as many parameters as the protocol allows: neither side may
// wait for the other to read.
func TestLongRequest(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		ours, _ := openBoth(t, way)
		const n = 65535
		args := make([]any, n)
		var native, psycopg strings.Builder
		for i := range args {
			args[i] = i
			fmt.Fprintf(&native, ", $%d", i+1)
			psycopg.WriteString(", %s")
		}
		for _, list := range []string{native.String(), psycopg.String()} {
			text := "SELECT 65534 IN (-1" + list + ")"
			for range testsize.Cases(1, 3) {
				var found bool
				if err := ours.QueryRowContext(t.Context(), text, args...).Scan(&found); err != nil || !found {
					t.Errorf("got %v, %v", found, err)
				}
				if _, err := ours.ExecContext(t.Context(), text, args...); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// TestOtherClientEncoding tells the server another encoding than UTF8.
func TestOtherClientEncoding(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		ours, theirs := openBoth(t, way)
		for _, c := range []*sql.Conn{ours, theirs} {
			if _, err := c.ExecContext(t.Context(), "SELECT set_config('client_encoding', 'LATIN1', false)"); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				for _, arg := range []any{"é", []byte("é")} {
					var hex string
					err := c.QueryRowContext(t.Context(), "SELECT encode($1::bytea, 'hex')", arg).Scan(&hex)
					if err != nil || hex != "c3a9" {
						t.Errorf("%v became %s, %v", arg, hex, err)
					}
				}
			}
		}
	})
}

// TestOutdatedInFunction has a procedure commit and then raise what the server says
// of a statement that is gone, or outdated: it must not run again.
func TestOutdatedInFunction(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		ours, _ := openBoth(t, way)
		if _, err := ours.ExecContext(t.Context(), `CREATE TABLE t (a int);
			CREATE PROCEDURE p(i int, code text) LANGUAGE plpgsql AS $$ BEGIN
				INSERT INTO t VALUES (i); COMMIT;
				IF i > 2 THEN RAISE 'oh' USING ERRCODE = code; END IF;
			END $$`); err != nil {
			t.Fatal(err)
		}
		calls := 0
		for _, code := range []string{"26000", "0A000", "42P18", "42804"} {
			for i := range 5 {
				calls++
				_, err := ours.ExecContext(t.Context(), "CALL p($1, $2)", i, code)
				if pe := pq.As(err); i > 2 && (pe == nil || string(pe.Code) != code) || i <= 2 && err != nil {
					t.Errorf("%s, call %d: %v", code, i, err)
				}
			}
		}
		var n int
		if err := ours.QueryRowContext(t.Context(), "SELECT count(*) FROM t").Scan(&n); err != nil || n != calls {
			t.Errorf("%d calls, %v, want %d", n, err, calls)
		}
	})
}

// TestPreparedErrors compares the errors of statements that the program prepared.
func TestPreparedErrors(t *testing.T) {
	ours, theirs := openBoth(t, "")
	var got []string
	for _, c := range []*sql.Conn{ours, theirs} {
		if _, err := c.ExecContext(t.Context(), "CREATE TEMP TABLE d (a int UNIQUE, b int); INSERT INTO d VALUES (1)"); err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, query := range []string{"SELECT a, b FROM d WHERE a = $1", "INSERT INTO d (a) VALUES ($1)", "SELECT 1 / ($1::int - 1), b FROM d"} {
			stmt, err := c.PrepareContext(t.Context(), query)
			if err != nil {
				t.Fatal(err)
			}
			defer stmt.Close()
			tell := func() {
				rows, err := stmt.QueryContext(t.Context(), 1)
				if err == nil {
					for rows.Next() {
					}
					err = rows.Err()
				}
				all = append(all, fmt.Sprint(err))
				if pe := pq.As(err); pe != nil {
					all = append(all, pe.ErrorWithDetail())
				}
			}
			tell()
			c.ExecContext(t.Context(), "ALTER TABLE d RENAME b TO x")
			tell()
			c.ExecContext(t.Context(), "ALTER TABLE d RENAME x TO b")
		}
		got = append(got, strings.Join(all, "\n"))
	}
	if got[0] != got[1] {
		t.Errorf("got\n%s\nwant\n%s", got[0], got[1])
	}
}

// TestSuspectedPooler takes the server for one behind a pooler: a transaction must
// not depend on statements that were prepared before it.
func TestSuspectedPooler(t *testing.T) {
	ours, _ := openBoth(t, preparedWay)
	hits := func(suspect bool) (n uint64) {
		if err := WithConn(t.Context(), ours, func(c *Conn) error {
			c.c.con.dialer.suspect.Store(suspect)
			n = c.Stats().CacheHits
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	const query = "SELECT $1::int"
	for _, suspect := range []bool{false, true} {
		before := hits(suspect)
		for range 2 {
			if _, err := ours.ExecContext(t.Context(), query, 1); err != nil {
				t.Fatal(err)
			}
		}
		outside := hits(suspect)
		tx, err := ours.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(query, 1); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if outside == before {
			t.Errorf("suspected %v: the statement is not in the cache", suspect)
		}
		if used := hits(suspect) != outside; used == suspect {
			t.Errorf("suspected %v: the transaction used the prepared statement: %v", suspect, used)
		}
	}
}
