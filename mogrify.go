package psyco

import (
	"database/sql/driver"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/lib/pq/oid"

	"github.com/psyco-go/psyco/internal/literal"
	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/placeholder"
)

// Mogrify returns query with the arguments in place of its placeholders, as
// binding=client sends it (psycopg: cursor.mogrify). It takes the arguments that
// Exec and Query take: values for %s and $1, one map or struct or [sql.Named]
// values for %(name)s. (A query that the server refuses because it cannot infer a
// type, unnest('{1,2}'), is sent once more with casts, '{1,2}'::int4[].) Without arguments query comes back as it is. Adapters of a
// connector's [TypeMap] are not asked.
//
// Every value is a literal that stays one whatever is in it and whatever stands
// beside it, with standard_conforming_strings on or off; a '…' in query that
// ends elsewhere with it off is an error. For psycopg's placeholders a literal has
// the type that the parameter would have: '…'::timestamptz, '…'::float8, a bare
// 5 or -5, and a plain '…' for strings and most slices, whose type the server
// infers. []byte is a bytea; only bytes that come from a Valuer are left to be
// inferred, if they are text. Where the statement takes no expressions (SET,
// NOTIFY, COMMENT, options) there are no casts. Values for $1 are all plain '…',
// as lib/pq sends them.
//
// There is no connection to ask for its client_encoding: the literals are for UTF8, and
// for the encodings that databases can have. Under SJIS, BIG5, GBK, GB18030, UHC, JOHAB
// and SHIFT_JIS_2004 a literal may end elsewhere; a connection refuses to write any
// there.
//
// Mogrify serves logs and texts that another program runs; a query that psyco
// runs is best given its arguments, which then need no quoting. The errors are
// those of the placeholders, and say which argument cannot be a literal: one with
// a NUL byte, or of a type without a PostgreSQL type.
func Mogrify(query string, args ...any) (string, error) {
	if len(args) == 0 {
		return query, nil
	}
	q, err := rewrite(query, placeholder.Auto)
	if err != nil {
		return "", err
	}
	return (&conn{con: &Connector{}}).mogrify(q, numbered(nil, args))
}

// mogrify returns q's text with the arguments in place of the placeholders.
func (c *conn) mogrify(q *query, args []driver.NamedValue) (string, error) {
	l, err := c.literals(q, args)
	if err != nil {
		return "", err
	}
	text, _, err := l.sql(nil)
	return text, err
}

// literals converts the arguments of q for their places in it.
func (c *conn) literals(q *query, args []driver.NamedValue) (*literals, error) {
	if err := c.checkEncoding(); err != nil {
		return nil, err
	}
	native := q.Style == placeholder.Native
	if native {
		if err := c.nativeValues(q, args); err != nil {
			return nil, err
		}
	}
	l := &literals{writer: newWriter()}
	l.writer.Native, l.writer.Conforming = native, c.conformingStrings()
	// How a literal is written depends on both sides of it: first its place is marked.
	var err error
	l.text, l.made, err = q.Render(args, func(dst []byte, arg driver.NamedValue) ([]byte, error) {
		value, err := c.con.types.constant(arg, native)
		if err != nil {
			return dst, argumentError(&arg, err)
		}
		l.values = append(l.values, value)
		return append(dst, "$1"...), nil
	})
	if err != nil {
		return nil, q.orByName(err)
	}
	return l, nil
}

// conformingStrings reports whether the server is known to read '…' as sqllex does.
func (c *conn) conformingStrings() bool {
	if c.wire == nil {
		return false
	}
	value, _ := c.wire.Parameter("standard_conforming_strings")
	return value == "on"
}

// newWriter returns a writer of literals with lib/pq's texts of values and names of types.
func newWriter() literal.Writer { return literal.Writer{Text: valueText, TypeName: typeName} }

// constant is an argument that was converted.
type constant struct {
	literal.Value                        // with the type that is declared
	arg                driver.NamedValue // as the program gave it
	declared, fallback uint32            // see TypeMap.convert; 0 for native queries
	isBytea            bool              // the server says that the bytes go into a bytea
}

// constant converts an argument.
func (m *TypeMap) constant(arg driver.NamedValue, native bool) (k constant, err error) {
	k.arg, k.V = arg, arg.Value
	if native {
		return k, nil
	}
	k.V, k.declared, k.fallback, err = m.convert(arg.Value, 0)
	k.Type = k.declared
	if _, ok := k.V.([]byte); ok {
		k.Bytes = isBytes(reflect.TypeOf(arg.Value))
	}
	return k, err
}

// unclear reports whether only the server can tell if bytes are meant as text.
func (k *constant) unclear() bool {
	x, ok := k.V.([]byte)
	return ok && x != nil && k.declared == 0 && !k.Bytes && literal.Unclear(x)
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

// valueText is the text in which the server reads a value.
func valueText(value any) (string, error) {
	if t, ok := value.(time.Time); ok {
		return string(appendTime(nil, t)), nil
	}
	text, _, err := pgform.AppendText(nil, value)
	return string(text), err
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

// checkEncoding refuses to let the meaning of bytes depend on the session's
// client_encoding, where a program has set one of those that only clients may use. In
// them the second byte of a character can be a backslash, a digit or a letter: bytes of
// UTF-8 in a literal, or in COPY's text format, would join with what stands beside them,
// and a value end where its text does not.
func (c *conn) checkEncoding() error {
	if c.wire == nil {
		return nil
	}
	name, reported := c.wire.Parameter("client_encoding")
	if !reported || isServerEncoding(name) {
		return nil
	}
	return fmt.Errorf("psyco: client_encoding is %s, in which values cannot be put into the text of a statement, "+
		"or of COPY, without a change of their meaning: SET client_encoding TO 'UTF8' before", name)
}

// isServerEncoding reports whether name, as the server spells it, is an encoding that
// databases can have: in those no byte of a longer character is ASCII.
func isServerEncoding(name string) bool {
	switch name {
	case "UTF8", "SQL_ASCII", "MULE_INTERNAL":
		return true
	}
	for _, family := range []string{"EUC_", "LATIN", "WIN", "KOI8", "ISO_8859_"} {
		if strings.HasPrefix(name, family) {
			return true
		}
	}
	return false
}
