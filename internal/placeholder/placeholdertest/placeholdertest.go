// Package placeholdertest is for tests of what is done with placeholders.
package placeholdertest

import (
	"database/sql/driver"
	"testing"

	"github.com/psyco-go/psyco/internal/placeholder"
)

// CheckStretches checks where a text came from: the Stretches that are copied are
// the same there, and every place is one of both.
func CheckStretches(t testing.TB, text, from string, made placeholder.Stretches) {
	t.Helper()
	for i := range len(text) + 1 {
		if at := made.Source(i); at < 0 || at > len(from) {
			t.Fatalf("%q, made of %q: %d is from %d", text, from, i, at)
		}
	}
	for i, s := range made {
		stop := len(text)
		if i+1 < len(made) {
			stop = made[i+1].At
		}
		if s.At > stop || !s.New && text[s.At:stop] != from[s.From:s.From+stop-s.At] {
			t.Fatalf("%q, made of %q: [%d, %d) is not from %d", text, from, s.At, stop, s.From)
		}
	}
}

// Suitable returns arguments that fit the placeholders of q: lists and row lists
// where they are asked for.
func Suitable(q *placeholder.Query, rows int) []driver.NamedValue {
	out := make([]driver.NamedValue, q.Params)
	for i := range q.Placeholders {
		p := &q.Placeholders[i]
		v := &out[p.Arg]
		v.Ordinal = p.Arg + 1
		if q.Style == placeholder.Named {
			v.Name = q.Names[p.Arg]
		}
		switch p.Kind {
		case placeholder.List:
			if v.Value == nil {
				v.Value = []int(nil)
			}
		case placeholder.Rows:
			list := make([][]any, rows%4)
			if rows%4 == 3 {
				list = make([][]any, placeholder.MaxListedRows+1)
			}
			for i := range list {
				list[i] = make([]any, p.Width())
			}
			v.Value = list
		}
	}
	// One name may stand for rows of different widths, which none but no rows fit.
	for i := range q.Placeholders {
		p := &q.Placeholders[i]
		if list, ok := out[p.Arg].Value.([][]any); ok && p.Kind == placeholder.Rows && len(list) > 0 && len(list[0]) != p.Width() {
			out[p.Arg].Value = [][]any{}
		}
	}
	return out
}
