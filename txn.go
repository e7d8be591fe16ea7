package psyco

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

var _ driver.Tx = (*tx)(nil)

type txState int

const (
	txPending txState = iota // BEGIN waits for the first statement
	txOpen
	txEnded
)

// tx is an open transaction. Its BEGIN is sent with the first statement, so
// that it costs no round trip and an empty transaction none at all.
type tx struct {
	c      *conn
	ctx    context.Context // BeginTx's: when it ends, the running statement is cancelled
	state  txState
	failed error // why BEGIN failed: nothing may run in its place
	stream bool  // opened for a result of ServerSide, and ends with that

	prepare    string // PREPARE TRANSACTION …, to be sent in place of COMMIT
	prepareCtx context.Context
}

// BeginTx opens a transaction: plain BEGIN unless an isolation level or
// read-only is asked for, so that the server's default_transaction_ settings
// stay in force.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (_ driver.Tx, err error) {
	defer c.tell(&err)
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	c.nested = c.nested[:0]
	if c.wire == nil {
		return c.baseBegin(ctx, opts)
	}
	begin, err := beginStatement(opts)
	if err != nil {
		return nil, err
	}
	if c.wire.TxStatus() != 'I' {
		return nil, errors.New("psyco: the connection is in a transaction already, by a BEGIN statement: end it with COMMIT or ROLLBACK")
	}
	c.tx = &tx{c: c, ctx: ctx}
	c.queue = append(c.queue[:0], begin)
	return c.tx, nil
}

func beginStatement(opts driver.TxOptions) (string, error) {
	begin := "BEGIN"
	switch level := sql.IsolationLevel(opts.Isolation); level {
	case sql.LevelDefault:
	case sql.LevelReadUncommitted, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable:
		begin += " ISOLATION LEVEL " + strings.ToUpper(level.String())
	default:
		return "", fmt.Errorf("psyco: isolation level not supported: %s; PostgreSQL has "+
			"Read Uncommitted, Read Committed, Repeatable Read and Serializable", level)
	}
	if opts.ReadOnly {
		begin += " READ ONLY"
	}
	return begin, nil
}

// Commit ends the transaction. If a statement in it failed, it is rolled back
// and the error is pq.ErrInFailedTransaction. If the connection is lost before
// the answer comes, ErrCommitUnknown is in the error's chain; if it was lost before COMMIT
// went out, the error says that the server undoes the transaction.
func (t *tx) Commit() error {
	c := t.c
	if done, err := t.end(); done {
		return err
	}
	if c.wire.TxStatus() == 'E' {
		c.tx = nil
		if err := c.bounded(func() error { return c.simple("ROLLBACK") }); err != nil {
			return err
		}
		return pq.ErrInFailedTransaction
	}
	if t.prepare != "" {
		return t.finishPrepare()
	}
	k := c.watch(t.ctx)
	c.tx = nil
	err := c.finish(k, c.simple("COMMIT"))
	switch {
	case err == nil && c.wire.CommandTag() != "COMMIT":
		return pq.ErrInFailedTransaction
	case c.undone(err):
		return c.rolledBack(err)
	case err != nil && c.lost != nil:
		return &commitError{err}
	}
	return err
}

// undone reports whether err, of a COMMIT or the like, says that the connection was lost
// before the server has seen it.
func (c *conn) undone(err error) bool {
	return c.lost != nil && (errors.Is(err, driver.ErrBadConn) || pq.As(err, pqerror.IdleInTransactionSessionTimeout) != nil)
}

// Rollback ends the transaction and undoes what it did.
func (t *tx) Rollback() error {
	c := t.c
	if done, err := t.end(); done {
		if err == errPrepared {
			return err // nothing is undone
		}
		return nil
	}
	c.tx = nil
	return c.bounded(func() error { return c.simple("ROLLBACK") })
}

// end does what Commit and Rollback have in common, and reports whether there
// is no transaction on the server to end.
func (t *tx) end() (done bool, err error) {
	c := t.c
	if c.tx != t {
		return true, sql.ErrTxDone
	}
	if c.copy != nil {
		c.copy.Close()
	}
	if c.rows != nil {
		c.rows.buffer()
	}
	c.queue = c.queue[:0]
	c.answered()
	state := t.state
	t.state = txEnded
	switch {
	case t.failed != nil:
		c.tx = nil
		return true, t.failed
	case c.lost != nil:
		c.tx = nil
		return true, c.rolledBack(c.lost)
	case state == txPending:
		c.tx = nil
		return true, nil
	case c.wire.TxStatus() == 'I':
		c.tx = nil
		return true, errors.New("psyco: the transaction was ended before, by a COMMIT or ROLLBACK statement")
	}
	return false, nil
}

// commitError is the error of a COMMIT whose answer was lost.
type commitError struct{ cause error }

func (e *commitError) Error() string   { return ErrCommitUnknown.Error() + ": " + e.cause.Error() }
func (e *commitError) Unwrap() []error { return []error{ErrCommitUnknown, e.cause} }
