package sqllex

import "strings"

// SetsNames reports whether a text that has SET or RESET something may have set where names
// are looked for. The search_path depends on the role, too. "" is a text that is
// not known.
func SetsNames(text string) bool {
	if text == "" {
		return true
	}
	for s := NewScanner(text); ; {
		switch t := s.Next(); t.Kind {
		case End:
			return false
		case Word, Ident:
			switch strings.ToUpper(strings.Trim(t.Text(text), `"`)) {
			case "SEARCH_PATH", "SCHEMA", "ROLE", "AUTHORIZATION", "ALL":
				return true
			}
		}
	}
}

// Redefines reports whether a statement may change what names mean although its command
// tag does not say so: SELECT INTO, CREATE … AS, and set_config.
func Redefines(text string) bool {
	if !mentions(text, "into") && !mentions(text, "create") && !mentions(text, "set_config") {
		return false
	}
	before := ""
	for s := NewScanner(text); ; {
		t := s.Next()
		switch {
		case t.Kind == End:
			return false
		case t.Kind == Word, t.Kind == Ident:
			word := strings.ToUpper(strings.Trim(t.Text(text), `"`))
			switch {
			case word == "SET_CONFIG", word == "CREATE", word == "INTO" && before != "INSERT" && before != "MERGE":
				return true
			}
			before = word
		case !t.Kind.IsSpace():
			before = ""
		}
	}
}

// ChangesNames reports whether a statement is known to change what names mean.
func ChangesNames(text string) bool {
	switch keyword := Keyword(text); {
	case is(keyword, renames):
		return true
	case is(keyword, sets):
		return SetsNames(text)
	}
	return Redefines(text)
}

// MentionsMoment reports whether a text may have a literal in it that means the time at
// which the server parses it: 'now', not now().
func MentionsMoment(text string) bool {
	if strings.IndexByte(text, '\'') < 0 {
		return false
	}
	for i := 0; i+3 <= len(text); i++ {
		if text[i]|0x20 == 'n' && strings.EqualFold(text[i:i+3], "now") && !strings.HasPrefix(text[i+3:], "(") {
			return true
		}
	}
	return mentions(text, "today") || mentions(text, "tomorrow") || mentions(text, "yesterday")
}

// mentions reports whether a text has a word in it, which is in lower case, in any case.
func mentions(text, word string) bool {
	for i := 0; i+len(word) <= len(text); i++ {
		if text[i]|0x20 == word[0] && strings.EqualFold(text[i:i+len(word)], word) {
			return true
		}
	}
	return false
}
