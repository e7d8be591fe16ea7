package psyco

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"slices"

	"github.com/psyco-go/psyco/internal/placeholder"
)

// What follows runs statements on the connections of another driver, behind
// Wrap. Contexts and transactions are that driver's.

// rewriteObserver is a connection that wants to know what the program wrote for
// the text that it is about to get: psycotest.Mock's.
type rewriteObserver interface{ ObserveRewrite(written, sent string) }

func (c *conn) baseObserves(written, sent string) {
	if o, ok := c.base.(rewriteObserver); ok && written != sent {
		o.ObserveRewrite(written, sent)
	}
}

// Where that driver cannot run a statement directly, driver.ErrSkip makes
// database/sql prepare it.

func (c *conn) baseExec(ctx context.Context, st *statement) (driver.Result, error) {
	e, ok := c.base.(driver.ExecerContext)
	if !ok {
		return nil, driver.ErrSkip
	}
	res, err := e.ExecContext(ctx, st.sql, baseArguments(st))
	return res, c.explain(st, err)
}

func (c *conn) baseQuery(ctx context.Context, st *statement) (driver.Rows, error) {
	q, ok := c.base.(driver.QueryerContext)
	if !ok {
		return nil, driver.ErrSkip
	}
	rows, err := q.QueryContext(ctx, st.sql, baseArguments(st))
	return rows, c.explain(st, err)
}

func (c *conn) basePrepare(ctx context.Context, q *query) (driver.Stmt, error) {
	if q.Expands {
		return nil, errBasePrepare
	}
	c.baseObserves(q.Text, q.SQL)
	var s driver.Stmt
	var err error
	if p, ok := c.base.(driver.ConnPrepareContext); ok {
		s, err = p.PrepareContext(ctx, q.SQL)
	} else {
		s, err = c.base.Prepare(q.SQL)
	}
	if err != nil {
		return nil, q.notPrepared(c.explain(q.statement(), err))
	}
	return &baseStmt{Stmt: s, c: c, q: q}, nil
}

var errBasePrepare = errors.New("psyco: a prepared statement cannot take row lists or literals: run the query without Prepare")

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
	if s.q.Style != placeholder.Native {
		return -1
	}
	return s.Stmt.NumInput()
}

func (s *baseStmt) arguments(st *statement, args []driver.NamedValue) ([]driver.NamedValue, error) {
	if err := s.c.build(st, s.q, args); err != nil {
		return nil, err
	}
	if st.sql != s.q.SQL {
		return nil, errBasePrepare
	}
	return baseArguments(st), nil
}

func (s *baseStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	var st statement
	args, err := s.arguments(&st, args)
	if err != nil {
		return nil, err
	}
	var res driver.Result
	if e, ok := s.Stmt.(driver.StmtExecContext); ok {
		res, err = e.ExecContext(ctx, args)
	} else {
		//lint:ignore SA1019 the only method older drivers have
		res, err = s.Stmt.Exec(plainValues(args))
	}
	return res, s.c.explain(&st, err)
}

func (s *baseStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	var st statement
	args, err := s.arguments(&st, args)
	if err != nil {
		return nil, err
	}
	var rows driver.Rows
	if q, ok := s.Stmt.(driver.StmtQueryContext); ok {
		rows, err = q.QueryContext(ctx, args)
	} else {
		//lint:ignore SA1019 the only method older drivers have
		rows, err = s.Stmt.Query(plainValues(args))
	}
	return rows, s.c.explain(&st, err)
}

func (c *conn) baseBegin(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	var tx driver.Tx
	var err error
	if b, ok := c.base.(driver.ConnBeginTx); ok {
		tx, err = b.BeginTx(ctx, opts)
	} else if opts != (driver.TxOptions{}) {
		err = errors.New("psyco: the wrapped driver has no isolation levels and no read-only transactions")
	} else {
		//lint:ignore SA1019 the only method older drivers have
		tx, err = c.base.Begin()
	}
	if err != nil {
		return nil, err
	}
	c.baseTx = true
	return &baseTx{tx, c}, nil
}

// baseTx is a transaction of the wrapped driver.
type baseTx struct {
	driver.Tx
	c *conn
}

func (t *baseTx) Commit() error {
	t.c.baseTx = false
	return t.Tx.Commit()
}

func (t *baseTx) Rollback() error {
	t.c.baseTx = false
	return t.Tx.Rollback()
}

// baseOnce runs a statement, prepared if the wrapped driver does it no other way.
func (c *conn) baseOnce(ctx context.Context, st *statement) (driver.Result, error) {
	res, err := c.baseExec(ctx, st)
	if err != driver.ErrSkip {
		return res, err
	}
	s, err := c.basePrepare(ctx, nativeQuery(st.sql))
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.(driver.StmtExecContext).ExecContext(ctx, baseArguments(st))
}

// baseRows is baseOnce for a statement with rows. It reads them into memory.
func (c *conn) baseRows(ctx context.Context, st *statement) (affected int64, set resultSet, err error) {
	base, err := c.baseQuery(ctx, st)
	if err == driver.ErrSkip {
		s, err := c.basePrepare(ctx, nativeQuery(st.sql))
		if err != nil {
			return 0, set, err
		}
		defer s.Close()
		base, err = s.(driver.StmtQueryContext).QueryContext(ctx, baseArguments(st))
		if err != nil {
			return 0, set, err
		}
	} else if err != nil {
		return 0, set, err
	}
	defer func() { err = cmp.Or(err, base.Close()) }()
	r := &rows{base: base}
	set.header = snapshot(r)
	for {
		row := make([]driver.Value, len(set.header.names))
		if err := base.Next(row); err == io.EOF {
			if affected, err = r.Result().RowsAffected(); err != nil {
				affected = int64(len(set.rows)) // as far as that driver reports it
			}
			return affected, set, nil
		} else if err != nil {
			return 0, set, err
		}
		for i, v := range row {
			if b, ok := v.([]byte); ok {
				row[i] = slices.Clone(b)
			}
		}
		set.rows = append(set.rows, row)
	}
}

func plainValues(args []driver.NamedValue) []driver.Value {
	values := make([]driver.Value, len(args))
	for i, a := range args {
		values[i] = a.Value
	}
	return values
}
