// Package literal puts values into the text of queries, so that each is one constant
// whatever is in it and whatever stands beside it, with standard_conforming_strings on or
// off. It knows nothing of connections. The text is taken to be in an encoding in which no
// byte of a longer character is ASCII; in those that only clients can use a literal may end
// elsewhere.
package literal

import (
	"strings"

	"github.com/psyco-go/psyco/internal/sqllex"
)

// Writer puts literals into queries.
type Writer struct {
	Text       func(v any) (string, error) // what the server reads as a value that is neither NULL nor bytes
	TypeName   func(oid uint32) string     // how a query names a type, "" for one that cannot be named
	Native     bool                        // the values are what lib/pq sends: all text, typed by the server
	Conforming bool                        // standard_conforming_strings is known to be on
	Double     bool                        // for a text with placeholders, in which %% is a %
	Placed     func(start, stop int)       // if not nil, told where each literal is
}

// Check returns the error that Write has for a value, if it has one.
func (w *Writer) Check(v *Value) error {
	_, err := w.literal(v, true)
	return err
}

// ValueError is the error of a value that cannot be a literal.
type ValueError struct {
	Value *Value
	Err   error
}

func (e *ValueError) Error() string { return e.Err.Error() }
func (e *ValueError) Unwrap() error { return e.Err }

// Write writes a literal for each $n that has a value, and leaves the others. The error is
// a [sqllex.Error] or, for a value, a *ValueError.
//
// A parameter is one element of the query. So that its literal is one as well,
// it is kept apart from what could join with it into something longer: a word,
// a number, an operator, and a literal, also one on another line.
func (w *Writer) Write(text string, value func(sqllex.Token) *Value) (string, error) {
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
		var v *Value
		switch t.Kind {
		case sqllex.Param:
			v = value(t)
		case sqllex.String:
			if !w.Conforming && endsElsewhere(t.Text(text)) {
				return "", sqllex.ErrorAt(text, t.Start, "with standard_conforming_strings off this literal would end elsewhere: "+
					`write it as E'…' with \\ for each backslash, which is always the same`)
			}
		}
		if v == nil {
			out = append(out, t.Text(text)...)
		} else {
			lit, err := w.literal(v, expr.allowed())
			if err == nil && lit.text[0] == '-' && expr.allowed() && sqllex.EndsOperand(prev.Kind, prev.Text(text), dot) {
				lit, err = w.quoted(lit.text, 0, true) // a parameter is a mistake here, and a -1 a subtraction
			}
			if err != nil {
				return "", &ValueError{v, err}
			}
			if w.Double {
				lit.text = strings.ReplaceAll(lit.text, "%", "%%")
			}
			at := len(out)
			out = lit.place(out, text, prev, t, following(scan))
			if w.Placed != nil {
				w.Placed(at, len(out))
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
