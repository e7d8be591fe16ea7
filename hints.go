package psyco

import (
	"strings"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/placeholder"
)

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
