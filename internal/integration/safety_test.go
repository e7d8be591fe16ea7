package integration_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/faultproxy"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testsize"
)

// writes are the ways to insert a row into t.
var writes = []struct {
	name  string
	write func(db *sql.DB, key int) error
}{
	{"native", func(db *sql.DB, key int) error {
		_, err := db.Exec("INSERT INTO t VALUES ($1)", key)
		return err
	}},
	{"psycopg", func(db *sql.DB, key int) error {
		_, err := db.Exec("INSERT INTO t VALUES (%s)", key)
		return err
	}},
	{"simple", func(db *sql.DB, key int) error {
		_, err := db.Exec("INSERT INTO t VALUES (" + strconv.Itoa(key) + ")")
		return err
	}},
	{"RETURNING", func(db *sql.DB, key int) error {
		return db.QueryRow("INSERT INTO t VALUES (%s) RETURNING k", key).Scan(new(int))
	}},
	{"warm", func(db *sql.DB, key int) error {
		for i := range 5 { // the last two without lib/pq
			if _, err := db.Exec("INSERT INTO t SELECT $1::int WHERE $2", key, i == 4); err != nil {
				return err
			}
		}
		return nil
	}},
	{"warm RETURNING", func(db *sql.DB, key int) error {
		for i := range 5 {
			err := db.QueryRow("INSERT INTO t SELECT %s WHERE %s RETURNING k", key, i == 4).Scan(new(int))
			if err != nil && (i == 4 || err != sql.ErrNoRows) {
				return err
			}
		}
		return nil
	}},
	{"warm in a transaction", func(db *sql.DB, key int) error {
		return psyco.InTx(context.Background(), db, nil, func(tx *sql.Tx) error {
			for i := range 5 {
				if _, err := tx.Exec("INSERT INTO t SELECT %s WHERE %s", key, i == 4); err != nil {
					return err
				}
			}
			return nil
		})
	}},
	{"transaction", func(db *sql.DB, key int) error {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if _, err := tx.Exec("INSERT INTO t VALUES (%s)", key); err != nil {
			return err
		}
		return tx.Commit()
	}},
	{"InTx", func(db *sql.DB, key int) error {
		return psyco.InTx(context.Background(), db, nil, func(tx *sql.Tx) error {
			_, err := tx.Exec("INSERT INTO t VALUES (%s)", key)
			return err
		})
	}},
	{"CopyIn", func(db *sql.DB, key int) error {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		defer tx.Rollback()
		//lint:ignore SA1019 existing programs use it
		stmt, err := tx.Prepare(pq.CopyIn("t", "k"))
		if err != nil {
			return err
		}
		if _, err := stmt.Exec(key); err != nil {
			return err
		}
		if _, err := stmt.Exec(); err != nil {
			return err
		}
		if err := stmt.Close(); err != nil {
			return err
		}
		return tx.Commit()
	}},
}

// TestCutAnywhere cuts the network at every boundary between two messages of a
// write. The row is there once or not at all, and an error comes whenever the
// caller cannot know.
func TestCutAnywhere(t *testing.T) {
	testsize.Slow(t)
	for _, w := range writes {
		for _, mode := range []string{"", "prepare_threshold=1", "statement_cache_capacity=0", "binary_parameters=yes"} {
			t.Run(w.name+"/"+mode, func(t *testing.T) {
				t.Parallel()
				p, db, direct := faulty(t, mode)
				cutAnywhere(t, p, db, direct, w.write)
			})
		}
	}
}

// TestCutWhileCleaning is TestCutAnywhere where statements that clean the session go in front of each write.
func TestCutWhileCleaning(t *testing.T) {
	testsize.Slow(t)
	for _, w := range writes {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			p, db, direct := faulty(t, "", psyco.WithOnReset(psyco.CleanSession))
			cutAnywhere(t, p, db, direct, w.write)
		})
	}
}

// cutAnywhere does one write after the other and cuts before and behind each of
// their messages, which are records if the connection is encrypted.
func cutAnywhere(t *testing.T, p *faultproxy.Proxy, db, direct *sql.DB, write func(db *sql.DB, key int) error) {
	t.Helper()
	mustExec(t, direct, "CREATE TABLE t (k int)")
	certain := 0
	writes := eachCut(t, p, db, write, func(where string, key int, err error) {
		rows := rowsWithKey(t, direct, key)
		if len(rows) > 1 {
			t.Fatalf("%s: the row is there %d times; error: %v", where, len(rows), err)
		}
		if err == nil {
			certain++
			if len(rows) != 1 {
				t.Fatalf("%s: no error, and no row", where)
			}
		} else if errors.Is(err, driver.ErrBadConn) && len(rows) == 1 {
			t.Fatalf("%s: driver.ErrBadConn for a row that is there", where)
		}
	})
	t.Logf("%d of %d writes without an error", certain, writes)
}

// TestTerminatedWhileIdle kills all pooled connections: nobody notices.
func TestTerminatedWhileIdle(t *testing.T) {
	dsn := pgserver.TestDSN(t)
	db, admin := open(t, dsn), open(t, dsn)
	ctx := context.Background()
	var conns []*sql.Conn
	for range 5 {
		c, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		mustExec(t, c, "SELECT %s", 1)
		conns = append(conns, c)
	}
	db.SetMaxIdleConns(5)
	for _, c := range conns {
		c.Close()
	}
	terminateOthers(t, admin)
	for i := range 5 {
		if got := all(t, db, "SELECT %s::int", i); got[0] != fmt.Sprint(i) {
			t.Fatalf("got %q", got)
		}
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		mustExec(t, tx, "SELECT %s", i)
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTerminatedWhileBusy checks that the server's own words reach the caller,
// and that the statement is not run again.
func TestTerminatedWhileBusy(t *testing.T) {
	for _, query := range []string{
		"SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(60)",
		"SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep($1)",
		"SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(%s)",
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			db := testDB(t)
			var args []any
			if strings.ContainsAny(query, "$%") {
				args = []any{60}
			}
			for _, run := range []func() error{
				func() error { _, err := db.Exec(query, args...); return err },
				func() error { return db.QueryRow(query, args...).Scan(new(any), new(any)) },
			} {
				err := run()
				pe, ok := err.(*pq.Error)
				if !ok || pe.Code != "57P01" || !strings.Contains(pe.Message, "terminating connection due to administrator command") {
					t.Fatalf("got %#v", err)
				}
			}
			if got := all(t, db, "SELECT 1"); got[0] != "1" {
				t.Fatal("the pool did not recover")
			}
		})
	}
}

// waits are calls that wait for the server.
var waits = []struct {
	name string
	run  func(ctx context.Context, db *sql.DB) error
}{
	{"exec", func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, "SELECT %s", 1)
		return err
	}},
	{"query", func(ctx context.Context, db *sql.DB) error {
		return db.QueryRowContext(ctx, "SELECT 1").Scan(new(int))
	}},
	{"ping", func(ctx context.Context, db *sql.DB) error { return db.PingContext(ctx) }},
	{"prepare", func(ctx context.Context, db *sql.DB) error {
		s, err := db.PrepareContext(ctx, "SELECT $1")
		if err == nil {
			s.Close()
		}
		return err
	}},
	{"transaction", func(ctx context.Context, db *sql.DB) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		_, err = tx.Exec("SELECT %s", 1) // only the transaction's context ends
		return err
	}},
}

// TestStalledNetwork checks that a caller with a deadline comes back although
// nothing gets through, cancel requests included.
func TestStalledNetwork(t *testing.T) {
	for _, w := range waits {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			p, db, _ := faulty(t, "", psyco.WithCancelGrace(100*time.Millisecond))
			stall(t, p, db, w.run)
		})
	}
}

func stall(t *testing.T, p *faultproxy.Proxy, db *sql.DB, run func(ctx context.Context, db *sql.DB) error) {
	t.Helper()
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	p.Stall(faultproxy.Both)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := run(ctx, db); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want a deadline", err)
	}
	for db.Stats().OpenConnections != 0 { // a transaction is rolled back in the background
		time.Sleep(time.Millisecond)
	}
}

func TestCanceled(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		db.SetMaxOpenConns(1)
		pid := all(t, db, "SELECT pg_backend_pid()")
		admin := open(t, sameDatabase(t, db))
		for _, query := range []string{"SELECT pg_sleep(60)", "SELECT pg_sleep($1)", "SELECT pg_sleep(%s)"} {
			var args []any
			if strings.ContainsAny(query, "$%") {
				args = []any{60}
			}
			ctx, cancel := context.WithCancel(context.Background())
			whenWaiting(t, admin, "pg_sleep", cancel)
			_, err := db.ExecContext(ctx, query, args...)
			var pe *pq.Error
			if !errors.As(err, &pe) || pe.Code != "57014" {
				t.Fatalf("%s: got %#v, want query_canceled", query, err)
			}
			if strings.Contains(t.Name(), "wrapped") {
				continue // the rest is psyco's own
			}
			if !errors.Is(err, context.Canceled) || err.Error() != pe.Error() {
				t.Fatalf("%s: got %v", query, err)
			}
			if now := all(t, db, "SELECT pg_backend_pid()"); !slices.Equal(now, pid) {
				t.Fatalf("%s: the connection was lost", query)
			}
		}
	})
}

func TestCanceledBefore(t *testing.T) {
	db := testDB(t)
	ctx, cancel := context.WithCancel(context.Background())
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	before := stats(t, conn)
	cancel()
	if _, err := conn.ExecContext(ctx, "SELECT 1"); err != context.Canceled {
		t.Fatalf("got %v", err)
	}
	if after := stats(t, conn); after.BytesSent != before.BytesSent {
		t.Fatalf("%d bytes were sent", after.BytesSent-before.BytesSent)
	}
}

// TestLeakedBegin checks that a BEGIN by hand does not reach the next user of
// the connection.
func TestLeakedBegin(t *testing.T) {
	db := testDB(t)
	db.SetMaxOpenConns(1)
	mustExec(t, db, "CREATE TABLE t (a int)")
	for _, leak := range []string{"BEGIN; INSERT INTO t VALUES (1)", "BEGIN; SELECT 1/0"} {
		db.Exec(leak)
		if got := all(t, db, "SELECT count(*) FROM t"); got[0] != "0" {
			t.Fatalf("%s: %s rows", leak, got[0])
		}
		if s := txStatus(t, db); s != 'I' {
			t.Fatalf("%s: the connection is in state %c", leak, s)
		}
	}
}

// TestCloseEarly closes a huge result after its first row: it is not read to
// its end, and what would be undone by a cancel request is not cancelled.
func TestCloseEarly(t *testing.T) {
	ctx := context.Background()
	conn, err := testDB(t).Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	received := func(query string) uint64 {
		before := stats(t, conn)
		rows, err := conn.QueryContext(ctx, query)
		if err != nil {
			t.Fatal(err)
		}
		if !rows.Next() {
			t.Fatal(rows.Err())
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		return stats(t, conn).BytesReceived - before.BytesReceived
	}
	// The server makes these rows as it sends them.
	mustExec(t, conn, "CREATE TABLE n AS SELECT * FROM generate_series(1, 10000) i")
	if n := received("SELECT a.i, b.i FROM n a, n b"); n > 32<<20 {
		t.Errorf("%d bytes were read", n)
	}
	mustExec(t, conn, `CREATE TABLE t (a int);
		CREATE FUNCTION effect(i int) RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (i) RETURNING a'`)
	const rows = 50000
	received(fmt.Sprintf("SELECT effect(i), repeat('x', 100) FROM generate_series(1, %d) i", rows))
	received(fmt.Sprintf("INSERT INTO t SELECT i FROM generate_series(1, %d) i RETURNING a, repeat('x', 100)", rows))
	if got := all(t, conn, "SELECT count(*) FROM t"); got[0] != fmt.Sprint(2*rows) {
		t.Errorf("%s rows were written, want %d", got[0], 2*rows)
	}
}

// TestCloseAfterReset closes connections that the network has reset since their
// last use: nobody can do anything about that any more.
func TestCloseAfterReset(t *testing.T) {
	for name, faulty := range map[string]func(*testing.T, string, ...psyco.Option) (*faultproxy.Proxy, *sql.DB, *sql.DB){
		"plain": faulty, "TLS": faultyTLS,
	} {
		t.Run(name, func(t *testing.T) {
			for range testsize.Cases(5, 20) {
				p, db, _ := faulty(t, "")
				if err := db.Ping(); err != nil {
					t.Fatal(err)
				}
				go p.Reset()
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestLostWhileRowsAreOpen has a *sql.Conn whose server process is gone while a result
// of it is open. A statement must return; database/sql would have it wait for the
// rows if it knew that the connection is lost.
func TestLostWhileRowsAreOpen(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		if wrapped(t) {
			return // lib/pq's conn waits
		}
		admin := open(t, sameDatabase(t, db))
		conn := mustConn(t, db)
		stmt, err := conn.PrepareContext(t.Context(), "SELECT $1::int")
		if err != nil {
			t.Fatal(err)
		}
		pid := all(t, conn, "SELECT pg_backend_pid()")[0]
		rows, err := conn.QueryContext(t.Context(), "SELECT i FROM generate_series(1, $1::int) i", 3)
		if err != nil {
			t.Fatal(err)
		}
		if !rows.Next() {
			t.Fatal(rows.Err())
		}
		mustExec(t, admin, "SELECT pg_terminate_backend($1, 60000)", pid)
		for range 2 {
			for what, err := range map[string]error{
				"Exec":    second(conn.ExecContext(t.Context(), "SELECT $1::int", 1)),
				"%s":      second(conn.ExecContext(t.Context(), "SELECT %s", 1)),
				"simple":  second(conn.ExecContext(t.Context(), "SELECT 1")),
				"Query":   second(conn.QueryContext(t.Context(), "SELECT $1::int", 1)),
				"Prepare": second(conn.PrepareContext(t.Context(), "SELECT $1::int")),
				"stmt":    second(stmt.ExecContext(t.Context(), 1)),
				"Ping":    conn.PingContext(t.Context()),
			} {
				if err == nil || errors.Is(err, driver.ErrBadConn) {
					t.Errorf("%s: error %v", what, err)
				}
			}
		}
		if err := rows.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := conn.PingContext(t.Context()); !errors.Is(err, driver.ErrBadConn) {
			t.Errorf("without rows: %v", err)
		}
	})
}

// TestLateCancelOfClose closes a long result over a network that holds up the cancel
// request: it must not hit the next statement.
func TestLateCancelOfClose(t *testing.T) {
	p, db, _ := faulty(t, "", psyco.WithCancelGrace(100*time.Millisecond))
	db.SetMaxOpenConns(1)
	pid := func() string { return all(t, db, "SELECT pg_backend_pid()")[0] }
	before := pid()
	rows, err := db.Query("SELECT i, repeat('x', 100) FROM generate_series(1, 300000) i")
	if err != nil {
		t.Fatal(err)
	}
	if !rows.Next() {
		t.Fatal(rows.Err())
	}
	p.Delay(faultproxy.ToServer, 10*time.Second)
	if err := rows.Close(); err != nil {
		t.Error(err)
	}
	p.Delay(faultproxy.ToServer, 0)
	if pid() == before {
		t.Error("the connection is used again")
	}
}
