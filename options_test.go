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
