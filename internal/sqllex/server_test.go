package sqllex_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/sqllex"
)

func open(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", pgserver.TestDSN(t))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

// TestServerAgrees sends generated queries to PostgreSQL. Where it runs one, its
// values and column names must be those that the scanner's elements spell; where
// it finds a syntax error, the place and the text that it names must fall on the
// scanner's boundaries, and what it calls unterminated must be open here too.
func TestServerAgrees(t *testing.T) {
	db := open(t)
	g := generator{rand.New(rand.NewPCG(1, 2))}
	ran, failed, open := 0, 0, 0
	for range 8000 {
		query := g.query()
		tokens := scan(query)
		names, values, err := run(t, db, query)
		if err == nil {
			if !hasOperator(query, tokens) {
				ran++
				want := decode(query, tokens)
				if got := zip(names, values); !slices.Equal(got, want) {
					t.Fatalf("%q\nserver  %q\nscanner %q", query, got, want)
				}
			}
			if tokens[len(tokens)-1].Open {
				t.Fatalf("%q: the server ran it, the scanner ends in %+v", query, tokens[len(tokens)-1])
			}
			continue
		}
		var pqErr *pq.Error
		if !errors.As(err, &pqErr) || pqErr.Code != "42601" {
			continue // a mistake inside a literal says nothing of where that ends
		}
		failed++
		if strings.HasPrefix(pqErr.Message, "unterminated") {
			open++
		}
		if complaint := checkPlace(query, tokens, pqErr); complaint != "" {
			t.Fatalf("%q\n%s, position %s: %s", query, pqErr.Message, pqErr.Position, complaint)
		}
	}
	t.Logf("%d ran, %d had a syntax error, %d of these unterminated", ran, failed, open)
	if ran < 2500 || failed < 2000 || open < 500 {
		t.Errorf("too few cases say something: %d ran, %d had a syntax error, %d of these unterminated", ran, failed, open)
	}
}

// TestServerAgreesOnParameters lets PostgreSQL count the parameters of queries
// that are full of text that looks like some.
func TestServerAgreesOnParameters(t *testing.T) {
	db := open(t)
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	g := generator{rand.New(rand.NewPCG(3, 4))}
	prepared := 0
	for range 3000 {
		query := g.parameters()
		want := 0
		for _, tok := range scan(query) {
			if tok.Kind == sqllex.Param {
				want++
			}
		}
		err := conn.Raw(func(dc any) error {
			stmt, err := dc.(driver.ConnPrepareContext).PrepareContext(t.Context(), query)
			if err != nil {
				return nil // a syntax error; TestServerAgrees looks at those
			}
			prepared++
			if got := stmt.NumInput(); got != want {
				t.Errorf("%q: the server counts %d parameters, the scanner %d", query, got, want)
			}
			return stmt.Close()
		})
		if err != nil || t.Failed() {
			t.Fatal(err)
		}
	}
	if prepared < 1500 {
		t.Errorf("only %d queries could be prepared", prepared)
	}
}

// TestServerAgreesOnReserved compares the reserved words.
func TestServerAgreesOnReserved(t *testing.T) {
	rows, err := open(t).Query("SELECT word, catcode = 'R' FROM pg_get_keywords()")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var word string
		var reserved bool
		if err := rows.Scan(&word, &reserved); err != nil {
			t.Fatal(err)
		}
		if got := sqllex.Reserved(word); got != reserved && word != "system_user" {
			t.Errorf("Reserved(%s) = %v", word, got)
		}
		n++
	}
	if err := rows.Err(); err != nil || n < 400 {
		t.Errorf("%d keywords, %v", n, err)
	}
}

func scan(query string) (tokens []sqllex.Token) {
	s := sqllex.NewScanner(query)
	for tok := s.Next(); tok.Kind != sqllex.End; tok = s.Next() {
		tokens = append(tokens, tok)
	}
	return tokens
}

// hasOperator reports whether a query computes, so that its literals are not its
// values.
func hasOperator(query string, tokens []sqllex.Token) bool {
	return slices.ContainsFunc(tokens, func(tok sqllex.Token) bool {
		return tok.Kind == sqllex.Symbol && tok.Text(query) != ","
	})
}

func run(t *testing.T, db *sql.DB, query string) (names, values []string, err error) {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), query)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	if names, err = rows.Columns(); err != nil {
		t.Fatal(err)
	}
	values = make([]string, len(names))
	dest := make([]any, len(names))
	for i := range values {
		dest[i] = &values[i]
	}
	if !rows.Next() {
		return nil, nil, rows.Err()
	}
	if err := rows.Scan(dest...); err != nil {
		t.Fatalf("%q: %v", query, err)
	}
	return names, values, rows.Err()
}

func zip(names, values []string) (out []string) {
	for i, name := range names {
		if name == "?column?" || name == "bpchar" { // not named; N'…' is a cast
			name = ""
		}
		out = append(out, name+"="+values[i])
	}
	return out
}

// decode returns what "SELECT literal AS name, …" gives, going by its elements.
func decode(query string, tokens []sqllex.Token) (out []string) {
	var name, value string
	kind := sqllex.End
	if !slices.ContainsFunc(tokens[1:], func(tok sqllex.Token) bool { return !tok.Kind.IsSpace() }) {
		return nil // SELECT alone has no columns
	}
	for _, tok := range append(tokens[1:], sqllex.Token{Kind: sqllex.End}) {
		text := tok.Text(query)
		switch {
		case tok.Kind == sqllex.End, tok.Kind == sqllex.Symbol && text == ",":
			out = append(out, name+"="+value)
			name, value, kind = "", "", sqllex.End
		case tok.Kind.IsString():
			if kind == sqllex.End {
				kind = tok.Kind
				switch text[0] | 0x20 {
				case 'u':
					kind = 100 // U& escapes go on in the literals that follow
				case 'x':
					kind = 101
				}
			}
			value += content(text, kind)
		case tok.Kind == sqllex.Number:
			value = text
		case tok.Kind == sqllex.Word && !strings.EqualFold(text, "as"):
			name = strings.Map(func(r rune) rune {
				if 'A' <= r && r <= 'Z' {
					return r + 'a' - 'A'
				}
				return r
			}, text)
		case tok.Kind == sqllex.Ident:
			_, name, _ = strings.Cut(strings.TrimSuffix(text, `"`), `"`)
			name = strings.ReplaceAll(name, `""`, `"`)
			if text[0]|0x20 == 'u' {
				name = unicodeEscapes(name)
			}
		}
	}
	return out
}

// content returns what a literal stands for.
func content(text string, kind sqllex.Kind) string {
	if kind == sqllex.DollarString {
		tag := strings.IndexByte(text[1:], '$') + 2
		return text[tag : len(text)-tag]
	}
	_, text, _ = strings.Cut(strings.TrimSuffix(text, "'"), "'")
	switch kind {
	case sqllex.EscapeString:
		return escapes(strings.ReplaceAll(text, `''`, `'`))
	case 100:
		return unicodeEscapes(strings.ReplaceAll(text, `''`, `'`))
	case 101:
		var b strings.Builder
		for _, r := range text {
			n, _ := strconv.ParseUint(string(r), 16, 8)
			fmt.Fprintf(&b, "%04b", n)
		}
		return b.String()
	}
	return strings.ReplaceAll(text, `''`, `'`)
}

func escapes(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		i++
		digits, base, alphabet := 0, 16, "0123456789abcdefABCDEF"
		switch c := text[i]; {
		case c == 'n':
			b.WriteByte('\n')
			continue
		case c == 'x':
			digits = 2
		case c == 'u':
			digits = 4
		case '0' <= c && c <= '7':
			digits, base, alphabet, i = 3, 8, "01234567", i-1
		default:
			b.WriteByte(c)
			continue
		}
		stop := i + 1
		for stop < len(text) && stop <= i+digits && strings.IndexByte(alphabet, text[stop]) >= 0 {
			stop++
		}
		n, err := strconv.ParseUint(text[i+1:stop], base, 32)
		if err != nil {
			panic(err)
		}
		b.WriteRune(rune(n))
		i = stop - 1
	}
	return b.String()
}

func unicodeEscapes(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] != '\\':
			b.WriteByte(text[i])
		case text[i+1] == '\\':
			b.WriteByte('\\')
			i++
		default:
			n, err := strconv.ParseUint(text[i+1:i+5], 16, 32)
			if err != nil {
				panic(err)
			}
			b.WriteRune(rune(n))
			i += 4
		}
	}
	return b.String()
}

// checkPlace compares a syntax error with the elements.
func checkPlace(query string, tokens []sqllex.Token, e *pq.Error) string {
	last := tokens[len(tokens)-1]
	if strings.HasSuffix(e.Message, "at end of input") {
		if last.Open {
			return "the scanner's last element is open"
		}
		return ""
	}
	what, near, ok := strings.Cut(strings.TrimSuffix(e.Message, `"`), ` at or near "`)
	position, err := strconv.Atoi(e.Position)
	if !ok || err != nil {
		return "" // a rule of the grammar
	}
	start := len(string([]rune(query)[:position-1]))
	boundaries := map[int]bool{len(query): true}
	for _, tok := range tokens {
		boundaries[tok.Start] = true
		if c := query[tok.Start]; tok.Kind == sqllex.String && (c == 'n' || c == 'N') {
			boundaries[tok.Start+1] = true // to the server, N is a word of its own
		}
	}
	if !boundaries[start] {
		return "no element starts there"
	}
	kinds := map[string][]sqllex.Kind{
		"unterminated quoted string":              {sqllex.String, sqllex.EscapeString},
		"unterminated quoted identifier":          {sqllex.Ident},
		"unterminated /* comment":                 {sqllex.BlockComment},
		"unterminated dollar-quoted string":       {sqllex.DollarString},
		"unterminated bit string literal":         {sqllex.BitString},
		"unterminated hexadecimal string literal": {sqllex.BitString},
	}
	if want, ok := kinds[what]; ok {
		if !last.Open || !slices.Contains(want, last.Kind) {
			return fmt.Sprintf("the scanner's last element is %+v", last)
		}
		return ""
	}
	if what == "syntax error" && !boundaries[start+len(near)] {
		return "no element ends behind what it names"
	}
	return ""
}

// generator makes queries that are hard to split.
type generator struct{ *rand.Rand }

func (g generator) pick(from ...string) string { return from[g.IntN(len(from))] }

// soup is text that would be something else outside a literal or comment.
func (g generator) soup() string {
	var b strings.Builder
	for range g.IntN(6) {
		b.WriteString(g.pick("a", "E", "'", "''", `"`, `""`, "$", "$$", "$1", "$a$", "$a", "$1$", "--", "-", "/", "*", "/*", "*/", "\n", "\r\n", " ",
			"%s", "%%", "%(a)s", ";", ",", "é", "日", `\`, `\'`, `\\`, "1", "E'", "U&'", "(", "="))
	}
	return b.String()
}

// space is what may stand between two elements.
func (g generator) space() string {
	var b strings.Builder
	for range g.IntN(3) {
		switch g.IntN(6) {
		case 0:
			b.WriteString("--" + strings.NewReplacer("\n", "", "\r", "").Replace(g.soup()) + g.pick("\n", "\r", "\r\n"))
		case 1:
			b.WriteString("/*" + strings.NewReplacer("/*", "/ *", "*/", "* /", "*", "+", "/", "|").Replace(g.soup()) + "*/")
		case 2:
			b.WriteString("/* /*" + g.pick("'", `"`, "$$", "--", "/*", "*/") + "*/ " + g.pick("'", "/", "*", "*/", "") + "*/")
		default:
			b.WriteString(g.pick(" ", "\n", "\t", "\r\n", "\f"))
		}
	}
	return b.String()
}

// literal is a literal, whose soup is mostly escaped as it must be.
func (g generator) literal() string {
	soup := g.soup()
	quoted := strings.ReplaceAll(soup, "'", "''")
	if g.IntN(8) == 0 {
		quoted = soup
	}
	switch g.IntN(8) {
	case 0:
		return "'" + quoted + "'"
	case 1:
		return g.pick("N", "n") + "'" + quoted + "'"
	case 2, 3:
		if g.IntN(8) > 0 {
			quoted = g.escaped(soup)
		}
		return g.pick("E", "e") + "'" + quoted + "'"
	case 4:
		return g.pick("U&", "u&") + "'" + strings.NewReplacer("'", "''", `\`, g.pick(`\\`, `\00e9`)).Replace(soup) + "'"
	case 5:
		return g.pick("B'01'", "b''", "X'1f'", "x'A0'", "B'0'\n'1'", "X'1'--'\n'F'")
	default:
		tag := g.pick("$$", "$a$", "$é$", "$_1$")
		if g.IntN(6) > 0 {
			soup = strings.ReplaceAll(strings.ReplaceAll(soup, "$", "$b"), tag, "")
			soup = strings.TrimRight(soup, "$")
		}
		return tag + soup + tag
	}
}

// escaped writes text for an E literal, in one of the ways that there are.
func (g generator) escaped(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch r {
		case '\'':
			b.WriteString(g.pick(`\'`, "''", `\x27`, `\047`, `\u0027`))
		case '\\':
			b.WriteString(g.pick(`\\`, `\x5c`, `\134`, `\u005c`))
		case '\n':
			b.WriteString(g.pick(`\n`, "\n", "\\\n"))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func (g generator) name() string {
	switch g.IntN(4) {
	case 0:
		if name := strings.ReplaceAll(g.soup(), `"`, `""`); name != "" {
			return `"` + name + `"`
		}
		return `"a"`
	case 1:
		return g.pick("U&", "u&") + `"x` + strings.NewReplacer(`"`, `""`, `\`, `\\`).Replace(g.soup()) + `"`
	}
	return g.pick("a$1$b$1$", "fooE", "E", "U", "N", "x", "B", "é$$", "_$a$", "日本", "Ab$", "n1")
}

func (g generator) item() string {
	switch g.IntN(12) {
	case 0:
		return g.pick("1", "23")
	case 1, 2: // a literal on several lines
		first := g.literal()
		for range 1 + g.IntN(2) {
			first += g.pick("\n", " \n", " \r\t", "--'\n", " -- a\n --'b\r ", g.space()) + "'" + g.escaped(strings.ReplaceAll(g.soup(), `\`, "")) + "'"
		}
		return first
	case 3:
		return g.literal() + g.space() + g.soup()
	case 4:
		return g.literal() + g.pick("AS", " ", "", "\n", "-", "+-", "*") + g.name()
	}
	return g.literal() + g.space() + " AS" + g.pick(" ", "\n", "--'\n", "/*'*/") + g.name()
}

func (g generator) query() string {
	var items []string
	for range 1 + g.IntN(3) {
		items = append(items, g.space()+g.item()+g.space())
	}
	return "SELECT " + strings.Join(items, ",")
}

func (g generator) parameters() string {
	var items []string
	n := 0
	for range 1 + g.IntN(4) {
		item := g.literal()
		if g.IntN(2) == 0 {
			n++
			item = fmt.Sprintf("$%d::text", n)
			switch g.IntN(4) {
			case 0:
				item = fmt.Sprintf("%s||$%d||%s", g.literal(), n, g.literal())
			case 1:
				item = fmt.Sprintf("concat(a$%[1]d$,$%[1]d::text)", n)
			}
		}
		items = append(items, g.space()+item+g.space()+" AS "+g.name())
	}
	return "SELECT " + strings.Join(items, ",") + g.pick("", " FROM (SELECT 'x' AS a$1$, 'y' AS a$2$, 'y' AS a$3$, 'z' AS a$4$) AS s")
}
