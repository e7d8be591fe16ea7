package conninfo

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Pair is one keyword and its value, as written.
type Pair struct {
	Key, Value string
	// mistake is why psyco refuses the pair although libpq takes it: it is
	// surely not what was meant, and a piece of a password may be in it.
	mistake error
}

// parseString reads a connection string of either form (libpq:
// parse_connection_string, and conninfo_array_parse for a dbname that holds a
// string of its own).
func (g *Grammar) parseString(dsn string) (Settings, error) {
	pairs, err := g.ParsePairs(dsn)
	if err != nil {
		return nil, err
	}
	if IsURI(dsn) {
		if again := g.reread(dsn); again != nil {
			pairs = again
		}
	} else if pairs, err = g.expandDatabase(pairs); err != nil {
		return nil, err
	}
	set := make(Settings, len(pairs))
	for _, p := range pairs {
		if p.mistake != nil {
			return nil, p.mistake
		}
		if err := g.checkKey(p.Key); err != nil {
			return nil, err
		}
		set[p.Key] = Setting{Value: p.Value}
	}
	return set, nil
}

// ParsePairs reads the pairs of a string in their order, without those of a string
// in its dbname.
func (g *Grammar) ParsePairs(dsn string) ([]Pair, error) {
	if strings.IndexByte(dsn, 0) >= 0 {
		return nil, errors.New("connection string contains a NUL byte")
	}
	if IsURI(dsn) {
		return g.parseURI(dsn, false)
	}
	if err := foreignScheme(dsn); err != nil {
		return nil, err
	}
	return g.parseConninfo(dsn)
}

// expandDatabase replaces a dbname that is a connection string by what that
// string says: it overrides the pairs before it and yields to those after it.
// What it holds is not expanded again, so dbname='dbname=a\=b' names a
// database with an equals sign.
func (g *Grammar) expandDatabase(pairs []Pair) ([]Pair, error) {
	last := -1
	for i, p := range pairs {
		if p.Key == "dbname" {
			last = i
		}
	}
	if last < 0 {
		return pairs, nil
	}
	if db := pairs[last].Value; !IsURI(db) && !strings.Contains(db, "=") {
		return pairs, nil
	}
	if err := pairs[last].mistake; err != nil {
		return nil, err
	}
	inner, err := g.ParsePairs(pairs[last].Value)
	if err != nil {
		return nil, fmt.Errorf("dbname: %w", err)
	}
	// Names before it are dropped with it: the string they yield to may have none.
	expanded := slices.DeleteFunc(slices.Clone(pairs[:last]), func(p Pair) bool { return p.Key == "dbname" })
	return slices.Concat(expanded, inner, pairs[last+1:]), nil
}

// parseConninfo reads keyword = value pairs (libpq: conninfo_parse).
func (g *Grammar) parseConninfo(s string) ([]Pair, error) {
	var pairs []Pair
	i := skipSpaces(s, 0)
	for i < len(s) {
		start := i
		for i < len(s) && s[i] != '=' && !isSpace(s[i]) {
			i++
		}
		key := s[start:i]
		i = skipSpaces(s, i)
		if i >= len(s) || s[i] != '=' {
			return nil, g.missingEquals(key, start)
		}
		afterEquals := i + 1
		i = skipSpaces(s, afterEquals)
		p := Pair{Key: key}
		var err error
		if i < len(s) && s[i] == '\'' {
			p.Value, i, err = quotedValue(s, i+1)
		} else {
			if i > afterEquals && g.startsWithOption(s[i:]) {
				p.mistake = fmt.Errorf("connection option %q has no value, so the option after it would be taken for one (write '' for an empty value)", g.showKey(key))
			}
			start := i
			p.Value, i = plainValue(s, i)
			if p.mistake == nil && g.separatesBySemicolons(key, s[start:i]) {
				p.mistake = errors.New("separate connection options with spaces, not with \";\"")
			}
		}
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, g.translate(p))
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
func (g *Grammar) missingEquals(word string, at int) error {
	hint := ""
	switch {
	case strings.Contains(word, "://"):
		word, hint = Hidden, " (a URI starts with postgres:// or postgresql://)"
	case g.isKeyword(word) || at == 0 && isPlainWord(word):
	default:
		word, hint = Hidden, fmt.Sprintf(" at byte %d (a value with spaces in it needs single quotes)", at+1)
	}
	return fmt.Errorf("missing \"=\" after %q in connection info string%s", word, hint)
}

// Hidden stands in errors for text that may be a password.
const Hidden = "***"

// showKey is a keyword that an error may repeat.
func (g *Grammar) showKey(key string) string {
	if !g.isKeyword(key) {
		return Hidden
	}
	return key
}

// Show is a value that an error may repeat: none that may have swallowed its
// neighbours, passwords among them.
func Show(value string) string {
	if len(value) > 100 || strings.ContainsAny(value, "=@") {
		return Hidden
	}
	return value
}

// startsWithOption reports whether s begins with a known keyword and "=".
func (g *Grammar) startsWithOption(s string) bool {
	name, _, ok := strings.Cut(s, "=")
	return ok && g.isKeyword(strings.TrimRight(name, " \t\n\v\f\r"))
}

// separatesBySemicolons reports whether another option stands in the value of one, as in
// host=a;port=1. In a password it may be the password's.
func (g *Grammar) separatesBySemicolons(key, value string) bool {
	if o := g.Option(key); o != nil && o.Secret {
		return false
	}
	for {
		_, after, ok := strings.Cut(value, ";")
		if !ok {
			return false
		}
		value = after
		if name, _, ok := strings.Cut(value, "="); ok && g.isKeywordOrForeign(name) {
			return true
		}
	}
}

func (g *Grammar) isKeywordOrForeign(name string) bool {
	return g.isKeyword(strings.ToLower(name)) || adviceFor(name) != ""
}

// translate maps the old names that libpq and lib/pq still take.
func (g *Grammar) translate(p Pair) Pair {
	switch p.Key {
	case "requiressl": // libpq: conninfo_storeval
		p.Key = "sslmode"
		if strings.HasPrefix(p.Value, "1") {
			p.Value = "require"
		} else {
			p.Value = "prefer"
		}
	default:
		if name := g.aliases[p.Key]; name != "" {
			p.Key = name
		}
		// The server takes the names of its parameters in any case.
		if o := g.Option(strings.ToLower(p.Key)); o != nil && o.AnyCase {
			p.Key = o.Name
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
