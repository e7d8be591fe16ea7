package psyco

import (
	"database/sql/driver"
	"strings"

	"github.com/psyco-go/psyco/internal/placeholder"
	"github.com/psyco-go/psyco/internal/sqllex"
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
	l := &literals{binder: binder{types: c.con.types, native: native, conforming: c.conformingStrings()}}
	// How a literal is written depends on both sides of it: first its place is marked.
	var err error
	l.text, l.made, err = q.Render(args, func(dst []byte, arg driver.NamedValue) ([]byte, error) {
		value, err := l.binder.constant(arg)
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

// binder puts literals into queries.
type binder struct {
	types      *TypeMap
	native     bool                  // the values are what lib/pq sends: all text, typed by the server
	conforming bool                  // standard_conforming_strings is known to be on
	double     bool                  // for a text with placeholders, in which %% is a %
	placed     func(start, stop int) // if not nil, told where each literal is
}

// bind writes a literal for each $n that argument has a value for, and leaves
// the others.
//
// A parameter is one element of the query. So that its literal is one as well,
// it is kept apart from what could join with it into something longer: a word,
// a number, an operator, and a literal, also one on another line.
func (b *binder) bind(text string, argument func(sqllex.Token) *constant) (string, error) {
	if i := strings.IndexByte(text, 0); i >= 0 {
		return "", sqllex.ErrorAt(text, i, "a query cannot have a NUL byte")
	}
	var (
		out  = make([]byte, 0, 2*len(text))
		expr = newExpressions()
		prev sqllex.Token // the last one that was no white space
		dot  bool         // prev stands behind a dot
		scan = sqllex.NewScanner(text)
	)
	for t := scan.Next(); t.Kind != sqllex.End; t = scan.Next() {
		var value *constant
		switch t.Kind {
		case sqllex.Param:
			value = argument(t)
		case sqllex.String:
			if !b.conforming && endsElsewhere(t.Text(text)) {
				return "", sqllex.ErrorAt(text, t.Start, "with standard_conforming_strings off this literal would end elsewhere: "+
					`write it as E'…' with \\ for each backslash, which is always the same`)
			}
		}
		if value == nil {
			out = append(out, t.Text(text)...)
		} else {
			lit, err := b.literal(value, expr.allowed())
			if err == nil && lit.text[0] == '-' && expr.allowed() && sqllex.EndsOperand(prev.Kind, prev.Text(text), dot) {
				lit, err = quoted(lit.text, 0, true) // a parameter is a mistake here, and a -1 a subtraction
			}
			if err != nil {
				return "", argumentError(&value.arg, err)
			}
			if b.double {
				lit.text = strings.ReplaceAll(lit.text, "%", "%%")
			}
			at := len(out)
			out = lit.place(out, text, prev, t, following(scan))
			if b.placed != nil {
				b.placed(at, len(out))
			}
		}
		expr.note(t, text)
		if !t.Kind.IsSpace() {
			dot = prev.Kind == sqllex.Symbol && text[prev.Start] == '.'
			prev = t
		}
	}
	return string(out), nil
}

// following returns the next token that is not white space.
func following(scan sqllex.Scanner) (t sqllex.Token) {
	for t = scan.Next(); t.Kind.IsSpace(); t = scan.Next() {
	}
	return t
}

// endsElsewhere reports whether a backslash in a plain literal would escape a
// quote if standard_conforming_strings were off.
func endsElsewhere(literal string) bool {
	for i := strings.IndexByte(literal, '\\'); i >= 0 && i+1 < len(literal); {
		if literal[i+1] == '\'' {
			return literal[0] != 'u' && literal[0] != 'U' // U&'…' is then an error
		}
		n := strings.IndexByte(literal[i+2:], '\\')
		if n < 0 {
			return false
		}
		i += 2 + n
	}
	return false
}

// place writes a literal instead of t, which stands between prev and next.
func (l literal) place(out []byte, text string, prev, t, next sqllex.Token) []byte {
	const noJoin = " /**/ " // literals on two lines are one, but for this
	first, last := l.text[0], l.text[len(l.text)-1]
	switch {
	case first == '\'' && (prev.Kind.IsString() || prev.Kind == sqllex.Param):
		out = append(out, noJoin...)
	case len(out) > 0 && joins(out[len(out)-1], first):
		out = append(out, ' ')
	}
	if l.compound(text[next.Start:]) {
		return append(append(append(out, '('), l.text...), ')')
	}
	out = append(out, l.text...)
	switch rest := text[t.Stop:]; {
	case last == '\'' && next.Kind == sqllex.String:
		out = append(out, noJoin...)
	case rest != "" && (sqllex.IsIdentPart(rest[0]) || rest[0] == '.'):
		out = append(out, ' ')
	}
	return out
}

// joins reports whether a literal's first byte needs a space behind left.
func joins(left, first byte) bool {
	switch {
	case sqllex.IsIdentPart(left), left == '.', left == '\'', left == '&': // E'…', 1.5, U&'…'
		return true
	}
	return first == '-' && sqllex.IsOperator(left)
}

// compound reports whether what follows the literal would apply to a part of it
// only, -(5::int2) and '…'::(int4[][1]), or cannot follow a constant.
func (l literal) compound(rest string) bool {
	switch {
	case strings.HasPrefix(rest, "["), strings.HasPrefix(rest, "."):
		return true
	case strings.HasPrefix(rest, "("):
		return l.cast
	case strings.HasPrefix(rest, "::"):
		return l.text[0] == '-'
	}
	return false
}
