package psyco

import (
	"strings"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/sqllex"
)

// A mistake that psycopg's placeholders invite comes back as an error about $1. Where
// the server has no hint of its own, psyco says what to write instead.

// hint returns what helps against an error at an offset of st.q.sql, or of none if that
// is negative; "" if nothing is known.
func (st *statement) hint(pe *pq.Error, offset int) string {
	q := st.q
	switch pe.Code {
	case pqerror.SyntaxError:
		if hint := q.patternHint(); hint != "" {
			return hint
		}
		for i := range q.slots {
			if s := &q.slots[i]; s.start <= offset && offset < s.stop {
				return q.syntaxHint(s)
			}
		}
	case pqerror.GroupingError:
		if q.style == stylePositional && q.groups() {
			return "Each %s is a parameter of its own, so two expressions with one are not the same: write %(name)s in both."
		}
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
		if pgform.IsArrayOID(oid) || oid == 0 && i < len(st.open) && pgform.IsArrayOID(st.open[i]) {
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

// groups reports whether a placeholder stands behind GROUP.
func (q *query) groups() bool {
	group := false
	scan := sqllex.NewScanner(q.sql)
	for t := scan.Next(); t.Kind != sqllex.End; t = scan.Next() {
		if t.Kind == sqllex.Param && group {
			return true
		}
		group = group || t.Kind == sqllex.Word && strings.EqualFold(t.Text(q.sql), "GROUP")
	}
	return false
}

// before returns the last two elements in front of an offset of q.sql, the last one
// first: words in upper case, and nothing for values.
func (q *query) before(offset int) (last, previous string) {
	scan := sqllex.NewScanner(q.sql[:offset])
	for t := scan.Next(); t.Kind != sqllex.End; t = scan.Next() {
		switch text := t.Text(q.sql); {
		case t.Kind.IsSpace():
		case t.Kind.IsString() || t.Kind == sqllex.Param || t.Kind == sqllex.Number || text == ")":
			last, previous = "", last
		default:
			last, previous = sqllex.Upper(text), last
		}
	}
	return last, previous
}

// syntaxHint is for a placeholder that the server's grammar has no place for.
func (q *query) syntaxHint(s *slot) string {
	placeholder := q.text[s.offset:placeholderEnd(q.text, s.offset)]
	last, previous := q.before(s.start)
	is := func(word string) string {
		return "IS takes no parameter: write " + word + " " + placeholder + "."
	}
	switch last {
	case "": // an operator or a comma is missing
		return ""
	case "INTERVAL", "DATE", "TIME", "TIMESTAMP", "TIMESTAMPTZ", "TIMETZ", "JSON", "JSONB", "UUID", "NUMERIC", "INET", "POINT":
		return last + " takes a literal, not a parameter: write " + placeholder + "::" + strings.ToLower(last) + "."
	case "ZONE": // AT TIME ZONE takes one
		return "A type takes a literal, not a parameter: write " + placeholder + "::timestamptz."
	case "ANY", "ALL", "SOME":
		return "The parentheses belong to it: write " + last + "(" + placeholder + ")."
	case "IS":
		return is("IS NOT DISTINCT FROM")
	case "NOT":
		if previous == "IS" {
			return is("IS DISTINCT FROM")
		}
	}
	return "A placeholder stands for a value: names, keywords and other parts of a query go in with psyco.Compose."
}

// patternHint is for LIKE %s%%.
func (q *query) patternHint() string {
	like := "" // the word in front, of which a % may be on either side of the placeholder
	percent, placeholder := false, false
	scan := sqllex.NewScanner(q.sql)
	for t := scan.Next(); t.Kind != sqllex.End; t = scan.Next() {
		switch {
		case t.Kind.IsSpace():
			percent, placeholder = false, false
			continue
		case t.Kind == sqllex.Symbol && q.sql[t.Start] == '%' && like != "":
			percent = true
		case t.Kind == sqllex.Param && like != "":
			placeholder = true
		default:
			like, percent, placeholder = "", false, false
			if word := t.Text(q.sql); t.Kind == sqllex.Word && (strings.EqualFold(word, "LIKE") || strings.EqualFold(word, "ILIKE")) {
				like = sqllex.Upper(word)
			}
		}
		if percent && placeholder {
			return "The percent signs of a pattern belong into the value: write " + like + " %s, with \"%\" in the argument."
		}
	}
	return ""
}

// forgottenHint is for a text that was sent without arguments, as it was written, if
// the error is about something that would be a placeholder with some.
func (c *conn) forgottenHint(text string, offset int) string {
	if offset < 0 || !strings.Contains(text, "%") {
		return ""
	}
	q, err := rewrite(text, c.con.rewriter.mode)
	if err != nil {
		return ""
	}
	for i := range q.slots {
		if at := q.slots[i].offset; at <= offset && offset < placeholderEnd(text, at) {
			return "No arguments were given for " + text[at:placeholderEnd(text, at)] + ", so the query was sent as it is."
		}
	}
	return ""
}
