package psyco

import (
	"context"
	"database/sql"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/placeholder"
	"github.com/psyco-go/psyco/internal/placeholder/placeholdertest"
	"github.com/psyco-go/psyco/internal/sqllex"
)

// FuzzMogrify checks that literals leave every other element of a query what it
// was, and are read back as the values that went in.
func FuzzMogrify(f *testing.F) {
	for _, query := range []string{
		"select %s, -%s, 'a''b' || %s from t", "E%s U&%s $%s\n'a' %s%s", "%(a)s::int2 - %(b)s[1]", "$1'x'$2\n'y'$3", "set x to %s -- %s\n%s",
		"(a, b) in %s", "1.%s/**/%s/*'", "$1a$1$$a$$2", "x -$2--\n$1 E'\\'$1'", `'\' || $1 || '\'`, "a<%s>%s.%s (%s)", "N%s B%s X%s",
	} {
		f.Add(query, `it's \ " $1 -- %s`, int64(-5))
	}
	f.Fuzz(func(t *testing.T, query, s string, n int64) {
		q, err := rewrite(query, placeholder.Auto)
		if err != nil || slices.ContainsFunc(q.Placeholders, func(p placeholder.Placeholder) bool { return p.Kind != placeholder.Value }) {
			return
		}
		params := max(q.Params, maxParam(q.SQL))
		if params == 0 || params > 20 {
			return
		}
		values := make([]any, params)
		for i := range values {
			values[i] = s
			if i%2 > 0 {
				values[i] = n
			}
		}
		args := values
		if q.Style == placeholder.Named {
			named := map[string]any{}
			for i, name := range q.Names {
				named[name] = values[i]
			}
			args = []any{named}
		}
		text, err := Mogrify(query, args...)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "psyco: ") {
				t.Errorf("error %q", err)
			}
			return
		}
		if l, err := (&conn{con: &Connector{}}).literals(q, numbered(nil, args)); err == nil {
			placeholdertest.CheckStretches(t, text, l.text, l.stretches(nil))
		}
		got := elements(text)
		for _, want := range elements(q.SQL) {
			if want.kind != sqllex.Param {
				if len(got) == 0 || got[0] != want {
					t.Fatalf("%q with %q and %d becomes %q: want %v, got %v", q.SQL, s, n, text, want, got)
				}
				got = got[1:]
				continue
			}
			number, _ := strconv.Atoi(want.text[1:])
			value, rest := readLiteral(got)
			if value != fmt.Sprint(values[number-1]) {
				t.Fatalf("%q with %q and %d becomes %q: %s is %q", q.SQL, s, n, text, want.text, value)
			}
			got = rest
		}
		if len(got) > 0 {
			t.Fatalf("%q with %q and %d becomes %q: %v is left over", q.SQL, s, n, text, got)
		}
	})
}

type lexeme struct {
	kind sqllex.Kind
	text string
}

func elements(sql string) (list []lexeme) {
	scan := sqllex.NewScanner(sql)
	for t := scan.Next(); t.Kind != sqllex.End; t = scan.Next() {
		if !t.Kind.IsSpace() {
			list = append(list, lexeme{t.Kind, t.Text(sql)})
		}
	}
	return list
}

func maxParam(sql string) (n int) {
	for _, e := range elements(sql) {
		if e.kind == sqllex.Param {
			number, err := strconv.Atoi(e.text[1:])
			if err != nil {
				return -1
			}
			n = max(n, number)
		}
	}
	return n
}

// readLiteral reads a string or number, in parentheses or not.
func readLiteral(list []lexeme) (value string, rest []lexeme) {
	next := func() (e lexeme) {
		if len(list) > 0 {
			e, list = list[0], list[1:]
		}
		return e
	}
	e := next()
	parens := e.text == "("
	if parens {
		e = next()
	}
	if e.text == "-" {
		value, e = "-", next()
	}
	switch e.kind {
	case sqllex.Number:
		value += e.text
	case sqllex.String:
		value = strings.ReplaceAll(e.text[1:len(e.text)-1], "''", "'")
	case sqllex.EscapeString:
		value = strings.NewReplacer(`\\`, `\`, "''", "'").Replace(e.text[2 : len(e.text)-1])
	default:
		return "no literal: " + e.text, list
	}
	if parens && next().text != ")" {
		return "not closed", list
	}
	return value, list
}

// FuzzMogrifyServer checks that a value as a literal is for the server the
// value that it is as a parameter, under both ways to read backslashes.
func FuzzMogrifyServer(f *testing.F) {
	for kind := range byte(20) {
		for i, s := range []string{"", `it's \ "x", {NULL}`, "\\'; select 1; --", "é\u2028\xff", "\x00", "null"} {
			f.Add(kind, s, int64(i-1)<<(31*i), float64(i)*1e9)
		}
	}
	dsn := pgserver.TestDSN(f)
	bound, literal := fuzzConn(f, dsn), fuzzConn(f, dsn)
	f.Fuzz(func(t *testing.T, kind byte, s string, n int64, x float64) {
		ctx := context.Background()
		query := "SELECT pg_typeof(v)::text, v::text FROM (SELECT %s AS v) q"
		value := fuzzValue(kind, s, n, x)
		if _, ok := value.([]byte); ok {
			query = strings.Replace(query, "%s", "%s::bytea", 1) // which a parameter is not by itself
		}
		want, wantErr := describeValue(ctx, bound, query, value)
		text, err := Mogrify(query, value)
		if err != nil {
			if wantErr == nil {
				t.Errorf("%T %[1]v: %v, but as a parameter it is %s", value, err, want)
			}
			return
		}
		if !sqllex.Single(text) {
			t.Errorf("%T %[1]v makes several statements: %s", value, text)
		}
		for _, setting := range []string{"on", "off"} {
			if _, err := literal.ExecContext(ctx, "SET standard_conforming_strings = "+setting); err != nil {
				t.Fatal(err)
			}
			got, err := describeValue(ctx, literal, text)
			if got != want || (err == nil) != (wantErr == nil) {
				t.Errorf("%T %[1]v, strings %s: %s is %s (%v), as a parameter %s (%v)", value, setting, text, got, err, want, wantErr)
			}
		}
	})
}

func fuzzConn(f *testing.F, dsn string) *sql.Conn {
	c, err := NewConnector(dsn)
	if err != nil {
		f.Fatal(err)
	}
	db := sql.OpenDB(c)
	f.Cleanup(func() { db.Close() })
	conn, err := db.Conn(context.Background())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { conn.Close() })
	return conn
}

func describeValue(ctx context.Context, conn *sql.Conn, query string, args ...any) (string, error) {
	var typ string
	var value sql.NullString
	err := conn.QueryRowContext(ctx, query, args...).Scan(&typ, &value)
	return fmt.Sprintf("%s %q %v", typ, value.String, value.Valid), err
}

func fuzzValue(kind byte, s string, n int64, x float64) any {
	switch kind % 20 {
	case 0:
		return s
	case 1:
		return n
	case 2:
		return x
	case 3:
		return n > 0
	case 4:
		return []byte(s)
	case 5:
		return time.Unix(n>>8, n&0xff*1000).In(time.FixedZone("", int(n%50000)))
	case 6:
		return time.Duration(n)
	case 7:
		return []string{s, s + s}
	case 8:
		return []int64{n, -n}
	case 9:
		return []float64{x, -x}
	case 10:
		return [][]any{{s, nil}, {nil, s}}
	case 11:
		return []bool{n > 0, x > 0}
	case 12:
		var id [16]byte
		copy(id[:], s)
		return id
	case 13:
		addr, _ := netip.AddrFromSlice([]byte(s))
		return addr
	case 14:
		return new(big.Int).Mul(big.NewInt(n), big.NewInt(n))
	case 15:
		return uint64(n)
	case 16:
		return []time.Time{time.Unix(n>>8, 0).UTC()}
	case 17:
		return [][]byte{[]byte(s), nil}
	case 18:
		return Numeric(s)
	default:
		return sql.Null[string]{V: s, Valid: n > 0}
	}
}

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
