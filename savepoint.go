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
)

// Rollback is an error that the function of Savepoint, [NamedSavepoint] or [InTx]
// returns to have its work undone without an error, as psycopg's Rollback
// exception does: the call returns nil then.
//
// Rollback("") ends with the function that returned it. Rollback("name") goes
// through inner savepoints, if their callers return it as they got it, up to the
// savepoint of that name, and undoes all that was done since. RollbackTx goes up
// to InTx. It must not be wrapped in another error.
type Rollback string

// RollbackTx undoes the whole transaction of [InTx].
const RollbackTx Rollback = "\x00"

func (r Rollback) Error() string {
	switch r {
	case "":
		return "psyco: a Rollback that is not the error of a function of Savepoint or InTx"
	case RollbackTx:
		return "psyco: a Rollback of the transaction, in one that InTx has not opened"
	}
	return fmt.Sprintf("psyco: a Rollback to the savepoint %q, and no savepoint of that name is open", string(r))
}

// Savepoint runs fn under a savepoint of tx: if fn returns an error or panics,
// what it did in the database is undone and tx can go on; the error is fn's, or
// nil if that is a Rollback. It may be nested. The SAVEPOINT statement goes with
// fn's first statement that has arguments, and costs no round trip then.
//
// Savepoints end in the opposite order of their beginnings. When goroutines that
// share tx break that order, the calls that did return an error that says so;
// what was done under them must be taken for unknown, and tx be rolled back.
func Savepoint(ctx context.Context, tx *sql.Tx, fn func(tx *sql.Tx) error) (err error) {
	return savepoint(ctx, tx, "", fn)
}

// NamedSavepoint is Savepoint with a name for Rollback. The name is psyco's own,
// the server does not see it. If savepoints of one name are nested, it means
// the innermost.
func NamedSavepoint(ctx context.Context, tx *sql.Tx, name string, fn func(tx *sql.Tx) error) error {
	if name == "" || Rollback(name) == RollbackTx {
		return fmt.Errorf("psyco: %q cannot be the name of a savepoint", name)
	}
	return savepoint(ctx, tx, Rollback(name), fn)
}

func savepoint(ctx context.Context, tx *sql.Tx, label Rollback, fn func(tx *sql.Tx) error) (err error) {
	var name string
	_, err = do(ctx, tx, "Savepoint", func(ctx context.Context, c *conn) (driver.Result, error) {
		ctx = c.announce(ctx, "SAVEPOINT")
		c.savepoints++
		name = "psyco_" + strconv.Itoa(c.savepoints)
		if err := c.small(ctx, "SAVEPOINT "+name); err != nil {
			return nil, err
		}
		c.nested = append(c.nested, name)
		return driver.RowsAffected(0), nil
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
		if err == Rollback("") || label != "" && err == label {
			return nil
		}
		return err
	}
	finished = true
	_, err = do(ctx, tx, "Savepoint", func(ctx context.Context, c *conn) (driver.Result, error) {
		ctx = c.announce(ctx, "RELEASE SAVEPOINT ", name)
		if err := c.unnest(name); err != nil {
			return nil, err
		}
		return driver.RowsAffected(0), c.release(ctx, name)
	})
	return err
}

func rollbackTo(ctx context.Context, tx *sql.Tx, name string) error {
	// The undoing must happen even if ctx has ended: tx itself may go on.
	_, err := do(context.WithoutCancel(ctx), tx, "Savepoint", func(ctx context.Context, c *conn) (driver.Result, error) {
		ctx = c.announce(ctx, "ROLLBACK TO SAVEPOINT ", name)
		i := slices.Index(c.nested, name)
		if i < 0 {
			return nil, c.unnest(name)
		}
		inner := len(c.nested) - i - 1
		c.nested = c.nested[:i] // the server drops the inner ones too
		if err := c.rollbackTo(ctx, name); err != nil {
			return nil, err
		}
		if inner > 0 {
			return nil, outOfOrder("was rolled back", inner)
		}
		return driver.RowsAffected(0), nil
	})
	return err
}

// unnest notes the end of a savepoint, which should be the innermost.
func (c *conn) unnest(name string) error {
	i := slices.Index(c.nested, name)
	if i < 0 {
		return errors.New("psyco: the savepoint is gone, and what was done under it undone: an outer one was rolled back, or the transaction ended, while its function ran")
	}
	inner := len(c.nested) - i - 1
	c.nested = slices.Delete(c.nested, i, i+1)
	if inner > 0 {
		return outOfOrder("ended", inner)
	}
	return nil
}

func outOfOrder(what string, inner int) error {
	return fmt.Errorf("psyco: savepoints out of order: one %s while %d inside of it were still open; a transaction is for one goroutine at a time", what, inner)
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
