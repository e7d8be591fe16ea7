package psyco

import (
	"bytes"
	"database/sql/driver"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"reflect"

	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/wire"
)

// copyFrame is how much of a COPY is gathered before it is sent.
const copyFrame = 64 << 10

// copySource is the data of a CopyRows.
type copySource struct {
	copyOptions
	rows iter.Seq2[[]any, error]
	encoder
}

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
		b = escapeText(b, at)
	}
	return append(b, '\n'), nil
}

// escapeText escapes b[at:] for COPY's text format, in place if it can.
func escapeText(b []byte, at int) []byte {
	if !bytes.ContainsAny(b[at:], "\\\t\n\r") {
		return b
	}
	plain := bytes.Clone(b[at:])
	b = b[:at]
	for _, c := range plain {
		switch c {
		case '\\':
			b = append(b, `\\`...)
		case '\t':
			b = append(b, `\t`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		default:
			b = append(b, c)
		}
	}
	return b
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
