package literal

import (
	"testing"

	"github.com/psyco-go/psyco/internal/sqllex"
	"github.com/psyco-go/psyco/internal/testlinear"
)

var readers = testlinear.Readers{
	"text": func(s string) {
		w := Writer{Text: text, TypeName: typeName}
		w.Write(s, func(sqllex.Token) *Value { return &Value{V: int64(-1)} })
	},
	"value": func(s string) {
		w := Writer{Text: text, TypeName: typeName}
		w.Write("$1", each(Value{V: s}))
	},
	"bytes": func(s string) {
		w := Writer{Text: text, TypeName: typeName}
		w.Write("$1", each(Value{V: []byte(s)}))
	},
}

// TestReadersAreLinear: no text takes longer than in proportion to its length.
func TestReadersAreLinear(t *testing.T) { testlinear.Check(t, readers) }

// FuzzReadersAreLinear looks for texts that do.
func FuzzReadersAreLinear(f *testing.F) { testlinear.Fuzz(f, readers) }
