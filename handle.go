package psyco

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/sqllex"
)

// A Handle runs statements: *sql.DB, *sql.Conn, *sql.Tx, and whatever wraps one
// of them and keeps these two methods, such as sqlx's types.
type Handle interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// operation is work on the connection behind a handle. database/sql has no way
// from a *sql.Tx to its connection, so the work travels as the only argument
// of an ExecContext and psyco's connection runs it instead of a statement.
type operation func(ctx context.Context, c *conn) (driver.Result, error)

// queryOperation is an operation with rows.
type queryOperation func(ctx context.Context, c *conn) (driver.Rows, error)

// do runs op on h's connection. name is the public function, for errors and for
// tracing wrappers, which see it as the statement's text.
func do(ctx context.Context, h Handle, name string, op operation) (sql.Result, error) {
	return send(ctx, h.ExecContext, name, op)
}

// doQuery is do for an operation with rows.
func doQuery(ctx context.Context, h Handle, name string, op queryOperation) (*sql.Rows, error) {
	return send(ctx, h.QueryContext, name, op)
}

// send gives an operation to one of a handle's two methods.
func send[R, D any, F ~func(context.Context, *conn) (D, error)](
	ctx context.Context, run func(context.Context, string, ...any) (R, error), name string, op F,
) (res R, err error) {
	ran := false
	noted := F(func(ctx context.Context, c *conn) (D, error) {
		ran = true
		return op(ctx, c)
	})
	res, err = run(ctx, "-- psyco."+name, noted)
	switch {
	case ran:
		return res, err
	case err == nil || isPrepared(err):
		if rows, ok := any(res).(*sql.Rows); ok && err == nil {
			rows.Close()
		}
		var none R
		return none, fmt.Errorf("psyco: %s needs a handle that runs statements together with their arguments, "+
			"such as the *sql.DB or *sql.Tx behind this one", name)
	case !isForeign(err):
		return res, err
	}
	if res, err := run(ctx, "-- psyco."+name, disguise[F]{noted}); ran {
		return res, err
	}
	var none R
	return none, fmt.Errorf(`psyco: %s needs a handle whose driver is "psyco": %w`, name, err)
}

// A disguise gets an operation through drivers that wrap psyco's without a
// NamedValueChecker of their own. database/sql refuses arguments there that are
// no driver.Value, but lets decimal numbers of any type pass.
type disguise[F any] struct{ op F }

// Decompose makes it look like a decimal number; see driver.IsValue.
func (disguise[F]) Decompose([]byte) (form byte, negative bool, coefficient []byte, exponent int32) {
	return 2, false, nil, 0 // not a number
}

// operationIn returns the operation that a statement's only argument is.
func operationIn[F any](args []driver.NamedValue) (op F, ok bool) {
	if len(args) != 1 {
		return op, false
	}
	switch v := args[0].Value.(type) {
	case F:
		return v, true
	case disguise[F]:
		return v.op, true
	}
	return op, false
}

// WithConn calls f with the connection behind h. On a *sql.DB that is some
// connection of the pool, on a *sql.Conn or *sql.Tx theirs. The connection is
// f's alone until f returns; f must not use h, nor keep the Conn. WithConn
// returns f's error, or that of getting a connection, in which case f was not
// called.
func WithConn(ctx context.Context, h Handle, f func(*Conn) error) error {
	_, err := do(ctx, h, "WithConn", func(_ context.Context, c *conn) (driver.Result, error) {
		return driver.RowsAffected(0), f(&Conn{c})
	})
	return err
}

// errNothingDone is the error of an operation that met a lost connection before
// it did anything but prepare statements.
var errNothingDone = errors.New("psyco: the connection was lost before anything was done")

// operate runs an operation. database/sql runs it again when it gets
// driver.ErrBadConn; for an operation of several requests that is right only if
// not even the first was answered.
func operate[R any, F ~func(context.Context, *conn) (R, error)](ctx context.Context, c *conn, op F) (R, error) {
	if c.wire == nil {
		return op(ctx, c)
	}
	before := c.wire.Stats().RoundTrips
	res, err := op(ctx, c)
	if err == errNothingDone {
		return res, c.notSent()
	}
	if errors.Is(err, driver.ErrBadConn) && c.wire.Stats().RoundTrips != before {
		cause := c.lost
		if cause == nil || errors.Is(cause, driver.ErrBadConn) {
			cause = errors.New("the server closed it")
		}
		err = &lostError{cause}
	}
	return res, err
}

// Conn is a look at one connection of the pool; see [WithConn]. Its methods are
// for the goroutine that was given it, while it has it. Behind Wrap the
// protocol is not psyco's and all values are zero.
type Conn struct{ c *conn }

// Stats counts what a connection has done since it was opened.
type Stats struct {
	RoundTrips    uint64 // times the client waited for the server, those of connecting included
	BytesSent     uint64 // before encryption
	BytesReceived uint64
	CacheHits     uint64 // statements with arguments that were prepared before
	CacheMisses   uint64 // statements with arguments that were parsed anew
	Prepared      uint64 // statements that the cache has prepared
}

// Exec runs a statement at once, in the functions of [WithOnConnect] and [WithOnReset] for example.
func (c *Conn) Exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	named := make([]driver.NamedValue, len(args))
	for i, a := range args {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
		if n, ok := a.(sql.NamedArg); ok {
			named[i].Name, named[i].Value = n.Name, n.Value
		}
	}
	return c.c.ExecContext(ctx, query, named)
}

// ExecWithNext has statements without arguments run in front of the connection's next one, in
// the same packet if that has arguments (as BEGIN does), and in a transaction of their
// own: they stay done if what follows is undone. If one of them fails, what follows is not run, its
// caller gets the error, in which errors.As finds the *pq.Error, and the connection leaves the
// pool. ExecWithNext itself returns an error for what cannot run like this: several statements
// in one text, COPY, the beginning or end of a transaction; and while the
// connection is in a transaction. Behind Wrap the statements run at once, under ctx.
func (c *Conn) ExecWithNext(ctx context.Context, statements ...string) error {
	for _, sql := range statements {
		if err := checkNUL(sql); err != nil {
			return err
		}
		switch keyword := sqllex.Keyword(sql); {
		case !sqllex.Single(sql):
			return fmt.Errorf("psyco: ExecWithNext takes one statement in each argument: %.60q", sql)
		case keyword == "COPY" || slices.Contains(ofTransactions, keyword):
			return fmt.Errorf("psyco: ExecWithNext cannot run %s: its statements are a transaction of their own", keyword)
		case keyword == "DEALLOCATE":
			c.c.forget()
		case sqllex.ChangesNames(sql) && c.c.wire != nil:
			c.c.renew()
		}
	}
	c.c.leads.rereads = true
	return c.c.lead(ctx, statements...)
}

// ofTransactions begin statements that begin or end a transaction, or a part of one.
var ofTransactions = []string{"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE"}

// CleanSession is a function for [WithOnReset] that gives each user of the pool a session as if it
// were new, like DISCARD ALL (pgbouncer: server_reset_query): settings, roles, temporary tables,
// LISTEN, session-level advisory locks, cursors WITH HOLD and currval are those of the user
// before it no more. Prepared statements stay. It costs no round trip if the next statement has
// arguments, see [Conn.ExecWithNext]. What [WithOnConnect] has set by SET is
// reset too: put such settings into the connection string.
func CleanSession(ctx context.Context, c *Conn) error {
	if c.c.altered {
		c.c.altered = false
		c.c.renew()
	}
	if c.c.wire != nil && c.c.currentSettings() != c.c.initialSettings {
		c.c.leads.rereads = true
	}
	return c.c.lead(ctx, cleaning...)
}

// cleaning is DISCARD ALL as its documentation lists it, but for DEALLOCATE ALL and DISCARD
// PLANS: what was prepared depends on the session's state no more than it must.
var cleaning = []string{
	"CLOSE ALL", "SET SESSION AUTHORIZATION DEFAULT", "RESET ALL", "UNLISTEN *",
	"SELECT pg_catalog.pg_advisory_unlock_all()", "DISCARD TEMP", "DISCARD SEQUENCES",
}

// PID returns the process ID of the server's backend, as pg_backend_pid() does.
func (c *Conn) PID() uint32 {
	if c.c.wire == nil {
		return 0
	}
	return c.c.wire.PID()
}

// ServerVersion returns the server's version as a number: 150004 is 15.4, as
// libpq's PQserverVersion says it.
func (c *Conn) ServerVersion() int {
	v, _ := c.Parameter("server_version")
	return serverVersion(v)
}

func serverVersion(v string) int {
	var parts [2]int
	for i := range parts {
		n := 0
		for n < len(v) && '0' <= v[n] && v[n] <= '9' {
			n++
		}
		parts[i], _ = strconv.Atoi(v[:n])
		if n == len(v) || v[n] != '.' {
			break
		}
		v = v[n+1:]
	}
	return parts[0]*10000 + parts[1]
}

// Parameter returns the value of a parameter that the server reports by itself,
// such as server_version, TimeZone or standard_conforming_strings, and whether
// it does.
func (c *Conn) Parameter(name string) (value string, ok bool) {
	if c.c.wire == nil {
		return "", false
	}
	return c.c.wire.Parameter(name)
}

// TxStatus returns the transaction status: 'I' idle, 'T' in a transaction, 'E'
// in a failed transaction. A transaction of which no statement has been sent is
// idle for the server.
func (c *Conn) TxStatus() byte {
	if c.c.wire == nil {
		return 0
	}
	return c.c.wire.TxStatus()
}

// SetNoticeHandler calls h for the notices of this connection from now on, also
// for those who get it from the pool later; nil for none. It takes the place of
// pq.SetNoticeHandler, under the rules of [WithNoticeHandler].
func (c *Conn) SetNoticeHandler(h func(*pq.Error)) {
	if c.c.wire != nil {
		c.c.sess.onNotice(h)
	}
}

// SetNotificationHandler is SetNoticeHandler for notifications.
func (c *Conn) SetNotificationHandler(h func(*pq.Notification)) {
	if c.c.wire != nil {
		c.c.sess.onNotification(h)
	}
}

// Stats returns the connection's counters.
func (c *Conn) Stats() Stats {
	s := c.c.stats
	if c.c.wire != nil {
		w := c.c.wire.Stats()
		s.RoundTrips, s.BytesSent, s.BytesReceived = w.RoundTrips, w.BytesSent, w.BytesReceived
	}
	return s
}
