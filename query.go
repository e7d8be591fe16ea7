package psyco

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"iter"
	"reflect"
	"slices"
	"time"
	"unsafe"
)

// Query runs a query and gives its rows as values of type T (psycopg: row factories). It
// runs when the loop begins, each time anew; an error is the last thing that comes.
// Leaving the loop closes the rows, as Rows.Close does.
//
//	for client, err := range psyco.Query[Client](ctx, db, "SELECT * FROM clients WHERE id IN %s", ids) {
//
// T may be
//
//   - a struct, or a pointer to one: each column goes to the field with its name in the
//     db tag, else in snake_case. The fields of embedded structs belong to the struct.
//     Those of a field that is a struct take the columns with its name in front,
//     author_name or author.name; if it is a pointer and all its columns are NULL, it stays nil.
//     A column without a field and a field without a column are errors, unless
//     the field is tagged db:"-" or db:",optional" or [Lax] is among the arguments.
//   - a type that takes one column: whatever [Into] accepts, and any;
//   - []any, a row's values in their order, or map[string]any, by column.
//
// A field is filled as Scan and [Into] do it. Only a pointer, a sql.Null, a slice, a map and
// what has a say in it may take NULL. A field tagged db:",json" is decoded with
// encoding/json, as a [JSON] is.
//
// An any is given a value that one can use: int64, float64, bool, string, time.Time
// (infinite ones [Timestamp] or [Date]), []byte for bytea only, [Numeric], [Interval], what
// encoding/json makes of json, a string for a uuid, an enum or any other type, and for an
// array a slice of these: []int64, []string, with NULLs []*int64, with more dimensions [][]int64.
//
// h may be whatever runs queries, also on other drivers. On psyco's own connections the
// rows of a text that was used before come in the binary format and are decoded into the
// fields without a detour by database/sql; the strings of a row then share their memory. For
// that the text is prepared one use earlier than others, and without arguments, too; a
// float is then exact whatever extra_float_digits says. [ServerSide] among the
// arguments works as always.
func Query[T any](ctx context.Context, h Handle, query string, args ...any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		r, err := openRows[T](ctx, h, query, args)
		if err != nil {
			var none T
			yield(none, err)
			return
		}
		defer r.close()
		r.each(yield, true)
	}
}

// QueryAll is [Query] for all rows at once. Without rows the slice is empty, not nil.
func QueryAll[T any](ctx context.Context, h Handle, query string, args ...any) ([]T, error) {
	r, err := openRows[T](ctx, h, query, args)
	if err != nil {
		return nil, err
	}
	defer r.close()
	for r.next() {
	}
	if err := r.close(); err != nil {
		return nil, err
	}
	if r.full == nil {
		return r.items, nil
	}
	return slices.Concat(append(r.full, r.items)...), nil
}

// ErrTooManyRows is the error of [QueryOne] for a query with more than one row.
var ErrTooManyRows = errors.New("psyco: QueryOne met a second row: add LIMIT 1 to the query, or use QueryAll")

// QueryOne is [Query] for exactly one row. Without one the error is sql.ErrNoRows, with
// more [ErrTooManyRows].
func QueryOne[T any](ctx context.Context, h Handle, query string, args ...any) (T, error) {
	var none T
	r, err := openRows[T](ctx, h, query, args)
	if err != nil {
		return none, err
	}
	defer r.close()
	found := r.next()
	many := found && r.next()
	switch err := r.close(); {
	case err != nil:
		return none, err
	case many:
		return none, ErrTooManyRows
	case !found:
		return none, sql.ErrNoRows
	}
	return r.items[0], nil
}

// ScanRows gives the rows of the current result set, which someone else has opened, as
// [Query] does. It does not close them.
func ScanRows[T any](rows *sql.Rows, options ...RowOption) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		r := newTypedRows[T]()
		r.rows = rows
		for _, o := range options {
			o.apply(&r.to)
		}
		r.each(yield, false)
	}
}

// A RowOption is an argument for Query, [QueryAll] and [QueryOne], at any place among those
// of the query, or for [ScanRows].
type RowOption interface {
	driver.Valuer
	apply(*rowScanner)
}

// Lax lets columns without a field pass, and fields without a column keep their zero value.
func Lax() RowOption { return lax{} }

type lax struct{}

func (lax) apply(to *rowScanner) { to.lax = true }

// Value is called where the option means nothing.
func (lax) Value() (driver.Value, error) {
	return nil, errors.New("psyco: Lax is for Query, QueryAll and QueryOne, not for database/sql's own methods")
}

// typedRows are rows on their way into values of type T.
type typedRows[T any] struct {
	rows  *sql.Rows
	to    rowScanner
	items []T // that were decoded and not given out
	first [1]T
	full  [][]T // many items, in the order in which they came, before those

	closed bool
	err    error
}

func newTypedRows[T any]() *typedRows[T] {
	r := &typedRows[T]{to: rowScanner{wanted: wanted{typ: reflect.TypeFor[T]()}}}
	r.items = r.first[:0]
	return r
}

// openRows runs a query.
func openRows[T any](ctx context.Context, h Handle, query string, args []any) (r *typedRows[T], err error) {
	r = newTypedRows[T]()
	args = r.options(args)
	r.to.Context, r.to.query = ctx, query
	r.rows, err = h.QueryContext(&r.to.wanted, query, args...)
	return r, err
}

// options applies those among the arguments of a query, and returns the others.
func (r *typedRows[T]) options(args []any) []any {
	for i := 0; i < len(args); i++ {
		if o, ok := args[i].(RowOption); ok {
			o.apply(&r.to)
			args = slices.Delete(slices.Clone(args), i, i+1)
			i--
		}
	}
	return args
}

// manyItems is from how many items on they are copied once at the end, and not each
// time when there is no more room: append would make five times the memory, in small steps.
const manyItems = 256

// next decodes a row and puts it behind r.items.
func (r *typedRows[T]) next() bool {
	r.to.turn++
	if !r.rows.Next() {
		r.err = r.rows.Err()
		return false
	}
	if n := cap(r.items); n >= manyItems && len(r.items) == n {
		r.full = append(r.full, r.items)
		r.items = make([]T, 0, 2*n)
	}
	var zero T
	r.items = append(r.items, zero)
	r.err = r.to.scan(r.rows, unsafe.Pointer(&r.items[len(r.items)-1]))
	return r.err == nil
}

// close ends rows that are read, and returns what went wrong with them.
func (r *typedRows[T]) close() error {
	if !r.closed {
		r.closed = true
		if err := r.rows.Close(); r.err == nil {
			r.err = err
		}
	}
	return r.err
}

// each gives out the rows.
func (r *typedRows[T]) each(yield func(T, error) bool, closing bool) {
	for r.next() {
		item := r.items[0]
		r.items = r.items[:0]
		if !yield(item, nil) {
			return
		}
	}
	if closing {
		_ = r.close()
	}
	if r.err != nil {
		var none T
		yield(none, r.err)
	}
}

// rowScanner decodes the rows of database/sql into values of one type.
type rowScanner struct {
	wanted
	filler
	cells    []any // what database/sql scans into
	panicked any   // by the program's own code, in the middle of Scan

	// See query_direct.go.
	cell   [1]any // set if the rows come as one value
	direct *directPlan
	zone   *time.Location // for timestamptz
	texts  []byte         // the memory for the strings of a row
	values *valueDecoder  // for what is decoded as in ordinary rows
}

// scan decodes a row into the T at dest, which is zero.
func (to *rowScanner) scan(rows *sql.Rows, dest unsafe.Pointer) error {
	if to.cells == nil {
		if err := to.describe(rows); err != nil {
			return err
		}
	}
	if to.dest = dest; to.cell[0] == nil {
		to.begin()
	}
	err := rows.Scan(to.cells...)
	switch {
	case to.panicked != nil:
		panic(to.panicked)
	case err != nil:
		return err
	}
	return to.end()
}

// describe makes the plan, or finds that the rows have one.
func (to *rowScanner) describe(rows *sql.Rows) error {
	if names, err := rows.Columns(); err == nil && isDirect(names) {
		to.cell[0] = (*directCell)(to)
		to.cells = to.cell[:]
		return nil
	}
	types, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	columns := make([]rowColumn, len(types))
	for i, t := range types {
		columns[i] = rowColumn{t.Name(), oidOf(t.DatabaseTypeName())}
	}
	plan, err := planOf(to.typ, columns, to.lax)
	if err != nil {
		return err
	}
	to.plan = plan
	to.cells = make([]any, len(columns))
	for i := range to.cells {
		to.cells[i] = &scanCell{to, i}
	}
	return nil
}

// scanCell is the destination of a column's values. They are converted while Scan holds
// them: later they are the driver's again.
type scanCell struct {
	to *rowScanner
	i  int
}

// Scan implements [sql.Scanner]. database/sql would wrap the error, and after a panic its
// rows could never be closed.
func (c *scanCell) Scan(src any) error {
	if c.to.err == nil && c.to.panicked == nil {
		defer c.to.catch()
		c.to.err = c.to.put(c.i, src)
	}
	return nil
}

// catch keeps a panic of the program's own code until Scan is over.
func (to *rowScanner) catch() { to.panicked = recover() }
