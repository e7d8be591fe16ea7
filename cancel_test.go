package psyco

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/testcert"
)

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
	root := testcert.Write(t, t.TempDir(), "root.crt", certs.root.PEM())
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
	root := testcert.Write(t, t.TempDir(), "root.crt", certs.root.PEM())
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
