package pgform_test

import (
	"testing"

	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/testlinear"
)

var readers = testlinear.Readers{
	"array":      func(text string) { pgform.ParseArray(text, ',') },
	"record":     func(text string) { pgform.ParseRecord(text) },
	"interval":   func(text string) { pgform.ParseInterval(text) },
	"inet":       func(text string) { pgform.ParseInet(text) },
	"date":       func(text string) { pgform.ParseDate(text) },
	"bytea":      func(text string) { pgform.ParseBytea(text) },
	"numbers":    func(text string) { pgform.IsNumeric(text) },
	"range":      func(text string) { pgform.ParseRange(text) },
	"multirange": func(text string) { pgform.ParseMultirange(text) },
	"hstore":     func(text string) { pgform.ParseHStore(text, func(string, pgform.Element) {}) },
	"clock":      func(text string) { pgform.ParseClock(text) },
	"uuid":       func(text string) { pgform.ParseUUID(text) },
}

// TestReadersAreLinear: no text takes longer than in proportion to its length.
func TestReadersAreLinear(t *testing.T) { testlinear.Check(t, readers) }

// FuzzReadersAreLinear looks for texts that do.
func FuzzReadersAreLinear(f *testing.F) { testlinear.Fuzz(f, readers) }
