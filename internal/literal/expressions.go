package literal

import "github.com/psyco-go/psyco/internal/sqllex"

// expressions follows a query and finds where it takes expressions. Elsewhere,
// in NOTIFY ch, '…' or WITH (fillfactor = 70), there are only constants, without
// a cast. A place taken for the wrong kind makes an error or loses a type, and
// never more.
type expressions struct {
	nested  []place // the open parentheses and brackets; the first is the statement
	keyword string  // that the statement begins with
	begin   bool    // a statement begins
	prev    string  // the word just before, in upper case
}

// place is the inside of a pair of parentheses, or what is outside of any.
type place struct {
	expr   bool
	clause bool // only up to a comma: DEFAULT 1, …
}

func newExpressions() expressions { return expressions{nested: make([]place, 1, 8), begin: true} }

// allowed reports whether an expression can stand behind what was noted.
func (x *expressions) allowed() bool { return x.nested[len(x.nested)-1].expr }

func (x *expressions) note(t sqllex.Token, text string) {
	if t.Kind.IsSpace() {
		return
	}
	prev := x.prev
	x.prev = ""
	switch t.Kind {
	case sqllex.Word:
		x.prev = sqllex.Upper(t.Text(text))
		x.word(x.prev)
	case sqllex.Symbol:
		x.symbol(text[t.Start], prev)
	}
}

func (x *expressions) word(word string) {
	at := &x.nested[len(x.nested)-1]
	if x.begin {
		x.begin, x.keyword = false, word
		for i := range x.nested {
			x.nested[i] = place{expr: sqllex.TakesExpressions(word)}
		}
		return
	}
	switch word {
	case "SELECT", "VALUES", "WHERE", "RETURN":
		*at = place{expr: true}
	case "CHECK", "DEFAULT", "USING", "WHEN":
		if !at.expr {
			*at = place{expr: true, clause: true}
		}
	case "EXECUTE": // of CREATE TRIGGER … WHEN (…)
		if at.clause {
			*at = place{}
		}
	case "INDEX", "RULE":
		if x.keyword == "CREATE" && len(x.nested) == 1 {
			at.expr = true
		}
	case "ATOMIC": // BEGIN ATOMIC
		x.begin = true
	}
}

func (x *expressions) symbol(c byte, prev string) {
	n := len(x.nested)
	at := &x.nested[n-1]
	switch c {
	case '(', '[':
		inner := place{expr: at.expr}
		switch prev {
		case "AS", "COPY": // GENERATED ALWAYS AS (…), COPY (SELECT …)
			inner.expr = true
		case "IDENTITY", "WITH":
			inner.expr = false
		}
		x.nested = append(x.nested, inner)
	case ')', ']':
		if n > 1 {
			x.nested = x.nested[:n-1]
		}
	case ',':
		if at.clause {
			*at = place{}
		}
	case ';':
		if n == 1 {
			*at, x.begin = place{}, true
		}
	}
}
