package psyco

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"reflect"
	"slices"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco/internal/sqllex"
	"github.com/psyco-go/psyco/internal/wire"
)

var (
	_ driver.Rows                           = (*rows)(nil)
	_ driver.RowsNextResultSet              = (*rows)(nil)
	_ driver.RowsColumnTypeScanType         = (*rows)(nil)
	_ driver.RowsColumnTypeDatabaseTypeName = (*rows)(nil)
	_ driver.RowsColumnTypeLength           = (*rows)(nil)
	_ driver.RowsColumnTypeNullable         = (*rows)(nil)
	_ driver.RowsColumnTypePrecisionScale   = (*rows)(nil)
)

// rows is an open result. While it is read from the server the connection can
// do nothing else; when another statement comes, what is left of the result is
// read into memory first.
type rows struct {
	c    *conn
	base driver.Rows
	own  reply // base, if lib/pq did not see the answer; decodes rows if they are shared

	shared bool // some of the rows are read without lib/pq
	begun  bool // lib/pq has given a row: it has read no more than that
	call   *call
	text   string     // the statement
	st     *statement // what an error is about, if its text was made of another
	done   bool       // the server has answered in full
	err    error      // how the answer ended, if not well
	more   bool       // it was a part of a cursor's rows, and more may follow

	closed   bool
	buffered bool
	sets     []resultSet // what buffer has read: the current result set first
}

// newRows takes over the rows of a query that was just sent.
func (c *conn) newRows(base driver.Rows, k *call, text string) *rows {
	r := &rows{c: c, base: base, call: k, text: text}
	if base == driver.Rows(&c.reply) {
		r.own = c.reply
		r.base = &r.own
		_ = c.finish(k, nil) // there is nothing left to cancel, and so no error
		r.call = nil
	} else if c.wire.TakesRows() || c.reply.direct != nil || c.reply.bytes {
		r.own, r.shared = c.reply, true
	}
	c.reply.direct, c.reply.bytes = nil, false
	c.rows = r
	c.unclosed++
	return r
}

// newRowsFor is newRows for the rows of st. A text of several statements may fail in the
// middle of its rows, and that has literals if it has arguments.
func (c *conn) newRowsFor(st *statement, base driver.Rows, k *call, text string) *rows {
	r := c.newRows(base, k, text)
	if st.literals != nil {
		r.st = &statement{sql: st.sql, origin: st.origin}
	}
	return r
}

// end notes that the server's answer is complete.
func (r *rows) end(err error) error {
	if r.done {
		return err
	}
	r.done, r.more = true, r.c.wire.PortalSuspended()
	if r.c.rows == r {
		r.c.rows = nil
	}
	r.c.began(err)
	if r.st != nil {
		err = r.c.explain(r.st, err)
	}
	if err = r.c.finish(r.call, err); err != nil {
		r.err = err
	}
	r.c.observe()
	return err
}

func (r *rows) Columns() []string {
	return r.header().Columns()
}

// header is what describes the columns of the current result set.
func (r *rows) header() driver.Rows {
	switch {
	case r.buffered:
		return r.sets[0].header
	case r.own.direct != nil, r.own.bytes:
		return &r.own
	}
	return r.base
}

// next reads a row from the answer.
func (r *rows) next(dest []driver.Value) (err error) {
	defer guard(r.c.wire, &err)
	if r.shared && r.begun {
		if row, ok := r.c.wire.NextRow(); ok {
			if r.own.fields == nil { // of a simple query
				if r.own.fields, err = r.c.wire.TextColumns(); err != nil {
					return err
				}
			}
			return r.own.decode(row, dest)
		}
	}
	if r.own.direct != nil && r.base != driver.Rows(&r.own) {
		err = r.own.direct.read(r.base, dest)
	} else if err = r.base.Next(dest); err == nil && r.base != driver.Rows(&r.own) {
		outlive(dest) // lib/pq has one place for all rows
		if r.own.bytes {
			err = r.own.convert(dest)
		}
	}
	r.begun = err == nil
	return err
}

// closeBase reads what is left of the answer.
func (r *rows) closeBase() (err error) {
	defer guard(r.c.wire, &err)
	return r.base.Close()
}

// Next reads a row. The values are valid until the next call.
func (r *rows) Next(dest []driver.Value) error {
	if r.buffered {
		set := &r.sets[0]
		if len(set.rows) > 0 {
			copy(dest, set.rows[0])
			set.rows[0] = nil
			set.rows = set.rows[1:]
			return nil
		}
		if r.err != nil && len(r.sets) == 1 {
			return r.err
		}
		return io.EOF
	}
	err := r.next(dest)
	switch {
	case err == nil:
		return nil
	case err == io.EOF:
		if !r.HasNextResultSet() {
			if err := r.end(nil); err != nil {
				return err
			}
		}
		return io.EOF
	default:
		return r.fail(err)
	}
}

// fail ends a result that cannot be read any further. A value that lib/pq cannot
// decode leaves it in the middle of the answer, and it would take the rest for
// the answer to the next statement. What breaks the protocol ends the connection.
func (r *rows) fail(err error) error {
	if errors.Is(err, wire.ErrProtocol) {
		r.c.wire.Break(err)
	} else if pq.As(err) == nil {
		_, _ = r.drain() // the first error counts
		_ = r.closeBase()
	}
	return r.end(err)
}

// HasNextResultSet reports whether a result set follows the current one.
func (r *rows) HasNextResultSet() bool {
	if r.buffered {
		return len(r.sets) > 1
	}
	n, ok := r.base.(driver.RowsNextResultSet)
	return ok && n.HasNextResultSet()
}

// NextResultSet goes on to the next result set, or returns io.EOF. What is left of
// the current one is read and dropped.
func (r *rows) NextResultSet() error {
	if r.buffered {
		if len(r.sets) < 2 {
			return cmp.Or(r.err, io.EOF)
		}
		r.sets = r.sets[1:]
		return nil
	}
	for !r.done && !r.HasNextResultSet() {
		if err := r.Next(nil); err != nil && err != io.EOF {
			return err
		}
	}
	if n, ok := r.base.(driver.RowsNextResultSet); ok {
		r.own.fields = nil // those of the last one
		return n.NextResultSet()
	}
	return io.EOF
}

// Close ends the result. What is left of it is read and dropped, or cancelled
// where that loses nothing, see drain.
func (r *rows) Close() error {
	if !r.closed {
		r.closed = true
		r.c.unclosed--
	}
	if r.done {
		r.sets = r.sets[:min(1, len(r.sets))]
		if r.buffered {
			return r.err // nobody may have read so far
		}
		return nil
	}
	canceled, err := r.drain()
	if last := r.closeBase(); err == nil {
		err = last
	}
	err = r.end(err)
	if canceled && pq.As(err, pqerror.QueryCanceled) != nil {
		return nil
	}
	return err
}

// drainLimit is how many bytes of a result are read and dropped before it is
// cheaper to cancel the statement.
const drainLimit = 256 << 10

// drain begins to end an open result. A long one is cancelled, but only where
// that cannot undo anything: outside a transaction, and if the statement is a
// plain SELECT, TABLE or VALUES that calls no function with side effects. It
// reports whether it sent a cancel request, or what went wrong before: lib/pq does
// not tell that again.
func (r *rows) drain() (canceled bool, err error) {
	start := r.c.wire.Stats().BytesReceived
	for r.c.wire.Stats().BytesReceived-start < drainLimit {
		switch err := r.next(nil); err {
		case nil:
		case io.EOF: // or the next result set
			return false, nil
		default:
			return false, err
		}
	}
	r.c.wire.SkipRows()
	if r.c.inTransaction() || !sqllex.ReadsOnly(r.text) {
		return false, nil
	}
	if err := r.c.sess.cancelWithin(r.c.con.grace); err != nil && r.c.sess.link.Cancellable() {
		// The request may still be under way, and would hit the connection's next
		// statement.
		r.c.lost = err
	}
	return true, nil
}

// buffer reads the rest of the result into memory, so that the connection is
// free for another statement. Where goroutines share a connection, one may be scanning the current row
// meanwhile, so that is left where it is, and what is read goes elsewhere.
func (r *rows) buffer() {
	r.c.reply.rows = nil
	if r.shared {
		r.c.wire.KeepRow()
	}
	if d := r.own.direct; d != nil {
		r.own.direct, r.c.wireRow = &wireRow{plan: d.plan, zone: d.zone}, nil
	}
	for {
		set := resultSet{header: snapshot(r)}
		n := len(r.Columns())
		for !r.HasNextResultSet() { // else the caller has read this one to its end
			row := make([]driver.Value, n)
			if err := r.next(row); err != nil {
				if err != io.EOF {
					r.fail(err)
				}
				break
			}
			outlive(row)
			set.rows = append(set.rows, row)
		}
		r.sets = append(r.sets, set)
		if r.done || !r.HasNextResultSet() || r.NextResultSet() != nil {
			break
		}
	}
	if !r.done {
		r.end(r.closeBase())
	}
	r.buffered = true
}

// outlive gives a row memory of its own: lib/pq and wire reuse theirs. And it makes empty what is
// not NULL: lib/pq gives a nil []byte for a bytea without bytes under bytea_output=escape.
func outlive(row []driver.Value) {
	for i, v := range row {
		switch x := v.(type) {
		case []byte:
			row[i] = append(make([]byte, 0, len(x)), x...)
		case *wireRow:
			row[i] = x.kept()
		}
	}
}

// ColumnTypeScanType returns the Go type that lib/pq gives for the column.
func (r *rows) ColumnTypeScanType(i int) reflect.Type {
	if t, ok := r.header().(driver.RowsColumnTypeScanType); ok {
		return t.ColumnTypeScanType(i)
	}
	return reflect.TypeFor[any]()
}

// ColumnTypeDatabaseTypeName returns the name of the column's type, such as
// INT4, or "" if lib/pq does not know it.
func (r *rows) ColumnTypeDatabaseTypeName(i int) string {
	if t, ok := r.header().(driver.RowsColumnTypeDatabaseTypeName); ok {
		return t.ColumnTypeDatabaseTypeName(i)
	}
	return ""
}

// ColumnTypeLength returns the length of a column of variable length, if it has a
// limit. Where it has none lib/pq gives a negative one.
func (r *rows) ColumnTypeLength(i int) (length int64, ok bool) {
	if t, is := r.header().(driver.RowsColumnTypeLength); is {
		length, ok = t.ColumnTypeLength(i)
	}
	if length < 0 {
		return 0, false
	}
	return length, ok
}

// ColumnTypeNullable is unknown with lib/pq.
func (r *rows) ColumnTypeNullable(i int) (nullable, ok bool) {
	if t, ok := r.header().(driver.RowsColumnTypeNullable); ok {
		return t.ColumnTypeNullable(i)
	}
	return false, false
}

// ColumnTypePrecisionScale returns the precision and scale of a numeric column, if it
// has them.
func (r *rows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	if t, is := r.header().(driver.RowsColumnTypePrecisionScale); is {
		precision, scale, ok = t.ColumnTypePrecisionScale(i)
	}
	if !ok {
		return 0, 0, false
	}
	return numericSize(precision, scale)
}

// Result returns the command's result, as lib/pq's rows do, and with the count of a
// tag that lib/pq does not know to have one.
func (r *rows) Result() driver.Result {
	if n, ok := wire.RowsAffected(r.baseTag()); ok {
		return driver.RowsAffected(n)
	}
	if t, ok := r.base.(interface{ Result() driver.Result }); ok {
		return t.Result()
	}
	return driver.ResultNoRows
}

// Tag returns the command tag without its numbers, as lib/pq's rows do.
func (r *rows) Tag() string { return tagWord(r.baseTag()) }

// baseTag returns the command tag as lib/pq's rows give it: whole, if lib/pq does
// not know that it has a count.
func (r *rows) baseTag() string {
	if t, ok := r.base.(interface{ Tag() string }); ok {
		return t.Tag()
	}
	return ""
}

// Rows that an operation has read are given to the program when the operation is
// over and its connection back in the pool: what the program does with them must
// not wait for that connection, and a context that ends meanwhile undoes nothing.

// resultSet is a result set in memory.
type resultSet struct {
	header *header
	rows   [][]driver.Value
	err    error // why there are no more rows: a value that cannot be decoded
}

// header is a copy of the description of a result set's columns.
type header struct {
	names []string
	types []columnType
}

type columnType struct {
	scan             reflect.Type
	name             string
	length           int64
	hasLength        bool
	precision, scale int64
	hasPrecision     bool
}

// snapshot copies the description of r's current result set.
func snapshot(r *rows) *header {
	h := &header{names: slices.Clone(r.Columns())}
	h.types = make([]columnType, len(h.names))
	for i := range h.types {
		t := &h.types[i]
		t.scan = r.ColumnTypeScanType(i)
		t.name = r.ColumnTypeDatabaseTypeName(i)
		t.length, t.hasLength = r.ColumnTypeLength(i)
		t.precision, t.scale, t.hasPrecision = r.ColumnTypePrecisionScale(i)
	}
	return h
}

func (h *header) Columns() []string                       { return h.names }
func (h *header) Next([]driver.Value) error               { return io.EOF }
func (h *header) Close() error                            { return nil }
func (h *header) ColumnTypeScanType(i int) reflect.Type   { return h.types[i].scan }
func (h *header) ColumnTypeDatabaseTypeName(i int) string { return h.types[i].name }
func (h *header) ColumnTypeLength(i int) (int64, bool) {
	return h.types[i].length, h.types[i].hasLength
}
func (h *header) ColumnTypePrecisionScale(i int) (int64, int64, bool) {
	return h.types[i].precision, h.types[i].scale, h.types[i].hasPrecision
}

// memoryResult is the result of an operation whose rows are in memory. A tracer
// counts them as returned.
type memoryResult struct {
	driver.Result
	rows int
}

// eachRow calls a function for each row of a result set in memory, until its first
// error.
type eachRow struct {
	set  resultSet
	call func(row *sql.Rows) error
}

// handOut calls the functions, in their order.
func handOut(all []eachRow) error {
	db := sql.OpenDB(memory{})
	defer db.Close()
	for _, e := range all {
		if err := e.run(db); err != nil {
			return err
		}
	}
	return nil
}

func (e eachRow) run(db *sql.DB) error {
	rows, err := db.Query("", e.set)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := e.call(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

var (
	_ driver.Connector         = memory{}
	_ driver.Conn              = memory{}
	_ driver.QueryerContext    = memory{}
	_ driver.NamedValueChecker = memory{}
)

// memory is a database whose only query returns the result set that is its argument:
// database/sql makes *sql.Rows in no other way.
type memory struct{}

func (m memory) Connect(context.Context) (driver.Conn, error) { return m, nil }
func (memory) Driver() driver.Driver                          { return &Driver{} }
func (memory) Close() error                                   { return nil }
func (memory) CheckNamedValue(*driver.NamedValue) error       { return nil }
func (memory) Prepare(string) (driver.Stmt, error)            { return nil, errMemory }
func (memory) Begin() (driver.Tx, error)                      { return nil, errMemory }

var errMemory = errors.New("psyco: rows in memory have no statements")

func (memory) QueryContext(_ context.Context, _ string, args []driver.NamedValue) (driver.Rows, error) {
	set := args[0].Value.(resultSet)
	return &memoryRows{set.header, set.rows, set.err}, nil
}

// memoryRows are the rows of a result set in memory.
type memoryRows struct {
	*header
	rows [][]driver.Value
	err  error
}

func (r *memoryRows) Next(dest []driver.Value) error {
	if len(r.rows) == 0 {
		return cmp.Or(r.err, io.EOF)
	}
	copy(dest, r.rows[0])
	r.rows[0], r.rows = nil, r.rows[1:]
	return nil
}
