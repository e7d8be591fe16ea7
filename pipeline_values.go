package psyco

import (
	"bytes"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/oid"

	"github.com/psyco-go/psyco/internal/wire"
)

// In a pipeline psyco encodes the parameters and decodes the results itself.
// Both are lib/pq's text format, value for value, so that it makes no difference
// whether a statement runs in a pipeline or alone.

// appendParameter appends a parameter of the given type.
func appendParameter(b []byte, value driver.Value, typ uint32) (_ []byte, null bool, err error) {
	switch x := value.(type) {
	case nil:
		return b, true, nil
	case int64:
		return strconv.AppendInt(b, x, 10), false, nil
	case float64:
		return strconv.AppendFloat(b, x, 'f', -1, 64), false, nil
	case bool:
		return strconv.AppendBool(b, x), false, nil
	case string:
		if typ == oidBytea {
			return hex.AppendEncode(append(b, `\x`...), []byte(x)), false, nil
		}
		return append(b, x...), false, nil
	case []byte:
		if x == nil {
			return b, true, nil
		}
		if typ == oidBytea {
			return hex.AppendEncode(append(b, `\x`...), x), false, nil
		}
		return append(b, x...), false, nil
	case time.Time:
		return appendTime(b, x), false, nil
	}
	return b, false, fmt.Errorf("%T is no value that can be sent", value)
}

// appendTime is pq.FormatTimestamp, without its allocation for ordinary times.
func appendTime(b []byte, t time.Time) []byte {
	if _, offset := t.Zone(); offset%60 == 0 && t.Year() > 0 && !hasInfinity() {
		return t.AppendFormat(b, "2006-01-02 15:04:05.999999999Z07:00")
	}
	if hasInfinity() {
		// Of lib/pq's functions only the one for arrays asks EnableInfinityTs.
		text, err := pq.GenericArray{A: []time.Time{t}}.Value()
		if s, ok := text.(string); ok && err == nil && len(s) > len(`{""}`) {
			return append(b, s[2:len(s)-2]...)
		}
	}
	return append(b, pq.FormatTimestamp(t)...)
}

// hasInfinity reports whether pq.EnableInfinityTs was called, which must happen
// before the first connection.
var hasInfinity = sync.OnceValue(func() bool {
	text, err := pq.GenericArray{A: []time.Time{time.Unix(1<<55, 0), time.Unix(-1<<55, 0)}}.Value()
	return err == nil && text == `{"infinity","-infinity"}`
})

// decodeRow decodes a row in text format. location is asked only if a value needs it.
func decodeRow(cells [][]byte, fields []wire.Field, location func() *time.Location) ([]driver.Value, error) {
	row := make([]driver.Value, len(cells))
	for i, cell := range cells {
		if cell == nil {
			continue
		}
		v, err := decodeText(cell, fields[i].TypeOID, location)
		if err != nil {
			return nil, fmt.Errorf("psyco: column %q: %w", fields[i].Name, err)
		}
		if b, ok := v.([]byte); ok {
			v = bytes.Clone(b)
		}
		row[i] = v
	}
	return row, nil
}

// decodeText decodes a value as lib/pq does. The result may be cell itself.
func decodeText(cell []byte, typ uint32, location func() *time.Location) (driver.Value, error) {
	switch oid.Oid(typ) {
	case oid.T_char, oid.T_bpchar, oid.T_varchar, oid.T_text:
		return string(cell), nil
	case oid.T_bytea:
		return decodeBytea(string(cell))
	case oid.T_timestamptz:
		return decodeTimestamp(location(), string(cell))
	case oid.T_timestamp, oid.T_date:
		return decodeTimestamp(nil, string(cell))
	case oid.T_time, oid.T_timetz:
		return parseTime(string(cell))
	case oid.T_bool:
		return string(cell) == "t", nil
	case oid.T_int8, oid.T_int4, oid.T_int2:
		return strconv.ParseInt(string(cell), 10, 64)
	case oid.T_float4, oid.T_float8:
		return strconv.ParseFloat(string(cell), 64)
	}
	return cell, nil
}

func decodeTimestamp(location *time.Location, text string) (driver.Value, error) {
	if text == "infinity" || text == "-infinity" {
		return []byte(text), nil
	}
	return pq.ParseTimestamp(location, text)
}

// decodeBytea reads both formats of bytea_output.
func decodeBytea(text string) ([]byte, error) {
	if len(text) >= 2 && text[:2] == `\x` {
		return hex.DecodeString(text[2:])
	}
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] != '\\':
			b = append(b, text[i])
		case i+1 < len(text) && text[i+1] == '\\':
			b = append(b, '\\')
			i++
		case i+3 < len(text):
			n, err := strconv.ParseUint(text[i+1:i+4], 8, 8)
			if err != nil {
				return nil, fmt.Errorf("bytea with %.4q", text[i:])
			}
			b = append(b, byte(n))
			i += 3
		default:
			return nil, errors.New("bytea that ends in the middle of a byte")
		}
	}
	return b, nil
}

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

// describeColumns is what a result set in memory tells of its columns.
func describeColumns(fields []wire.Field) *header {
	h := &header{names: make([]string, len(fields)), types: make([]columnType, len(fields))}
	for i, f := range fields {
		h.names[i] = f.Name
		t := &h.types[i]
		t.scan, t.name = scanType(f.TypeOID), oid.TypeName[oid.Oid(f.TypeOID)]
		const header = 4 // is counted in the modifiers of these types
		switch oid.Oid(f.TypeOID) {
		case oid.T_text, oid.T_bytea:
			t.length, t.hasLength = math.MaxInt64, true
		case oid.T_varchar, oid.T_bpchar:
			t.length, t.hasLength = int64(f.TypeMod-header), true
		case oid.T_varbit, oid.T_bit:
			t.length, t.hasLength = int64(f.TypeMod), true
		case oid.T_numeric, oid.T__numeric:
			modifier := int64(f.TypeMod) - header
			t.precision, t.scale, t.hasPrecision = modifier>>16&0xffff, modifier&0xffff, true
		}
	}
	return h
}

func scanType(typ uint32) reflect.Type {
	switch oid.Oid(typ) {
	case oid.T_int8:
		return reflect.TypeFor[int64]()
	case oid.T_int4:
		return reflect.TypeFor[int32]()
	case oid.T_int2:
		return reflect.TypeFor[int16]()
	case oid.T_float8:
		return reflect.TypeFor[float64]()
	case oid.T_float4:
		return reflect.TypeFor[float32]()
	case oid.T_varchar, oid.T_text, oid.T_varbit, oid.T_bit:
		return reflect.TypeFor[string]()
	case oid.T_bool:
		return reflect.TypeFor[bool]()
	case oid.T_date, oid.T_time, oid.T_timetz, oid.T_timestamp, oid.T_timestamptz:
		return timeType
	case oid.T_bytea:
		return reflect.TypeFor[[]byte]()
	}
	return reflect.TypeFor[any]()
}
