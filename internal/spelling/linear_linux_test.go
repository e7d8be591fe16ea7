package spelling_test

import (
	"testing"

	"github.com/psyco-go/psyco/internal/spelling"
	"github.com/psyco-go/psyco/internal/testlinear"
)

var readers = testlinear.Readers{
	"misspells": func(text string) { spelling.Misspells(text, "host") },
}

// TestReadersAreLinear: no text takes longer than in proportion to its length.
func TestReadersAreLinear(t *testing.T) { testlinear.Check(t, readers) }

// FuzzReadersAreLinear looks for texts that do.
func FuzzReadersAreLinear(f *testing.F) { testlinear.Fuzz(f, readers) }
