package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/faultproxy"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testcert"
	"github.com/psyco-go/psyco/internal/testsize"
)

var (
	tlsServer    sync.Once
	tlsAuthority *testcert.Cert
	tlsStarted   *pgserver.Server
	tlsFailed    error
)

// serverWithTLS returns a server, which starts with the first test that needs
// it, and the certificate of its authority.
func serverWithTLS(t *testing.T) (s *pgserver.Server, authority []byte) {
	t.Helper()
	tlsServer.Do(func() {
		tlsAuthority = testcert.Root(t, "Server Root")
		cert := tlsAuthority.Issue(t, "server", testcert.Names("db.example.test"))
		key, err := cert.KeyPEM()
		if err != nil {
			tlsFailed = err
			return
		}
		tlsStarted, tlsFailed = pgserver.Start(context.Background(), pgserver.Options{
			Settings: map[string]string{"ssl": "on"},
			Setup: func(dir string) error {
				return errors.Join(
					os.WriteFile(filepath.Join(dir, "server.crt"), cert.PEM(), 0o600),
					os.WriteFile(filepath.Join(dir, "server.key"), key, 0o600))
			},
		})
	})
	if tlsFailed != nil {
		t.Fatal(tlsFailed)
	}
	return tlsStarted, tlsAuthority.PEM()
}

// faultyTLS returns a database that is reached with TLS through a proxy, and the
// same database directly.
func faultyTLS(t *testing.T, extra string, opts ...psyco.Option) (p *faultproxy.Proxy, db, direct *sql.DB) {
	t.Helper()
	s, authority := serverWithTLS(t)
	dsn := pgserver.TestDatabase(t, s.LendDatabase)
	var err error
	if p, err = faultproxy.New("tcp", s.Addr()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	root := testcert.Write(t, t.TempDir(), "root.crt", authority)
	db = open(t, fmt.Sprintf("%s %s host=db.example.test hostaddr=127.0.0.1 sslmode=verify-full sslrootcert=%s %s",
		dsn, p.ConnInfo(), root, extra), opts...)
	if got := all(t, db, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"); got[0] != "true" {
		t.Fatal("no TLS")
	}
	return p, db, open(t, dsn)
}

// TestCutAnywhereTLS is TestCutAnywhere with records in place of messages.
func TestCutAnywhereTLS(t *testing.T) {
	testsize.Slow(t)
	for _, w := range writes {
		for _, mode := range []string{"", "statement_cache_capacity=0"} {
			t.Run(w.name+"/"+mode, func(t *testing.T) {
				t.Parallel()
				p, db, direct := faultyTLS(t, mode)
				cutAnywhere(t, p, db, direct, w.write)
			})
		}
	}
}

// TestCutInsideTLSRecord leaves half a record: neither side may act on it.
func TestCutInsideTLSRecord(t *testing.T) {
	p, db, direct := faultyTLS(t, "prepare_threshold=1")
	db.SetMaxOpenConns(1)
	mustExec(t, direct, "CREATE TABLE t (k int)")
	insert := func(key int) error {
		_, err := db.Exec("INSERT INTO t VALUES (%s)", key)
		return err
	}
	for key, tt := range []struct {
		dir  faultproxy.Direction
		want int // rows
	}{{faultproxy.ToServer, 0}, {faultproxy.ToClient, 1}} {
		for _, bytes := range []int{1, 5, 6, 20} {
			key := 100*(key+1) + bytes
			if err := insert(-1); err != nil { // connected, and the statement prepared
				t.Fatal(err)
			}
			record := faultproxy.Msg(tt.dir, string(faultproxy.TLSData))
			trigger := p.On(faultproxy.Inside(record, bytes), (*faultproxy.Link).Cut)
			err := insert(key)
			<-trigger.Fired()
			if err == nil {
				t.Errorf("%v, %d bytes: no error", tt.dir, bytes)
			}
			if rows := rowsWithKey(t, direct, key); len(rows) != tt.want {
				t.Errorf("%v, %d bytes: %d rows, want %d", tt.dir, bytes, len(rows), tt.want)
			}
		}
	}
}

// TestStalledNetworkTLS: TLS has its own say when a connection is closed and
// when a cancel request is sent, and must not wait for the other side there.
func TestStalledNetworkTLS(t *testing.T) {
	for _, w := range waits {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			p, db, _ := faultyTLS(t, "", psyco.WithCancelGrace(100*time.Millisecond))
			stall(t, p, db, w.run)
		})
	}
	t.Run("connecting", func(t *testing.T) {
		t.Parallel()
		p, db, _ := faultyTLS(t, "")
		db.SetMaxIdleConns(0)
		p.Cut()
		p.Stall(faultproxy.Both)
		stalled := make(chan struct{})
		p.Observe(func(m faultproxy.Message) {
			if m.Type == faultproxy.SSLRequest {
				close(stalled)
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-stalled; cancel() }()
		if err := db.PingContext(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}
