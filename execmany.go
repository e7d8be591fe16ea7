package psyco

import (
	"context"
	"database/sql/driver"
	"errors"
	"iter"

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
// the error then says that they may be, or has [ErrCommitUnknown] in its chain.
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
		if i == 0 {
			m.pipe.reserve(src.len())
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
