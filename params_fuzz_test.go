package psyco

import (
	"database/sql/driver"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

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
		if q, err := rewrite(text, placeholdersNative); err != nil || q.style != styleNative || q.sql != text {
			t.Fatalf("%q: mode native: %+v, %v", text, q, err)
		}
		for _, mode := range []placeholders{placeholdersAuto, placeholdersPsycopg} {
			q, err := rewrite(text, mode)
			if err != nil {
				checkError(t, text, err)
				continue
			}
			if q.style == styleNative {
				if q.sql != text || mode == placeholdersPsycopg {
					t.Fatalf("%q: native: %+v", text, q)
				}
				if q.misuse != nil {
					checkError(t, text, q.misuse)
				}
				continue
			}
			checkQuoted(t, q)
			checkCount(t, q, q.sql, q.params)
			checkStretches(t, q.sql, text, q.stretches())
			args := suitable(q, int(rows))
			sql, out, made, err := q.bind(args)
			if slices.ContainsFunc(q.slots, func(s slot) bool { return s.kind == slotAlone && isPlainList(args[s.arg].Value) }) {
				checkError(t, text, err) // one name for IN %(a)s and IN (%(a)s)
				continue
			}
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			checkCount(t, q, sql, len(out))
			checkStretches(t, sql, q.sql, made)
			if !q.rows && (sql != q.sql || len(out) != q.params) {
				t.Fatalf("%q: %d bound to %q, want %d to %q", text, len(out), sql, q.params, q.sql)
			}
			literals := 0
			rendered, made, err := q.render(suitable(q, int(rows)), func(dst []byte, _ driver.NamedValue) ([]byte, error) {
				literals++
				return append(dst, "'it''s \x00'"...), nil
			})
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			checkStretches(t, rendered, q.sql, made)
			if got := countLiterals(rendered, "'it''s \x00'"); got != literals {
				t.Fatalf("%q became %q: %d literals of their own, want %d", text, rendered, got, literals)
			}
		}
	})
}

// checkStretches checks where a text came from: the stretches that are copied are
// the same there, and every place is one of both.
func checkStretches(t *testing.T, text, from string, made stretches) {
	t.Helper()
	for i := range len(text) + 1 {
		if at := made.source(i); at < 0 || at > len(from) {
			t.Fatalf("%q, made of %q: %d is from %d", text, from, i, at)
		}
	}
	for i, s := range made {
		stop := len(text)
		if i+1 < len(made) {
			stop = made[i+1].at
		}
		if s.at > stop || !s.new && text[s.at:stop] != from[s.from:s.from+stop-s.at] {
			t.Fatalf("%q, made of %q: [%d, %d) is not from %d", text, from, s.at, stop, s.from)
		}
	}
}

func checkError(t *testing.T, text string, err error) {
	t.Helper()
	var place *queryError
	if !errors.As(err, &place) || place.text != text || place.offset > len(text) || !strings.HasPrefix(err.Error(), "psyco: ") {
		t.Fatalf("%q: %v", text, err)
	}
}

// suitable returns arguments that fit the placeholders of q: lists and row lists
// where they are asked for.
func suitable(q *query, rows int) []driver.NamedValue {
	out := make([]driver.NamedValue, q.params)
	for i := range q.slots {
		s := &q.slots[i]
		v := &out[s.arg]
		v.Ordinal = s.arg + 1
		if q.style == styleNamed {
			v.Name = q.names[s.arg]
		}
		switch s.kind {
		case slotList:
			if v.Value == nil {
				v.Value = []int(nil)
			}
		case slotRows:
			list := make([][]any, rows%4)
			if rows%4 == 3 {
				list = make([][]any, maxListedRows+1)
			}
			for i := range list {
				list[i] = make([]any, len(s.left))
			}
			v.Value = list
		}
	}
	// One name may stand for rows of different widths, which none but no rows fit.
	for i := range q.slots {
		s := &q.slots[i]
		if list, ok := out[s.arg].Value.([][]any); ok && s.kind == slotRows && len(list) > 0 && len(list[0]) != len(s.left) {
			out[s.arg].Value = [][]any{}
		}
	}
	return out
}

// checkQuoted compares the comments, literals and quoted identifiers of a query
// with those of the text, in which every placeholder is made a $1 first.
func checkQuoted(t *testing.T, q *query) {
	t.Helper()
	var b strings.Builder
	at := 0
	for i := range q.slots {
		b.WriteString(q.text[at:q.slots[i].offset] + " $1 ")
		at = placeholderEnd(q.text, q.slots[i].offset)
	}
	b.WriteString(q.text[at:])
	want, got := quotedIn(b.String()), quotedIn(q.sql)
	if len(want) != len(got) {
		t.Fatalf("%q became %q\n%q\n%q", q.text, q.sql, want, got)
	}
	for i := range want {
		text := want[i].text
		if !want[i].kind.IsSpace() {
			text = strings.ReplaceAll(text, "%%", "%")
		}
		if want[i].kind != got[i].kind || text != got[i].text {
			t.Fatalf("%q became %q\n%+v\n%+v", q.text, q.sql, want[i], got[i])
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
func checkCount(t *testing.T, q *query, sql string, n int) {
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
		t.Fatalf("%q became %q with %q, %d are bound", q.text, sql, found, n)
	}
}

// FuzzSnakeCase checks that a snake_case name stays one, and has no underscores
// side by side that the field's name does not have.
func FuzzSnakeCase(f *testing.F) {
	for _, seed := range []string{"UserID", "HTTPServer", "IDs", "X_Y", "ÄÖ", "aB1C", "ſS"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := snakeCase(name)
		if again := snakeCase(got); again != got {
			t.Errorf("%q: %q, again %q", name, got, again)
		}
		if strings.Contains(got, "__") && !strings.Contains(name, "_") {
			t.Errorf("%q: %q", name, got)
		}
	})
}
