//go:build unix

package pooler_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testsize"
)

// startPgpool starts pgpool-II in front of a primary and its standby, which share
// what only reads.
func startPgpool(t *testing.T, prime, stand *pgserver.Server, settings ...string) (dsn string) {
	t.Helper()
	path, dir := programOf(t, "pgpool"), openDir(t)
	const port = 9999 // only names the socket
	conf := write(t, filepath.Join(dir, "pgpool.conf"), fmt.Sprintf(`
listen_addresses = ''
port = %d
socket_dir = '%s'
pcp_listen_addresses = ''
pcp_socket_dir = '%[2]s'
wd_ipc_socket_dir = '%[2]s'
pid_file_name = '%[2]s/pgpool.pid'
logdir = '%[2]s'
backend_clustering_mode = 'streaming_replication'
backend_hostname0 = '127.0.0.1'
backend_port0 = %[3]d
backend_weight0 = 1
backend_flag0 = 'DISALLOW_TO_FAILOVER'
backend_hostname1 = '127.0.0.1'
backend_port1 = %[4]d
backend_weight1 = 1
backend_flag1 = 'DISALLOW_TO_FAILOVER'
load_balance_mode = on
num_init_children = 12
max_pool = 2
sr_check_period = 10
sr_check_user = 'postgres'
sr_check_database = 'postgres'
%[5]s
`, port, dir, prime.Port(), stand.Port(), strings.Join(settings, "\n")))
	hba := write(t, filepath.Join(dir, "pool_hba.conf"), "local all all trust\n")
	pcp := write(t, filepath.Join(dir, "pcp.conf"), "")
	daemon(t, dir, "unix", socketOf(dir, port), exec.Command(path, "-n", "-f", conf, "-a", hba, "-F", pcp))
	return fmt.Sprintf("host=%s port=%d user=postgres sslmode=disable", dir, port)
}

// startHAProxy starts an HAProxy with one backend, whose lines are given, and returns
// where it listens.
func startHAProxy(t *testing.T, backend ...string) (at string) {
	t.Helper()
	path, dir := programOf(t, "haproxy"), openDir(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	conf := write(t, filepath.Join(dir, "haproxy.cfg"), fmt.Sprintf(`
global
	maxconn 200
defaults
	mode tcp
	retries 0
	timeout connect 5s
	timeout client 1m
	timeout server 1m
	timeout check 2s
listen db
	bind 127.0.0.1:%d
	%s
`, port, strings.Join(backend, "\n\t")))
	daemon(t, dir, "tcp", fmt.Sprint("127.0.0.1:", port), exec.Command(path, "-f", conf, "-db"))
	return fmt.Sprintf("host=127.0.0.1 port=%d", port)
}

// TestPgpoolSharesReads has pgpool-II send what reads to a primary and a standby. What
// writes, and what reads after that in its transaction, is the primary's.
func TestPgpoolSharesReads(t *testing.T) {
	t.Parallel()
	testsize.Slow(t)
	programOf(t, "pgpool")
	prime, stand := pgserver.TestPair(t)
	dsn := startPgpool(t, prime, stand)
	direct := open(t, prime.DSN())
	mustExec(t, direct, "CREATE TABLE t (k int)")
	replicated(t, prime, stand)
	for _, extra := range []string{"", " prepare_threshold=1", " statement_cache_capacity=0", " binary_parameters=yes", " binding=client"} {
		t.Run("mode"+extra, func(t *testing.T) {
			db := open(t, dsn+" dbname=postgres"+extra)
			const connections = 6
			mustExec(t, direct, "TRUNCATE t")
			at := map[string]int{}
			for range 40 { // each connection is the client of one of the servers, at random
				var conns []*sql.Conn
				for range connections {
					conn := mustConn(t, db)
					conns = append(conns, conn)
					for i := range 3 {
						at[all(t, conn, "SELECT inet_server_port() WHERE 1::int = %s", 1)[0]]++
						mustExec(t, conn, "INSERT INTO t VALUES (%s)", i)
					}
					err := psyco.InTx(t.Context(), conn, nil, func(tx *sql.Tx) error {
						if _, err := tx.ExecContext(t.Context(), "INSERT INTO t VALUES (%s)", -1); err != nil {
							return err
						}
						n, err := psyco.QueryOne[int](t.Context(), tx, "SELECT count(*) FROM t WHERE k = %s AND xmin = pg_current_xact_id()::xid", -1)
						return want(n, err, 1)
					})
					if err != nil {
						t.Fatal(err)
					}
				}
				for _, conn := range conns {
					conn.Raw(func(any) error { return errors.New("enough") })
					conn.Close()
				}
				if len(at) == 2 {
					break
				}
			}
			if len(at) != 2 {
				t.Errorf("all reads went to one server: %v", at)
			}
		})
	}
}

// replicated waits until the standby has all that the primary has.
func replicated(t *testing.T, prime, stand *pgserver.Server) {
	t.Helper()
	lsn := all(t, open(t, prime.DSN()), "SELECT pg_current_wal_lsn()")[0]
	db := open(t, stand.DSN())
	for all(t, db, "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", lsn)[0] != "true" {
		time.Sleep(time.Millisecond)
	}
}

// TestHAProxyFollowsThePrimary: the primary dies, its standby is promoted, and HAProxy
// learns that from an HTTP check, as Patroni answers one. Writers go on, and what was
// acknowledged is there once.
func TestHAProxyFollowsThePrimary(t *testing.T) {
	t.Parallel()
	testsize.Slow(t)
	programOf(t, "haproxy")
	prime, stand := pgserver.TestPair(t)
	admin := open(t, prime.DSN())
	mustExec(t, admin, "CREATE TABLE t (k int)")
	mustExec(t, admin, "ALTER SYSTEM SET synchronous_standby_names = '*'")
	mustExec(t, admin, "SELECT pg_reload_conf()")
	for !slices.Equal(all(t, admin, "SELECT sync_state FROM pg_stat_replication"), []string{"sync"}) {
		time.Sleep(time.Millisecond)
	}
	var servers []string
	for i, s := range []*pgserver.Server{prime, stand} {
		servers = append(servers, fmt.Sprintf("server db%d %s check port %d inter 50ms fall 2 rise 1 on-marked-down shutdown-sessions", i, s.Addr(), answersPrimary(t, s)))
	}
	at := startHAProxy(t, append([]string{"option httpchk GET /primary", "http-check expect status 200"}, servers...)...)
	db := open(t, at+" user=postgres dbname=postgres sslmode=disable connect_timeout=5")
	acknowledged := make(chan int, 1<<16)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan int)
	const writers = 4
	for w := range writers {
		go func() {
			for k := w; ; k += writers {
				if ctx.Err() != nil {
					ended <- k
					return
				}
				if _, err := db.ExecContext(ctx, "INSERT INTO t VALUES (%s)", k); err == nil {
					acknowledged <- k
				} else {
					time.Sleep(time.Millisecond)
				}
			}
		}()
	}
	await := func(n int) {
		for n += len(acknowledged); len(acknowledged) < n; {
			time.Sleep(time.Millisecond)
		}
	}
	await(100)
	if err := prime.Kill(); err != nil {
		t.Fatal(err)
	}
	after := open(t, stand.DSN())
	if got := all(t, after, "SELECT pg_promote()"); got[0] != "true" {
		t.Fatalf("pg_promote: %s", got[0])
	}
	await(100)
	stop()
	for range writers {
		<-ended
	}
	close(acknowledged)
	found := map[string]int{}
	for _, k := range all(t, after, "SELECT k FROM t") {
		if found[k]++; found[k] > 1 {
			t.Errorf("%s was written twice", k)
		}
	}
	for k := range acknowledged {
		if found[fmt.Sprint(k)] == 0 {
			t.Errorf("%d was acknowledged and is lost", k)
		}
	}
}

// answersPrimary serves what Patroni does at /primary, and returns the port.
func answersPrimary(t *testing.T, s *pgserver.Server) int {
	t.Helper()
	db := open(t, s.DSN()+" connect_timeout=1")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	api := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		standby, err := psyco.QueryOne[bool](r.Context(), db, "SELECT pg_is_in_recovery()")
		if err != nil || standby {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	ended := make(chan struct{})
	go func() { api.Serve(l); close(ended) }()
	t.Cleanup(func() { api.Close(); <-ended })
	return l.Addr().(*net.TCPAddr).Port
}

// TestHAProxyEndsIdleConnections: a proxy closes connections that nobody has used for a
// while. The next query must not be the one that finds out.
func TestHAProxyEndsIdleConnections(t *testing.T) {
	t.Parallel()
	server, err := pgserver.Shared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	direct := pgserver.TestDSN(t)
	// Longer than a query takes where others want the processor, too.
	at := startHAProxy(t, "timeout client 1s", "timeout server 1s", "server db "+server.Addr())
	var last *net.TCPConn
	db := open(t, direct+" "+at, psyco.WithDialer(func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		last, _ = c.(*net.TCPConn)
		return c, err
	}))
	for i := range 3 {
		if n, err := psyco.QueryOne[int](t.Context(), db, "SELECT %s::int", i); err != nil || n != i {
			t.Errorf("%d, %v, want %d", n, err, i)
		}
		for !isHungUp(t, last) {
			time.Sleep(time.Millisecond)
		}
	}
}

// isHungUp reports whether the other side has closed a connection on which nothing else comes.
func isHungUp(t *testing.T, c *net.TCPConn) (yes bool) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Read(func(fd uintptr) bool {
		n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		yes = n == 0 && err == nil
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return yes
}
