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
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testdb"
)

// pgbouncer starts a pgbouncer with few server connections in front of a fresh
// database, and returns how to connect to it. settings are lines for its file.
func pgbouncer(t *testing.T, poolMode string, settings ...string) (dsn, direct string) {
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
%s
`, cfg.Database, host.Host, host.Port, cfg.User, password, port, poolMode, strings.Join(settings, "\n"))
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
	for _, w := range testdb.BulkWrites {
		t.Run(w.Name, func(t *testing.T) {
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
						if err := w.Write(context.Background(), db, client*writes+i); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			got := all(t, server, "SELECT count(*), count(DISTINCT k), min(n), max(n) FROM (SELECT k, count(*) OVER (PARTITION BY k) n FROM t) t")
			if want := fmt.Sprintf("%d,%d,%d,%[3]d", clients*writes*testdb.BulkRows, clients*writes, testdb.BulkRows); got[0] != want {
				t.Errorf("got %s, want %s", got[0], want)
			}
		})
	}
}

// TestPooler runs many clients through a pgbouncer in transaction mode: no
// statement may run in another's place, be lost or run twice, and after the
// first meetings none may fail.
func TestPooler(t *testing.T) {
	for _, extra := range []string{"", " binary_parameters=yes", " prepare_threshold=1", " pgbouncer=true"} {
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

// TestPoolerMixesUpNoStatements has clients that share few servers run texts of
// their own in every way there is. Each must get its own answers, and no statement
// may be left behind on a server.
func TestPoolerMixesUpNoStatements(t *testing.T) {
	const servers, clients, rounds = 3, 8, 12
	for _, extra := range []string{"", " binary_parameters=yes", " prepare_threshold=1", " pgbouncer=true", " statement_cache_capacity=0"} {
		t.Run("mode"+extra, func(t *testing.T) {
			t.Parallel()
			dsn, _ := pgbouncer(t, "transaction", fmt.Sprintf("default_pool_size = %d", servers))
			ctx := t.Context()
			var dbs [clients]*sql.DB
			for client := range dbs {
				dbs[client] = open(t, dsn+extra) // as in a process of its own
			}
			var wg sync.WaitGroup
			for client, db := range dbs {
				wg.Go(func() {
					native := fmt.Sprintf("SELECT 'client %d ' || $1::text", client)
					psycopg := fmt.Sprintf("SELECT 'client %d ' || %%s::text", client)
					check := func(way, want string, ask func() *sql.Row) {
						var got string
						if err := ask().Scan(&got); err != nil || got != want {
							t.Errorf("%s: %q, %v, want %q", way, got, err, want)
						}
					}
					var stmts []*sql.Stmt
					for _, query := range []string{native, psycopg} {
						stmt, err := db.PrepareContext(ctx, query)
						if err != nil {
							t.Errorf("Prepare: %v", err)
							return
						}
						defer stmt.Close()
						stmts = append(stmts, stmt)
					}
					for i := range rounds {
						want := fmt.Sprintf("client %d %d", client, i)
						check("native", want, func() *sql.Row { return db.QueryRowContext(ctx, native, strconv.Itoa(i)) })
						check("psycopg", want, func() *sql.Row { return db.QueryRowContext(ctx, psycopg, strconv.Itoa(i)) })
						for _, stmt := range stmts {
							check("prepared", want, func() *sql.Row { return stmt.QueryRowContext(ctx, strconv.Itoa(i)) })
						}
						err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
							check("transaction", want, func() *sql.Row { return tx.QueryRowContext(ctx, native, strconv.Itoa(i)) })
							fresh := fmt.Sprintf("SELECT 'client %d ' || %%s || '%d'", client, i)
							check("transaction, new text", want, func() *sql.Row { return tx.QueryRowContext(ctx, fresh, "") })
							check("transaction, prepared", want, func() *sql.Row { return tx.StmtContext(ctx, stmts[0]).QueryRowContext(ctx, strconv.Itoa(i)) })
							stmt, err := tx.PrepareContext(ctx, native)
							if err != nil {
								return err
							}
							defer stmt.Close()
							check("prepared in the transaction", want, func() *sql.Row { return stmt.QueryRowContext(ctx, strconv.Itoa(i)) })
							return nil
						})
						if err != nil {
							t.Errorf("InTx: %v", err)
						}
					}
				})
			}
			wg.Wait()
			// What was kept before the pooler was found is closed by what is sent later,
			// when that comes to the same server.
			left := leftOnServers(t, dsn, servers)
			for range 100 {
				if left == "" {
					return
				}
				for _, db := range dbs {
					wg.Go(func() {
						if _, err := db.ExecContext(ctx, "SELECT pg_sleep($1::float8)", 0.001); err != nil {
							t.Errorf("later: %v", err)
						}
					})
				}
				wg.Wait()
				left = leftOnServers(t, dsn, servers)
			}
			t.Errorf("statements are left: %s", left)
		})
	}
}

// leftOnServers returns the names of prepared statements on all servers behind a
// pooler.
func leftOnServers(t *testing.T, dsn string, servers int) string {
	t.Helper()
	db := open(t, dsn)
	var left []string
	for range servers { // a transaction holds a server
		tx := mustBegin(t, db)
		left = append(left, all(t, tx, "SELECT name || ': ' || statement FROM pg_prepared_statements")...)
	}
	return strings.Join(left, "\n")
}

// TestDetectedPoolerKeepsValues compares what values become, once psyco has found out
// by itself that there is a pooler, with what lib/pq makes of them.
func TestDetectedPoolerKeepsValues(t *testing.T) {
	t.Parallel()
	dsn, direct := pgbouncer(t, "transaction", "default_pool_size = 1")
	db := open(t, dsn)
	conns := []*sql.Conn{mustConn(t, db), mustConn(t, db)}
	for range 3 {
		for _, c := range conns {
			mustExec(t, c, "SELECT $1::int", 1)
		}
	}
	for i, c := range conns {
		if s := stats(t, c); i > 0 && s.CacheHits > 0 {
			t.Fatalf("the pooler is not found: %+v", s)
		}
	}
	base, err := sql.Open("postgres", direct)
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	for _, tt := range []struct {
		typ   string
		value any
	}{
		{"jsonb", []byte(`{"a": "b\\c"}`)},
		{"json", []byte(`[1, "é"]`)},
		{"uuid", []byte("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")},
		{"numeric", []byte("12.50")},
		{"bigint", []byte("7")},
		{"date", []byte("2024-02-29")},
		{"bool", []byte("t")},
		{"inet", []byte("10.0.0.1")},
		{"int[]", []byte("{1,2}")},
		{"text[]", pq.Array([]string{`a"b`, `c\d`})},
		{"text", `a\b`},
		{"text", "déjà vu"},
		{"bytea", `\x4142`},
		{"bytea", []byte{0, 255, '\\'}},
		{"bytea", "plain"},
		{"text", []byte(`a\b`)},
		{"text", "\xff"},
		{"int", "x"},
		{"int", nil},
		{"timestamptz", time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)},
	} {
		query := fmt.Sprintf("SELECT ($1::%s)::text", tt.typ)
		ask := func(h interface {
			QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
		}) string {
			var s sql.NullString
			err := h.QueryRowContext(t.Context(), query, tt.value).Scan(&s)
			if err != nil {
				return code(err)
			}
			return fmt.Sprint(s)
		}
		want := ask(base)
		for range 3 {
			for _, c := range conns {
				if got := ask(c); got != want {
					t.Errorf("%v for %s: %s, want %s", tt.value, tt.typ, got, want)
				}
			}
		}
		tx := mustBegin(t, conns[0])
		if got := ask(tx); got != want {
			t.Errorf("%v for %s in a transaction: %s, want %s", tt.value, tt.typ, got, want)
		}
		tx.Rollback()
		stmt, err := conns[0].PrepareContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		var s sql.NullString
		if err := stmt.QueryRowContext(t.Context(), tt.value).Scan(&s); err != nil && code(err) != want || err == nil && fmt.Sprint(s) != want {
			t.Errorf("%v for %s, prepared: %v, %v, want %s", tt.value, tt.typ, s, err, want)
		}
		stmt.Close()
	}
	if _, err := conns[0].ExecContext(t.Context(), "SELECT $1::int, $2::text", "a\\b"); err == nil || !strings.Contains(err.Error(), "got 1 parameters but the statement requires 2") {
		t.Errorf("too few arguments: %v", err)
	}
	conns[0].Close()
	conns[1].Close()
	if left := leftOnServers(t, dsn, 1); left != "" {
		t.Errorf("statements are left: %s", left)
	}
}

// TestPoolerIsFoundWithoutLoss runs into a pooler whose process IDs look like a
// server's, so that only a missing statement gives it away: no caller sees that, and
// what was prepared before is closed.
func TestPoolerIsFoundWithoutLoss(t *testing.T) {
	t.Parallel()
	dsn, _ := pgbouncer(t, "transaction", "default_pool_size = 2")
	conn := mustConn(t, open(t, dsn))
	psyco.TrustPID(t, conn)
	holder := mustBegin(t, open(t, dsn)) // takes one of the servers
	mustExec(t, holder, "SELECT 1")
	for range 3 {
		mustExec(t, conn, "SELECT $1::int", 1)
	}
	stmt, err := conn.PrepareContext(t.Context(), "SELECT $1::int")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	tx := mustBegin(t, open(t, dsn)) // takes the other, which has the statements
	mustExec(t, tx, "SELECT 1")
	holder.Rollback()
	for range 3 {
		if got := all(t, conn, "SELECT $1::int", 1); !slices.Equal(got, []string{"1"}) {
			t.Errorf("got %q", got)
		}
	}
	if s := stats(t, conn); s.CacheHits != 2 {
		t.Errorf("%+v, want 2 hits", s)
	}
	tx.Rollback()
	for range 10 {
		var n int
		if err := stmt.QueryRow(1).Scan(&n); err != nil || n != 1 {
			t.Errorf("prepared: %d, %v", n, err)
		}
	}
	if left := leftOnServers(t, dsn, 2); left != "" {
		t.Errorf("statements are left: %s", left)
	}
}
