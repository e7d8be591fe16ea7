package psyco

import (
	"bytes"
	"database/sql/driver"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/lib/pq"
	"github.com/lib/pq/oid"

	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/wire"
)

// What psyco reads without lib/pq is decoded to the values that lib/pq gives, so
// that it makes no difference who reads it.

// valueDecoder makes the values of a result.
type valueDecoder struct {
	c    *conn          // whose session's time zone counts
	zone *time.Location // without c
	boxes
}

// location is the time zone of a timestamptz.
func (d *valueDecoder) location() *time.Location {
	if d.c == nil {
		return d.zone
	}
	return d.c.location()
}

// row decodes a row into memory of its own.
func (d *valueDecoder) row(cells [][]byte, fields []wire.Field) ([]driver.Value, error) {
	row := make([]driver.Value, len(cells))
	for i, cell := range cells {
		if cell == nil {
			continue
		}
		v, err := d.value(cell, &fields[i])
		if err != nil {
			return nil, err
		}
		if b, ok := v.([]byte); ok {
			v = bytes.Clone(b)
		}
		row[i] = v
	}
	return row, nil
}

var errShortRow = fmt.Errorf("psyco: %w: a row that does not fit its description", wire.ErrProtocol)

// value decodes a value as lib/pq does. The result may be cell itself.
func (d *valueDecoder) value(cell []byte, f *wire.Field) (v driver.Value, err error) {
	if f.Format != 0 {
		if v, err = d.binary(cell, f.TypeOID); err != nil {
			return nil, fmt.Errorf("psyco: %w: column %q: %v", wire.ErrProtocol, f.Name, err)
		}
		return v, nil
	}
	v, err = d.text(cell, f.TypeOID)
	if err != nil {
		return nil, fmt.Errorf("psyco: column %q: %w", f.Name, err)
	}
	return v, nil
}

// text decodes a value in text format as lib/pq does. The result may be cell itself.
func (d *valueDecoder) text(cell []byte, typ uint32) (driver.Value, error) {
	switch typ {
	case pgform.OIDChar, pgform.OIDBpchar, pgform.OIDVarchar, pgform.OIDText:
		return d.string(cell), nil
	case pgform.OIDBytea:
		return pgform.ParseBytea(string(cell))
	case pgform.OIDTimestamptz:
		return d.timestamp(d.location(), cell)
	case pgform.OIDTimestamp, pgform.OIDDate:
		return d.timestamp(nil, cell)
	case pgform.OIDTime, pgform.OIDTimetz:
		t, err := parseTime(string(cell))
		return d.time(t), err
	case pgform.OIDBool:
		return string(cell) == "t", nil
	case pgform.OIDInt8, pgform.OIDInt4, pgform.OIDInt2:
		n, err := strconv.ParseInt(string(cell), 10, 64)
		return d.int(n), err
	case pgform.OIDFloat4, pgform.OIDFloat8:
		f, err := strconv.ParseFloat(string(cell), 64)
		return d.float(f), err
	}
	return d.bytes(cell), nil
}

// decodesBinary reports whether values of a type are always asked for in binary, as lib/pq
// does it too.
func decodesBinary(typ uint32) bool {
	switch typ {
	case pgform.OIDBytea, pgform.OIDInt8, pgform.OIDInt4, pgform.OIDInt2:
		return true
	}
	return false
}

// isTimeForm reports whether binary values of a type are lib/pq's, with less work, only while
// the session's DateStyle and TimeZone are what most have, see conn.readsTimes.
func isTimeForm(typ uint32) bool {
	switch typ {
	case pgform.OIDDate, pgform.OIDTime, pgform.OIDTimestamp, pgform.OIDTimestamptz:
		return true
	}
	return false
}

// readsTimes reports whether times may be read in binary: lib/pq reads their text only in
// the ISO style, and in a time zone with changing offsets takes the server's for them, who
// may know others than Go.
func (c *conn) readsTimes(zoned bool) bool {
	style, _ := c.wire.Parameter("DateStyle")
	return strings.HasPrefix(style, "ISO") && (!zoned || c.location() == time.UTC)
}

// binary decodes a value in binary format to what lib/pq makes of its text. The result may
// be cell itself.
func (d *valueDecoder) binary(cell []byte, typ uint32) (driver.Value, error) {
	var t time.Time
	var infinity int8
	ok := false
	switch typ {
	case pgform.OIDBytea:
		return d.bytes(cell), nil
	case pgform.OIDInt8, pgform.OIDInt4, pgform.OIDInt2:
		if n, ok := pgform.ReadInt(cell); ok {
			return d.int(n), nil
		}
	case pgform.OIDFloat8:
		if f, ok := pgform.ReadFloat8(cell); ok {
			return d.float(f), nil
		}
	case pgform.OIDBool:
		if len(cell) == 1 {
			return cell[0] != 0, nil
		}
	case pgform.OIDUUID:
		if len(cell) == 16 {
			return d.bytes(pgform.AppendUUID(make([]byte, 0, 36), cell)), nil
		}
	case pgform.OIDTime:
		t, ok = pgform.ReadClock(cell)
	case pgform.OIDTimestamp:
		t, infinity, ok = pgform.ReadTimestamp(cell)
		t = t.In(noZone())
	case pgform.OIDTimestamptz:
		t, infinity, ok = pgform.ReadTimestamp(cell)
		if zone := d.location(); zone != nil {
			t = t.In(zone)
		}
	case pgform.OIDDate:
		t, infinity, ok = pgform.ReadDate(cell)
		t = t.In(noZone())
	case pgform.OIDInterval:
		var i pgform.Interval
		if i, infinity, ok = pgform.ReadInterval(cell); ok && infinity == 0 {
			return d.bytes(i.AppendText(nil)), nil
		}
	}
	switch {
	case !ok:
		return nil, fmt.Errorf("%d bytes for a value of type %d", len(cell), typ)
	case infinity != 0:
		return []byte(pgform.InfinityText(infinity)), nil
	}
	return d.time(t), nil
}

// boxes is memory for values behind a driver.Value. A value of its own for each would be
// most of what a row costs; here they are in pieces, the larger the more rows have come. A
// program that keeps one value keeps its piece.
type boxes struct {
	ints    []int64
	floats  []float64
	times   []time.Time
	strings []string
	slices  [][]byte
	chars   []byte
}

// The last pieces have so many values, and so many bytes of strings not longer than short.
const (
	boxed      = 32
	boxedChars = 512
	boxedShort = boxedChars / 8
)

// face is how an interface is laid out (Go: runtime.eface).
type face struct{ typ, data unsafe.Pointer }

// What boxes holds, without a value.
var aInt, aFloat, aTime, aString, aSlice any = int64(0), 0.0, time.Time{}, "", []byte(nil)

// put puts v in the next place of a piece, and returns an interface like a that holds it
// there. Where there is no place it makes a new piece.
func put[T any](piece *[]T, v T, a any) driver.Value {
	if len(*piece) == cap(*piece) {
		*piece = make([]T, 0, min(max(1, 2*cap(*piece)), boxed))
	}
	*piece = append(*piece, v)
	(*face)(unsafe.Pointer(&a)).data = unsafe.Pointer(&(*piece)[len(*piece)-1])
	return a
}

func (b *boxes) int(v int64) driver.Value {
	if 0 <= v && v < 256 {
		return v // costs nothing
	}
	return put(&b.ints, v, aInt)
}

func (b *boxes) float(v float64) driver.Value  { return put(&b.floats, v, aFloat) }
func (b *boxes) time(v time.Time) driver.Value { return put(&b.times, v, aTime) }
func (b *boxes) bytes(v []byte) driver.Value   { return put(&b.slices, v, aSlice) }

// string copies text.
func (b *boxes) string(text []byte) driver.Value {
	if cap(b.strings) < boxed || len(text) > boxedShort { // they are few, or long
		return put(&b.strings, string(text), aString)
	}
	if cap(b.chars)-len(b.chars) < len(text) {
		b.chars = make([]byte, 0, boxedChars)
	}
	start := len(b.chars)
	b.chars = append(b.chars, text...)
	return put(&b.strings, unsafe.String(unsafe.SliceData(b.chars[start:]), len(text)), aString)
}

// timestamp is pq.ParseTimestamp, with less work for ordinary times.
func (d *valueDecoder) timestamp(location *time.Location, cell []byte) (driver.Value, error) {
	if t, offset, zoned, ok := pgform.ParseISO(cell); ok {
		switch {
		case !zoned && location == nil:
			return d.time(t.In(noZone())), nil
		case zoned && location != nil:
			local := t.Add(-time.Duration(offset) * time.Second).In(location)
			if _, known := local.Zone(); known == offset {
				return d.time(local), nil
			}
		}
	}
	text := string(cell)
	if text == "infinity" || text == "-infinity" {
		return []byte(text), nil
	}
	return pq.ParseTimestamp(location, text)
}

// noZone is the location of lib/pq's times without a time zone: the same, so that times
// can be compared with == whoever has read them.
var noZone = sync.OnceValue(func() *time.Location {
	t, _ := pq.ParseTimestamp(nil, "2000-01-01")
	return t.Location()
})

// location is the session's time zone, in which lib/pq gives timestamptz.
func (c *conn) location() *time.Location {
	name, _ := c.wire.Parameter("TimeZone")
	if name != c.zoneName || name == "" {
		c.zoneName, c.zone = name, locationOf(name)
	}
	return c.zone
}

func locationOf(name string) *time.Location {
	if l, ok := locations.Load(name); ok {
		return l.(*time.Location)
	}
	location, err := time.LoadLocation(name)
	if err != nil {
		location = nil // as lib/pq: the offset in the text counts
	}
	switch name {
	case "UTC", "Etc/UTC", "Etc/Universal", "Etc/Zulu", "Etc/UCT":
		location = time.UTC
	}
	locations.Store(name, location)
	return location
}

var locations sync.Map // name → *time.Location

// describeColumns describes the columns of a result set in memory.
func describeColumns(fields []wire.Field) *header {
	h := &header{names: make([]string, len(fields)), types: make([]columnType, len(fields))}
	for i, f := range fields {
		h.names[i] = f.Name
		t := &h.types[i]
		t.scan, t.name = scanType(f.TypeOID), oid.TypeName[oid.Oid(f.TypeOID)]
		const header = 4 // is counted in the modifiers of these types
		switch f.TypeOID {
		case pgform.OIDText, pgform.OIDBytea:
			t.length, t.hasLength = math.MaxInt64, true
		case pgform.OIDVarchar, pgform.OIDBpchar:
			if f.TypeMod >= header {
				t.length, t.hasLength = int64(f.TypeMod-header), true
			}
		case pgform.OIDVarbit, pgform.OIDBit:
			if f.TypeMod >= 0 {
				t.length, t.hasLength = int64(f.TypeMod), true
			}
		case pgform.OIDNumeric, pgform.OIDNumericArray:
			modifier := int64(f.TypeMod) - header
			t.precision, t.scale, t.hasPrecision = numericSize(modifier>>16&0xffff, modifier&0xffff)
		}
	}
	return h
}

// numericSize reads the two halves of a numeric type's modifier. Without a modifier
// both are too large; a negative scale, which PostgreSQL has from version 15 on, is
// in the lower 11 bits.
func numericSize(precision, scale int64) (_, _ int64, ok bool) {
	const maximum = 1000 // of both
	if precision < 1 || precision > maximum {
		return 0, 0, false
	}
	if scale > maximum {
		scale = scale&0x7ff ^ 0x400 - 0x400
	}
	return precision, scale, true
}

func scanType(typ uint32) reflect.Type {
	switch typ {
	case pgform.OIDInt8:
		return reflect.TypeFor[int64]()
	case pgform.OIDInt4:
		return reflect.TypeFor[int32]()
	case pgform.OIDInt2:
		return reflect.TypeFor[int16]()
	case pgform.OIDFloat8:
		return reflect.TypeFor[float64]()
	case pgform.OIDFloat4:
		return reflect.TypeFor[float32]()
	case pgform.OIDVarchar, pgform.OIDText, pgform.OIDVarbit, pgform.OIDBit:
		return reflect.TypeFor[string]()
	case pgform.OIDBool:
		return reflect.TypeFor[bool]()
	case pgform.OIDDate, pgform.OIDTime, pgform.OIDTimetz, pgform.OIDTimestamp, pgform.OIDTimestamptz:
		return timeType
	case pgform.OIDBytea:
		return reflect.TypeFor[[]byte]()
	}
	return reflect.TypeFor[any]()
}
