package psycovet

import (
	"strings"

	"golang.org/x/tools/go/analysis"

	"github.com/psyco-go/psyco/internal/placeholder"
	"github.com/psyco-go/psyco/internal/sqllex"
)

// edit replaces a part of a text.
type edit struct {
	start, stop int
	with        string
}

// fixes returns what certainly is the right text: edits after which the query takes the
// arguments that it gets.
func (c *checker) fixes(query text, e *sqllex.Error, args arguments) []analysis.SuggestedFix {
	if e == nil || !args.known || len(args.list) == 0 {
		return nil
	}
	for _, edits := range [][]edit{questions(e), unquoted(e), letter(e), parentheses(e)} {
		if len(edits) == 0 || !takes(apply(e.Text, edits), args) {
			continue
		}
		fix := analysis.SuggestedFix{Message: "write " + apply(e.Text[edits[0].start:edits[0].stop], []edit{{0, edits[0].stop - edits[0].start, edits[0].with}})}
		for _, ed := range edits {
			pos, end, ok := query.span(ed.start, ed.stop)
			if !ok {
				return nil
			}
			fix.TextEdits = append(fix.TextEdits, analysis.TextEdit{Pos: pos, End: end, NewText: []byte(ed.with)})
		}
		return []analysis.SuggestedFix{fix}
	}
	return nil
}

func takes(sql string, args arguments) bool {
	q, err := placeholder.Rewrite(sql, placeholder.Auto)
	return err == nil && q.Style != placeholder.Native && q.Check(args.list) == nil && q.Misplaced() == nil
}

func apply(text string, edits []edit) string {
	var b strings.Builder
	at := 0
	for _, e := range edits {
		b.WriteString(text[at:e.start] + e.with)
		at = e.stop
	}
	return b.String() + text[at:]
}

// questions writes %s for every ? outside of quotes. Whether one was an operator shows when
// the arguments are counted.
func questions(e *sqllex.Error) (edits []edit) {
	if !isQuestion(e) {
		return nil
	}
	scan := sqllex.NewScanner(e.Text)
	for t := scan.Next(); t.Kind != sqllex.End; t = scan.Next() {
		if t.Kind == sqllex.Symbol && t.Text(e.Text) == "?" {
			edits = append(edits, edit{t.Start, t.Stop, "%s"})
		}
	}
	return edits
}

// unquoted drops the quotes of a '%s'.
func unquoted(e *sqllex.Error) []edit {
	scan := sqllex.NewScanner(e.Text)
	for t := scan.Next(); t.Kind != sqllex.End; t = scan.Next() {
		if t.Kind == sqllex.String && t.Start < e.Offset && e.Offset < t.Stop && e.Text[t.Start:t.Stop] == "'%s'" {
			return []edit{{t.Start, t.Stop, "%s"}}
		}
	}
	return nil
}

// letter writes s for the letter of a %d.
func letter(e *sqllex.Error) []edit {
	at := e.Offset
	if at+1 >= len(e.Text) || e.Text[at] != '%' {
		return nil
	}
	at++
	if e.Text[at] == '(' {
		n := strings.IndexByte(e.Text[at:], ')')
		if n < 0 {
			return nil
		}
		at += n + 1
	}
	stop := at
	if stop < len(e.Text) && sqllex.IsIdentStart(e.Text[stop]) {
		stop++
	}
	if at == stop && at == e.Offset+1 || e.Text[at:stop] == "s" {
		return nil
	}
	return []edit{{at, stop, "s"}}
}

// parentheses drops those of IN (%s).
func parentheses(e *sqllex.Error) []edit {
	if !strings.HasPrefix(e.Message, "IN (%s)") {
		return nil
	}
	open := strings.LastIndexByte(e.Text[:e.Offset], '(')
	n := strings.IndexByte(e.Text[e.Offset:], ' ')
	closing := e.Offset + strings.IndexByte(e.Text[e.Offset:], ')')
	if strings.HasPrefix(e.Text[e.Offset:], "%(") {
		closing = e.Offset + strings.Index(e.Text[e.Offset:], "s)") + 1
	}
	if open < 0 || closing <= e.Offset || n >= 0 && e.Offset+n < closing {
		return nil
	}
	return []edit{{open, open + 1, ""}, {closing, closing + 1, ""}}
}
