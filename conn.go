package psyco

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/stmtcache"
	"github.com/psyco-go/psyco/internal/wire"
)

var (
	_ driver.Conn               = (*conn)(nil)
	_ driver.ConnBeginTx        = (*conn)(nil)
	_ driver.ConnPrepareContext = (*conn)(nil)
	_ driver.ExecerContext      = (*conn)(nil)
	_ driver.QueryerContext     = (*conn)(nil)
	_ driver.NamedValueChecker  = (*conn)(nil)
	_ driver.Pinger             = (*conn)(nil)
	_ driver.SessionResetter    = (*conn)(nil)
	_ driver.Validator          = (*conn)(nil)
)

// conn is one connection: lib/pq's (or, behind Wrap, some other driver's) with
// psyco's rules in front. database/sql lets one goroutine at a time into it.
type conn struct {
	con  *Connector
	sess *session
	base driver.Conn
	wire *wire.Conn // nil behind Wrap

	cache  *stmtcache.Cache[*prepared]
	plans  *stmtcache.Cache[*plan] // of pipelines
	rows   *rows                   // a result that is still being read from the server
	tx     *tx
	baseTx bool      // a transaction is open behind Wrap
	copy   *copyStmt // a COPY statement that waits for its rows

	// queue holds small statements that were not sent yet: BEGIN, SAVEPOINT,
	// RELEASE. They ride in front of the next statement, see run.go.
	queue []string
	leads leads
	lost  error // why the connection cannot be used any more

	expires time.Time // by WithMaxLifetime; zero for never
	demoted bool      // the server refused to write, where a session that can was asked for

	unclosed int // results that were not closed, see maskBadConn

	binary    bool // lib/pq writes the parameters, and in binary: binary_parameters=yes
	onePacket bool // a statement goes with its arguments in one packet, and stays on no server

	// See outdated.go.
	text      string // the text of the last statement; "" if that is not known
	hidden    bool   // it may have changed what names mean without telling
	redefined bool   // the open transaction has changed what names mean
	altered   bool   // the session may have changed that since it was cleaned

	// See pooler.go.
	suspect  bool     // a statement was missing on the server
	looked   int      // how often it was looked which server answers
	backend  int64    // the process that answered
	orphans  []string // names of statements that are left on other servers
	closings int      // in how many packets they are still to be closed

	idleCall *call // ready for the next request with a context
	running  *call // of the request that is under way

	unannounced *tracing // of one of psyco's functions, before announce

	// The settings by which the server has read the times in the texts of prepared
	// statements, see parses.
	timeSettings    [len(timeSettings)]string
	initialSettings [len(timeSettings)]string // those to which RESET goes back
	zoneName        string                    // for which zone was looked up
	zone            *time.Location

	wireRow        *wireRow     // scratch: see wireRows
	values         valueDecoder // of the result that is being read
	reply          reply        // of the last request that lib/pq did not see
	request        []byte       // scratch: see ask
	types          []uint32     // scratch: see statement.types
	fallbacks      []uint32     // scratch: see statement.fallback
	noTypes        []uint32     // zeros: see untyped
	savepoints     int          // names of savepoints
	nested         []string     // the open savepoints of Savepoint, the outermost first
	streams        []bool       // which names of cursors for ServerSide are taken
	planNames      int          // names of the plans of pipelines
	statementNames int          // names of the statements of the cache
	forgotten      int          // how often forget was called
	renewals       int          // how often what was prepared has become outdated
	stats          Stats
}

// background is the context for lib/pq's calls: psyco watches the caller's
// context itself, without a goroutine for each call.
var background = context.Background()

func newConn(con *Connector, s *session) *conn {
	settleInfinity()
	c := &conn{con: con, sess: s, base: s.base, wire: s.wire}
	capacity := s.cfg.StatementCacheCapacity
	if c.wire != nil {
		c.binary = s.cfg.BinaryParameters
		c.onePacket = c.binary || s.cfg.PgBouncer || con.dialer.pooled.Load()
		c.wire.SetCopyAbort(c.abortCopy)
		c.wire.SetStatementPrefix(statementPrefix())
		c.suspectPooler()
		c.initialSettings = c.currentSettings()
	}
	if c.wire == nil || c.onePacket {
		capacity = 0
	}
	c.cache = stmtcache.New[*prepared](capacity)
	c.plans = stmtcache.New[*plan](capacity)
	if l := con.lifetime; l > 0 {
		c.expires = time.Now().Add(l + rand.N(con.jitter+1))
	}
	return c
}

// start makes the connection ready for a new request of a caller. Nothing has
// been written when it fails.
func (c *conn) start(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.tx != nil && c.tx.stream {
		return errStreaming
	}
	return c.ready()
}

// ready is start for a request that continues what a caller began.
func (c *conn) ready() error {
	if c.lost != nil {
		return c.notSent()
	}
	if c.copy != nil {
		return errors.New("psyco: a COPY statement is open on this connection: " +
			"close it, or call its Exec without arguments, before the next statement")
	}
	if c.tx != nil && c.tx.failed != nil {
		return c.tx.failed
	}
	if c.rows != nil {
		c.rows.buffer()
	}
	if !c.answered() {
		return driver.ErrBadConn
	}
	if c.wire != nil {
		c.observe()
	}
	if c.con.dialer.pooled.Load() && !c.onePacket && c.wire != nil && !c.inTransaction() {
		c.poolerFound()
	}
	return nil
}

// answered reports whether nothing is left of an earlier answer. Something is if the
// program's own code, a writer of COPY or a handler of notices, has panicked in the
// middle of it, and the connection cannot be used any more.
func (c *conn) answered() bool {
	if c.wire != nil && !c.wire.Idle() && c.lost == nil {
		c.lost = errUnread
	}
	return c.lost == nil
}

// maskBadConn hides driver.ErrBadConn while results are open: a *sql.Conn would close
// itself and wait for them forever.
func (c *conn) maskBadConn(err *error) {
	if c.unclosed == 0 || !errors.Is(*err, driver.ErrBadConn) {
		return
	}
	if pe := pq.As(*err); pe != nil {
		*err = &notSentError{pe, errNotSent}
	} else {
		*err = errNotSent
	}
}

// ExecContext runs a statement that returns no rows.
func (c *conn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (_ driver.Result, err error) {
	defer c.maskBadConn(&err)
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	if op, ok := operationIn[operation](args); ok {
		return operate(ctx, c, op)
	}
	if len(args) > 0 {
		if res, ok, err := c.execCopy(ctx, text, args); ok {
			return res, err
		}
	}
	var st statement
	if err := c.resolve(&st, text, args); err != nil {
		return nil, err
	}
	if c.wire == nil {
		return c.baseExec(ctx, &st)
	}
	k := c.watch(ctx)
	res, err := run(c, execMode{}, &st)
	return res, c.finish(k, err)
}

// QueryContext runs a statement that returns rows.
func (c *conn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (_ driver.Rows, err error) {
	defer c.maskBadConn(&err)
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	if op, ok := operationIn[queryOperation](args); ok {
		return operate(ctx, c, op)
	}
	if rest, size, ok := takeServerSide(args); ok {
		return operate(ctx, c, func(ctx context.Context, c *conn) (driver.Rows, error) {
			return c.queryServerSide(ctx, text, rest, size)
		})
	}
	var st statement
	if err := c.resolve(&st, text, args); err != nil {
		return nil, err
	}
	if c.wire == nil {
		return c.baseQuery(ctx, &st)
	}
	if st.wanted = wantedBy(ctx, text); st.wanted != nil && len(st.args) == 0 {
		c.parses(&st)
	}
	k := c.watch(ctx)
	r, err := run(c, queryMode{}, &st)
	if err != nil {
		return nil, c.finish(k, err)
	}
	return c.newRowsFor(&st, r, k, text), nil
}

// CheckNamedValue lets every value pass: how it is converted depends on the
// query's placeholders, which database/sql does not show here.
func (c *conn) CheckNamedValue(*driver.NamedValue) error { return nil }

// Ping asks the server for an empty answer.
func (c *conn) Ping(ctx context.Context) (err error) {
	defer c.maskBadConn(&err)
	if err := c.start(ctx); err != nil {
		return err
	}
	p, ok := c.base.(driver.Pinger)
	if !ok {
		return nil
	}
	if c.wire == nil {
		return p.Ping(ctx)
	}
	k := c.watch(ctx)
	if err := c.finish(k, p.Ping(background)); err != nil {
		if ctx.Err() != nil {
			return err
		}
		// A ping that is sent twice does no harm: let database/sql try the
		// next connection.
		if pe := pq.As(err); pe != nil {
			return fmt.Errorf("%w: %w", driver.ErrBadConn, pe)
		}
		return driver.ErrBadConn
	}
	return nil
}

// Prepare is PrepareContext without a context.
func (c *conn) Prepare(text string) (driver.Stmt, error) {
	return c.PrepareContext(background, text)
}

// Begin is [BeginTx] with the server's defaults.
func (c *conn) Begin() (driver.Tx, error) { return c.BeginTx(background, driver.TxOptions{}) }

// Close ends the session. The server rolls back what is open in it.
func (c *conn) Close() error {
	if c.wire == nil {
		return c.base.Close()
	}
	c.running.end() // if a panic has kept it from its end
	c.con.dialer.backends.leave(c.backend, c)
	// Whatever goes wrong here is the network's doing, and the session is over all
	// the same. A dead network must not hold up whoever closes the connection.
	c.wire.SetDeadline(time.Now().Add(c.con.grace))
	if c.lost != nil {
		c.wire.Close()
	} else {
		_ = c.base.Close()
	}
	return nil
}

// ResetSession is called before a pooled connection is used again.
func (c *conn) ResetSession(ctx context.Context) error {
	if !c.IsValid() {
		return driver.ErrBadConn
	}
	c.unclosed = 0
	if c.wire == nil {
		if r, ok := c.base.(driver.SessionResetter); ok {
			if err := r.ResetSession(ctx); err != nil {
				return err
			}
		}
	} else if err := c.wire.Alive(); err != nil {
		c.lost = err
		return driver.ErrBadConn
	}
	return c.reset(ctx)
}

// IsValid is called when a connection goes back to the pool. One that comes
// back in a transaction, in the middle of an answer or of a COPY must not meet its
// next user like that, nor keep its locks while it waits.
func (c *conn) IsValid() bool {
	if c.lost != nil || !c.expires.IsZero() && !time.Now().Before(c.expires) {
		return false
	}
	if c.wire == nil {
		if v, ok := c.base.(driver.Validator); ok {
			return v.IsValid()
		}
		return true
	}
	if c.copy != nil || c.wire.Err() != nil || !c.base.(driver.Validator).IsValid() {
		return false
	}
	if c.rows != nil {
		c.rows.buffer()
	}
	c.tx, c.queue = nil, c.queue[:0]
	if c.answered() && c.wire.TxStatus() != 'I' {
		if err := c.bounded(func() error { return c.simple("ROLLBACK") }); err != nil {
			c.lost = err
		}
	}
	if c.lost == nil {
		c.behindPooler()
	}
	if c.lost == nil && c.demoted {
		c.demoted = false
		if err := c.bounded(c.sess.stillWrites); err != nil {
			c.lost = err
		}
	}
	return c.lost == nil && c.wire.TxStatus() == 'I'
}

// bounded runs f with a deadline on the connection, for requests that have no
// caller's context.
func (c *conn) bounded(f func() error) error {
	c.wire.SetDeadline(time.Now().Add(c.con.grace))
	err := c.fault(f())
	c.wire.SetDeadline(time.Time{})
	return err
}

// simple runs a statement in the simple protocol, without arguments.
func (c *conn) simple(sql string) error {
	_, err := c.base.(driver.ExecerContext).ExecContext(background, sql, nil)
	return err
}

// flush sends the queued small statements in a round trip of their own.
func (c *conn) flush() error {
	if err := c.flushLeads(); err != nil {
		return err
	}
	if c.wire.TxStatus() == 'E' {
		c.queue = c.queue[:0] // would fail, and keep a ROLLBACK TO from its turn
	}
	if len(c.queue) == 0 {
		return nil
	}
	sql := strings.Join(c.queue, ";")
	c.queue = c.queue[:0]
	err := c.simple(sql)
	c.began(err)
	return err
}

// began notes whether the transaction whose BEGIN was just sent is open. One
// whose BEGIN failed must not let its statements run on their own.
func (c *conn) began(err error) {
	if c.tx == nil || c.tx.state != txPending {
		return
	}
	if s := c.wire.TxStatus(); s == 'T' || s == 'E' {
		c.tx.state = txOpen
	} else if err != nil {
		c.tx.failed = c.fault(err)
	}
}

// leads are statements that wait for the next request of the connection and go in front of
// it, even of its BEGIN: those of ExecWithNext. They run in a transaction of their own, so
// that they stay done when what follows is undone.
type leads struct {
	statements []string
	connected  int  // how many of them are those of WithOnConnect
	rereads    bool // the server may read the times in a text in another way after them
	riding     bool // the request that was sent last has them in front
}

// leadError is the error of a statement of ExecWithNext. What the connection's user sent has
// not run then, and must not run in a session that is not as it should be.
type leadError struct {
	statement string
	cause     *pq.Error
}

func (e *leadError) Error() string {
	return fmt.Sprintf("psyco: %.200q, which was to run before the next statement of the connection, failed, and that was not run: %s",
		e.statement, e.cause.Error())
}

func (e *leadError) Unwrap() error { return e.cause }

// lead queues statements. Behind Wrap they run at once.
func (c *conn) lead(ctx context.Context, statements ...string) error {
	if c.inTransaction() {
		return errors.New("psyco: ExecWithNext: the connection is in a transaction; these statements need one of their own")
	}
	if c.wire == nil {
		for _, sql := range statements {
			_, err := c.baseExec(ctx, &statement{sql: sql})
			if err == driver.ErrSkip {
				err = errors.New("psyco: ExecWithNext: the driver behind Wrap runs no statement without preparing it")
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	c.leads.statements = append(c.leads.statements, statements...)
	return nil
}

// reset runs the function of WithOnReset. An error of it costs the connection.
func (c *conn) reset(ctx context.Context) error {
	if c.con.onReset == nil {
		return nil
	}
	// What was queued for an earlier user who has sent nothing is not needed any more.
	c.leads.statements = c.leads.statements[:c.leads.connected]
	if err := c.con.onReset(ctx, &Conn{c}); err != nil {
		c.lost = err
	}
	if c.lost != nil {
		return driver.ErrBadConn
	}
	return nil
}

// rideLeads puts them in front of the Parse or Bind that is sent next.
func (c *conn) rideLeads() {
	if len(c.leads.statements) == 0 {
		c.leads.riding = false
		return
	}
	c.leads.riding = true
	c.wire.Lead("BEGIN")
	for _, sql := range c.leads.statements {
		c.wire.Lead(sql)
	}
	c.wire.Lead("COMMIT")
}

// rodeLeads settles what became of them, when they were sent.
func (c *conn) rodeLeads(err error) {
	if !c.leads.riding {
		return
	}
	if o := c.wire.PrefixOutcome(); o.Failed && o.Done < o.Led {
		statement := "BEGIN"
		if i := o.Done - 1; i >= 0 && i < len(c.leads.statements) {
			statement = c.leads.statements[i]
		} else if i >= 0 {
			statement = "COMMIT"
		}
		c.leadFailed(statement, err)
	}
	c.leads = leads{statements: c.leads.statements[:0]}
}

// flushLeads sends them in a round trip of their own.
func (c *conn) flushLeads() error {
	l := &c.leads
	if len(l.statements) == 0 {
		return nil
	}
	text := "BEGIN;" + strings.Join(l.statements, "\n;") + "\n;COMMIT"
	*l = leads{statements: l.statements[:0]}
	err := c.simple(text)
	if events := c.wire.TakeEvents(); events.Has(wire.EventSearchPath) {
		c.renew()
	}
	if err != nil {
		c.leadFailed(text, err)
	}
	return err
}

// leadFailed gives the connection up, unless that is lost anyway.
func (c *conn) leadFailed(statement string, err error) {
	if pe := pq.As(err); pe != nil && c.wire.Fatal() == nil {
		cause := *pe // others add to it what is about their statement
		c.lost = &leadError{statement, &cause}
	}
}
