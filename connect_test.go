package psyco

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testcert"
)

// newDialer returns a dialer for dsn. When the test ends, every socket that
// its dials opened must have been closed.
func newDialer(t *testing.T, dsn string) *dialer {
	t.Helper()
	// Files of the user who runs the tests must not matter.
	t.Setenv("HOME", t.TempDir())
	t.Setenv("APPDATA", t.TempDir())
	cfg, err := ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if err := cfg.normalize(); err != nil {
		t.Fatal(err)
	}
	d := &dialer{cfg: cfg}
	d.dial = countSockets(t, new(net.Dialer).DialContext)
	return d
}

func countSockets(t *testing.T, dial DialFunc) DialFunc {
	var open atomic.Int32
	t.Cleanup(func() {
		if n := open.Load(); n != 0 {
			t.Errorf("%d sockets were left open", n)
		}
	})
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		open.Add(1)
		return &countedConn{Conn: nc, closed: sync.OnceFunc(func() { open.Add(-1) })}, nil
	}
}

type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

func (c *countedConn) SyscallConn() (syscall.RawConn, error) {
	return c.Conn.(syscall.Conn).SyscallConn()
}

// mustConnect opens a session that is closed when the test ends.
func mustConnect(t *testing.T, d *dialer) *session {
	t.Helper()
	s, err := d.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.base.Close() })
	return s
}

// queryText returns the first column of the first row.
func queryText(s *session, query string) (string, error) {
	rows, err := s.base.(driver.QueryerContext).QueryContext(context.Background(), query, nil)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	row := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(row); err != nil {
		return "", err
	}
	if b, ok := row[0].([]byte); ok {
		return string(b), nil
	}
	return fmt.Sprint(row[0]), nil
}

func mustQuery(t *testing.T, s *session, query string) string {
	t.Helper()
	text, err := queryText(s, query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return text
}

const usesTLS = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"

// certs are what the servers below and their clients use.
var certs struct {
	once             sync.Once
	root, clientRoot *testcert.Cert
	good             *testcert.Cert // for db.example.test
}

func makeCerts(t *testing.T) {
	certs.once.Do(func() {
		certs.root = testcert.Root(t, "Server Root")
		certs.clientRoot = testcert.Root(t, "Client Root")
		certs.good = certs.root.Issue(t, "good", testcert.Names("db.example.test"))
	})
}

// The servers of these tests start with the first that needs them and end with
// the process.
var (
	tlsServer   = sync.OnceValues(func() (*pgserver.Server, error) { return startServer(true) })
	plainServer = sync.OnceValues(func() (*pgserver.Server, error) { return startServer(false) })
)

// withTLS returns a server with users for every way to authenticate. It speaks
// TLS and asks for client certificates of certs.clientRoot.
func withTLS(t *testing.T) *pgserver.Server {
	t.Helper()
	makeCerts(t)
	return must(t, tlsServer)
}

// withoutTLS returns one that has the users only.
func withoutTLS(t *testing.T) *pgserver.Server {
	t.Helper()
	return must(t, plainServer)
}

func must(t *testing.T, start func() (*pgserver.Server, error)) *pgserver.Server {
	t.Helper()
	s, err := start()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const connectHBA = `local all all trust
hostssl all tls_only all trust
hostnossl all plain_only all trust
hostssl all cert_user all cert
host all tls_only all reject
host all plain_only all reject
host all cert_user all reject
host all password_user all password
host all md5_user all md5
host all scram_user all scram-sha-256
hostssl all mixed_user all scram-sha-256
host all mixed_user all reject
host all all all trust
`

func startServer(tls bool) (*pgserver.Server, error) {
	o := pgserver.Options{HBA: connectHBA}
	if tls {
		o.Settings = map[string]string{"ssl": "on", "ssl_ca_file": "client-ca.crt"}
		o.Setup = func(dir string) error {
			return errors.Join(
				installCert(dir, certs.good),
				os.WriteFile(filepath.Join(dir, "client-ca.crt"), certs.clientRoot.PEM(), 0o600))
		}
	} else {
		o.HBA = strings.NewReplacer("hostssl", "# ", "hostnossl", "host").Replace(connectHBA)
	}
	s, err := pgserver.Start(context.Background(), o)
	if err != nil {
		return nil, err
	}
	cfg, err := ParseDSN(s.DSN())
	if err != nil {
		return nil, err
	}
	admin, err := (&dialer{cfg: cfg}).connect(context.Background())
	if err != nil {
		return nil, err
	}
	defer admin.base.Close()
	_, err = admin.base.(driver.ExecerContext).ExecContext(context.Background(), `
CREATE ROLE tls_only LOGIN;
CREATE ROLE plain_only LOGIN;
CREATE ROLE cert_user LOGIN;
CREATE ROLE password_user LOGIN PASSWORD 'sesame';
CREATE ROLE scram_user LOGIN PASSWORD 'sesame';
CREATE ROLE mixed_user LOGIN PASSWORD 'sesame';
SET password_encryption = md5;
CREATE ROLE md5_user LOGIN PASSWORD 'sesame'`, nil)
	return s, err
}

// installCert writes a server's certificate, with its chain, and key. Files
// that exist keep their owner.
func installCert(dir string, cert *testcert.Cert, chain ...*testcert.Cert) error {
	certPEM := cert.PEM()
	for _, c := range chain {
		certPEM = append(certPEM, c.PEM()...)
	}
	key, err := cert.KeyPEM()
	return errors.Join(err,
		os.WriteFile(filepath.Join(dir, "server.crt"), certPEM, 0o600),
		os.WriteFile(filepath.Join(dir, "server.key"), key, 0o600))
}

// tcp returns a connection string for the server's TCP address under a name.
func tcp(s *pgserver.Server, more string) string {
	return fmt.Sprintf("host=db.example.test hostaddr=127.0.0.1 port=%d user=postgres dbname=postgres %s", s.Port(), more)
}

// fakeServer accepts connections and hands each to serve, which owns it. It
// returns host and port for a connection string.
func fakeServer(t *testing.T, serve func(nc net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(t.Context(), func() { nc.Close() })
			wg.Go(func() {
				defer stop()
				defer nc.Close()
				serve(nc)
			})
		}
	})
	addr := l.Addr().(*net.TCPAddr)
	return fmt.Sprintf("host=127.0.0.1 port=%d user=u dbname=d", addr.Port)
}

// closedPort returns host and port of nobody.
func closedPort(t *testing.T) (host, port string) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	host, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

// readPacket reads a startup packet, or nil at the end.
func readPacket(nc net.Conn) []byte {
	var length [4]byte
	if _, err := io.ReadFull(nc, length[:]); err != nil {
		return nil
	}
	body := make([]byte, binary.BigEndian.Uint32(length[:])-4)
	if _, err := io.ReadFull(nc, body); err != nil {
		return nil
	}
	return body
}

// silence waits until the client has gone.
func silence(nc net.Conn) { io.Copy(io.Discard, nc) }

// message encodes a message of the server.
func message(kind byte, body string) []byte {
	m := binary.BigEndian.AppendUint32([]byte{kind}, uint32(4+len(body)))
	return append(m, body...)
}

func errorMessage(code, text string) []byte {
	return message('E', "SFATAL\x00VFATAL\x00C"+code+"\x00M"+text+"\x00\x00")
}

// welcome is the end of a startup, with parameters as name, value, ….
func welcome(params ...string) []byte {
	m := message('R', "\x00\x00\x00\x00")
	for i := 0; i < len(params); i += 2 {
		m = append(m, message('S', params[i]+"\x00"+params[i+1]+"\x00")...)
	}
	m = append(m, message('K', "\x00\x00\x00\x01abcd")...)
	return append(m, message('Z', "I")...)
}

func isSSLRequest(packet []byte) bool {
	return bytes.Equal(packet, []byte{0x04, 0xd2, 0x16, 0x2f})
}

// answer sends what to the startup packet, after a refusal of TLS if the client
// asks for it.
func answer(what ...[]byte) func(net.Conn) {
	return func(nc net.Conn) {
		packet := readPacket(nc)
		if isSSLRequest(packet) {
			nc.Write([]byte("N"))
			packet = readPacket(nc)
		}
		if packet == nil {
			return
		}
		for _, m := range what {
			nc.Write(m)
		}
		silence(nc)
	}
}

func TestConnectAuthentication(t *testing.T) {
	s := withoutTLS(t)
	for _, tt := range []struct {
		name, dsn, code string // code of the error, if there is to be one
	}{
		{"trust", "user=postgres", ""},
		{"cleartext password", "user=password_user password=sesame", ""},
		{"md5", "user=md5_user password=sesame", ""},
		{"scram", "user=scram_user password=sesame", ""},
		{"wrong cleartext password", "user=password_user password=wrong-secret", "28P01"},
		{"wrong md5 password", "user=md5_user password=wrong-secret", "28P01"},
		{"wrong scram password", "user=scram_user password=wrong-secret", "28P01"},
		{"no such database", "user=postgres dbname=nowhere", "3D000"},
		{"rejected", "user=cert_user", "28000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDialer(t, tcp(s, tt.dsn))
			sess, err := d.connect(t.Context())
			if err == nil {
				defer sess.base.Close()
				if got := mustQuery(t, sess, "SELECT current_user"); got != d.cfg.User {
					t.Errorf("connected as %q, want %q", got, d.cfg.User)
				}
			}
			if tt.code == "" && err != nil {
				t.Fatal(err)
			}
			if tt.code != "" {
				pe, ok := err.(*pq.Error) // by assertion, as programs for lib/pq do
				if !ok || string(pe.Code) != tt.code {
					t.Errorf("error %v (%T), want a *pq.Error with code %s", err, err, tt.code)
				}
				if strings.Contains(fmt.Sprint(err), "wrong-secret") {
					t.Error("the error holds the password")
				}
			}
		})
	}
}

func TestConnectPassword(t *testing.T) {
	s := withoutTLS(t)
	t.Run("from the program", func(t *testing.T) {
		d := newDialer(t, tcp(s, "user=scram_user password=stale"))
		calls := 0
		d.password = func(_ context.Context, cfg *Config, host Host) (string, error) {
			calls++
			if cfg.User != "scram_user" || host.Host != "db.example.test" {
				t.Errorf("asked for %s at %s", cfg.User, host)
			}
			cfg.User = "somebody else" // a copy
			return "sesame", nil
		}
		mustConnect(t, d)
		if calls != 1 {
			t.Errorf("asked %d times", calls)
		}
	})
	t.Run("the program has none", func(t *testing.T) {
		d := newDialer(t, tcp(s, "user=scram_user"))
		vault := errors.New("the vault is shut")
		d.password = func(context.Context, *Config, Host) (string, error) { return "", vault }
		if _, err := d.connect(t.Context()); !errors.Is(err, vault) || !strings.HasPrefix(err.Error(), "psyco: ") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("of the host", func(t *testing.T) {
		d := newDialer(t, tcp(s, "user=scram_user"))
		d.cfg.Hosts[0].Password = "sesame"
		mustConnect(t, d)
	})
	t.Run("not from a file of lib/pq's choice", func(t *testing.T) {
		d := newDialer(t, tcp(s, "user=scram_user passfile=/none"))
		testcert.Write(t, os.Getenv("HOME"), ".pgpass", []byte("*:*:*:*:sesame\n"))
		if _, err := d.connect(t.Context()); err == nil || !strings.Contains(err.Error(), "28P01") {
			t.Errorf("got %v", err)
		}
	})
}

func TestConnectHandsSettingsToTheServer(t *testing.T) {
	s := withoutTLS(t)
	sess := mustConnect(t, newDialer(t, tcp(s, "application_name=app options='-c geqo=off' search_path=elsewhere binary_parameters=yes")))
	for query, want := range map[string]string{
		"SHOW application_name": "app",
		"SHOW geqo":             "off",
		"SHOW search_path":      "elsewhere",
		"SHOW client_encoding":  "UTF8",
		"SHOW datestyle":        "ISO, MDY",
	} {
		if got := mustQuery(t, sess, query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	sess = mustConnect(t, newDialer(t, tcp(s, "fallback_application_name=tool")))
	if got := mustQuery(t, sess, "SHOW application_name"); got != "tool" {
		t.Errorf("application_name %q", got)
	}
	if got := mustQuery(t, sess, "SELECT pg_backend_pid()"); got != fmt.Sprint(sess.wire.PID()) || len(sess.wire.CancelKey()) != 4 {
		t.Errorf("pid %s, the session has %d and key % x", got, sess.wire.PID(), sess.wire.CancelKey())
	}
}

func TestConnectHandlers(t *testing.T) {
	s := withoutTLS(t)
	d := newDialer(t, s.DSN())
	var notices, notifications []string
	d.onNotice = func(e *pq.Error) { notices = append(notices, e.Message) }
	d.onNotification = func(n *pq.Notification) { notifications = append(notifications, n.Extra) }
	sess := mustConnect(t, d)
	mustQuery(t, sess, "DO $$ BEGIN RAISE NOTICE 'hello'; END $$; LISTEN c; SELECT 1")
	mustQuery(t, sess, "SELECT pg_notify('c', 'news')")
	mustQuery(t, sess, "SELECT 1")
	if len(notices) != 1 || notices[0] != "hello" || len(notifications) != 1 || notifications[0] != "news" {
		t.Errorf("notices %q, notifications %q", notices, notifications)
	}
}

// phases are the moments at which a server can fall silent.
var phases = []struct {
	name, dsn string
	serve     func(net.Conn)
}{
	{"request for TLS", "sslmode=prefer", silence},
	{"TLS handshake", "sslmode=prefer", func(nc net.Conn) { readPacket(nc); nc.Write([]byte("S")); silence(nc) }},
	{"direct TLS handshake", "sslmode=require sslnegotiation=direct", silence},
	{"startup", "sslmode=prefer", answer()},
	{"authentication", "sslmode=disable password=x", answer(message('R', "\x00\x00\x00\x03"))},
	{"end of startup", "sslmode=disable", answer(message('R', "\x00\x00\x00\x00"))},
	{"kind of server", "sslmode=disable target_session_attrs=primary", answer(welcome())},
}

func TestConnectTimeout(t *testing.T) {
	for _, tt := range phases {
		t.Run(tt.name, func(t *testing.T) {
			d := newDialer(t, fakeServer(t, tt.serve)+" "+tt.dsn)
			d.cfg.ConnectTimeout = 50 * time.Millisecond
			_, err := d.connect(t.Context())
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) ||
				!strings.Contains(err.Error(), "connect_timeout") {
				t.Errorf("got %v (%T)", err, err)
			}
		})
	}
	t.Run("each address has its own", func(t *testing.T) {
		s := withoutTLS(t)
		d := newDialer(t, fmt.Sprintf("%s sslmode=disable connect_timeout=1", strings.ReplaceAll(strings.ReplaceAll(
			fakeServer(t, silence), "host=127.0.0.1", "host=127.0.0.1,127.0.0.1"), " user=u dbname=d", fmt.Sprintf(",%d user=postgres dbname=postgres", s.Port()))))
		sess := mustConnect(t, d)
		if got := int(sess.link.Host.Port); got != s.Port() {
			t.Errorf("connected to port %d", got)
		}
		mustQuery(t, sess, "SELECT pg_sleep(1.1)") // no deadline is left behind
	})
}

func TestConnectContext(t *testing.T) {
	for _, tt := range phases {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			shutdown := errors.New("shutting down")
			d := newDialer(t, fakeServer(t, func(nc net.Conn) {
				time.AfterFunc(20*time.Millisecond, func() { cancel(shutdown) })
				tt.serve(nc)
			})+" connect_timeout=3600 "+tt.dsn)
			_, err := d.connect(ctx)
			if !errors.Is(err, context.Canceled) || !errors.Is(err, shutdown) || !strings.HasPrefix(err.Error(), "psyco: ") {
				t.Errorf("got %v (%T)", err, err)
			}
		})
	}
	t.Run("ended before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		d := newDialer(t, fakeServer(t, answer(welcome())))
		dials := countDials(d)
		_, err := d.connect(ctx)
		if !errors.Is(err, context.Canceled) || *dials > 1 {
			t.Errorf("got %v after %d dials", err, *dials)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := newDialer(t, fakeServer(t, silence)).connect(ctx)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("at the last moment", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		d := newDialer(t, fakeServer(t, answer(welcome()))+" sslmode=disable")
		dial := d.dial
		d.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := dial(ctx, network, address)
			return &cancelAtReady{nc, cancel}, err
		}
		if _, err := d.connect(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("while dialling", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		d := newDialer(t, "host=127.0.0.1,127.0.0.2")
		d.dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			cancel()
			<-ctx.Done()
			return nil, ctx.Err()
		}
		_, err := d.connect(ctx)
		if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "127.0.0.2") {
			t.Errorf("got %v", err)
		}
	})
}

// cancelAtReady cancels when the session is ready, with the message already
// on its way to lib/pq.
type cancelAtReady struct {
	net.Conn
	cancel context.CancelFunc
}

func (c *cancelAtReady) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if bytes.HasSuffix(p[:n], message('Z', "I")) {
		c.cancel()
	}
	return n, err
}

func (c *cancelAtReady) SyscallConn() (syscall.RawConn, error) {
	return c.Conn.(syscall.Conn).SyscallConn()
}

// TestConnectBrokenServer: whatever a server does, the error says so and is
// never driver.ErrBadConn.
func TestConnectBrokenServer(t *testing.T) {
	say := func(text string) func(net.Conn) {
		return func(nc net.Conn) { readPacket(nc); nc.Write([]byte(text)) }
	}
	for _, tt := range []struct {
		name, dsn, want string
		serve           func(net.Conn)
	}{
		{"closes when asked for TLS", "sslmode=prefer", "closed the connection when asked for TLS", func(nc net.Conn) { readPacket(nc) }},
		{"has no TLS", "sslmode=require", "pq: SSL is not enabled on the server", say("N")},
		{"answers with an error", "sslmode=prefer", "answered the request for TLS with an error", say(string(errorMessage("53300", "forged text")))},
		{"speaks something else", "sslmode=prefer", "is this a PostgreSQL server?", say("HTTP/1.1 400")},
		{"sends more than the answer", "sslmode=prefer", "unencrypted data", say("Sx")},
		{"sends more than the refusal", "sslmode=prefer", "unencrypted data", say("Nx")},
		{"is not a TLS server", "sslmode=require", "tls: first record", func(nc net.Conn) {
			readPacket(nc)
			nc.Write([]byte("S"))
			nc.Read(make([]byte, 1))
			nc.Write([]byte("hello there"))
			silence(nc)
		}},
		{"closes during startup", "sslmode=disable", "the server closed the connection", func(nc net.Conn) { readPacket(nc) }},
		{"closes in a message", "sslmode=disable", "unexpected EOF", func(nc net.Conn) { readPacket(nc); nc.Write([]byte("R\x00\x00")) }},
		{"pre-3.0 error", "sslmode=disable", "could not fork", say("Ecould not fork new process\n\x00")},
		{"an error without anything", "sslmode=disable", "pq: the server refuses the session without a word", answer(message('E', "SFATAL\x00\x00"))},
		{"an error without a message", "sslmode=disable", "without a word (28000)", answer(message('E', "SFATAL\x00C28000\x00M\x00\x00"))},
		{"an error that is none", "sslmode=disable", `the server's error cannot be read: "\x00\x00\x00\x05"; is this a PostgreSQL server?`, say("E\x00\x00\x00\x05\x00")},
		{"an error of other bytes", "sslmode=disable", `cannot be read: "\xff\xfe"`, say("E\xff\xfe\n\x00    ")},
		{"an error of no words", "sslmode=disable", `cannot be read: ""`, say("E       \n\x00")},
		{"unknown authentication", "sslmode=disable", "authentication", answer(message('R', "\x00\x00\x00\x63"))},
		{"old protocol", "sslmode=disable min_protocol_version=3.2 max_protocol_version=3.2", "min_protocol_version",
			answer(message('v', "\x00\x00\x00\x00\x00\x00\x00\x00"))},
		{"FATAL while asked for its kind", "sslmode=disable target_session_attrs=primary", "57P01",
			func(nc net.Conn) {
				readPacket(nc)
				nc.Write(welcome())
				readPacket2(nc)
				nc.Write(errorMessage("57P01", "going down"))
			}},
		{"lost while asked for its kind", "sslmode=disable target_session_attrs=primary", "the connection was lost",
			func(nc net.Conn) { readPacket(nc); nc.Write(welcome()); readPacket2(nc) }},
		{"no rows for its kind", "sslmode=disable target_session_attrs=read-only", "no row",
			func(nc net.Conn) {
				readPacket(nc)
				nc.Write(welcome())
				readPacket2(nc)
				nc.Write(append(message('I', ""), message('Z', "I")...))
				silence(nc)
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newDialer(t, fakeServer(t, tt.serve)+" "+tt.dsn).connect(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if errors.Is(err, driver.ErrBadConn) {
				t.Error("driver.ErrBadConn would make database/sql try again")
			}
			if strings.Contains(err.Error(), "forged") {
				t.Error("the error shows text that nobody vouches for")
			}
		})
	}
}

// readPacket2 reads a message with a type.
func readPacket2(nc net.Conn) {
	var kind [1]byte
	if _, err := io.ReadFull(nc, kind[:]); err == nil {
		readPacket(nc)
	}
}

func TestConnectUnixSocket(t *testing.T) {
	s := withoutTLS(t)
	for _, mode := range []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"} {
		t.Run("sslmode="+mode, func(t *testing.T) {
			sess := mustConnect(t, newDialer(t, strings.ReplaceAll(s.DSN(), "sslmode=disable", "sslmode="+mode)))
			if got := mustQuery(t, sess, usesTLS); got != "false" || sess.link.Encrypted {
				t.Errorf("TLS on a Unix-domain socket: %s, %v", got, sess.link.Encrypted)
			}
		})
	}
	t.Run("path too long", func(t *testing.T) {
		d := newDialer(t, "host=/"+strings.Repeat("x", 200))
		if _, err := d.connect(t.Context()); err == nil || !strings.Contains(err.Error(), "too long") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no server", func(t *testing.T) {
		d := newDialer(t, "host="+t.TempDir())
		if _, err := d.connect(t.Context()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
}
