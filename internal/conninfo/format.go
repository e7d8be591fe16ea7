package conninfo

import "strings"

var quoteValue = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

// AppendPair adds key=value to a connection string, with quotes where the value
// needs them.
func AppendPair(b *strings.Builder, key, value string) {
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	b.WriteString(key)
	b.WriteByte('=')
	// dbname alone may be read as a string of its own; wrapping it into one
	// makes the name literal again.
	if key == "dbname" && (strings.Contains(value, "=") || IsURI(value)) {
		value = "dbname='" + quoteValue.Replace(value) + "'"
	}
	if value != "" && !strings.ContainsFunc(value, func(r rune) bool { return r < 0x80 && isSpace(byte(r)) || r == '\'' || r == '\\' }) {
		b.WriteString(value)
		return
	}
	b.WriteByte('\'')
	b.WriteString(quoteValue.Replace(value))
	b.WriteByte('\'')
}
