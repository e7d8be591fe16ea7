package psyco

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

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

	of *txOf // what TxID has found out
}

// BeginTx opens a transaction: plain BEGIN unless an isolation level or
// read-only is asked for, so that the server's default_transaction_ settings
// stay in force.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (_ driver.Tx, err error) {
	defer c.maskBadConn(&err)
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
// the answer comes, [ErrCommitUnknown] is in the error's chain; if it was lost before COMMIT
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
		c.con.dialer.doubts.add(t.of)
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

// atomically runs f in the transaction that is open, else in one of its own if
// own says that f alone is not one.
func (c *conn) atomically(ctx context.Context, own bool, f func() error) error {
	if !own || c.inTransaction() {
		return f()
	}
	tx, err := c.BeginTx(ctx, driver.TxOptions{})
	if err != nil {
		return err
	}
	committing := false
	defer func() {
		if !committing {
			// What went wrong is known; if this fails too, the connection is lost,
			// and the server rolls back.
			_ = tx.Rollback()
		}
	}()
	if err := f(); err != nil {
		return err
	}
	committing = true
	switch err = tx.Commit(); {
	case err == nil:
		return nil
	case errors.Is(err, driver.ErrBadConn):
		// From behind Wrap. Not in the chain, because nobody must run f again.
		return &commitError{errLost}
	case c.lost != nil:
		return err
	}
	return &atCommitError{err}
}

// atCommitError is an error that came at the end of an operation's own transaction, such
// as that of a deferred constraint. It belongs to none of the statements.
type atCommitError struct{ err error }

func (e *atCommitError) Error() string {
	return "psyco: at the commit: " + strings.TrimPrefix(e.err.Error(), "psyco: ")
}

func (e *atCommitError) Unwrap() error { return e.err }

// TxOptions are the properties of a transaction. The zero value leaves all of
// them to the server's default_transaction_ settings.
type TxOptions struct {
	Isolation  sql.IsolationLevel
	ReadOnly   bool
	Deferrable bool // wait for a safe snapshot; has an effect on serializable read-only transactions

	// Snapshot is what [ExportSnapshot] has returned in a transaction that is
	// still open: this one then sees the same data. Isolation must be
	// sql.LevelRepeatableRead or sql.LevelSerializable, without Deferrable. If
	// the server rejects it, the first statement returns the error.
	Snapshot string

	// MaxRetries is how often [InTx] runs its function again after a
	// serialization failure, a deadlock or a lost connection: 0 is 10 times, a
	// negative number never.
	MaxRetries int
}

// A Beginner opens transactions: *sql.DB, *sql.Conn, and what wraps them.
type Beginner interface {
	BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
}

// BeginTx opens a transaction with options that database/sql has no field for.
// A nil opts is the zero [TxOptions]. The transaction is rolled back when ctx
// ends.
func BeginTx(ctx context.Context, db Beginner, opts *TxOptions) (*sql.Tx, error) {
	if opts == nil {
		opts = &TxOptions{}
	}
	if strings.Trim(opts.Snapshot, "0123456789ABCDEF-") != "" {
		return nil, fmt.Errorf("psyco: TxOptions.Snapshot %q is not the name of a snapshot, as ExportSnapshot returns it", opts.Snapshot)
	}
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: opts.Isolation, ReadOnly: opts.ReadOnly})
	if err != nil || !opts.Deferrable && opts.Snapshot == "" {
		return tx, err
	}
	_, err = do(ctx, tx, "BeginTx", func(ctx context.Context, c *conn) (driver.Result, error) {
		ctx = c.announce(ctx, "SET TRANSACTION")
		if opts.Deferrable {
			if err := c.small(ctx, "SET TRANSACTION DEFERRABLE"); err != nil {
				return nil, err
			}
		}
		if opts.Snapshot != "" {
			return driver.RowsAffected(0), c.small(ctx, "SET TRANSACTION SNAPSHOT "+pq.QuoteLiteral(opts.Snapshot))
		}
		return driver.RowsAffected(0), nil
	})
	if err != nil {
		tx.Rollback()
		return nil, err
	}
	return tx, nil
}

// ExportSnapshot makes what tx sees available to other transactions, for
// [TxOptions.Snapshot], as long as tx is open: so that several connections read
// the same state of the database. tx should be repeatable read or serializable,
// else each statement of it sees a snapshot of its own.
func ExportSnapshot(ctx context.Context, tx *sql.Tx) (string, error) {
	var name string
	err := tx.QueryRowContext(ctx, onPrimary+"SELECT pg_catalog.pg_export_snapshot()").Scan(&name)
	return name, err
}

// InTx runs fn in a transaction and commits it, or rolls it back if fn returns
// an error or panics. The error is fn's, or that of the transaction; it is nil
// if fn returns a Rollback.
//
// After a serialization failure (40001), a deadlock (40P01), or a connection
// that was lost before COMMIT was sent, the transaction has not happened: fn
// then runs again in a new one, after a pause that grows from 5 ms to 1 s, at
// most opts.MaxRetries times and until ctx ends. So fn must do nothing outside
// of the transaction that may not happen twice. A session that the server has ended
// because fn left it idle, by idle_in_transaction_session_timeout, is not tried again. A connection that is lost while
// COMMIT is answered is not retried: the error has [ErrCommitUnknown] in its
// chain; [TxID] and Committed find out then.
func InTx(ctx context.Context, db Beginner, opts *TxOptions, fn func(tx *sql.Tx) error) error {
	retries := 10
	if opts != nil && opts.MaxRetries != 0 {
		retries = max(opts.MaxRetries, 0)
	}
	pause := 5 * time.Millisecond
	for {
		err := inTx(ctx, db, opts, fn)
		if err == nil || retries == 0 || !retryable(err) {
			return err
		}
		retries--
		t := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
			t.Stop()
			return err
		case <-t.C:
		}
		pause = min(2*pause, time.Second)
	}
}

func inTx(ctx context.Context, db Beginner, opts *TxOptions, fn func(tx *sql.Tx) error) error {
	tx, err := BeginTx(ctx, db, opts)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a panic; else the transaction is over by then
	if err := fn(tx); err != nil {
		if rerr := tx.Rollback(); rerr != nil && !errors.Is(rerr, sql.ErrTxDone) && !retryable(rerr) {
			return errors.Join(err, rerr)
		}
		if err == Rollback("") || err == RollbackTx {
			return nil
		}
		return err
	}
	return tx.Commit()
}

// retryable reports whether err says that a transaction did not happen and may
// succeed if tried again.
func retryable(err error) bool {
	if errors.Is(err, ErrCommitUnknown) {
		return false
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if pq.As(err, pqerror.IdleInTransactionSessionTimeout) != nil {
		return false // which fn has caused itself
	}
	var lost *lostError
	var undone *rolledBackError
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, errNotSent) || errors.As(err, &lost) || errors.As(err, &undone) {
		return true
	}
	return pq.As(err, pqerror.TRSerializationFailure, pqerror.TRDeadlockDetected,
		pqerror.AdminShutdown, pqerror.CrashShutdown) != nil
}
