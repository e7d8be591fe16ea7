// Package dialtest has the servers that tests of connecting need: real ones, with and
// without TLS and a user for every way to log in, and ones that say what a test wants.
package dialtest

import (
	"bytes"
	"context"
	"database/sql"
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

	_ "github.com/lib/pq" // with which the users are made

	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testcert"
)

// CountSockets is dial, but fails the test if a socket is open when it ends.
func CountSockets(t *testing.T, dial func(ctx context.Context, network, address string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
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

// UsesTLS asks whether the connection is encrypted.
const UsesTLS = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"

// Certs are what the servers below and their clients use.
var Certs struct {
	once             sync.Once
	Root, ClientRoot *testcert.Cert
	Good             *testcert.Cert // for db.example.test
}

// MakeCerts makes them.
func MakeCerts(t *testing.T) {
	Certs.once.Do(func() {
		Certs.Root = testcert.Root(t, "Server Root")
		Certs.ClientRoot = testcert.Root(t, "Client Root")
		Certs.Good = Certs.Root.Issue(t, "good", testcert.Names("db.example.test"))
	})
}

// The servers of these tests start with the first that needs them and end with
// the process.
var (
	tlsServer   = sync.OnceValues(func() (*pgserver.Server, error) { return startServer(true) })
	plainServer = sync.OnceValues(func() (*pgserver.Server, error) { return startServer(false) })
)

// WithTLS returns a server with users for every way to authenticate. It speaks
// TLS and asks for client certificates of Certs.ClientRoot.
func WithTLS(t *testing.T) *pgserver.Server {
	t.Helper()
	MakeCerts(t)
	return must(t, tlsServer)
}

// WithoutTLS returns one that has the users only.
func WithoutTLS(t *testing.T) *pgserver.Server {
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
				InstallCert(dir, Certs.Good),
				os.WriteFile(filepath.Join(dir, "client-ca.crt"), Certs.ClientRoot.PEM(), 0o600))
		}
	} else {
		o.HBA = strings.NewReplacer("hostssl", "# ", "hostnossl", "host").Replace(connectHBA)
	}
	s, err := pgserver.Start(context.Background(), o)
	if err != nil {
		return nil, err
	}
	admin, err := sql.Open("postgres", s.DSN())
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	_, err = admin.Exec(`
CREATE ROLE tls_only LOGIN;
CREATE ROLE plain_only LOGIN;
CREATE ROLE cert_user LOGIN;
CREATE ROLE password_user LOGIN PASSWORD 'sesame';
CREATE ROLE scram_user LOGIN PASSWORD 'sesame';
CREATE ROLE mixed_user LOGIN PASSWORD 'sesame';
SET password_encryption = md5;
CREATE ROLE md5_user LOGIN PASSWORD 'sesame'`)
	return s, err
}

// InstallCert writes a server's certificate, with its chain, and key. Files
// that exist keep their owner.
func InstallCert(dir string, cert *testcert.Cert, chain ...*testcert.Cert) error {
	certPEM := cert.PEM()
	for _, c := range chain {
		certPEM = append(certPEM, c.PEM()...)
	}
	key, err := cert.KeyPEM()
	return errors.Join(err,
		os.WriteFile(filepath.Join(dir, "server.crt"), certPEM, 0o600),
		os.WriteFile(filepath.Join(dir, "server.key"), key, 0o600))
}

// TCP returns a connection string for the server's TCP address under a name.
func TCP(s *pgserver.Server, more string) string {
	return fmt.Sprintf("host=db.example.test hostaddr=127.0.0.1 port=%d user=postgres dbname=postgres %s", s.Port(), more)
}

// FakeServer accepts connections and hands each to serve, which owns it. It
// returns host and port for a connection string.
func FakeServer(t *testing.T, serve func(nc net.Conn)) string {
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

// ClosedPort returns host and port of nobody.
func ClosedPort(t *testing.T) (host, port string) {
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

// ReadPacket reads a startup packet, or nil at the end.
func ReadPacket(nc net.Conn) []byte {
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

// Silence waits until the client has gone.
func Silence(nc net.Conn) { io.Copy(io.Discard, nc) }

// Message encodes a message of the server.
func Message(kind byte, body string) []byte {
	m := binary.BigEndian.AppendUint32([]byte{kind}, uint32(4+len(body)))
	return append(m, body...)
}

// ErrorMessage is an error that ends the session.
func ErrorMessage(code, text string) []byte {
	return Message('E', "SFATAL\x00VFATAL\x00C"+code+"\x00M"+text+"\x00\x00")
}

// Welcome is the end of a startup, with parameters as name, value, ….
func Welcome(params ...string) []byte {
	m := Message('R', "\x00\x00\x00\x00")
	for i := 0; i < len(params); i += 2 {
		m = append(m, Message('S', params[i]+"\x00"+params[i+1]+"\x00")...)
	}
	m = append(m, Message('K', "\x00\x00\x00\x01abcd")...)
	return append(m, Message('Z', "I")...)
}

// IsSSLRequest reports whether a packet asks for TLS.
func IsSSLRequest(packet []byte) bool {
	return bytes.Equal(packet, []byte{0x04, 0xd2, 0x16, 0x2f})
}

// Answer sends what to the startup packet, after a refusal of TLS if the client
// asks for it.
func Answer(what ...[]byte) func(net.Conn) {
	return func(nc net.Conn) {
		packet := ReadPacket(nc)
		if IsSSLRequest(packet) {
			nc.Write([]byte("N"))
			packet = ReadPacket(nc)
		}
		if packet == nil {
			return
		}
		for _, m := range what {
			nc.Write(m)
		}
		Silence(nc)
	}
}
