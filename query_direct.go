package psyco

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/sqllex"
	"github.com/psyco-go/psyco/internal/wire"
)

// The direct way from the wire into a T. Query[T] says in its context which rows it wants.
// If the text is prepared, so that its columns are known, the connection asks for
// those in binary for which there is a decoder, and delivers each row as one value: the
// bytes that the server has sent. In Scan they are written where the plan says. For all
// other columns, and for values that a decoder refuses, it is the ordinary way: the value
// that lib/pq would give, and what Scan makes of it. So both ways give the same.

// wanted is a query's context that says which type its rows are wanted as. Whatever stands
// in front of the connection passes contexts on.
type wanted struct {
	context.Context
	typ   reflect.Type // T
	lax   bool
	query string
	turn  int // counts the rows that were asked for, see wireRow.deliver
}

type wantedKey struct{}

// Value implements [context.Context].
func (w *wanted) Value(key any) any {
	if key == (wantedKey{}) {
		return w
	}
	return w.Context.Value(key)
}

// wantedBy returns which rows a query wants, nil for ordinary ones. Another text is one that
// something in between runs for itself.
func wantedBy(ctx context.Context, query string) *wanted {
	w, _ := ctx.Value(wantedKey{}).(*wanted)
	if w == nil || w.query != query {
		return nil
	}
	return w
}

// early is by how many uses a statement is prepared before others: by one if its rows are
// wanted as Ts, because only then are they known when it is used again.
func (st *statement) early() int {
	if st.wanted != nil {
		return 1
	}
	return 0
}

// parses lets a statement without arguments, whose rows are wanted as Ts, go by way of Parse
// if it may.
func (c *conn) parses(st *statement) {
	if c.onePacket || c.clientBinding() || c.mayMiss() || c.sess.cfg.StatementCacheCapacity <= 0 {
		return
	}
	e := c.cache.Find(st.sql, nil)
	if (e == nil || !e.Ready) && !parsesAlone(st.sql) {
		return
	}
	st.parsed, st.counted = true, true
	// Simple queries are read anew each time.
	if st.afresh = c.leads.rereads && len(c.leads.statements) > 0; st.afresh {
		return
	}
	if now := c.currentSettings(); now != c.timeSettings {
		if c.timeSettings[0] != "" {
			c.cache.Outdate()
		}
		c.timeSettings = now
	}
}

// timeSettings are the settings by which the server reads times and intervals.
var timeSettings = [...]string{"TimeZone", "DateStyle", "IntervalStyle"}

// currentSettings are their values.
func (c *conn) currentSettings() (values [len(timeSettings)]string) {
	for i, name := range timeSettings {
		values[i], _ = c.wire.Parameter(name)
	}
	return values
}

// parsesAlone reports whether a text without arguments may go by way of Parse, because it is
// one statement that has rows. The server reads 'today' when it prepares a statement.
func parsesAlone(text string) bool {
	if strings.IndexByte(text, '$') >= 0 || strings.IndexByte(text, 0) >= 0 || sqllex.Redefines(text) || sqllex.MentionsMoment(text) {
		return false
	}
	switch sqllex.Keyword(text) {
	case "SELECT", "VALUES", "TABLE", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE":
		return sqllex.Single(text)
	}
	return false
}

// directPlan is how rows are decoded into Ts.
type directPlan struct {
	*rowPlan
	typ     reflect.Type // T
	lax     bool
	columns []directColumn
	zoned   bool // some are in the session's time zone
}

type directColumn struct {
	decode decoder // nil: the ordinary way
	format int16
	size   int  // of all values; 0: that differs
	text   bool // the values share the memory of a row
	zero   bool // NULL leaves what is zero already
}

// decoder writes a value, not NULL, to p. False: it cannot.
type decoder func(to *rowScanner, p unsafe.Pointer, cell []byte) bool

func newDirectPlan(plan *rowPlan, typ reflect.Type, lax bool) *directPlan {
	d := &directPlan{rowPlan: plan, typ: typ, lax: lax, columns: make([]directColumn, len(plan.columns))}
	for i := range plan.columns {
		t, c := &plan.columns[i], &d.columns[i]
		if decodesBinary(t.oid) {
			c.format = 1
		}
		if t.typ != nil && !t.json {
			if decode, format := decoderOf(t.typ, t.oid); decode != nil {
				c.decode, c.format = decode, format
				c.text = isText(t.typ)
			}
			c.zero = isZeroForNull(t.typ)
		}
		if c.format == 1 {
			c.size = pgform.BinarySize(t.oid)
		}
		d.zoned = d.zoned || t.oid == pgform.OIDTimestamptz
	}
	return d
}

// maxDirect is how many types a statement keeps descriptions for.
const maxDirect = 8

// describeFor is how a prepared statement runs whose rows are wanted as Ts: as otherwise
// where they are not decoded directly.
func (c *conn) describeFor(w *wanted, p *prepared, otherwise *description) *description {
	if p.server == "" || c.sess.cfg.DisablePreparedBinaryResult {
		return otherwise
	}
	i := slices.IndexFunc(p.direct, func(d *description) bool { return d.direct.typ == w.typ && d.direct.lax == w.lax })
	if i < 0 {
		plan, err := planOf(w.typ, rowColumns(p.fields), w.lax)
		if err != nil {
			return otherwise // which meets it too
		}
		if len(p.direct) >= maxDirect {
			p.direct = p.direct[:0]
		}
		i = len(p.direct)
		p.direct = append(p.direct, p.description.directly(plan.directly()))
	}
	d := p.direct[i]
	if d.direct.zoned && c.location() == nil {
		return otherwise // the offset in the text counts
	}
	return d
}

// directly is a description for rows that are decoded by a plan. lib/pq sees bytes only.
func (d description) directly(plan *directPlan) *description {
	d.direct, d.header, d.times = plan, directHeader, false
	d.fields, d.shown = slices.Clone(d.fields), slices.Clone(d.fields)
	d.formats = binary.BigEndian.AppendUint16(nil, uint16(len(d.fields)))
	for i := range d.fields {
		d.fields[i].Format = plan.columns[i].format
		d.shown[i].TypeOID, d.shown[i].Format = pgform.OIDBytea, 1
		d.formats = binary.BigEndian.AppendUint16(d.formats, uint16(d.fields[i].Format))
	}
	return &d
}

// directHeader describes rows that are delivered as one value. No server has a column of
// that name.
var directHeader = &header{names: []string{"\x00row"}, types: make([]columnType, 1)}

func isDirect(names []string) bool { return len(names) == 1 && names[0] == directHeader.names[0] }

// wireRow is a row as the server has sent it. It is valid as long as the values of rows
// are: until the next one.
type wireRow struct {
	plan    *directPlan
	columns []byte // see wire.CutColumn
	texts   int    // how much memory they need
	zone    *time.Location

	by      *wanted
	turn    int  // in which it was delivered
	overrun bool // the next row was delivered before it was scanned
	own     bool // its memory is its own

	values []driver.Value // scratch: see read
	copied []byte
}

// wireRows makes ready for the rows of an answer. All answers of a connection share the
// memory: of an earlier one nothing is left to be scanned, or buffer has left it to that one.
func (c *conn) wireRows(plan *directPlan) *wireRow {
	if c.wireRow == nil {
		c.wireRow = new(wireRow)
	}
	row := c.wireRow
	*row = wireRow{plan: plan, values: row.values, copied: row.copied}
	if plan.zoned {
		row.zone = c.location()
	}
	return row
}

// deliver makes the columns of a DataRow the one value of dest, if somebody wants it. Who takes rows out of turn keeps
// them, as a driver in front of psyco's that reads all into memory does: these get memory of their
// own.
func (row *wireRow) deliver(columns []byte, dest []driver.Value) error {
	if len(dest) == 0 {
		return nil
	}
	if row.by == nil || row.by.turn == row.turn {
		row.overrun = true
		row = &wireRow{plan: row.plan, zone: row.zone, own: true}
		columns = slices.Clone(columns)
	} else {
		row.turn, row.overrun = row.by.turn, false
	}
	if err := row.take(columns); err != nil {
		return err
	}
	dest[0] = row
	return nil
}

// take makes columns the row's, and refuses those that can be no values of their types.
func (row *wireRow) take(columns []byte) error {
	row.columns, row.texts = columns, 0
	for i := range row.plan.columns {
		column, rest, ok := wire.CutColumn(columns)
		if !ok {
			return errShortRow
		}
		c := &row.plan.columns[i]
		if c.size > 0 && column != nil && len(column) != c.size {
			t := &row.plan.rowPlan.columns[i]
			return fmt.Errorf("psyco: %w: column %q: %d bytes for a value of type %d", wire.ErrProtocol, t.name, len(column), t.oid)
		}
		if columns = rest; c.text {
			row.texts += len(column)
		}
	}
	return nil
}

// read delivers a row that lib/pq reads.
func (row *wireRow) read(base driver.Rows, dest []driver.Value) error {
	if len(dest) == 0 {
		return base.Next(dest)
	}
	row.values = slices.Grow(row.values[:0], len(row.plan.columns))[:len(row.plan.columns)]
	if err := base.Next(row.values); err != nil {
		return err
	}
	row.copied = row.copied[:0]
	for _, v := range row.values {
		b, ok := v.([]byte)
		if ok && b == nil {
			b = []byte{}
		}
		row.copied = wire.AppendColumn(row.copied, b)
	}
	return row.deliver(row.copied, dest)
}

// kept returns the row with memory of its own.
func (row *wireRow) kept() *wireRow {
	if row.own {
		return row
	}
	return &wireRow{plan: row.plan, columns: slices.Clone(row.columns), texts: row.texts, zone: row.zone, own: true}
}

// directCell is the destination of rows that are delivered as one value.
type directCell rowScanner

// Scan implements [sql.Scanner].
func (c *directCell) Scan(src any) error {
	to := (*rowScanner)(c)
	row, ok := src.(*wireRow)
	if !ok || row.plan != to.direct && (row.plan.typ != to.typ || row.plan.lax != to.lax) {
		to.err = errWireRow
		return nil
	}
	if row.overrun && !row.own {
		to.err = errOverrun
		return nil
	}
	defer to.catch()
	to.err = to.fill(row)
	return nil
}

var errWireRow = errors.New("psyco: the rows of Query, QueryAll and QueryOne were read for another type: give ScanRows those of a query of its own")

var errOverrun = errors.New("psyco: a driver in front of psyco's has read rows ahead, which Query, QueryAll and QueryOne do not take: use database/sql's QueryContext with ScanRows")

// fill decodes a row.
func (to *rowScanner) fill(row *wireRow) error {
	if to.texts = nil; row.texts > 0 {
		to.texts = make([]byte, 0, row.texts)
	}
	to.direct, to.plan, to.zone = row.plan, row.plan.rowPlan, row.zone
	to.begin()
	columns := row.columns
	for i := range to.direct.columns {
		cell, rest, _ := wire.CutColumn(columns) // deliver has checked it
		columns = rest
		d := &to.direct.columns[i]
		p := to.place(i, cell == nil)
		switch {
		case p == nil, cell == nil && d.zero:
		case cell != nil && d.decode != nil && d.decode(to, p, cell):
		default:
			if err := to.ordinary(i, p, cell); err != nil {
				return err
			}
		}
	}
	return nil
}

// ordinary stores what Scan would make of a value.
func (to *rowScanner) ordinary(i int, p unsafe.Pointer, cell []byte) error {
	t := &to.plan.columns[i]
	var v driver.Value
	if cell != nil {
		var err error
		f := wire.Field{Name: t.name, TypeOID: t.oid, Format: to.direct.columns[i].format}
		if to.values == nil {
			to.values = new(valueDecoder)
		}
		to.values.zone = to.zone
		if v, err = to.values.value(cell, &f); err != nil {
			return err
		}
	}
	if err := t.set(p, v); err != nil {
		return to.wrap(i, err)
	}
	return nil
}

// isZeroForNull reports whether NULL makes a type's zero value.
func isZeroForNull(typ reflect.Type) bool {
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		return isPlain(typ)
	}
	return isNull(typ)
}

// isNull reports whether a type is sql.Null[T] or one of its older kin.
func isNull(typ reflect.Type) bool {
	return typ.PkgPath() == "database/sql" && strings.HasPrefix(typ.Name(), "Null") && typ.NumField() == 2
}

// isText reports whether a decoder of the type takes memory of the row's texts.
func isText(typ reflect.Type) bool {
	switch {
	case typ.Kind() == reflect.Pointer:
		return isText(typ.Elem())
	case typ.Kind() == reflect.Struct && isNull(typ):
		return isText(typ.Field(0).Type)
	}
	return typ.Kind() == reflect.String
}

// decoderOf returns the decoder for a type's values in a field of another, and the format that
// it reads, or nil.
func decoderOf(typ reflect.Type, oid uint32) (decode decoder, format int16) {
	switch typ {
	case timeType:
		return decoderOfTime(oid, func(p unsafe.Pointer, t time.Time, infinity int8) bool {
			*(*time.Time)(p) = t
			return infinity == 0
		})
	case reflect.TypeFor[Timestamp]():
		if oid != pgform.OIDDate {
			return decoderOfTime(oid, func(p unsafe.Pointer, t time.Time, infinity int8) bool {
				if infinity != 0 {
					t = time.Time{}
				}
				*(*Timestamp)(p) = Timestamp{t, infinity}
				return true
			})
		}
	case reflect.TypeFor[Date]():
		if oid == pgform.OIDDate {
			return decodeDate, 1
		}
	case reflect.TypeFor[Interval]():
		if oid == pgform.OIDInterval {
			return decodeInterval, 1
		}
	case reflect.TypeFor[Numeric]():
		switch oid {
		case pgform.OIDNumeric, pgform.OIDInt2, pgform.OIDInt4, pgform.OIDInt8:
			return decodeString, 0
		}
	case reflect.TypeFor[time.Duration]():
		return nil, 0
	}
	if isNull(typ) {
		return decoderOfNull(typ, oid)
	}
	if !isPlain(typ) {
		return nil, 0
	}
	switch typ.Kind() {
	case reflect.Pointer:
		return decoderOfPointer(typ.Elem(), oid)
	case reflect.String:
		return decoderOfString(oid)
	case reflect.Bool:
		if oid == pgform.OIDBool {
			return decodeBool, 1
		}
	case reflect.Slice:
		if oid == pgform.OIDBytea && isBytesItself(typ) {
			return decodeBytes, 1
		}
	case reflect.Float64:
		if oid == pgform.OIDFloat4 {
			return decodeFloat, 0 // 0.1 is 0.1, which is not the float64 nearest to the float4
		}
	case reflect.Array:
		if oid == pgform.OIDUUID && typ.Len() == 16 && isByteList(typ) {
			return decodeUUID, 1
		}
	}
	return decoderOfNumber(typ.Kind(), oid), 1
}

func decoderOfTime(oid uint32, set func(p unsafe.Pointer, t time.Time, infinity int8) bool) (decoder, int16) {
	switch {
	case oid == pgform.OIDTimestamptz:
		return func(to *rowScanner, p unsafe.Pointer, cell []byte) bool {
			t, infinity, ok := pgform.ReadTimestamp(cell)
			return ok && set(p, t.In(to.zone), infinity)
		}, 1
	case oid == pgform.OIDTimestamp:
		return func(_ *rowScanner, p unsafe.Pointer, cell []byte) bool {
			t, infinity, ok := pgform.ReadTimestamp(cell)
			return ok && set(p, t.In(noZone()), infinity)
		}, 1
	case oid == pgform.OIDDate:
		return func(_ *rowScanner, p unsafe.Pointer, cell []byte) bool {
			t, infinity, ok := pgform.ReadDate(cell)
			return ok && set(p, t.In(noZone()), infinity)
		}, 1
	}
	return nil, 0
}

func decodeDate(_ *rowScanner, p unsafe.Pointer, cell []byte) bool {
	t, infinity, ok := pgform.ReadDate(cell)
	if infinity != 0 {
		*(*Date)(p) = Date{Infinity: infinity}
	} else if ok {
		*(*Date)(p) = DateOf(t)
	}
	return ok
}

func decodeInterval(_ *rowScanner, p unsafe.Pointer, cell []byte) bool {
	i, infinity, ok := pgform.ReadInterval(cell)
	*(*Interval)(p) = Interval(i)
	return ok && infinity == 0
}

// decodeString makes a string in the memory of the row's texts.
func decodeString(to *rowScanner, p unsafe.Pointer, cell []byte) bool {
	start := len(to.texts)
	to.texts = append(to.texts, cell...)
	*(*string)(p) = unsafe.String(unsafe.SliceData(to.texts[start:]), len(cell))
	return true
}

// decoderOfString is for the types whose text lib/pq gives, or a value with the same text.
func decoderOfString(oid uint32) (decoder, int16) {
	switch oid {
	case pgform.OIDBytea:
		return decodeString, 1
	case pgform.OIDBool, pgform.OIDFloat4, pgform.OIDFloat8, pgform.OIDDate, pgform.OIDTime, pgform.OIDTimetz, pgform.OIDTimestamp, pgform.OIDTimestamptz:
		return nil, 0
	}
	return decodeString, 0
}

func decodeBool(_ *rowScanner, p unsafe.Pointer, cell []byte) bool {
	if len(cell) != 1 {
		return false
	}
	*(*bool)(p) = cell[0] != 0
	return true
}

func decodeFloat(_ *rowScanner, p unsafe.Pointer, cell []byte) bool {
	f, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(cell), len(cell)), 64)
	*(*float64)(p) = f
	return err == nil
}

func decodeBytes(_ *rowScanner, p unsafe.Pointer, cell []byte) bool {
	*(*[]byte)(p) = append([]byte{}, cell...)
	return true
}

func decodeUUID(_ *rowScanner, p unsafe.Pointer, cell []byte) bool {
	return len(cell) == 16 && copy((*[16]byte)(p)[:], cell) == 16
}

// decoderOfPointer makes what the pointer points to.
func decoderOfPointer(elem reflect.Type, oid uint32) (decoder, int16) {
	inner, format := decoderOf(elem, oid)
	if inner == nil {
		return nil, 0
	}
	return func(to *rowScanner, p unsafe.Pointer, cell []byte) bool {
		v := reflect.New(elem).UnsafePointer()
		*(*unsafe.Pointer)(p) = v
		return inner(to, v, cell)
	}, format
}

// decoderOfNull is for sql.Null[T] and its older kin, whose first field is the value.
func decoderOfNull(typ reflect.Type, oid uint32) (decoder, int16) {
	inner, format := decoderOf(typ.Field(0).Type, oid)
	if inner == nil {
		return nil, 0
	}
	valid := typ.Field(1).Offset
	return func(to *rowScanner, p unsafe.Pointer, cell []byte) bool {
		ok := inner(to, p, cell)
		*(*bool)(unsafe.Add(p, valid)) = ok
		return ok
	}, format
}

func decoderOfNumber(kind reflect.Kind, oid uint32) decoder {
	isInt := oid == pgform.OIDInt2 || oid == pgform.OIDInt4 || oid == pgform.OIDInt8
	switch {
	case kind == reflect.Float32 && oid == pgform.OIDFloat4:
		return func(_ *rowScanner, p unsafe.Pointer, cell []byte) (ok bool) {
			*(*float32)(p), ok = pgform.ReadFloat4(cell)
			return ok
		}
	case kind == reflect.Float64 && oid == pgform.OIDFloat8:
		return func(_ *rowScanner, p unsafe.Pointer, cell []byte) (ok bool) {
			*(*float64)(p), ok = pgform.ReadFloat8(cell)
			return ok
		}
	case kind == reflect.Float64 && isInt:
		return func(_ *rowScanner, p unsafe.Pointer, cell []byte) bool {
			n, ok := pgform.ReadInt(cell)
			*(*float64)(p) = float64(n)
			return ok
		}
	case !isInt:
		return nil
	}
	switch kind {
	case reflect.Int:
		return decodeInt[int]
	case reflect.Int8:
		return decodeInt[int8]
	case reflect.Int16:
		return decodeInt[int16]
	case reflect.Int32:
		return decodeInt[int32]
	case reflect.Int64:
		return decodeInt[int64]
	case reflect.Uint:
		return decodeInt[uint]
	case reflect.Uint8:
		return decodeInt[uint8]
	case reflect.Uint16:
		return decodeInt[uint16]
	case reflect.Uint32:
		return decodeInt[uint32]
	case reflect.Uint64:
		return decodeInt[uint64]
	}
	return nil
}

func decodeInt[N int | int8 | int16 | int32 | int64 | uint | uint8 | uint16 | uint32 | uint64](_ *rowScanner, p unsafe.Pointer, cell []byte) bool {
	n, ok := pgform.ReadInt(cell)
	*(*N)(p) = N(n)
	return ok && int64(N(n)) == n && (n < 0) == (N(n) < 0)
}
