package psyco

import (
	"context"
	"database/sql/driver"
	"errors"
	"slices"
	"strings"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/placeholder"
	"github.com/psyco-go/psyco/internal/sqllex"
	"github.com/psyco-go/psyco/internal/wire"
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
	defer c.maskBadConn(&err)
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	q, err := c.con.rewriter.lookup(text)
	if err != nil {
		return nil, err
	}
	psycopg := q.Style != placeholder.Native
	if c.wire == nil {
		return c.basePrepare(ctx, q)
	}
	if sqllex.Keyword(text) == "COPY" {
		return c.prepareCopy(ctx, text)
	}
	if psycopg && (q.Utility || q.Expands || c.clientBinding()) {
		return &psycopgStmt{c: c, q: q}, nil
	}
	k := c.watch(ctx)
	if !psycopg {
		s := &nativeStmt{c: c, text: q.SQL, redefines: q.redefines}
		err := s.prepare()
		if err = c.finish(k, err); err != nil {
			return nil, q.notPrepared(err)
		}
		return s, nil
	}
	// The types of the parameters are known only with the first arguments, but
	// a mistake in the query should be found here.
	s := &psycopgStmt{c: c, q: q}
	err = c.explain(q.statement(), s.check())
	if err = c.finish(k, err); err != nil {
		return nil, err
	}
	return s, nil
}

// notPrepared is the error for a query that the server would not prepare. Where it has
// ? or :name in the place of a value, that says more than the server's error. What else
// may be meant for a placeholder stands in a literal, where the server takes anything.
func (q *query) notPrepared(err error) error {
	misuse := (*sqllex.Error)(nil)
	pe := pq.As(err)
	if pe == nil || class(pe.Code) != "42" || !errors.As(q.Misuse, &misuse) || misuse.Offset >= len(q.Text) {
		return err
	}
	if at := q.Text[misuse.Offset]; at != '?' && at != ':' {
		return err
	}
	return q.Misuse
}

// nativeStmt is a prepared statement of a native query: lib/pq's, with psyco's
// rules for open rows, contexts and lost connections.
type nativeStmt struct {
	c      *conn
	text   string
	params int
	kept   *prepared // nil where no statement may be kept on the server
	closed bool

	renewals  int  // conn.renewals when it was prepared
	redefines bool // see sqllex.Redefines
}

// prepare has the server parse the statement, and keeps it there if that may be.
func (s *nativeStmt) prepare() error {
	c := s.c
	if c.roams() {
		params, err := c.analyze(s.text, nil)
		s.params = len(params)
		return err
	}
	p, err := c.parse(s.text, nil)
	if err == nil {
		s.params, s.kept, s.renewals = p.stmt.NumInput(), &p, c.renewals
	}
	return err
}

// NumInput returns the number of parameters, as the server counts them.
func (s *nativeStmt) NumInput() int { return s.params }

// Close has the server close its statement, mostly without a round trip: the
// Close message goes with the next statement, see conn.closeStatements.
func (s *nativeStmt) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	if s.c.lost != nil {
		return nil
	}
	s.drop()
	return s.c.closeStatements()
}

func (s *nativeStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (_ driver.Result, err error) {
	defer s.c.maskBadConn(&err)
	res, k, err := runNative(ctx, s, execMode{}, nil, args)
	return res, s.c.finish(k, err)
}

func (s *nativeStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (_ driver.Rows, err error) {
	defer s.c.maskBadConn(&err)
	r, k, err := runNative(ctx, s, queryMode{}, wantedBy(ctx, s.text), args)
	if err != nil {
		return nil, s.c.finish(k, err)
	}
	return s.c.newRows(r, k, s.text), nil
}

// Exec is ExecContext without a context.
func (s *nativeStmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(background, namedValues(args))
}

// Query is QueryContext without a context.
func (s *nativeStmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(background, namedValues(args))
}

func runNative[R any](ctx context.Context, s *nativeStmt, m mode[R], w *wanted, args []driver.NamedValue) (res R, k *call, err error) {
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
	for tries := 0; ; tries++ {
		switch {
		case c.roams():
			s.drop()
		case s.kept != nil && s.renewals != c.renewals:
			s.drop()
			if err := s.prepare(); err != nil {
				return res, k, withoutText(err)
			}
		}
		if s.kept == nil {
			st := statement{sql: s.text, args: args, counted: len(args) == s.params, redefines: s.redefines}
			res, err = run(c, m, &st)
			return res, k, err
		}
		c.text, c.hidden = s.text, s.redefines
		riders := len(c.queue)
		c.ride()
		res, err = runPrepared(c, m, s.kept, w, "", args) // lib/pq's errors of prepared statements have no text
		c.rode(err)
		outdated := err != nil && c.evict(err, c.wire.Bound(), func() { s.renewals-- })
		if !outdated || tries > 0 || !c.again(riders) {
			return res, k, err
		}
		c.behindPooler()
	}
}

// withoutText is an error as the server gives it for a statement that was prepared
// before: lib/pq then has no text to show it in.
func withoutText(err error) error {
	if pe := pq.As(err); pe != nil {
		return withText(pe, "")
	}
	return err
}

// drop gives up the server's statement, but not the text.
func (s *nativeStmt) drop() {
	if s.kept != nil {
		s.c.discard(s.kept.name)
		s.kept = nil
	}
}

// psycopgStmt is a prepared statement of a query with psycopg's placeholders.
// Each list of parameter types that it meets gets a server-side statement of
// its own.
type psycopgStmt struct {
	c        *conn
	q        *query
	variants []variant
	renewals int // conn.renewals when the first of them was prepared
	closed   bool
}

type variant struct {
	sql   string
	types []uint32
	prepared
}

// check prepares the query without declaring types, to find mistakes in it. A
// type that the server cannot infer is not a mistake: whether the query, with text for
// all types, works or has another error depends on the arguments.
func (s *psycopgStmt) check() error {
	c := s.c
	st := &statement{sql: s.q.SQL, types: make([]uint32, s.q.Params), fallback: slices.Repeat([]uint32{pgform.OIDText}, s.q.Params)}
	var types []uint32
	var first *pq.Error
	guard := c.guardParse(true)
	for done := false; !done; {
		_, err := c.analyze(st.sql, types)
		if err == nil {
			break
		}
		pe := pq.As(err)
		if pe == nil {
			return err
		}
		apart, _ := st.splitUp()
		switch {
		case first == nil && clashes(err) && apart != nil:
			st = apart
		case first == nil && openType(err) != nil:
			first, types = pe, st.fallback
		case first != nil && first.Message != pe.Message:
			done = true
		default:
			return err
		}
		if err := guard.undo(); err != nil {
			return err
		}
	}
	guard.release()
	return nil
}

// NumInput leaves the check to the query's own rules, which know names.
func (s *psycopgStmt) NumInput() int { return -1 }

func (s *psycopgStmt) Close() error {
	if !s.closed && s.c.lost == nil {
		s.drop()
		s.closed = true
		return s.c.closeStatements()
	}
	return nil
}

// drop gives up the server's statements.
func (s *psycopgStmt) drop() {
	for _, v := range s.variants {
		s.c.discard(v.name)
	}
	s.variants = nil
}

func (s *psycopgStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (_ driver.Result, err error) {
	defer s.c.maskBadConn(&err)
	var st statement
	res, k, err := runPsycopg(ctx, s, &st, execMode{}, args)
	return res, s.c.finish(k, err)
}

func (s *psycopgStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (_ driver.Rows, err error) {
	defer s.c.maskBadConn(&err)
	st := statement{wanted: wantedBy(ctx, s.q.Text)}
	r, k, err := runPsycopg(ctx, s, &st, queryMode{}, args)
	if err != nil {
		return nil, s.c.finish(k, err)
	}
	return s.c.newRowsFor(&st, r, k, s.q.Text), nil
}

// Exec is ExecContext without a context.
func (s *psycopgStmt) Exec(args []driver.Value) (driver.Result, error) {
	return s.ExecContext(background, namedValues(args))
}

// Query is QueryContext without a context.
func (s *psycopgStmt) Query(args []driver.Value) (driver.Rows, error) {
	return s.QueryContext(background, namedValues(args))
}

func runPsycopg[R any](ctx context.Context, s *psycopgStmt, st *statement, m mode[R], args []driver.NamedValue) (res R, k *call, err error) {
	if s.closed {
		return res, nil, errors.New("psyco: the statement is closed")
	}
	c := s.c
	if err := c.start(ctx); err != nil {
		return res, nil, err
	}
	if err := c.build(st, s.q, args); err != nil {
		return res, nil, err
	}
	k = c.watch(ctx)
	roams := c.roams()
	if roams || s.renewals != c.renewals {
		s.drop()
		s.renewals = c.renewals
	}
	if roams || len(st.args) == 0 { // the latter are bound on the client
		res, err = run(c, m, st)
		return res, k, err
	}
	i := slices.IndexFunc(s.variants, func(v variant) bool {
		return v.sql == st.sql && slices.Equal(v.types, st.types) && v.fits(st)
	})
	fresh := i < 0
	if fresh {
		p, err := c.prepare(st)
		if err != nil {
			return res, k, c.explain(st, err)
		}
		i = len(s.variants)
		s.variants = append(s.variants, variant{strings.Clone(st.sql), slices.Clone(st.types), p})
	}
	c.text, c.hidden = st.sql, st.redefines
	riders := len(c.queue)
	c.ride()
	res, err = runPrepared(c, m, &s.variants[i].prepared, st.wanted, st.sql, st.args)
	c.rode(err)
	if err != nil && c.evict(err, fresh || c.wire.Bound(), s.drop) && c.again(riders) {
		c.behindPooler()
		res, err = runUncached(c, m, st)
	}
	return res, k, c.explain(st, err)
}

// maxClosing is how many statements may wait to be closed by what is sent next.
const maxClosing = 8

// closeStatements has the statements closed that wait for it: in front of what is sent
// next, or in a round trip of their own if many wait, or if the program wants none
// to be kept.
func (c *conn) closeStatements() error {
	waiting := c.wire.Closing()
	if waiting == 0 || waiting <= maxClosing && c.sess.cfg.StatementCacheCapacity > 0 || c.rows != nil || c.copy != nil {
		return nil
	}
	return c.bounded(func() error { return c.roundTrip("", wire.AppendSync(nil)) })
}

func namedValues(args []driver.Value) []driver.NamedValue {
	named := make([]driver.NamedValue, len(args))
	for i, v := range args {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return named
}
