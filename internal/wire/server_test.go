package wire_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/wire"
)

// session is lib/pq on top of a wire.Conn to the real server.
type session struct {
	*wire.Conn
	t  testing.TB
	pq driver.Conn
}

// dialer dials for lib/pq and keeps the last connection.
type dialer struct{ last *wire.Conn }

var _ pq.DialerContext = (*dialer)(nil)

func (d *dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

func (d *dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := wire.New(nc)
	if d.last == nil {
		d.last = c
	}
	return c, nil
}

func open(t testing.TB) *session {
	t.Helper()
	return openDSN(t, pgserver.TestDSN(t))
}

func openDSN(t testing.TB, dsn string) *session {
	t.Helper()
	cfg, err := pq.NewConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	cfg.SSLMode = pq.SSLModeDisable
	connector, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d := new(dialer)
	connector.Dialer(d)
	dc, err := connector.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dc.Close() }) // some tests end the session themselves
	return &session{Conn: d.last, t: t, pq: dc}
}

func named(args []any) []driver.NamedValue {
	var list []driver.NamedValue
	for i, a := range args {
		if n, ok := a.(int); ok {
			a = int64(n)
		}
		list = append(list, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return list
}

func (s *session) exec(sql string, args ...any) error {
	_, err := s.pq.(driver.ExecerContext).ExecContext(context.Background(), sql, named(args))
	return err
}

func (s *session) must(sql string, args ...any) {
	s.t.Helper()
	if err := s.exec(sql, args...); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

// query returns all rows, their columns joined by "|".
func (s *session) query(sql string, args ...any) ([]string, error) {
	rows, err := s.pq.(driver.QueryerContext).QueryContext(context.Background(), sql, named(args))
	if err != nil {
		return nil, err
	}
	return drain(rows)
}

func drain(rows driver.Rows) ([]string, error) {
	var all []string
	values := make([]driver.Value, len(rows.Columns()))
	for {
		err := rows.Next(values)
		if err == io.EOF {
			return all, rows.Close()
		}
		if err != nil {
			_ = rows.Close() // the first error is the one to tell
			return all, err
		}
		var line []string
		for _, v := range values {
			if b, ok := v.([]byte); ok {
				v = string(b)
			}
			line = append(line, fmt.Sprint(v))
		}
		all = append(all, strings.Join(line, "|"))
	}
}

func (s *session) rows(sql string, args ...any) string {
	s.t.Helper()
	rows, err := s.query(sql, args...)
	if err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	return strings.Join(rows, "\n")
}

// trips returns the round trips of f.
func (s *session) trips(f func()) uint64 {
	before := s.Stats().RoundTrips
	f()
	return s.Stats().RoundTrips - before
}

func (s *session) prepare(sql string) driver.Stmt {
	s.t.Helper()
	st, err := s.pq.Prepare(sql)
	if err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	return st
}

// usable checks that the session is idle and works.
func (s *session) usable() {
	s.t.Helper()
	equal(s.t, "pending", s.Pending(), false)
	if err := s.Alive(); err != nil {
		s.t.Error(err)
	}
	equal(s.t, "SELECT 42", s.rows("SELECT 42"), "42")
}

func code(err error) string {
	var e *pq.Error
	if errors.As(err, &e) {
		return string(e.Code)
	}
	return ""
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestServerState(t *testing.T) {
	s := open(t)
	equal(t, "status", s.TxStatus(), 'I')
	equal(t, "pid", s.rows("SELECT pg_backend_pid()"), fmt.Sprint(s.PID()))
	if len(s.CancelKey()) < 4 {
		t.Errorf("cancel key of %d bytes", len(s.CancelKey()))
	}
	version, ok := s.Parameter("server_version")
	equal(t, "reported", ok, true)
	equal(t, "version", s.rows("SHOW server_version"), version)
	equal(t, "round trips of a query", s.trips(func() { s.rows("SELECT 1") }), 1)
	equal(t, "round trips with an argument", s.trips(func() { s.rows("SELECT $1", "x") }), 2)
	s.TakeEvents()
	s.must("SET TimeZone = 'Asia/Tokyo'")
	zone, _ := s.Parameter("TimeZone")
	equal(t, "TimeZone", zone, "Asia/Tokyo")
	equal(t, "events", s.TakeEvents(), wire.EventSet|wire.EventParameter)
	s.must("BEGIN; SAVEPOINT a; CREATE TABLE t (i int); INSERT INTO t VALUES (1), (2)")
	equal(t, "status", s.TxStatus(), 'T')
	equal(t, "tag", s.CommandTag(), "INSERT 0 2")
	n, ok := wire.RowsAffected(s.CommandTag())
	equal(t, "rows", n, 2)
	equal(t, "ok", ok, true)
	equal(t, "events", s.TakeEvents(), wire.EventBegin|wire.EventSavepoint|wire.EventDDL)
	equal(t, "error", code(s.exec("SELECT 1/0")), "22012")
	equal(t, "status", s.TxStatus(), 'E')
	s.must("COMMIT")
	equal(t, "status", s.TxStatus(), 'I')
	equal(t, "tag", s.CommandTag(), "ROLLBACK")
	equal(t, "events", s.TakeEvents(), wire.EventError|wire.EventRollback)
	for sql, want := range map[string]wire.Events{
		"DISCARD ALL": wire.EventDiscardAll, "DEALLOCATE ALL": wire.EventDeallocateAll,
		"PREPARE p AS SELECT 1; DEALLOCATE p": wire.EventDeallocate, "RESET search_path": wire.EventSet,
		"LISTEN a": wire.EventListen, "BEGIN; PREPARE TRANSACTION 'x'": wire.EventBegin | wire.EventPrepareTransaction,
	} {
		s.TakeEvents()
		s.must(sql)
		if got := s.TakeEvents(); got&^wire.EventParameter != want {
			t.Errorf("%s: events %b, want %b", sql, got, want)
		}
	}
	s.must("ROLLBACK PREPARED 'x'")
	s.usable()
}

func TestServerLargeResults(t *testing.T) {
	s := open(t)
	rows := s.rows("SELECT i, repeat('x', i % 100) FROM generate_series(1, 100000) i")
	equal(t, "rows", strings.Count(rows, "\n"), 99999)
	equal(t, "huge value", len(s.rows("SELECT repeat('x', 5000000)")), 5000000)
	equal(t, "huge values", len(s.rows("SELECT repeat('x', 100000) FROM generate_series(1, 100)")), 100*100001-1)
	s.usable()
}

func TestServerLongError(t *testing.T) {
	s := open(t)
	err := s.exec("DO $$ BEGIN RAISE EXCEPTION '%', repeat('long', 100000) USING ERRCODE = 'XX123'; END $$")
	equal(t, "code", code(err), "XX123")
	s.usable()
}

func TestServerSkipRows(t *testing.T) {
	s := open(t)
	rows, err := s.pq.(driver.QueryerContext).QueryContext(t.Context(), "SELECT i FROM generate_series(1, 1000000) i", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.SkipRows()
	seen, err := drain(rows)
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) > 10_000 {
		t.Errorf("%d rows were delivered", len(seen))
	}
	s.usable()
}

func TestServerPrefix(t *testing.T) {
	s := open(t)
	s.SetStatementPrefix("psyco_")
	s.must("CREATE TABLE t (i int)")
	st := s.prepare("INSERT INTO t VALUES ($1)").(driver.StmtExecContext)
	equal(t, "names", s.rows("SELECT name FROM pg_prepared_statements"), "psyco_1")
	insert := func(v any) error {
		_, err := st.ExecContext(t.Context(), named([]any{v}))
		return err
	}

	s.Prefix("BEGIN")
	equal(t, "round trips", s.trips(func() {
		if err := insert(int64(1)); err != nil {
			t.Fatal(err)
		}
	}), 1)
	equal(t, "status", s.TxStatus(), 'T')
	equal(t, "tag", s.CommandTag(), "INSERT 0 1")
	equal(t, "outcome", s.PrefixOutcome(), wire.PrefixOutcome{Sent: 1, Done: 1})
	s.Prefix("SAVEPOINT a")
	equal(t, "in a query", s.rows("SELECT count(*) FROM t WHERE i = $1", 1), "1")
	s.Prefix("ROLLBACK TO SAVEPOINT a")
	s.Prefix("SAVEPOINT b")
	equal(t, "bad argument", code(insert("x")), "22P02")
	equal(t, "status", s.TxStatus(), 'E')
	equal(t, "outcome", s.PrefixOutcome(), wire.PrefixOutcome{Sent: 2, Done: 2})
	s.Prefix("ROLLBACK TO SAVEPOINT b") // a failed transaction is mended on the way
	if err := insert(int64(2)); err != nil {
		t.Fatal(err)
	}
	s.must("COMMIT")
	equal(t, "rows", s.rows("SELECT * FROM t"), "1\n2")

	// When BEGIN fails, what it should have protected must not run.
	s.Prefix("BEGIN ISOLATION LEVEL NONSENSE")
	equal(t, "failed BEGIN", code(insert(int64(3))), "42601")
	equal(t, "status", s.TxStatus(), 'I')
	equal(t, "outcome", s.PrefixOutcome(), wire.PrefixOutcome{Sent: 1, Failed: true})
	s.Prefix("BEGIN")
	s.Prefix("ROLLBACK TO SAVEPOINT nonsense")
	equal(t, "failed SAVEPOINT", code(s.exec("INSERT INTO t VALUES ($1)", 4)), "3B001")
	equal(t, "outcome", s.PrefixOutcome(), wire.PrefixOutcome{Sent: 2, Done: 1, Failed: true})
	equal(t, "status", s.TxStatus(), 'E')
	s.must("ROLLBACK")
	equal(t, "rows", s.rows("SELECT * FROM t"), "1\n2")

	// A Close rides along.
	s.prepare("SELECT 1")
	s.PrefixClose("1")
	equal(t, "rows", s.rows("SELECT i FROM t WHERE i = $1", 1), "1")
	equal(t, "names", s.rows("SELECT name FROM pg_prepared_statements ORDER BY name"), "psyco_2")
	s.PrefixClose("2")
	equal(t, "names", s.rows("SELECT count(*) FROM pg_prepared_statements"), "0")
	s.must("DISCARD ALL")
	s.Prefix("BEGIN")
	equal(t, "rows", s.rows("SELECT i FROM t WHERE i = $1", 1), "1")
	s.must("ROLLBACK")
	s.usable()
}

func TestServerPrefixInBinaryMode(t *testing.T) {
	s := openDSN(t, pgserver.TestDSN(t)+" binary_parameters=yes")
	s.Prefix("BEGIN")
	s.DeclareTypes([]uint32{25})
	equal(t, "type", s.rows("SELECT pg_typeof($1)", "x"), "text")
	equal(t, "status", s.TxStatus(), 'T')
	s.must("COMMIT")
	s.usable()
}

func TestServerDeclareTypes(t *testing.T) {
	s := open(t)
	s.DeclareTypes([]uint32{23, 0, 1184})
	equal(t, "types", s.rows("SELECT pg_typeof($1), pg_typeof($2 || 'x'), pg_typeof($3)", 1, "y", "2020-01-01"),
		"integer|text|timestamp with time zone")
	equal(t, "untyped", code(s.exec("SELECT pg_typeof($1)", 1)), "42P18")
	s.usable()
}

func TestServerAlive(t *testing.T) {
	s, admin := open(t), open(t)
	if n := testing.AllocsPerRun(100, func() {
		if err := s.Alive(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	received := s.Stats().BytesReceived
	admin.must(fmt.Sprintf("SELECT pg_terminate_backend(%d)", s.PID()))
	for s.Alive() == nil { // until the server has done it
		time.Sleep(time.Millisecond)
	}
	if s.Stats().BytesReceived == received {
		t.Error("nothing was read")
	}
	err := s.Alive()
	var e *wire.Error
	if !errors.As(err, &e) || e.Code != "57P01" {
		t.Errorf("error %v", err)
	}
	if f := s.Fatal(); f == nil || f.Code != "57P01" || !f.Fatal() {
		t.Errorf("fatal %v", f)
	}
}

func TestServerAliveKeepsNotifications(t *testing.T) {
	dsn := pgserver.TestDSN(t)
	s, other := openDSN(t, dsn), openDSN(t, dsn)
	var got []string
	pq.SetNotificationHandler(s.pq, func(n *pq.Notification) { got = append(got, n.Extra) })
	s.must("LISTEN ch")
	other.must("NOTIFY ch, 'one'")
	other.must("NOTIFY ch, 'two'")
	const size = len("A\x00\x00\x00\x00pid.ch\x00one\x00")
	received := s.Stats().BytesReceived
	for s.Stats().BytesReceived < received+2*uint64(size) {
		if err := s.Alive(); err != nil {
			t.Fatal(err)
		}
	}
	s.usable()
	if !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("notifications %q", got)
	}
}
