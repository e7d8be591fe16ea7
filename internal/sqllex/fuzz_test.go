package sqllex

import (
	"strings"
	"testing"
)

// FuzzScanner checks what holds for any bytes: elements follow each other
// without gaps, only the last one is open, what is inside an element of each kind
// is delimited as that kind demands, and what comes after it does not change it.
func FuzzScanner(f *testing.F) {
	for _, seed := range []string{
		"", "select 1", "E'\\'' 'a'\n'b'", "$a$ $b$ $a$ $1$", "/*/**/*/ -- x\n\"a\"\"\"", "U&'x' u&\"", "B'0''1'\n'2'", "a$1$b$1$", "1.5e-3..",
		"\x00\xff'\x80", "$$", "'", "E'\\", "/*/", "%(a)s",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		pos := 0
		for s := NewScanner(sql); ; {
			tok := s.Next()
			if tok.Start != pos || s.Pos() != tok.Stop {
				t.Fatalf("%q: element %+v where one at %d was due, Pos %d", sql, tok, pos, s.Pos())
			}
			if tok.Kind == End {
				break
			}
			if tok.Stop <= tok.Start || tok.Open && tok.Stop != len(sql) {
				t.Fatalf("%q: element %+v", sql, tok)
			}
			pos = tok.Stop
			checkElement(t, sql, tok)
		}
		if pos != len(sql) {
			t.Fatalf("%q: ended at %d", sql, pos)
		}
		n := 0
		for stmt := range Statements(sql) {
			n++
			if strings.TrimSpace(stmt) == "" {
				t.Fatalf("%q: empty statement", sql)
			}
		}
		if got := Count(sql, -1); got != n {
			t.Fatalf("%q: Count %d, %d statements", sql, got, n)
		}
		for name := range Calls(sql) {
			_ = name
		}
		Keyword(sql)
	})
}

func checkElement(t *testing.T, sql string, tok Token) {
	t.Helper()
	text := tok.Text(sql)
	ok := true
	switch tok.Kind {
	case Space:
		ok = strings.Trim(text, " \t\n\r\f\v") == ""
	case LineComment:
		ok = strings.HasPrefix(text, "--") && !strings.ContainsAny(text, "\r\n")
	case BlockComment:
		ok = strings.HasPrefix(text, "/*") && (tok.Open || strings.HasSuffix(text, "*/") && len(text) >= 4)
	case Word:
		ok = IsIdentStart(text[0])
		for i := range len(text) {
			ok = ok && IsIdentPart(text[i])
		}
	case Ident, String, BitString, EscapeString:
		quote := "'"
		if tok.Kind == Ident {
			quote = `"`
		}
		_, body, found := strings.Cut(text, quote)
		ok = found && (tok.Open || strings.HasSuffix(body, quote))
		if ok && !tok.Open && tok.Kind != EscapeString {
			body = strings.ReplaceAll(body[:len(body)-1], quote+quote, "")
			ok = !strings.Contains(body, quote)
		}
	case DollarString:
		stop := strings.IndexByte(text[1:], '$') + 2
		delim, body := text[:stop], text[stop:]
		ok = strings.Contains(body, delim) != tok.Open && (tok.Open || strings.Index(body, delim)+len(delim) == len(body))
	case Number:
		ok = '0' <= text[0] && text[0] <= '9'
	case Param:
		ok = text[0] == '$' && strings.Trim(text[1:], "0123456789") == "" && len(text) > 1
	case Symbol:
		ok = len(text) == 1
	}
	if !ok {
		t.Fatalf("%q: %+v is %q", sql, tok, text)
	}
}
