package psyco

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/placeholder"
	"github.com/psyco-go/psyco/internal/sqllex"
	"github.com/psyco-go/psyco/internal/wire"
)

// A CopyOption changes how [CopyRows] works; [CopyFrom] and [CopyTo] take [CopyProgress] among
// their arguments.
type CopyOption func(*copyOptions)

type copyOptions struct {
	progress func(rows, bytes int64)
	text     bool
}

// CopyProgress calls f each time some 64 KiB have been sent, or received by [CopyTo], and at the
// end, with the rows and the bytes so far. f runs in the goroutine that sends or receives, while
// the connection is taken. [CopyFrom] and CopyTo do not look into the data: there rows is 0 until the
// server has said, at the end, how many there were.
func CopyProgress(f func(rows, bytes int64)) CopyOption {
	return func(o *copyOptions) { o.progress = f }
}

// CopyTextFormat makes [CopyRows] use COPY's text format, in which the server
// reads strings for any column by its own rules ("tomorrow", "1 000,00 €").
func CopyTextFormat() CopyOption {
	return func(o *copyOptions) { o.text = true }
}

// CopyRows loads rows into the named columns of a table with COPY FROM STDIN, the
// fastest way in, and returns how many the server has loaded (psycopg:
// copy.write_row). [SliceRows] and [StructRows] make rows of what is in memory. h
// may be a *sql.DB, *sql.Conn or *sql.Tx. All rows are loaded or none; in a
// transaction a failure fails the transaction.
//
// The data goes in the binary format if all columns are of these types, else in
// the text format: bool, integers, oid, floats, numeric, text types, bytea, uuid,
// date, time, timestamp and timestamptz, interval, json and jsonb, inet and cidr,
// enums, and domains and arrays over these.
//
// A value is what a psycopg-style parameter could be, converted to the type of
// its column if that loses nothing: an int also fits a numeric column, 2.0 an
// integer one. A string fits every column whose type the server would write in
// that way (with datestyle ISO); for more, use [CopyTextFormat]. For json columns
// other structs, maps and slices are marshalled with encoding/json. The elements of a
// slice are converted one by one to what the elements of an array column are. A time.Time
// gives a timestamptz column its instant, and timestamp, date and time columns
// what its own clock shows. A value that does not fit is an error that names the
// row, counted from 1, and the column.
//
// rows runs in another goroutine than CopyRows', which waits for it; a row is used up
// when the next one is asked for. An error of rows ends the COPY and is in
// the returned error's chain; so is ctx.Err() if ctx ends, and then a
// step of rows that is in progress may outlast CopyRows. The connection is taken
// meanwhile: rows must not use h if that is a *sql.Tx or *sql.Conn.
func CopyRows(ctx context.Context, h Handle, table Identifier, columns []string, rows iter.Seq2[[]any, error], opts ...CopyOption) (int64, error) {
	if err := checkCopyTarget(table, columns); err != nil {
		return 0, prefixed(fmt.Errorf("CopyRows: %w", err))
	}
	source := copySource{rows: rows}
	for _, o := range opts {
		o(&source.copyOptions)
	}
	return doCopy(ctx, h, "CopyRows", func(ctx context.Context, c *conn) (int64, error) {
		ctx = c.announce(ctx, "COPY ", copyTarget(table, columns), " FROM STDIN")
		if c.wire == nil {
			return 0, wrappedError("CopyRows")
		}
		return c.copyRows(ctx, table, columns, source)
	})
}

func checkCopyTarget(table Identifier, columns []string) error {
	if err := table.check(); err != nil {
		return err
	}
	if len(columns) == 0 {
		return errors.New("no columns are named: list those that the rows have values for")
	}
	for _, name := range columns {
		if err := (Identifier{name}).check(); err != nil {
			return err
		}
	}
	return nil
}

// SliceRows gives the rows of a slice to [CopyRows].
func SliceRows(rows [][]any) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}

// StructColumns returns the columns that the exported fields of the struct T
// stand for, in their order: the names in their db tags, else their own in
// snake_case, without those tagged "-". It is empty for a T that is not a struct.
func StructColumns[T any]() []string {
	typ := indirectType(reflect.TypeFor[T]())
	if typ.Kind() != reflect.Struct {
		return nil
	}
	var columns []string
	for _, field := range placeholder.FieldsOf(typ).List {
		columns = append(columns, field.Name)
	}
	return columns
}

// StructRows gives structs, or pointers to structs, to [CopyRows]: the fields that
// stand for columns as in [StructColumns]. A column without a field is an error.
func StructRows[T any](columns []string, items iter.Seq[T]) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		typ := indirectType(reflect.TypeFor[T]())
		if typ.Kind() != reflect.Struct {
			yield(nil, prefixed(fmt.Errorf("StructRows: %s is not a struct", reflect.TypeFor[T]())))
			return
		}
		fields := placeholder.FieldsOf(typ)
		indexes := make([][]int, len(columns))
		for i, name := range columns {
			at, ok := fields.ByName[name]
			if !ok {
				yield(nil, prefixed(fmt.Errorf("StructRows: %s has no field for the column %q", typ, name)))
				return
			}
			indexes[i] = fields.List[at].Index
		}
		row := make([]any, len(columns))
		for item := range items {
			err := structValues(row, reflect.ValueOf(&item).Elem(), indexes)
			if !yield(row, err) {
				return
			}
		}
	}
}

func structValues(row []any, v reflect.Value, indexes [][]int) error {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return prefixed(fmt.Errorf("StructRows: a nil %s", v.Type()))
		}
		v = v.Elem()
	}
	for i, index := range indexes {
		field, err := v.FieldByIndexErr(index)
		if err != nil {
			row[i] = nil // of an embedded struct that is not there
			continue
		}
		row[i] = field.Interface()
	}
	return nil
}

// copyRows finds out the types of the columns and loads the rows, in one
// transaction: between the two nobody may change a type, whose new form could
// read the old one's bytes without noticing.
func (c *conn) copyRows(ctx context.Context, table Identifier, columns []string, source copySource) (rows int64, err error) {
	into := copyTarget(table, columns)
	text := "COPY " + into + " FROM STDIN"
	own := !c.inTransaction()
	if own {
		c.queue = append(c.queue, "BEGIN")
		defer func() {
			if rerr := c.endOwn(); err == nil {
				err = rerr
			}
		}()
	}
	types, err := c.columnTypes(ctx, into, len(columns))
	if err != nil {
		return 0, table.explain(err)
	}
	source.encoder = newRowEncoder(c.con.types, columns, types, source.text)
	if source.binary {
		text += " (FORMAT binary)"
	} else if err := c.checkEncoding(); err != nil {
		return 0, err
	}
	if own {
		text += ";COMMIT"
	}
	c.wire.CopyInFunc(source.produce)
	rows, err = c.runCopy(ctx, "CopyRows", &statement{sql: text})
	if err != nil {
		return 0, c.copyCommitted(own, err)
	}
	return rows, nil
}

// explain adds a hint to the server's error about a table that does not exist, if its
// name may be several names in one.
func (id Identifier) explain(err error) error {
	pe, ok := err.(*pq.Error)
	if !ok || pe.Code != pqerror.UndefinedTable || pe.Hint != "" || len(id) != 1 || !strings.Contains(id[0], ".") {
		return err
	}
	hinted := *pe
	parts := strings.Split(id[0], ".")
	hinted.Hint = fmt.Sprintf("The dot is part of the name: write psyco.Identifier{%s} for a table in a schema.", `"`+strings.Join(parts, `", "`)+`"`)
	hinted.Message += ", a table whose name has a dot in it"
	return &hinted
}

// endOwn makes sure that the transaction of a CopyRows outside of one is over.
func (c *conn) endOwn() error {
	c.queue = c.queue[:0]
	if c.lost != nil || c.wire.TxStatus() == 'I' {
		return nil
	}
	return c.bounded(func() error { return c.simple("ROLLBACK") })
}

// copyTarget returns a table with its columns, as COPY and INSERT name them.
func copyTarget(table Identifier, columns []string) string {
	return table.String() + " (" + quoteNames(columns) + ")"
}

func quoteNames(names []string) string {
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(Identifier{name}.String())
	}
	return b.String()
}

// columnTypes asks for the types of columns by having an INSERT parsed. This is
// the truth even in a transaction whose snapshot of the catalog is older, it
// takes the lock that COPY takes, and needs no privileges that COPY does not.
func (c *conn) columnTypes(ctx context.Context, into string, n int) ([]columnKind, error) {
	params := make([]byte, 0, 4*n)
	for i := range n {
		params = strconv.AppendInt(append(params, ",$"...), int64(i+1), 10)
	}
	sql := "INSERT INTO " + into + " OVERRIDING SYSTEM VALUE VALUES (" + string(params[1:]) + ")"
	k := c.watch(ctx)
	oids, err := c.parameterTypes(sql, n)
	var kinds []columnKind
	if err == nil {
		kinds, err = c.kinds(oids)
	}
	return kinds, c.finish(k, err)
}

// parameterTypes has a statement parsed and returns the types of its n parameters.
func (c *conn) parameterTypes(sql string, n int) (oids []uint32, err error) {
	packet, err := wire.AppendParse(nil, "", sql, nil)
	if err != nil {
		return nil, err
	}
	packet = wire.AppendDescribe(packet, 'S', "")
	err = c.exchange(packet, func(typ byte, payload []byte) (err error) {
		if typ != wire.ParameterDescription {
			return nil
		}
		oids, err = wire.ParseParameterDescription(nil, payload)
		if err == nil && len(oids) != n {
			err = fmt.Errorf("psyco: %w: the server describes %d parameters of %d", wire.ErrProtocol, len(oids), n)
		}
		return err
	})
	return oids, err
}

// columnKind is a type as far as its encoding depends on it.
type columnKind struct {
	oid  uint32 // as declared
	base uint32 // the type it is a domain over, text for enums; else oid
	elem *columnKind
}

// kinds looks up what types are. Only types that are not built in cost a query.
func (c *conn) kinds(oids []uint32) ([]columnKind, error) {
	known := make(map[uint32]catalogType)
	for wanted := unknownTypes(nil, oids); len(wanted) > 0; {
		types, err := c.catalogTypes(wanted)
		if err != nil {
			return nil, err
		}
		var further []uint32
		for _, t := range types {
			known[t.oid] = t
			further = append(further, t.base, t.elem)
		}
		for _, oid := range wanted {
			if _, ok := known[oid]; !ok {
				known[oid] = catalogType{oid: oid} // of another transaction's making: as text
			}
		}
		wanted = unknownTypes(known, further)
	}
	kinds := make([]columnKind, len(oids))
	for i, oid := range oids {
		kinds[i] = kindOf(known, oid)
	}
	return kinds, nil
}

// catalogType is a row of pg_type. base and elem are 0 where there are none.
type catalogType struct{ oid, base, elem uint32 }

func unknownTypes(known map[uint32]catalogType, oids []uint32) (unknown []uint32) {
	for _, oid := range oids {
		if _, ok := known[oid]; !ok && oid != 0 && binaryEncoders[oid] == nil && pgform.ElementOID(oid) == 0 {
			unknown = append(unknown, oid)
		}
	}
	return unknown
}

func kindOf(known map[uint32]catalogType, oid uint32) columnKind {
	kind := columnKind{oid: oid, base: oid}
	for known[kind.base].base != 0 {
		kind.base = known[kind.base].base
	}
	elem := pgform.ElementOID(kind.base)
	if elem == 0 {
		elem = known[kind.base].elem
	}
	if elem != 0 {
		k := kindOf(known, elem)
		kind.elem = &k
	}
	return kind
}

func (c *conn) catalogTypes(oids []uint32) (types []catalogType, err error) {
	// int2vector and oidvector have elements too, but are not arrays.
	sql := []byte(`SELECT t.oid::int8, CASE t.typtype WHEN 'd' THEN t.typbasetype::int8 WHEN 'e' THEN 25 ELSE 0 END,
		CASE t.oid WHEN e.typarray THEN t.typelem::int8 ELSE 0 END
		FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem WHERE t.oid IN (0`)
	for _, oid := range oids {
		sql = strconv.AppendUint(append(sql, ','), uint64(oid), 10)
	}
	err = queryRows(c.wire, c.base, string(append(sql, ')')), func(row []driver.Value) error {
		var t catalogType
		dest := []*uint32{&t.oid, &t.base, &t.elem}
		if len(row) != len(dest) {
			return fmt.Errorf("psyco: %d columns in the answer to a query of the catalog", len(row))
		}
		for i := range dest {
			n, _ := row[i].(int64)
			*dest[i] = uint32(n)
		}
		types = append(types, t)
		return nil
	})
	return types, err
}

// copyFrame is how much of a COPY is gathered before it is sent.
const copyFrame = 64 << 10

// copySource is the data of a CopyRows.
type copySource struct {
	copyOptions
	rows iter.Seq2[[]any, error]
	encoder
}

// produce is the wire's view of the source, see [wire.Conn.CopyInFunc].
func (s copySource) produce(send func(frame []byte) error) error {
	frame := make([]byte, wire.CopyHeader, copyFrame+copyFrame/4)
	var rows, sent int64
	flush := func() error {
		if err := send(frame); err != nil {
			return err
		}
		sent += int64(len(frame) - wire.CopyHeader)
		if cap(frame) > 4*copyFrame { // of a very long row
			frame = make([]byte, wire.CopyHeader, copyFrame+copyFrame/4)
		}
		frame = frame[:wire.CopyHeader]
		if s.progress != nil {
			s.progress(rows, sent)
		}
		return nil
	}
	if s.binary {
		frame = wire.AppendCopyHeader(frame)
	}
	for row, err := range s.rows {
		rows++
		if err == nil {
			frame, err = s.appendRow(frame, row)
		}
		if err != nil {
			return fmt.Errorf("row %d: %w", rows, unprefixed(err))
		}
		if len(frame) >= copyFrame {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if s.binary {
		frame = append(frame, 0xff, 0xff)
	}
	if len(frame) > wire.CopyHeader || s.progress != nil {
		return flush()
	}
	return nil
}

// CopyOutRows runs a COPY … TO STDOUT statement and gives its rows as values of type T, by
// the rules of [Query] (psycopg: copy.rows). It is [Query] for very many rows, which pass
// database/sql by.
//
//	for r, err := range psyco.CopyOutRows[Reading](ctx, db, "COPY (SELECT id, value FROM readings WHERE day = %s) TO STDOUT", day) {
//
// A query or a table is copied. Nothing may follow STDOUT, because CopyOutRows chooses the
// format: binary where it knows the forms of all values. It asks for the types of the
// columns first, in the same transaction, which makes two round trips. Of a table
// with generated columns, which COPY leaves out, name the columns. args are for the
// placeholders of the statement; [Lax] may be among them.
//
// The COPY runs when the loop begins, each time anew; an error is the last thing that
// comes. Leaving the loop stops the COPY and undoes what it has written. In a transaction,
// which would fail with it, the rest of the rows is read and dropped instead, and so it is
// after a value that does not fit T. The connection is taken meanwhile: the loop must not
// use h if that is a *sql.Tx or *sql.Conn. Behind [Wrap] it is an error.
func CopyOutRows[T any](ctx context.Context, h Handle, sql string, args ...any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		r := newTypedRows[T]()
		args := r.options(args)
		left := false
		_, err := doCopy(ctx, h, "CopyOutRows", func(ctx context.Context, c *conn) (int64, error) {
			return c.copyOutRows(c.announce(ctx, sql), sql, numbered(nil, args), &r.to, func(row *wireRow) error {
				r.first[0] = none
				r.to.dest = unsafe.Pointer(&r.first[0])
				err := r.to.fill(row)
				if err == nil {
					err = r.to.end()
				}
				if err == nil && !yield(r.first[0], nil) {
					left, err = true, errLoopLeft
				}
				return err
			})
		})
		if err != nil && !left {
			yield(none, err)
		}
	}
}

// errLoopLeft stops a COPY whose rows nobody wants any more.
var errLoopLeft = errors.New("the loop was left")

// copyOutRows finds out the types of what is copied and passes on its rows, in one
// transaction, as copyRows does.
func (c *conn) copyOutRows(ctx context.Context, text string, args []driver.NamedValue, to *rowScanner, each func(*wireRow) error) (rows int64, err error) {
	if c.wire != nil && copyDirection(text) != copyToClient {
		return 0, errCopySource(text)
	}
	st, err := c.copyStatement("CopyOutRows", text, args, copyToClient)
	if err != nil {
		return 0, err
	}
	source, err := cutCopySource(st.sql)
	if err != nil {
		return 0, err
	}
	own := !c.inTransaction()
	if own {
		c.queue = append(c.queue, "BEGIN")
		defer func() {
			if rerr := c.endOwn(); err == nil {
				err = rerr
			}
		}()
	}
	k := c.watch(ctx)
	d, err := c.description(source.query, nil)
	if err = c.finish(k, err); err != nil {
		if pe, ok := err.(*pq.Error); ok && source.table {
			unplaced := *pe // the text is psyco's
			unplaced.Position = ""
			return 0, &unplaced
		}
		return 0, c.explain(st, err)
	}
	plan, err := planOf(to.typ, rowColumns(d.Fields), to.lax)
	if err != nil {
		return 0, err
	}
	w := &copyReader{each: each, drop: !own, binary: true}
	w.row = wireRow{plan: plan.forCopy(to, true), own: true, zone: c.location()}
	if w.row.plan == nil || w.row.plan.zoned && w.row.zone == nil {
		w.row.plan, w.binary = plan.forCopy(to, false), false
	}
	sent := *st
	if sent.sql = st.sql[:source.end]; w.binary {
		sent.sql += " (FORMAT binary)"
	}
	if own {
		sent.sql += ";COMMIT"
	}
	c.wire.CopyOut(w, c.abortCopy)
	rows, err = c.runCopy(ctx, "CopyOutRows", &sent)
	if err != nil {
		return 0, c.copyCommitted(own, err)
	}
	if w.err == nil && (len(w.rest) > 0 || w.binary && !w.over) {
		w.err = errShortCopy
	}
	if w.err != nil {
		return 0, &streamError{what: "CopyOutRows", cause: w.err}
	}
	return rows, nil
}

// copyCommitted makes an error of a COPY one of the COMMIT behind it, if own says that
// there is one, and it has come to that.
func (c *conn) copyCommitted(own bool, err error) error {
	switch {
	case !own || c.wire.CommandTag() == "": // not all rows were copied
		return err
	case c.lost != nil:
		return &commitError{err}
	default:
		return &atCommitError{err}
	}
}

// copySpan is what a COPY … TO STDOUT copies.
type copySpan struct {
	query string // which has the columns; those of a query where they are in the text
	table bool
	end   int // of STDOUT
}

func errCopySource(text string) error {
	return fmt.Errorf("psyco: CopyOutRows needs COPY a query or a table TO STDOUT with nothing behind it, because it chooses the format, not %.60q", text)
}

// cutCopySource takes a COPY … TO STDOUT apart.
func cutCopySource(text string) (c copySpan, err error) {
	start, open, closed, depth, to := -1, -1, -1, 0, -1
	for s := sqllex.NewScanner(text); ; {
		t := s.Next()
		word := ""
		if t.Kind == sqllex.Word && depth == 0 {
			word = sqllex.Upper(t.Text(text))
		}
		switch {
		case t.Kind.IsSpace():
			continue
		case c.end > 0 && (t.Kind == sqllex.End || t.Text(text) == ";"):
			if t.Kind != sqllex.End {
				continue
			}
			switch {
			case open == start: // in place, so that positions stay the same
				c.query = strings.Repeat(" ", utf8.RuneCountInString(text[:open+1])) + text[open+1:closed]
			case open > 0:
				c.query, c.table = "SELECT "+text[open+1:closed]+" FROM ONLY "+text[start:open], true
			default:
				c.query, c.table = "SELECT * FROM ONLY "+text[start:to], true
			}
			return c, nil
		case c.end > 0 || t.Kind == sqllex.End:
			return c, errCopySource(text)
		case start < 0:
			if word != "COPY" {
				start = t.Start
			}
		case to >= 0 && word == "STDOUT":
			c.end = t.Stop
		case word == "TO":
			to = t.Start
		}
		if t.Kind == sqllex.Symbol {
			switch text[t.Start] {
			case '(':
				if depth++; depth == 1 && open < 0 {
					open = t.Start
				}
			case ')':
				if depth--; depth == 0 {
					closed = t.Start
				}
			}
		}
	}
}

// forCopy is the plan for the data of a COPY into Ts. It is nil if there are types whose
// binary form only the server can read.
func (plan *rowPlan) forCopy(to *rowScanner, binary bool) *directPlan {
	d := newDirectPlan(plan, to.typ, to.lax)
	for i := range d.columns {
		c := &d.columns[i]
		switch {
		case binary && c.format == 0 && !pgform.IsText(plan.columns[i].oid):
			return nil
		case !binary && c.format == 1:
			*c = directColumn{zero: c.zero}
		}
	}
	return d
}

// copyReader reads the data of a COPY … TO STDOUT.
type copyReader struct {
	row    wireRow
	binary bool
	each   func(*wireRow) error
	drop   bool  // after an error the rest is read and dropped, and the COPY not stopped
	err    error // the first, about the data or of each

	begun, over bool   // the header was read, and the end
	rest        []byte // of a row whose other part is still to come
	searched    int    // bytes of rest in which a line does not end
	cells       []byte // scratch
}

var errShortCopy = fmt.Errorf("psyco: %w: the data of a COPY ends within a row", wire.ErrProtocol)

// Write implements [io.Writer].
func (r *copyReader) Write(p []byte) (int, error) {
	if r.err != nil {
		return len(p), nil
	}
	data := p
	if len(r.rest) > 0 {
		r.rest = append(r.rest, p...)
		data = r.rest
	}
	whole := len(data)
	cut := r.cutLine
	if r.binary {
		cut = r.cutBinary
	}
	for {
		var columns []byte
		var ok bool
		columns, data, ok, r.err = cut(data)
		if !ok || r.err != nil {
			break
		}
		if r.err = r.row.take(columns); r.err == nil {
			r.err = r.each(&r.row)
		}
		if r.err != nil {
			break
		}
	}
	if len(r.rest) == 0 || len(data) < whole { // else it is there: a long row comes in many parts
		r.rest = append(r.rest[:0], data...)
	}
	if r.err != nil && !r.drop {
		return 0, r.err
	}
	return len(p), nil
}

// cutBinary cuts the columns of a row off the data, as [wire.CutColumn] reads them. It
// reports false if there is no whole row.
func (r *copyReader) cutBinary(data []byte) (columns, rest []byte, ok bool, err error) {
	if !r.begun {
		if data, r.begun, err = wire.CutCopyHeader(data); !r.begun {
			return nil, data, false, err
		}
	}
	columns, rest, n, err := wire.CutCopyRow(data)
	switch {
	case err != nil:
	case r.over && len(data) > 0:
		err = fmt.Errorf("psyco: %w: %d bytes behind the end of a COPY", wire.ErrProtocol, len(data))
	case n == -1:
		r.over = true
	case columns != nil:
		return columns, rest, true, r.counts(n)
	}
	return nil, rest, false, err
}

// counts checks the number of a row's columns.
func (r *copyReader) counts(n int) error {
	if n == len(r.row.plan.columns) {
		return nil
	}
	return fmt.Errorf("a row has %d columns, and %d were described: name the columns of a table that has generated ones", n, len(r.row.plan.columns))
}

// cutLine is cutBinary for the text format (PostgreSQL: CopyAttributeOutText).
func (r *copyReader) cutLine(data []byte) (columns, rest []byte, ok bool, err error) {
	end := bytes.IndexByte(data[r.searched:], '\n')
	if end < 0 {
		r.searched = len(data)
		return nil, data, false, nil
	}
	end += r.searched
	line, rest := data[:end], data[end+1:]
	r.searched = 0
	r.cells = r.cells[:0]
	n := 0
	for more := true; more; n++ {
		var cell []byte
		cell, line, more = bytes.Cut(line, []byte{'\t'})
		if string(cell) == `\N` {
			cell = nil
		} else if bytes.IndexByte(cell, '\\') >= 0 {
			cell = pgform.UnescapeCopy(cell)
		}
		r.cells = wire.AppendColumn(r.cells, cell)
	}
	return r.cells, rest, true, r.counts(n)
}
