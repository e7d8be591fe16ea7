package psyco

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

var _ driver.Rows = (*serverRows)(nil)

// ServerSide is an argument for a query, at any place among the others, that
// makes its rows stay on the server until they are read: they come through a
// cursor, n at a time. With n = 0 psyco chooses, so that a batch takes some
// 256 KiB. What is returned are ordinary *sql.Rows:
//
//	rows, err := tx.Query("SELECT * FROM t WHERE a > %s", 7, psyco.ServerSide(0))
//
// Rows of a plain query are streamed too, but when another statement runs on
// their connection while they are open, psyco has to read what is left of them
// into memory. Here that is at most one batch, so that a result of any size can
// be read in constant memory while other statements run in the same
// transaction.
//
// The query must be a SELECT, VALUES, TABLE or WITH that changes nothing. The
// server plans it for the first rows to come early, see its setting
// cursor_tuple_fraction, and without parallel workers. There is a round trip for
// each batch, and two more. An error fails the transaction, as always.
//
// Outside of a transaction the rows have one of their own, which is committed
// when they are at their end or closed. Until then the connection of a *sql.Conn
// runs nothing else.
//
// The argument is for QueryContext and its kin, not for Exec and not for
// prepared statements. Behind Wrap it has no effect.
func ServerSide(n int) driver.Valuer { return serverSide(n) }

type serverSide int

// Value is called where the argument means nothing.
func (serverSide) Value() (driver.Value, error) {
	return nil, errors.New("psyco: ServerSide is for Query and QueryRow of a DB, Conn or Tx of psyco, not for Exec, not for a prepared statement, and not behind a driver that has no NamedValueChecker")
}

// errStreaming is for statements that would run in a transaction that their
// caller has not opened, and would not be committed when they return.
var errStreaming = errors.New("psyco: the rows of a query with ServerSide are open on this connection outside of a transaction: " +
	"close them first, or run both in a transaction")

const (
	defaultBatch = 2000 // rows; psycopg's itersize
	batchBytes   = 256 << 10
	maxBatch     = 100_000
)

// takeServerSide takes ServerSide out of a query's arguments.
func takeServerSide(args []driver.NamedValue) (rest []driver.NamedValue, size int, ok bool) {
	for i := range args {
		if s, is := args[i].Value.(serverSide); is {
			return without(args, i), int(s), true
		}
	}
	return args, 0, false
}

// without returns the arguments without one that is not the statement's.
func without(args []driver.NamedValue, i int) []driver.NamedValue {
	rest := slices.Delete(slices.Clone(args), i, i+1)
	for j := i; j < len(rest); j++ {
		rest[j].Ordinal = j + 1
	}
	return rest
}

// queryServerSide runs a query through a cursor.
func (c *conn) queryServerSide(ctx context.Context, text string, args []driver.NamedValue, size int) (driver.Rows, error) {
	if size < 0 {
		return nil, fmt.Errorf("psyco: ServerSide(%d): need a positive number of rows, or 0 for psyco's choice", size)
	}
	if c.wire == nil {
		st := new(statement)
		if err := c.resolve(st, text, args); err != nil {
			return nil, err
		}
		return c.baseQuery(ctx, st)
	}
	slot := c.takeStream()
	r := &serverRows{c: c, ctx: ctx, slot: slot, name: "psyco_stream_" + strconv.Itoa(slot), size: size, adapt: size == 0}
	st, err := c.cursorStatement("DECLARE "+r.name+" NO SCROLL CURSOR FOR ", text, args)
	if err != nil {
		c.streams[slot] = false
		return nil, err
	}
	if !c.inTransaction() {
		if _, err := c.BeginTx(ctx, driver.TxOptions{}); err != nil {
			c.streams[slot] = false
			return nil, err
		}
		r.own, c.tx.stream = true, true
	}
	r.tx = c.tx
	if len(st.args) == 0 && st.trial == nil {
		r.declare = st
		c.queue = append(c.queue, st.sql) // goes with the first batch
		return c.stream(r)
	}
	k := c.watch(ctx)
	_, err = run(c, execMode{}, st)
	if err = c.finish(k, err); err != nil {
		r.end(err)
		return nil, err
	}
	return c.stream(r)
}

// takeStream takes the first free name for a cursor. Few names make for few
// texts, which the statement cache knows after a while.
func (c *conn) takeStream() int {
	i := slices.Index(c.streams, false)
	if i < 0 {
		i = len(c.streams)
		c.streams = append(c.streams, false)
	}
	c.streams[i] = true
	return i
}

// serverRows is a result that is fetched from a cursor in batches. Each of them
// is an ordinary result, embedded here to describe the columns.
type serverRows struct {
	*rows
	c       *conn
	ctx     context.Context
	name    string     // of the cursor
	slot    int        // of the name in conn.streams
	kept    bool       // the cursor is someone else's and stays open
	declare *statement // that rides in front of the first FETCH, if it does
	tx      *tx        // which the cursor lives in; nil if a statement has opened it
	own     bool       // the transaction was opened for this result
	done    bool

	size  int    // rows of a batch
	adapt bool   // psyco chooses the size
	start uint64 // the bytes that had been received when the batch was asked for
}

// stream fetches the first batch of a cursor.
func (c *conn) stream(r *serverRows) (driver.Rows, error) {
	if r.size == 0 {
		r.size = defaultBatch
	}
	if err := r.fetch(); err != nil {
		r.end(err)
		return nil, err
	}
	return r, nil
}

// fetch asks for the next batch.
func (r *serverRows) fetch() error {
	c := r.c
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if err := c.ready(); err != nil {
		return err
	}
	if !r.kept && c.tx != r.tx {
		return errors.New("psyco: the transaction of these rows, from a query with ServerSide, is over")
	}
	r.start = c.wire.Stats().BytesReceived
	k := c.watch(r.ctx)
	c.ride()
	c.wire.FetchPortal(r.name, uint32(r.size))
	base, err := queryMode{}.text(c, "FETCH", nil)
	c.rode(err)
	if err != nil {
		c.wire.FetchPortal("", 0)
		if r.declare != nil {
			err = c.explain(r.declare, err)
		}
		return c.finish(k, err)
	}
	if r.rows != nil {
		_ = r.rows.Close() // read to its end, and its error was given then
	}
	r.rows = c.newRows(base, k, "FETCH")
	return nil
}

// Next reads a row, and fetches the next batch if need be.
func (r *serverRows) Next(dest []driver.Value) error {
	for !r.done {
		err := r.rows.Next(dest)
		switch {
		case err == nil:
			return nil
		case err != io.EOF:
			r.end(err)
			return err
		case !r.more:
			if err := r.end(nil); err != nil {
				return err
			}
			return io.EOF
		}
		if r.adapt {
			r.size = nextSize(r.size, r.c.wire.Stats().BytesReceived-r.start)
		}
		if err := r.fetch(); err != nil {
			if errors.Is(err, driver.ErrBadConn) {
				err = r.c.rolledBack(err)
			}
			r.end(err)
			return err
		}
	}
	return io.EOF
}

// nextSize chooses the size of the next batch after one of size rows has taken
// some bytes. Statements that ran in between make it too small, which costs
// little.
func nextSize(size int, bytes uint64) int {
	perRow := max(1, bytes/uint64(size))
	return int(min(max(1, batchBytes/perRow), maxBatch))
}

// Close ends the result.
func (r *serverRows) Close() error {
	err := r.rows.Close()
	if r.done {
		return err
	}
	return r.end(err)
}

// end gives the cursor up, and the transaction that was opened for it. err is
// how the result ended. It returns err or, without one, that of the ending.
func (r *serverRows) end(err error) error {
	r.done = true
	if r.kept {
		return err
	}
	c := r.c
	c.streams[r.slot] = false
	switch {
	case c.tx != r.tx || c.lost != nil:
		return err
	case r.own && (err != nil || r.ctx.Err() != nil):
		if rerr := r.tx.Rollback(); err == nil {
			err = rerr
		}
	case r.own:
		err = r.tx.Commit()
	case c.wire.TxStatus() != 'I':
		if c.rows != nil {
			c.rows.buffer()
		}
		if cerr := c.bounded(func() error { return c.closeCursor(r.name) }); err == nil {
			err = cerr
		}
	}
	return err
}
