package psyco

import (
	"maps"
	"slices"
	"strings"
)

// FormatDSN returns a connection string that [ParseDSN] turns into c again,
// whatever the environment holds by then: every option that could come from
// it is written out. The string holds the passwords. It cannot hold
// Host.Password and TLSConfig, and times are rounded up to whole units.
func (c *Config) FormatDSN() string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(c.RuntimeParams)) {
		if optionByName(strings.ToLower(key)) == nil {
			writePair(&b, key, c.RuntimeParams[key])
		}
	}
	d := c.Clone()
	d.setFixedDefaults()
	plain := NewConfig()
	plain.setFixedDefaults()
	for _, o := range options {
		switch {
		case o.name == "service":
			writePair(&b, o.name, "") // or $PGSERVICE would be read
		case o.name == "servicefile":
		case o.get == nil && o.shield != "":
			writePair(&b, o.name, o.shield)
		case o.get == nil:
		case o.env != nil || o.get(d) != o.get(plain):
			writePair(&b, o.name, o.get(d))
		}
	}
	return b.String()
}

// String returns the options that differ from the defaults, as a connection
// string without passwords and private keys.
func (c Config) String() string {
	var b strings.Builder
	d := c.Clone()
	d.setFixedDefaults()
	plain := NewConfig()
	plain.setFixedDefaults()
	for _, o := range options {
		if o.get == nil || o.param {
			continue
		}
		v := o.get(d)
		switch {
		case v == o.get(plain):
			continue
		case o.name == "sslkey" && !c.SSLInline: // a file's name
		case o.secret:
			v = hidden
		}
		writePair(&b, o.name, v)
	}
	for _, key := range slices.Sorted(maps.Keys(c.RuntimeParams)) {
		writePair(&b, key, c.RuntimeParams[key])
	}
	return b.String()
}

// GoString keeps passwords out of %#v too.
func (c Config) GoString() string {
	return "psyco.Config{" + c.String() + "}"
}

// GoString keeps the password out of %#v too.
func (h Host) GoString() string {
	return "psyco.Host{" + h.String() + "}"
}

var quoteValue = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

// writePair adds key=value, with quotes where the value needs them.
func writePair(b *strings.Builder, key, value string) {
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	b.WriteString(key)
	b.WriteByte('=')
	// dbname alone may be read as a string of its own; wrapping it into one
	// makes the name literal again.
	if key == "dbname" && (strings.Contains(value, "=") || isURI(value)) {
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
