package psyco

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/sqllex"
	"github.com/psyco-go/psyco/internal/wire"
)

// CursorOptions are the properties of a cursor, as in DECLARE. The zero value
// leaves them to the server: a cursor that ends with its transaction, and that
// can go backward if its plan makes that cheap.
type CursorOptions struct {
	Scroll   bool // SCROLL: the cursor can go backward, whatever that costs
	NoScroll bool // NO SCROLL: it cannot
	Hold     bool // WITH HOLD: it may be used after its transaction was committed
}

// Cursor is a cursor of the server: psycopg's named cursor. It belongs to the
// connection that it was declared on. Like the handle that it was made with, it
// is for one goroutine at a time.
type Cursor struct {
	h    Handle
	name string
}

// DeclareCursor declares a cursor for a query: SELECT, VALUES, TABLE or WITH.
// Its arguments are those of h.QueryContext. The handle must be a *sql.Tx, or a
// *sql.Conn; on the latter, outside of a transaction, the cursor must be WITH
// HOLD. The name may be any of 1 to 63 bytes; psyco quotes it. A nil opts is
// the zero [CursorOptions].
//
// The server plans a cursor's query for the first rows to come early, see its
// setting cursor_tuple_fraction. Unless it is WITH HOLD, the cursor ends with
// its transaction, and using it after that is pq.Error 34000,
// invalid_cursor_name. A cursor that is WITH HOLD ends with Close or with its
// connection, so a connection must not go back to the pool before; when its
// transaction is committed the server computes all the rows and keeps them. Any
// error fails the transaction, as that of other statements does. Behind a pooler that
// gives each transaction to another session, WITH HOLD is an error.
func DeclareCursor(ctx context.Context, h Handle, name string, opts *CursorOptions, query string, args ...any) (*Cursor, error) {
	if _, ok := h.(interface {
		Conn(context.Context) (*sql.Conn, error)
	}); ok {
		return nil, fmt.Errorf("psyco: cursor %q: each statement of a *sql.DB may run on another connection: declare it on a *sql.Tx or *sql.Conn", name)
	}
	if err := checkCursorName(name); err != nil {
		return nil, err
	}
	if opts == nil {
		opts = &CursorOptions{}
	}
	if opts.Scroll && opts.NoScroll {
		return nil, fmt.Errorf("psyco: cursor %q: Scroll and NoScroll exclude each other", name)
	}
	// The text goes before the query after that was rewritten, so that a name
	// may hold percent signs and errors point into the query as it was given.
	_, err := do(ctx, h, "DeclareCursor", func(ctx context.Context, c *conn) (driver.Result, error) {
		declare := opts.declare(name)
		ctx = c.announce(ctx, declare, query)
		st, err := c.cursorStatement(declare, query, numbered(nil, args))
		if err != nil {
			return nil, err
		}
		if c.wire == nil {
			return c.baseExec(ctx, st)
		}
		if opts.Hold {
			if err := c.needsSession(ctx, fmt.Sprintf("cursor %q, WITH HOLD,", name)); err != nil {
				return nil, err
			}
		}
		k := c.watch(ctx)
		res, err := run(c, execMode{}, st)
		return res, c.finish(k, err)
	})
	if err != nil {
		return nil, err
	}
	return &Cursor{h, name}, nil
}

// checkCursorName refuses names that the server would not keep as they are.
func checkCursorName(name string) error {
	if name == "" || len(name) > 63 || strings.IndexByte(name, 0) >= 0 {
		return fmt.Errorf("psyco: cursor %q: a cursor's name has 1 to 63 bytes, and none of them is NUL", name)
	}
	return nil
}

// declare returns the text that goes before the query.
func (o *CursorOptions) declare(name string) string {
	text := "DECLARE " + pq.QuoteIdentifier(name)
	switch {
	case o.Scroll:
		text += " SCROLL"
	case o.NoScroll:
		text += " NO SCROLL"
	}
	text += " CURSOR "
	if o.Hold {
		text += "WITH HOLD "
	}
	return text + "FOR "
}

// cursorStatement makes a DECLARE statement of a query and its arguments.
func (c *conn) cursorStatement(declare, query string, args []driver.NamedValue) (*statement, error) {
	if keyword := sqllex.Keyword(query); !sqllex.MayBeCursor(keyword) {
		return nil, fmt.Errorf("psyco: a cursor is for SELECT, VALUES, TABLE or WITH, not for %s", cmp.Or(keyword, "this query"))
	}
	if !sqllex.Single(query) {
		return nil, errors.New("psyco: a cursor is for one statement, and this query has several")
	}
	if strings.IndexByte(query, 0) >= 0 {
		return nil, errors.New("psyco: the query holds a NUL byte")
	}
	st := new(statement)
	if err := c.resolve(st, query, args); err != nil {
		return nil, err
	}
	st.sql, st.before = declare+st.sql, declare
	if st.trial != nil {
		st.trial.before = declare
	}
	return st, nil
}

// AdoptCursor takes over a cursor that something else has opened on the
// connection behind h: a function that returns a refcursor, a DECLARE statement,
// or, WITH HOLD, a transaction that has ended since. Nothing is sent; if there
// is no such cursor, using it is pq.Error 34000.
func AdoptCursor(h Handle, name string) *Cursor { return &Cursor{h, name} }

// Name returns the cursor's name, without quotes.
func (cur *Cursor) Name() string { return cur.name }

// Fetch returns the next n rows, or, for n < 0, the -n rows before the current
// one, the nearest first. Fetch with 0 returns the current row again. There
// are fewer rows, or none, where the result ends.
func (cur *Cursor) Fetch(ctx context.Context, n int) (*sql.Rows, error) {
	return cur.fetch(ctx, direction(n))
}

// FetchAll returns all the rows that are left. They are not held in memory
// unless another statement runs while they are read; Rows avoids that too.
func (cur *Cursor) FetchAll(ctx context.Context) (*sql.Rows, error) {
	return cur.fetch(ctx, "FORWARD ALL")
}

func (cur *Cursor) fetch(ctx context.Context, which string) (*sql.Rows, error) {
	if err := checkCursorName(cur.name); err != nil {
		return nil, err
	}
	return cur.h.QueryContext(ctx, cur.sql("FETCH", which))
}

// Rows returns the rows that are left as one result, which fetches n rows at a
// time from the server; n = 0 is 2000, psycopg's itersize. Other statements may
// run while it is read, the cursor's own methods included: they see and move
// the cursor as it stands after what was fetched. When the rows are closed or at
// their end, the cursor stays open.
func (cur *Cursor) Rows(ctx context.Context, n int) (*sql.Rows, error) {
	if n < 0 {
		return nil, fmt.Errorf("psyco: cursor %q: %d rows at a time: need a positive number, or 0 for %d", cur.name, n, defaultBatch)
	}
	if err := checkCursorName(cur.name); err != nil {
		return nil, err
	}
	return doQuery(ctx, cur.h, "Cursor.Rows", func(ctx context.Context, c *conn) (driver.Rows, error) {
		ctx = c.announce(ctx, cur.sql("FETCH", "FORWARD ALL"))
		if c.wire == nil {
			return c.baseQuery(ctx, &statement{sql: cur.sql("FETCH", "FORWARD ALL")})
		}
		return c.stream(&serverRows{c: c, ctx: ctx, name: cur.name, size: n, tx: c.tx, kept: true})
	})
}

// Move skips the next n rows, or goes back by -n rows for n < 0, and returns
// over how many rows it went: fewer than asked for where the result ends.
func (cur *Cursor) Move(ctx context.Context, n int) (int64, error) {
	return cur.move(ctx, direction(n))
}

// ScrollMode is from where Scroll counts.
type ScrollMode int

// The modes of Scroll.
const (
	ScrollRelative ScrollMode = iota // from the current row
	ScrollAbsolute                   // from the first row, which is 1, or with negative numbers from the last, which is -1
)

// Scroll goes to a row, so that it becomes the current one and the next Fetch
// begins behind it, as psycopg's scroll does. It reports whether there is such
// a row; if not, the cursor stands before the first or behind the last row.
func (cur *Cursor) Scroll(ctx context.Context, n int, mode ScrollMode) (bool, error) {
	var how string
	switch mode {
	case ScrollRelative:
		how = "RELATIVE "
	case ScrollAbsolute:
		how = "ABSOLUTE "
	default:
		return false, fmt.Errorf("psyco: cursor %q: unknown ScrollMode %d", cur.name, mode)
	}
	moved, err := cur.move(ctx, how+strconv.Itoa(n))
	return moved == 1, err
}

func (cur *Cursor) move(ctx context.Context, where string) (int64, error) {
	if err := checkCursorName(cur.name); err != nil {
		return 0, err
	}
	res, err := cur.h.ExecContext(ctx, cur.sql("MOVE", where))
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// Close closes the cursor. It may be called at any time: also if the cursor is
// gone, if the transaction has failed, which it leaves as it is, or is over. So
// it can be deferred. It costs a round trip.
//
// Behind Wrap the server gets CLOSE, which does fail on a cursor that is gone.
func (cur *Cursor) Close(ctx context.Context) error {
	if err := checkCursorName(cur.name); err != nil {
		return err
	}
	_, err := do(ctx, cur.h, "Cursor.Close", func(ctx context.Context, c *conn) (driver.Result, error) {
		ctx = c.announce(ctx, "CLOSE ", pq.QuoteIdentifier(cur.name))
		if c.wire == nil {
			return c.baseExec(ctx, &statement{sql: "CLOSE " + pq.QuoteIdentifier(cur.name)})
		}
		k := c.watch(ctx)
		return driver.RowsAffected(0), c.finish(k, c.closeCursor(cur.name))
	})
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

func (cur *Cursor) sql(command, direction string) string {
	return command + " " + direction + " FROM " + pq.QuoteIdentifier(cur.name)
}

// direction is FETCH's and MOVE's for n rows.
func direction(n int) string {
	if n < 0 {
		// The digits alone: there is no int for -n if n is the smallest.
		return "BACKWARD " + strconv.Itoa(n)[1:]
	}
	return "FORWARD " + strconv.Itoa(n)
}

// closeCursor closes a cursor with the protocol's Close message. A cursor is a
// portal; unlike CLOSE, the message is not an error if there is none of that name,
// and it is taken in a failed transaction.
func (c *conn) closeCursor(name string) error {
	return c.exchangeAlone(wire.AppendClose(nil, 'P', name), func(byte, []byte) error { return nil })
}
