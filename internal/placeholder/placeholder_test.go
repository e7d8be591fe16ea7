package placeholder

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/sqllex"
)

// values are arguments as database/sql numbers them.
func values(args ...any) []driver.NamedValue {
	out := make([]driver.NamedValue, len(args))
	for i, a := range args {
		out[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	return out
}

func named(pairs ...any) []driver.NamedValue {
	var out []driver.NamedValue
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, driver.NamedValue{Ordinal: i/2 + 1, Name: pairs[i].(string), Value: pairs[i+1]})
	}
	return out
}

func TestRewrite(t *testing.T) {
	tests := []struct {
		name, text string
		style      Style
		sql        string // "": text, untouched
	}{
		{"nothing", "", Native, ""},
		{"native", "SELECT $1::text, a % b, 5%2 FROM t WHERE c LIKE 'a%' AND d = format('%s', $2)", Native, ""},
		{"native, doubled percent", "SELECT $1 LIKE '100%%'", Native, ""},
		{"native, trigram operators", "SELECT a <% $1 OR a %> $2 OR a %$3", Native, ""},
		{"native, modulo of a name", "SELECT a %salary, a %(b + 1), a %b FROM t WHERE c = $1", Native, ""},
		{"native, modulo behind other operands", "SELECT (a) %b, 5 %s, x[1] %t, NULL %b, $2 %s, \"q\" %s, t.in %b, 'x' %b WHERE c = $1", Native, ""},
		{"native, placeholder in a comment", "SELECT a /* %s */ -- %(a)s\n FROM t WHERE c = 1", Native, ""},
		{"native, placeholder in a literal", "SELECT '%s', E'\\'%s', $$%s$$, \"%s\" FROM t", Native, ""},
		{"verbatim backslash", `SELECT '\' , %s, '\'`, Positional, `SELECT '\' , $1, '\'`},
		{"positional", "INSERT INTO t VALUES (%s, %b,%t)", Positional, "INSERT INTO t VALUES ($1, $2,$3)"},
		{"casts", "SELECT %s::int, %s::text[]", Positional, "SELECT $1::int, $2::text[]"},
		{"twelve", strings.Repeat("%s,", 12), Positional, "$1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,"},
		{"named", "SELECT %(a)s, %(b)s, %(a)s", Named, "SELECT $1, $2, $1"},
		{"named, any name", "SELECT %(it's -- \"a)s, %(ü b)t", Named, "SELECT $1, $2"},
		{"doubled percent", "SELECT 5 %% %s, 'a%%b', E'\\'%%', $$%%$$, $x$%%s$x$, \"%%\" /* %% */ -- %%", Positional,
			"SELECT 5 % $1, 'a%b', E'\\'%', $$%$$, $x$%s$x$, \"%\" /* %% */ -- %%"},
		{"doubled percent before a placeholder", "SELECT 5 %%%s", Positional, "SELECT 5 %$1"},
		{"doubled percent before a name", "SELECT 5 %%(a) - %s", Positional, "SELECT 5 %(a) - $1"},
		{"lone percent in a literal", "SELECT 'a%', '%street%', '%(a', '%(a) b', '50% ', '%' WHERE a = %s", Positional,
			"SELECT 'a%', '%street%', '%(a', '%(a) b', '50% ', '%' WHERE a = $1"},
		{"operator", "SELECT a % b, a %2, a %$$x$$, a %-1, a %\n'x', a%\"b\" WHERE c = %s %", Positional,
			"SELECT a % b, a %2, a %$$x$$, a %-1, a %\n'x', a%\"b\" WHERE c = $1 %"},
		{"placeholders in comments", "/* %s %(a)s */ SELECT %s -- %s", Positional, "/* %s %(a)s */ SELECT $1 -- %s"},
		{"directly behind a word", "SELECT a LIMIT%s OFFSET%s", Positional, "SELECT a LIMIT $1 OFFSET $2"},
		{"directly before a literal", "SELECT %s'x', %b'0'", Positional, "SELECT $1'x', $2'0'"},
		{"$ in a word", "SELECT a$1$b %s, a$1$", Positional, "SELECT a$1$b $1, a$1$"},
		{"behind a word with $", "SELECT a$1%s", Positional, "SELECT a$1 $1"},

		{"in", "a IN %s", Positional, "a = ANY($1)"},
		{"not in", "a NOT IN %s", Positional, "a <> ALL($1)"},
		{"in, any case and space", "a iN\n%s AND b nOt \t In%s", Positional, "a = ANY($1) AND b <> \t ALL($2)"},
		{"in, comments", "a NOT/*x %s*/IN -- y\n %s", Positional, "a <>/*x %s*/ALL -- y\n ($1)"},
		{"in, named", "a IN %(l)s OR b NOT IN %(l)s OR c = %(x)s", Named, "a = ANY($1) OR b <> ALL($1) OR c = $2"},
		{"in, behind an operator", "t.*IN %s", Positional, "t.* = ANY($1)"},
		{"in, with parentheses", "a IN (%s) OR a IN (%s, %s) OR (a) IN %s", Positional, "a IN ($1) OR a IN ($2, $3) OR (a) = ANY($4)"},
		{"in, behind a call", "f(a, b) IN %s OR s.coalesce(a, b) NOT IN %s OR x[1, 2] IN %s OR \"f\"(a, b) IN %s", Positional,
			"f(a, b) = ANY($1) OR s.coalesce(a, b) <> ALL($2) OR x[1, 2] = ANY($3) OR \"f\"(a, b) = ANY($4)"},
		{"in, behind a subquery", "(SELECT a, b FROM t) IN %s", Positional, "(SELECT a, b FROM t) = ANY($1)"},
		{"in, behind ordered aggregates", "x() WITHIN GROUP (ORDER BY a, b) IN %s OR x() OVER (PARTITION BY a, b) IN %s", Positional,
			"x() WITHIN GROUP (ORDER BY a, b) = ANY($1) OR x() OVER (PARTITION BY a, b) = ANY($2)"},
		{"in of position", "position(%s IN %s) + position((a) in %s)", Positional, "position($1 IN $2) + position((a) in $3)"},
		{"in is a name", "\"in\" %s, t.begin %s, pin %s", Positional, "\"in\" $1, t.begin $2, pin $3"},
		{"rows", "WHERE (a, b) IN %s AND ROW(a, f(b, c)) NOT IN %s OR NOT(a, b) IN %s", Positional,
			"WHERE (a, b) IN $1 AND ROW(a, f(b, c)) NOT IN $2 OR NOT(a, b) IN $3"},
		{"unbalanced", ")] (a, b]) IN %s", Positional, ")] (a, b]) = ANY($1)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.sql
			if want == "" {
				want = tt.text
			}
			q, err := Rewrite(tt.text, Auto)
			if err != nil {
				t.Fatal(err)
			}
			if q.Style != tt.style || q.SQL != want {
				t.Errorf("style %d, want %d\n got %s\nwant %s", q.Style, tt.style, q.SQL, want)
			}
			native, err := Rewrite(tt.text, OnlyNative)
			if err != nil || native.Style != Native || native.SQL != tt.text {
				t.Errorf("mode native: %+v, %v", native, err)
			}
			if tt.style != Native {
				forced, err := Rewrite(tt.text, OnlyPsycopg)
				if err != nil || forced.Style != tt.style || forced.SQL != want {
					t.Errorf("mode psycopg: %+v, %v", forced, err)
				}
			}
		})
	}
}

// TestPlaces: what a text has for placeholders, and what was made of each.
func TestPlaces(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string // offset, text, its $n, and the name or the kind
	}{
		{"positional", "SELECT %s, '%%', %b", []string{"7 %s $1 0", "17 %b $2 0"}},
		{"named", "SELECT %(é b)s,\n%(c)t = %(é b)s", []string{"7 %(é b)s $1 é b", "17 %(c)t $2 c", "25 %(é b)s $1 é b"}},
		{"lists", "a IN %s AND b NOT IN (%s) AND (a, b) IN %s", []string{"5 %s $1 1", "22 %s $2 3", "40 %s $3 2"}},
		{"native", "SELECT $2, '$1', $1", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q, err := Rewrite(tt.text, Auto)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i := range q.Placeholders {
				p := &q.Placeholders[i]
				what := strconv.Itoa(int(p.Kind))
				if q.Style == Named {
					what = q.Names[p.Arg]
				}
				got = append(got, fmt.Sprintf("%d %s %s %s", p.Offset, q.Written(p), q.SQL[p.Start:p.Stop], what))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if got, want := Spots("SELECT $2, '$1', $1, $0"), []Spot{{Span{7, 9}, 1}, {Span{17, 19}, 0}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRewritePsycopgOnly(t *testing.T) {
	q, err := Rewrite("SELECT 'a%%b' %% 2", OnlyPsycopg)
	if err != nil || q.Style != Positional || q.SQL != "SELECT 'a%b' % 2" || q.Params != 0 {
		t.Errorf("%+v, %v", q, err)
	}
}

func TestRewriteErrors(t *testing.T) {
	tests := []struct {
		name, text string
		styles     Styles
		want       string
	}{
		{"other letter", "SELECT %s, %d", 0, "only '%s', '%b', '%t' are allowed as placeholders, got '%d'; % as an operator needs a space after it, or is written %%"},
		{"longer word", "SELECT %s, %size", 0, "got '%size'"},
		{"digit behind the letter", "SELECT %s, %s1", 0, "got '%s1'"},
		{"capital letter", "SELECT %s, %S", 0, "got '%S'"},
		{"underscore", "SELECT %s %_x", 0, "got '%_x'"},
		{"no letter behind the name", "SELECT %(a)s, %(b) + 1", 0, "got '%(b)'"},
		{"other letter behind the name", "SELECT %(a)s, %(b)d", 0, "got '%(b)d'"},
		{"digit behind the name's letter", "SELECT %(a)s, %(b)s1", 0, "got '%(b)s1'"},
		{"unclosed name", "SELECT %(a)s, %(b FROM t", 0, "incomplete placeholder: '%(b'; it is written %(name)s, and % as an operator as %%"},
		{"empty name", "SELECT %(a)s, %()s", 0, "incomplete placeholder: '%()s'"},
		{"mixed", "SELECT %s, %(a)s", 0, "positional and named placeholders cannot be mixed"},
		{"formats", "SELECT %(a)s, %(a)b", 0, "placeholder 'a' cannot have different formats"},
		{"with $n", "SELECT $1, %s", 0, "the query mixes $n parameters with the placeholder '%s': use one kind only, or write the operator % with a space after it (a % b), or set placeholders=native"},
		{"named with $n", "SELECT %(a)s, $1", 0, "mixes $n parameters with the placeholder '%(a)s'"},
		{"$n and a placeholder behind a keyword", "SELECT a %b FROM t WHERE c = $1 AND %s", 0, "mixes $n"},
		{"literal", "SELECT a FROM t WHERE a = '%s' AND b = %s", 0, "the placeholder '%s' is inside a literal, where it is text: drop the quotes around it, or write %%s if a percent sign is meant"},
		{"named in a literal", "SELECT %(a)s, '%(a)s%'", 0, "the placeholder '%(a)s' is inside a literal, where it is text: drop the quotes around it, or write %%(a)s if"},
		{"escape literal", `SELECT E'\' %s', %s`, 0, "inside a literal"},
		{"dollar quote", "SELECT $$%s$$, %s", 0, "inside a literal"},
		{"identifier", `SELECT %s FROM "%s"`, 0, "the placeholder '%s' is inside a quoted identifier, and names cannot be parameters: build the query with psyco.Compose and psyco.Identifier"},
		{"NUL", "SELECT %s\x00", 0, "a query cannot have a NUL byte"},
		{"$n, psycopg only", "SELECT 1 %% $1", OnlyPsycopg, "the query has a $n parameter, but placeholders=psycopg takes %s and %(name)s only"},
		{"mistake, psycopg only", "SELECT a %c", OnlyPsycopg, "got '%c'"},
		{"in literal, psycopg only", "SELECT '%s'", OnlyPsycopg, "inside a literal"},
		{"first of two", "SELECT %s, %d, %(a)s", 0, "got '%d'"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q, err := Rewrite(tt.text, tt.styles)
			if err == nil {
				t.Fatalf("no error: %q", q.SQL)
			}
			if got := err.Error(); !strings.HasPrefix(got, "psyco: ") || !strings.Contains(got, tt.want) {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestErrorPlace(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"second line", "SELECT %s,\r\n\t'é',\t%d\r\nFROM t", "(line 2, column 7)\n\t\t'é',\t%d\n\t\t    \t^"},
		{"last byte", "%s%(", "(line 1, column 3)\n\t%s%(\n\t  ^"},
		{"invalid UTF-8", "%s \xff %d", "(line 1, column 6)\n\t%s ? %d\n\t     ^"},
		{"long line", "%s " + strings.Repeat("a", 99) + " %d " + strings.Repeat("b", 100),
			"(line 1, column 104)\n\t…" + strings.Repeat("a", 59) + " %d " + strings.Repeat("b", 57) + "…\n\t" + strings.Repeat(" ", 61) + "^"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Rewrite(tt.text, Auto)
			if err == nil || !strings.HasSuffix(err.Error(), tt.want) {
				t.Errorf("got\n%v\nwant\n%s", err, tt.want)
			}
		})
	}
}

func TestUtility(t *testing.T) {
	tests := []struct {
		text string
		want bool
	}{
		{"SELECT %s", false},
		{"/* x */ (((select %s)))", false},
		{"WITH a AS (SELECT %s) TABLE a", false},
		{"EXPLAIN (ANALYZE, FORMAT text) SELECT %s", false},
		{"EXPLAIN ANALYZE VERBOSE EXECUTE p(%s)", true},
		{"EXPLAIN (COSTS off) EXECUTE p(%s)", true},
		{"DECLARE c CURSOR FOR SELECT %s", false},
		{"CALL p(%s)", false},
		{"%s", false},
		{"NOTIFY ch, %s", true},
		{"create role x password %s", true},
		{"-- c\nset a to %s", true},
		{"COPY (SELECT %s) TO STDOUT", true},
		{"EXECUTE p(%s)", true},
		{"SELECT %s; SELECT %s", true},
		{"SELECT %s;", false},
		{"SELECT %(it's)s; SELECT 1", true},
	}
	for _, tt := range tests {
		q, err := Rewrite(tt.text, Auto)
		if err != nil || q.Utility != tt.want {
			t.Errorf("%s: utility %v, %v", tt.text, q.Utility, err)
		}
	}
}

// level stands for one value, which it writes itself.
type level uint8

func (l level) MarshalText() ([]byte, error) { return []byte{byte(l)}, nil }

type inner struct {
	City string
	Note *string `db:"remark"`
}

type base struct{ ID int }

type client struct {
	base
	*inner
	HTTPServer string
	UserIDs    []int
	Hidden     string    `db:"-"`
	Created    time.Time `db:"made,omitempty"`
	secret     string
}

type twice struct {
	A struct{ X int } `db:"a"`
	base
	Other
	ID2 int `db:"id2"`
}

type Other struct{ ID int }

type Ring struct {
	*Ring
	N int
}

func TestArgumentFields(t *testing.T) {
	tests := []struct {
		value any
		want  []string
	}{
		{client{secret: ""}, []string{"id", "city", "remark", "http_server", "user_ids", "made"}},
		{twice{}, []string{"a", "id2"}},
		{Ring{}, []string{"n"}},
		{struct {
			time.Time
			level
			N int `db:"time2"`
		}{}, []string{"time", "time2"}},
	}
	for _, tt := range tests {
		var got []string
		for _, f := range FieldsOf(reflect.TypeOf(tt.value)).List {
			got = append(got, f.Name)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%T: %q, want %q", tt.value, got, tt.want)
		}
	}
	for name, want := range map[string]string{
		"ID": "id", "UserID": "user_id", "HTTPServer": "http_server", "URLs": "urls", "UserIDs": "user_ids", "IDsOf": "ids_of", "A": "a",
		"Line2Text": "line2_text", "ÄgeÜber": "äge_über", "X_Y": "x_y", "AsOf": "as_of", "IsNew": "is_new",
	} {
		if got := SnakeCase(name); got != want {
			t.Errorf("SnakeCase(%s) = %s, want %s", name, got, want)
		}
	}
}

func TestBind(t *testing.T) {
	type key string
	now := time.Now()
	remark := "r"
	someInts := []int{1}
	array := pq.Array([]int(nil))
	tests := []struct {
		name, text string
		args       []driver.NamedValue
		sql        string
		want       []any
	}{
		{"positional", "%s, %s", values(1, "a"), "$1, $2", []any{1, "a"}},
		{"one map", "%(a)s %(b)s %(a)s", values(map[string]any{"b": 2, "a": 1, "c": 3}), "$1 $2 $1", []any{1, 2}},
		{"one map of another type", "%(a)s", values(map[key]int{"a": 1}), "$1", []any{1}},
		{"pointer to a map", "%(a)s", values(&map[string]string{"a": "x"}), "$1", []any{"x"}},
		{"nil in a map", "%(a)s", values(map[string]any{"a": nil}), "$1", []any{nil}},
		{"struct", "%(id)s %(made)s %(user_ids)s %(city)s", values(client{base: base{7}, inner: &inner{City: "x"}, UserIDs: []int{1}, Created: now}),
			"$1 $2 $3 $4", []any{7, now, []int{1}, "x"}},
		{"pointer to a struct", "%(remark)s", values(&client{inner: &inner{Note: &remark}}), "$1", []any{&remark}},
		{"sql.Named", "%(b)s %(a)s", named("a", 1, "b", 2, "c", 3), "$1 $2", []any{2, 1}},
		{"native", "$1, '%d'", values(1), "$1, '%d'", []any{1}},

		{"in", "a IN %s", values([]int{1, 2}), "a = ANY($1)", []any{[]int{1, 2}}},
		{"in, nil slice", "%s, a NOT IN %s", values(nil, []string(nil)), "$1, a <> ALL($2)", []any{nil, []string{}}},
		{"in, nil slice, named", "a IN %(a)s", values(map[string]any{"a": []string(nil)}), "a = ANY($1)", []any{[]string{}}},
		{"in, small numbers", "a IN %s", values([3]int8{1, 2, 3}), "a = ANY($1)", []any{[3]int8{1, 2, 3}}},
		{"in, pointer", "a IN %s", values(&someInts), "a = ANY($1)", []any{&someInts}},
		{"in, nil pointer", "a IN %s", values((*[]int)(nil)), "a = ANY($1)", []any{&[]int{}}},
		{"in, Valuer", "a IN %s", values(pq.Int64Array{1}), "a = ANY($1)", []any{pq.Int64Array{1}}},
		{"in, nil Valuer", "a IN %s", values(pq.Int64Array(nil)), "a = ANY($1)", []any{pq.Int64Array{}}},
		{"in, pq.Array", "a IN %s", values(array), "a = ANY($1)", []any{pq.GenericArray{A: []int{}}}},
		{"in, pq.Array of strings", "a IN %s", values(pq.Array([]string(nil))), "a = ANY($1)", []any{&pq.StringArray{}}},

		{"rows", "(a, b) IN %s", values([][]any{{1, "x"}, {2, nil}}), "(a, b) IN (($1, $2), ($3, $4))", []any{1, "x", 2, nil}},
		{"rows, not in, arrays", "(a, b) NOT IN %s", values([][2]int{{1, 2}}), "(a, b) NOT IN (($1, $2))", []any{1, 2}},
		{"rows, structs", "(a, b) IN %s", values([]*inner{{"x", nil}}), "(a, b) IN (($1, $2))", []any{"x", (*string)(nil)}},
		{"rows, mixed", "(a, b) IN %s", values([]any{[]int{1, 2}, inner{"x", &remark}}), "(a, b) IN (($1, $2), ($3, $4))", []any{1, 2, "x", &remark}},
		{"rows, none", "x = %s AND (a /* , */, b) NOT IN %s AND y = %s", values(1, [][]any{}, 2),
			"x = $1 AND (a /* , */, b) NOT IN (SELECT a /* , */, b LIMIT 0) AND y = $2", []any{1, 2}},
		{"rows, nil", "(a, b) IN %s", values([][]any(nil)), "(a, b) IN (SELECT a, b LIMIT 0)", []any{}},
		{"rows between others", "%s, (a, %s) IN %s, %s", values("p", "q", [][]int{{1, 2}, {3, 4}}, "r"),
			"$1, (a, $2) IN (($3, $4), ($5, $6)), $7", []any{"p", "q", 1, 2, 3, 4, "r"}},
		{"rows, none, placeholders on the left", "(a, %s) IN %s, %s", values("q", [][]int{}, "r"), "(a, $1) IN (SELECT a, $1 LIMIT 0), $2", []any{"q", "r"}},
		{"rows, named", "%(x)s, (a, b) IN %(r)s, (a, b) NOT IN %(r)s, %(x)s", values(map[string]any{"r": [][]int{{1, 2}}, "x": 0}),
			"$1, (a, b) IN (($2, $3)), (a, b) NOT IN (($4, $5)), $1", []any{0, 1, 2, 1, 2}},
		{"rows and list", "(a, b) IN %s AND c IN %s", values([][]int{{1, 2}}, []int(nil)), "(a, b) IN (($1, $2)) AND c = ANY($3)", []any{1, 2, []int{}}},
		{"rows of rows", "((a, b) IN %s, c) IN %s", values([][]int{{1, 2}}, [][]any{}),
			"((a, b) IN (($1, $2)), c) IN (SELECT (a, b) IN (($3, $4)), c LIMIT 0)", []any{1, 2, 1, 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q, err := Rewrite(tt.text, Auto)
			if err != nil {
				t.Fatal(err)
			}
			before := slices.Clone(tt.args)
			sql, out, _, err := q.Bind(tt.args)
			if err != nil {
				t.Fatal(err)
			}
			if sql != tt.sql {
				t.Errorf("got  %s\nwant %s", sql, tt.sql)
			}
			got := make([]any, len(out))
			for i, a := range out {
				got[i] = a.Value
				if a.Ordinal != i+1 {
					t.Errorf("argument %d has Ordinal %d", i, a.Ordinal)
				}
				if q.Style == Named != (a.Name != "") {
					t.Errorf("argument %d has Name %q", i, a.Name)
				}
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %#v\nwant %#v", got, tt.want)
			}
			if !reflect.DeepEqual(tt.args, before) {
				t.Errorf("the caller's arguments changed: %v, were %v", tt.args, before)
			}
		})
	}
}

func TestBindManyRows(t *testing.T) {
	q, err := Rewrite("(a, b + 1) IN %s", Auto)
	if err != nil {
		t.Fatal(err)
	}
	rows := make([][2]int, MaxListedRows+1)
	sql, out, _, err := q.Bind(values(rows))
	if err != nil {
		t.Fatal(err)
	}
	want := "(a, b + 1) IN (VALUES (CASE WHEN false THEN a ELSE $1 END, CASE WHEN false THEN  b + 1 ELSE $2 END), ($3, $4), ($5, $6), "
	if !strings.HasPrefix(sql, want) || !strings.HasSuffix(sql, fmt.Sprintf("($%d, $%d))", len(out)-1, len(out))) || len(out) != 2*len(rows) {
		t.Errorf("%d arguments, %.200s", len(out), sql)
	}
	if sql, _, _, err = q.Bind(values(rows[1:])); err != nil || strings.Contains(sql, "VALUES") {
		t.Errorf("%.200s, %v", sql, err)
	}
	_, _, _, err = q.Bind(values(make([][2]int, 32768)))
	if err == nil || !strings.Contains(err.Error(), "the query has 65536 parameters, PostgreSQL takes 65535") {
		t.Errorf("65536 parameters: %v", err)
	}
}

func TestBindErrors(t *testing.T) {
	const three = "SELECT %s,\n %s, %s"
	tests := []struct {
		name, text string
		args       []driver.NamedValue
		want       string
	}{
		{"too few", three, values(1, 2), "psyco: the query has 3 placeholders but 2 parameters were passed (line 2, column 6)\n\t %s, %s\n\t     ^"},
		{"too many", "SELECT %s", values(1, 2), "the query has 1 placeholders but 2 parameters were passed (line 1"},
		{"none", "SELECT %s", nil, "the query has 1 placeholders but 0 parameters were passed"},
		{"not spread", three, values([]any{1, 2, 3}), "the query has 3 placeholders but 1 parameters were passed; a []interface {} counts as one, pass its elements as args..."},
		{"bytes are one value", three, values([]byte("abc")), "the query has 3 placeholders but 1 parameters were passed (line 2"},
		{"nil", three, values(nil), "the query has 3 placeholders but 1 parameters were passed"},
		{"map", three, values(map[string]any{}), "positional placeholders (%s) require a sequence of parameters, got a single map[string]interface {}: write %(name)s"},
		{"struct", three, values(&client{}), "positional placeholders (%s) require a sequence of parameters, got a single *placeholder.client"},
		{"sql.Named", "SELECT %s", named("a", 1), `positional placeholders (%s) require a sequence of parameters, got sql.Named("a"): write %(a)s, or pass the value alone`},
		{"missing", "SELECT %(b)s, %(a)s, %(x)s,\n%(c)s, %(b)s", values(map[string]any{"x": 1}), "query parameter missing: b, a, c (line 1, column 8)"},
		{"missing in a struct", "SELECT %(id)s, %(hidden)s, %(secret)s", values(client{}), "query parameter missing: hidden, secret"},
		{"missing in named", "SELECT %(a)s, %(b)s", named("a", 1), "query parameter missing: b"},
		{"missing all", "SELECT %(a)s", nil, "query parameter missing: a"},
		{"nil map", "SELECT %(a)s", values(map[string]any(nil)), "query parameter missing: a"},
		{"nil struct", "SELECT %(id)s", values((*client)(nil)), "the parameters are a nil *placeholder.client"},
		{"nil embedded", "SELECT %(city)s", values(client{}), "parameter city is in an embedded struct, of placeholder.client, that is a nil pointer"},
		{"named, one value", "SELECT %(a)s", values(1), "named placeholders require a mapping of parameters, got a single int: pass one map with string keys, one struct, or sql.Named values only"},
		{"named, a nil", "SELECT %(a)s", values(nil), "got a single <nil>"},
		{"named, a time", "SELECT %(a)s", values(time.Now()), "got a single time.Time"},
		{"named, a Valuer", "SELECT %(a)s", values(sql.NullTime{}), "got a single sql.NullTime"},
		{"named, several values", "SELECT %(a)s", values(1, 2), "got several values"},
		{"named, both", "SELECT %(a)s", append(named("a", 1), values(2)...), "got several values"},
		{"in, one value", "SELECT %s, a\n IN %s", values(1, 2), "psyco: IN takes a slice, got int: for one value write =, or IN (%s) (line 2, column 5)"},
		{"in, nil", "a IN %s", values(nil), "IN takes a slice, got nil"},
		{"in, bytes", "a IN %s", values([]byte("x")), "IN takes a slice of values, got []uint8, which is one value"},
		{"in, uuid", "a IN %s", values([16]byte{}), "IN takes a slice of values, got [16]uint8"},
		{"in, named", "a IN %(a)s", named("a", "x"), "IN takes a slice, got string"},
		{"in, alone", "a IN (%s)", values([]int{1}), "IN (%s) takes one value, got []int: drop the parentheses, IN %s, to look for its elements, or write = %s to compare with an array (line 1, column 7)"},
		{"in, alone with space", "a NOT IN ( %(a)s\n)", named("a", []string{}), "IN (%s) takes one value, got []string"},
		{"rows, alone", "(a, b) IN (%s)", values([][]any{{1, 2}}), "IN (%s) takes one value, got [][]interface {}"},
		{"rows, one value", "(a, b) IN %s", values(1), "a row IN takes a slice of rows (slices, arrays or structs), got int"},
		{"rows, nil", "(a, b) IN %s", values(nil), "got <nil>"},
		{"rows, bytes", "(a, b) IN %s", values([]byte("ab")), "got []uint8"},
		{"rows, list", "(a, b) IN %s", values([]int{1}), "row 0 of the list is a int, not a slice, array or struct"},
		{"rows, time", "(a, b) IN %s", values([]time.Time{{}}), "row 0 of the list is a time.Time"},
		{"rows, nil row", "(a, b) IN %s", values([]*inner{{}, nil}), "row 1 of the list is nil"},
		{"rows, width", "(a, b) IN %s", values([][]any{{1, 2}, {1}}), "row 1 of the list has 1 values, the row before IN has 2"},
		{"rows, nil embedded", "(a, b, c, d, e, f) IN %s", values([]client{{}}), "row 0 of the list has a nil embedded struct"},
		{"misuse", "SELECT a FROM t WHERE b = '%s'", values(1), "the placeholder '%s' is inside a literal"},
		{"question marks", "SELECT a FROM t WHERE b = ? AND c LIKE ?", values(1, 2), "PostgreSQL does not know '?' as a placeholder: write %s, or $1, $2 and so on; sqlx does it after sqlx.BindDriver(\"psyco\", sqlx.DOLLAR) (line 1, column 27)"},
		{"question mark behind an operator of that name", "SELECT a ? 'b' FROM t LIMIT ?", values(1), "(line 1, column 29)"},
		{"misuse of a name", "SELECT a FROM t WHERE b = %(b)", values(1), "got '%(b)'"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q, err := Rewrite(tt.text, Auto)
			if err != nil {
				t.Fatal(err)
			}
			_, _, _, err = q.Bind(tt.args)
			if err == nil || !strings.HasPrefix(err.Error(), "psyco: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			var place *sqllex.Error
			if !errors.As(err, &place) {
				t.Errorf("%T has no place", err)
			}
		})
	}
	q, err := Rewrite("SELECT a FROM t WHERE b = '%s' AND a = $1", Auto)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := q.Bind(values(1)); err != nil {
		t.Errorf("a query with $n and '%%s' is not a misuse: %v", err)
	}
}

func TestRender(t *testing.T) {
	literal := func(dst []byte, a driver.NamedValue) ([]byte, error) {
		if a.Value == "bad" {
			return dst, errors.New("bad value")
		}
		return fmt.Appendf(dst, "<%v>", a.Value), nil
	}
	tests := []struct {
		name, text string
		args       []driver.NamedValue
		want, err  string
	}{
		{"positional", "NOTIFY a%s, '%%', %s;", values(1, "$1"), "NOTIFY a <1>, '%', <$1>;", ""},
		{"named", "SET %(a)s = %(b)s, %(a)s", named("a", 1, "b", 2), "SET <1> = <2>, <1>", ""},
		{"in", "a IN %s", values([]int(nil)), "a = ANY(<[]>)", ""},
		{"rows", "(a, b) IN %s, %s", values([][]int{{1, 2}}, 3), "(a, b) IN ((<1>, <2>)), <3>", ""},
		{"no rows", "(a, %s) IN %s", values(0, [][]int{}), "(a, <0>) IN (SELECT a, <0> LIMIT 0)", ""},
		{"separated", "'a'%s'b', U&%s, -%s::int, x[%s]", values(1, 2, 3, 4), "'a' <1> 'b', U& <2>, - <3>::int, x[ <4>]", ""},
		{"native", "SELECT $2, '$1', a$1, $1::int, $2a", values(1, 2), "SELECT <2>, '$1', a$1, <1>::int, <2> a", ""},
		{"native, too few", "SELECT $1, $2", values(1), "", "the query has the parameter $2 but 1 parameters were passed (line 1, column 12)"},
		{"native, too many", "SELECT $2", values(1, 2, 3), "", "the query has 2 parameters but 3 were passed"},
		{"native, no such", "SELECT $0, $99999999999999999999", values(1), "", "the query has the parameter $0"},
		{"native, refused", "SELECT $1", values("bad"), "", "bad value"},
		{"refused", "%s", values("bad"), "", "bad value"},
		{"refused in rows", "(a, b) IN %s", values([][]any{{1, "bad"}}), "", "bad value"},
		{"count", "%s", nil, "", "1 placeholders but 0 parameters"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q, err := Rewrite(tt.text, Auto)
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := q.Render(tt.args, literal)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}
