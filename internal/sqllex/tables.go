package sqllex

import "iter"

// Tables yields the names, with their schemas and as they are written, of the tables that a
// text seems to be about, each as often as it is named.
func Tables(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		last := ""
		for s := NewScanner(text); ; {
			tok := s.Next()
			if tok.Kind == End {
				return
			}
			if tok.Kind.IsSpace() {
				continue
			}
			word := ""
			if tok.Kind == Word {
				word = Upper(tok.Text(text))
			}
			if beforeTable(last, word) {
				if name := tableName(&s, text); name != "" && !yield(name) {
					return
				}
			}
			last = word
		}
	}
}

// beforeTable reports whether a table's name may follow a word; last is the one
// before it, if that is a word.
func beforeTable(last, word string) bool {
	switch word {
	case "FROM":
		return last != "DISTINCT"
	case "JOIN", "INTO", "TABLE":
		return true
	case "UPDATE", "COPY":
		return last == "" // not FOR UPDATE, DO UPDATE
	}
	return false
}

// tableName reads a name, with its schema, or returns "" if none is next.
func tableName(s *Scanner, text string) string {
	start, stop, dot := -1, -1, true
	for {
		at := s.Pos()
		tok := s.Next()
		word := ""
		if tok.Kind == Word {
			word = Upper(tok.Text(text))
		}
		switch {
		case start < 0 && (tok.Kind.IsSpace() || word == "ONLY" || word == "IF" || word == "NOT" || word == "EXISTS"):
		case dot && (tok.Kind == Ident || word != "" && word != "STDIN" && !Reserved(word)):
			if start < 0 {
				start = tok.Start
			}
			stop, dot = tok.Stop, false
		case start >= 0 && !dot && tok.Text(text) == ".":
			dot = true
		default:
			s.Seek(at)
			if start < 0 {
				return ""
			}
			return text[start:stop]
		}
	}
}
