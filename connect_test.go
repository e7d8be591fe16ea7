package psyco

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/dial/dialtest"
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
	d.dial = dialtest.CountSockets(t, new(net.Dialer).DialContext)
	return d
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

func mustRun(t *testing.T, s *session, sql string) {
	t.Helper()
	if _, err := s.base.(driver.ExecerContext).ExecContext(t.Context(), sql, nil); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// The servers of tests, by short names.
var (
	withTLS, withoutTLS, tcp = dialtest.WithTLS, dialtest.WithoutTLS, dialtest.TCP
	fakeServer, readPacket   = dialtest.FakeServer, dialtest.ReadPacket
	message, welcome, answer = dialtest.Message, dialtest.Welcome, dialtest.Answer
	silence                  = dialtest.Silence
)

// TestSessionKnowsItsServer: what a session says of where it is.
func TestSessionKnowsItsServer(t *testing.T) {
	s := withTLS(t) // listens on 127.0.0.1, not on ::1
	for _, tt := range []struct{ name, dsn, address, called string }{
		{"a name", fmt.Sprintf("host=localhost port=%d user=postgres dbname=postgres sslmode=disable", s.Port()),
			s.Addr(), fmt.Sprintf("localhost:%d (127.0.0.1)", s.Port())},
		{"TLS", tcp(s, "sslmode=require"), s.Addr(), ""},
		{"Unix-domain socket", s.DSN(), "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDialer(t, tt.dsn)
			d.dial = nil // real look-ups
			sess := mustConnect(t, d)
			if got := mustQuery(t, sess, dialtest.UsesTLS); got != fmt.Sprint(sess.link.Encrypted) {
				t.Errorf("TLS: the server says %s, the session %v", got, sess.link.Encrypted)
			}
			if got := mustQuery(t, sess, "SELECT pg_backend_pid()"); got != fmt.Sprint(sess.wire.PID()) || len(sess.wire.CancelKey()) != 4 {
				t.Errorf("pid %s, the session has %d and key % x", got, sess.wire.PID(), sess.wire.CancelKey())
			}
			if got := int(sess.link.Host.Port); got != s.Port() {
				t.Errorf("connected to port %d", got)
			}
			if got := sess.link.Endpoint; tt.address != "" && got.Address != tt.address || tt.called != "" && got.String() != tt.called {
				t.Errorf("connected to %s, called %s", got.Address, got)
			}
		})
	}
}

// sleeping starts a statement that takes an hour, waits until it runs, and
// returns where its error will be.
func sleeping(t *testing.T, s *session) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := queryText(s, "SELECT pg_sleep(3600)")
		done <- err
	}()
	admin := mustConnect(t, newDialer(t, tcp(withTLS(t), "sslmode=disable")))
	running := fmt.Sprintf("SELECT count(*) FROM pg_stat_activity WHERE pid = %d AND wait_event = 'PgSleep'", s.wire.PID())
	for mustQuery(t, admin, running) != "1" {
		if t.Context().Err() != nil {
			t.Fatal("the statement does not run")
		}
	}
	return done
}

func TestCancelRequest(t *testing.T) {
	server := withTLS(t)
	root := testcert.Write(t, t.TempDir(), "root.crt", dialtest.Certs.Root.PEM())
	for _, tt := range []struct{ name, dsn string }{
		{"plain", tcp(server, "sslmode=disable")},
		{"TLS", tcp(server, "sslmode=verify-full sslrootcert="+root)},
		{"Unix-domain socket", server.DSN()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := mustConnect(t, newDialer(t, tt.dsn))
			for range 2 { // the session lives on
				done := sleeping(t, s)
				if err := s.link.Cancel(t.Context()); err != nil {
					t.Fatal(err)
				}
				var pe *pq.Error
				if err := <-done; !errors.As(err, &pe) || pe.Code != "57014" {
					t.Fatalf("the statement ended with %v", err)
				}
			}
			// A request without a statement does nothing.
			if err := s.link.Cancel(t.Context()); err != nil {
				t.Fatal(err)
			}
			mustQuery(t, s, "SELECT 1")
		})
	}
}

// TestCancelRequestChecksTheServer: the key is not given to a server that the
// session would not have been opened with.
func TestCancelRequestChecksTheServer(t *testing.T) {
	server := withTLS(t)
	root := testcert.Write(t, t.TempDir(), "root.crt", dialtest.Certs.Root.PEM())
	d := newDialer(t, tcp(server, "sslmode=verify-full sslrootcert="+root))
	s := mustConnect(t, d)
	d.cfg.SSLRootCert = testcert.Write(t, t.TempDir(), "root.crt", testcert.Root(t, "Other").PEM())
	err := s.link.Cancel(t.Context())
	if err == nil || !strings.Contains(err.Error(), "unknown authority") || !strings.HasPrefix(err.Error(), "psyco: ") {
		t.Errorf("got %v", err)
	}
}

func TestCancelRequestToFakeServer(t *testing.T) {
	requests := make(chan []byte, 1)
	end := make(chan func(net.Conn), 1)
	server := fakeServer(t, func(nc net.Conn) {
		packet := readPacket(nc)
		if !bytes.HasPrefix(packet, []byte{0x04, 0xd2, 0x16, 0x2e}) {
			nc.Write(welcome())
			silence(nc)
			return
		}
		requests <- packet
		(<-end)(nc)
	})
	d := newDialer(t, server+" sslmode=disable")
	var gone error
	dial := d.dial
	d.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if gone != nil {
			return nil, gone
		}
		return dial(ctx, network, address)
	}
	s := mustConnect(t, d)

	t.Run("closes", func(t *testing.T) {
		end <- func(net.Conn) {}
		if err := s.link.Cancel(t.Context()); err != nil {
			t.Error(err)
		}
		if got, want := <-requests, "\x04\xd2\x16\x2e\x00\x00\x00\x01abcd"; string(got) != want {
			t.Errorf("sent % x, want % x", got, want)
		}
	})
	t.Run("resets", func(t *testing.T) {
		end <- func(nc net.Conn) { nc.(*net.TCPConn).SetLinger(0) }
		if err := s.link.Cancel(t.Context()); err != nil {
			t.Error(err)
		}
		<-requests
	})
	t.Run("hangs", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		end <- func(nc net.Conn) { // the request has come
			cancel()
			silence(nc)
		}
		if err := s.link.Cancel(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		<-requests
	})
	t.Run("is gone", func(t *testing.T) {
		gone = syscall.ECONNREFUSED
		defer func() { gone = nil }()
		if err := s.link.Cancel(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("gave no key", func(t *testing.T) {
		keyless := mustConnect(t, newDialer(t, fakeServer(t, answer(message('R', "\x00\x00\x00\x00"), message('Z', "I")))))
		if err := keyless.link.Cancel(t.Context()); err == nil || !strings.Contains(err.Error(), "gave no cancel key") {
			t.Errorf("got %v", err)
		}
	})
}
