package psyco

import (
	"context"
	"database/sql/driver"
	"errors"
	"iter"
	"strings"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/sqllex"
)

// ExecMany runs one statement with many rows of arguments and returns how many
// rows of the database it has affected in total (psycopg: executemany). query is
// in any of the placeholder styles; with %(name)s each row is one map or struct.
// Rows that the statement returns are dropped.
//
// The rows travel in chunks of some thousand, each in one network round trip,
// plus one for preparing the statement when the connection sees it first. Memory
// does not grow with their number.
//
// It is all or nothing. In a transaction the rows are part of that; after an
// error roll it back, for rows before the one in question may have been written.
// Otherwise they are a transaction of their own, which an error undoes as a
// whole, so that ExecMany can simply be called again. Only if the connection is
// lost while the commit is under way it is not known whether the rows are there:
// the error then says that they may be, or has ErrCommitUnknown in its chain.
// It is never driver.ErrBadConn once something was sent.
//
// An error about one row is a *RowError. One that came at the commit, such as that of a
// deferred constraint, says that it came there and names no row. An error of rows itself ends ExecMany
// and is in the chain of the one it returns.
//
// ExecMany may read rows while it has the connection, so the iterator must not
// use h if that is a *sql.Tx or *sql.Conn, nor a *sql.DB whose pool has no other. It may use its slice again for the
// next row, and []byte values too; what pointers in it point to must stay as it
// is. Behind Wrap, behind a pooler, with binary_parameters=yes and with binding=client the rows
// are sent one by one, with the same results.
func ExecMany(ctx context.Context, h Handle, query string, rows iter.Seq2[[]any, error]) (int64, error) {
	if err := noCopy(query); err != nil {
		return 0, err
	}
	src, err := newRowSource(rows)
	if err != nil {
		return 0, err
	}
	defer src.stop()
	if err := src.fill(chunkRows); err != nil || src.len() == 0 {
		return 0, err
	}
	var total int64
	_, err = do(ctx, h, "ExecMany", func(ctx context.Context, c *conn) (driver.Result, error) {
		m := many{c: c, src: src, page: 1, limit: chunkRows}
		m.run = func(ctx context.Context) error { return m.execute(ctx, query) }
		err := m.all(c.announce(ctx, query))
		total = m.total
		return driver.RowsAffected(m.total), err
	})
	if err != nil {
		return 0, err
	}
	return total, nil
}

var errNoCopy = errors.New("psyco: COPY is not possible in a pipeline: use CopyFrom, CopyTo or CopyRows")

// noCopy refuses COPY, whose data has no place in a pipeline.
func noCopy(query string) error {
	if sqllex.Keyword(query) == "COPY" {
		return errNoCopy
	}
	return nil
}

// many runs a statement for many rows: what ExecMany and ExecValues have in
// common.
type many struct {
	c     *conn
	src   *rowSource
	page  int                             // rows in a statement
	limit int                             // rows in a chunk
	run   func(ctx context.Context) error // runs the rows of the chunk

	pipe     *pipeline // nil where statements go one by one
	total    int64
	ran      bool // something was written: no retry by database/sql any more
	moved    bool // src is past its first chunk
	outdated bool // the server refused a plan before it ran
}

// all runs all rows, in a transaction.
func (m *many) all(ctx context.Context) error {
	c := m.c
	err := m.attempt(ctx)
	if m.outdated && !m.moved && c.lost == nil && c.again(m.pipe.riders) {
		// Nothing has been kept, and the rows are still there.
		c.behindPooler()
		err = m.attempt(ctx)
	}
	return err
}

func (m *many) attempt(ctx context.Context) (err error) {
	c := m.c
	m.total, m.ran, m.outdated, m.pipe = 0, false, false, nil
	// One exchange is a transaction by itself.
	own := m.src.more || m.src.len() > m.page
	if c.pipelined() {
		m.pipe = newPipeline(c)
		own = m.src.more
		defer func() {
			if err == nil {
				m.pipe.keep()
			} else {
				m.outdated = m.pipe.failed(err)
			}
		}()
	}
	return c.atomically(ctx, own, func() error {
		for {
			if err := m.run(ctx); err != nil {
				return err
			}
			if !m.src.more {
				return nil
			}
			m.moved = true
			if err := m.src.fill(m.limit); err != nil {
				return err
			}
			if err := c.start(ctx); err != nil {
				return c.rolledBack(err)
			}
		}
	})
}

// execute runs query with the rows of the chunk.
func (m *many) execute(ctx context.Context, query string) error {
	c, src := m.c, m.src
	if m.pipe != nil {
		m.pipe.reset()
	}
	for i := range src.len() {
		var st statement
		if err := c.resolve(&st, query, src.arguments(i)); err != nil {
			return src.error(i, 1, err)
		}
		if m.pipe == nil {
			n, _, err := c.once(ctx, &st, false)
			if err != nil {
				return m.failed(i, 1, err)
			}
			m.total += n
			m.ran = true
			continue
		}
		if err := m.pipe.addPrepared(ctx, &st); err != nil {
			return m.failed(i, 1, c.explainPart([]statement{st}, 0, err))
		}
	}
	if m.pipe == nil {
		return nil
	}
	if err := m.pipe.send(ctx); err != nil {
		i := m.pipe.answered
		var st statement
		if pq.As(err) != nil && i < src.len() && c.resolve(&st, query, src.arguments(i)) == nil { // as before
			err = c.explainPart([]statement{st}, 0, err)
		}
		return m.failed(i, 1, err)
	}
	m.ran = true
	for _, n := range m.pipe.affected {
		m.total += n
	}
	return nil
}

// failed turns the error of n rows into the caller's. A lost connection, a
// refused BEGIN or a refused commit is not the fault of a row.
func (m *many) failed(i, n int, err error) error {
	c := m.c
	switch {
	case c.lost != nil || errors.Is(err, driver.ErrBadConn):
		return c.broken(m.ran, err)
	case m.pipe != nil && m.pipe.apart:
		return err
	}
	return m.src.error(i, n, err)
}

// once runs a statement by itself. rows says that its rows are wanted.
func (c *conn) once(ctx context.Context, st *statement, rows bool) (affected int64, set resultSet, err error) {
	if rows {
		return c.onceRows(ctx, st)
	}
	var res driver.Result
	if c.wire == nil {
		res, err = c.baseOnce(ctx, st)
	} else {
		k := c.watch(ctx)
		res, err = run(c, execMode{}, st)
		err = c.finish(k, err)
	}
	if err != nil {
		return 0, set, err
	}
	affected, err = res.RowsAffected()
	if err != nil {
		affected = 0 // of a statement that counts no rows
	}
	return affected, set, nil
}

// onceRows runs a statement and reads its rows into memory.
func (c *conn) onceRows(ctx context.Context, st *statement) (affected int64, set resultSet, err error) {
	if c.wire == nil {
		return c.baseRows(ctx, st)
	}
	k := c.watch(ctx)
	base, err := run(c, queryMode{}, st)
	if err != nil {
		return 0, set, c.finish(k, err)
	}
	r := c.newRowsFor(st, base, k, st.sql)
	r.buffer()
	set = r.sets[0]
	set.err = r.Close()
	if pq.As(set.err) != nil || c.lost != nil {
		return 0, set, set.err
	} // else it is about a value, and the statement has run all the same
	affected, err = r.Result().RowsAffected()
	if err != nil {
		affected = 0
	}
	return affected, set, nil
}

// atomically runs f in the transaction that is open, else in one of its own if
// own says that f alone is not one.
func (c *conn) atomically(ctx context.Context, own bool, f func() error) error {
	if !own || c.inTransaction() {
		return f()
	}
	tx, err := c.BeginTx(ctx, driver.TxOptions{})
	if err != nil {
		return err
	}
	committing := false
	defer func() {
		if !committing {
			// What went wrong is known; if this fails too, the connection is lost,
			// and the server rolls back.
			_ = tx.Rollback()
		}
	}()
	if err := f(); err != nil {
		return err
	}
	committing = true
	switch err = tx.Commit(); {
	case err == nil:
		return nil
	case errors.Is(err, driver.ErrBadConn):
		// From behind Wrap. Not in the chain, because nobody must run f again.
		return &commitError{errLost}
	case c.lost != nil:
		return err
	}
	return &atCommitError{err}
}

// atCommitError is an error that came at the end of an operation's own transaction, such
// as that of a deferred constraint. It belongs to none of the statements.
type atCommitError struct{ err error }

func (e *atCommitError) Error() string {
	return "psyco: at the commit: " + strings.TrimPrefix(e.err.Error(), "psyco: ")
}

func (e *atCommitError) Unwrap() error { return e.err }

var errLost = errors.New("the server closed the connection")

// broken is the error of an operation that has lost its connection. ran says
// that some of it was done.
func (c *conn) broken(ran bool, err error) error {
	switch {
	case ran || c.inTransaction() && !errors.Is(err, driver.ErrBadConn):
		return c.rolledBack(err)
	case c.wire != nil && errors.Is(err, driver.ErrBadConn):
		return errNothingDone
	}
	return err
}

// rolledBack is the error for a connection that was lost within a transaction.
func (c *conn) rolledBack(err error) error {
	var lost *lostError
	switch {
	case errors.As(err, &lost):
	case errors.Is(err, driver.ErrBadConn):
		// Not in the chain: database/sql and others would try again.
		lost = &lostError{errLost}
		if pe := pq.As(err); pe != nil {
			lost.cause = pe
		}
		err = lost
	case c.lost == nil:
		return err
	}
	return &rolledBackError{err, lost}
}

// rolledBackError says that nothing has been written, where lostError cannot.
type rolledBackError struct {
	err  error
	lost *lostError // nil if the server said why
}

func (e *rolledBackError) Error() string {
	cause := e.err
	if e.lost != nil {
		cause = e.lost.cause
	}
	return "psyco: the connection was lost before the end of the transaction, and the server undoes all of it: " + cause.Error()
}

func (e *rolledBackError) Unwrap() error { return e.err }
