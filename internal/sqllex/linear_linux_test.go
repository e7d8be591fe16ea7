package sqllex_test

import (
	"testing"

	"github.com/psyco-go/psyco/internal/sqllex"
	"github.com/psyco-go/psyco/internal/testlinear"
)

var readers = testlinear.Readers{
	"reads only": func(text string) { sqllex.ReadsOnly(text) },
	"redefines":  func(text string) { sqllex.Redefines(text) },
	"statements": func(text string) {
		sqllex.Count(text, -1)
		for range sqllex.Statements(text) {
		}
		for range sqllex.Calls(text) {
		}
		for range sqllex.Tables(text) {
		}
	},
}

// TestReadersAreLinear: no text takes longer than in proportion to its length.
func TestReadersAreLinear(t *testing.T) { testlinear.Check(t, readers) }

// FuzzReadersAreLinear looks for texts that do.
func FuzzReadersAreLinear(f *testing.F) { testlinear.Fuzz(f, readers) }
