//go:build unix

package pooler_test

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/faultproxy"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testdb"
)

// pgbouncer starts a pgbouncer with few server connections in front of a fresh
// database, and returns how to connect to it. settings are lines for its file.
func pgbouncer(t *testing.T, poolMode string, settings ...string) (dsn, direct string) {
	t.Helper()
	direct = pgserver.TestDSN(t)
	cfg, err := psyco.ParseDSN(direct)
	if err != nil {
		t.Fatal(err)
	}
	return startPgbouncer(t, cfg, poolMode, settings...) + " dbname=" + cfg.Database, direct
}

// startPgbouncer starts a pgbouncer in front of all databases of a server.
func startPgbouncer(t *testing.T, cfg *psyco.Config, poolMode string, settings ...string) (dsn string) {
	t.Helper()
	path, dir := programOf(t, "pgbouncer"), openDir(t)
	const port = 6432 // only names the socket
	host, password := cfg.Hosts[0], ""
	if cfg.Password != "" {
		password = " password='" + cfg.Password + "'"
	}
	ini := write(t, filepath.Join(dir, "pgbouncer.ini"), fmt.Sprintf(`[databases]
* = host=%s port=%d user=%s%s
[pgbouncer]
listen_addr =
listen_port = %d
unix_socket_dir = %s
auth_type = any
pool_mode = %s
default_pool_size = 4
server_round_robin = 1
%s
`, host.Host, host.Port, cfg.User, password, port, dir, poolMode, strings.Join(settings, "\n")))
	daemon(t, dir, "unix", socketOf(dir, port), exec.Command(path, ini))
	return fmt.Sprintf("host=%s port=%d user=%s sslmode=disable", dir, port, cfg.User)
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
				dbs[client] = openSuspicious(t, dsn+extra) // as in a process of its own
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

// openSuspicious opens a database behind a pooler whose first connection has a process ID
// that no server has. Poolers make IDs up at random, so about one in a thousand is
// possible, and from a single connection psyco then cannot tell.
func openSuspicious(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	return testdb.OpenDB(t, suspicious(t, dsn))
}

// suspicious returns a connector that has had such a connection.
func suspicious(t *testing.T, dsn string, opts ...psyco.Option) *psyco.Connector {
	t.Helper()
	for {
		con, err := psyco.NewConnector(dsn, opts...)
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(con)
		var pid uint32
		err = psyco.WithConn(t.Context(), db, func(c *psyco.Conn) error { pid = c.PID(); return nil })
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		if pid > 1<<22 {
			return con
		}
	}
}

// TestPoolerIsFoundInTheMiddle has another connection of the pool find the pooler while
// an operation is between two chunks of its own transaction: what it has prepared
// must stay.
func TestPoolerIsFoundInTheMiddle(t *testing.T) {
	t.Parallel()
	dsn, _ := pgbouncer(t, "transaction", "default_pool_size = 2")
	db := openSuspicious(t, dsn)
	writer, others := mustConn(t, db), []*sql.Conn{mustConn(t, db), mustConn(t, db)}
	mustExec(t, writer, "CREATE TABLE t (k int)")
	const insert = "INSERT INTO t VALUES (%s)"
	for range 2 { // alone, so that it keeps its plan
		if _, err := psyco.ExecMany(t.Context(), writer, insert, listed([]any{-1})); err != nil {
			t.Fatal(err)
		}
	}
	if s := stats(t, writer); s.CacheHits != 1 {
		t.Fatalf("%+v, want a hit", s)
	}
	const rows = 10_000
	n, err := psyco.ExecMany(t.Context(), writer, insert, func(yield func([]any, error) bool) {
		for i := range rows {
			if i == rows/2 { // the writer holds one of the servers, the others meet on the other
				for _, c := range others {
					for range 3 {
						mustExec(t, c, "SELECT $1::int", 1)
					}
				}
				if s := stats(t, others[1]); s.Prepared != 0 {
					t.Errorf("%+v: the pooler is not found", s)
				}
			}
			if !yield([]any{i}, nil) {
				return
			}
		}
	})
	if err != nil || n != rows {
		t.Errorf("%d, %v", n, err)
	}
}

// TestTransactionBehindPoolerMissesNothing uses what a connection keeps in a transaction
// that has begun on another server.
func TestTransactionBehindPoolerMissesNothing(t *testing.T) {
	rows := listed([]any{1}, []any{2})
	for _, tt := range []struct {
		name string
		run  func(ctx context.Context, h psyco.Handle, stmt func() *sql.Stmt) error
	}{
		{"query", func(ctx context.Context, h psyco.Handle, _ func() *sql.Stmt) error {
			_, err := h.ExecContext(ctx, "INSERT INTO t VALUES (%s)", 1)
			return err
		}},
		{"statement", func(ctx context.Context, h psyco.Handle, stmt func() *sql.Stmt) error {
			_, err := stmt().ExecContext(ctx, 1)
			return err
		}},
		{"ExecMany", func(ctx context.Context, h psyco.Handle, _ func() *sql.Stmt) error {
			_, err := psyco.ExecMany(ctx, h, "INSERT INTO t VALUES (%s)", rows)
			return err
		}},
		{"ExecValues", func(ctx context.Context, h psyco.Handle, _ func() *sql.Stmt) error {
			_, err := psyco.ExecValues(ctx, h, "INSERT INTO t VALUES %s", rows, nil)
			return err
		}},
		{"Batch", func(ctx context.Context, h psyco.Handle, _ func() *sql.Stmt) error {
			var b psyco.Batch
			b.Queue("INSERT INTO t VALUES ($1)", 1)
			return b.Run(ctx, h)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dsn, direct := pgbouncer(t, "transaction", "default_pool_size = 2")
			ctx := t.Context()
			conn := mustConn(t, openSuspicious(t, dsn))
			mustExec(t, conn, "CREATE TABLE t (k int)")
			stmt, err := conn.PrepareContext(ctx, "INSERT INTO t VALUES ($1)")
			if err != nil {
				t.Fatal(err)
			}
			defer stmt.Close()
			for range 4 {
				if err := tt.run(ctx, conn, func() *sql.Stmt { return stmt }); err != nil {
					t.Fatal(err)
				}
			}
			// One of the two servers is taken, then the other.
			elsewhere := mustConn(t, open(t, dsn))
			for range 2 {
				held := mustBegin(t, elsewhere)
				mustExec(t, held, "SELECT 1")
				tx := mustBegin(t, conn)
				mustExec(t, tx, "SELECT 1")
				if err := tt.run(ctx, tx, func() *sql.Stmt { return tx.StmtContext(ctx, stmt) }); err != nil {
					t.Error(err)
				}
				if err := tx.Rollback(); err != nil {
					t.Error(err)
				}
				mustExec(t, conn, "SELECT 1") // they take turns
				if err := held.Rollback(); err != nil {
					t.Fatal(err)
				}
			}
			if got := all(t, open(t, direct), "SELECT count(*) > 0 FROM t"); got[0] != "true" {
				t.Error("nothing was written outside of transactions")
			}
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
		defer tx.Rollback() // gives it to others again
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
	//psyco:allow the error is what is wanted
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
	conn := mustConn(t, open(t, dsn+" "+rewritten(t, dsn, func(m []byte) []byte {
		if m[0] == 'K' {
			m = slices.Clone(m)
			binary.BigEndian.PutUint32(m[5:], 1)
		}
		return m
	})))
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

// TestPoolersOfTwoHosts: two poolers by session whose servers have processes of the same
// ID are not one that mixes sessions up, so statements are prepared.
func TestPoolersOfTwoHosts(t *testing.T) {
	t.Parallel()
	dsn := pgserver.TestDSN(t)
	cfg, err := psyco.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	const pid = 4711
	var hosts []psyco.Host
	for range 2 {
		at, err := psyco.ParseDSN(rewritten(t, dsn, func(m []byte) []byte {
			switch {
			case m[0] == 'K': // as a pooler makes IDs up
				m = slices.Clone(m)
				m[5] = 0x7f
			case m[0] == 'D' && isNumber(m[11:]): // pg_backend_pid's, which alone is a number
				m = dataRow(strconv.Itoa(pid))
			}
			return m
		}))
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, at.Hosts[0])
	}
	cfg.SSLMode, cfg.PrepareThreshold = "disable", 1
	for _, tt := range []struct {
		name string
		both [2]int // the hosts of two connections
		want uint64 // how many statements the second prepares
	}{
		{"two hosts", [2]int{0, 1}, 1},
		{"one host", [2]int{0, 0}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			next := 0
			con, err := psyco.NewConnectorConfig(cfg, psyco.WithBeforeConnect(func(_ context.Context, cfg *psyco.Config) error {
				cfg.Hosts = []psyco.Host{hosts[tt.both[next]]}
				next++
				return nil
			}))
			if err != nil {
				t.Fatal(err)
			}
			db := testdb.OpenDB(t, con)
			for i := range 2 {
				c := mustConn(t, db)
				if got := all(t, c, "SELECT 'it is ' || %s", "one"); !slices.Equal(got, []string{"it is one"}) {
					t.Fatalf("got %q", got)
				}
				if got := stats(t, c).Prepared; i == 1 && got != tt.want {
					t.Errorf("the second connection has prepared %d statements, want %d", got, tt.want)
				}
			}
		})
	}
}

// TestWhatNeedsASession asks for what a pooler that gives each transaction to another
// session would silently lose.
func TestWhatNeedsASession(t *testing.T) {
	const refused = "needs a session of its own"
	grace := psyco.WithCancelGrace(200 * time.Millisecond)
	listen := func(t *testing.T, dsn string) error {
		con := suspicious(t, dsn, grace)
		l := psyco.NewListener(con, nil)
		defer l.Close()
		return l.Listen(t.Context(), "news")
	}
	hold := &psyco.CursorOptions{Hold: true}
	declare := func(t *testing.T, dsn string) error {
		_, err := psyco.DeclareCursor(t.Context(), mustConn(t, testdb.OpenDB(t, suspicious(t, dsn, grace))), "c", hold, "SELECT 1")
		return err
	}
	declareInTx := func(t *testing.T, dsn string) error {
		_, err := psyco.DeclareCursor(t.Context(), mustBegin(t, open(t, dsn)), "c", hold, "SELECT 1")
		return err
	}
	for _, tt := range []struct {
		name, mode, settings, extra string
		use                         func(t *testing.T, dsn string) error
		want                        string
	}{
		{"Listener, by transaction", "transaction", "", "", listen, refused},
		{"Listener, taking turns", "transaction", "server_round_robin = 1", "", listen, refused},
		{"Listener, the last server first", "transaction", "server_round_robin = 0", "", listen, refused},
		{"Listener, one server", "transaction", "default_pool_size = 1", "", listen, refused},
		{"Listener, told", "transaction", "", " pgbouncer=true", listen, refused},
		{"Listener, by session", "session", "", "", listen, ""},
		{"Listener, the last session", "session", "default_pool_size = 1", "", listen, ""},
		{"cursor, by transaction", "transaction", "", "", declare, refused},
		{"cursor, told", "transaction", "", " pgbouncer=true", declare, refused},
		{"cursor in a transaction, told", "transaction", "", " pgbouncer=true", declareInTx, refused},
		{"cursor, by session", "session", "", "", declare, ""},
		{"cursor, the last session", "session", "default_pool_size = 1", "", declare, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dsn, _ := pgbouncer(t, tt.mode, tt.settings)
			switch err := tt.use(t, dsn+tt.extra); {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("on the server itself", func(t *testing.T) {
		dsn := pgserver.TestDSN(t)
		con, err := psyco.NewConnector(dsn)
		if err != nil {
			t.Fatal(err)
		}
		l := psyco.NewListener(con, nil)
		defer l.Close()
		if err := l.Listen(t.Context(), "news"); err != nil {
			t.Error(err)
		}
		if err := declareInTx(t, dsn); err != nil {
			t.Error(err)
		}
	})
}

// rewritten returns where to connect to for the server of dsn with other messages.
func rewritten(t *testing.T, dsn string, rewrite func(m []byte) []byte) string {
	t.Helper()
	cfg, err := psyco.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	at := cfg.Hosts[0]
	network, address := "tcp", net.JoinHostPort(at.Host, strconv.Itoa(int(at.Port)))
	if strings.HasPrefix(at.Host, "/") {
		network, address = "unix", fmt.Sprintf("%s/.s.PGSQL.%d", at.Host, at.Port)
	}
	p, err := faultproxy.New(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	p.Rewrite(func(_ int, m []byte) faultproxy.Rewrite { return faultproxy.Rewrite{Bytes: rewrite(m)} })
	return p.ConnInfo()
}

func isNumber(text []byte) bool {
	_, err := strconv.Atoi(string(text))
	return err == nil
}

// dataRow is a row of one value.
func dataRow(value string) []byte {
	m := []byte{'D', 0, 0, 0, 0, 0, 1}
	m = binary.BigEndian.AppendUint32(m, uint32(len(value)))
	m = append(m, value...)
	binary.BigEndian.PutUint32(m[1:], uint32(len(m)-1))
	return m
}
