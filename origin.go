package psyco

import (
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/lib/pq/pqerror"
	"github.com/psyco-go/psyco/internal/pgform"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/placeholder"
	"github.com/psyco-go/psyco/internal/wire"
)

// The server counts the positions in its errors in the text that it got. A
// program knows the text that it wrote, so that is where errors point.

// origin says what the text of a statement was made of. How is found out again
// when there is an error.
type origin struct {
	q        *query                                 // what the program wrote; nil if nothing was changed in it
	before   string                                 // put in front: DECLARE … FOR
	expanded placeholder.Stretches                  // of a text with row lists, or of literals.text: where it is in q.SQL
	literals *literals                              // of the arguments, if they were put into the text
	types    []uint32                               // with which literals.sql was called
	outer    func(offset int) (text string, at int) // where q.Text is in the program's text, if it is not that
}

// locate finds where in q.SQL, and where in the program's text, is what the server got
// at an offset of sql.
func (o *origin) locate(sql string, offset int) (inner int, text string, outer int) {
	offset = max(0, offset-len(o.before))
	if o.q == nil {
		return offset, sql[len(o.before):], offset
	}
	if o.literals != nil {
		offset = o.literals.stretches(o.types).Source(offset)
	}
	inner = o.expanded.Source(offset)
	outer = inner
	if o.q.Style != placeholder.Native {
		outer = o.q.Stretches().Source(inner)
	}
	if o.outer != nil {
		text, outer = o.outer(outer)
	} else {
		text = o.q.Text
	}
	return inner, text, min(outer, len(text))
}

// stretches are those of what sql has returned.
func (l *literals) stretches(types []uint32) (made placeholder.Stretches) {
	_, spots, _ := l.sql(types) // has no error, as it had none before
	at, from := 0, 0
	for i, p := range placeholder.Spots(l.text) {
		made.Add(placeholder.Stretch{At: at, From: from})
		made.Add(placeholder.Stretch{At: spots[i].Start, From: p.Start, New: true})
		at, from = spots[i].Stop, p.Stop
	}
	made.Add(placeholder.Stretch{At: at, From: from})
	return made
}

// statement is q without its arguments.
func (q *query) statement() *statement {
	st := &statement{sql: q.SQL}
	if q.Style != placeholder.Native {
		st.q = q
	}
	return st
}

// explain makes an error of the server about st one about what the program wrote: its
// position is one in that text, and it has a hint where psyco knows one.
func (c *conn) explain(st *statement, err error) error {
	if pe, ok := err.(*pq.Error); ok {
		return c.explained(st, pe, st.q != nil || st.before != "")
	}
	return err
}

// explainPart is explain for an error of a pipeline, which has no text so far. It is
// that of statement i, or of none.
func (c *conn) explainPart(statements []statement, i int, err error) error {
	if pe, ok := err.(*pq.Error); ok && i >= 0 && i < len(statements) {
		return c.explained(&statements[i], pe, true)
	}
	return err
}

// explained is explain. An error that becomes another one is copied: it may belong to
// somebody else too. relocate says that it does not have the program's text.
func (c *conn) explained(st *statement, pe *pq.Error, relocate bool) *pq.Error {
	inner, text, outer := -1, "", 0
	position, err := strconv.Atoi(pe.Position)
	placed := err == nil && position > 0
	if placed {
		inner, text, outer = st.locate(st.sql, c.byteOffset(st.sql, position-1))
	}
	hint := pe.Hint
	switch {
	case hint != "":
	case st.q != nil && st.q.Style != placeholder.Native:
		hint = st.hint(pe, inner)
	case st.q == nil && len(st.args) == 0 && placed:
		hint = c.forgottenHint(text, outer)
	}
	switch {
	case placed && relocate:
		pe = withText(pe, text)
		pe.Position = strconv.Itoa(utf8.RuneCountInString(text[:outer]) + 1)
	case relocate && st.literals != nil: // the text has the values in it
		pe = withText(pe, st.q.Text)
	case hint != pe.Hint:
		copied := *pe
		pe = &copied
	}
	if pe.Hint != hint {
		pe.Hint = hint
	}
	return pe
}

// byteOffset returns where the character with a number is. To a server without an
// encoding bytes are characters.
func (c *conn) byteOffset(text string, character int) int {
	if c.wire != nil {
		if encoding, _ := c.wire.Parameter("server_encoding"); encoding == "SQL_ASCII" {
			return min(character, len(text))
		}
	}
	for i := range text {
		if character == 0 {
			return i
		}
		character--
	}
	return len(text)
}

// withText returns a copy of an error as the answer to a text. Only lib/pq can put
// that into an error, when it gets one from a server.
func withText(pe *pq.Error, text string) *pq.Error {
	moved := *pe
	con, err := pq.NewConnectorConfig(pq.Config{
		User:     "psyco",
		Password: "none", // else lib/pq looks for one in a file
		Passfile: filepath.Join(os.DevNull, "none"),
		SSLMode:  pq.SSLModeDisable,
	})
	if err == nil {
		con.Dialer(&handOver{nc: new(wire.Refusing)})
		if base, err := con.Connect(background); err == nil {
			_, err := execMode{}.text(&conn{base: base}, text, nil)
			if e := pq.As(err); e != nil {
				moved = *e
			}
		}
	}
	to, from := reflect.ValueOf(&moved).Elem(), reflect.ValueOf(pe).Elem()
	for i := range to.NumField() {
		if to.Type().Field(i).IsExported() {
			to.Field(i).Set(from.Field(i))
		}
	}
	return &moved
}

// A mistake that psycopg's placeholders invite comes back as an error about $1. Where
// the server has no hint of its own, psyco says what to write instead.

// hint returns what helps against an error at an offset of st.q.SQL, or of none if that
// is negative; "" if nothing is known.
func (st *statement) hint(pe *pq.Error, offset int) string {
	q := st.q
	switch pe.Code {
	case pqerror.SyntaxError:
		return q.SyntaxHint(offset)
	case pqerror.GroupingError:
		return q.GroupingHint()
	case pqerror.InvalidTextRepresentation, pqerror.InvalidDatetimeFormat:
		if !st.hasList() {
			return ""
		}
		if strings.HasPrefix(pe.Where, "JSON data,") {
			return "A slice is an array, as in psycopg: write psyco.JSON[any]{V: slice} for json."
		}
		if strings.Contains(pe.Message, `: "{`) {
			return "A slice is an array: write = ANY(%s) or IN %s to compare with its elements."
		}
	}
	return ""
}

// hasList reports whether an argument is an array.
func (st *statement) hasList() bool {
	for i, oid := range st.types {
		if pgform.IsArrayOID(oid) || oid == 0 && i < len(st.fallback) && pgform.IsArrayOID(st.fallback[i]) {
			return true
		}
	}
	if st.literals != nil {
		for i := range st.literals.values {
			v := &st.literals.values[i]
			if pgform.IsArrayOID(v.declared) || v.declared == 0 && pgform.IsArrayOID(v.fallback) {
				return true
			}
		}
	}
	return false
}

// forgottenHint is for a text that was sent without arguments, as it was written.
func (c *conn) forgottenHint(text string, offset int) string {
	return placeholder.ForgottenHint(text, offset, c.con.rewriter.styles)
}
