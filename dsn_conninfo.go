package psyco

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// pair is one keyword and its value, as written.
type pair struct {
	key, value string
	// mistake is why psyco refuses the pair although libpq takes it: it is
	// surely not what was meant, and a piece of a password may be in it.
	mistake error
}

// parseString reads a connection string of either form (libpq:
// parse_connection_string, and conninfo_array_parse for a dbname that holds a
// string of its own).
func parseString(dsn string) (settings, error) {
	pairs, err := parsePairs(dsn)
	if err != nil {
		return nil, err
	}
	if !isURI(dsn) {
		if pairs, err = expandDatabase(pairs); err != nil {
			return nil, err
		}
	}
	set := make(settings, len(pairs))
	for _, p := range pairs {
		if p.mistake != nil {
			return nil, p.mistake
		}
		if err := checkKey(p.key); err != nil {
			return nil, err
		}
		set[p.key] = setting{value: p.value}
	}
	return set, nil
}

func parsePairs(dsn string) ([]pair, error) {
	if strings.IndexByte(dsn, 0) >= 0 {
		return nil, errors.New("connection string contains a NUL byte")
	}
	if isURI(dsn) {
		return parseURI(dsn)
	}
	return parseConninfo(dsn)
}

// expandDatabase replaces a dbname that is a connection string by what that
// string says: it overrides the pairs before it and yields to those after it.
// What it holds is not expanded again, so dbname='dbname=a\=b' names a
// database with an equals sign.
func expandDatabase(pairs []pair) ([]pair, error) {
	last := -1
	for i, p := range pairs {
		if p.key == "dbname" {
			last = i
		}
	}
	if last < 0 {
		return pairs, nil
	}
	if db := pairs[last].value; !isURI(db) && !strings.Contains(db, "=") {
		return pairs, nil
	}
	inner, err := parsePairs(pairs[last].value)
	if err != nil {
		return nil, fmt.Errorf("dbname: %w", err)
	}
	// Names before it are dropped with it: the string they yield to may have none.
	expanded := slices.DeleteFunc(slices.Clone(pairs[:last]), func(p pair) bool { return p.key == "dbname" })
	return slices.Concat(expanded, inner, pairs[last+1:]), nil
}

// parseConninfo reads keyword = value pairs (libpq: conninfo_parse).
func parseConninfo(s string) ([]pair, error) {
	var pairs []pair
	i := skipSpaces(s, 0)
	for i < len(s) {
		start := i
		for i < len(s) && s[i] != '=' && !isSpace(s[i]) {
			i++
		}
		key := s[start:i]
		i = skipSpaces(s, i)
		if i >= len(s) || s[i] != '=' {
			return nil, missingEquals(key, start)
		}
		afterEquals := i + 1
		i = skipSpaces(s, afterEquals)
		p := pair{key: key}
		var err error
		if i < len(s) && s[i] == '\'' {
			p.value, i, err = quotedValue(s, i+1)
		} else {
			if i > afterEquals && startsWithOption(s[i:]) {
				p.mistake = fmt.Errorf("connection option %q has no value, so the option after it would be taken for one (write '' for an empty value)", showKey(key))
			}
			p.value, i = plainValue(s, i)
		}
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, translate(p))
		i = skipSpaces(s, i)
	}
	return pairs, nil
}

// plainValue reads up to the next space; a backslash takes the character
// after it as it is.
func plainValue(s string, i int) (string, int) {
	var b strings.Builder
	for ; i < len(s) && !isSpace(s[i]); i++ {
		if s[i] == '\\' {
			if i++; i == len(s) {
				break // a backslash at the very end stands for nothing
			}
		}
		b.WriteByte(s[i])
	}
	return b.String(), i
}

// quotedValue reads up to the closing quote. libpq wants no space after it.
func quotedValue(s string, i int) (string, int, error) {
	var b strings.Builder
	for ; i < len(s); i++ {
		switch s[i] {
		case '\'':
			return b.String(), i + 1, nil
		case '\\':
			if i++; i == len(s) {
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return "", i, errors.New("unterminated quoted string in connection info string")
}

// missingEquals is libpq's error. The word is only repeated when it can be no
// part of a password: when it is an option's name, or the first word and a
// plain one.
func missingEquals(word string, at int) error {
	hint := ""
	switch {
	case strings.Contains(word, "://"):
		word, hint = hidden, " (a URI starts with postgres:// or postgresql://)"
	case isKeyword(word) || at == 0 && isPlainWord(word):
	default:
		word, hint = hidden, fmt.Sprintf(" at byte %d (a value with spaces in it needs single quotes)", at+1)
	}
	return fmt.Errorf("missing \"=\" after %q in connection info string%s", word, hint)
}

// hidden stands in errors for text that may be a password.
const hidden = "***"

// showKey is a keyword that an error may repeat.
func showKey(key string) string {
	if !isKeyword(key) {
		return hidden
	}
	return key
}

// show is a value that an error may repeat: none that may have swallowed its
// neighbours, passwords among them.
func show(value string) string {
	if len(value) > 100 || strings.ContainsAny(value, "=@") {
		return hidden
	}
	return value
}

// startsWithOption reports whether s begins with a known keyword and "=".
func startsWithOption(s string) bool {
	name, _, ok := strings.Cut(s, "=")
	return ok && isKeyword(strings.TrimRight(name, " \t\n\v\f\r"))
}

// translate maps the old names that libpq and lib/pq still take.
func translate(p pair) pair {
	switch p.key {
	case "requiressl": // libpq: conninfo_storeval
		p.key = "sslmode"
		if strings.HasPrefix(p.value, "1") {
			p.value = "require"
		} else {
			p.value = "prefer"
		}
	default:
		if name := aliases[p.key]; name != "" {
			p.key = name
		}
		// The server takes the names of its parameters in any case.
		if o := optionByName(strings.ToLower(p.key)); o != nil && (o.param || o.name == "datestyle") {
			p.key = o.name
		}
	}
	return p
}

// isSpace is C's isspace in the C locale.
func isSpace(c byte) bool {
	return c == ' ' || '\t' <= c && c <= '\r'
}

func skipSpaces(s string, i int) int {
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	return i
}

func isPlainWord(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '.' || c == '/' || c == '-') {
			return false
		}
	}
	return true
}
