package psyco

import (
	"testing"

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
	"array of a type": func(text string) { new(Array[string]).Scan(text) },
	"range":           func(text string) { new(Range[int]).Scan(text) },
	"multirange":      func(text string) { new(Multirange[int]).Scan(text) },
	"hstore":          func(text string) { new(HStore).Scan(text) },
	"numeric":         func(text string) { new(Numeric).Scan(text) },
	"time":            func(text string) { parseTime(text) },
	"arguments of calls": func(text string) {
		spots := placeholder.Spots(text)
		argumentsOf(text, spots)
	},
}

// TestReadersAreLinear: no text takes longer than in proportion to its length.
func TestReadersAreLinear(t *testing.T) { testlinear.Check(t, readers) }

// FuzzReadersAreLinear looks for texts that do.
func FuzzReadersAreLinear(f *testing.F) { testlinear.Fuzz(f, readers) }
