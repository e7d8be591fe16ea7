package sqllex

import (
	"slices"
	"strings"
	"testing"
)

// elements writes a text's tokens as kind:text, without white space.
func elements(sql string) []string {
	names := [...]string{"end", "space", "--", "/*", "word", "ident", "str", "estr", "bits", "dollar", "num", "param", "sym"}
	var out []string
	for s := NewScanner(sql); ; {
		t := s.Next()
		if t.Kind == End {
			return out
		}
		if t.Kind == Space {
			continue
		}
		name := names[t.Kind]
		if t.Open {
			name += "!"
		}
		out = append(out, name+":"+t.Text(sql))
	}
}

func TestScanner(t *testing.T) {
	tests := []struct {
		name, sql string
		want      []string
	}{
		{"empty", "", nil},
		{"words", "select Été_1$x", []string{"word:select", "word:Été_1$x"}},
		{"doubled quote", `'it''s'`, []string{"str:'it''s'"}},
		{"backslash is plain", `'\' 'x'`, []string{`str:'\'`, "str:'x'"}},
		{"escape string", `E'\'' e'\\'`, []string{`estr:E'\''`, `estr:e'\\'`}},
		{"escape string, doubled quote", `E'a''\'b'`, []string{`estr:E'a''\'b'`}},
		{"E must be a word of its own", `fooE'\'`, []string{"word:fooE", `str:'\'`}},
		{"E after a parameter", `$1E'\''`, []string{"param:$1", `estr:E'\''`}},
		{"national", `N'\'`, []string{`str:N'\'`}},
		{"unicode", `U&'\' u&"a""b" u & 'x'`, []string{`str:U&'\'`, `ident:u&"a""b"`, "word:u", "sym:&", "str:'x'"}},
		{"unicode must be a word of its own", `aU&'\'`, []string{"word:aU", "sym:&", `str:'\'`}},
		{"bits", `B'01'x'f'`, []string{"bits:B'01'", "bits:x'f'"}},
		{"bits have no doubled quote", `B'0''1'`, []string{"bits:B'0'", "str:'1'"}},
		{"identifier", `"a""b" "c`, []string{`ident:"a""b"`, `ident!:"c`}},
		{"dollar", `$$a$b$$ $t$ $$ $u$ $t$`, []string{`dollar:$$a$b$$`, `dollar:$t$ $$ $u$ $t$`}},
		{"dollar, overlapping tag", `$a$x$b$a$`, []string{`dollar:$a$x$b$a$`}},
		{"dollar, high tag", "$é$'$é$", []string{"dollar:$é$'$é$"}},
		{"dollar inside a word", "a$1$b$1$", []string{"word:a$1$b$1$"}},
		{"dollar behind a parameter", "$1$a$'$a$", []string{"param:$1", "dollar:$a$'$a$"}},
		{"dollar behind a number", "1$a$'$a$", []string{"num:1", "dollar:$a$'$a$"}},
		{"parameter behind a number", "1$1", []string{"num:1", "param:$1"}},
		{"dollar tag with a digit first", "$1a$ $", []string{"param:$1", "word:a$", "sym:$"}},
		{"dollar tag without an end", "$a 'x'", []string{"sym:$", "word:a", "str:'x'"}},
		{"numbers", "1 1.5 .5 1e9 1.5E-3 1..2 1e+", []string{"num:1", "num:1.5", "sym:.", "num:5", "num:1e9", "num:1.5E-3",
			"num:1.", "sym:.", "num:2", "num:1", "word:e", "sym:+"}},
		{"line comment", "a--'\nb-- c\rd", []string{"word:a", "--:--'", "word:b", "--:-- c", "word:d"}},
		{"comment ends an operator", "a+--'\nb*/*'*/c", []string{"word:a", "sym:+", "--:--'", "word:b", "sym:*", "/*:/*'*/", "word:c"}},
		{"nested comment", "/*a/*b*/'*/c", []string{"/*:/*a/*b*/'*/", "word:c"}},
		{"comment, slash behind the star", "/*/'*/ /**/x", []string{"/*:/*/'*/", "/*:/**/", "word:x"}},
		{"comment inside a line comment", "--/*\n'a'", []string{"--:--/*", "str:'a'"}},
		{"continued", "E'a'\n 'b\\''", []string{"estr:E'a'", `estr:'b\''`}},
		{"continued behind a comment", "E'a' --'\n '\\''", []string{"estr:E'a'", "--:--'", `estr:'\''`}},
		{"not continued on the same line", `E'a' '\'`, []string{"estr:E'a'", `str:'\'`}},
		{"not continued behind a block comment", "E'a'\n/**/'\\'", []string{"estr:E'a'", "/*:/**/", `str:'\'`}},
		{"plain stays plain", "'a'\n'\\'", []string{"str:'a'", `str:'\'`}},
		{"bits continued", "B'0'\n'1''2'", []string{"bits:B'0'", "bits:'1'", "str:'2'"}},
		{"identifiers are not continued", "\"a\"\n'\\'", []string{`ident:"a"`, `str:'\'`}},
		{"open literal", "'a''", []string{"str!:'a''"}},
		{"open escape", `E'\`, []string{`estr!:E'\`}},
		{"open escaped quote", `E'\'`, []string{`estr!:E'\'`}},
		{"open dollar", "$a$ $b$", []string{"dollar!:$a$ $b$"}},
		{"open comment", "/*/**/", []string{"/*!:/*/**/"}},
		{"operators", "a<%>b", []string{"word:a", "sym:<", "sym:%", "sym:>", "word:b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := elements(tt.sql); !slices.Equal(got, tt.want) {
				t.Errorf("%q\n got %q\nwant %q", tt.sql, got, tt.want)
			}
		})
	}
}

func TestScannerSeek(t *testing.T) {
	s := NewScanner("%(it's)s 'x'")
	s.Seek(8)
	if s.Next(); s.Pos() != 9 {
		t.Fatalf("at %d after the white space, want 9", s.Pos())
	}
	if got := s.Next(); got.Kind != String {
		t.Errorf("after Seek: %+v", got)
	}
	s.Seek(99)
	if got := s.Next(); got.Kind != End {
		t.Errorf("after Seek past the end: %+v", got)
	}
	s = NewScanner("E'a'\n'\\'")
	s.Next()
	s.Next()
	s.Seek(5)
	if got := s.Next(); got.Kind != String {
		t.Errorf("Seek keeps a literal going: %+v", got)
	}
}

func TestKeywords(t *testing.T) {
	tests := []struct {
		sql  string
		want string
	}{
		{"", ""},
		{"select 1", "SELECT"},
		{"/* a */ -- b\n ;; ( (Select 1))", "SELECT"},
		{"rollback to sp; select 1", "ROLLBACK TO SP"},
		{"start transaction isolation level serializable", "START TRANSACTION ISOLATION LEVEL"},
		{"Straße x", "STRAßE X"},
		{"'a' b", ""},
		{"copy \"t\" from stdin", "COPY"},
	}
	for _, tt := range tests {
		var words [4]string
		got := strings.Join(words[:Keywords(tt.sql, words[:])], " ")
		if got != tt.want {
			t.Errorf("Keywords(%q) = %q, want %q", tt.sql, got, tt.want)
		}
		first, _, _ := strings.Cut(tt.want, " ")
		if got := Keyword(tt.sql); got != first {
			t.Errorf("Keyword(%q) = %q, want %q", tt.sql, got, first)
		}
	}
}

func TestStatements(t *testing.T) {
	tests := []struct {
		name, sql string
		want      []string
	}{
		{"none", " ; -- a\n;/**/", nil},
		{"one", " select 1 ; ", []string{"select 1"}},
		{"two", "select ';' ; /* c */ select $$;$$", []string{"select ';'", "select $$;$$"}},
		{"inside parentheses", "create rule r as on insert to t do also (select 1; select 2); select 3",
			[]string{"create rule r as on insert to t do also (select 1; select 2)", "select 3"}},
		{"routine body", "create or replace function f() returns int begin atomic select case when true then 1 end; select 2; end; select 3",
			[]string{"create or replace function f() returns int begin atomic select case when true then 1 end; select 2; end", "select 3"}},
		{"transaction", "begin; select 1; end", []string{"begin", "select 1", "end"}},
		{"unbalanced", "select 1); select 2", []string{"select 1)", "select 2"}},
		{"open literal", "select 1; select 'a;", []string{"select 1", "select 'a;"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := slices.Collect(Statements(tt.sql)); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got := Count(tt.sql, -1); got != len(tt.want) {
				t.Errorf("Count = %d, want %d", got, len(tt.want))
			}
			if got := Single(tt.sql); got != (len(tt.want) == 1) {
				t.Errorf("Single = %v with %d statements", got, len(tt.want))
			}
		})
	}
	for range Statements("a; b; c") {
		break // must be allowed to stop
	}
}

func TestCalls(t *testing.T) {
	tests := []struct {
		sql  string
		want []string
	}{
		{"select a from t where b in (1, 2) and (c) is null", nil},
		{"select Now(), pg_catalog . lower (x), \"My\".\"F\"\"n\"(1)", []string{"now", "pg_catalog.lower", `My.F"n`}},
		{"select t.*, count(*) filter (where a) over (partition by lag(b))", []string{"count", "lag"}},
		{"select 'f(1)' /* g(1) */ -- h(1)\n, i /**/ (1)", []string{"i"}},
		{"select f (g((1)))", []string{"f", "g"}},
		{"insert into t values (1)", nil},
	}
	for _, tt := range tests {
		if got := slices.Collect(Calls(tt.sql)); !slices.Equal(got, tt.want) {
			t.Errorf("Calls(%q) = %q, want %q", tt.sql, got, tt.want)
		}
	}
	for range Calls("a(b())") {
		break // must be allowed to stop
	}
}

func TestNoAllocations(t *testing.T) {
	const sql = "/* c */ select e'\\'', $a$b$a$, \"i\" from t where x = $1 -- end\n; rollback to savepoint current_timestamp"
	checks := map[string]func(){
		"scan": func() {
			for s := NewScanner(sql); s.Next().Kind != End; {
			}
		},
		"Keyword":  func() { Keyword(sql) },
		"Count":    func() { Count(sql, -1) },
		"Reserved": func() { Reserved("current_timestamp") },
		"Keywords": func() {
			var words [3]string
			if Keywords("rollback to savepoint x", words[:]) != 3 {
				t.Error("want three words")
			}
		},
	}
	for name, f := range checks {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

func BenchmarkScanner(b *testing.B) {
	sql := strings.Repeat("SELECT id, name, 'it''s' FROM clients -- all\n WHERE id = $1 AND \"email\" LIKE E'a\\'%' /* x */;\n", 20)
	b.SetBytes(int64(len(sql)))
	for b.Loop() {
		for s := NewScanner(sql); s.Next().Kind != End; {
		}
	}
}
