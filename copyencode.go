package psyco

import (
	"bytes"
	"database/sql/driver"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/psyco-go/psyco/internal/pgform"
)

// encoder writes rows in one of COPY's formats.
type encoder struct {
	types   *TypeMap
	columns []columnEncoder
	binary  bool
}

type columnEncoder struct {
	name   string
	encode valueEncoder // in the encoder's format
}

// valueEncoder appends a value in the form a column has in COPY, without its
// length. It returns errNull for what is NULL.
type valueEncoder func(m *TypeMap, b []byte, v any) ([]byte, error)

var errNull = errors.New("psyco: NULL")

func newRowEncoder(m *TypeMap, names []string, kinds []columnKind, text bool) encoder {
	e := encoder{types: m, binary: !text, columns: make([]columnEncoder, len(names))}
	for i, kind := range kinds {
		e.columns[i] = columnEncoder{names[i], binaryEncoder(kind)}
		e.binary = e.binary && e.columns[i].encode != nil
	}
	if !e.binary {
		for i, kind := range kinds {
			e.columns[i].encode = textEncoder(kind)
		}
	}
	return e
}

func (e *encoder) appendRow(b []byte, row []any) ([]byte, error) {
	if len(row) != len(e.columns) {
		return b, fmt.Errorf("it has %d values for %d columns", len(row), len(e.columns))
	}
	if !e.binary {
		return e.appendTextRow(b, row)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(row)))
	for i, v := range row {
		var err error
		if b, err = appendField(e.types, b, e.columns[i].encode, v); err != nil {
			return b, e.wrong(i, err)
		}
	}
	return b, nil
}

// appendField appends a value with its length in front.
func appendField(m *TypeMap, b []byte, encode valueEncoder, v any) ([]byte, error) {
	at := len(b)
	b = append(b, 0xff, 0xff, 0xff, 0xff) // NULL
	if v == nil {
		return b, nil
	}
	b, err := m.encode(b, encode, v)
	switch {
	case err == errNull:
		return b[:at+4], nil
	case err != nil:
		return b, err
	case len(b)-at-4 > math.MaxInt32:
		return b, fmt.Errorf("%d bytes are more than a value can have", len(b)-at-4)
	}
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b, nil
}

// encode applies a registered adapter first: the encoders look at Go's types.
func (m *TypeMap) encode(b []byte, encode valueEncoder, v any) ([]byte, error) {
	if m != nil && m.adapters.Load() != nil && m.lookup(reflect.TypeOf(v)) != nil {
		value, err := basicValue(m, v)
		if err != nil {
			return b, err
		}
		v = value
	}
	return encode(m, b, v)
}

// basicValue converts v as a parameter is, into one of driver.Value's types.
func basicValue(m *TypeMap, v any) (driver.Value, error) {
	value, _, _, err := m.convert(v, 0)
	if err == nil && value == nil {
		err = errNull
	}
	return value, err
}

// wrong says which column an error is about.
func (e *encoder) wrong(i int, err error) error {
	return fmt.Errorf("column %q: %w", e.columns[i].name, unprefixed(err))
}

func (e *encoder) appendTextRow(b []byte, row []any) ([]byte, error) {
	for i, v := range row {
		if i > 0 {
			b = append(b, '\t')
		}
		at := len(b)
		err := errNull
		if v != nil {
			b, err = e.types.encode(b, e.columns[i].encode, v)
		}
		if err == errNull {
			b = append(b[:at], `\N`...)
			continue
		}
		if err != nil {
			return b, e.wrong(i, err)
		}
		b = pgform.EscapeCopy(b, at)
	}
	return append(b, '\n'), nil
}

// textEncoder gives the encoder of a type for the text format.
func textEncoder(kind columnKind) valueEncoder {
	switch kind.base {
	case pgform.OIDBytea:
		return func(m *TypeMap, b []byte, v any) ([]byte, error) {
			raw, err := byteaValue(m, v)
			if err != nil {
				return b, err
			}
			return pgform.AppendBytea(b, raw), nil
		}
	case pgform.OIDJSON, pgform.OIDJSONB:
		return encodeJSON
	}
	if kind.elem != nil {
		return encodeArrayText(*kind.elem)
	}
	return encodeText
}

// encodeArrayText gives the encoder of arrays for the text format.
func encodeArrayText(elem columnKind) valueEncoder {
	encode := textEncoder(elem)
	plain := elem.base != pgform.OIDBytea && elem.base != pgform.OIDJSON && elem.base != pgform.OIDJSONB
	return func(m *TypeMap, b []byte, v any) ([]byte, error) {
		rv := listOf(m, v)
		if !rv.IsValid() {
			return encodeText(m, b, v)
		}
		w := arrayWriter{m: m, encode: encode, plain: plain, buf: b, delimiter: arrayDelimiter(indirectType(m.leafType(rv.Type())))}
		return w.column(rv)
	}
}

// encodeText appends a value as the server writes it. Text that comes as bytes
// is text.
func encodeText(m *TypeMap, b []byte, v any) ([]byte, error) {
	switch x := v.(type) {
	case string:
		return append(b, x...), pgform.CheckText(x)
	case []byte:
		if x == nil {
			return b, errNull
		}
		return append(b, x...), checkBytes(x)
	}
	value, err := basicValue(m, v)
	if err != nil {
		return b, err
	}
	if raw, ok := value.([]byte); ok {
		return append(b, raw...), checkBytes(raw)
	}
	b, _, err = appendText(b, value)
	return b, err
}

func checkBytes(b []byte) error {
	if bytes.IndexByte(b, 0) < 0 {
		return nil
	}
	return pgform.CheckText(string(b))
}

// encodeJSON appends a document. Go values that have no other meaning as
// parameters are marshalled.
func encodeJSON(m *TypeMap, b []byte, v any) ([]byte, error) {
	switch v.(type) {
	case string, []byte, json.RawMessage:
		return encodeText(m, b, v)
	}
	if isNilPointer(v) || !isDocument(m, v) {
		return encodeText(m, b, v)
	}
	if rv := reflect.ValueOf(v); isNilable(rv.Kind()) && rv.IsNil() {
		return b, errNull
	}
	text, err := json.Marshal(v)
	if err != nil {
		return b, err
	}
	return append(b, text...), nil
}

func isDocument(m *TypeMap, v any) bool {
	typ := reflect.TypeOf(v)
	if typ.Implements(valuerType) && !typ.Implements(listType) || m.lookup(typ) != nil {
		return false
	}
	if _, ok := v.(json.Marshaler); ok {
		return true
	}
	typ = indirectType(typ)
	if typ.Implements(valuerType) && !typ.Implements(listType) || isByteList(typ) {
		return false
	}
	switch typ.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice, reflect.Array:
		return true
	}
	return false
}

// binaryEncoders are the built-in types that have a binary form here
// (PostgreSQL: the typreceive functions).
var binaryEncoders = map[uint32]valueEncoder{
	pgform.OIDBool:        encodeBool,
	pgform.OIDInt2:        encodeInt("int2", 2, math.MinInt16, math.MaxInt16),
	pgform.OIDInt4:        encodeInt("int4", 4, math.MinInt32, math.MaxInt32),
	pgform.OIDInt8:        encodeInt("int8", 8, math.MinInt64, math.MaxInt64),
	pgform.OIDOID:         encodeInt("oid", 4, 0, math.MaxUint32),
	pgform.OIDFloat4:      encodeFloat4,
	pgform.OIDFloat8:      encodeFloat8,
	pgform.OIDNumeric:     encodeNumeric,
	pgform.OIDText:        encodeText,
	pgform.OIDVarchar:     encodeText,
	pgform.OIDBpchar:      encodeText,
	pgform.OIDName:        encodeText,
	pgform.OIDBytea:       encodeBytea,
	pgform.OIDUUID:        encodeUUID,
	pgform.OIDDate:        encodeDate,
	pgform.OIDTime:        encodeTime,
	pgform.OIDTimestamp:   encodeTimestamp,
	pgform.OIDTimestamptz: encodeTimestamptz,
	pgform.OIDInterval:    encodeInterval,
	pgform.OIDJSON:        encodeJSON,
	pgform.OIDJSONB:       encodeJSONB,
	pgform.OIDInet:        encodeInet(false),
	pgform.OIDCIDR:        encodeInet(true),
}

// binaryEncoder returns the encoder of a type, nil if it has none.
func binaryEncoder(kind columnKind) valueEncoder {
	if encode := binaryEncoders[kind.base]; encode != nil {
		return encode
	}
	if kind.elem != nil {
		if encode := binaryEncoder(*kind.elem); encode != nil {
			return encodeArray(kind.elem.oid, encode)
		}
	}
	return nil
}

// misfit refuses a value for a column of a type.
func misfit(v any, typ string) error {
	switch x := v.(type) {
	case string:
		return fmt.Errorf("%.60q is not a valid %s", x, typ)
	case []byte:
		return fmt.Errorf("%.60q is not a valid %s", x, typ)
	}
	if k := reflect.ValueOf(v).Kind(); k >= reflect.Bool && k <= reflect.Float64 {
		return fmt.Errorf("%T(%v) is not a valid %s", v, v, typ)
	}
	return fmt.Errorf("a %T does not fit the type %s", v, typ)
}

func encodeBool(m *TypeMap, b []byte, v any) ([]byte, error) {
	x, ok := v.(bool)
	if !ok {
		value, err := basicValue(m, v)
		if err != nil {
			return b, err
		}
		switch value := textOf(value).(type) {
		case bool:
			x, ok = value, true
		case string:
			switch strings.ToLower(value) {
			case "t", "true":
				x, ok = true, true
			case "f", "false":
				x, ok = false, true
			}
		}
		if !ok {
			return b, misfit(v, "bool")
		}
	}
	return pgform.AppendBool(b, x), nil
}

// textOf takes bytes for text.
func textOf(v any) any {
	if b, ok := v.([]byte); ok {
		return string(b)
	}
	return v
}

// integerOf converts the predeclared integer types.
func integerOf(v any) (n int64, ok bool) {
	switch x := v.(type) {
	case int:
		return int64(x), true
	case int64:
		return x, true
	case int32:
		return int64(x), true
	case int16:
		return int64(x), true
	case int8:
		return int64(x), true
	case uint8:
		return int64(x), true
	case uint16:
		return int64(x), true
	case uint32:
		return int64(x), true
	case uint:
		return int64(x), uint64(x) <= math.MaxInt64
	case uint64:
		return int64(x), x <= math.MaxInt64
	}
	return 0, false
}

func encodeInt(typ string, size int, low, high int64) valueEncoder {
	return func(m *TypeMap, b []byte, v any) ([]byte, error) {
		n, ok := integerOf(v)
		if !ok {
			value, err := basicValue(m, v)
			if err != nil {
				return b, err
			}
			switch x := textOf(value).(type) {
			case int64:
				n, ok = x, true
			case float64:
				n = int64(x)
				ok = float64(n) == x && x < math.MaxInt64 // which is 1<<63 as a float64
			case string:
				n, err = strconv.ParseInt(x, 10, 64)
				ok = err == nil
			}
			if !ok {
				return b, misfit(v, typ)
			}
		}
		if n < low || n > high {
			return b, fmt.Errorf("%d is out of the range of %s", n, typ)
		}
		return pgform.AppendInt(b, n, size), nil
	}
}

func floatOf(m *TypeMap, v any, typ string, bits int) (float64, error) {
	switch x := v.(type) {
	case float64:
		return x, nil
	case float32:
		return float64(x), nil
	}
	value, err := basicValue(m, v)
	if err != nil {
		return 0, err
	}
	switch x := textOf(value).(type) {
	case float64:
		return x, nil
	case int64:
		return float64(x), nil
	case string:
		if f, err := strconv.ParseFloat(x, bits); err == nil && pgform.IsNumeric(x) {
			return f, nil
		}
	}
	return 0, misfit(v, typ)
}

func encodeFloat8(m *TypeMap, b []byte, v any) ([]byte, error) {
	f, err := floatOf(m, v, "float8", 64)
	if err != nil {
		return b, err
	}
	return pgform.AppendFloat8(b, f), nil
}

func encodeFloat4(m *TypeMap, b []byte, v any) ([]byte, error) {
	f, err := floatOf(m, v, "float4", 32)
	if err != nil {
		return b, err
	}
	small := float32(f)
	if math.IsInf(float64(small), 0) && !math.IsInf(f, 0) || small == 0 && f != 0 {
		return b, fmt.Errorf("%v is out of the range of float4", f)
	}
	return pgform.AppendFloat4(b, small), nil
}

// byteaValue converts v for a bytea column.
func byteaValue(m *TypeMap, v any) ([]byte, error) {
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Array && isByteList(rv.Type()) {
		addressable := reflect.New(rv.Type()).Elem()
		addressable.Set(rv)
		return addressable.Bytes(), nil
	}
	value, err := basicValue(m, v)
	if err != nil {
		return nil, err
	}
	switch x := value.(type) {
	case []byte:
		return x, nil
	case string:
		if raw, err := pgform.ParseBytea(x); err == nil {
			return raw, nil
		}
	}
	return nil, misfit(v, `bytea: pass []byte, or text as the server reads it (\x…)`)
}

func encodeBytea(m *TypeMap, b []byte, v any) ([]byte, error) {
	if x, ok := v.([]byte); ok && x != nil {
		return append(b, x...), nil
	}
	raw, err := byteaValue(m, v)
	return append(b, raw...), err
}

func encodeUUID(m *TypeMap, b []byte, v any) ([]byte, error) {
	if x, ok := v.([16]byte); ok {
		return append(b, x[:]...), nil
	}
	value, err := basicValue(m, v)
	if err != nil {
		return b, err
	}
	switch x := value.(type) {
	case []byte:
		if len(x) == 16 {
			return append(b, x...), nil
		}
		value = string(x)
	}
	if text, ok := value.(string); ok {
		if uuid, ok := pgform.ParseUUID(text); ok {
			return append(b, uuid[:]...), nil
		}
	}
	return b, misfit(v, "uuid")
}

func encodeNumeric(m *TypeMap, b []byte, v any) ([]byte, error) {
	var room [32]byte
	if n, ok := integerOf(v); ok {
		return pgform.AppendNumeric(b, string(strconv.AppendInt(room[:0], n, 10)))
	}
	value, err := basicValue(m, v)
	if err != nil {
		return b, err
	}
	switch x := textOf(value).(type) {
	case int64:
		return pgform.AppendNumeric(b, string(strconv.AppendInt(room[:0], x, 10)))
	case float64:
		return pgform.AppendNumeric(b, string(pgform.AppendFloat(room[:0], x)))
	case string:
		if pgform.IsNumeric(x) {
			return pgform.AppendNumeric(b, x)
		}
	}
	return b, misfit(v, "numeric")
}

// encodeTimestamptz appends an instant, in microseconds since the server's epoch.
func encodeTimestamptz(m *TypeMap, b []byte, v any) ([]byte, error) {
	if t, ok := v.(time.Time); ok && !hasInfinity() {
		return pgform.AppendMicros(b, t, 0)
	}
	t, infinite, err := momentOf(m, v, "timestamptz")
	if err != nil {
		return b, err
	}
	if infinite != 0 {
		return pgform.AppendInfinity(b, infinite), nil
	}
	return pgform.AppendMicros(b, t, 0)
}

// encodeTimestamp appends what the clock shows.
func encodeTimestamp(m *TypeMap, b []byte, v any) ([]byte, error) {
	t, ok := v.(time.Time)
	if !ok || hasInfinity() {
		var infinite int8
		var err error
		if t, infinite, err = momentOf(m, v, "timestamp"); err != nil {
			return b, err
		}
		if infinite != 0 {
			return pgform.AppendInfinity(b, infinite), nil
		}
	}
	_, offset := t.Zone()
	return pgform.AppendMicros(b, t, int64(offset))
}

func encodeDate(m *TypeMap, b []byte, v any) ([]byte, error) {
	date, err := dateOf(m, v)
	if err != nil {
		return b, err
	}
	return pgform.Date(date).AppendBinary(b)
}

func dateOf(m *TypeMap, v any) (Date, error) {
	if t, ok := v.(time.Time); ok && !hasInfinity() {
		return DateOf(t), nil
	}
	value, err := basicValue(m, v)
	if err != nil {
		return Date{}, err
	}
	if text, ok := textOf(value).(string); ok {
		if date, ok := pgform.ParseDate(text); ok {
			return Date(date), nil
		}
	}
	t, infinite, err := momentOf(m, v, "date")
	if err != nil {
		return Date{}, err
	}
	date := DateOf(t)
	date.Infinity = infinite
	return date, nil
}

// encodeTime appends the time of day that the clock shows.
func encodeTime(m *TypeMap, b []byte, v any) ([]byte, error) {
	var micros int64
	switch x := v.(type) {
	case time.Duration:
		micros = x.Round(time.Microsecond).Microseconds()
	case time.Time:
		micros = pgform.ClockMicros(x)
	default:
		t, infinite, err := momentOf(m, v, "time")
		switch {
		case err != nil:
			return b, err
		case infinite != 0:
			return b, errors.New("infinity is not a time of day")
		}
		micros = pgform.ClockMicros(t)
		if t.Year() == 0 && t.Day() == 2 { // as ParseClock gives 24:00:00
			micros += pgform.MicrosPerDay
		}
	}
	return pgform.AppendClock(b, micros)
}

// momentOf converts what is not plainly a time.Time.
func momentOf(m *TypeMap, v any, typ string) (t time.Time, infinite int8, err error) {
	value, err := basicValue(m, v)
	if err != nil {
		return time.Time{}, 0, err
	}
	switch x := textOf(value).(type) {
	case time.Time:
		infinite, _ := infinityOf(infinityFor(x))
		return x, infinite, nil
	case string:
		if sign, ok := infinityOf(x); ok {
			return time.Time{}, sign, nil
		}
		if typ == "timestamptz" && !pgform.HasZone(x) {
			return time.Time{}, 0, fmt.Errorf("the timestamptz %.60q has no offset: add one, or pass a time.Time", x)
		}
		if t, err := time.Parse(time.RFC3339Nano, x); err == nil {
			return t, 0, nil
		}
		if typ != "time" && !strings.ContainsRune(x, '-') {
			break // a time of day
		}
		if t, err := parseTime(x); err == nil {
			return t, 0, nil
		}
	}
	return time.Time{}, 0, misfit(v, typ)
}

func encodeInterval(m *TypeMap, b []byte, v any) ([]byte, error) {
	var i pgform.Interval
	switch x := v.(type) {
	case time.Duration:
		i = pgform.Interval(IntervalOf(x))
	case Interval:
		i = pgform.Interval(x)
	default:
		value, err := basicValue(m, v)
		if err != nil {
			return b, err
		}
		text, ok := textOf(value).(string)
		if !ok {
			return b, misfit(v, "interval")
		}
		if i, err = pgform.ParseInterval(text); err != nil {
			return b, err
		}
	}
	return i.AppendBinary(b), nil
}

func encodeJSONB(m *TypeMap, b []byte, v any) ([]byte, error) {
	return encodeJSON(m, append(b, 1), v) // the version of the format
}

func encodeInet(isCIDR bool) valueEncoder {
	return func(m *TypeMap, b []byte, v any) ([]byte, error) {
		prefix, err := inetOf(m, v)
		if err != nil {
			return b, err
		}
		return pgform.AppendInet(b, prefix, isCIDR), nil
	}
}

func inetOf(m *TypeMap, v any) (netip.Prefix, error) {
	value, err := basicValue(m, v)
	if err != nil {
		return netip.Prefix{}, err
	}
	text, ok := textOf(value).(string)
	if !ok {
		return netip.Prefix{}, misfit(v, "inet")
	}
	return pgform.ParseInet(text)
}

// encodeArray gives the encoder of arrays whose elements are of type oid and have an
// encoder.
func encodeArray(oid uint32, encode valueEncoder) valueEncoder {
	return func(m *TypeMap, b []byte, v any) ([]byte, error) {
		switch x := v.(type) { // without reflection
		case []string:
			return appendList(m, b, oid, encode, x)
		case []int:
			return appendList(m, b, oid, encode, x)
		case []int32:
			return appendList(m, b, oid, encode, x)
		case []int64:
			return appendList(m, b, oid, encode, x)
		case []float64:
			return appendList(m, b, oid, encode, x)
		case []time.Time:
			return appendList(m, b, oid, encode, x)
		case [][]byte:
			return appendList(m, b, oid, encode, x)
		}
		if rv := listOf(m, v); rv.IsValid() {
			w := arrayWriter{m: m, encode: encode, oid: oid, buf: b}
			return w.column(rv)
		}
		value, err := basicValue(m, v)
		if err != nil {
			return b, err
		}
		text, ok := textOf(value).(string)
		if !ok {
			return b, misfit(v, "array")
		}
		return appendParsedArray(m, b, oid, encode, text)
	}
}

// appendList writes a slice without nested ones.
func appendList[T any](m *TypeMap, b []byte, oid uint32, encode valueEncoder, list []T) ([]byte, error) {
	if list == nil {
		return b, errNull
	}
	var dims []int
	if len(list) > 0 {
		dims = []int{len(list)}
	}
	b = pgform.AppendArrayHead(b, oid, dims)
	for i := range list {
		var err error
		if b, err = appendField(m, b, encode, list[i]); err != nil {
			return b, fmt.Errorf("element %d: %w", i, err)
		}
	}
	return b, nil
}

// listOf is the slice or array of elements that v is, points to or has if it is not NULL.
func listOf(m *TypeMap, v any) reflect.Value {
	rv := reflect.ValueOf(v)
	for rv.IsValid() && m.lookup(rv.Type()) == nil {
		if rv.Kind() == reflect.Pointer {
			rv = rv.Elem()
		} else if isNullOf(rv.Type()) && rv.FieldByName("Valid").Bool() {
			rv = rv.FieldByName("V")
			if rv.Kind() == reflect.Interface {
				rv = rv.Elem()
			}
		} else {
			break
		}
	}
	if !rv.IsValid() || !m.isList(rv.Type()) {
		return reflect.Value{}
	}
	return rv
}

// appendParsedArray writes an array that the program has in text.
func appendParsedArray(m *TypeMap, b []byte, oid uint32, encode valueEncoder, text string) ([]byte, error) {
	elements, dims, err := pgform.ParseArray(text, ',')
	if err != nil {
		return b, err
	}
	if len(elements) == 0 {
		dims = nil
	}
	b = pgform.AppendArrayHead(b, oid, dims)
	for i, e := range elements {
		var v any
		if !e.Null {
			v = e.Text
		}
		if b, err = appendField(m, b, encode, v); err != nil {
			return b, fmt.Errorf("element %d: %w", i, err)
		}
	}
	return b, nil
}
