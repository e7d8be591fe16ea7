package psyco_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
)

// modes are the ways a query can reach the server. Every test of queries runs
// in all of them and must see the same.
var modes = []struct {
	name string
	dsn  string // added to the connection string
	wrap bool   // lib/pq's own connections behind psyco.Wrap
}{
	{name: "cache"},
	{name: "cache at once", dsn: " prepare_threshold=1"},
	{name: "no cache", dsn: " statement_cache_capacity=0"},
	{name: "tiny cache", dsn: " statement_cache_capacity=1 prepare_threshold=1"},
	{name: "binary parameters", dsn: " binary_parameters=yes"},
	{name: "client binding", dsn: " binding=client"},
	{name: "wrapped", wrap: true},
}

// inModes runs f in each mode, with a database of its own.
func inModes(t *testing.T, f func(t *testing.T, db *sql.DB)) {
	t.Helper()
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			dsn := pgserver.TestDSN(t)
			if m.wrap {
				base, err := pq.NewConnector(dsn)
				if err != nil {
					t.Fatal(err)
				}
				f(t, openDB(t, psyco.Wrap(base)))
				return
			}
			f(t, open(t, dsn+m.dsn))
		})
	}
}

// open returns a database that is closed at the end of the test.
func open(t testing.TB, dsn string, opts ...psyco.Option) *sql.DB {
	t.Helper()
	c, err := psyco.NewConnector(dsn, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return openDB(t, c)
}

func openDB(t testing.TB, c *psyco.Connector) *sql.DB {
	db := sql.OpenDB(c)
	t.Cleanup(func() { db.Close() })
	return db
}

// testDB is a database with the default settings.
func testDB(t testing.TB, opts ...psyco.Option) *sql.DB {
	t.Helper()
	return open(t, pgserver.TestDSN(t), opts...)
}

func mustExec(t testing.TB, h psyco.Handle, query string, args ...any) sql.Result {
	t.Helper()
	res, err := h.ExecContext(context.Background(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return res
}

// all returns the rows of a query, their columns joined with commas.
func all(t testing.TB, h psyco.Handle, query string, args ...any) []string {
	t.Helper()
	rows, err := h.QueryContext(context.Background(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	return scanAll(t, rows)
}

func scanAll(t testing.TB, rows *sql.Rows) []string {
	t.Helper()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for rows.Next() {
		values, cells := make([]any, len(names)), make([]string, len(names))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			switch v := (*v.(*any)).(type) {
			case []byte:
				cells[i] = string(v)
			default:
				cells[i] = fmt.Sprint(v)
			}
		}
		got = append(got, strings.Join(cells, ","))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return got
}

// sameDatabase returns a connection string for the database of db.
func sameDatabase(t testing.TB, db *sql.DB) (dsn string) {
	t.Helper()
	err := db.QueryRow(`SELECT format('host=%s port=%s dbname=%s user=%s',
		split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database(), current_user)`).Scan(&dsn)
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

// whenWaiting calls do when a statement that contains part waits, for a lock or
// in pg_sleep, in another session of admin's database. It does not wait for that.
func whenWaiting(t testing.TB, admin *sql.DB, part string, do func()) {
	conn := mustConn(t, admin)
	go func() {
		waiting := false
		for !waiting {
			err := conn.QueryRowContext(t.Context(), `SELECT count(*) > 0 FROM pg_stat_activity
				WHERE datname = current_database() AND wait_event_type IN ('Lock', 'Timeout') AND strpos(query, $1) > 0 AND pid <> pg_backend_pid()`, part).Scan(&waiting)
			if err != nil {
				return // the test is over
			}
		}
		do()
	}()
}

// roundTrips counts what f costs on the connection of h.
func roundTrips(t testing.TB, h psyco.Handle, f func()) uint64 {
	t.Helper()
	return psyco.RoundTrips(t, h, f)
}

func stats(t testing.TB, h psyco.Handle) (s psyco.Stats) {
	t.Helper()
	err := psyco.WithConn(context.Background(), h, func(c *psyco.Conn) error {
		s = c.Stats()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wrapped reports whether a test of inModes runs on lib/pq's connections behind
// psyco.Wrap.
func wrapped(t *testing.T) bool { return strings.HasSuffix(t.Name(), "/wrapped") }

// code returns the SQLSTATE of an error, or what it is instead of one.
func code(err error) string {
	if pe := pq.As(err); pe != nil {
		return string(pe.Code)
	}
	return fmt.Sprint(err)
}

func mustBegin(t testing.TB, db psyco.Beginner) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tx.Rollback() })
	return tx
}

func mustConn(t testing.TB, db *sql.DB) *sql.Conn {
	t.Helper()
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// second is the error of a call with two results.
func second[T any](_ T, err error) error { return err }

// TestMain fails if the tests leave a goroutine of the package behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if left := leftovers(); left != "" {
			fmt.Fprintf(os.Stderr, "left behind by the tests:\n%s\n", left)
			code = 1
		}
	}
	os.Exit(code)
}

// leftovers returns the stacks of goroutines that run psyco's code, after
// giving them time to end. Stacks that contain one of except do not count.
func leftovers(except ...string) string {
	except = append(except, "TestMain", "internal/pgserver")
	var left []string
	for range 100 {
		left = left[:0]
		buf := make([]byte, 1<<22)
		for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			excepted := func(name string) bool { return strings.Contains(stack, name) }
			if strings.Contains(stack, "psyco-go/psyco") && !slices.ContainsFunc(except, excepted) {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return ""
		}
		time.Sleep(20 * time.Millisecond)
	}
	return strings.Join(left, "\n\n")
}
