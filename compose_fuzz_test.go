package psyco

import (
	"testing"

	"github.com/psyco-go/psyco/internal/placeholder"
	"github.com/psyco-go/psyco/internal/sqllex"
)

// FuzzCompose checks that names and literals change nothing in a query but
// themselves: it is the same with "x" for each name and 'y' for each literal.
func FuzzCompose(f *testing.F) {
	for _, template := range []string{
		"select {} from {}", "{}{}", "U&{}E{}", "a{}b{}'c'\n'd'", "{{}} {0}{1}.{0}", "'{}", "select {} -{} %s", "x%%{}%{}", "{}$$a$${}1", "-- {}\n{}",
	} {
		f.Add(template, `it's "%s" \ -- $$`, "\n%\"")
	}
	f.Fuzz(func(t *testing.T, template, name, value string) {
		for parts := range 5 {
			plain, real := make([]any, parts), make([]any, parts)
			for i := range parts {
				if i%2 == 0 {
					plain[i], real[i] = Identifier{"x"}, Identifier{name}
				} else {
					plain[i], real[i] = "y", value
				}
			}
			wantText, wantErr := Compose(template, plain...)
			text, err := Compose(template, real...)
			if err != nil || wantErr != nil {
				if err == nil {
					t.Errorf("%q with %q, %q: %q, but with x and y: %v", template, name, value, text, wantErr)
				}
				continue
			}
			want, got := elements(bare(wantText)), elements(bare(text))
			if len(want) != len(got) {
				t.Fatalf("%q with %q, %q becomes %q: %v, with x and y %v", template, name, value, text, got, want)
			}
			for i := range want {
				switch {
				case want[i] == got[i]:
				case want[i].text == `"x"` && got[i] == lexeme{sqllex.Ident, Identifier{name}.String()}:
				case want[i].text == "'y'":
					if s, _ := readLiteral(got[i:]); s == value {
						continue
					}
					fallthrough
				default:
					t.Fatalf("%q with %q, %q becomes %q: %v instead of %v", template, name, value, text, got[i], want[i])
				}
			}
		}
	})
}

// bare is what the server gets for a query: with placeholders, %% is a %.
func bare(text string) string {
	if q, err := rewrite(text, placeholder.Auto); err == nil && q.Style != placeholder.Native {
		return q.SQL
	}
	return text
}
