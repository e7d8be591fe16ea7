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
