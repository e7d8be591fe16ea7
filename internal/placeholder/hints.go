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
			return q.placeHint(p)
		}
	}
	return ""
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
func (q *Query) placeHint(p *Placeholder) string {
	placeholder := q.Written(p)
	last, previous := q.before(p.Start)
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
