package placeholder_test

import (
	"database/sql/driver"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/psyco-go/psyco/internal/placeholder"
	"github.com/psyco-go/psyco/internal/placeholder/placeholdertest"
	"github.com/psyco-go/psyco/internal/sqllex"
)

var rewriteSeeds = []string{
	"SELECT $1, a % b, '%s', $$%s$$ -- %s", "SELECT %s, %b, %t", "SELECT %(a)s, %(b)s, %(a)s", "a NOT/**/IN -- x\n %s", "(a, b) IN %s AND c IN %s",
	"ROW(a, f(b, c), %s) NOT IN %s", "'a%%b' %% E'\\'%%' \"%%\" $a$%%$a$ /* %% */ %s", "a%s$", "$%s", "LIMIT%s", "'a'\n%s'b'", "%(it's)s 'x'",
	"%", "%(", "%()s", "%d", "%s1", "%s %(a)s", "%s $1", "((a, b) IN %s, c) IN %s", "x.*IN %s", "E'\\", "\x00%s\xff", "position(a IN %s)",
	"a IN %(l)s OR a IN (%(l)s)", "a ? $$b$$ AND c = ?",
}

// FuzzRewrite checks what holds for any text: nothing panics, a native query goes
// to the server as it is, and in others nothing but placeholders and %% changes:
// comments are the same, literals and quoted identifiers the same but for %%, and
// there are as many distinct $n as arguments are bound.
func FuzzRewrite(f *testing.F) {
	for _, seed := range rewriteSeeds {
		f.Add(seed, uint8(len(seed)))
	}
	f.Fuzz(func(t *testing.T, text string, rows uint8) {
		if q, err := placeholder.Rewrite(text, placeholder.OnlyNative); err != nil || q.Style != placeholder.Native || q.SQL != text {
			t.Fatalf("%q: mode native: %+v, %v", text, q, err)
		}
		for _, styles := range []placeholder.Styles{placeholder.Auto, placeholder.OnlyPsycopg} {
			q, err := placeholder.Rewrite(text, styles)
			if err != nil {
				checkError(t, text, err)
				continue
			}
			if q.Style == placeholder.Native {
				if q.SQL != text || styles == placeholder.OnlyPsycopg {
					t.Fatalf("%q: native: %+v", text, q)
				}
				if q.Misuse != nil {
					checkError(t, text, q.Misuse)
				}
				continue
			}
			checkQuoted(t, &q)
			checkCount(t, &q, q.SQL, q.Params)
			placeholdertest.CheckStretches(t, q.SQL, text, q.Stretches())
			args := placeholdertest.Suitable(&q, int(rows))
			sql, out, made, err := q.Bind(args)
			if slices.ContainsFunc(q.Placeholders, func(p placeholder.Placeholder) bool { return p.Kind == placeholder.Alone && isSlice(args[p.Arg].Value) }) {
				checkError(t, text, err) // one name for IN %(a)s and IN (%(a)s)
				continue
			}
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			checkCount(t, &q, sql, len(out))
			placeholdertest.CheckStretches(t, sql, q.SQL, made)
			if !q.Expands && (sql != q.SQL || len(out) != q.Params) {
				t.Fatalf("%q: %d bound to %q, want %d to %q", text, len(out), sql, q.Params, q.SQL)
			}
			literals := 0
			rendered, made, err := q.Render(placeholdertest.Suitable(&q, int(rows)), func(dst []byte, _ driver.NamedValue) ([]byte, error) {
				literals++
				return append(dst, "'it''s \x00'"...), nil
			})
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			placeholdertest.CheckStretches(t, rendered, q.SQL, made)
			if got := countLiterals(rendered, "'it''s \x00'"); got != literals {
				t.Fatalf("%q became %q: %d literals of their own, want %d", text, rendered, got, literals)
			}
		}
	})
}

func isSlice(v any) bool { return v != nil && reflect.TypeOf(v).Kind() == reflect.Slice }

func checkError(t *testing.T, text string, err error) {
	t.Helper()
	var place *sqllex.Error
	if !errors.As(err, &place) || place.Text != text || place.Offset > len(text) || !strings.HasPrefix(err.Error(), "psyco: ") {
		t.Fatalf("%q: %v", text, err)
	}
}

// checkQuoted compares the comments, literals and quoted identifiers of a query
// with those of the text, in which every placeholder is made a $1 first.
func checkQuoted(t *testing.T, q *placeholder.Query) {
	t.Helper()
	var b strings.Builder
	at := 0
	for i := range q.Placeholders {
		p := &q.Placeholders[i]
		b.WriteString(q.Text[at:p.Offset] + " $1 ")
		at = p.Offset + len(q.Written(p))
	}
	b.WriteString(q.Text[at:])
	want, got := quotedIn(b.String()), quotedIn(q.SQL)
	if len(want) != len(got) {
		t.Fatalf("%q became %q\n%q\n%q", q.Text, q.SQL, want, got)
	}
	for i := range want {
		text := want[i].text
		if !want[i].kind.IsSpace() {
			text = strings.ReplaceAll(text, "%%", "%")
		}
		if want[i].kind != got[i].kind || text != got[i].text {
			t.Fatalf("%q became %q\n%+v\n%+v", q.Text, q.SQL, want[i], got[i])
		}
	}
}

type quotedElement struct {
	kind sqllex.Kind
	text string
}

func quotedIn(sql string) (out []quotedElement) {
	s := sqllex.NewScanner(sql)
	for t := s.Next(); t.Kind != sqllex.End; t = s.Next() {
		if t.Kind.IsString() || t.Kind == sqllex.Ident || t.Kind == sqllex.LineComment || t.Kind == sqllex.BlockComment {
			out = append(out, quotedElement{t.Kind, t.Text(sql)})
		}
	}
	return out
}

// countLiterals counts the elements that are this literal. No text that is
// rewritten has it, as none has a NUL byte.
func countLiterals(sql, literal string) (n int) {
	s := sqllex.NewScanner(sql)
	for t := s.Next(); t.Kind != sqllex.End; t = s.Next() {
		if t.Text(sql) == literal {
			n++
		}
	}
	return n
}

// checkCount looks for $1 to $n in plain text, all of them and no others.
func checkCount(t *testing.T, q *placeholder.Query, sql string, n int) {
	t.Helper()
	var found []string
	s := sqllex.NewScanner(sql)
	for tok := s.Next(); tok.Kind != sqllex.End; tok = s.Next() {
		if text := tok.Text(sql); tok.Kind == sqllex.Param {
			found = append(found, text)
		}
	}
	slices.Sort(found)
	found = slices.Compact(found)
	want := make([]string, n)
	for i := range want {
		want[i] = "$" + strconv.Itoa(i+1)
	}
	slices.Sort(want)
	if !slices.Equal(found, want) {
		t.Fatalf("%q became %q with %q, %d are bound", q.Text, sql, found, n)
	}
}

// FuzzSnakeCase checks that a snake_case name stays one, and has no underscores
// side by side that the field's name does not have.
func FuzzSnakeCase(f *testing.F) {
	for _, seed := range []string{"UserID", "HTTPServer", "IDs", "X_Y", "ÄÖ", "aB1C", "ſS"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := placeholder.SnakeCase(name)
		if again := placeholder.SnakeCase(got); again != got {
			t.Errorf("%q: %q, again %q", name, got, again)
		}
		if strings.Contains(got, "__") && !strings.Contains(name, "_") {
			t.Errorf("%q: %q", name, got)
		}
	})
}
