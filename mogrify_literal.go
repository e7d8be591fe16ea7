package psyco

import (
	"bytes"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lib/pq/oid"

	"github.com/psyco-go/psyco/internal/pgform"
)

// literal is a value as PostgreSQL reads it in a query.
type literal struct {
	text string
	cast bool // text ends with a type's name
}

var nullLiteral = literal{text: "NULL"}

// constant is an argument that was converted.
type constant struct {
	arg                driver.NamedValue // as the program gave it
	value              driver.Value
	declared, fallback uint32 // see TypeMap.convert; 0 for native queries
	typ                uint32 // that the literal gets: declared, or the fallback if the server cannot infer one
	isBytea            bool   // the server says that the bytes go into a bytea
}

// constant converts an argument.
func (b *binder) constant(arg driver.NamedValue) (constant, error) {
	k := constant{arg: arg, value: arg.Value}
	if b.native {
		return k, nil
	}
	var err error
	k.value, k.declared, k.fallback, err = b.types.convert(arg.Value, 0)
	k.typ = k.declared
	return k, err
}

// literal writes an argument. Without typed, the place in the query takes
// constants only: quoted text and numbers.
func (b *binder) literal(k *constant, typed bool) (literal, error) {
	if x, ok := k.value.([]byte); ok && k.isBytea {
		return quoted(fmt.Sprintf(`\x%x`, x), pgform.OIDBytea, typed)
	}
	if b.native {
		return nativeLiteral(k.value, typed)
	}
	declared := k.typ
	switch x := k.value.(type) {
	case nil:
		cast := castTo(declared, typed)
		return literal{text: "NULL" + cast, cast: cast != ""}, nil
	case bool:
		if declared == pgform.OIDBool {
			return literal{text: strconv.FormatBool(x)}, nil
		}
	case int64:
		if declared == intOID(x) { // a number without a point is of these very types
			return literal{text: strconv.FormatInt(x, 10)}, nil
		}
	case []byte:
		switch {
		case declared != 0 && declared != pgform.OIDBytea:
			return quoted(string(x), declared, typed)
		case declared == 0 && !isBytes(reflect.TypeOf(k.arg.Value)):
			return bytesOrText(x, typed)
		}
		declared = pgform.OIDBytea
	}
	text, err := valueText(k.value)
	if err != nil {
		return literal{}, err
	}
	if !typed && (declared == pgform.OIDFloat8 || declared == pgform.OIDNumeric) && isDecimal(text) {
		return literal{text: text}, nil
	}
	return quoted(text, declared, typed)
}

// nativeLiteral writes what lib/pq sends as a parameter: text for which the
// server finds the type.
func nativeLiteral(value driver.Value, typed bool) (literal, error) {
	if x, ok := value.([]byte); ok && x != nil {
		return bytesOrText(x, typed)
	} else if ok || value == nil {
		return nullLiteral, nil
	}
	text, err := valueText(value)
	if err != nil {
		return literal{}, err
	}
	return quoted(text, 0, typed)
}

// unclear reports whether bytes, which may be meant as text, are written in another way
// then: plain text is right for both, until it has a backslash, which bytea reads as an
// escape, or what no text can have.
func (b *binder) unclear(k *constant) bool {
	x, ok := k.value.([]byte)
	return ok && x != nil && (b.native || k.declared == 0 && !isBytes(reflect.TypeOf(k.arg.Value))) &&
		(bytes.IndexByte(x, '\\') >= 0 || bytes.IndexByte(x, 0) >= 0 || !utf8.Valid(x))
}

// bytesOrText writes bytes that may be meant as text, such as json from a
// Valuer, by what they look like if they are unclear and no server was asked.
func bytesOrText(x []byte, typed bool) (literal, error) {
	text := string(x)
	switch {
	case !utf8.Valid(x) || strings.IndexByte(text, 0) >= 0:
	case strings.IndexByte(text, '\\') < 0:
		return quoted(text, 0, typed)
	case json.Valid(x):
		return quoted(text, uint32(oid.T_json), typed)
	}
	return quoted(fmt.Sprintf(`\x%x`, x), pgform.OIDBytea, typed)
}

// isBytes reports whether values of typ are bytes themselves, and not something
// that database/sql only gets to see as bytes.
func isBytes(typ reflect.Type) bool {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if isNullOf(typ) {
		v, _ := typ.FieldByName("V")
		return isBytes(v.Type)
	}
	return isByteList(typ) && !typ.Implements(valuerType)
}

// quoted writes text as a constant of a type; of type 0, or one that is not
// known by name, its place in the query decides.
func quoted(text string, declared uint32, typed bool) (literal, error) {
	if err := pgform.CheckText(text); err != nil {
		return literal{}, err
	}
	var b strings.Builder
	b.Grow(len(text) + 16)
	if strings.IndexByte(text, '\\') < 0 {
		b.WriteByte('\'')
	} else {
		// Only in this form does a backslash mean the same to every server.
		b.WriteString("E'")
		text = strings.ReplaceAll(text, `\`, `\\`)
	}
	b.WriteString(strings.ReplaceAll(text, "'", "''"))
	b.WriteByte('\'')
	cast := castTo(declared, typed)
	b.WriteString(cast)
	return literal{text: b.String(), cast: cast != ""}, nil
}

// castTo returns what is put behind a constant to give it a type, or "".
func castTo(declared uint32, typed bool) string {
	name := typeName(declared)
	if !typed || name == "" {
		return ""
	}
	return "::" + name
}

// typeName returns how a query names a type, "" for those that do not come with
// every server.
func typeName(declared uint32) string {
	name, array := strings.CutPrefix(strings.ToLower(oid.TypeName[oid.Oid(declared)]), "_")
	switch name {
	case "char", "bit": // without quotes these are words for character(1) and bit(1)
		name = `"` + name + `"`
	}
	if array {
		name += "[]"
	}
	return name
}

// valueText is the text in which the server reads a value.
func valueText(value driver.Value) (string, error) {
	if t, ok := value.(time.Time); ok {
		return string(appendTime(nil, t)), nil
	}
	text, _, err := pgform.AppendText(nil, value)
	return string(text), err
}

// isDecimal reports whether text is a number that needs no quotes.
func isDecimal(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	return whole != "" && (fraction != "" || !point) && strings.Trim(whole+fraction, "0123456789") == ""
}
