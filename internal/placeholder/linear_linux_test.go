package placeholder_test

import (
	"database/sql/driver"
	"testing"

	"github.com/psyco-go/psyco/internal/placeholder"
	"github.com/psyco-go/psyco/internal/placeholder/placeholdertest"
	"github.com/psyco-go/psyco/internal/testlinear"
)

var readers = testlinear.Readers{
	"rewrite":              func(text string) { placeholder.Rewrite(text, placeholder.Auto) },
	"rewrite, all psycopg": func(text string) { placeholder.Rewrite(text, placeholder.OnlyPsycopg) },
	"bind": func(text string) {
		if q, err := placeholder.Rewrite(text, placeholder.OnlyPsycopg); err == nil {
			q.Bind(placeholdertest.Suitable(&q, 0))
		}
	},
	"explain": func(text string) {
		if q, err := placeholder.Rewrite(text, placeholder.OnlyPsycopg); err == nil {
			q.Stretches().Source(len(q.SQL) / 2)
			q.SyntaxHint(len(q.SQL) / 2)
		}
	},
	"names": func(text string) {
		(&placeholder.Query{Text: text}).Nameless([]driver.NamedValue{{Name: "a"}})
	},
	"spots": func(text string) { placeholder.Spots(text) },
}

// TestReadersAreLinear: no text takes longer than in proportion to its length.
func TestReadersAreLinear(t *testing.T) { testlinear.Check(t, readers) }

// FuzzReadersAreLinear looks for texts that do.
func FuzzReadersAreLinear(f *testing.F) { testlinear.Fuzz(f, readers) }
