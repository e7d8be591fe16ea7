package pgform

import (
	"errors"
	"strings"
)

// AppendPair writes a key of an hstore and its value, behind others or as the first.
func AppendPair(b []byte, key string, value Element) []byte {
	if len(b) > 0 {
		b = append(b, ',')
	}
	b = append(AppendQuoted(b, key), "=>"...)
	if value.Null {
		return append(b, "NULL"...)
	}
	return AppendQuoted(b, value.Text)
}

// ParseHStore reads what the server writes (hstore: hstore_out), where all but NULL is
// quoted, and tells put each pair.
func ParseHStore(text string, put func(key string, value Element)) error {
	for rest := text; rest != ""; {
		if len(rest) < len(text) {
			var ok bool
			if rest, ok = strings.CutPrefix(rest, ","); !ok {
				return errors.New("a comma is missing")
			}
			rest = strings.TrimLeft(rest, " ")
		}
		if !strings.HasPrefix(rest, `"`) {
			return errors.New("a quoted key is missing")
		}
		key, after, err := cutQuoted(rest)
		if err != nil {
			return err
		}
		after, ok := strings.CutPrefix(after, "=>")
		if !ok {
			return errors.New("=> is missing")
		}
		value := Element{Null: true}
		if rest, ok = strings.CutPrefix(after, "NULL"); !ok {
			if !strings.HasPrefix(after, `"`) {
				return errors.New("a quoted value is missing")
			}
			if value.Text, rest, err = cutQuoted(after); err != nil {
				return err
			}
			value.Null = false
		}
		put(key, value)
	}
	return nil
}
