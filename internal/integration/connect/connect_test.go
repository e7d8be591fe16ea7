package connect_test

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/testcert"
)

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
		d.password = func(_ context.Context, cfg *psyco.Config, host psyco.Host) (string, error) {
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
		d.password = func(context.Context, *psyco.Config, psyco.Host) (string, error) { return "", vault }
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
		if got := portOf(t, sess); got != strconv.Itoa(s.Port()) {
			t.Errorf("connected to port %s", got)
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
		{"an error without a message", "sslmode=disable", "without a word; connecting to 127.0.0.1:", answer(message('E', "SFATAL\x00C28000\x00M\x00\x00"))},
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
			if got := mustQuery(t, sess, usesTLS); got != "false" {
				t.Errorf("TLS on a Unix-domain socket: %s", got)
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
