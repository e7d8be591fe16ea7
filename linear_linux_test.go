package psyco

import (
	"testing"

	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/placeholder"
	"github.com/psyco-go/psyco/internal/placeholder/placeholdertest"
	"github.com/psyco-go/psyco/internal/testlinear"
)

// readers are all of this package that read texts, be they a program's or a server's.
var readers = testlinear.Readers{
	"Mogrify": func(text string) {
		if q, err := rewrite(text, placeholder.OnlyPsycopg); err == nil {
			(&conn{con: &Connector{}}).mogrify(q, placeholdertest.Suitable(&q.Query, 1))
		}
	},
	"Compose":         func(text string) { Compose(text, 1) },
	"Compose around":  func(text string) { Compose("{}", Raw(text)) },
	"COPY":            func(text string) { strayCopy(text, nil) },
	"conninfo":        func(text string) { ParseDSN(text) },
	"array":           func(text string) { parseArray(text, ',') },
	"array of a type": func(text string) { new(Array[string]).Scan(text) },
	"record":          func(text string) { parseRecord(text) },
	"range":           func(text string) { new(Range[int]).Scan(text) },
	"multirange":      func(text string) { parseMultirange[int](text) },
	"hstore":          func(text string) { parseHStore(text) },
	"interval":        func(text string) { pgform.ParseInterval(text) },
	"inet":            func(text string) { pgform.ParseInet(text) },
	"numeric":         func(text string) { new(Numeric).Scan(text) },
	"time":            func(text string) { parseTime(text) },
	"date":            func(text string) { pgform.ParseDate(text) },
	"bytea":           func(text string) { pgform.ParseBytea(text) },
	"arguments of calls": func(text string) {
		spots := placeholder.Spots(text)
		argumentsOf(text, spots)
	},
}

// TestReadersAreLinear: no text takes longer than in proportion to its length.
func TestReadersAreLinear(t *testing.T) { testlinear.Check(t, readers) }

// FuzzReadersAreLinear looks for texts that do.
func FuzzReadersAreLinear(f *testing.F) { testlinear.Fuzz(f, readers) }
