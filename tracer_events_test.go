package psyco_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/DATA-DOG/go-sqlmock"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testdb"
)

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
