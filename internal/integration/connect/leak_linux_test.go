package connect_test

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/faultproxy"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testcert"
	"github.com/psyco-go/psyco/internal/testsize"
)

// abuse is what a program can do to a database, right or wrong. Errors are
// expected; what matters is what is left.
var abuse = []func(ctx context.Context, db *sql.DB){
	func(ctx context.Context, db *sql.DB) { db.ExecContext(ctx, "SELECT 1/(%s - 1)", 1) },
	func(ctx context.Context, db *sql.DB) { db.ExecContext(ctx, "SELECT %s", 1) },
	func(ctx context.Context, db *sql.DB) { // cancelled while it runs
		ctx, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
		defer cancel()
		// Short, since a server whose client is gone finishes its sleep.
		db.ExecContext(ctx, "SELECT pg_sleep(%s)", 0.5)
	},
	func(ctx context.Context, db *sql.DB) { // rows that are left open
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		rows, err := db.QueryContext(ctx, "SELECT repeat('x', 1000) FROM generate_series(1, %s)", 10000)
		if err != nil {
			return
		}
		rows.Next()
	},
	func(ctx context.Context, db *sql.DB) { // a transaction that is forgotten
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return
		}
		tx.Exec("SELECT %s", 1)
		tx.Query("SELECT generate_series(1, 10000)")
	},
	func(ctx context.Context, db *sql.DB) { // a statement that is forgotten
		if stmt, err := db.PrepareContext(ctx, "SELECT $1::int"); err == nil {
			stmt.ExecContext(ctx, 1)
		}
	},
	func(ctx context.Context, db *sql.DB) { // a COPY that is given up
		psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
			if _, err := tx.Exec("CREATE TEMP TABLE leak (a int) ON COMMIT DROP"); err != nil {
				return err
			}
			//lint:ignore SA1019 existing programs use it
			stmt, err := tx.Prepare(pq.CopyIn("leak", "a"))
			if err != nil {
				return err
			}
			stmt.Exec(1)
			return errors.New("given up")
		})
	},
	func(ctx context.Context, db *sql.DB) { // a connection that is killed
		db.ExecContext(ctx, "SELECT pg_terminate_backend(pg_backend_pid()), %s", 1)
	},
	func(ctx context.Context, db *sql.DB) { // a BEGIN by hand, and rows
		conn, err := db.Conn(ctx)
		if err != nil {
			return
		}
		defer conn.Close()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		conn.ExecContext(ctx, "BEGIN")
		conn.QueryContext(ctx, "SELECT generate_series(1, 10000)")
	},
}

// TestNothingLeft looks for connections, goroutines and file descriptors after
// a workload of all that can go wrong.
func TestNothingLeft(t *testing.T) {
	testsize.Slow(t)
	// The garbage collector closes sockets that nobody refers to any more, and
	// would hide them.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	s := withTLS(t)
	admin := open(t, s.DSN())
	admin.SetMaxOpenConns(1)
	if err := admin.Ping(); err != nil {
		t.Fatal(err)
	}
	shared, err := pgserver.Shared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := sockets(t)

	p, err := faultproxy.New("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	const base = " user=postgres dbname=postgres application_name=leaktest "
	root := testcert.Write(t, t.TempDir(), "root.crt", certs.Root.PEM())
	refused := errors.New("refused")
	connectors := []struct {
		dsn  string
		opts []psyco.Option
	}{
		{dsn: s.DSN() + base},
		{dsn: p.ConnInfo() + base + "sslmode=disable"},
		{dsn: p.ConnInfo() + base + "host=db.example.test hostaddr=127.0.0.1 sslmode=verify-full sslrootcert=" + root},
		{dsn: p.ConnInfo() + base + "host=other.example.test hostaddr=127.0.0.1 sslmode=verify-full sslrootcert=" + root},
		{dsn: p.ConnInfo() + base + "user=plain_only sslmode=prefer"},
		{dsn: s.DSN() + base + "host=127.0.0.1 user=scram_user password=wrong"},
		{dsn: s.DSN() + base + "target_session_attrs=standby"},
		{dsn: s.DSN() + base + "requirepeer=nobody-here"},
		{dsn: s.DSN() + base, opts: []psyco.Option{psyco.WithOnConnect(func(context.Context, *psyco.Conn) error { return refused })}},
		{dsn: shared.DSN() + base + "host=127.0.0.1 sslmode=require"},
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var dbs []*sql.DB
	for _, c := range connectors {
		c.opts = append(c.opts, psyco.WithCancelGrace(100*time.Millisecond))
		con, err := psyco.NewConnector(c.dsn, c.opts...)
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(con)
		dbs = append(dbs, db)
		for range testsize.Cases(1, 2) {
			wg.Go(func() {
				for _, i := range slices.Concat(rand.Perm(len(abuse)), rand.Perm(len(abuse))) {
					abuse[i](ctx, db)
				}
			})
		}
	}
	network := make(chan struct{})
	go func() { // breaks the network until the workload is over
		defer close(network)
		for ctx.Err() == nil {
			time.Sleep(20 * time.Millisecond)
			[]func(){p.Reset, p.Cut, func() {
				p.Stall(faultproxy.Both)
				time.Sleep(10 * time.Millisecond)
				p.Resume(faultproxy.Both)
			}}[rand.N(3)]()
		}
	}()
	wg.Wait()
	cancel()
	<-network
	for _, db := range dbs {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	// The proxy stays open meanwhile: psyco must have closed its sockets by
	// itself, not because the other side did.
	for _, what := range []struct {
		name string
		left func() []string
	}{
		{"connections", func() []string {
			return all(t, admin, "SELECT pid, state, query FROM pg_stat_activity WHERE application_name = 'leaktest'")
		}},
		{"goroutines", func() []string {
			if stacks := leftovers("TestNothingLeft", "faultproxy"); stacks != "" {
				return []string{stacks}
			}
			return nil
		}},
	} {
		await(t, what.name, what.left)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	await(t, "sockets", func() (left []string) {
		now := sockets(t)
		maps.DeleteFunc(now, func(inode, _ string) bool { _, old := before[inode]; return old })
		for _, fd := range now {
			left = append(left, fd)
		}
		return left
	})
}

// await gives what is left time to go, since database/sql closes some
// connections in the background.
func await(t *testing.T, what string, left func() []string) {
	t.Helper()
	var found []string
	for range 500 {
		if found = left(); len(found) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("%d %s left:\n%s", len(found), what, strings.Join(found, "\n"))
}

// sockets maps the inodes of this process's open sockets to their file
// descriptors.
func sockets(t *testing.T) map[string]string {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	open := map[string]string{}
	for _, f := range files {
		target, err := os.Readlink("/proc/self/fd/" + f.Name())
		if err == nil && strings.HasPrefix(target, "socket:") { // else it is closed by now
			open[target] = f.Name() + " " + target
		}
	}
	return open
}

// TestSocketsAreSeen: sockets finds what TestNothingLeft looks for.
func TestSocketsAreSeen(t *testing.T) {
	before := sockets(t)
	conn, err := testDB(t).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for inode := range sockets(t) {
		if _, old := before[inode]; !old {
			return
		}
	}
	t.Errorf("no new socket beside %d", len(before))
}
