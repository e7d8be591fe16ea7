package psyco

import (
	"bytes"
	"database/sql/driver"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/oid"

	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/wire"
)

// What psyco reads without lib/pq is decoded to the values that lib/pq gives, so
// that it makes no difference who reads it.

// decodeRow decodes a row into memory of its own. location is asked only if a value needs it.
func decodeRow(cells [][]byte, fields []wire.Field, location func() *time.Location) ([]driver.Value, error) {
	row := make([]driver.Value, len(cells))
	for i, cell := range cells {
		if cell == nil {
			continue
		}
		v, err := decodeValue(cell, &fields[i], location)
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

// decodeValue decodes a value as lib/pq does. The result may be cell itself.
func decodeValue(cell []byte, f *wire.Field, location func() *time.Location) (v driver.Value, err error) {
	if f.Format != 0 {
		if v, err = decodeBinary(cell, f.TypeOID, location); err != nil {
			return nil, fmt.Errorf("psyco: %w: column %q: %v", wire.ErrProtocol, f.Name, err)
		}
		return v, nil
	}
	v, err = decodeText(cell, f.TypeOID, location)
	if err != nil {
		return nil, fmt.Errorf("psyco: column %q: %w", f.Name, err)
	}
	return v, nil
}

// decodeText decodes a value in text format as lib/pq does. The result may be
// cell itself.
func decodeText(cell []byte, typ uint32, location func() *time.Location) (driver.Value, error) {
	switch typ {
	case pgform.OIDChar, pgform.OIDBpchar, pgform.OIDVarchar, pgform.OIDText:
		return string(cell), nil
	case pgform.OIDBytea:
		return pgform.ParseBytea(string(cell))
	case pgform.OIDTimestamptz:
		return decodeTimestamp(location(), cell)
	case pgform.OIDTimestamp, pgform.OIDDate:
		return decodeTimestamp(nil, cell)
	case pgform.OIDTime, pgform.OIDTimetz:
		return parseTime(string(cell))
	case pgform.OIDBool:
		return string(cell) == "t", nil
	case pgform.OIDInt8, pgform.OIDInt4, pgform.OIDInt2:
		return strconv.ParseInt(string(cell), 10, 64)
	case pgform.OIDFloat4, pgform.OIDFloat8:
		return strconv.ParseFloat(string(cell), 64)
	}
	return cell, nil
}

// decodesBinary reports whether decodeBinary knows a type.
func decodesBinary(typ uint32) bool {
	switch typ {
	case pgform.OIDBytea, pgform.OIDInt8, pgform.OIDInt4, pgform.OIDInt2, pgform.OIDUUID:
		return true
	}
	return false
}

// decodeBinary decodes a value in binary format to what lib/pq makes of its text. The
// result may be cell itself.
func decodeBinary(cell []byte, typ uint32, location func() *time.Location) (v driver.Value, err error) {
	var t time.Time
	var infinity int8
	ok := false
	switch typ {
	case pgform.OIDBytea:
		return cell, nil
	case pgform.OIDInt8, pgform.OIDInt4, pgform.OIDInt2:
		v, ok = pgform.ReadInt(cell)
	case pgform.OIDFloat8:
		v, ok = pgform.ReadFloat8(cell)
	case pgform.OIDBool:
		v, ok = len(cell) == 1 && cell[0] != 0, len(cell) == 1
	case pgform.OIDUUID:
		if ok = len(cell) == 16; ok {
			v = pgform.AppendUUID(make([]byte, 0, 36), cell)
		}
	case pgform.OIDTime:
		v, ok = pgform.ReadClock(cell)
	case pgform.OIDTimestamp:
		t, infinity, ok = pgform.ReadTimestamp(cell)
		v = t.In(noZone())
	case pgform.OIDTimestamptz:
		t, infinity, ok = pgform.ReadTimestamp(cell)
		if zone := location(); zone != nil {
			t = t.In(zone)
		}
		v = t
	case pgform.OIDDate:
		t, infinity, ok = pgform.ReadDate(cell)
		v = t.In(noZone())
	case pgform.OIDInterval:
		var i pgform.Interval
		i, infinity, ok = pgform.ReadInterval(cell)
		v = i.AppendText(nil)
	}
	switch {
	case !ok:
		return nil, fmt.Errorf("%d bytes for a value of type %d", len(cell), typ)
	case infinity != 0:
		return []byte(pgform.InfinityText(infinity)), nil
	}
	return v, nil
}

// decodeTimestamp is pq.ParseTimestamp, with less work for ordinary times.
func decodeTimestamp(location *time.Location, cell []byte) (driver.Value, error) {
	if t, offset, zoned, ok := pgform.ParseISO(cell); ok {
		switch {
		case !zoned && location == nil:
			return t.In(noZone()), nil
		case zoned && location != nil:
			local := t.Add(-time.Duration(offset) * time.Second).In(location)
			if _, known := local.Zone(); known == offset {
				return local, nil
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
