// Package cluster tests by the public API a primary and the standbys that stream from it.
package cluster_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/faultproxy"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testdb"
	"github.com/psyco-go/psyco/internal/testsize"
)

func TestMain(m *testing.M) { testdb.Main(m) }

var (
	open, mustExec, all = testdb.Open, testdb.MustExec, testdb.All
)

// TestCluster goes through one scenario after the other on a primary and its standbys.
func TestCluster(t *testing.T) {
	testsize.Slow(t)
	l := lab{prime: pgserver.TestServer(t, pgserver.Options{})}
	for range 3 {
		l.stands = append(l.stands, pgserver.TestStandbyOf(t, l.prime, nil))
	}
	mustExec(t, open(t, l.prime.DSN()), "CREATE TABLE t (k int PRIMARY KEY); CREATE ROLE app LOGIN; GRANT ALL ON t TO app; GRANT pg_monitor TO app; CREATE ROLE plain LOGIN")
	for _, scenario := range []struct {
		name string
		run  func(t *testing.T, l lab)
	}{
		{"reads go to standbys", readsGoToStandbys},
		{"read your writes", readYourWrites},
		{"positions", positions},
		{"transactions", transactions},
		{"WaitLSN", waitLSN},
		{"a restarted standby", restartedStandby},
		{"a standby that is old from the beginning", oldStandby},
		{"a record that is flushed in part", halfFlushed},
		{"a long interval", longInterval},
		{"a frozen standby", frozenStandby},
		{"failover", failover}, // the last: there is another primary then
	} {
		t.Run(scenario.name, func(t *testing.T) {
			mustExec(t, open(t, l.prime.DSN()), "TRUNCATE t")
			scenario.run(t, l)
		})
	}
}

// lab is where the scenarios are.
type lab struct {
	prime  *pgserver.Server
	stands []*pgserver.Server
}

// setting changes a setting of a server, or resets it.
func setting(t *testing.T, s *pgserver.Server, name, value string) {
	t.Helper()
	db := open(t, s.DSN())
	if value == "" {
		mustExec(t, db, "ALTER SYSTEM RESET "+name)
	} else {
		mustExec(t, db, fmt.Sprintf("ALTER SYSTEM SET %s = '%s'", name, value))
	}
	mustExec(t, db, "SELECT pg_reload_conf()")
}

// dsnOf is a connection string for all of the servers.
func dsnOf(user string, servers ...*pgserver.Server) string {
	hosts, ports := make([]string, len(servers)), make([]string, len(servers))
	for i, s := range servers {
		hosts[i], ports[i] = s.SocketDir(), fmt.Sprint(s.Port())
	}
	return fmt.Sprintf("host=%s port=%s user=%s dbname=postgres", strings.Join(hosts, ","), strings.Join(ports, ","), user)
}

func newCluster(t *testing.T, dsn string, opts ...psyco.ClusterOption) *psyco.Cluster {
	t.Helper()
	c, err := psyco.NewCluster(dsn, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in vain: %s", what)
		}
	}
}

// looked waits until a look at a server, of a cluster of that user, has begun and ended.
func looked(t *testing.T, s *pgserver.Server, user string) {
	t.Helper()
	db := open(t, s.DSN())
	for range 2 { // when the next one begins, what the one before has seen is known
		now := all(t, db, "SELECT clock_timestamp()::text")[0]
		until(t, "a look", func() bool {
			return all(t, db, `SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND query LIKE '%%pg_control_system%%'
				AND pid <> pg_backend_pid() AND query_start > %s::timestamptz`, user, now)[0] != "0"
		})
	}
}

// portOf is the server that a handle leads to.
func portOf(t *testing.T, h psyco.Handle) string {
	t.Helper()
	return all(t, h, "SELECT current_setting('port')")[0]
}

func port(s *pgserver.Server) string { return fmt.Sprint(s.Port()) }

// commit writes a row, and returns the position behind that.
func commit(t *testing.T, c *psyco.Cluster, key int) psyco.LSN {
	t.Helper()
	lsn, err := c.InTx(t.Context(), nil, func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO t VALUES (%s)", key)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return lsn
}

const fast = 20 * time.Millisecond

// readsGoToStandbys: by weight, as long as they are there and near enough.
func readsGoToStandbys(t *testing.T, l lab) {
	prime, stands := l.prime, l.stands
	ctx := t.Context()
	c := newCluster(t, dsnOf("plain", prime, stands[0], stands[1]), psyco.WithCheckInterval(fast), psyco.WithMaxLag(2*time.Second),
		psyco.WithStandbyWeight(func(h psyco.Host) int {
			if int(h.Port) == stands[0].Port() {
				return 3
			}
			return 1
		}), psyco.WithPoolSetup(func(db *sql.DB) { db.SetMaxOpenConns(7) }))
	if got := portOf(t, c.Primary()); got != port(prime) {
		t.Fatalf("the primary is at %s", got)
	}
	reads := func(n int) map[string]int {
		got := map[string]int{}
		for range n {
			got[portOf(t, c.Standby(ctx))]++
		}
		return got
	}
	until(t, "both are known", func() bool { return c.Stats().Servers[1].Usable && c.Stats().Servers[2].Usable })
	if got := reads(400); got[port(prime)] != 0 || got[port(stands[0])] < 240 || got[port(stands[1])] < 60 {
		t.Errorf("the reads went to %v", got)
	}
	s := c.Stats()
	if s.StandbyReads != 400 || s.Servers[1].Reads+s.Servers[2].Reads != 400 || s.Servers[0].Role != "primary" || s.Servers[1].Role != "standby" ||
		s.Servers[0].Err != nil || s.Servers[1].Pool.MaxOpenConnections != 7 || s.Primary.MaxOpenConnections != 7 || s.Servers[1].Weight != 3 {
		t.Errorf("%+v", s)
	}

	// One stands still, and is left out until it has caught up.
	super := open(t, stands[0].DSN())
	mustExec(t, super, "SELECT pg_wal_replay_pause()")
	mustExec(t, open(t, prime.DSN()), "INSERT INTO t VALUES (0)")
	until(t, "the one that stands still is left out", func() bool { return !c.Stats().Servers[1].Usable })
	if got := reads(50); got[port(stands[1])] != 50 {
		t.Errorf("while one stands still, the reads went to %v", got)
	}
	if err := c.Stats().Servers[1].Err; err == nil || !strings.HasPrefix(err.Error(), "psyco: it is behind by") {
		t.Errorf("it is left out because %v", err)
	}
	mustExec(t, super, "SELECT pg_wal_replay_resume()")
	until(t, "it is back", func() bool { return c.Stats().Servers[1].Usable })

	// They die. A Reader goes on without an error; the last resort is the primary.
	for i, stand := range stands {
		if err := stand.Kill(); err != nil {
			t.Fatal(err)
		}
		for range 50 {
			var got string
			if err := c.Reader().QueryRowContext(ctx, "SELECT current_setting('port')").Scan(&got); err != nil {
				if !strings.Contains(err.Error(), "lost") && !strings.Contains(err.Error(), "terminating") {
					t.Errorf("after the death of standby %d: %v", i, err)
				}
			} else if want := port(stands[1]); i == 0 && got != want || i == 1 && got != port(prime) {
				t.Errorf("after the death of standby %d: a read went to %s", i, got)
			}
		}
	}
	if got := portOf(t, c.Standby(ctx)); got != port(prime) {
		t.Errorf("without standbys a read goes to %s", got)
	}
	for _, stand := range stands {
		if err := stand.Restart(ctx); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "both are back", func() bool { return c.Stats().Servers[1].Usable && c.Stats().Servers[2].Usable })
	if got := reads(40); got[port(prime)] != 0 || len(got) != 2 {
		t.Errorf("after their return the reads went to %v", got)
	}
}

// readYourWrites: what was committed is seen by reads that ask for it, on a standby that
// replays each commit late.
func readYourWrites(t *testing.T, l lab) {
	const delay = 15 * time.Millisecond
	prime, stands := l.prime, l.stands
	setting(t, stands[0], "recovery_min_apply_delay", fmt.Sprint(delay.Milliseconds()))
	defer setting(t, stands[0], "recovery_min_apply_delay", "")
	c := newCluster(t, dsnOf("app", prime, stands[0]), psyco.WithReadWait(2*delay),
		psyco.WithPoolSetup(func(db *sql.DB) { db.SetMaxIdleConns(16) }))
	pairs := 1000
	if testsize.Long() {
		pairs = 10_000
	}
	ctx := t.Context()
	until(t, "the standby is known", func() bool { return c.Stats().Servers[1].Usable })
	var next, stale, plainStale, onStandby atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for {
				key := int(next.Add(1))
				if key > pairs {
					return
				}
				lsn := commit(t, c, key)
				time.Sleep(rand.N(2 * delay)) // what users do between
				var found int
				if err := c.Standby(ctx).QueryRow("SELECT count(*) FROM t WHERE k = %s", key).Scan(&found); err != nil {
					t.Error(err)
				} else if found == 0 {
					plainStale.Add(1)
				}
				db := c.Standby(psyco.ReadAfter(ctx, lsn))
				if err := db.QueryRow("SELECT count(*) FROM t WHERE k = %s", key).Scan(&found); err != nil {
					t.Error(err)
				} else if found == 0 {
					stale.Add(1)
				}
				if db != c.Primary() {
					onStandby.Add(1)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d pairs: %d stale reads (%d of those that did not ask), %.1f%% on the standby, %d waited for it",
		pairs, stale.Load(), plainStale.Load(), 100*float64(onStandby.Load())/float64(pairs), c.Stats().Waits)
	if stale.Load() > 0 || plainStale.Load() == 0 || onStandby.Load() == 0 { // how many is the load's affair
		t.Errorf("%d stale reads, %d of those that did not ask, %d on the standby", stale.Load(), plainStale.Load(), onStandby.Load())
	}
}

// positions: those of commits that are flushed late, and those at the end of a page of the log,
// are ones that a standby reaches, and ones that cover the commit.
func positions(t *testing.T, l lab) {
	prime, stands := l.prime, l.stands
	admin := open(t, prime.DSN())
	c := newCluster(t, dsnOf("postgres", prime, stands[0]), psyco.WithReadWait(5*time.Second))
	ctx := t.Context()
	until(t, "the standby is known", func() bool { return c.Stats().Servers[1].Usable })
	reached := func(what string, lsn psyco.LSN, rows string) {
		t.Helper()
		db := c.Standby(psyco.ReadAfter(ctx, lsn))
		if db == c.Primary() {
			t.Errorf("%s: no standby reaches %s", what, lsn)
		} else if got := all(t, db, "SELECT count(*) FROM t"); got[0] != rows {
			t.Errorf("%s: the standby has %s rows at %s, want %s", what, got[0], lsn, rows)
		}
	}
	for key := range 5 {
		mustExec(t, c.Primary(), "SET synchronous_commit = off")
		reached("committed asynchronously", commit(t, c, key), fmt.Sprint(key+1))
	}
	mustExec(t, admin, "TRUNCATE t")
	full := 0
	for full < 3 {
		var offset int
		if err := admin.QueryRow("SELECT ((pg_current_wal_insert_lsn() - '0/0') % 8192)::int").Scan(&offset); err != nil {
			t.Fatal(err)
		}
		// A message whose record ends where the page does.
		mustExec(t, admin, "SELECT pg_logical_emit_message(false, 'p', repeat('x', %s))", max(1, 8192-offset-58))
		if err := admin.QueryRow("SELECT ((pg_current_wal_insert_lsn() - '0/0') % 8192)::int").Scan(&offset); err != nil {
			t.Fatal(err)
		}
		if offset == 24 || offset == 40 {
			full++
			lsn, err := c.CommitLSN(ctx)
			if err != nil {
				t.Fatal(err)
			}
			reached("at the end of a page", lsn, "0")
		}
	}
}

// failover: the primary dies, a standby is promoted that has not got all of it. Writes go on there, reads
// on the standby that has followed, and none on one that went another way, though its log is longer.
func failover(t *testing.T, l lab) {
	chosen, follower, stray := l.stands[0], l.stands[1], l.stands[2]
	servers := []*pgserver.Server{l.prime, chosen, follower, stray}
	c := newCluster(t, dsnOf("app", servers...), psyco.WithCheckInterval(fast), psyco.WithReadWait(50*time.Millisecond), psyco.WithMaxLag(3*time.Second))
	plain := newCluster(t, dsnOf("plain", servers...), psyco.WithCheckInterval(fast))
	ctx := t.Context()
	usable := func() (ports []string) {
		for _, s := range c.Stats().Servers {
			if s.Usable {
				ports = append(ports, fmt.Sprint(s.Host.Port))
			}
		}
		return ports
	}
	until(t, "all are known", func() bool { return len(usable()) == 3 })

	// Writes, each read back, all the time.
	type read struct {
		key   int
		lsn   psyco.LSN
		where string
		found bool
	}
	var (
		mu      sync.Mutex
		reads   []read
		wg      sync.WaitGroup
		keys    atomic.Int64
		working = make(chan struct{})
	)
	stop := sync.OnceFunc(func() { close(working); wg.Wait() })
	defer stop()
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-working:
					return
				default:
				}
				r := read{key: int(keys.Add(1))}
				var err error
				if r.lsn, err = c.InTx(ctx, &psyco.TxOptions{MaxRetries: -1}, func(tx *sql.Tx) error {
					_, err := tx.Exec("INSERT INTO t VALUES (%s)", r.key)
					return err
				}); err != nil {
					time.Sleep(time.Millisecond)
					continue
				}
				var n int
				err = c.Standby(psyco.ReadAfter(ctx, r.lsn)).QueryRow("SELECT current_setting('port'), (SELECT count(*) FROM t WHERE k = %s)", r.key).Scan(&r.where, &n)
				if r.found = n == 1; err == nil {
					mu.Lock()
					reads = append(reads, r)
					mu.Unlock()
				}
			}
		})
	}
	done := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(reads)
	}

	// Two standbys get no more, so that what is committed now is lost, but not on the third.
	for _, s := range []*pgserver.Server{follower, chosen} { // or the former could not follow the latter
		setting(t, s, "primary_conninfo", "")
		db := open(t, s.DSN())
		until(t, "nothing is streamed", func() bool { return all(t, db, "SELECT count(*) FROM pg_stat_wal_receiver")[0] == "0" })
	}
	at := done()
	until(t, "some commits that are lost", func() bool { return done() > at+200 })
	strayAt := all(t, open(t, stray.DSN()), "SELECT pg_last_wal_replay_lsn() - '0/0'")[0]
	if err := l.prime.Kill(); err != nil {
		t.Fatal(err)
	}
	mustExec(t, open(t, chosen.DSN()), "SELECT pg_promote()")
	setting(t, follower, "primary_conninfo", chosen.DSN())
	at = done()
	until(t, "reads after the failover", func() bool { return done() > at+200 })
	fresh := open(t, chosen.DSN())
	until(t, "the new primary is as far as the old one was", func() bool {
		return all(t, fresh, "SELECT (pg_current_wal_insert_lsn() - '0/0') > %s::numeric", strayAt)[0] == "true"
	})
	at = done()
	until(t, "reads after that", func() bool { return done() > at+200 })
	defer func() {
		if t.Failed() {
			log, err := os.ReadFile(follower.LogFile())
			t.Logf("%+v\nThe one that has to follow the new primary says, %v:\n%s", c.Stats().Servers, err, log)
		}
	}()
	until(t, "the one that went another way is left out", func() bool { p := usable(); return len(p) == 1 && p[0] == port(follower) })
	stop()
	if err := c.Stats().Servers[3].Err; err == nil || !strings.Contains(err.Error(), "followed the primary to timeline 2") {
		t.Errorf("it is left out because %v", err)
	}
	there := map[string]bool{}
	for _, k := range all(t, fresh, "SELECT k FROM t") {
		there[k] = true
	}
	lost := 0
	where := map[string]int{}
	for _, r := range reads {
		if !there[fmt.Sprint(r.key)] {
			lost++
			continue
		}
		if !r.found {
			t.Errorf("a read after %s on %s does not see %d", r.lsn, r.where, r.key)
		}
		if r.lsn.Timeline == 2 {
			where[r.where]++
		}
	}
	t.Logf("%d commits were read back, %d of them are lost; after the failover the reads went to %v (the new primary is %s)", len(reads), lost, where, port(chosen))
	if lost == 0 || where[port(stray)] > 0 || where[port(follower)] == 0 {
		t.Errorf("%d commits are lost; after the failover the reads went to %v", lost, where)
	}

	// The new primary is away too, and so is what told the follower's timeline: that is still known.
	after, err := c.CommitLSN(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.WaitLSN(ctx, after); err != nil {
		t.Fatal(err)
	}
	if err := chosen.Kill(); err != nil {
		t.Fatal(err)
	}
	followed := open(t, follower.DSN())
	until(t, "nothing is streamed", func() bool { return all(t, followed, "SELECT count(*) FROM pg_stat_wal_receiver")[0] == "0" })
	looked(t, follower, "app")
	if c.Standby(psyco.ReadAfter(ctx, after)) == c.Primary() {
		t.Errorf("reads after %s do not go on without the primary: %+v", after, c.Stats().Servers[2])
	}
	if err := chosen.Restart(ctx); err != nil {
		t.Fatal(err)
	}

	// A role that may not see what is streamed learns of the new timeline at the next restartpoint.
	if after, err = c.CommitLSN(ctx); err != nil {
		t.Fatal(err)
	}
	if db := plain.Standby(psyco.ReadAfter(ctx, after)); db != plain.Primary() {
		t.Errorf("a role without privileges takes a standby for one that has followed: %+v", plain.Stats().Servers)
	}
	mustExec(t, fresh, "CHECKPOINT")
	mustExec(t, fresh, "CREATE TABLE after_it ()")
	if after, err = c.CommitLSN(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.WaitLSN(ctx, after); err != nil {
		t.Fatal(err)
	}
	mustExec(t, open(t, follower.DSN()), "CHECKPOINT")
	if _, err := plain.WaitLSN(ctx, after); err != nil {
		t.Fatal(err)
	}
}

// transactions: read-only ones run on a standby, and see what they are to see; those that a
// standby cannot run do not.
func transactions(t *testing.T, l lab) {
	prime, stands := l.prime, l.stands
	c := newCluster(t, dsnOf("postgres", prime, stands[0]), psyco.WithReadWait(5*time.Second))
	ctx := t.Context()
	until(t, "the standby is known", func() bool { return c.Stats().Servers[1].Usable })
	lsn := commit(t, c, 1)
	if lsn.Timeline != 1 || lsn.Offset == 0 {
		t.Errorf("committed at %s", lsn)
	}
	where := func(ctx context.Context, opts *psyco.TxOptions) (at string) {
		t.Helper()
		_, err := c.InTx(ctx, opts, func(tx *sql.Tx) error {
			return tx.QueryRow("SELECT current_setting('port') FROM t WHERE k = %s", 1).Scan(&at)
		})
		if err != nil {
			t.Error(err)
		}
		return at
	}
	after := psyco.ReadAfter(ctx, lsn)
	if got := where(after, &psyco.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}); got != port(stands[0]) {
		t.Errorf("read-only: at %s", got)
	}
	for _, opts := range []*psyco.TxOptions{nil, {}, {ReadOnly: true, Isolation: sql.LevelSerializable, Deferrable: true}} {
		if got := where(after, opts); got != port(prime) {
			t.Errorf("%+v: at %s", opts, got)
		}
	}
	wrong := errors.New("mine")
	if lsn, err := c.InTx(ctx, nil, func(*sql.Tx) error { return wrong }); err != wrong || lsn != (psyco.LSN{}) {
		t.Errorf("%s, %v", lsn, err)
	}
	// A commit whose position cannot be asked for is one all the same.
	once, cancel := context.WithCancel(ctx)
	hook := &cancelAtCommit{cancel: cancel}
	hooked := newCluster(t, dsnOf("postgres", prime, stands[0]), psyco.WithTracer(hook))
	lsn, err := hooked.InTx(once, nil, func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO t VALUES (%s)", 2)
		return err
	})
	if err != nil || hooked.Standby(psyco.ReadAfter(ctx, lsn)) != hooked.Primary() {
		t.Errorf("%s, %v", lsn, err)
	}
	limited, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	if _, err := hooked.WaitLSN(limited, lsn); err == nil || limited.Err() != nil || !strings.Contains(err.Error(), "could not be learned") {
		t.Errorf("waiting for a position that nobody reaches: %v", err)
	}
	if got := all(t, c.Primary(), "SELECT count(*) FROM t"); got[0] != "2" {
		t.Errorf("%s rows", got[0])
	}

	// psyco's functions and database/sql's methods on the handle for reads.
	r := c.Reader()
	ks, err := psyco.QueryAll[int](after, r, "SELECT k FROM t WHERE k = %s", 1)
	if err != nil || len(ks) != 1 {
		t.Errorf("%v, %v", ks, err)
	}
	stmt, err := r.PrepareContext(after, "SELECT k FROM t WHERE k = $1")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	if err := stmt.QueryRow(1).Scan(new(int)); err != nil {
		t.Error(err)
	}
	var pe *pq.Error
	if _, err := r.ExecContext(ctx, "INSERT INTO t VALUES (%s)", 3); !errors.As(err, &pe) || pe.Code != "25006" {
		t.Errorf("a write on a standby: %v", err)
	}
}

// cancelAtCommit cancels a context when the first COMMIT is over.
type cancelAtCommit struct{ cancel func() }

func (c *cancelAtCommit) TraceStart(ctx context.Context, _ *psyco.Trace) context.Context { return ctx }

func (c *cancelAtCommit) TraceEnd(_ context.Context, t *psyco.Trace) {
	if t.Call == "Commit" {
		c.cancel()
	}
}

// waitLSN returns when the standby is there, and says what it knows when it is not.
func waitLSN(t *testing.T, l lab) {
	prime, stands := l.prime, l.stands
	c := newCluster(t, dsnOf("postgres", prime, stands[0]))
	ctx := t.Context()
	db, err := c.WaitLSN(ctx, commit(t, c, 1))
	if err != nil {
		t.Fatal(err)
	}
	if got := all(t, db, "SELECT count(*), pg_is_in_recovery() FROM t"); got[0] != "1,true" {
		t.Errorf("got %s", got[0])
	}
	stand := open(t, stands[0].DSN())
	mustExec(t, stand, "SELECT pg_wal_replay_pause()")
	defer mustExec(t, stand, "SELECT pg_wal_replay_resume()")
	lsn := commit(t, c, 2)
	ctx, cancel := context.WithCancel(ctx)
	waits := c.Stats().Waits
	go func() {
		for c.Stats().Waits == waits {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, err = c.WaitLSN(ctx, lsn)
	if !errors.Is(err, context.Canceled) || !strings.HasPrefix(err.Error(), "psyco: no standby has reached "+lsn.String()) || !strings.Contains(err.Error(), "standby at 0/") {
		t.Errorf("got %v", err)
	}
}

// restartedStandby: a standby that was killed and takes connections before it has replayed
// what it was read from for serves no read.
func restartedStandby(t *testing.T, l lab) {
	prime, stands := l.prime, l.stands
	admin := open(t, prime.DSN())
	c := newCluster(t, dsnOf("postgres", prime, stands[0]), psyco.WithCheckInterval(time.Minute), psyco.WithMaxLag(0), psyco.WithReadWait(200*time.Millisecond))
	ctx := t.Context()
	until(t, "the standby is known", func() bool { return c.Stats().Servers[1].Usable })
	mustExec(t, admin, "CHECKPOINT") // which the standby's restartpoint, if it makes one, is before
	lsn := commit(t, c, 1)
	db, err := c.WaitLSN(ctx, lsn)
	if err != nil {
		t.Fatal(err)
	}
	stand := open(t, stands[0].DSN())
	// It comes back at its last restartpoint, and each commit takes an hour more.
	setting(t, stands[0], "recovery_min_apply_delay", "1h")
	defer setting(t, stands[0], "recovery_min_apply_delay", "")
	if err := stands[0].Kill(); err != nil {
		t.Fatal(err)
	}
	if err := stands[0].Restart(ctx); err != nil {
		t.Fatal(err)
	}
	back := all(t, stand, "SELECT count(*) FROM t")[0]
	t.Logf("it is back with %s rows", back)
	var found int
	err = db.QueryRow("SELECT count(*) FROM t").Scan(&found)
	switch {
	case back == "1":
	case err == nil:
		t.Errorf("a new connection shows %d rows", found)
	case !strings.Contains(err.Error(), "was restarted and is back at"):
		t.Errorf("got %v", err)
	}
	if err := c.Reader().QueryRowContext(psyco.ReadAfter(ctx, lsn), "SELECT count(*) FROM t").Scan(&found); err != nil || found != 1 {
		t.Errorf("a read after %s: %d rows, %v", lsn, found, err)
	}
}

// oldStandby: one that has been left behind before the cluster was there serves no reads until
// it has caught up.
func oldStandby(t *testing.T, l lab) {
	prime, stand := l.prime, open(t, l.stands[0].DSN())
	mustExec(t, stand, "SELECT pg_wal_replay_pause()")
	defer mustExec(t, stand, "SELECT pg_wal_replay_resume()")
	mustExec(t, open(t, prime.DSN()), "INSERT INTO t VALUES (1)")
	p, ports := proxied(t, prime)
	p.Delay(faultproxy.ToClient, 50*time.Millisecond) // the standby is looked at before
	c := newCluster(t, fmt.Sprintf("host=127.0.0.1,%s port=%s,%d user=postgres dbname=postgres sslmode=disable", l.stands[0].SocketDir(), ports,
		l.stands[0].Port()), psyco.WithCheckInterval(fast))
	if got := all(t, c.Standby(t.Context()), "SELECT count(*) FROM t"); got[0] != "1" {
		t.Errorf("a read shows %s rows: %v", got[0], c.Stats().Servers)
	}
	mustExec(t, stand, "SELECT pg_wal_replay_resume()")
	until(t, "it serves reads", func() bool { return c.Stats().Servers[1].Usable })
}

// halfFlushed: a standby that has all that was committed does not lag behind a primary that has
// flushed the beginning of a record, and nothing else happens.
func halfFlushed(t *testing.T, l lab) {
	prime, stand := l.prime, open(t, l.stands[0].DSN())
	admin := open(t, prime.DSN())
	c := newCluster(t, dsnOf("app", prime, l.stands[0]), psyco.WithCheckInterval(fast))
	until(t, "both are known", func() bool {
		s := c.Stats().Servers
		return s[0].Role == "primary" && s[1].Usable
	})
	tx := testdb.MustBegin(t, admin) // which goes on to work elsewhere
	defer tx.Rollback()
	until(t, "a record is flushed in part", func() bool {
		mustExec(t, tx, "SELECT pg_logical_emit_message(true, 'p', repeat('x', 20000))")
		var state string
		until(t, "its pages are flushed", func() bool {
			state = all(t, admin, `SELECT CASE WHEN f >= i THEN 'whole' WHEN f > i - 16384 THEN 'half' ELSE '' END
				FROM (SELECT pg_current_wal_flush_lsn() - '0/0' f, pg_current_wal_insert_lsn() - '0/0' i) w`)[0]
			return state != ""
		})
		return state == "half"
	})
	flushed := all(t, admin, "SELECT pg_current_wal_flush_lsn()")[0]
	for range 3 {
		looked(t, prime, "app")
		looked(t, l.stands[0], "app")
	}
	s := c.Stats().Servers[1]
	if all(t, admin, "SELECT pg_current_wal_flush_lsn()")[0] != flushed || all(t, stand, "SELECT pg_last_wal_replay_lsn() < %s::pg_lsn", flushed)[0] != "true" {
		t.Skip("something else was written")
	}
	if s.Lag != 0 || !s.Usable {
		t.Errorf("the lag behind an idle primary is %v: %+v", s.Lag, s)
	}
}

// longInterval: looks come often enough for the lag that is allowed.
func longInterval(t *testing.T, l lab) {
	c := newCluster(t, dsnOf("postgres", l.prime, l.stands[0]), psyco.WithCheckInterval(time.Hour), psyco.WithMaxLag(500*time.Millisecond))
	until(t, "the standby is known", func() bool { return c.Stats().Servers[1].Role == "standby" })
	lsn := commit(t, c, 1)
	until(t, "it is looked at again", func() bool { return c.Stats().Servers[1].LSN.Offset >= lsn.Offset })
}

// proxied returns a proxy in front of a server, and its port.
func proxied(t *testing.T, s *pgserver.Server) (p *faultproxy.Proxy, port string) {
	t.Helper()
	p = testdb.ProxyOf(t, s)
	_, port, err := net.SplitHostPort(p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return p, port
}

// frozenStandby: one that answers no more is left out, however long statements of the
// program may take to be cancelled, and Close does not wait for it.
func frozenStandby(t *testing.T, l lab) {
	p, ports := proxied(t, l.stands[0])
	c := newCluster(t, fmt.Sprintf("host=%s,127.0.0.1 port=%d,%s user=postgres dbname=postgres sslmode=disable", l.prime.SocketDir(), l.prime.Port(), ports),
		psyco.WithCheckInterval(fast), psyco.WithCancelGrace(time.Hour))
	until(t, "the standby is known", func() bool { s := c.Stats().Servers; return s[0].Role == "primary" && s[1].Usable })
	p.Stall(faultproxy.Both)
	until(t, "it is left out", func() bool { return c.Stats().Servers[1].Role == "" })
	if err := c.Stats().Servers[1].Err; !strings.HasPrefix(err.Error(), "psyco: the server has not answered within 1s") || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it is left out because %v", err)
	}
	p.Resume(faultproxy.Both)
	until(t, "it is back", func() bool { return c.Stats().Servers[1].Usable })
}

// TestFormerPrimary: one that goes on as a primary when another server has been promoted gets no
// writes any more, neither on connections that are there nor while the new one is away.
func TestFormerPrimary(t *testing.T) {
	testsize.Slow(t)
	prime, stand := pgserver.TestPair(t)
	c := newCluster(t, dsnOf("postgres", prime, stand), psyco.WithCheckInterval(fast))
	if got := portOf(t, c.Primary()); got != port(prime) {
		t.Fatalf("the primary is at %s", got)
	}
	mustExec(t, open(t, stand.DSN()), "SELECT pg_promote()")
	until(t, "the new primary is known", func() bool { s := c.Stats().Servers; return s[1].Role == "primary" && s[0].Err != nil })
	if got := portOf(t, c.Primary()); got != port(stand) {
		t.Errorf("after the failover the primary is at %s", got)
	}
	if err := stand.Kill(); err != nil {
		t.Fatal(err)
	}
	var got string
	err := c.Primary().QueryRow("SELECT current_setting('port')").Scan(&got)
	for err != nil && strings.Contains(err.Error(), "terminating") { // the pool's connection has met the end
		err = c.Primary().QueryRow("SELECT current_setting('port')").Scan(&got)
	}
	if err == nil || !strings.HasPrefix(err.Error(), "psyco: ") || !strings.Contains(err.Error(), "another server has been promoted") {
		t.Errorf("while the new primary is away: at %s, %v", got, err)
	}
}

// TestCloseEndsWaiting: who waits for a standby does not wait for a cluster that is closed.
func TestCloseEndsWaiting(t *testing.T) {
	c, err := psyco.NewCluster("host=/nonexistent")
	if err != nil {
		t.Fatal(err)
	}
	c.Standby(t.Context()) // waits until something is known
	waits := c.Stats().Waits
	failed := make(chan error, 1)
	go func() {
		_, err := c.WaitLSN(context.Background(), psyco.LSN{})
		failed <- err
	}()
	until(t, "it waits", func() bool { return c.Stats().Waits > waits })
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-failed:
		if err == nil || !strings.HasPrefix(err.Error(), "psyco: ") || !strings.Contains(err.Error(), "closed") {
			t.Errorf("got %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("WaitLSN waits for a cluster that is closed")
	}
}

// TestNothingIsLeft: Close ends what looks at servers, also at some that do not answer.
func TestNothingIsLeft(t *testing.T) {
	c, err := psyco.NewCluster("host=/nonexistent,/nonexistent port=1,2", psyco.WithReadWait(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if db := c.Standby(t.Context()); db != c.Primary() {
		t.Error("a standby that is not there")
	}
	if s := c.Stats(); s.PrimaryReads != 1 || s.Servers[0].Role != "" || s.Servers[0].Usable || s.Servers[0].Err == nil {
		t.Errorf("%+v", s)
	}
	if _, err := c.CommitLSN(t.Context()); err == nil {
		t.Error("a position without a server")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if left := testdb.Leftovers("testing.tRunner"); left != "" {
		t.Error(left)
	}
	if err := c.Reader().QueryRowContext(t.Context(), "SELECT 1").Err(); err == nil {
		t.Error("a closed cluster answers")
	}
}

// TestServersStayThemselves: what is known of one server is not taken for another's.
func TestServersStayThemselves(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(cfg *psyco.Config)
		refuse bool
	}{
		{"the password", func(cfg *psyco.Config) { cfg.Password, cfg.Hosts[0].Password = "a", "b" }, false},
		{"the host", func(cfg *psyco.Config) { cfg.Hosts[0].Host = "/elsewhere" }, true},
		{"more hosts", func(cfg *psyco.Config) { cfg.Hosts = append(cfg.Hosts, cfg.Hosts[0]) }, true},
		{"the kind of session", func(cfg *psyco.Config) { cfg.TargetSessionAttrs = "standby" }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCluster(t, "host=/nonexistent", psyco.WithBeforeConnect(func(_ context.Context, cfg *psyco.Config) error {
				tt.change(cfg)
				return nil
			}))
			c.Standby(t.Context()) // waits until something is known
			if err := c.Stats().Servers[0].Err; err == nil || strings.Contains(err.Error(), "WithBeforeConnect") != tt.refuse {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestSilentServer: one that takes connections and says nothing holds up nobody, neither reads nor
// writes.
func TestSilentServer(t *testing.T) {
	testsize.Slow(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	prime, stand := pgserver.TestPair(t)
	c := newCluster(t, fmt.Sprintf("host=127.0.0.1,127.0.0.1,127.0.0.1 port=%d,%d,%d user=postgres dbname=postgres sslmode=disable",
		silent.Addr().(*net.TCPAddr).Port, stand.Port(), prime.Port()), psyco.WithCheckInterval(time.Hour))
	db, err := c.WaitLSN(t.Context(), psyco.LSN{})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if c.Standby(t.Context()) != db {
			t.Fatal("a read does not go to the standby")
		}
	}
	until(t, "the primary is known", func() bool { return c.Stats().Servers[2].Role == "primary" })
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	if err := c.Primary().PingContext(ctx); err != nil {
		t.Errorf("the primary is behind a silent server: %v", err)
	}
	if s := c.Stats().Servers[0]; s.Role != "" || s.Usable {
		t.Errorf("%+v", s)
	}
}

func TestClusterStrings(t *testing.T) {
	for _, tt := range []struct{ dsn, want string }{
		{"host=a target_session_attrs=standby", "target_session_attrs=standby is not for the primary"},
		{"host=a target_session_attrs=any", ""},
		{"host=a,b target_session_attrs=primary", ""},
		{"host=a sslmode=always", "invalid sslmode"},
	} {
		c, err := psyco.NewCluster(tt.dsn)
		if err == nil {
			c.Close()
		}
		if got := fmt.Sprint(err); tt.want == "" && err != nil || !strings.Contains(got, tt.want) || err != nil && !strings.HasPrefix(got, "psyco: ") {
			t.Errorf("%s: %v", tt.dsn, err)
		}
	}
}
