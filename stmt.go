package psyco

import (
	"context"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/sqllex"
)

var (
	_ driver.Stmt             = (*nativeStmt)(nil)
	_ driver.StmtExecContext  = (*nativeStmt)(nil)
	_ driver.StmtQueryContext = (*nativeStmt)(nil)

	_ driver.Stmt             = (*psycopgStmt)(nil)
	_ driver.StmtExecContext  = (*psycopgStmt)(nil)
	_ driver.StmtQueryContext = (*psycopgStmt)(nil)
)

// PrepareContext makes a prepared statement. COPY … FROM STDIN makes the
// statement that pq.CopyIn is for.
func (c *conn) PrepareContext(ctx context.Context, text string) (_ driver.Stmt, err error) {
	defer c.tell(&err)
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	q, err := c.con.rewriter.lookup(text)
	if err != nil {
		return nil, err
	}
	psycopg := q.style != styleNative
	if c.wire == nil {
		return c.basePrepare(ctx, q)
	}
	if sqllex.Keyword(text) == "COPY" {
		return c.prepareCopy(ctx, text)
	}
	if psycopg && (q.utility || c.clientBinding()) {
		return &psycopgStmt{c: c, q: q}, nil
	}
	k := c.watch(ctx)
	if !psycopg {
		p, err := c.parse(q.sql, nil)
		if err = c.finish(k, err); err != nil {
			return nil, err
		}
		return &nativeStmt{c: c, prepared: p, text: text}, nil
	}
	// The types of the parameters are known only with the first arguments, but
	// a mistake in the query should be found here.
	s := &psycopgStmt{c: c, q: q}
	err = s.check()
	if err = c.finish(k, err); err != nil {
		return nil, err
	}
	return s, nil
}

// nativeStmt is a prepared statement of a native query: lib/pq's, with psyco's
// rules for open rows, contexts and lost connections.
type nativeStmt struct {
	c *conn
	prepared
	text   string
	closed bool
}

// NumInput returns the number of parameters, as the server counts them.
func (s *nativeStmt) NumInput() int { return s.stmt.NumInput() }

// Close lets go of the server's statement. No round trip is spent on it: the
// Close message goes with the next statement that has arguments.
func (s *nativeStmt) Close() error {
	if !s.closed && s.c.lost == nil {
		s.c.wire.PrefixClose(s.name)
	}
	s.closed = true
	return nil
}

func (s *nativeStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (_ driver.Result, err error) {
	defer s.c.tell(&err)
	res, k, err := runNative(ctx, s, execMode{}, args)
	return res, s.c.finish(k, err)
}

func (s *nativeStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (_ driver.Rows, err error) {
	defer s.c.tell(&err)
	r, k, err := runNative(ctx, s, queryMode{}, args)
	if err != nil {
		return nil, s.c.finish(k, err)
	}
	return s.c.open(r, k, s.text), nil
}

// Exec is ExecContext without a context.
func (s *nativeStmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(background, namedValues(args))
}

// Query is QueryContext without a context.
func (s *nativeStmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(background, namedValues(args))
}

func runNative[R any](ctx context.Context, s *nativeStmt, m mode[R], args []driver.NamedValue) (res R, k *call, err error) {
	if s.closed {
		return res, nil, errors.New("psyco: the statement is closed")
	}
	c := s.c
	if err := c.start(ctx); err != nil {
		return res, nil, err
	}
	for i := range args {
		if err := c.nativeValue(&args[i]); err != nil {
			return res, nil, err
		}
	}
	k = c.watch(ctx)
	c.ride()
	res, err = runPrepared(c, m, &s.prepared, "", args) // lib/pq's errors of prepared statements have no text
	c.rode(err)
	return res, k, err
}

// psycopgStmt is a prepared statement of a query with psycopg's placeholders.
// Each list of parameter types that it meets gets a server-side statement of
// its own.
type psycopgStmt struct {
	c        *conn
	q        *query
	variants []variant
	closed   bool
}

type variant struct {
	sql   string
	types []uint32
	prepared
}

// check prepares the query without declaring types, to find mistakes in it. A
// type that the server cannot infer is none: if the query, with text for all
// types, works or has another error, that depends on the arguments.
func (s *psycopgStmt) check() error {
	c := s.c
	st := statement{open: slices.Repeat([]uint32{oidText}, s.q.params)}
	var first *pq.Error
	guard := c.guardParse(true)
	for _, types := range [][]uint32{nil, st.open} {
		p, err := c.parse(s.q.sql, types)
		if err == nil {
			guard.release()
			c.wire.PrefixClose(p.name)
			return nil
		}
		pe := pq.As(err)
		if pe == nil || first == nil && openType(err) == nil {
			return err
		}
		if first != nil && first.Message == pe.Message {
			return err
		}
		if err := guard.undo(); err != nil {
			return err
		}
		first = pe
	}
	guard.release()
	return nil
}

// NumInput leaves the check to the query's own rules, which know names.
func (s *psycopgStmt) NumInput() int { return -1 }

func (s *psycopgStmt) Close() error {
	if !s.closed && s.c.lost == nil {
		for _, v := range s.variants {
			s.c.wire.PrefixClose(v.name)
		}
	}
	s.closed, s.variants = true, nil
	return nil
}

func (s *psycopgStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (_ driver.Result, err error) {
	defer s.c.tell(&err)
	res, k, err := runPsycopg(ctx, s, execMode{}, args)
	return res, s.c.finish(k, err)
}

func (s *psycopgStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (_ driver.Rows, err error) {
	defer s.c.tell(&err)
	r, k, err := runPsycopg(ctx, s, queryMode{}, args)
	if err != nil {
		return nil, s.c.finish(k, err)
	}
	return s.c.open(r, k, s.q.text), nil
}

// Exec is ExecContext without a context.
func (s *psycopgStmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(background, namedValues(args))
}

// Query is QueryContext without a context.
func (s *psycopgStmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(background, namedValues(args))
}

func runPsycopg[R any](ctx context.Context, s *psycopgStmt, m mode[R], args []driver.NamedValue) (res R, k *call, err error) {
	if s.closed {
		return res, nil, errors.New("psyco: the statement is closed")
	}
	c := s.c
	if err := c.start(ctx); err != nil {
		return res, nil, err
	}
	var st statement
	if err := c.bind(&st, s.q, args); err != nil {
		return res, nil, err
	}
	k = c.watch(ctx)
	if len(st.args) == 0 { // bound on the client
		res, err = run(c, m, &st)
		return res, k, err
	}
	i := slices.IndexFunc(s.variants, func(v variant) bool {
		return v.sql == st.sql && slices.Equal(v.types, st.types) && v.fits(&st)
	})
	if i < 0 {
		p, err := c.prepare(&st)
		if err != nil {
			return res, k, err
		}
		i = len(s.variants)
		s.variants = append(s.variants, variant{strings.Clone(st.sql), slices.Clone(st.types), p})
	}
	c.ride()
	res, err = runPrepared(c, m, &s.variants[i].prepared, st.sql, st.args)
	c.rode(err)
	return res, k, err
}

func namedValues(args []driver.Value) []driver.NamedValue {
	named := make([]driver.NamedValue, len(args))
	for i, v := range args {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return named
}
