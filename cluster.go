package psyco

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/psyco-go/psyco/internal/replica"
)

// What a Cluster does when no option says otherwise.
const (
	DefaultMaxLag        = 10 * time.Second       // WithMaxLag
	DefaultReadWait      = 100 * time.Millisecond // WithReadWait
	DefaultCheckInterval = time.Second            // WithCheckInterval
)

// A Cluster is a primary and the standbys that stream from it: a pool for each of them, and
// somebody who looks how far each one is. Writes go to Primary, reads that may be a little
// old to Standby, and those that must see a certain commit to Standby with [ReadAfter].
// It is safe for concurrent use.
//
// Each host of the connection string must be one server, or nothing that can be told of
// it is true: no name of several servers, no load balancer. Which of them
// is the primary is found out, and found out again after a failover: Primary's connections go to
// the server that can write, a standby that has been promoted is no standby any more,
// and a primary that has come back as a standby is one.
type Cluster struct {
	primary *sql.DB
	servers []*clusterServer
	known   *replica.Set

	wait     time.Duration
	interval time.Duration

	open    context.Context // until Close
	stop    context.CancelFunc
	running sync.WaitGroup

	waiting                              atomic.Int64 // reads that wait for a standby to catch up
	standbyReads, primaryReads, waitings atomic.Uint64
}

// clusterServer is one of the servers.
type clusterServer struct {
	*Connector // of the pool for reads
	c          *Cluster
	index      int
	host       Host
	weight     int
	db         *sql.DB       // for reads
	watch      *sql.DB       // one connection for looking at it
	poke       chan struct{} // asks for a look now
	reads      atomic.Uint64
}

// A ClusterOption sets what a connection string cannot say of a cluster. Each [Option] is
// one, for all of the connections.
type ClusterOption interface{ of(*clusterSettings) }

type clusterSettings struct {
	connector                []Option
	weight                   func(Host) int
	setup                    func(*sql.DB)
	maxLag, wait, checkEvery time.Duration
}

type clusterOption func(*clusterSettings)

func (o clusterOption) of(s *clusterSettings) { o(s) }

func (o Option) of(s *clusterSettings) { s.connector = append(s.connector, o) }

// WithMaxLag sets how far behind a standby may be that serves reads: for how long there
// has been something on the primary that it has not replayed, which is known to within
// the interval of WithCheckInterval. It comes back when it has caught up. One that has not got to where
// the primary was when that was first seen serves none, since nobody knows how old it is. The default is
// DefaultMaxLag; 0 is no limit. While no primary is there, it counts what the last one was known to have.
func WithMaxLag(d time.Duration) ClusterOption {
	return clusterOption(func(s *clusterSettings) { s.maxLag = max(d, 0) })
}

// WithReadWait sets how long a read of ReadAfter waits for a standby to replay what it
// has to see, before it goes to the primary. The default is DefaultReadWait; 0 is not at all.
func WithReadWait(d time.Duration) ClusterOption {
	return clusterOption(func(s *clusterSettings) { s.wait = max(d, 0) })
}

// WithCheckInterval sets how often each server is looked at, by one statement on a connection that is
// kept for that; while reads wait for a standby, that is asked more often. The default is
// DefaultCheckInterval; more than half of what WithMaxLag says becomes that half. A server that has not answered
// when the next look is due, or within a second if that is more and five if it is less, counts as gone.
func WithCheckInterval(d time.Duration) ClusterOption {
	return clusterOption(func(s *clusterSettings) { s.checkEvery = max(d, time.Millisecond) })
}

// WithStandbyWeight sets which share of the reads each server gets while it is a standby: one of
// weight 2 twice as many as one of weight 1, which is the default, and one of weight 0
// none, as a standby that is delayed on purpose.
func WithStandbyWeight(weight func(host Host) int) ClusterOption {
	return clusterOption(func(s *clusterSettings) { s.weight = weight })
}

// WithPoolSetup calls f with each pool of the cluster that a program uses, to set its limits
// (SetMaxOpenConns and its kin): Primary's, and one for each server.
func WithPoolSetup(f func(db *sql.DB)) ClusterOption {
	return clusterOption(func(s *clusterSettings) { s.setup = f })
}

// NewCluster reads a connection string, as ParseDSN does, that lists the servers:
// host=db1,db2,db3. target_session_attrs may be read-write, which is what it becomes if the
// string does not say, or primary: which server Primary connects to. It does not wait for a connection.
// A function of WithBeforeConnect is called with one host, which it must leave alone, for all
// connections but Primary's.
// Close the Cluster when it is not needed any more.
//
// The role needs no privileges. If it is a member of pg_monitor, a
// standby is known to have followed a new primary at once, else only
// at the standby's next restartpoint (checkpoint_timeout); until then it is left out.
func NewCluster(dsn string, opts ...ClusterOption) (*Cluster, error) {
	cfg, err := ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	return NewClusterConfig(cfg, opts...)
}

// NewClusterConfig is NewCluster for a configuration.
func NewClusterConfig(cfg *Config, opts ...ClusterOption) (*Cluster, error) {
	s := clusterSettings{maxLag: DefaultMaxLag, wait: DefaultReadWait, checkEvery: DefaultCheckInterval,
		weight: func(Host) int { return 1 }, setup: func(*sql.DB) {}}
	for _, o := range opts {
		o.of(&s)
	}
	cfg = cfg.Clone()
	if err := cfg.normalize(); err != nil {
		return nil, err
	}
	switch target(cfg.TargetSessionAttrs) {
	case anyTarget:
		cfg.TargetSessionAttrs = string(readWrite)
	case readWrite, primary:
	default:
		return nil, fmt.Errorf("psyco: NewCluster: target_session_attrs=%s is not for the primary: leave it out, or write read-write or primary",
			cfg.TargetSessionAttrs)
	}
	main, err := NewConnectorConfig(cfg, s.connector...)
	if err != nil {
		return nil, err
	}
	if s.maxLag > 0 { // else one that has all would lag, because nobody looks
		s.checkEvery = max(min(s.checkEvery, s.maxLag/2), time.Millisecond)
	}
	c := &Cluster{primary: sql.OpenDB(main), wait: s.wait, interval: s.checkEvery}
	c.open, c.stop = context.WithCancel(background)
	weights := make([]int, len(cfg.Hosts))
	for i, host := range cfg.Hosts {
		weights[i] = max(s.weight(host), 0)
	}
	c.known = replica.New(weights, s.maxLag)
	for i, host := range cfg.Hosts {
		sv, err := c.newServer(i, host, weights[i], cfg, &s)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.servers = append(c.servers, sv)
	}
	before := main.dialer.before
	main.dialer.before = func(ctx context.Context, cfg *Config) error {
		if before != nil {
			if err := before(ctx, cfg); err != nil {
				return err
			}
		}
		c.primaryFirst(cfg)
		return nil
	}
	main.dialer.fits = c.mayWrite
	reset := main.onReset
	main.onReset = func(ctx context.Context, cn *Conn) error {
		if err := c.mayWrite(Host(cn.c.sess.link.Host)); err != nil || reset == nil {
			return err
		}
		return reset(ctx, cn)
	}
	s.setup(c.primary)
	for _, sv := range c.servers {
		s.setup(sv.db)
		c.running.Go(func() { sv.look(c.open) })
	}
	return c, nil
}

func (c *Cluster) newServer(index int, host Host, weight int, cfg *Config, s *clusterSettings) (*clusterServer, error) {
	own := cfg.Clone()
	own.Hosts, own.TargetSessionAttrs = []Host{host}, string(anyTarget)
	reads, err := newOwnConnector(own, s.connector)
	if err != nil {
		return nil, err
	}
	watch, err := newOwnConnector(own, s.connector)
	if err != nil {
		return nil, err
	}
	watch.tracer, watch.onConnect, watch.onReset, watch.lifetime = nil, nil, nil, 0 // it is none of the program's
	watch.grace = 0                                                                 // a look has had its time
	sv := &clusterServer{Connector: reads, c: c, index: index, host: host, weight: weight,
		watch: sql.OpenDB(watch), poke: make(chan struct{}, 1)}
	onConnect := reads.onConnect
	reads.onConnect = func(ctx context.Context, cn *Conn) error {
		if onConnect != nil {
			if err := onConnect(ctx, cn); err != nil {
				return err
			}
		}
		return sv.keepsPromise(ctx, cn.c)
	}
	sv.db = sql.OpenDB(sv)
	return sv, nil
}

// primaryFirst has the server tried first that is known to be the primary, and last those that are
// known to be gone: they may be dead and not say so.
func (c *Cluster) primaryFirst(cfg *Config) {
	rank := func(h Host) int {
		if i := c.indexOf(h); i >= 0 {
			return c.known.Rank(i)
		}
		return replica.RankUnknown
	}
	slices.SortStableFunc(cfg.Hosts, func(a, b Host) int { return rank(a) - rank(b) })
	cfg.LoadBalanceHosts = choices["load_balance_hosts"][0] // in this order
}

// mayWrite returns an error if a server that can write is known not to be the primary.
func (c *Cluster) mayWrite(h Host) error {
	if i := c.indexOf(h); i >= 0 {
		return c.known.Outdone(i)
	}
	return nil
}

// indexOf is which of the servers a host is, -1 for one that WithBeforeConnect has put there.
func (c *Cluster) indexOf(h Host) int {
	return slices.IndexFunc(c.servers, func(sv *clusterServer) bool { return sv.host.sameServer(h) })
}

// newOwnConnector returns a connector for one server, which WithBeforeConnect cannot change: what
// is known of a server must be known of that one.
func newOwnConnector(cfg *Config, opts []Option) (*Connector, error) {
	con, err := NewConnectorConfig(cfg, opts...)
	if err != nil || con.dialer.before == nil {
		return con, err
	}
	before := con.dialer.before
	con.dialer.before = func(ctx context.Context, changed *Config) error {
		if err := before(ctx, changed); err != nil {
			return err
		}
		if len(changed.Hosts) != 1 || !cfg.Hosts[0].sameServer(changed.Hosts[0]) || changed.TargetSessionAttrs != cfg.TargetSessionAttrs {
			return errors.New("psyco: WithBeforeConnect: the servers of a Cluster are those of its connection string: Hosts and TargetSessionAttrs cannot change")
		}
		return nil
	}
	return con, nil
}

func (h Host) sameServer(as Host) bool {
	return h.Host == as.Host && h.Hostaddr == as.Hostaddr && h.Port == as.Port
}

// Close ends all that the cluster does and closes its pools, as sql.DB.Close does: it waits for
// statements that run on them.
func (c *Cluster) Close() error {
	c.stop()
	c.running.Wait()
	err := c.primary.Close()
	for _, sv := range c.servers {
		err = errors.Join(err, sv.db.Close(), sv.watch.Close())
	}
	return err
}

// Primary returns the pool for the server that can write. It is the same all the time: after a
// failover its connections go to the new primary. The server that is known to be it is tried first,
// the others only if that cannot write any more, and last those that do not answer. A former primary that
// goes on as one beside a new one gets no new statements and transactions as soon as both are known, also while the new
// one is away, until it and its standbys have been that for a minute.
func (c *Cluster) Primary() *sql.DB { return c.primary }

// Standby returns the pool of a standby that may serve a read: one that is there, is not too
// far behind ([WithMaxLag]) and, if ctx is one of ReadAfter, has replayed what that asks
// for; by chance, by weight, of all that fit. If there is none it waits for one, for no longer than
// WithReadWait says and only if ctx is one of ReadAfter, and then returns that of the primary. At the beginning it
// also waits until the primary is known, and if there is no standby yet until all servers are, for up to a second
// each. It never fails. What it returns is for now: ask again for each request.
//
// A server that dies between is an error of the statement that meets it. [Cluster.Reader] then
// goes on to another one where nothing was sent.
func (c *Cluster) Standby(ctx context.Context) *sql.DB {
	lsn, bound := ctx.Value(readAfterKey{}).(LSN)
	want := replica.Position(lsn)
	if !c.known.Begun() {
		c.await(ctx, replica.Position{Offset: replica.Never}, lookLimit, c.known.Begun)
	}
	sv := c.pick(want)
	if sv == nil && !c.known.Complete() {
		sv = c.await(ctx, want, lookLimit, c.known.Complete)
	}
	if sv == nil && bound {
		sv = c.await(ctx, want, c.wait, func() bool { return !c.known.MayReach(time.Now(), want, c.wait) })
	}
	if sv == nil {
		c.primaryReads.Add(1)
		return c.primary
	}
	c.standbyReads.Add(1)
	sv.reads.Add(1)
	return sv.db
}

// WaitLSN waits until a standby that may serve reads has replayed everything up to lsn, and
// returns its pool. It returns an error when ctx ends before, or the cluster is closed; in its text is what is
// known of each server. A position of InTx that no standby reaches is an error at once.
func (c *Cluster) WaitLSN(ctx context.Context, lsn LSN) (*sql.DB, error) {
	if lsn.Offset == replica.Never {
		return nil, errors.New("psyco: WaitLSN: the position of that commit could not be learned, so no standby is known to have it: read it from Primary, or wait for a position of CommitLSN")
	}
	sv := c.pick(replica.Position(lsn))
	if sv == nil {
		sv = c.await(ctx, replica.Position(lsn), -1, func() bool { return false })
	}
	if sv == nil {
		return nil, fmt.Errorf("psyco: no standby has reached %s: %w%s", lsn, cmp.Or(ctx.Err(), errClusterClosed), c.describe())
	}
	return sv.db, nil
}

var errClusterClosed = errors.New("the cluster is closed")

// describe says of each server how far it is, or why it is not read from.
func (c *Cluster) describe() string {
	var b strings.Builder
	for _, s := range c.Stats().Servers {
		fmt.Fprintf(&b, "\n%s: ", s.Host)
		switch {
		case s.Err != nil:
			b.WriteString(strings.TrimPrefix(s.Err.Error(), "psyco: "))
		default:
			fmt.Fprintf(&b, "%s at %s", s.Role, s.LSN)
		}
	}
	return b.String()
}

func (c *Cluster) pick(want replica.Position) *clusterServer {
	if i, ok := c.known.Pick(time.Now(), want, rand.IntN); ok {
		return c.servers[i]
	}
	return nil
}

// await waits for a standby to reach want, for no longer than limit if that is not negative,
// and until it is in vain. It returns nil if none does. Meanwhile the standbys are looked at
// more often.
func (c *Cluster) await(ctx context.Context, want replica.Position, limit time.Duration, vain func() bool) *clusterServer {
	if limit == 0 || vain() {
		return nil
	}
	if limit > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, limit)
		defer stop()
	}
	c.waitings.Add(1)
	c.waiting.Add(1)
	defer c.waiting.Add(-1)
	for i, sv := range c.servers {
		if c.known.MayServe(i, time.Now()) {
			sv.hurry()
		}
	}
	for {
		changed := c.known.Changed()
		if sv := c.pick(want); sv != nil {
			return sv
		}
		if vain() {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.open.Done():
			return nil
		case <-changed:
		}
	}
}

func (sv *clusterServer) hurry() {
	select {
	case sv.poke <- struct{}{}:
	default:
	}
}

// What a look asks a server, of any role: how far it is, on which timeline, and of which
// cluster it is. pg_stat_wal_receiver shows nothing to roles that may not see it.
const (
	lookQuery = `SELECT pg_catalog.pg_is_in_recovery(),
CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_insert_lsn() END,
CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL ELSE pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()) END,
CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL ELSE pg_catalog.pg_current_wal_flush_lsn() END,
GREATEST((SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()),
(SELECT min_recovery_end_timeline FROM pg_catalog.pg_control_recovery()), (SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver)),
(SELECT system_identifier FROM pg_catalog.pg_control_system())`
	replayedQuery = "SELECT pg_catalog.pg_last_wal_replay_lsn() WHERE pg_catalog.pg_is_in_recovery()"
	insertedQuery = "SELECT pg_catalog.pg_current_wal_insert_lsn(), pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn())"
)

const (
	lookLimit = time.Second // how long a look may take at least
	longLook  = 5 * time.Second
	firstRest = time.Millisecond
	longRest  = 20 * time.Millisecond // between looks for reads that wait
)

// look keeps looking at the server until ctx ends.
func (sv *clusterServer) look(ctx context.Context) {
	var on *sql.Conn // from one to the next look the server is the same
	var last replica.Look
	defer func() {
		if on != nil {
			on.Close()
		}
	}()
	rest, full := firstRest, time.Time{} // when it was looked at everything
	for {
		waited, before := sv.c.waiting.Load() > 0, last
		brief := waited && on != nil && last.Standby && time.Since(full) < sv.c.interval
		if !brief {
			full = time.Now()
		}
		var err error
		if last, err = sv.lookOnce(ctx, &on, last, brief); ctx.Err() != nil {
			return
		}
		if err != nil {
			sv.c.known.Lost(sv.index, err)
		} else if sv.c.known.Saw(sv.index, time.Now(), last) {
			for _, other := range sv.c.servers {
				other.hurry()
			}
		}
		pause := sv.c.interval
		if waited && err == nil && last.Standby {
			if last != before {
				rest = firstRest
			}
			pause, rest = min(rest, pause), min(2*rest, longRest)
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		case <-sv.poke:
			t.Stop()
			rest = firstRest
			select { // looks that others ask for are not more than one in that time
			case <-ctx.Done():
				return
			case <-time.After(firstRest):
			}
		}
	}
}

// lookOnce looks at the server, only at what a standby has replayed if that is enough.
func (sv *clusterServer) lookOnce(ctx context.Context, on **sql.Conn, last replica.Look, brief bool) (look replica.Look, err error) {
	limit := min(max(sv.c.interval, lookLimit), longLook)
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	if *on == nil {
		last = replica.Look{} // of another session, if not of another server
		if *on, err = sv.watch.Conn(ctx); err != nil {
			*on = nil
			return look, err
		}
	}
	if brief {
		var at LSN
		if err = (*on).QueryRowContext(ctx, replayedQuery).Scan(&at); err == nil {
			last.At.Offset = at.Offset
			return last, nil
		}
	}
	if err == nil || errors.Is(err, sql.ErrNoRows) { // it has been promoted
		look, err = lookAt(ctx, *on)
	}
	if err != nil {
		(*on).Close()
		*on = nil
		if ctx.Err() == context.DeadlineExceeded {
			err = fmt.Errorf("psyco: the server has not answered within %v: %w", limit, ctx.Err())
		}
	} else if look.Standby {
		// No standby goes back while it runs. It says which timeline it follows only while it does.
		look.At.Timeline = max(look.At.Timeline, last.At.Timeline)
	}
	return look, err
}

func lookAt(ctx context.Context, on *sql.Conn) (look replica.Look, err error) {
	var at, flushed sql.Null[LSN]
	var file sql.NullString
	var timeline int64
	if err := on.QueryRowContext(ctx, lookQuery).Scan(&look.Standby, &at, &file, &flushed, &timeline, &look.System); err != nil {
		return look, err
	}
	look.At, look.Flushed = replica.Position{Timeline: uint32(timeline), Offset: at.V.Offset}, flushed.V.Offset
	if !look.Standby {
		look.At, err = inserted(at.V, file.String)
	}
	return look, err
}

// inserted is where a primary is, by insertedQuery. The name of a file of the log begins
// with the timeline.
func inserted(at LSN, file string) (replica.Position, error) {
	timeline, err := strconv.ParseUint(file[:min(8, len(file))], 16, 32)
	if err != nil {
		return replica.Position{}, fmt.Errorf("psyco: %q is not the name of a file of the write-ahead log", file)
	}
	return replica.Inserted(replica.Position{Timeline: uint32(timeline), Offset: at.Offset}), nil
}

// Connect opens a connection of the pool for reads. A server that cannot be connected to gets no
// more reads until a look has found it again.
func (sv *clusterServer) Connect(ctx context.Context) (driver.Conn, error) {
	cn, err := sv.Connector.Connect(ctx)
	if err != nil {
		if ctx.Err() == nil {
			sv.c.known.Lost(sv.index, err)
			sv.hurry()
		}
		return nil, &standbyError{err}
	}
	return cn, nil
}

// standbyError is an error of connecting to a standby: nothing was sent.
type standbyError struct{ error }

func (e *standbyError) Unwrap() error { return e.error }

// keepsPromise makes sure that a new connection sees what reads were sent to the server
// for: it may have been restarted since, and a standby takes
// connections before it has got as far as it was.
func (sv *clusterServer) keepsPromise(ctx context.Context, cn *conn) error {
	promised := sv.c.known.Promised(sv.index)
	if promised == (replica.Position{}) {
		return nil
	}
	ctx, stop := context.WithTimeout(ctx, max(sv.c.wait, DefaultReadWait))
	defer stop()
	for rest := firstRest; ; rest = min(2*rest, longRest) {
		var at LSN
		standby := false
		k := cn.watch(ctx)
		err := cn.finish(k, queryRows(cn.wire, cn.base, replayedQuery, func(row []driver.Value) error {
			standby = true
			return at.Scan(row[0])
		}))
		switch {
		case err != nil:
			return err
		case !standby || at.Offset >= promised.Offset: // as a primary it has all that it had
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("psyco: the standby at %s was restarted and is back at %s, before %s: %w", sv.host, at, LSN(promised), ctx.Err())
		case <-time.After(rest):
		}
	}
}

// CommitLSN returns a position behind all commits that the primary has acknowledged until now,
// to whomever: call it after a commit, and give the result to ReadAfter, here or, by
// its text, in another process. It is one statement on some connection of Primary. After a
// failover it is the new primary's position, which has what is left of the old one's commits.
//
// It is the position of insertion, not that of writing, so it also covers commits under
// synchronous_commit=off.
func (c *Cluster) CommitLSN(ctx context.Context) (LSN, error) {
	var at LSN
	var file string
	if err := c.primary.QueryRowContext(ctx, insertedQuery).Scan(&at, &file); err != nil {
		return LSN{}, err
	}
	p, err := inserted(at, file)
	return LSN(p), err
}

type readAfterKey struct{}

// ReadAfter returns a context with which Standby and Reader choose only servers that have
// replayed everything up to lsn, and so see what was committed before CommitLSN has
// returned it. Of several in a chain of contexts all must be reached. The zero LSN asks for nothing.
//
// A standby on an older timeline than lsn's does not count as having reached it: after a
// failover it may have followed the old primary where the new one
// has not. A commit that a failover has lost is lost: nothing waits for it, and no server
// shows it.
func ReadAfter(ctx context.Context, lsn LSN) context.Context {
	if before, ok := ctx.Value(readAfterKey{}).(LSN); ok {
		lsn = LSN(replica.Position(lsn).Both(replica.Position(before)))
	}
	return context.WithValue(ctx, readAfterKey{}, lsn)
}

// InTx is [InTx] on the cluster. A transaction that is ReadOnly in opts, and not serializable, which
// standbys cannot be, runs on Standby, by ctx and ReadAfter, each attempt on another one if need be;
// its position is the zero LSN. All others run on Primary, and the position is that of
// CommitLSN behind the commit. If the transaction is committed and its position
// cannot be learned, which is no reason to run it again, the error is nil and the position one
// that no standby reaches: reads after it go to the primary.
func (c *Cluster) InTx(ctx context.Context, opts *TxOptions, fn func(tx *sql.Tx) error) (LSN, error) {
	if opts != nil && opts.ReadOnly && opts.Isolation != sql.LevelSerializable {
		return LSN{}, InTx(ctx, c.Reader(), opts, fn)
	}
	if err := InTx(ctx, c.primary, opts, fn); err != nil {
		return LSN{}, err
	}
	lsn, err := c.CommitLSN(ctx)
	if err != nil {
		return LSN{Offset: replica.Never}, nil
	}
	return lsn, nil
}

// Reader returns a handle that runs each query on what Standby returns for its context.
// Libraries that want one handle for reads take it: it has the methods of sql.DB for
// queries and transactions, and psyco's functions take it as a Handle and a Beginner.
func (c *Cluster) Reader() *ClusterReader { return &ClusterReader{c} }

// A ClusterReader runs queries on standbys, see [Cluster.Reader]. If connecting to one
// fails, before anything was sent, it goes on to the next one, and to the primary at last.
// It is safe for concurrent use.
type ClusterReader struct{ c *Cluster }

var (
	_ Handle   = (*ClusterReader)(nil)
	_ Beginner = (*ClusterReader)(nil)
)

// onStandby runs f on one standby after the other as long as they cannot be connected to.
func onStandby[R any](ctx context.Context, c *Cluster, f func(db *sql.DB) (R, error)) (R, error) {
	for tries := 0; ; tries++ {
		db := c.primary
		if tries <= len(c.servers) {
			db = c.Standby(ctx)
		}
		res, err := f(db)
		if failed := (*standbyError)(nil); db == c.primary || ctx.Err() != nil || !errors.As(err, &failed) {
			return res, err
		}
	}
}

// QueryContext is sql.DB's.
func (r *ClusterReader) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return onStandby(ctx, r.c, func(db *sql.DB) (*sql.Rows, error) { return db.QueryContext(ctx, query, args...) })
}

// QueryRowContext is sql.DB's.
func (r *ClusterReader) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	row, _ := onStandby(ctx, r.c, func(db *sql.DB) (*sql.Row, error) {
		row := db.QueryRowContext(ctx, query, args...)
		return row, row.Err() // which it keeps
	})
	return row
}

// ExecContext is sql.DB's, for what changes nothing. A standby refuses what does (25006); the primary, where it
// serves the read, does not.
func (r *ClusterReader) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return onStandby(ctx, r.c, func(db *sql.DB) (sql.Result, error) { return db.ExecContext(ctx, query, args...) })
}

// PrepareContext is sql.DB's. The statement stays on the server that was chosen for it.
func (r *ClusterReader) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	return onStandby(ctx, r.c, func(db *sql.DB) (*sql.Stmt, error) { return db.PrepareContext(ctx, query) })
}

// BeginTx is sql.DB's. A standby refuses what writes (25006), and LevelSerializable; the primary, where it serves
// the read, refuses writes only if opts say ReadOnly.
func (r *ClusterReader) BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error) {
	return onStandby(ctx, r.c, func(db *sql.DB) (*sql.Tx, error) { return db.BeginTx(ctx, opts) })
}

// ClusterStats are the figures of a Cluster.
type ClusterStats struct {
	StandbyReads uint64 // how often Standby chose a standby
	PrimaryReads uint64 // how often it chose the primary, because no standby was good enough
	Waits        uint64 // how often it was waited for a standby
	Servers      []ServerStats
	Primary      sql.DBStats // of Primary's pool
}

// ServerStats are the figures of one server of a Cluster, and what is known of it.
type ServerStats struct {
	Host   Host
	Role   string        // "primary", "standby", or "" while nobody knows
	LSN    LSN           // what a standby has replayed, where a primary is
	Lag    time.Duration // for how long a standby has not been where the primary is
	Weight int
	Usable bool   // Standby may choose it
	Err    error  // why not, if it is not the primary
	Reads  uint64 // how often Standby chose it
	Pool   sql.DBStats
}

// Stats returns the figures, and what is known of each server in the order of the connection string.
func (c *Cluster) Stats() ClusterStats {
	now := time.Now()
	s := ClusterStats{StandbyReads: c.standbyReads.Load(), PrimaryReads: c.primaryReads.Load(), Waits: c.waitings.Load(),
		Servers: make([]ServerStats, len(c.servers)), Primary: c.primary.Stats()}
	for i, sv := range c.servers {
		state := c.known.State(i, now)
		of := ServerStats{Host: sv.host, Weight: sv.weight, Reads: sv.reads.Load(), Pool: sv.db.Stats(), Usable: state.Unfit == nil}
		if state.Known {
			of.LSN, of.Lag, of.Role = LSN(state.At), state.Lag, "primary"
			if state.Standby {
				of.Role = "standby"
			}
		}
		if state.Unfit != replica.ErrPrimary {
			of.Err = state.Unfit
		}
		s.Servers[i] = of
	}
	return s
}

// An LSN is a place in the write-ahead log of a cluster's primary, a log sequence number. The zero LSN
// is before everything. Its text is the server's, 16/B374D848, and its timeline if that
// is known: 16/B374D848@2. Keep it in a session or a cookie to
// have a user see what that user has written.
type LSN struct {
	Timeline uint32 // of the primary that was there; each failover begins a new one. 0: not known
	Offset   uint64
}

// ParseLSN reads what String writes.
func ParseLSN(text string) (LSN, error) {
	p, err := replica.Parse(text)
	if err != nil {
		return LSN{}, fmt.Errorf("psyco: %w", err)
	}
	return LSN(p), nil
}

func (l LSN) String() string { return replica.Position(l).String() }

// MarshalText writes what String returns.
func (l LSN) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText is ParseLSN.
func (l *LSN) UnmarshalText(text []byte) (err error) {
	*l, err = ParseLSN(string(text))
	return err
}

// Scan reads a value of type pg_lsn.
func (l *LSN) Scan(src any) error {
	switch v := src.(type) {
	case string:
		return l.UnmarshalText([]byte(v))
	case []byte:
		return l.UnmarshalText(v)
	}
	return fmt.Errorf("psyco: an LSN cannot be read from %T", src)
}

// Value is the position for a parameter of type pg_lsn, without the timeline.
func (l LSN) Value() (driver.Value, error) { return LSN{Offset: l.Offset}.String(), nil }
