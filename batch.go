package psyco

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/psyco-go/psyco/internal/sqllex"
)

// ErrPipelineAborted is the error of statements in a Batch that were not run
// because one before them failed (psycopg: PipelineAborted).
var ErrPipelineAborted = errors.New("psyco: the statement was not run, because another one of the batch failed")

// A BatchError names the statement of a Batch that failed. The server's *pq.Error
// is in its chain.
type BatchError struct {
	Statement int // its number, counted from 1 in the order of Queue
	Query     string
	Err       error
}

func (e *BatchError) Error() string {
	return fmt.Sprintf("psyco: statement %d of the batch: %s", e.Statement, strings.TrimPrefix(e.Err.Error(), "psyco: "))
}

func (e *BatchError) Unwrap() error { return e.Err }

// A Batch is a list of statements that are sent together (psycopg: pipeline
// mode). The zero value is an empty batch. It is not safe for concurrent use.
//
//	var b psyco.Batch
//	b.Queue("INSERT INTO log (line) VALUES (%s)", line)
//	b.Queue("SELECT id, name FROM item WHERE box = %s", box).Each(func(row *sql.Rows) error {
//		…
//	})
//	err := b.Run(ctx, db)
//
// Statements that the connection has run before cost one round trip for all of
// them. Before that, those with arguments are prepared, all in one more.
type Batch struct{ statements []*BatchStatement }

// A BatchStatement is one statement of a Batch.
type BatchStatement struct {
	query    string
	args     []any
	each     func(row *sql.Rows) error
	affected int64
	err      error
}

var errNotRun = errors.New("psyco: the batch has not been run")

// Queue adds a statement at the end. query and args are as in sql.DB.Exec, but
// a query without arguments is one statement, not several. args must stay as they
// are until Run.
func (b *Batch) Queue(query string, args ...any) *BatchStatement {
	s := &BatchStatement{query: query, args: args, err: errNotRun}
	b.statements = append(b.statements, s)
	return s
}

// Each makes Run call f for each row that the statement returns. The rows are
// in memory by then. f may use Columns, ColumnTypes and Scan of row, and the handle;
// see Run for when it is called. Without Each the rows are dropped. Each returns s.
func (s *BatchStatement) Each(f func(row *sql.Rows) error) *BatchStatement {
	s.each = f
	return s
}

// RowsAffected returns how many rows the statement has inserted, updated, deleted
// or returned, or its error: that of the server, or [ErrPipelineAborted].
func (s *BatchStatement) RowsAffected() (int64, error) { return s.affected, s.err }

// Len returns the number of statements.
func (b *Batch) Len() int { return len(b.statements) }

// Run sends the statements, waits for all answers, and then calls the functions
// given to Each, in the order of the statements.
//
// It is all or nothing. In a transaction the statements are part of that, which
// fails if one of them does. Otherwise they are a transaction of their own, and
// after an error none of them has happened, including those before the failed
// one, whose RowsAffected is that of their run if they had run by then; all
// others have [ErrPipelineAborted]. The error of Run is a *BatchError if it is that of
// a statement. An error at the commit, such as that of a deferred constraint, says that
// it came there: every statement has run, but none has happened. If the
// connection is lost while a batch outside a transaction is under way, it is not known
// whether it has happened, and the error says so; it is never driver.ErrBadConn once
// something was sent.
//
// The functions of Each are called if all statements have succeeded. By then the
// connection is given back, and ctx plays no part any more: they may use h, even if its
// pool has but one connection. The first error that one of them returns, or that of a
// value which cannot be decoded, ends the calls and is that of Run; outside a
// transaction the statements stay committed.
//
// A statement with arguments that comes after a CREATE, ALTER, DROP, SET or the
// like in the same batch, and is new to the connection, is prepared when that
// has run, which costs two more round trips. COPY is an error.
// Behind Wrap, behind a pooler, with binary_parameters=yes and with binding=client the statements
// are sent one by one, with the same results. A Batch may be run again.
func (b *Batch) Run(ctx context.Context, h Handle) error {
	if len(b.statements) == 0 {
		return nil
	}
	b.reset()
	for i, s := range b.statements {
		if err := noCopy(s.query); err != nil {
			return b.failed(i, err)
		}
	}
	var sets []resultSet
	_, err := do(ctx, h, "Batch", func(ctx context.Context, c *conn) (_ driver.Result, err error) {
		sets, err = b.run(c.announceBatch(ctx, b), c)
		res := memoryResult{Result: driver.RowsAffected(0)}
		for _, set := range sets {
			res.rows += len(set.rows)
		}
		return res, err
	})
	if err != nil || len(sets) == 0 {
		return err
	}
	all := make([]eachRow, 0, len(sets))
	for _, s := range b.statements {
		if s.each != nil {
			all = append(all, eachRow{sets[len(all)], s.each})
		}
	}
	return handOut(all)
}

// reset makes the statements ready for a run.
func (b *Batch) reset() {
	for _, s := range b.statements {
		s.affected, s.err = 0, errNotRun
	}
}

// failed notes that statement i has failed, and returns the error of Run.
func (b *Batch) failed(i int, err error) error {
	b.abort()
	s := b.statements[i]
	s.affected, s.err = 0, err
	return &BatchError{i + 1, s.query, err}
}

// abort notes that what has not run will not.
func (b *Batch) abort() {
	for _, s := range b.statements {
		if s.err == errNotRun {
			s.err = ErrPipelineAborted
		}
	}
}

// batchRun is one run of a batch on a connection.
type batchRun struct {
	c    *conn
	b    *Batch
	pipe *pipeline // nil where statements go one by one
	sets []resultSet
	ran  bool // something was done: no retry by database/sql any more
}

func (b *Batch) run(ctx context.Context, c *conn) ([]resultSet, error) {
	r := &batchRun{c: c, b: b}
	outdated, err := r.attempt(ctx)
	if outdated && c.lost == nil && c.again(r.pipe.riders) {
		c.behindPooler()
		_, err = r.attempt(ctx)
	}
	return r.sets, err
}

func (r *batchRun) attempt(ctx context.Context) (outdated bool, err error) {
	c, b := r.c, r.b
	b.reset()
	r.sets, r.ran, r.pipe = nil, false, nil
	if !c.pipelined() {
		return false, c.atomically(ctx, len(b.statements) > 1, func() error { return r.oneByOne(ctx) })
	}
	statements, err := r.build()
	if err != nil {
		return false, err
	}
	r.pipe = newPipeline(c)
	plans := make([]*plan, len(statements))
	for i := range statements {
		plans[i] = r.pipe.find(&statements[i])
	}
	parts := cutBatch(statements, plans)
	err = c.atomically(ctx, len(parts) > 1, func() error {
		first := 0
		for _, n := range parts {
			if err := r.part(ctx, first, statements[first:first+n], plans[first:first+n]); err != nil {
				return err
			}
			first += n
		}
		return nil
	})
	if err != nil {
		return r.pipe.failed(err), err
	}
	r.pipe.keep()
	return false, nil
}

// build makes statements of all queries and their arguments, before anything is sent.
func (r *batchRun) build() ([]statement, error) {
	statements := make([]statement, len(r.b.statements))
	for i, s := range r.b.statements {
		st := &statements[i]
		if err := r.c.resolve(st, s.query, numbered(nil, s.args)); err != nil {
			return nil, r.failed(i, err)
		}
		st.types, st.fallback = slices.Clone(st.types), slices.Clone(st.fallback)
	}
	return statements, nil
}

// cutBatch divides a batch where a statement has to be prepared behind one
// that may define what it is about, or again behind one that may change that, and
// returns the sizes of the parts.
func cutBatch(statements []statement, plans []*plan) []int {
	var parts []int
	n, defined, changed := 0, false, false
	for i := range statements {
		if plans[i] != nil && (changed || defined && !plans[i].ready) {
			parts = append(parts, n)
			n, defined, changed = 0, false, false
		}
		sql := statements[i].sql
		defined = defined || !sqllex.IsQuery(sql)
		changed = changed || sqllex.ChangesNames(sql)
		n++
	}
	return append(parts, n)
}

// part runs some of the statements in one exchange. first is the number of the
// first.
func (r *batchRun) part(ctx context.Context, first int, statements []statement, plans []*plan) error {
	p := r.pipe
	p.reset()
	if refused, err := p.prepareSome(ctx, plans); err != nil {
		i := slices.Index(plans, refused)
		return r.failed(first+i, r.c.explainPart(statements, i, err))
	}
	for i := range statements {
		if err := p.add(&statements[i], plans[i], r.b.statements[first+i].each != nil); err != nil {
			return r.failed(first+i, err)
		}
	}
	err := p.send(ctx)
	for i, n := range p.affected {
		r.b.statements[first+i].affected, r.b.statements[first+i].err = n, nil
	}
	if err != nil {
		return r.failed(first+p.answered, r.c.explainPart(statements, p.answered, err))
	}
	r.ran = true
	r.sets = append(r.sets, p.sets...)
	return nil
}

func (r *batchRun) oneByOne(ctx context.Context) error {
	for i, s := range r.b.statements {
		var st statement
		if err := r.c.resolve(&st, s.query, numbered(nil, s.args)); err != nil {
			return r.failed(i, err)
		}
		n, set, err := r.c.once(ctx, &st, s.each != nil)
		if err != nil {
			return r.failed(i, err)
		}
		r.ran = true
		s.affected, s.err = n, nil
		if s.each != nil {
			r.sets = append(r.sets, set)
		}
	}
	return nil
}

// failed notes the error of statement i, and turns it into that of Run. i is of no
// account if the error is that of none.
func (r *batchRun) failed(i int, err error) error {
	c, b := r.c, r.b
	switch {
	case c.lost != nil || errors.Is(err, driver.ErrBadConn):
		err = c.broken(r.ran, err)
		for _, s := range b.statements {
			s.affected, s.err = 0, err
		}
		return err
	case r.pipe != nil && r.pipe.apart:
		b.abort()
		return err
	}
	return b.failed(i, err)
}
