//go:build unix

package psyco_test

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
)

// pgbouncer starts a pgbouncer with few server connections in front of a fresh
// database, and returns how to connect to it.
func pgbouncer(t *testing.T, poolMode string) (dsn, direct string) {
	t.Helper()
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		if path = "/usr/sbin/pgbouncer"; !executable(path) {
			t.Skip("pgbouncer is not installed")
		}
	}
	direct = pgserver.TestDSN(t)
	cfg, err := psyco.ParseDSN(direct)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "pgb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	port := freePort(t)
	host, password := cfg.Hosts[0], ""
	if cfg.Password != "" {
		password = " password='" + cfg.Password + "'"
	}
	ini := filepath.Join(dir, "pgbouncer.ini")
	text := fmt.Sprintf(`[databases]
%s = host=%s port=%d user=%s%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = %s
default_pool_size = 4
server_round_robin = 1
`, cfg.Database, host.Host, host.Port, cfg.User, password, port, poolMode)
	if err := os.WriteFile(ini, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, ini)
	if os.Getuid() == 0 { // pgbouncer refuses to be root
		u, err := user.Lookup("nobody")
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() { cmd.Process.Kill(); <-ended })
	dsn = fmt.Sprintf("host=127.0.0.1 port=%d user=%s dbname=%s sslmode=disable", port, cfg.User, cfg.Database)
	for {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
			return dsn, direct
		}
		select {
		case <-ended:
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("pgbouncer ended:\n%s", text)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestBulkPooler runs bulk operations through a pgbouncer in transaction mode,
// whose servers lose the statements that are prepared for them.
func TestBulkPooler(t *testing.T) {
	for _, w := range bulkWrites {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			dsn, direct := pgbouncer(t, "transaction")
			server := open(t, direct)
			mustExec(t, server, "CREATE TABLE t (k int)")
			db := open(t, dsn)
			const clients, writes = 3, 3
			var wg sync.WaitGroup
			for client := range clients {
				wg.Go(func() {
					for i := range writes {
						if err := w.write(context.Background(), db, client*writes+i); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			got := all(t, server, "SELECT count(*), count(DISTINCT k), min(n), max(n) FROM (SELECT k, count(*) OVER (PARTITION BY k) n FROM t) t")
			if want := fmt.Sprintf("%d,%d,%d,%[3]d", clients*writes*bulkRows, clients*writes, bulkRows); got[0] != want {
				t.Errorf("got %s, want %s", got[0], want)
			}
		})
	}
}

// TestPooler runs many clients through a pgbouncer in transaction mode: no
// statement may run in another's place, be lost or run twice, and after the
// first meetings none may fail.
func TestPooler(t *testing.T) {
	for _, extra := range []string{"", " binary_parameters=yes", " prepare_threshold=1"} {
		t.Run("transaction mode"+extra, func(t *testing.T) {
			t.Parallel()
			dsn, direct := pgbouncer(t, "transaction")
			server := open(t, direct)
			mustExec(t, server, "CREATE TABLE t (k int, v text)")
			db := open(t, dsn+extra)
			db.SetMaxOpenConns(8)
			var wg sync.WaitGroup
			for client := range 8 {
				wg.Go(func() {
					for i := range 200 {
						k := client*1000 + i
						if _, err := db.Exec("INSERT INTO t VALUES (%s, %s)", k, fmt.Sprint("v", k)); err != nil {
							t.Errorf("insert: %v", err)
							return
						}
						var v string
						if err := db.QueryRow("SELECT v FROM t WHERE k = $1", k).Scan(&v); err != nil || v != fmt.Sprint("v", k) {
							t.Errorf("select: %q, %v", v, err)
							return
						}
						if i%10 == 0 {
							err := psyco.InTx(context.Background(), db, nil, func(tx *sql.Tx) error {
								for range 3 {
									if _, err := tx.Exec("UPDATE t SET v = v || %s WHERE k = %s", "x", k); err != nil {
										return err
									}
								}
								return nil
							})
							if err != nil {
								t.Errorf("transaction: %v", err)
								return
							}
						}
					}
				})
			}
			wg.Wait()
			got := all(t, server, "SELECT count(*), count(DISTINCT k), sum(length(v) - length('v' || k)) FROM t")
			if got[0] != "1600,1600,480" {
				t.Errorf("got %s, want 1600,1600,480", got[0])
			}
		})
	}
	t.Run("session mode keeps its prepared statements", func(t *testing.T) {
		t.Parallel()
		dsn, _ := pgbouncer(t, "session")
		conn, err := open(t, dsn).Conn(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for range 5 {
			mustExec(t, conn, "SELECT %s", 1)
		}
		if s := stats(t, conn); s.CacheHits != 3 {
			t.Errorf("%+v, want 3 hits", s)
		}
	})
}
