package psyco_test

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/DATA-DOG/go-sqlmock"
	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testdb"
)

// recorder is a Tracer that keeps what has ended.
type recorder struct {
	mu      sync.Mutex
	started int
	ended   []psyco.Trace
	faults  []string
}

type traceKey struct{}

func (r *recorder) TraceStart(ctx context.Context, t *psyco.Trace) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started++
	if t.Ended || t.Start.IsZero() || t.Err != nil {
		r.faults = append(r.faults, fmt.Sprintf("%s began as %+v", t.Call, *t))
	}
	return context.WithValue(ctx, traceKey{}, t)
}

func (r *recorder) TraceEnd(ctx context.Context, t *psyco.Trace) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Value(traceKey{}) != t {
		r.faults = append(r.faults, t.Call+" has ended with the context of another operation")
	}
	if !t.Ended || t.Duration < 0 {
		r.faults = append(r.faults, fmt.Sprintf("%s has ended as %+v", t.Call, *t))
	}
	r.ended = append(r.ended, *t)
}

// take returns what has ended since the last take, in that order.
func (r *recorder) take(t *testing.T) []psyco.Trace {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.faults {
		t.Error(f)
	}
	if r.started != len(r.ended) {
		t.Errorf("%d operations began, %d have ended", r.started, len(r.ended))
	}
	ended := r.ended
	r.started, r.ended, r.faults = 0, nil, nil
	return ended
}

// describe tells of an operation what does not depend on the mode.
func describe(t psyco.Trace) string {
	s := t.Call + " " + t.Query
	for _, part := range []struct {
		name string
		n    int64
	}{{"args", int64(len(t.Args))}, {"batch", int64(t.BatchSize)}, {"returned", t.RowsReturned}, {"affected", t.RowsAffected}} {
		if part.n != 0 {
			s += fmt.Sprintf(" %s=%d", part.name, part.n)
		}
	}
	if t.Err != nil {
		s += " error=" + code(t.Err)
	}
	return s
}

// inTracedModes is inModes with a tracer, and one connection that is open.
func inTracedModes(t *testing.T, f func(t *testing.T, db *sql.DB, rec *recorder)) {
	for _, m := range testdb.Modes {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			rec := &recorder{}
			dsn := pgserver.TestDSN(t)
			var db *sql.DB
			if m.Wrap {
				base, err := pq.NewConnector(dsn)
				if err != nil {
					t.Fatal(err)
				}
				db = openDB(t, psyco.Wrap(base, psyco.WithTracer(rec)))
			} else {
				db = open(t, dsn+m.DSN, psyco.WithTracer(rec))
			}
			db.SetMaxOpenConns(1)
			mustExec(t, db, "CREATE TABLE t (a int PRIMARY KEY, b text)")
			rec.take(t)
			f(t, db, rec)
		})
	}
}

func TestTracer(t *testing.T) {
	ctx := context.Background()
	tests := []struct {
		name  string
		run   func(t *testing.T, db *sql.DB)
		want  []string
		plain []string // want behind Wrap, if that differs; empty: not possible there
	}{
		{
			name: "query",
			run:  func(t *testing.T, db *sql.DB) { all(t, db, "SELECT a FROM t WHERE a < %s ORDER BY a", 3) },
			want: []string{"Query SELECT a FROM t WHERE a < %s ORDER BY a args=1 returned=2"},
		},
		{
			name: "query without arguments, several result sets",
			run: func(t *testing.T, db *sql.DB) {
				rows, err := db.Query("SELECT 1; SELECT 2 FROM t")
				if err != nil {
					t.Fatal(err)
				}
				defer rows.Close()
				n := len(scanAll(t, rows))
				for rows.NextResultSet() {
					n += len(scanAll(t, rows))
				}
				if n != 4 {
					t.Errorf("%d rows", n)
				}
			},
			want: []string{"Query SELECT 1; SELECT 2 FROM t returned=4"},
		},
		{
			name: "rows that are not read to the end",
			run: func(t *testing.T, db *sql.DB) {
				var a int
				if err := db.QueryRow("SELECT a FROM t ORDER BY a").Scan(&a); err != nil {
					t.Fatal(err)
				}
			},
			want: []string{"Query SELECT a FROM t ORDER BY a returned=1"},
		},
		{
			name: "exec",
			run:  func(t *testing.T, db *sql.DB) { mustExec(t, db, "UPDATE t SET b = $1 WHERE a > $2", "x", 1) },
			want: []string{"Exec UPDATE t SET b = $1 WHERE a > $2 args=2 affected=2"},
		},
		{
			name: "bound by the client",
			run: func(t *testing.T, db *sql.DB) {
				tx := mustBegin(t, db)
				mustExec(t, tx, "CREATE ROLE tracer_role PASSWORD %s", "top secret")
				tx.Rollback()
			},
			want: []string{"Begin BEGIN", "Exec CREATE ROLE tracer_role PASSWORD %s args=1", "Rollback ROLLBACK"},
		},
		{
			name: "error",
			run: func(t *testing.T, db *sql.DB) {
				if _, err := db.Exec("INSERT INTO t VALUES ($1, $2)", 1, "again"); code(err) != "23505" {
					t.Errorf("got %v", err)
				}
				if _, err := db.Query("SELECT nothing"); code(err) != "42703" {
					t.Errorf("got %v", err)
				}
			},
			want: []string{"Exec INSERT INTO t VALUES ($1, $2) args=2 error=23505", "Query SELECT nothing error=42703"},
		},
		{
			name: "error while rows are read",
			run: func(t *testing.T, db *sql.DB) {
				rows, err := db.Query("SELECT 1 / (3 - a) FROM t ORDER BY a")
				if err != nil {
					t.Fatal(err)
				}
				defer rows.Close()
				for rows.Next() {
				}
				if code(rows.Err()) != "22012" {
					t.Errorf("got %v", rows.Err())
				}
			},
			want: []string{"Query SELECT 1 / (3 - a) FROM t ORDER BY a returned=2 error=22012"},
		},
		{
			name: "wrong number of arguments",
			run: func(t *testing.T, db *sql.DB) {
				//psyco:allow the error is what is wanted
				if _, err := db.Exec("SELECT %s, %s", 1); err == nil {
					t.Error("no error")
				}
			},
			want: []string{"Exec SELECT %s, %s args=1 error=*"},
		},
		{
			name: "context that has ended",
			run: func(t *testing.T, db *sql.DB) {
				conn := mustConn(t, db)
				defer conn.Close()
				ctx, cancel := context.WithCancel(ctx)
				rows, err := conn.QueryContext(ctx, "SELECT g, repeat('x', 1000) FROM generate_series(1, 100000) g")
				if err != nil {
					t.Fatal(err)
				}
				rows.Next()
				cancel()
				for rows.Next() {
				}
				rows.Close()
				if !errors.Is(rows.Err(), context.Canceled) {
					t.Errorf("got %v", rows.Err())
				}
			},
			want: []string{"Query SELECT g, repeat('x', 1000) FROM generate_series(1, 100000) g *"},
			plain: []string{ // lib/pq gives the connection up
				"Query SELECT g, repeat('x', 1000) FROM generate_series(1, 100000) g *",
				"Connect ",
			},
		},
		{
			name: "prepared statement",
			run: func(t *testing.T, db *sql.DB) {
				conn := mustConn(t, db)
				defer conn.Close()
				stmt, err := conn.PrepareContext(ctx, "SELECT b FROM t WHERE a = %s")
				if err != nil {
					t.Fatal(err)
				}
				defer stmt.Close()
				var b string
				if err := stmt.QueryRow(1).Scan(&b); err != nil {
					t.Fatal(err)
				}
				if _, err := stmt.Exec(2); err != nil {
					t.Fatal(err)
				}
				if _, err := conn.PrepareContext(ctx, "SELECT nothing FROM t WHERE a = $1"); code(err) != "42703" && err != nil {
					t.Errorf("got %v", err)
				}
			},
			want: []string{
				"Prepare SELECT b FROM t WHERE a = %s",
				"Query SELECT b FROM t WHERE a = %s args=1 returned=1",
				"Exec SELECT b FROM t WHERE a = %s args=1 affected=1",
				"Prepare SELECT nothing FROM t WHERE a = $1 error=42703",
			},
		},
		{
			name: "transactions",
			run: func(t *testing.T, db *sql.DB) {
				tx := mustBegin(t, db)
				mustExec(t, tx, "INSERT INTO t VALUES (%s, %s)", 10, "x")
				if err := tx.Commit(); err != nil {
					t.Error(err)
				}
				tx = mustBegin(t, db)
				mustExec(t, tx, "DELETE FROM t WHERE a = %s", 10)
				if err := tx.Rollback(); err != nil {
					t.Error(err)
				}
				mustExec(t, db, "DELETE FROM t WHERE a = %s", 10)
			},
			want: []string{
				"Begin BEGIN", "Exec INSERT INTO t VALUES (%s, %s) args=2 affected=1", "Commit COMMIT",
				"Begin BEGIN", "Exec DELETE FROM t WHERE a = %s args=1 affected=1", "Rollback ROLLBACK",
				"Exec DELETE FROM t WHERE a = %s args=1 affected=1",
			},
		},
		{
			name: "failed transaction",
			run: func(t *testing.T, db *sql.DB) {
				tx := mustBegin(t, db)
				tx.Exec("SELECT 1 / 0")
				if err := tx.Commit(); !errors.Is(err, pq.ErrInFailedTransaction) {
					t.Errorf("got %v", err)
				}
			},
			want: []string{"Begin BEGIN", "Exec SELECT 1 / 0 error=22012", "Commit COMMIT error=*"},
		},
		{
			name: "savepoint",
			run: func(t *testing.T, db *sql.DB) {
				tx := mustBegin(t, db)
				err := psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
					mustExec(t, tx, "SELECT %s", 1)
					return nil
				})
				if err != nil {
					t.Error(err)
				}
				err = psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
					mustExec(t, tx, "SELECT %s", 2)
					return psyco.Rollback("")
				})
				if err != nil {
					t.Error(err)
				}
				tx.Commit()
			},
			want: []string{
				"Begin BEGIN",
				"Savepoint SAVEPOINT", "Exec SELECT %s args=1 affected=1", "Savepoint RELEASE SAVEPOINT psyco_*",
				"Savepoint SAVEPOINT", "Exec SELECT %s args=1 affected=1", "Savepoint ROLLBACK TO SAVEPOINT psyco_*",
				"Commit COMMIT",
			},
		},
		{
			name: "ping",
			run: func(t *testing.T, db *sql.DB) {
				if err := db.Ping(); err != nil {
					t.Error(err)
				}
			},
			want: []string{"Ping "},
		},
		{
			name: "a transaction that was left open",
			run: func(t *testing.T, db *sql.DB) {
				mustExec(t, db, "BEGIN")
				mustExec(t, db, "SELECT 1") // on the same connection
			},
			want:  []string{"Exec BEGIN", "Reset ROLLBACK", "Exec SELECT 1 affected=1"},
			plain: []string{},
		},
		{
			name: "batch",
			run: func(t *testing.T, db *sql.DB) {
				var b psyco.Batch
				b.Queue("SELECT a FROM t WHERE a < %s", 3).Each(func(*sql.Rows) error { return nil })
				b.Queue("SELECT b FROM t")
				if err := b.Run(ctx, db); err != nil {
					t.Error(err)
				}
				b = psyco.Batch{}
				b.Queue("DELETE FROM t WHERE a = %s", 77)
				b.Queue("SELECT nothing")
				if err := b.Run(ctx, db); code(err) != "42703" {
					t.Errorf("got %v", err)
				}
			},
			want: []string{
				"Batch SELECT a FROM t WHERE a < %s; SELECT b FROM t batch=2 returned=2",
				"Batch DELETE FROM t WHERE a = %s; SELECT nothing batch=2 error=42703",
			},
		},
		{
			name: "ExecMany and ExecValues",
			run: func(t *testing.T, db *sql.DB) {
				rows := psyco.SliceRows([][]any{{21, "x"}, {22, "y"}})
				if _, err := psyco.ExecMany(ctx, db, "INSERT INTO t VALUES (%s, %s)", rows); err != nil {
					t.Error(err)
				}
				if _, err := psyco.ExecValues(ctx, db, "INSERT INTO t VALUES %s ON CONFLICT DO NOTHING", rows, nil); err != nil {
					t.Error(err)
				}
				mustExec(t, db, "DELETE FROM t WHERE a > 20")
			},
			want: []string{
				"ExecMany INSERT INTO t VALUES (%s, %s) affected=2",
				"ExecValues INSERT INTO t VALUES %s ON CONFLICT DO NOTHING",
				"Exec DELETE FROM t WHERE a > 20 affected=2",
			},
		},
		{
			name: "COPY",
			run: func(t *testing.T, db *sql.DB) {
				if n, err := psyco.CopyFrom(ctx, db, "COPY t FROM STDIN", strings.NewReader("31\tx\n32\ty\n")); n != 2 || err != nil {
					t.Errorf("%d, %v", n, err)
				}
				if n, err := psyco.CopyTo(ctx, db, io.Discard, "COPY (SELECT * FROM t WHERE a > %s) TO STDOUT", 30); n != 2 || err != nil {
					t.Errorf("%d, %v", n, err)
				}
				mustExec(t, db, "COPY t FROM STDIN", strings.NewReader("33\tz\n"))
				rows := psyco.SliceRows([][]any{{34, "x"}})
				if n, err := psyco.CopyRows(ctx, db, psyco.Identifier{"t"}, []string{"a", "b"}, rows); n != 1 || err != nil {
					t.Errorf("%d, %v", n, err)
				}
				failing := io.MultiReader(strings.NewReader("35\tx\n"), failingReader{})
				if _, err := psyco.CopyFrom(ctx, db, "COPY t FROM STDIN", failing); !errors.Is(err, driver.ErrBadConn) {
					t.Errorf("got %v", err)
				}
				mustExec(t, db, "DELETE FROM t WHERE a > 30")
			},
			want: []string{
				"CopyFrom COPY t FROM STDIN affected=2",
				"CopyTo COPY (SELECT * FROM t WHERE a > %s) TO STDOUT affected=2",
				"Exec COPY t FROM STDIN affected=1",
				`CopyRows COPY "t" ("a", "b") FROM STDIN affected=1`,
				"CopyFrom COPY t FROM STDIN error=*",
				"Exec DELETE FROM t WHERE a > 30 affected=4",
			},
			plain: []string{},
		},
		{
			name: "pq.CopyIn",
			run: func(t *testing.T, db *sql.DB) {
				tx := mustBegin(t, db)
				stmt, err := tx.Prepare(`COPY "t" ("a", "b") FROM STDIN`)
				if err != nil {
					t.Fatal(err)
				}
				for i := range 3 {
					if _, err := stmt.Exec(41+i, "x"); err != nil {
						t.Error(err)
					}
				}
				if _, err := stmt.Exec(); err != nil {
					t.Error(err)
				}
				stmt.Close()
				if stmt, err = tx.Prepare(`COPY "t" ("a", "b") FROM STDIN`); err != nil {
					t.Fatal(err)
				}
				stmt.Exec(51, "x")
				stmt.Close()
				tx.Rollback()
			},
			want: []string{
				"Begin BEGIN",
				`CopyIn COPY "t" ("a", "b") FROM STDIN affected=3`,
				`CopyIn COPY "t" ("a", "b") FROM STDIN error=57014`,
				"Rollback ROLLBACK",
			},
			plain: []string{},
		},
		{
			name: "cursors",
			run: func(t *testing.T, db *sql.DB) {
				tx := mustBegin(t, db)
				cur, err := psyco.DeclareCursor(ctx, tx, "c", nil, "SELECT a FROM t WHERE a < %s", 3)
				if err != nil {
					t.Fatal(err)
				}
				rows, err := cur.Fetch(ctx, 1)
				if err != nil {
					t.Fatal(err)
				}
				scanAll(t, rows)
				if rows, err = cur.Rows(ctx, 1); err != nil {
					t.Fatal(err)
				}
				scanAll(t, rows)
				cur.Close(ctx)
				all(t, tx, "SELECT a FROM t WHERE a < %s", 4, psyco.ServerSide(1))
				tx.Rollback()
			},
			want: []string{
				"Begin BEGIN",
				`DeclareCursor DECLARE "c" CURSOR FOR SELECT a FROM t WHERE a < %s`,
				`Query FETCH FORWARD 1 FROM "c" returned=1`,
				`Cursor.Rows FETCH FORWARD ALL FROM "c" returned=1`,
				`Cursor.Close CLOSE "c"`,
				"Query SELECT a FROM t WHERE a < %s args=1 returned=3",
				"Rollback ROLLBACK",
			},
		},
		{
			name: "WithConn sends nothing",
			run:  func(t *testing.T, db *sql.DB) { stats(t, db) },
		},
	}
	inTracedModes(t, func(t *testing.T, db *sql.DB, rec *recorder) {
		mustExec(t, db, "INSERT INTO t SELECT i, 'x' FROM generate_series(1, 3) i")
		rec.take(t)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				want := tt.want
				if strings.Contains(t.Name(), "/wrapped/") && tt.plain != nil {
					if want = tt.plain; len(want) == 0 {
						return
					}
				}
				for range 4 { // cold and warm
					before := stats(t, db).RoundTrips
					tt.run(t, db)
					trips := stats(t, db).RoundTrips - before
					var sum uint64
					var got []string
					for _, e := range rec.take(t) {
						sum += e.RoundTrips
						got = append(got, describe(e))
					}
					if strings.HasSuffix(t.Name(), "/no_cache/prepared_statement") {
						trips-- // that of closing the statement, which is part of no operation
					}
					if sum != trips {
						t.Errorf("the operations have %d round trips, the connection %d", sum, trips)
					}
					if !alike(got, want) {
						t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
					}
				}
			})
		}
	})
}

// alike compares lines; one that is wanted with a * at its end stands for all
// that begin so.
func alike(got, want []string) bool {
	return slices.EqualFunc(got, want, func(got, want string) bool {
		prefix, open := strings.CutSuffix(want, "*")
		return got == want || open && strings.HasPrefix(got, prefix)
	})
}

// failingReader fails with an error that database/sql would answer with a retry.
type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, driver.ErrBadConn }

// tracedDB is a database with one connection, which is open, and a tracer.
func tracedDB(t *testing.T, dsn string) (*sql.DB, *recorder) {
	rec := &recorder{}
	db := open(t, dsn, psyco.WithTracer(rec))
	db.SetMaxOpenConns(1)
	mustExec(t, db, "CREATE TABLE t (a int PRIMARY KEY, b text); INSERT INTO t VALUES (1, 'x')")
	rec.take(t)
	return db, rec
}

func TestTracerCost(t *testing.T) {
	type cost struct {
		trips uint64
		hit   bool
	}
	tests := []struct {
		name  string
		query string
		arg   any
		want  []cost // of the first use, the second and so on
	}{
		{"cached", "SELECT b FROM t WHERE a = %s", 1, []cost{{1, false}, {1, false}, {1, true}, {1, true}}},
		{"no arguments", "SELECT b FROM t", nil, []cost{{1, false}, {1, false}, {1, false}}},
		{"a type that must be retried", "SELECT %s IS NULL", "x", []cost{{2, false}, {1, false}, {1, true}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			db, rec := tracedDB(t, pgserver.TestDSN(t))
			for i, want := range tt.want {
				if tt.arg == nil {
					all(t, db, tt.query)
				} else {
					all(t, db, tt.query, tt.arg)
				}
				ended := rec.take(t)
				if len(ended) != 1 {
					t.Fatalf("use %d: %d operations", i+1, len(ended))
				}
				if got := (cost{ended[0].RoundTrips, ended[0].CacheHit}); got != want {
					t.Errorf("use %d: got %+v, want %+v", i+1, got, want)
				}
			}
		})
	}
}

// A plan that is outdated is made anew within the operation.
func TestTracerOutdatedPlan(t *testing.T) {
	dsn := pgserver.TestDSN(t)
	db, rec := tracedDB(t, dsn)
	other := open(t, dsn)
	for range 3 {
		all(t, db, "SELECT * FROM t WHERE a = %s", 1)
	}
	mustExec(t, other, "ALTER TABLE t ADD c int")
	rec.take(t)
	if got := all(t, db, "SELECT * FROM t WHERE a = %s", 1); !slices.Equal(got, []string{"1,x,<nil>"}) {
		t.Errorf("got %q", got)
	}
	ended := rec.take(t)
	if len(ended) != 1 || ended[0].Err != nil || ended[0].RoundTrips != 2 || ended[0].RowsReturned != 1 {
		t.Errorf("got %+v", ended)
	}
}

// Operations overlap while rows are open, and each has its own round trips.
func TestTracerOverlap(t *testing.T) {
	db, rec := tracedDB(t, pgserver.TestDSN(t))
	tx := mustBegin(t, db)
	rows, err := tx.Query("SELECT g FROM generate_series(1, 1000) g")
	if err != nil {
		t.Fatal(err)
	}
	rows.Next()
	mustExec(t, tx, "SELECT %s", 1)
	if n := len(scanAll(t, rows)); n != 999 {
		t.Errorf("%d rows", n)
	}
	tx.Rollback()
	var got []string
	var trips []uint64
	for _, e := range rec.take(t) {
		got, trips = append(got, describe(e)), append(trips, e.RoundTrips)
	}
	want := []string{"Begin BEGIN", "Exec SELECT %s args=1 affected=1",
		"Query SELECT g FROM generate_series(1, 1000) g returned=1000", "Rollback ROLLBACK"}
	if !slices.Equal(got, want) || !slices.Equal(trips, []uint64{0, 1, 2, 1}) {
		t.Errorf("got %q with %d round trips", got, trips)
	}
}

func TestTracerConnect(t *testing.T) {
	rec := &recorder{}
	dsn := pgserver.TestDSN(t)
	db := open(t, dsn, psyco.WithTracer(rec))
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	s := stats(t, db)
	ended := rec.take(t)
	if len(ended) != 2 || ended[0].Call != "Connect" || ended[1].Call != "Ping" {
		t.Fatalf("got %+v", ended)
	}
	c := ended[0]
	if c.PID == 0 || c.Server == "" || c.Port == 0 || c.Peer == "" || c.Database == "" {
		t.Errorf("Connect does not say where to: %+v", c)
	}
	if c.RoundTrips == 0 || c.RoundTrips+ended[1].RoundTrips != s.RoundTrips {
		t.Errorf("%d and %d round trips, the connection has %d", c.RoundTrips, ended[1].RoundTrips, s.RoundTrips)
	}

	db = open(t, dsn+" dbname=there_is_none", psyco.WithTracer(rec))
	if err := db.Ping(); code(err) != "3D000" {
		t.Errorf("got %v", err)
	}
	ended = rec.take(t)
	if len(ended) != 1 || code(ended[0].Err) != "3D000" || ended[0].Database != "there_is_none" {
		t.Errorf("got %+v", ended)
	}
}

// The context of TraceStart reaches what connects.
func TestTracerContext(t *testing.T) {
	rec := &recorder{}
	seen := false
	db := testDB(t, psyco.WithTracer(rec), psyco.WithOnConnect(func(ctx context.Context, _ *psyco.Conn) error {
		seen = ctx.Value(traceKey{}) != nil
		return nil
	}))
	if err := db.Ping(); err != nil || !seen {
		t.Errorf("seen: %v, %v", seen, err)
	}
}

func TestTracerListener(t *testing.T) {
	rec := &recorder{}
	c, err := psyco.NewConnector(pgserver.TestDSN(t), psyco.WithTracer(rec))
	if err != nil {
		t.Fatal(err)
	}
	l := psyco.NewListener(c, nil)
	if err := l.Listen(context.Background(), "news"); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range rec.take(t) {
		got = append(got, describe(e))
	}
	if want := []string{"Connect ", `Listen LISTEN "news";`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The statement of a session that the server has ended is an operation with an
// error, and where nothing was sent the next one runs it.
func TestTracerLostConnection(t *testing.T) {
	dsn := pgserver.TestDSN(t)
	db, rec := tracedDB(t, dsn)
	_, err := db.Exec("SELECT pg_terminate_backend(pg_backend_pid())")
	if code(err) != "57P01" {
		t.Errorf("got %v", err)
	}
	mustExec(t, db, "SELECT 1")
	var got []string
	for _, e := range rec.take(t) {
		got = append(got, describe(e))
	}
	want := []string{"Exec SELECT pg_terminate_backend(pg_backend_pid()) error=57P01", "Connect ", "Exec SELECT 1 affected=1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTracerCanceled(t *testing.T) {
	inTracedModes(t, func(t *testing.T, db *sql.DB, rec *recorder) {
		admin := open(t, sameDatabase(t, db))
		rec.take(t)
		ctx, expire := testdb.Deadline(context.Background())
		defer expire()
		whenWaiting(t, admin, "pg_sleep", expire)
		if _, err := db.ExecContext(ctx, "SELECT pg_sleep(60)"); !errors.Is(err, context.DeadlineExceeded) && code(err) != "57014" {
			t.Errorf("got %v", err)
		}
		ended := rec.take(t)
		if len(ended) != 1 || !errors.Is(ended[0].Err, context.DeadlineExceeded) && !wrapped(t) || ended[0].Err == nil {
			t.Errorf("got %+v", ended)
		}
	})
}

// Behind Wrap a driver may do less than psyco's own connections.
func TestTracerForeignRows(t *testing.T) {
	base, mock, err := sqlmock.NewWithDSN(t.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	rec := &recorder{}
	db := openDB(t, psyco.Wrap(mockConnector{base.Driver(), t.Name()}, psyco.WithTracer(rec)))
	mock.ExpectQuery("SELECT").WithArgs(7).WillReturnRows(sqlmock.NewRows([]string{"a"}).AddRow(1).AddRow(2).RowError(1, io.ErrUnexpectedEOF))
	rows, err := db.Query("SELECT a FROM t WHERE a < %s", 7)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		n++
	}
	if n != 1 || !errors.Is(rows.Err(), io.ErrUnexpectedEOF) {
		t.Errorf("%d rows, %v", n, rows.Err())
	}
	var got []string
	for _, e := range rec.take(t) {
		got = append(got, describe(e))
	}
	want := []string{"Connect ", "Query SELECT a FROM t WHERE a < %s args=1 returned=1 error=unexpected EOF"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A panic of the tracer is the program's.
func TestTracerPanic(t *testing.T) {
	db := testDB(t, psyco.WithTracer(panicTracer{&recorder{}}))
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() != "tracer" {
			t.Error("the panic did not come through")
		}
		if err := db.Ping(); err != nil { // on another connection, or the same
			t.Error(err)
		}
	}()
	db.Exec("SELECT 1")
}

// mockConnector opens the connections of sqlmock.
type mockConnector struct {
	driver driver.Driver
	dsn    string
}

func (m mockConnector) Connect(context.Context) (driver.Conn, error) { return m.driver.Open(m.dsn) }
func (m mockConnector) Driver() driver.Driver                        { return m.driver }

type panicTracer struct{ *recorder }

func (panicTracer) TraceEnd(_ context.Context, t *psyco.Trace) {
	if t.Call == "Exec" {
		panic("tracer")
	}
}

// loggedDB is a database whose operations are logged. take returns the text of the
// log since the last take, and its records.
func loggedDB(t *testing.T, tracer psyco.SlogTracer, level slog.Level) (db *sql.DB, take func() (string, []map[string]any)) {
	t.Helper()
	var log bytes.Buffer
	tracer.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: level}))
	db = testDB(t, psyco.WithTracer(&tracer))
	db.SetMaxOpenConns(1)
	mustExec(t, db, "CREATE TABLE person (id int PRIMARY KEY, email text UNIQUE, born date)")
	mustExec(t, db, "INSERT INTO person VALUES (1, 'known@example.org', '2000-01-01')")
	log.Reset()
	return db, func() (string, []map[string]any) {
		text := log.String()
		var records []map[string]any
		for d := json.NewDecoder(&log); ; {
			var r map[string]any
			if err := d.Decode(&r); err == io.EOF {
				return text, records
			} else if err != nil {
				t.Fatal(err)
			}
			records = append(records, r)
		}
	}
}

// logged runs f on such a database and returns the records.
func logged(t *testing.T, tracer psyco.SlogTracer, level slog.Level, f func(db *sql.DB)) []map[string]any {
	t.Helper()
	db, take := loggedDB(t, tracer, level)
	f(db)
	_, records := take()
	return records
}

func TestSlogTracer(t *testing.T) {
	records := logged(t, psyco.SlogTracer{}, slog.LevelInfo, func(db *sql.DB) {
		all(t, db, "SELECT * FROM person WHERE id = %(id)s", map[string]any{"id": 1})
		db.Exec("INSERT INTO person VALUES ($1, $2)", 2, "known@example.org")
	})
	if len(records) != 2 {
		t.Fatalf("got %v", records)
	}
	for i, want := range []map[string]any{
		{
			"level": "INFO", "msg": "SELECT person", "db.system.name": "postgresql", "db.operation.name": "SELECT",
			"db.query.summary": "SELECT person", "db.query.text": "SELECT * FROM person WHERE id = %(id)s",
			"db.response.returned_rows": 1.0, "psyco.call": "Query", "psyco.arguments": 1.0,
			"psyco.round_trips": 1.0, "psyco.cache_hit": false, "error.type": nil, "db.response.status_code": nil,
		},
		{
			"level": "ERROR", "msg": "INSERT person", "db.response.status_code": "23505", "error.type": "23505",
			"psyco.affected_rows": 0.0, "db.response.returned_rows": nil, "psyco.arguments": 2.0,
			"error": `pq: duplicate key value violates unique constraint "person_email_key" (23505)`,
		},
	} {
		for key, value := range want {
			if records[i][key] != value {
				t.Errorf("%d: %s is %v, want %v", i+1, key, records[i][key], value)
			}
		}
		for _, key := range []string{"duration", "psyco.pid", "db.namespace", "server.address", "server.port", "network.peer.address"} {
			if records[i][key] == nil {
				t.Errorf("%d: no %s", i+1, key)
			}
		}
	}
}

// No value of an argument, of a row or of a literal is in the log unless it is
// asked for.
func TestSlogTracerRedacts(t *testing.T) {
	const secret = "s3cr3t"
	ctx := context.Background()
	rows := func(values ...any) func(func([]any, error) bool) { return psyco.SliceRows([][]any{values}) }
	tests := []struct {
		name string
		run  func(db *sql.DB) error
	}{
		{"argument", func(db *sql.DB) error { return second(db.Exec("SELECT %s", secret)) }},
		{"named argument", func(db *sql.DB) error { return second(db.Exec("SELECT %(a)s", sql.Named("a", secret))) }},
		{"prepared", func(db *sql.DB) error {
			stmt, err := db.Prepare("SELECT $1::text")
			if err != nil {
				return err
			}
			defer stmt.Close()
			return second(stmt.Exec(secret))
		}},
		{"literal", func(db *sql.DB) error { return second(db.Exec("SELECT '" + secret + "'")) }},
		{"password in a literal", func(db *sql.DB) error {
			return second(db.Exec("BEGIN; CREATE ROLE tracer_a PASSWORD '" + secret + "'; ROLLBACK"))
		}},
		{"password bound by the client", func(db *sql.DB) error {
			tx, err := db.Begin()
			if err != nil {
				return err
			}
			defer tx.Rollback()
			return second(tx.Exec("CREATE ROLE tracer_b PASSWORD %s", secret))
		}},
		{"detail of a unique violation", func(db *sql.DB) error {
			mustExec(t, db, "INSERT INTO person VALUES (7, 's3' || 'cr3t')")
			return second(db.Exec("INSERT INTO person SELECT 8, 's3' || 'cr3t'"))
		}},
		{"message of an invalid date", func(db *sql.DB) error {
			return second(db.Exec("INSERT INTO person SELECT 9, '', ('s3' || 'cr3t')::date"))
		}},
		{"message of a procedure", func(db *sql.DB) error {
			return second(db.Exec("DO $$BEGIN RAISE EXCEPTION USING ERRCODE = '23505', MESSAGE = 's3' || 'cr3t'; END$$"))
		}},
		{"syntax error behind client-side binding", func(db *sql.DB) error { return second(db.Exec("CREATE ROLE %s", secret)) }},
		{"syntax error in a literal", func(db *sql.DB) error { return second(db.Exec("SELECT 1 '" + secret + "'")) }},
		{"argument that cannot be sent", func(db *sql.DB) error {
			return second(db.Exec("SELECT %s", failingValuer{secret}))
		}},
		{"native argument that cannot be sent", func(db *sql.DB) error {
			return second(db.Exec("SELECT $1", failingValuer{secret}))
		}},
		{"row of ExecMany", func(db *sql.DB) error {
			return second(psyco.ExecMany(ctx, db, "INSERT INTO person VALUES (%s, %s)", rows(1, failingValuer{secret})))
		}},
		{"row of CopyRows", func(db *sql.DB) error {
			return second(psyco.CopyRows(ctx, db, psyco.Identifier{"person"}, []string{"id", "born"}, rows(1, secret)))
		}},
		{"batch", func(db *sql.DB) error {
			var b psyco.Batch
			b.Queue("INSERT INTO person VALUES (%s, %s)", 11, secret)
			b.Queue("DELETE FROM person WHERE email = '" + secret + "'")
			return b.Run(ctx, db)
		}},
	}
	db, take := loggedDB(t, psyco.SlogTracer{}, slog.LevelDebug)
	open, takeOpen := loggedDB(t, psyco.SlogTracer{Values: true}, slog.LevelDebug)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.run(db)
			text, records := take()
			if len(records) == 0 || strings.Contains(text, secret) {
				t.Errorf("the log tells:\n%s", text)
			}
			tt.run(open)
			if text, _ := takeOpen(); !strings.Contains(text, secret) {
				t.Errorf("with Values the log tells:\n%s", text)
			}
		})
	}
}

type failingValuer struct{ secret string }

func (f failingValuer) MarshalText() ([]byte, error) { return nil, errText(f.secret) }
func (f failingValuer) Value() (any, error)          { return nil, errText(f.secret) }

type errText string

func (e errText) Error() string { return string(e) + " is not a value" }

func TestSlogTracerLevels(t *testing.T) {
	run := func(db *sql.DB) {
		mustExec(t, db, "SELECT 1")
		mustExec(t, db, "SELECT pg_sleep(0.05)")
		db.Exec("SELECT nothing")
	}
	for _, tt := range []struct {
		name   string
		tracer psyco.SlogTracer
		level  slog.Level
		want   string
	}{
		{"all", psyco.SlogTracer{}, slog.LevelInfo, "INFO INFO ERROR"},
		{"debug", psyco.SlogTracer{Level: slog.LevelDebug}, slog.LevelDebug, "DEBUG DEBUG ERROR"},
		{"debug is not wanted", psyco.SlogTracer{Level: slog.LevelDebug}, slog.LevelInfo, "ERROR"},
		{"slow ones", psyco.SlogTracer{SlowerThan: 50 * time.Millisecond}, slog.LevelInfo, "INFO ERROR"},
		{"very slow ones", psyco.SlogTracer{SlowerThan: time.Hour}, slog.LevelInfo, "ERROR"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			records := logged(t, tt.tracer, tt.level, run)
			var got []string
			for _, r := range records {
				got = append(got, r["level"].(string))
			}
			if tt.name == "slow ones" && len(got) > 2 {
				got = got[len(got)-2:] // on a busy machine the first one may be slow, too
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %v, want %s", records, tt.want)
			}
		})
	}
}

func TestSlogTracerCanceled(t *testing.T) {
	db, take := loggedDB(t, psyco.SlogTracer{}, slog.LevelInfo)
	admin := open(t, sameDatabase(t, db))
	take()
	ctx, expire := testdb.Deadline(context.Background())
	defer expire()
	whenWaiting(t, admin, "pg_sleep", expire)
	db.ExecContext(ctx, "SELECT pg_sleep(60)")
	_, records := take()
	if len(records) != 1 || records[0]["error.type"] != "context.DeadlineExceeded" || records[0]["db.response.status_code"] != "57014" {
		t.Errorf("got %v", records)
	}
}

func TestTraceSummary(t *testing.T) {
	for _, tt := range []struct {
		query string
		batch int
		want  string
	}{
		{"select 1", 0, "SELECT"},
		{"SELECT * FROM a JOIN s.b ON true, (SELECT 1 FROM \"C d\") x", 0, `SELECT a s.b "C d"`},
		{"INSERT INTO a SELECT * FROM ONLY b ON CONFLICT DO UPDATE SET x = 1", 0, "INSERT a b"},
		{"UPDATE a SET b = 1 FROM c", 0, "UPDATE a c"},
		{"WITH x AS (UPDATE a SET b = 1 RETURNING *) SELECT * FROM x FOR UPDATE OF x", 0, "WITH a x"},
		{"DELETE FROM a WHERE b IS DISTINCT FROM c", 0, "DELETE a"},
		{"CREATE TABLE IF NOT EXISTS s . a (b int)", 0, "CREATE s"},
		{"COPY a (b) FROM STDIN", 0, "COPY a"},
		{"COPY (SELECT 1 FROM a) TO STDOUT", 0, "COPY a"},
		{"/* x */ COMMIT", 0, "COMMIT"},
		{"SELECT 'FROM a', $$ FROM b $$ -- FROM c", 0, "SELECT"},
		{"SELECT * FROM", 0, "SELECT"},
		{"DELETE FROM a; DELETE FROM b", 2, "BATCH DELETE a b"},
		{"DELETE FROM a; SELECT 1", 2, "BATCH"},
		{"DELETE FROM a; SELECT 1", 0, "DELETE a"},
	} {
		trace := psyco.Trace{Call: "Query", Query: tt.query, BatchSize: tt.batch}
		if tt.want == "BATCH" {
			tt.want = "BATCH a"
		}
		if got := trace.Summary(); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.query, got, tt.want)
		}
	}
	if got := (&psyco.Trace{Call: "Connect"}).Summary(); got != "CONNECT" {
		t.Errorf("got %q", got)
	}
}

// The tracer's own cost, in allocations for a warm query and a warm statement.
func TestTracerAllocations(t *testing.T) {
	dsn := pgserver.TestDSN(t)
	plain := open(t, dsn)
	counting := open(t, dsn, psyco.WithTracer(nothing{}))
	quiet := open(t, dsn, psyco.WithTracer(&psyco.SlogTracer{Level: slog.LevelDebug, Logger: slog.New(slog.DiscardHandler)}))
	cost := func(db *sql.DB) []float64 {
		var n int
		return []float64{
			testing.AllocsPerRun(200, func() {
				if err := db.QueryRow("SELECT %s::int", 500).Scan(&n); err != nil {
					t.Fatal(err)
				}
			}),
			testing.AllocsPerRun(200, func() { mustExec(t, db, "SELECT %s::int", 500) }),
		}
	}
	base, traced, silent := cost(plain), cost(counting), cost(quiet)
	t.Logf("without a tracer %v, with one that does nothing %v, with a SlogTracer that writes nothing %v", base, traced, silent)
	if !slices.Equal(traced, []float64{base[0] + 2, base[1] + 2}) || !slices.Equal(silent, traced) {
		t.Errorf("a tracer costs other than 2 allocations")
	}
}

type nothing struct{}

func (nothing) TraceStart(ctx context.Context, _ *psyco.Trace) context.Context { return ctx }
func (nothing) TraceEnd(context.Context, *psyco.Trace)                         {}
