package psyco

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"github.com/psyco-go/psyco/internal/wire"
)

// lib/pq does not expect that reading a message can go wrong, and panics. wire has
// checked each message before, but not what the values in it mean; and a panic in
// the middle of an answer would leave database/sql with a connection and locks that
// are never given back. So every call into lib/pq is guarded.

// guard, deferred, makes a panic of lib/pq or of psyco's own reading an error that
// costs the connection. One of the program's own code goes on, but the connection
// is lost: it is in the middle of an answer.
func guard(w *wire.Conn, err *error) {
	v := recover()
	if v == nil {
		return
	}
	if w.InCallback() {
		w.Break(errCallback)
		panic(v)
	}
	w.Break(fmt.Errorf("psyco: %w: reading what the server sent panicked: %v", wire.ErrProtocol, v))
	*err = w.Err()
}

var errCallback = errors.New("psyco: a function of the program panicked in the middle of an answer")

// libpq is lib/pq's connection, guarded.
type libpq struct {
	driver.Conn
	wire *wire.Conn
}

var (
	_ driver.ExecerContext      = (*libpq)(nil)
	_ driver.QueryerContext     = (*libpq)(nil)
	_ driver.ConnPrepareContext = (*libpq)(nil)
	_ driver.Pinger             = (*libpq)(nil)
	_ driver.NamedValueChecker  = (*libpq)(nil)
	_ driver.Validator          = (*libpq)(nil)
)

func (c *libpq) ExecContext(ctx context.Context, sql string, args []driver.NamedValue) (_ driver.Result, err error) {
	defer guard(c.wire, &err)
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, sql, args)
}

// QueryContext returns rows that are not guarded: see rows.next.
func (c *libpq) QueryContext(ctx context.Context, sql string, args []driver.NamedValue) (_ driver.Rows, err error) {
	defer guard(c.wire, &err)
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, sql, args)
}

func (c *libpq) PrepareContext(ctx context.Context, sql string) (_ driver.Stmt, err error) {
	defer guard(c.wire, &err)
	s, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, sql)
	if err != nil {
		return nil, err
	}
	return &libpqStmt{s, c.wire}, nil
}

func (c *libpq) Ping(ctx context.Context) (err error) {
	defer guard(c.wire, &err)
	return c.Conn.(driver.Pinger).Ping(ctx)
}

func (c *libpq) Close() (err error) {
	defer guard(c.wire, &err)
	return c.Conn.Close()
}

// IsValid reports whether lib/pq can go on. It cannot after an answer that it did not
// understand.
func (c *libpq) IsValid() bool { return c.Conn.(driver.Validator).IsValid() }

func (c *libpq) CheckNamedValue(v *driver.NamedValue) error {
	return c.Conn.(driver.NamedValueChecker).CheckNamedValue(v)
}

// libpqStmt is lib/pq's prepared statement or pq.CopyIn, guarded.
type libpqStmt struct {
	driver.Stmt
	wire *wire.Conn
}

var (
	_ driver.StmtExecContext  = (*libpqStmt)(nil)
	_ driver.StmtQueryContext = (*libpqStmt)(nil)
)

func (s *libpqStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (_ driver.Result, err error) {
	defer guard(s.wire, &err)
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s *libpqStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (_ driver.Rows, err error) {
	defer guard(s.wire, &err)
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

// Exec is pq.CopyIn's only method.
func (s *libpqStmt) Exec(args []driver.Value) (_ driver.Result, err error) {
	defer guard(s.wire, &err)
	//lint:ignore SA1019 see above
	return s.Stmt.Exec(args)
}

// CopyData is pq.CopyIn's.
func (s *libpqStmt) CopyData(ctx context.Context, line string) (_ driver.Result, err error) {
	defer guard(s.wire, &err)
	return s.Stmt.(interface {
		CopyData(context.Context, string) (driver.Result, error)
	}).CopyData(ctx, line)
}

func (s *libpqStmt) Close() (err error) {
	defer guard(s.wire, &err)
	return s.Stmt.Close()
}

// queryRows runs a query of psyco's own and calls each with every row, whose values
// are valid during the call.
func queryRows(w *wire.Conn, base driver.Conn, sql string, each func(row []driver.Value) error) (err error) {
	defer guard(w, &err)
	rows, err := base.(driver.QueryerContext).QueryContext(background, sql, nil)
	if err != nil {
		return err
	}
	row := make([]driver.Value, len(rows.Columns()))
	for err == nil {
		if err = rows.Next(row); err == nil {
			err = each(row)
		}
	}
	if err == io.EOF {
		err = nil
	}
	return errors.Join(err, rows.Close())
}
