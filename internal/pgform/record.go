package pgform

import (
	"errors"
	"fmt"
	"strings"
)

// ParseRecord reads a composite value into its attributes (PostgreSQL: record_out).
func ParseRecord(text string) ([]Element, error) {
	rest, ok := strings.CutPrefix(text, "(")
	if !ok {
		return nil, fmt.Errorf("%.60q is not a record", text)
	}
	if rest == ")" {
		return nil, nil
	}
	var attributes []Element
	for {
		e, after, err := cutComponent(rest, ",)")
		if err != nil || after == "" || after[0] != ',' && after != ")" {
			return nil, fmt.Errorf("%.60q is not a record", text)
		}
		attributes = append(attributes, e)
		if after[0] == ')' {
			return attributes, nil
		}
		rest = after[1:]
	}
}

// cutComponent reads an attribute of a record or a bound of a range from the
// start of s, up to one of the characters in ends. Nothing at all is NULL.
// Quoted and plain pieces may be mixed, and inside quotes "" is a quote
// (PostgreSQL: record_in, range_parse_bound).
func cutComponent(s, ends string) (e Element, rest string, err error) {
	end := strings.IndexAny(s, ends)
	if end == 0 {
		return Element{Null: true}, s, nil
	}
	if end > 0 && !strings.ContainsAny(s[:end], `"\`) {
		return Element{Text: s[:end]}, s[end:], nil
	}
	var b strings.Builder
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			if i++; i == len(s) {
				return Element{}, "", errors.New("it ends in a backslash")
			}
			b.WriteByte(s[i])
		case c == '"' && quoted && i+1 < len(s) && s[i+1] == '"':
			b.WriteByte('"')
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && strings.IndexByte(ends, c) >= 0:
			return Element{Text: b.String()}, s[i:], nil
		default:
			b.WriteByte(c)
		}
	}
	return Element{}, "", errors.New("it has no end")
}

// AppendComponent writes an attribute of a record or a bound of a range so that cutComponent and the server read it back.
func AppendComponent(b []byte, text string) []byte {
	if text != "" && !strings.ContainsAny(text, "\"\\,()[]{} \t\n\r\v\f") {
		return append(b, text...)
	}
	b = append(b, '"')
	for i := range len(text) {
		if text[i] == '"' || text[i] == '\\' {
			b = append(b, text[i])
		}
		b = append(b, text[i])
	}
	return append(b, '"')
}
