package psyco

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
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
	ran := false
	res, err := h.ExecContext(ctx, "-- psyco."+name, operation(func(ctx context.Context, c *conn) (driver.Result, error) {
		ran = true
		return op(ctx, c)
	}))
	if err != nil && !ran && isForeign(err) {
		return nil, fmt.Errorf(`psyco: %s needs a handle whose driver is "psyco": %w`, name, err)
	}
	return res, err
}

// doQuery is do for an operation with rows.
func doQuery(ctx context.Context, h Handle, name string, op queryOperation) (*sql.Rows, error) {
	ran := false
	rows, err := h.QueryContext(ctx, "-- psyco."+name, queryOperation(func(ctx context.Context, c *conn) (driver.Rows, error) {
		ran = true
		return op(ctx, c)
	}))
	if err != nil && !ran && isForeign(err) {
		return nil, fmt.Errorf(`psyco: %s needs a handle whose driver is "psyco": %w`, name, err)
	}
	return rows, err
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
		return res, driver.ErrBadConn
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
