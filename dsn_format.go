package psyco

import (
	"maps"
	"slices"
	"strings"

	"github.com/psyco-go/psyco/internal/conninfo"
)

// FormatDSN returns a connection string that [ParseDSN] turns into c again,
// whatever the environment holds by then: every option that could come from
// it is written out. The string holds the passwords. It cannot hold
// Host.Password and TLSConfig, and times are rounded up to whole units.
func (c *Config) FormatDSN() string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(c.RuntimeParams)) {
		if optionByName(strings.ToLower(key)) == nil {
			conninfo.AppendPair(&b, key, c.RuntimeParams[key])
		}
	}
	d := c.Clone()
	d.setFixedDefaults()
	plain := NewConfig()
	plain.setFixedDefaults()
	for _, o := range options {
		switch {
		case o.name == "service":
			conninfo.AppendPair(&b, o.name, "") // or $PGSERVICE would be read
		case o.name == "servicefile":
		case o.get == nil && o.shield != "":
			conninfo.AppendPair(&b, o.name, o.shield)
		case o.get == nil:
		case o.env != nil || o.get(d) != o.get(plain):
			conninfo.AppendPair(&b, o.name, o.get(d))
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
			v = conninfo.Hidden
		}
		conninfo.AppendPair(&b, o.name, v)
	}
	for _, key := range slices.Sorted(maps.Keys(c.RuntimeParams)) {
		conninfo.AppendPair(&b, key, c.RuntimeParams[key])
	}
	return b.String()
}
