// Package testdb is what tests of psyco share: databases in every mode, and
// helpers that fail the test.
package testdb

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
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

// Modes are the ways a query can reach the server. Every test of queries runs
// in all of them and must see the same.
var Modes = []struct {
	Name string
	DSN  string // added to the connection string
	Wrap bool   // lib/pq's own connections behind psyco.Wrap
}{
	{Name: "cache"},
	{Name: "cache at once", DSN: " prepare_threshold=1"},
	{Name: "no cache", DSN: " statement_cache_capacity=0"},
	{Name: "tiny cache", DSN: " statement_cache_capacity=1 prepare_threshold=1"},
	{Name: "binary parameters", DSN: " binary_parameters=yes"},
	{Name: "client binding", DSN: " binding=client"},
	{Name: "wrapped", Wrap: true},
}

// InModes runs f in each mode, with a database of its own.
func InModes(t *testing.T, f func(t *testing.T, db *sql.DB)) {
	t.Helper()
	for _, m := range Modes {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			dsn := pgserver.TestDSN(t)
			if m.Wrap {
				base, err := pq.NewConnector(dsn)
				if err != nil {
					t.Fatal(err)
				}
				f(t, OpenDB(t, psyco.Wrap(base)))
				return
			}
			f(t, Open(t, dsn+m.DSN))
		})
	}
}

// Wrapped reports whether a test of InModes runs on lib/pq's connections behind
// psyco.Wrap.
func Wrapped(t *testing.T) bool { return strings.HasSuffix(t.Name(), "/wrapped") }

// Open returns a database that is closed at the end of the test.
func Open(t testing.TB, dsn string, opts ...psyco.Option) *sql.DB {
	t.Helper()
	c, err := psyco.NewConnector(dsn, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return OpenDB(t, c)
}

// OpenDB returns the database of a connector, closed at the end of the test.
func OpenDB(t testing.TB, c *psyco.Connector) *sql.DB {
	db := sql.OpenDB(c)
	t.Cleanup(func() { db.Close() })
	return db
}

// New is a database with the default settings.
func New(t testing.TB, opts ...psyco.Option) *sql.DB {
	t.Helper()
	return Open(t, pgserver.TestDSN(t), opts...)
}

// MustExec executes a statement.
func MustExec(t testing.TB, h psyco.Handle, query string, args ...any) sql.Result {
	t.Helper()
	res, err := h.ExecContext(context.Background(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return res
}

// All returns the rows of a query, their columns joined with commas.
func All(t testing.TB, h psyco.Handle, query string, args ...any) []string {
	t.Helper()
	rows, err := h.QueryContext(context.Background(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	return ScanAll(t, rows)
}

// ScanAll is All for rows that are open.
func ScanAll(t testing.TB, rows *sql.Rows) []string {
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

// SameDatabase returns a connection string for the database of db.
func SameDatabase(t testing.TB, db *sql.DB) (dsn string) {
	t.Helper()
	err := db.QueryRow(`SELECT format('host=%s port=%s dbname=%s user=%s',
		split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database(), current_user)`).Scan(&dsn)
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

// WhenWaiting calls do when a statement that contains part waits, for a lock or
// in pg_sleep, in another session of admin's database. It does not wait for that.
func WhenWaiting(t testing.TB, admin *sql.DB, part string, do func()) {
	conn := MustConn(t, admin)
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

// Deadline returns a context whose deadline comes when expire is called.
func Deadline(parent context.Context) (ctx context.Context, expire func()) {
	ctx, cancel := context.WithCancelCause(parent)
	return deadline{ctx}, func() { cancel(context.DeadlineExceeded) }
}

type deadline struct{ context.Context }

func (d deadline) Err() error {
	if d.Context.Err() == nil {
		return nil
	}
	return context.DeadlineExceeded
}

// Stats returns the figures of the connection of h.
func Stats(t testing.TB, h psyco.Handle) (s psyco.Stats) {
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

// Code returns the SQLSTATE of an error, or what it is instead of one.
func Code(err error) string {
	if pe := pq.As(err); pe != nil {
		return string(pe.Code)
	}
	return fmt.Sprint(err)
}

// MustBegin begins a transaction, which is rolled back at the end of the test if
// it is not over.
func MustBegin(t testing.TB, db psyco.Beginner) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tx.Rollback() })
	return tx
}

// MustConn returns a connection of db.
func MustConn(t testing.TB, db *sql.DB) *sql.Conn {
	t.Helper()
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// Rows is n rows of arguments.
func Rows(n int, row func(i int) []any) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		for i := range n {
			if !yield(row(i), nil) {
				return
			}
		}
	}
}

// RowsOf is the rows of a slice.
func RowsOf(rows ...[]any) iter.Seq2[[]any, error] {
	return Rows(len(rows), func(i int) []any { return rows[i] })
}

// Leftovers returns the stacks of goroutines that run psyco's code, after
// giving them time to end. Stacks that contain one of except do not count.
func Leftovers(except ...string) string {
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

// Main runs the tests of a package, and fails if they leave a goroutine of psyco
// behind.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if left := Leftovers(); left != "" {
			fmt.Fprintf(os.Stderr, "left behind by the tests:\n%s\n", left)
			code = 1
		}
	}
	os.Exit(code)
}

// OneConn is a database with one connection, and a check that it is still the
// same one, idle and out of COPY.
func OneConn(t *testing.T, opts ...psyco.Option) (db *sql.DB, same func()) {
	t.Helper()
	db = New(t, opts...)
	db.SetMaxOpenConns(1)
	pid := All(t, db, "SELECT pg_backend_pid()")[0]
	return db, func() {
		t.Helper()
		if got := All(t, db, "SELECT pg_backend_pid()")[0]; got != pid {
			t.Errorf("the connection was dropped")
		}
	}
}

// ReaderFunc is a reader.
type ReaderFunc func(p []byte) (int, error)

func (f ReaderFunc) Read(p []byte) (int, error) { return f(p) }

// WriterFunc is a writer.
type WriterFunc func(p []byte) (int, error)

func (f WriterFunc) Write(p []byte) (int, error) { return f(p) }

// EqualRows fails the test if rows are not those that are wanted.
func EqualRows(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// BareEnvironment hides what the user who runs the tests has set up.
func BareEnvironment(t *testing.T) {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("PGSYSCONFDIR", t.TempDir())
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "PG") && name != "PGSYSCONFDIR" {
			t.Setenv(name, "") // brings the value back later
			os.Unsetenv(name)
		}
	}
}

// Collected is what an iterator gives until its error.
func Collected[T any](rows iter.Seq2[T, error]) ([]T, error) {
	items := []T{}
	for item, err := range rows {
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

// RoundTrips counts those of f on the connection of h.
func RoundTrips(t testing.TB, h psyco.Handle, f func()) uint64 {
	t.Helper()
	before := Stats(t, h).RoundTrips
	f()
	return Stats(t, h).RoundTrips - before
}
