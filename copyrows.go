package psyco

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strconv"
	"strings"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/placeholder"
	"github.com/psyco-go/psyco/internal/wire"
)

// A CopyOption changes how CopyRows works.
type CopyOption func(*copyOptions)

type copyOptions struct {
	progress func(rows, bytes int64)
	text     bool
}

// CopyProgress calls f each time some 64 KiB have been sent, and at the end, with
// the rows and the bytes sent so far. f runs in the goroutine that sends, while the
// connection is taken.
func CopyProgress(f func(rows, bytes int64)) CopyOption {
	return func(o *copyOptions) { o.progress = f }
}

// CopyTextFormat makes CopyRows use COPY's text format, in which the server
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

// SliceRows gives the rows of a slice to CopyRows.
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

// StructRows gives structs, or pointers to structs, to CopyRows: the fields that
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
	switch atCommit := own && c.wire.CommandTag() != ""; { // all rows were loaded
	case err == nil || !atCommit:
		return rows, err
	case c.lost != nil:
		return 0, &commitError{err}
	default:
		return 0, &atCommitError{err}
	}
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
		frame = append(frame, "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
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
