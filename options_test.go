package psyco_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/dial/dialtest"
	"github.com/psyco-go/psyco/internal/faultproxy"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testdb"
)

// TestWithDialer: all connections, those of cancel requests too, are the
// dialer's.
func TestWithDialer(t *testing.T) {
	s, err := pgserver.Shared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var dials atomic.Int32
	db := testDB(t, psyco.WithDialer(func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		if network != "tcp" || address != "db.behind.a.tunnel:1234" {
			return nil, fmt.Errorf("dialled %s %s", network, address)
		}
		return new(net.Dialer).DialContext(ctx, s.Network(), s.Addr())
	}))
	if err := db.Ping(); err == nil || !strings.Contains(err.Error(), "dialled unix /") {
		t.Fatalf("the dialer's error: %v", err)
	}
	dials.Store(0)
	db = open(t, "host=db.behind.a.tunnel port=1234 user=postgres dbname=postgres sslmode=disable", psyco.WithDialer(
		func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			return new(net.Dialer).DialContext(ctx, s.Network(), s.Addr())
		}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	whenWaiting(t, open(t, s.DSN()), "pg_sleep", cancel)
	if _, err := db.ExecContext(ctx, "SELECT pg_sleep(60)"); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if n := dials.Load(); n != 2 {
		t.Errorf("%d dials, want one for the session and one for the cancel request", n)
	}
}

// TestWithPassword uses tokens that work once.
func TestWithPassword(t *testing.T) {
	s := dialtest.WithTLS(t)
	admin := open(t, s.DSN())
	var calls atomic.Int32
	c, err := psyco.NewConnector(fmt.Sprintf("host=127.0.0.1 port=%d user=scram_user dbname=postgres password=stale sslmode=disable", s.Port()),
		psyco.WithPassword(func(ctx context.Context, cfg *psyco.Config, host psyco.Host) (string, error) {
			if cfg.User != "scram_user" || int(host.Port) != s.Port() {
				return "", fmt.Errorf("asked for %s at %s", cfg.User, host)
			}
			token := fmt.Sprintf("token-%d", calls.Add(1))
			_, err := admin.ExecContext(ctx, "ALTER ROLE scram_user PASSWORD %s", token)
			return token, err
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustExec(t, admin, "ALTER ROLE scram_user PASSWORD 'sesame'") })
	db := openDB(t, c)
	for n := range 3 {
		conn, err := db.Conn(t.Context()) // all stay open
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if got := all(t, conn, "SELECT current_user"); got[0] != "scram_user" || int(calls.Load()) != n+1 {
			t.Fatalf("connection %d: %s, %d tokens", n+1, got, calls.Load())
		}
	}
	vault := errors.New("the vault is shut")
	db = open(t, "host=127.0.0.1", psyco.WithPassword(func(context.Context, *psyco.Config, psyco.Host) (string, error) { return "secret-token", vault }))
	if err := db.Ping(); !errors.Is(err, vault) || strings.Contains(err.Error(), "secret-token") {
		t.Errorf("got %v", err)
	}
}

// TestWithBeforeConnect: each connection has the configuration that the function gave it,
// and the connector's stays what it was.
func TestWithBeforeConnect(t *testing.T) {
	s, err := pgserver.Shared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var change func(cfg *psyco.Config) error
	con, err := psyco.NewConnector(s.DSN()+" application_name=before password=stale", psyco.WithBeforeConnect(
		func(ctx context.Context, cfg *psyco.Config) error {
			if ctx.Value(callerKey{}) != "caller" {
				t.Error("not the caller's context")
			}
			return change(cfg)
		}),
		psyco.WithPassword(func(_ context.Context, cfg *psyco.Config, host psyco.Host) (string, error) {
			if cfg.Password != "new" || cfg.ApplicationName != "after" || len(cfg.Hosts) != 1 || cfg.Hosts[0] != host {
				t.Errorf("WithPassword gets %v for %v", cfg, host)
			}
			return cfg.Password, nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	before := con.Config()
	db := sql.OpenDB(con)
	t.Cleanup(func() { db.Close() })
	db.SetMaxIdleConns(0) // every use connects
	ctx := context.WithValue(t.Context(), callerKey{}, "caller")
	vault := errors.New("the vault is shut")
	for _, tt := range []struct {
		name, want string // "": an error
		err        string
		change     func(cfg *psyco.Config) error
	}{
		{"another database", "template1 after", "", func(cfg *psyco.Config) error { cfg.Database = "template1"; return nil }},
		{"nothing more", "postgres after", "", func(cfg *psyco.Config) error { return nil }},
		{"hosts", "postgres after", "", func(cfg *psyco.Config) error {
			cfg.Hosts = append([]psyco.Host{{Host: "127.0.0.1", Port: 1}}, cfg.Hosts...)[1:]
			return nil
		}},
		{"defaults are filled in", "postgres after", "", func(cfg *psyco.Config) error { cfg.TargetSessionAttrs = ""; return nil }},
		{"settings of its own", "postgres after", "", func(cfg *psyco.Config) error { cfg.Binding, cfg.StatementCacheCapacity = "client", 0; return nil }},
		{"error", "", "the vault is shut", func(*psyco.Config) error { return vault }},
		{"invalid", "", `psyco: invalid sslmode value: "always"`, func(cfg *psyco.Config) error { cfg.SSLMode = "always"; return nil }},
		{"placeholders", "", "psyco: WithBeforeConnect: Placeholders cannot change", func(cfg *psyco.Config) error { cfg.Placeholders = "psycopg"; return nil }},
		{"user", "", "nobody_of_this_name", func(cfg *psyco.Config) error { cfg.User = "nobody_of_this_name"; return nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			change = func(cfg *psyco.Config) error {
				cfg.Password, cfg.ApplicationName = "new", "after"
				return tt.change(cfg)
			}
			var got string
			err := db.QueryRowContext(ctx, "SELECT current_database() || ' ' || current_setting('application_name') WHERE $1", true).Scan(&got)
			if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %q, %v", got, err)
			}
			if tt.name == "error" && !errors.Is(err, vault) {
				t.Errorf("%v is not the function's error", err)
			}
			if after := con.Config(); after.FormatDSN() != before.FormatDSN() {
				t.Errorf("the connector's configuration became %v", after)
			}
		})
	}
}

type callerKey struct{}

func TestWithOnConnect(t *testing.T) {
	var pids []string
	db := testDB(t, psyco.WithOnConnect(func(_ context.Context, c *psyco.Conn) error {
		pids = append(pids, fmt.Sprint(c.PID()))
		return nil
	}))
	for range 3 {
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if pid := all(t, conn, "SELECT pg_backend_pid()")[0]; pids[len(pids)-1] != pid {
			t.Errorf("called for %v, not for %s", pids, pid)
		}
		if err := conn.Raw(func(any) error { return driver.ErrBadConn }); err != driver.ErrBadConn {
			t.Fatal(err)
		}
	}
	if len(pids) != 3 || len(slices.Compact(slices.Sorted(slices.Values(pids)))) != 3 {
		t.Errorf("called for %v", pids)
	}
}

// TestWithOnConnectFails: the connection is closed, and the error is the
// function's own.
func TestWithOnConnectFails(t *testing.T) {
	dsn := pgserver.TestDSN(t)
	wrong := errors.New("not this server")
	var sockets sync.Map // open sockets
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		sockets.Store(nc, true)
		return &closeWatch{nc, func() { sockets.Delete(nc) }}, nil
	}
	db := open(t, dsn, psyco.WithDialer(dial), psyco.WithOnConnect(func(context.Context, *psyco.Conn) error { return wrong }))
	if err := db.Ping(); err != wrong {
		t.Errorf("got %v", err)
	}
	sockets.Range(func(any, any) bool { t.Error("a socket is open"); return true })
	if n := db.Stats().OpenConnections; n != 0 {
		t.Errorf("%d connections in the pool", n)
	}
}

type closeWatch struct {
	net.Conn
	closed func()
}

func (c *closeWatch) Close() error {
	c.closed()
	return c.Conn.Close()
}

func TestWithNoticeHandler(t *testing.T) {
	var got []string
	db := testDB(t, psyco.WithNoticeHandler(func(e *pq.Error) { got = append(got, e.Severity+" "+e.Message) }))
	db.SetMaxOpenConns(1)
	mustExec(t, db, "DO $$ BEGIN RAISE NOTICE 'one'; RAISE WARNING 'two'; END $$")
	mustExec(t, db, `CREATE FUNCTION f(i int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''f %'', i; RETURN i; END'`)
	for i := range 4 { // the ways of the statement cache
		all(t, db, "SELECT f(%s)", i)
	}
	all(t, db, "SELECT f($1) FROM generate_series(1, 2)", 7)
	want := []string{"NOTICE one", "WARNING two", "NOTICE f 0", "NOTICE f 1", "NOTICE f 2", "NOTICE f 3", "NOTICE f 7", "NOTICE f 7"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWithNotificationHandler(t *testing.T) {
	dsn := pgserver.TestDSN(t)
	var got []string
	var pid int
	db := open(t, dsn, psyco.WithNotificationHandler(func(n *pq.Notification) {
		got, pid = append(got, n.Channel+" "+n.Extra), n.BePid
	}))
	db.SetMaxOpenConns(1)
	other, err := open(t, dsn).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	mustExec(t, db, "LISTEN news")
	mustExec(t, other, "NOTIFY news, 'first'")
	mustExec(t, other, "SELECT pg_notify(%s, %s)", "news", "second")
	mustExec(t, other, "NOTIFY gossip, 'third'")
	all(t, db, "SELECT %s", 1)
	if want := []string{"news first", "news second"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if from := all(t, other, "SELECT pg_backend_pid()")[0]; from != fmt.Sprint(pid) {
		t.Errorf("from process %d, want %s", pid, from)
	}
}

func TestWithTLSConfig(t *testing.T) {
	s := dialtest.WithTLS(t)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(dialtest.Certs.Root.PEM()) {
		t.Fatal("no certificate")
	}
	dsn := fmt.Sprintf("host=db.example.test hostaddr=127.0.0.1 port=%d user=postgres dbname=postgres", s.Port())
	const query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
	for _, tt := range []struct {
		name, dsn string
		config    *tls.Config
		want      string // of the answer or the error
	}{
		{"trusted", "", &tls.Config{RootCAs: roots}, "true"},
		{"sslmode=disable turns it off", "sslmode=disable", &tls.Config{RootCAs: roots}, "false"},
		{"required even with prefer", "sslmode=prefer", &tls.Config{RootCAs: x509.NewCertPool()}, "certificate signed by unknown authority"},
		{"another name", "", &tls.Config{RootCAs: roots, ServerName: "other.example.test"}, "not other.example.test"},
		{"files are not read", "sslrootcert=/nonexistent sslmode=verify-full", &tls.Config{RootCAs: roots}, "true"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			config := tt.config.Clone()
			db := open(t, dsn+" "+tt.dsn, psyco.WithTLSConfig(config))
			var got string
			if err := db.QueryRow(query).Scan(&got); err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, tt.want) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if config.ServerName != tt.config.ServerName {
				t.Error("the caller's configuration was changed")
			}
		})
	}
}

type celsius float64

func TestWithTypeMap(t *testing.T) {
	var m psyco.TypeMap
	psyco.RegisterAdapter(&m, func(c celsius) (any, uint32, error) {
		if c < -273.15 {
			return nil, 0, errors.New("too cold")
		}
		return fmt.Sprintf("%.1f °C", float64(c)), 25, nil // text
	})
	db := testDB(t, psyco.WithTypeMap(&m))
	if got := all(t, db, "SELECT %s, pg_typeof(%s)::text", celsius(21.5), celsius(0)); got[0] != "21.5 °C,text" {
		t.Errorf("got %s", got)
	}
	if got := all(t, db, "SELECT %s::text", []celsius{1, 2}); got[0] != `{"1.0 °C","2.0 °C"}` {
		t.Errorf("a slice: %s", got)
	}
	if _, err := db.Exec("SELECT %s", celsius(-300)); err == nil || !strings.Contains(err.Error(), "too cold") {
		t.Errorf("the adapter's error: %v", err)
	}
	if got := all(t, db, "SELECT $1::float8", celsius(21.5)); got[0] != "21.5" {
		t.Errorf("a native query: %s", got)
	}
	if got := all(t, testDB(t), "SELECT %s", celsius(21.5)); got[0] != "21.5" {
		t.Errorf("another connector: %s", got)
	}
}

// TestWithCancelGrace: the server does not hear of the cancel request. While
// the grace lasts nothing happens; when it is over the connection is cut.
func TestWithCancelGrace(t *testing.T) {
	p, db, _ := faulty(t, "", psyco.WithCancelGrace(time.Hour))
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	started := p.On(faultproxy.Before(faultproxy.SQL("pg_sleep")), func(l *faultproxy.Link) { l.Stall(faultproxy.Both) })
	requested := p.On(faultproxy.After(faultproxy.Msg(faultproxy.ToServer, string(faultproxy.CancelRequest))), func(*faultproxy.Link) {})
	result := make(chan error)
	go func() {
		_, err := db.ExecContext(ctx, "SELECT pg_sleep(0)")
		result <- err
	}()
	<-started.Fired()
	cancel()
	<-requested.Fired()
	select {
	case err := <-result:
		t.Fatalf("within the grace: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	p.Cut()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}

	p, db, _ = faulty(t, "", psyco.WithCancelGrace(time.Millisecond))
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	p.On(faultproxy.Before(faultproxy.SQL("SELECT 1")), func(l *faultproxy.Link) {
		p.Stall(faultproxy.Both)
		cancel()
	})
	if _, err := db.ExecContext(ctx, "SELECT 1"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if n := db.Stats().OpenConnections; n != 0 {
		t.Errorf("%d connections in the pool", n)
	}
}

func TestConnectorConfig(t *testing.T) {
	cfg := psyco.NewConfig()
	cfg.Hosts = []psyco.Host{{Host: "db1", Port: 5433}}
	cfg.User, cfg.RuntimeParams = "app", map[string]string{"search_path": "a"}
	c, err := psyco.NewConnectorConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Hosts[0].Host, cfg.RuntimeParams["search_path"] = "changed", "changed"
	got := c.Config()
	if got.Hosts[0].Host != "db1" || got.RuntimeParams["search_path"] != "a" || got.Database != "app" {
		t.Errorf("got %v", got)
	}
	got.Hosts[0].Host = "changed"
	if again := c.Config(); again.Hosts[0].Host != "db1" {
		t.Error("Config gave away its own configuration")
	}
	if cfg.Database != "" {
		t.Error("NewConnectorConfig filled in the caller's Config")
	}
	cfg.SSLMode = "nonsense"
	if _, err := psyco.NewConnectorConfig(cfg); err == nil || !strings.HasPrefix(err.Error(), "psyco: ") {
		t.Errorf("a bad value: %v", err)
	}
	if _, ok := c.Driver().(*psyco.Driver); !ok {
		t.Errorf("Driver is a %T", c.Driver())
	}
}

// TestDriver uses the driver without a pool.
func TestDriver(t *testing.T) {
	dsn := pgserver.TestDSN(t)
	conn, err := new(psyco.Driver).Open(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	for _, d := range []func() error{
		func() error { _, err := new(psyco.Driver).Open("sslmode=x"); return err },
		func() error { _, err := new(psyco.Driver).OpenConnector("sslmode=x"); return err },
		func() error { _, err := sql.Open("psyco", "sslmode=x"); return err },
	} {
		if err := d(); err == nil || !strings.HasPrefix(err.Error(), "psyco: ") {
			t.Errorf("got %v", err)
		}
	}
}

func TestWarmUp(t *testing.T) {
	ctx := t.Context()
	connected := 0
	var mu sync.Mutex
	pool := func(idle, open int) *sql.DB {
		db := testDB(t, psyco.WithOnConnect(func(context.Context, *psyco.Conn) error {
			mu.Lock()
			defer mu.Unlock()
			connected++
			return nil
		}))
		db.SetMaxIdleConns(idle)
		db.SetMaxOpenConns(open)
		mu.Lock()
		defer mu.Unlock()
		connected = 0
		return db
	}
	for _, tt := range []struct {
		name          string
		idle, open, n int
		want          string // of the error
		connected     int
	}{
		{"three", 3, 3, 3, "", 3},
		{"no limit", 5, 0, 2, "", 2},
		{"none", 5, 0, 0, "", 0},
		{"more than may be open", 9, 2, 3, "psyco: WarmUp: the pool may have 2 connections, not 3: call db.SetMaxOpenConns", 0},
		{"more than may be idle", 1, 0, 3, "psyco: WarmUp: the pool has closed 2 of 3 connections again: call db.SetMaxIdleConns with 3 or more", 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := pool(tt.idle, tt.open)
			err := psyco.WarmUp(ctx, db, tt.n)
			if got := fmt.Sprint(err); err != nil && got != tt.want || err == nil && tt.want != "" {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if connected != tt.connected {
				t.Errorf("%d connections were opened, want %d", connected, tt.connected)
			}
			if err == nil {
				if err := psyco.WarmUp(ctx, db, tt.n); err != nil || connected != tt.connected { // they are there
					t.Errorf("again: %v, %d connections", err, connected)
				}
			}
		})
	}
	t.Run("no server", func(t *testing.T) {
		db := open(t, "host=/nonexistent")
		db.SetMaxIdleConns(2)
		var op *net.OpError
		if err := psyco.WarmUp(ctx, db, 2); !errors.As(err, &op) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the context ends", func(t *testing.T) {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		if err := psyco.WarmUp(ctx, pool(2, 2), 2); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// inEachMode opens databases with options in every mode.
func inEachMode(t *testing.T, f func(t *testing.T, db *sql.DB, wrapped bool), opts ...psyco.Option) {
	t.Helper()
	for _, m := range testdb.Modes {
		t.Run(m.Name, func(t *testing.T) {
			dsn := pgserver.TestDSN(t)
			if !m.Wrap {
				f(t, open(t, dsn+m.DSN, opts...), false)
				return
			}
			base, err := pq.NewConnector(dsn)
			if err != nil {
				t.Fatal(err)
			}
			f(t, openDB(t, psyco.Wrap(base, opts...)), true)
		})
	}
}

// TestCleanSession: whatever one user of the pool leaves in its session, the next one does not
// meet, whatever it begins with and however that ends.
func TestCleanSession(t *testing.T) {
	ctx := t.Context()
	firsts := []struct {
		name string
		run  func(db *sql.Conn) error // the first that is done with the connection when it is used again
	}{
		{"a query with arguments", func(db *sql.Conn) error {
			return db.QueryRowContext(ctx, "SELECT %s::int, 'a'", 1).Scan(new(int), new(string))
		}},
		{"a native one", func(db *sql.Conn) error {
			return db.QueryRowContext(ctx, "SELECT $1::int, 'a'", 1).Scan(new(int), new(string))
		}},
		{"one without", func(db *sql.Conn) error { return db.QueryRowContext(ctx, "SELECT 1").Scan(new(int)) }},
		{"one that fails", func(db *sql.Conn) error {
			if err := db.QueryRowContext(ctx, "SELECT 1 / %s::int", 0).Scan(new(int)); code(err) != "22012" {
				return fmt.Errorf("not a division by zero: %w", err)
			}
			return nil
		}},
		{"a transaction that is rolled back", func(db *sql.Conn) error {
			tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
			if err != nil {
				return err
			}
			defer tx.Rollback()
			return tx.QueryRow("SELECT %s::int", 1).Scan(new(int))
		}},
		{"an empty transaction", func(db *sql.Conn) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			return tx.Rollback()
		}},
		{"a ping", func(db *sql.Conn) error { return db.PingContext(ctx) }},
		{"a prepared statement", func(db *sql.Conn) error {
			stmt, err := db.PrepareContext(ctx, "SELECT $1::int")
			if err != nil {
				return err
			}
			defer stmt.Close()
			return stmt.QueryRow(1).Scan(new(int))
		}},
		{"typed rows", func(db *sql.Conn) error {
			_, err := psyco.QueryAll[int](ctx, db, "SELECT 1")
			return err
		}},
		{"ExecMany", func(db *sql.Conn) error {
			_, err := psyco.ExecMany(ctx, db, "INSERT INTO t VALUES (%s)", psyco.SliceRows([][]any{{1}, {2}}))
			return err
		}},
		{"CopyRows", func(db *sql.Conn) error {
			_, err := psyco.CopyRows(ctx, db, psyco.Identifier{"t"}, []string{"a"}, psyco.SliceRows([][]any{{1}, {2}}))
			return err
		}},
	}
	inEachMode(t, func(t *testing.T, db *sql.DB, wrapped bool) {
		db.SetMaxOpenConns(1)
		mustExec(t, db, "CREATE TABLE t (a int); CREATE SEQUENCE s; CREATE SCHEMA other; CREATE TABLE other.t (a int)")
		mustExec(t, db, "DO $$BEGIN CREATE ROLE psyco_cleaned; EXCEPTION WHEN duplicate_object THEN NULL; END$$; GRANT ALL ON t TO psyco_cleaned; GRANT USAGE ON SCHEMA public TO psyco_cleaned")
		pid := all(t, db, "SELECT pg_backend_pid()")[0]
		for _, first := range firsts {
			conn := mustConn(t, db)
			for _, dirt := range []string{
				"SET statement_timeout = '1h'", "SET search_path = other, public", "CREATE TEMP TABLE t (a text, b int)", "SELECT nextval('s')",
				"SELECT pg_advisory_lock(1)", "LISTEN dirt", "DECLARE dirt CURSOR WITH HOLD FOR SELECT 1", "SELECT set_config('app.tenant', 'them', false)",
				"SET SESSION AUTHORIZATION psyco_cleaned", "SET ROLE psyco_cleaned",
			} {
				mustExec(t, conn, dirt)
			}
			conn.Close()
			conn = mustConn(t, db)
			if err := first.run(conn); err != nil && !(wrapped && (first.name == "ExecMany" || first.name == "CopyRows")) {
				t.Errorf("%s: %v", first.name, err)
			}
			for _, left := range []struct{ query, want string }{
				{"SELECT current_user = session_user AND session_user <> 'psyco_cleaned'", "true"},
				{"SELECT current_setting('statement_timeout')", "0"},
				{"SELECT count(*) FROM pg_class WHERE relname = 't' AND relpersistence = 't' AND pg_table_is_visible(oid)", "0"},
				{"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()", "0"},
				{"SELECT count(*) FROM pg_listening_channels()", "0"},
				{"SELECT count(*) FROM pg_cursors WHERE name = 'dirt'", "0"},
				{"SELECT coalesce(current_setting('app.tenant', true), '')", ""},
				{"SELECT 't'::regclass = 'public.t'::regclass", "true"},
				{"SELECT pg_backend_pid()", pid},
			} {
				if got := all(t, conn, left.query); got[0] != left.want {
					t.Errorf("after %s, %s: %s, want %s", first.name, left.query, got[0], left.want)
				}
			}
			if err := conn.QueryRowContext(ctx, "SELECT currval('s')").Scan(new(int)); code(err) != "55000" {
				t.Errorf("after %s, currval: %v", first.name, err)
			}
			conn.Close()
		}
	}, psyco.WithOnReset(psyco.CleanSession))
}

// TestCleanSessionCostsNoRoundTrip: the cleaning goes with the statement, and what was
// prepared stays.
func TestCleanSessionCostsNoRoundTrip(t *testing.T) {
	db := testDB(t, psyco.WithOnReset(psyco.CleanSession))
	db.SetMaxOpenConns(1)
	ask := func() {
		if err := db.QueryRow("SELECT %s::int, 'a'", 1).Scan(new(int), new(string)); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		ask() // until it is prepared
	}
	before := stats(t, db)
	for range 10 {
		ask()
	}
	after := stats(t, db)
	if n := after.RoundTrips - before.RoundTrips; n != 10 {
		t.Errorf("10 statements took %d round trips", n)
	}
	if n := after.CacheHits - before.CacheHits; n != 10 {
		t.Errorf("%d of 10 statements were prepared", n)
	}
	for range 1000 {
		if err := db.Ping(); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	if n := stats(t, db).BytesSent - after.BytesSent; n > 20_000 {
		t.Errorf("pings made %d bytes wait for the next statement", n)
	}
}

// TestTimesAreReadAfterWhatGoesInFront: a text is not run as it was prepared if what goes in front
// of it changes how the server reads the times in it.
func TestTimesAreReadAfterWhatGoesInFront(t *testing.T) {
	ctx := t.Context()
	const set = "SET TimeZone = 'Asia/Tokyo'"
	const query = "SELECT '2024-01-02 00:00'::timestamptz"
	utc := time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC)
	tokyo := utc.Add(-9 * time.Hour)
	read := func(t *testing.T, h psyco.Handle, want time.Time) {
		t.Helper()
		for use := range 4 {
			if got, err := psyco.QueryOne[time.Time](ctx, h, query); err != nil || !got.Equal(want) {
				t.Errorf("use %d: %v; %v", use, got, err)
			}
		}
	}
	var next []string
	for name, onReset := range map[string]func(context.Context, *psyco.Conn) error{
		"CleanSession": psyco.CleanSession,
		"ExecWithNext": func(ctx context.Context, c *psyco.Conn) error { return c.ExecWithNext(ctx, next...) },
	} {
		t.Run(name, func(t *testing.T) {
			inEachMode(t, func(t *testing.T, db *sql.DB, _ bool) {
				db.SetMaxOpenConns(1)
				next = nil
				conn := mustConn(t, db)
				mustExec(t, conn, "SET TimeZone = 'UTC'")
				read(t, conn, utc)
				mustExec(t, conn, set)
				read(t, conn, tokyo)
				conn.Close()
				next = []string{"RESET TimeZone"}
				read(t, db, utc)
			}, psyco.WithOnReset(onReset))
		})
	}
	t.Run("a session that is clean", func(t *testing.T) {
		db := testDB(t, psyco.WithOnReset(psyco.CleanSession))
		db.SetMaxOpenConns(1)
		read(t, db, utc)
		before := stats(t, db)
		read(t, db, utc)
		if n := stats(t, db).CacheHits - before.CacheHits; n != 4 {
			t.Errorf("%d of 4 queries were prepared", n)
		}
	})
}

// TestExecWithNext: what is sent in front is done once, stays done, and if it fails nothing
// else runs on the connection.
func TestExecWithNext(t *testing.T) {
	ctx := t.Context()
	var first []string
	onReset := psyco.WithOnReset(func(ctx context.Context, c *psyco.Conn) error { return c.ExecWithNext(ctx, first...) })
	inEachMode(t, func(t *testing.T, db *sql.DB, wrapped bool) {
		db.SetMaxOpenConns(1)
		first = nil
		mustExec(t, db, "CREATE TABLE log (what text); CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE a.t (v int); CREATE TABLE b.t (v text); INSERT INTO a.t VALUES (7); INSERT INTO b.t VALUES ('007')")
		pid := all(t, db, "SELECT pg_backend_pid()")[0]

		first = []string{"INSERT INTO log VALUES ('first') -- with a comment", "SELECT set_config('app.tenant', 'acme', false), 2"}
		if _, err := db.Exec("SELECT 1 / %s::int", 0); code(err) != "22012" {
			t.Error(err)
		}
		first = nil
		if got := all(t, db, "SELECT count(*), current_setting('app.tenant') FROM log WHERE what = %s", "first"); got[0] != "1,acme" {
			t.Errorf("got %s", got)
		}
		// A statement is prepared anew where names mean other things.
		for range 3 {
			for _, schema := range []string{"a", "b"} {
				first = []string{"SET search_path = " + schema}
				if got, want := all(t, db, "SELECT v FROM t WHERE v = %s", map[string]any{"a": 7, "b": "007"}[schema]), map[string]string{"a": "7", "b": "007"}[schema]; len(got) != 1 || got[0] != want {
					t.Errorf("in schema %s: %v", schema, got)
				}
			}
		}
		first = nil
		mustExec(t, db, "RESET search_path")
		if wrapped {
			return // the statements run in the function, and it has their error
		}
		for _, then := range []struct {
			name string
			run  func() error
		}{
			{"arguments", func() error { _, err := db.Exec("INSERT INTO log VALUES (%s)", "then"); return err }},
			{"none", func() error { _, err := db.Exec("INSERT INTO log VALUES ('then')"); return err }},
			{"a transaction", func() error {
				return psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
					_, err := tx.Exec("INSERT INTO log VALUES (%s)", "then")
					return err
				})
			}},
			{"ExecMany", func() error {
				_, err := psyco.ExecMany(ctx, db, "INSERT INTO log VALUES (%s)", psyco.SliceRows([][]any{{"then"}, {"then"}}))
				return err
			}},
			{"a batch", func() error {
				var b psyco.Batch
				b.Queue("INSERT INTO log VALUES (%s)", "then")
				b.Queue("INSERT INTO log VALUES ('then')")
				return b.Run(ctx, db)
			}},
			{"rows", func() error { return db.QueryRow("INSERT INTO log VALUES (%s) RETURNING 1", "then").Scan(new(int)) }},
			{"copy", func() error {
				_, err := psyco.CopyRows(ctx, db, psyco.Identifier{"log"}, []string{"what"}, psyco.SliceRows([][]any{{"then"}}))
				return err
			}},
		} {
			first = []string{"SET app.fine = 'yes'", "SET nonexistent_parameter = 'x'"}
			err := then.run()
			var pe *pq.Error
			if !errors.As(err, &pe) || pe.Code != "42704" || !strings.HasPrefix(err.Error(), "psyco: \"") || !strings.Contains(err.Error(), "SET nonexistent_parameter = 'x'") {
				t.Errorf("%s: %v", then.name, err)
			}
			first = nil
			now := all(t, db, "SELECT pg_backend_pid()")[0]
			if now == pid {
				t.Errorf("%s: the connection is still used", then.name)
			}
			pid = now
		}
		if got := all(t, db, "SELECT count(*) FROM log WHERE what = 'then'"); got[0] != "0" {
			t.Errorf("%s statements ran", got[0])
		}
	}, onReset)

	db := testDB(t)
	for _, tt := range []struct{ name, sql, want string }{
		{"two", "SET a.b = 1; SET a.c = 1", "takes one statement in each argument"},
		{"none", " -- ", "takes one statement in each argument"},
		{"NUL", "SET a.b = '\x00'", "NUL byte"},
		{"COPY", "COPY t FROM STDIN", "cannot run COPY"},
		{"the end of a transaction", "commit", "cannot run COMMIT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := psyco.WithConn(ctx, db, func(c *psyco.Conn) error { return c.ExecWithNext(ctx, tt.sql) })
			if err == nil || !strings.HasPrefix(err.Error(), "psyco: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	tx := testdb.MustBegin(t, db)
	if err := psyco.WithConn(ctx, tx, func(c *psyco.Conn) error { return c.ExecWithNext(ctx, "SET a.b = 1") }); err == nil {
		t.Error("no error in a transaction")
	}
}

// TestWithOnReset: the function sees every connection that is used again, with its user's
// context, and its error costs the connection, not the statement.
func TestWithOnReset(t *testing.T) {
	inEachMode(t, func(t *testing.T, db *sql.DB, wrapped bool) {
		db.SetMaxOpenConns(1)
		pid := ""
		for i := range 3 {
			now := all(t, db, "SELECT pg_backend_pid(), current_setting('app.connected', true)")[0]
			if wrapped {
				now, _, _ = strings.Cut(now, ",")
			} else if !strings.HasSuffix(now, ",yes") {
				t.Errorf("what WithOnConnect has sent is not there: %s", now)
			}
			if i > 0 && now != pid {
				t.Errorf("use %d is on another connection", i+1)
			}
			pid = now
		}
		ctx := context.WithValue(t.Context(), callerKey{}, "refuse")
		rows, err := db.QueryContext(ctx, "SELECT pg_backend_pid()")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		if now := testdb.ScanAll(t, rows); now[0] == strings.TrimSuffix(pid, ",yes") {
			t.Error("the connection that was refused is used")
		}
	}, psyco.WithOnConnect(func(ctx context.Context, c *psyco.Conn) error {
		if c.PID() == 0 {
			return nil // behind Wrap
		}
		return c.ExecWithNext(ctx, "SET app.connected = 'yes'")
	}), psyco.WithOnReset(func(ctx context.Context, c *psyco.Conn) error {
		if ctx.Value(callerKey{}) == "refuse" {
			return errors.New("not this one")
		}
		res, err := c.Exec(ctx, "SELECT %(n)s::int", sql.Named("n", 1))
		if err == nil {
			_, err = res.RowsAffected()
		}
		return err
	}))
}

// TestWithMaxLifetime: connections end when their time has come, those that were opened together
// not together, and in the middle of nobody's work.
func TestWithMaxLifetime(t *testing.T) {
	ctx := t.Context()
	var opened atomic.Int32
	count := psyco.WithOnConnect(func(context.Context, *psyco.Conn) error { opened.Add(1); return nil })
	db := testDB(t, count, psyco.WithMaxLifetime(time.Nanosecond, 0))
	conn := mustConn(t, db)
	pid := all(t, conn, "SELECT pg_backend_pid()")[0]
	if again := all(t, conn, "SELECT pg_backend_pid()")[0]; again != pid {
		t.Error("a connection ended while it was in use")
	}
	conn.Close()
	if n := db.Stats().OpenConnections; n != 0 {
		t.Error("it was not closed when it came back")
	}

	db = testDB(t, count, psyco.WithMaxLifetime(time.Hour, time.Hour))
	opened.Store(0)
	for range 5 {
		if err := db.Ping(); err != nil {
			t.Fatal(err)
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections within the time", n)
	}

	var lives []time.Duration
	db = testDB(t, psyco.WithMaxLifetime(time.Hour, time.Minute), psyco.WithOnConnect(func(_ context.Context, c *psyco.Conn) error {
		lives = append(lives, time.Until(psyco.Expires(c)))
		return nil
	}))
	for range 5 {
		if err := mustConn(t, db).PingContext(ctx); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(lives)
	if lives[0] < time.Hour-time.Minute || lives[0] >= lives[4] || lives[4] > time.Hour+time.Minute {
		t.Errorf("they live for %v", lives)
	}
}
