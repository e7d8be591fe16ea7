package psyco

import (
	"context"
	"database/sql/driver"

	"github.com/lib/pq"
)

var (
	_ driver.Stmt            = (*copyStmt)(nil)
	_ driver.StmtExecContext = (*copyStmt)(nil)
)

// copyStmt is the statement that lib/pq makes of COPY … FROM STDIN, usually
// written by pq.CopyIn: each Exec with arguments adds a row, an Exec without
// arguments sends what is left and ends the COPY.
type copyStmt struct {
	c    *conn
	base driver.Stmt
}

func (c *conn) prepareCopy(ctx context.Context, text string) (driver.Stmt, error) {
	if err := c.checkEncoding(); err != nil {
		return nil, err
	}
	k := c.watch(ctx)
	if err := c.flush(); err != nil {
		return nil, c.finish(k, err)
	}
	c.wire.AllowCopyIn(true)
	base, err := c.base.(driver.ConnPrepareContext).PrepareContext(background, text)
	c.wire.AllowCopyIn(false)
	if err = c.finish(k, err); err != nil {
		return nil, err
	}
	c.copy = &copyStmt{c: c, base: base}
	return c.copy, nil
}

// NumInput leaves the number of values to the server.
func (s *copyStmt) NumInput() int { return -1 }

// ExecContext adds a row, or, without arguments, ends the COPY and returns the
// number of rows that were loaded. When ctx ends, the COPY fails.
func (s *copyStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	values := make([]driver.Value, len(args))
	for i := range args {
		if err := s.c.nativeValue(&args[i]); err != nil {
			return nil, err
		}
		values[i] = args[i].Value
	}
	k := s.c.watch(ctx)
	//lint:ignore SA1019 the only method lib/pq's statement has
	res, err := s.base.Exec(values)
	if len(args) == 0 {
		s.over()
	}
	return res, s.c.finish(k, err)
}

// Exec is ExecContext without a context.
func (s *copyStmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(background, namedValues(args))
}

// Query is refused, as lib/pq does.
func (s *copyStmt) Query([]driver.Value) (driver.Rows, error) { return nil, pq.ErrNotSupported }

// CopyData adds a line that is in COPY's text format already, as lib/pq's
// statement does.
func (s *copyStmt) CopyData(ctx context.Context, line string) (driver.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	res, err := s.base.(interface {
		CopyData(context.Context, string) (driver.Result, error)
	}).CopyData(background, line)
	return res, s.c.fault(err)
}

// Close before the COPY was ended with an Exec without arguments fails it:
// half of the rows must not look like all of them.
func (s *copyStmt) Close() error {
	if s.c.copy != s {
		return s.base.Close()
	}
	s.c.wire.FailCopy("psyco: the COPY statement was closed before its last Exec without arguments")
	err := s.base.Close()
	s.over()
	return s.c.fault(err)
}

func (s *copyStmt) over() {
	if s.c.copy == s {
		s.c.copy = nil
	}
}
