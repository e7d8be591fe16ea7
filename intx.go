package psyco

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// TxOptions are the properties of a transaction. The zero value leaves all of
// them to the server's default_transaction_ settings.
type TxOptions struct {
	Isolation  sql.IsolationLevel
	ReadOnly   bool
	Deferrable bool // wait for a safe snapshot; has an effect on serializable read-only transactions

	// MaxRetries is how often InTx runs its function again after a
	// serialization failure, a deadlock or a lost connection: 0 is 10 times, a
	// negative number never.
	MaxRetries int
}

// A Beginner opens transactions: *sql.DB, *sql.Conn, and what wraps them.
type Beginner interface {
	BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
}

// BeginTx opens a transaction with options that database/sql has no field for.
// A nil opts is the zero TxOptions. The transaction is rolled back when ctx
// ends.
func BeginTx(ctx context.Context, db Beginner, opts *TxOptions) (*sql.Tx, error) {
	if opts == nil {
		opts = &TxOptions{}
	}
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: opts.Isolation, ReadOnly: opts.ReadOnly})
	if err != nil || !opts.Deferrable {
		return tx, err
	}
	_, err = do(ctx, tx, "BeginTx", func(ctx context.Context, c *conn) (driver.Result, error) {
		return driver.RowsAffected(0), c.small(ctx, "SET TRANSACTION DEFERRABLE")
	})
	if err != nil {
		tx.Rollback()
		return nil, err
	}
	return tx, nil
}

// InTx runs fn in a transaction and commits it, or rolls it back if fn returns
// an error or panics. The error is fn's, or that of the transaction.
//
// After a serialization failure (40001), a deadlock (40P01), or a connection
// that was lost before COMMIT was sent, the transaction has not happened: fn
// then runs again in a new one, after a pause that grows from 5 ms to 1 s, at
// most opts.MaxRetries times and until ctx ends. So fn must do nothing outside
// of the transaction that may not happen twice. A connection that is lost while
// COMMIT is answered is not retried: the error has ErrCommitUnknown in its
// chain.
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
	var lost *lostError
	if errors.Is(err, driver.ErrBadConn) || errors.As(err, &lost) {
		return true
	}
	return pq.As(err, pqerror.TRSerializationFailure, pqerror.TRDeadlockDetected,
		pqerror.AdminShutdown, pqerror.CrashShutdown) != nil
}

// Savepoint runs fn under a savepoint of tx: if fn returns an error or panics,
// what it did in the database is undone and tx can go on; the error is fn's. It
// may be nested. The SAVEPOINT statement goes with fn's first statement that
// has arguments, and costs no round trip then.
func Savepoint(ctx context.Context, tx *sql.Tx, fn func(tx *sql.Tx) error) (err error) {
	var name string
	_, err = do(ctx, tx, "Savepoint", func(ctx context.Context, c *conn) (driver.Result, error) {
		c.savepoints++
		name = "psyco_" + strconv.Itoa(c.savepoints)
		return driver.RowsAffected(0), c.small(ctx, "SAVEPOINT "+name)
	})
	if err != nil {
		return err
	}
	finished := false
	defer func() {
		if !finished {
			rollbackTo(ctx, tx, name)
		}
	}()
	if err := fn(tx); err != nil {
		finished = true
		if rerr := rollbackTo(ctx, tx, name); rerr != nil && !errors.Is(rerr, sql.ErrTxDone) {
			return errors.Join(err, rerr)
		}
		return err
	}
	finished = true
	_, err = do(ctx, tx, "Savepoint", func(ctx context.Context, c *conn) (driver.Result, error) {
		return driver.RowsAffected(0), c.release(ctx, name)
	})
	return err
}

func rollbackTo(ctx context.Context, tx *sql.Tx, name string) error {
	// The undoing must happen even if ctx has ended: tx itself may go on.
	_, err := do(context.WithoutCancel(ctx), tx, "Savepoint", func(ctx context.Context, c *conn) (driver.Result, error) {
		return driver.RowsAffected(0), c.rollbackTo(ctx, name)
	})
	return err
}

// small runs a small statement of transaction control: with the next statement
// that can carry it, or at once behind Wrap.
func (c *conn) small(ctx context.Context, sql string) error {
	if c.wire == nil {
		_, err := c.baseExec(ctx, &statement{sql: sql})
		return err
	}
	if !c.inTransaction() {
		return errors.New("psyco: " + sql + " needs an open transaction")
	}
	if c.wire.TxStatus() == 'E' {
		return pq.ErrInFailedTransaction
	}
	c.queue = append(c.queue, sql)
	return nil
}

// release ends a savepoint and keeps what was done under it.
func (c *conn) release(ctx context.Context, name string) error {
	if c.dequeue(name) {
		return nil
	}
	if c.wire != nil && c.wire.TxStatus() == 'E' {
		if err := c.rollbackTo(ctx, name); err != nil {
			return err
		}
		return pq.ErrInFailedTransaction
	}
	return c.small(ctx, "RELEASE SAVEPOINT "+name)
}

// rollbackTo undoes what was done under a savepoint, and ends it.
func (c *conn) rollbackTo(ctx context.Context, name string) error {
	if c.dequeue(name) {
		return nil
	}
	sql := "ROLLBACK TO SAVEPOINT " + name + ";RELEASE SAVEPOINT " + name
	if c.wire == nil {
		_, err := c.baseExec(ctx, &statement{sql: sql})
		return err
	}
	c.queue = c.queue[:0] // releases of savepoints inside this one
	return c.bounded(func() error { return c.simple(sql) })
}

// dequeue drops a savepoint that was not sent yet, with all that came after it:
// no statement has run under it.
func (c *conn) dequeue(name string) bool {
	for i, sql := range c.queue {
		if sql == "SAVEPOINT "+name {
			c.queue = c.queue[:i]
			return true
		}
	}
	return false
}
