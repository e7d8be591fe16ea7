package literal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/psyco-go/psyco/internal/pgform"
)

// Value is what is written as a literal.
type Value struct {
	V     any    // nil for NULL, bool, int64, []byte, or what Writer.Text knows
	Type  uint32 // that the literal gets by a cast; 0 if its place in the query decides
	Bytes bool   // V is bytes for the program too, and not perhaps text; of no account if there is a Type
}

// literal is a value as PostgreSQL reads it in a query.
type literal struct {
	text string
	cast bool // text ends with a type's name
}

var nullLiteral = literal{text: "NULL"}

// literal writes a value. Without typed, the place in the query takes constants only:
// quoted text and numbers.
func (w *Writer) literal(v *Value, typed bool) (literal, error) {
	if x, ok := v.V.([]byte); ok && v.Type == pgform.OIDBytea {
		return w.byteaLiteral(x, typed)
	}
	if w.Native {
		return w.nativeLiteral(v.V, typed)
	}
	switch x := v.V.(type) {
	case nil:
		cast := w.castTo(v.Type, typed)
		return literal{text: "NULL" + cast, cast: cast != ""}, nil
	case bool:
		if v.Type == pgform.OIDBool {
			return literal{text: strconv.FormatBool(x)}, nil
		}
	case int64:
		if v.Type == numberOID(x) {
			return literal{text: strconv.FormatInt(x, 10)}, nil
		}
	case []byte:
		switch {
		case v.Type != 0:
			return w.quoted(string(x), v.Type, typed)
		case v.Bytes:
			return w.byteaLiteral(x, typed)
		}
		return w.bytesOrText(x, typed)
	}
	text, err := w.Text(v.V)
	if err != nil {
		return literal{}, err
	}
	if !typed && (v.Type == pgform.OIDFloat8 || v.Type == pgform.OIDNumeric) && isDecimal(text) {
		return literal{text: text}, nil
	}
	return w.quoted(text, v.Type, typed)
}

// numberOID is the type that the server gives a number without a point.
func numberOID(n int64) uint32 {
	if n == int64(int32(n)) {
		return pgform.OIDInt4
	}
	return pgform.OIDInt8
}

// nativeLiteral writes what lib/pq sends as a parameter: text for which the
// server finds the type.
func (w *Writer) nativeLiteral(value any, typed bool) (literal, error) {
	if x, ok := value.([]byte); ok && x != nil {
		return w.bytesOrText(x, typed)
	} else if ok || value == nil {
		return nullLiteral, nil
	}
	text, err := w.Text(value)
	if err != nil {
		return literal{}, err
	}
	return w.quoted(text, 0, typed)
}

// Unclear reports whether bytes, which may be meant as text, are written in another way
// then: plain text is right for both, until it has a backslash, which bytea reads as an
// escape, or what no text can have.
func Unclear(x []byte) bool {
	return bytes.IndexByte(x, '\\') >= 0 || bytes.IndexByte(x, 0) >= 0 || !utf8.Valid(x)
}

// bytesOrText writes bytes that may be meant as text, such as json from a
// Valuer, by what they look like if they are unclear and no server was asked.
func (w *Writer) bytesOrText(x []byte, typed bool) (literal, error) {
	text := string(x)
	switch {
	case !utf8.Valid(x) || strings.IndexByte(text, 0) >= 0:
	case strings.IndexByte(text, '\\') < 0:
		return w.quoted(text, 0, typed)
	case json.Valid(x):
		return w.quoted(text, pgform.OIDJSON, typed)
	}
	return w.byteaLiteral(x, typed)
}

func (w *Writer) byteaLiteral(x []byte, typed bool) (literal, error) {
	return w.quoted(fmt.Sprintf(`\x%x`, x), pgform.OIDBytea, typed)
}

// quoted writes text as a constant of a type; of type 0, or one that is not
// known by name, its place in the query decides.
func (w *Writer) quoted(text string, declared uint32, typed bool) (literal, error) {
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
	cast := w.castTo(declared, typed)
	b.WriteString(cast)
	return literal{text: b.String(), cast: cast != ""}, nil
}

// castTo returns what is put behind a constant to give it a type, or "".
func (w *Writer) castTo(declared uint32, typed bool) string {
	if typed {
		if name := w.TypeName(declared); name != "" {
			return "::" + name
		}
	}
	return ""
}

// isDecimal reports whether text is a number that needs no quotes.
func isDecimal(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	whole, fraction, point := strings.Cut(digits, ".")
	return whole != "" && (fraction != "" || !point) && strings.Trim(whole+fraction, "0123456789") == ""
}
