package placeholder

import (
	"strings"

	"github.com/psyco-go/psyco/internal/sqllex"
)

// SyntaxHint returns what to write instead where the server's grammar refuses what stands
// at an offset of q.SQL, or "" if nothing is known.
func (q *Query) SyntaxHint(offset int) string {
	if hint := q.patternHint(); hint != "" {
		return hint
	}
	for i := range q.Placeholders {
		if p := &q.Placeholders[i]; p.Start <= offset && offset < p.Stop {
			return q.placeHint(p.Start, q.Written(p))
		}
	}
	return ""
}

// Misplaced returns what is wrong with a placeholder that stands where the server's grammar
// has no place for a value, whatever that is, or nil: FROM %s, INTERVAL %s, IS %s, LIKE %s%%.
// It knows the places that programs have tried, not the grammar.
func (q *Query) Misplaced() error {
	i := 0
	var (
		last, previous string          // the elements before, in upper case; "" for values
		dot            bool            // the last one is a name behind a dot
		reads          = []bool{false} // of each open parenthesis: has it a SELECT or DELETE whose FROM this may be
	)
	scan := sqllex.NewScanner(q.SQL)
	for t := scan.Next(); t.Kind != sqllex.End; t = scan.Next() {
		text := t.Text(q.SQL)
		switch {
		case t.Kind.IsSpace():
			continue
		case t.Kind == sqllex.Param:
			if !dot && (nameless(last, previous, reads[len(reads)-1]) || !q.Utility && valueless(last, previous)) {
				offset, written := t.Start, text
				if i < len(q.Placeholders) {
					offset, written = q.Placeholders[i].Offset, q.Written(&q.Placeholders[i])
				}
				return sqllex.ErrorAt(q.Text, offset, "%s", q.placeHint(t.Start, written))
			}
			i++
			last, previous, dot = "", last, false
		case t.Kind.IsString() || t.Kind == sqllex.Number || t.Kind == sqllex.Ident:
			last, previous, dot = "", last, false
		default:
			word := sqllex.Upper(text)
			dot = last == "." && t.Kind == sqllex.Word
			switch {
			case word == "(":
				reads = append(reads, false)
			case word == ")" && len(reads) > 1:
				reads = reads[:len(reads)-1]
			case (word == "SELECT" || word == "DELETE") && !dot:
				reads[len(reads)-1] = true
			}
			last, previous = word, last
			if word == ")" {
				last = ""
			}
		}
	}
	if hint := q.patternHint(); hint != "" && len(q.Placeholders) > 0 {
		return sqllex.ErrorAt(q.Text, q.Placeholders[0].Offset, "%s", hint)
	}
	return nil
}

// nameless reports whether only a name can stand behind two elements. reads says that a
// SELECT or DELETE of the same parentheses is before them.
func nameless(last, previous string, reads bool) bool {
	switch last {
	case "FROM": // not that of EXTRACT(year FROM %s)
		return reads && previous != "DISTINCT"
	case "INTO", "JOIN", "TABLE":
		return true
	case "UPDATE":
		return previous == "" || previous == ";" || previous == "("
	}
	return false
}

// valueless reports whether only a constant or a keyword can stand behind two elements. In
// a statement without parameters, SET TIME ZONE INTERVAL %s, a value becomes a constant.
func valueless(last, previous string) bool {
	return last == "INTERVAL" || last == "IS" || last == "NOT" && previous == "IS"
}

// GroupingHint returns what to write instead where the server finds an expression that is
// not grouped by, or "" if placeholders are not the reason.
func (q *Query) GroupingHint() string {
	if q.Style == Positional && q.groups() {
		return "Each %s is a parameter of its own, so two expressions with one are not the same: write %(name)s in both."
	}
	return ""
}

// ForgottenHint is for a text that was sent without arguments, as it was written: it says
// so if what stands at an offset would be a placeholder with some.
func ForgottenHint(text string, offset int, styles Styles) string {
	if offset < 0 || !strings.Contains(text, "%") {
		return ""
	}
	q, err := Rewrite(text, styles)
	if err != nil {
		return ""
	}
	for i := range q.Placeholders {
		p := &q.Placeholders[i]
		if written := q.Written(p); p.Offset <= offset && offset < p.Offset+len(written) {
			return "No arguments were given for " + written + ", so the query was sent as it is."
		}
	}
	return ""
}

// groups reports whether a placeholder stands behind GROUP.
func (q *Query) groups() bool {
	group := false
	scan := sqllex.NewScanner(q.SQL)
	for t := scan.Next(); t.Kind != sqllex.End; t = scan.Next() {
		if t.Kind == sqllex.Param && group {
			return true
		}
		group = group || t.Kind == sqllex.Word && strings.EqualFold(t.Text(q.SQL), "GROUP")
	}
	return false
}

// before returns the last two elements in front of an offset of q.SQL, the last one
// first: words in upper case, and nothing for values.
func (q *Query) before(offset int) (last, previous string) {
	scan := sqllex.NewScanner(q.SQL[:offset])
	for t := scan.Next(); t.Kind != sqllex.End; t = scan.Next() {
		switch text := t.Text(q.SQL); {
		case t.Kind.IsSpace():
		case t.Kind.IsString() || t.Kind == sqllex.Param || t.Kind == sqllex.Number || text == ")":
			last, previous = "", last
		default:
			last, previous = sqllex.Upper(text), last
		}
	}
	return last, previous
}

// placeHint is for a placeholder that the server's grammar has no place for.
func (q *Query) placeHint(offset int, placeholder string) string {
	last, previous := q.before(offset)
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
func (q *Query) patternHint() string {
	like := "" // the word in front, of which a % may be on either side of the placeholder
	percent, placeholder := false, false
	scan := sqllex.NewScanner(q.SQL)
	for t := scan.Next(); t.Kind != sqllex.End; t = scan.Next() {
		switch {
		case t.Kind.IsSpace():
			percent, placeholder = false, false
			continue
		case t.Kind == sqllex.Symbol && q.SQL[t.Start] == '%' && like != "":
			percent = true
		case t.Kind == sqllex.Param && like != "":
			placeholder = true
		default:
			like, percent, placeholder = "", false, false
			if word := t.Text(q.SQL); t.Kind == sqllex.Word && (strings.EqualFold(word, "LIKE") || strings.EqualFold(word, "ILIKE")) {
				like = sqllex.Upper(word)
			}
		}
		if percent && placeholder {
			return "The percent signs of a pattern belong into the value: write " + like + " %s, with \"%\" in the argument."
		}
	}
	return ""
}
