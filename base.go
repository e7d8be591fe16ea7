package psyco

import (
	"context"
	"database/sql/driver"
	"errors"
)

// What follows runs statements on the connections of another driver, behind
// Wrap. Contexts and transactions are that driver's.

// Where that driver cannot run a statement directly, driver.ErrSkip makes
// database/sql prepare it.

func (c *conn) baseExec(ctx context.Context, st *statement) (driver.Result, error) {
	e, ok := c.base.(driver.ExecerContext)
	if !ok {
		return nil, driver.ErrSkip
	}
	return e.ExecContext(ctx, st.sql, baseArguments(st))
}

func (c *conn) baseQuery(ctx context.Context, st *statement) (driver.Rows, error) {
	q, ok := c.base.(driver.QueryerContext)
	if !ok {
		return nil, driver.ErrSkip
	}
	return q.QueryContext(ctx, st.sql, baseArguments(st))
}

func (c *conn) basePrepare(ctx context.Context, q *query) (driver.Stmt, error) {
	var s driver.Stmt
	var err error
	if p, ok := c.base.(driver.ConnPrepareContext); ok {
		s, err = p.PrepareContext(ctx, q.sql)
	} else {
		s, err = c.base.Prepare(q.sql)
	}
	if err != nil {
		return nil, err
	}
	return &baseStmt{Stmt: s, c: c, q: q}, nil
}

var (
	_ driver.StmtExecContext  = (*baseStmt)(nil)
	_ driver.StmtQueryContext = (*baseStmt)(nil)
)

// baseStmt is a statement of the wrapped driver.
type baseStmt struct {
	driver.Stmt
	c *conn
	q *query
}

func (s *baseStmt) NumInput() int {
	if s.q.style != styleNative {
		return -1
	}
	return s.Stmt.NumInput()
}

func (s *baseStmt) bind(args []driver.NamedValue) ([]driver.NamedValue, error) {
	st := statement{}
	if err := s.c.bind(&st, s.q, args); err != nil {
		return nil, err
	}
	if st.sql != s.q.sql {
		return nil, errors.New("psyco: a prepared statement cannot take row lists or literals: run the query without Prepare")
	}
	return baseArguments(&st), nil
}

func (s *baseStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	args, err := s.bind(args)
	if err != nil {
		return nil, err
	}
	if e, ok := s.Stmt.(driver.StmtExecContext); ok {
		return e.ExecContext(ctx, args)
	}
	//lint:ignore SA1019 the only method older drivers have
	return s.Stmt.Exec(plainValues(args))
}

func (s *baseStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	args, err := s.bind(args)
	if err != nil {
		return nil, err
	}
	if q, ok := s.Stmt.(driver.StmtQueryContext); ok {
		return q.QueryContext(ctx, args)
	}
	//lint:ignore SA1019 the only method older drivers have
	return s.Stmt.Query(plainValues(args))
}

func (c *conn) baseBegin(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if b, ok := c.base.(driver.ConnBeginTx); ok {
		return b.BeginTx(ctx, opts)
	}
	if opts != (driver.TxOptions{}) {
		return nil, errors.New("psyco: the wrapped driver has no isolation levels and no read-only transactions")
	}
	//lint:ignore SA1019 the only method older drivers have
	return c.base.Begin()
}

func plainValues(args []driver.NamedValue) []driver.Value {
	values := make([]driver.Value, len(args))
	for i, a := range args {
		values[i] = a.Value
	}
	return values
}
