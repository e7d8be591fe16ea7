package psyco_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
)

// oneConn is a single connection of a fresh database.
func oneConn(t *testing.T, extra string) *sql.Conn {
	t.Helper()
	conn, err := open(t, pgserver.TestDSN(t)+" "+extra).Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestRoundTrips(t *testing.T) {
	conn := oneConn(t, "")
	mustExec(t, conn, "CREATE TABLE t (a int)")
	for _, query := range []string{"SELECT $1::int + 1", "SELECT %s + 1", "SELECT %s::text", "INSERT INTO t VALUES (%s)"} {
		var got []uint64
		for i := range 5 {
			got = append(got, roundTrips(t, conn, func() { mustExec(t, conn, query, i) }))
		}
		if want := []uint64{1, 1, 1, 1, 1}; !slices.Equal(got, want) {
			t.Errorf("%s: round trips %v, want %v", query, got, want)
		}
	}
	t.Run("texts used once", func(t *testing.T) {
		const n = 1000
		got := roundTrips(t, conn, func() {
			for i := range n {
				mustExec(t, conn, fmt.Sprintf("SELECT %d + %%s", i), 1)
			}
		})
		if got != n {
			t.Errorf("%d round trips, want %d", got, n)
		}
	})
	t.Run("texts that do not fit", func(t *testing.T) {
		small := oneConn(t, "statement_cache_capacity=8")
		got := roundTrips(t, small, func() {
			for range 4 {
				for i := range 20 {
					mustExec(t, small, fmt.Sprintf("SELECT %%s + %d", i), 1)
				}
			}
		})
		if got != 4*20 {
			t.Errorf("%d round trips, want %d", got, 4*20)
		}
		if left := all(t, small, "SELECT count(*) FROM pg_prepared_statements WHERE name ~ '^psyco_[0-9a-f]+_s?[1-9][0-9]*$'"); left[0] != "0" {
			t.Errorf("%s prepared statements", left[0])
		}
	})
	t.Run("threshold 1", func(t *testing.T) {
		eager := oneConn(t, "prepare_threshold=1")
		for i, want := range []uint64{1, 1, 1} {
			if got := roundTrips(t, eager, func() { mustExec(t, eager, "SELECT %s", 1) }); got != want {
				t.Errorf("use %d: %d round trips, want %d", i+1, got, want)
			}
		}
	})
	t.Run("off", func(t *testing.T) {
		off := oneConn(t, "statement_cache_capacity=0")
		for range 4 {
			if got := roundTrips(t, off, func() { mustExec(t, off, "SELECT %s", 1) }); got != 1 {
				t.Errorf("%d round trips, want 1", got)
			}
		}
		if s := stats(t, off); s.Prepared != 0 || s.CacheHits != 0 {
			t.Errorf("the cache is in use: %+v", s)
		}
	})
	t.Run("binary_parameters", func(t *testing.T) {
		c := oneConn(t, "binary_parameters=yes")
		for range 4 {
			if got := roundTrips(t, c, func() { mustExec(t, c, "SELECT %s", 1) }); got != 1 {
				t.Errorf("%d round trips, want 1", got)
			}
		}
	})
}

func TestStatsCountTheCache(t *testing.T) {
	conn := oneConn(t, "")
	for range 5 {
		mustExec(t, conn, "SELECT %s", 1)
	}
	if s := stats(t, conn); s.CacheMisses != 1 || s.Prepared != 1 || s.CacheHits != 3 {
		t.Errorf("%+v, want 1 miss, 1 prepared, 3 hits", s)
	}
}

// TestEvictedStatementsAreClosed checks that the server keeps no more
// statements than the cache.
func TestEvictedStatementsAreClosed(t *testing.T) {
	conn := oneConn(t, "statement_cache_capacity=4 prepare_threshold=1")
	for i := range 50 {
		mustExec(t, conn, fmt.Sprintf("SELECT %%s + %d", i), 1)
	}
	got := all(t, conn, "SELECT count(*) FROM pg_prepared_statements WHERE name ~ '^psyco_[0-9a-f]+_s?[1-9][0-9]*$'")
	if got[0] != "4" {
		t.Errorf("%s statements on the server, want 4", got[0])
	}
}

func TestCacheSurvivesSchemaChanges(t *testing.T) {
	warm := func(t *testing.T, h psyco.Handle, query string, want string) {
		t.Helper()
		for range 4 {
			if got := all(t, h, query, 1); !slices.Equal(got, []string{want}) {
				t.Fatalf("%s: got %q, want %q", query, got, want)
			}
		}
	}
	const query = "SELECT * FROM t WHERE a = %s"
	setup := "CREATE TABLE t (a int); INSERT INTO t VALUES (1)"
	for _, tt := range []struct{ name, change, want string }{
		{"ALTER TABLE ADD COLUMN", "ALTER TABLE t ADD COLUMN b text DEFAULT 'x'", "1,x"},
		{"ALTER TYPE", "ALTER TABLE t ALTER a TYPE text", "1"},
		{"DROP and CREATE", "DROP TABLE t; CREATE TABLE t (b text, a int); INSERT INTO t VALUES ('y', 1)", "y,1"},
		{"DISCARD ALL", "DISCARD ALL", "1"},
		{"DEALLOCATE ALL", "DEALLOCATE ALL", "1"},
		{"DISCARD inside a function", "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$", "1"},
		{"search_path", "CREATE SCHEMA other; CREATE TABLE other.t (a int, c int); INSERT INTO other.t VALUES (1, 9); SET search_path = other", "1,9"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			conn := oneConn(t, "")
			mustExec(t, conn, setup)
			warm(t, conn, "SELECT a FROM t WHERE a = %s", "1")
			warm(t, conn, query, "1")
			mustExec(t, conn, tt.change)
			if tt.name == "ALTER TYPE" { // the argument is an integer, the column is not
				if _, err := conn.ExecContext(context.Background(), query, 1); err == nil {
					t.Fatal("no error for text = integer")
				}
				return
			}
			warm(t, conn, query, tt.want)
			warm(t, conn, "SELECT a FROM t WHERE a = %s", "1")
		})
		t.Run(tt.name+" in a transaction", func(t *testing.T) {
			t.Parallel()
			conn := oneConn(t, "")
			mustExec(t, conn, setup)
			warm(t, conn, query, "1")
			mustExec(t, conn, tt.change)
			// The first use may fail: in a transaction nothing can be tried
			// again. The one after the rollback must not.
			tx, err := conn.BeginTx(context.Background(), nil)
			if err != nil {
				t.Fatal(err)
			}
			rows, err := tx.Query(query, 1)
			if err == nil {
				rows.Close()
			}
			tx.Rollback()
			if tt.name != "ALTER TYPE" {
				warm(t, conn, query, tt.want)
			}
		})
	}
}

// TestCacheInFailedTransactions evicts statements in a transaction that has
// failed: the server must still be told to close them.
func TestCacheInFailedTransactions(t *testing.T) {
	ctx := context.Background()
	conn := oneConn(t, "statement_cache_capacity=2 prepare_threshold=1")
	for i := range 20 {
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		mustExec(t, tx, fmt.Sprintf("SELECT %%s + %d", i), 1)
		tx.Exec("SELECT 1 / %s", 0)
		for j := range 4 {
			if _, err := tx.Exec(fmt.Sprintf("SELECT %%s + %d", 100*i+j), 1); err == nil || err.(*pq.Error).Code != "25P02" {
				t.Fatalf("got %v", err)
			}
		}
		tx.Rollback()
	}
	for i := range 4 {
		mustExec(t, conn, fmt.Sprintf("SELECT %%s + %d", i), 1)
	}
	if got := all(t, conn, "SELECT count(*) FROM pg_prepared_statements WHERE name ~ '^psyco_[0-9a-f]+_s?[1-9][0-9]*$'"); got[0] != "2" {
		t.Errorf("%s statements on the server, want 2", got[0])
	}
}

// TestCacheWithOpenRows prepares and evicts while rows of a cached statement
// are open.
func TestCacheWithOpenRows(t *testing.T) {
	ctx := context.Background()
	conn := oneConn(t, "statement_cache_capacity=1 prepare_threshold=1")
	for range 3 {
		rows, err := conn.QueryContext(ctx, "SELECT i FROM generate_series(1, %s) i", 5000)
		if err != nil {
			t.Fatal(err)
		}
		if !rows.Next() {
			t.Fatal(rows.Err())
		}
		mustExec(t, conn, "SELECT %s", "evicts the other")
		if got := scanAll(t, rows); len(got) != 4999 || got[4998] != "5000" {
			t.Fatalf("%d rows after another statement", len(got))
		}
		rows.Close()
	}
}

// TestCanceledPrepare ends the context while Parse waits for a lock.
func TestCanceledPrepare(t *testing.T) {
	dsn := pgserver.TestDSN(t)
	db, other := open(t, dsn+" prepare_threshold=1"), open(t, dsn)
	db.SetMaxOpenConns(1)
	mustExec(t, db, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
	lock, err := other.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Rollback()
	mustExec(t, lock, "LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
	ctx, cancel := context.WithCancel(context.Background())
	whenWaiting(t, other, "WHERE a =", cancel)
	if _, err := db.ExecContext(ctx, "SELECT * FROM t WHERE a = %s", 1); err == nil || !strings.Contains(err.Error(), "canceling") {
		t.Fatalf("got %v", err)
	}
	lock.Rollback()
	for range 3 {
		if got := all(t, db, "SELECT * FROM t WHERE a = %s", 1); !slices.Equal(got, []string{"1"}) {
			t.Fatalf("got %q", got)
		}
	}
}

// TestPlans asks the server how it planned a statement that was executed ten times.
func TestPlans(t *testing.T) {
	for _, tt := range []struct {
		name, extra string
		generic     bool
	}{
		{"the server's choice", "", true},
		{"planned each time", "options='-c plan_cache_mode=force_custom_plan'", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := oneConn(t, tt.extra)
			for i := range 10 {
				mustExec(t, conn, "SELECT 1 WHERE 1 = $1", i)
			}
			plans := all(t, conn, "SELECT generic_plans > 0, custom_plans > 0 FROM pg_prepared_statements WHERE statement LIKE 'SELECT 1 WHERE%'")
			if want := []string{fmt.Sprintf("%t,true", tt.generic)}; !slices.Equal(plans, want) {
				t.Errorf("generic, custom plans: %v, want %v", plans, want)
			}
		})
	}
}

// TestParseNotices has more to say about a text than the network holds, before the
// server reads a long argument: it must not be waited for with the argument unread.
func TestParseNotices(t *testing.T) {
	for _, extra := range []string{"", "binary_parameters=yes", "statement_cache_capacity=0"} {
		t.Run(extra, func(t *testing.T) {
			t.Parallel()
			parseNotices(t, oneConn(t, extra))
		})
	}
}

func parseNotices(t *testing.T, conn *sql.Conn) {
	var b strings.Builder
	b.WriteString("SELECT length($1::text)")
	for i := range 1600 {
		fmt.Fprintf(&b, ", 1 AS %s%d", strings.Repeat("n", 64), i)
	}
	tx := mustBegin(t, conn)
	for _, h := range []psyco.Handle{tx, conn} { // with and without something in front
		row := all(t, h, b.String(), strings.Repeat("x", 8<<20))
		if want := fmt.Sprint(8 << 20); len(row) != 1 || !strings.HasPrefix(row[0], want+",") {
			t.Errorf("got %.40q", row)
		}
		if h == tx {
			tx.Rollback()
		}
	}
	// What the server refuses after all that comes back too.
	if _, err := conn.ExecContext(t.Context(), b.String()+", nosuch", strings.Repeat("x", 8<<20)); code(err) != "42703" {
		t.Errorf("got %v", err)
	}
	mustExec(t, conn, "SELECT $1::int", 1)
}

// TestTooManyParameters has one more argument than the protocol can count: an error, and
// the connection goes on.
func TestTooManyParameters(t *testing.T) {
	args := make([]any, 65536)
	var native strings.Builder
	for i := range args {
		args[i] = 1
		fmt.Fprintf(&native, ", $%d::int", i+1)
	}
	query := "SELECT 1 IN (0" + native.String() + ")"
	for _, extra := range []string{"", "binary_parameters=yes", "statement_cache_capacity=0"} {
		t.Run(extra, func(t *testing.T) {
			t.Parallel()
			conn := oneConn(t, extra)
			for range 2 {
				if _, err := conn.ExecContext(t.Context(), query, args...); err == nil || !strings.Contains(err.Error(), "65536 parameters but PostgreSQL only supports 65535") {
					t.Errorf("got %v", err)
				}
				mustExec(t, conn, "SELECT $1::int", 1)
			}
		})
	}
}

// TestClosedStatementsAreLetGo prepares and closes: nothing may stay on the server.
func TestClosedStatementsAreLetGo(t *testing.T) {
	const left = "SELECT count(*), max(name) FROM pg_prepared_statements"
	for _, tt := range []struct {
		extra, query string
		waiting      int // at most, before anything else is sent
	}{
		{"", "SELECT $1::int + %d", 8},
		{"", "SELECT %%s + %d", 8},
		{"statement_cache_capacity=0", "SELECT $1::int + %d", 0},
		{"statement_cache_capacity=0", "SELECT %%s + %d", 0},
		{"binary_parameters=yes", "SELECT $1::int + %d", 0},
		{"binary_parameters=yes", "SELECT %%s + %d", 0},
	} {
		t.Run(tt.query+" "+tt.extra, func(t *testing.T) {
			t.Parallel()
			conn := oneConn(t, tt.extra)
			for i := range 500 {
				stmt, err := conn.PrepareContext(t.Context(), fmt.Sprintf(tt.query, i))
				if err != nil {
					t.Fatal(err)
				}
				if i%10 == 0 {
					if _, err := stmt.Exec(1); err != nil {
						t.Fatal(err)
					}
				}
				if err := stmt.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if n := psyco.Closing(t, conn); n > tt.waiting {
				t.Errorf("%d statements wait to be closed, want %d at most", n, tt.waiting)
			}
			if got := all(t, conn, left); !slices.Equal(got, []string{"0,<nil>"}) {
				t.Errorf("left on the server: %v", got)
			}
			// Neither does what rides along in front of statements leave a name.
			tx := mustBegin(t, conn)
			mustExec(t, tx, "SELECT $1::int + 1", 1)
			err := psyco.Savepoint(t.Context(), tx, func(tx *sql.Tx) error {
				return second(tx.Exec("SELECT $1::int + 2", 2))
			})
			if err != nil {
				t.Fatal(err)
			}
			tx.Exec("SELECT 1 / $1::int", 0)
			tx.Rollback()
			if got := all(t, conn, left); !slices.Equal(got, []string{"0,<nil>"}) {
				t.Errorf("left on the server after a transaction: %v", got)
			}
		})
	}
}
