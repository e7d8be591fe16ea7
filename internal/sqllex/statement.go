package sqllex

import (
	"iter"
	"strings"
)

// Keyword returns the first word of the first statement in upper case, parentheses
// before it left out: "SELECT" for (SELECT 1) UNION …. It returns "" when the
// statement begins otherwise or there is none. It does not allocate for the
// words that begin PostgreSQL's statements.
func Keyword(sql string) string {
	var words [1]string
	Keywords(sql, words[:])
	return words[0]
}

// Keywords stores the words that the first statement begins with into words, in
// upper case, and returns how many it stored. It stops at the first element that
// is not a word: ROLLBACK, TO, SP for "rollback to sp; select 1".
func Keywords(sql string, words []string) int {
	n := 0
	for s := NewScanner(sql); n < len(words); {
		switch t := s.Next(); {
		case t.Kind == Word:
			words[n] = Upper(t.Text(sql))
			n++
		case t.Kind.IsSpace():
		case n == 0 && t.Kind == Symbol && (sql[t.Start] == ';' || sql[t.Start] == '('):
		default:
			return n
		}
	}
	return n
}

// Statements yields the statements of a text, split at semicolons as psql splits
// them: not inside parentheses (CREATE RULE) and not inside the BEGIN ATOMIC …
// END body of a CREATE FUNCTION. Empty statements, and white space and comments
// around statements, are left out.
func Statements(sql string) iter.Seq[string] {
	return func(yield func(string) bool) {
		s := NewScanner(sql)
		for {
			start, stop, ok := s.nextStatement()
			if !ok || !yield(sql[start:stop]) {
				return
			}
		}
	}
}

// Count returns how many statements Statements yields, at most limit; with no
// limit if that is negative.
func Count(sql string, limit int) int {
	n := 0
	for s := NewScanner(sql); n != limit; n++ {
		if _, _, ok := s.nextStatement(); !ok {
			break
		}
	}
	return n
}

// Several reports whether a text holds more than one statement. Without a semicolon
// in the middle, which is what most are like, it need not be read.
func Several(sql string) bool {
	return strings.IndexByte(strings.TrimRight(sql, "; \t\r\n"), ';') >= 0 && Count(sql, 2) > 1
}

// Single reports whether a text holds exactly one statement.
func Single(sql string) bool { return Count(sql, 2) == 1 }

// nextStatement returns the extent of the next statement that is not empty.
func (s *Scanner) nextStatement() (start, stop int, ok bool) {
	var (
		parens int
		body   int // open BEGIN ATOMIC and, inside it, CASE
		create bool
		begin  bool // the word before was BEGIN
	)
	for {
		t := s.Next()
		if t.Kind == End {
			return start, stop, ok
		}
		if t.Kind.IsSpace() {
			continue
		}
		if t.Kind == Symbol && s.sql[t.Start] == ';' && parens == 0 && body == 0 {
			if ok {
				return start, stop, true
			}
			continue
		}
		first := !ok
		if first {
			start, ok = t.Start, true
		}
		stop = t.Stop
		wasBegin := begin
		begin = false
		switch t.Kind {
		case Symbol:
			switch s.sql[t.Start] {
			case '(':
				parens++
			case ')':
				parens = max(parens-1, 0)
			}
		case Word:
			if !first && !create {
				continue
			}
			switch Upper(t.Text(s.sql)) {
			case "CREATE":
				create = create || first
			case "BEGIN":
				begin = true
			case "ATOMIC":
				if wasBegin {
					body++
				}
			case "CASE":
				if body > 0 {
					body++
				}
			case "END":
				body = max(body-1, 0)
			}
		}
	}
}

// Calls yields the names that a text seems to call as functions: those with an
// opening parenthesis behind them. Names are folded as PostgreSQL folds them,
// and with their schema where one is given: "now", "pg_catalog.now". What looks
// like a call without being one (a table's column list, varchar(10)) is yielded
// too, and operators, casts and views can call functions that are not seen: it
// answers "are these the only functions named here", not "what will run".
func Calls(sql string) iter.Seq[string] {
	return func(yield func(string) bool) {
		var name []string
		dot := false // the element before was the dot inside a name
		for s := NewScanner(sql); ; {
			t := s.Next()
			switch {
			case t.Kind == End:
				return
			case t.Kind.IsSpace():
				continue
			case t.Kind == Word || t.Kind == Ident:
				if !dot {
					name = name[:0]
				}
				name = append(name, identifier(t, sql))
				if t.Kind == Word && len(name) == 1 && notCalled(t.Text(sql)) {
					name = name[:0]
				}
				dot = false
			case t.Kind == Symbol && sql[t.Start] == '.' && len(name) > 0:
				dot = true
			default:
				if t.Kind == Symbol && sql[t.Start] == '(' && len(name) > 0 && !dot {
					if !yield(strings.Join(name, ".")) {
						return
					}
				}
				name, dot = name[:0], false
			}
		}
	}
}

// notCalled reports whether a word before a parenthesis is syntax.
func notCalled(word string) bool {
	switch Upper(word) {
	case "BETWEEN", "BY", "ESCAPE", "EXISTS", "FILTER", "ILIKE", "IS", "JOIN", "LIKE", "OVER", "ROW", "SET", "SIMILAR", "VALUES":
		return true
	}
	return Reserved(word)
}

// identifier returns the name that an identifier stands for.
func identifier(t Token, sql string) string {
	text := t.Text(sql)
	if t.Kind == Word {
		return lower(text)
	}
	text = text[strings.IndexByte(text, '"')+1:]
	if !t.Open {
		text = text[:len(text)-1]
	}
	return strings.ReplaceAll(text, `""`, `"`)
}
