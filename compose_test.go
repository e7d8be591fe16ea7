package psyco_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/psyco-go/psyco"
)

func TestCompose(t *testing.T) {
	type id = psyco.Identifier
	tests := []struct {
		name, template string
		parts          list
		want           string
	}{
		{"nothing", "select 1", nil, "select 1"},
		{"in order", "select {} from {}", list{id{"a"}, id{"s", "t"}}, `select "a" from "s"."t"`},
		{"numbers", "select {1}, {0}, {1}", list{id{"a"}, id{"b"}}, `select "b", "a", "b"`},
		{"names", "{b} {a} {b}", list{sql.Named("a", id{"x"}), sql.Named("b", id{"y"})}, `"y" "x" "y"`},
		{"names and order", "{} {a} {}", list{id{"x"}, sql.Named("a", id{"y"}), id{"z"}, sql.Named("unused", 1)}, `"x" "y" "z"`},
		{"braces", "select '{{1,2}}', {}, '{{}}'", list{1}, "select '{1,2}', 1, '{}'"},
		{"quotes in a name", "{}", list{id{`a"b`, "c.d"}}, `"a""b"."c.d"`},
		{"literals", "select {}, {}, {}", list{"it's", -5, nil}, "select 'it''s', -5, NULL"},
		{"Literal", "select {}", list{psyco.Literal(1.5)}, "select '1.5'::float8"},
		{"literal without a cast", "set x to {}", list{1.5}, "set x to 1.5"},
		{"raw", "select 1 {} {}", list{psyco.Raw("{order}"), psyco.Raw("by 1")}, "select 1 {order} by 1"},
		{"join", "select {} from t", list{psyco.Join(", ", id{"a"}, psyco.Raw("now()"), 5)}, `select "a", now(), 5 from t`},
		{"join nothing", "select {} from t", list{psyco.Join(", ")}, "select  from t"},
		{"nested", "select * from t where {}", list{psyco.Join(" and ",
			psyco.Raw("{} = {}").Format(id{"a"}, 1), psyco.Raw("{} > %s").Format(id{"b"}))}, `select * from t where "a" = 1 and "b" > %s`},
		{"parameters beside", "select $1, {}, $2", list{psyco.Literal("$1")}, "select $1, '$1', $2"},

		{"percent without parameters", "select {}, {}", list{id{"a%"}, "b%s"}, `select "a%", 'b%s'`},
		{"percent with parameters", "select {}, {}, %s", list{id{"a%s"}, "b%"}, `select "a%%s", 'b%%', %s`},
		{"percent with names", "select {} where a = %(a)s", list{id{"a%"}}, `select "a%%" where a = %(a)s`},
		{"percent with native parameters", "select {}, $1", list{id{"a%s"}}, `select "a%s", $1`},
		{"percent with parameters in a part", "select {}, {}", list{id{"a%"}, psyco.Raw("%s")}, `select "a%%", %s`},
		{"percent with a placeholder in quotes only", "select {}, 'a%s'", list{id{"a%"}}, `select "a%", 'a%s'`},
		{"percent with an operator only", "select {} % 2", list{id{"a%"}}, `select "a%" % 2`},

		{"apart", "select{}from{}{}x{}", list{id{"a"}, id{"b"}, id{"c"}, id{"d"}}, `select "a" from "b" "c" x "d"`},
		{"literals apart", "select{}from{}{}1'a'{}\n'b'", list{1, 2, "x", "y"}, "select 1 from 2  /**/ 'x' 1'a' /**/ 'y' /**/ \n'b'"},
		{"prefixes", "E{} U&{} U&{} 5 -{}", list{"a", "b", id{"c"}, -1}, `E 'a' U& 'b' U& "c" 5 - -1`},
		{"functions", "{}({})", list{id{"f"}, "a"}, `"f"('a')`},
		{"dots", "{}.{}::{}", list{id{"a"}, id{"b"}, id{"int4"}}, `"a"."b"::"int4"`},
		{"an empty literal", "'' {}", list{id{"a"}}, `'' "a"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := psyco.Compose(tt.template, tt.parts...)
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestComposeErrors(t *testing.T) {
	type id = psyco.Identifier
	tests := []struct {
		name, template string
		parts          list
		want           string
	}{
		{"open brace", "select\n {", nil, "single '{' in the template: a brace that is not a field is written twice (line 2, column 2)"},
		{"closing brace", "select }", nil, "single '}'"},
		{"brace in a field", "{a{b}", nil, "single '{'"},
		{"json", `select '{"a": 1}'`, nil, "write {{ and }}"},
		{"too few", "{} {}", list{1}, "field {} has no part: 1 were passed"},
		{"too many", "{}", list{1, 2}, "no field of the template takes part {1}"},
		{"no such number", "{1}", list{1}, "field {1} has no part"},
		{"huge number", "{99999999999999999999}", list{1}, "has no part"},
		{"no such name", "{a}", list{sql.Named("b", 1)}, `field {a} has no part: pass sql.Named("a", …)`},
		{"format", "{0!r}", list{1}, "field {0!r} has no part"},
		{"mixed", "{} {0}", list{1}, "cannot be mixed"},
		{"NUL in a name", "select {}", list{id{"a\x00b"}}, "NUL byte (line 1, column 8)"},
		{"no name", "{}", list{id{}}, "without parts"},
		{"empty name", "{}", list{id{"s", ""}}, `"s"."" has an empty part`},
		{"NUL in a literal", "{}", list{"a\x00"}, "NUL byte"},
		{"NUL in the template", "\x00{}", list{1}, "NUL byte"},
		{"literal of no type", "{}", list{map[string]int{}}, "psyco.JSON"},
		{"several identifiers", "{}", list{[]id{{"a"}}}, "psyco.Join"},
		{"name in a literal", "select '{}'::regclass", list{id{"a'"}}, "inside quotes or a comment"},
		{"name in quotes", `select "{}"`, list{id{"a"}}, "inside quotes"},
		{"name behind an open quote", `select "{}`, list{id{"a"}}, "inside quotes"},
		{"literal in a literal", "select '%{}%'", list{"a"}, "a literal inside quotes"},
		{"literal in a comment", "select 1 -- {}\n, 2", list{"\n3"}, "inside quotes or a comment"},
		{"name in a dollar quote", "do $$begin drop {}; end$$", list{id{"$$"}}, "inside quotes"},
		{"ambiguous", `select '\' || {} || '\'`, list{"x"}, "standard_conforming_strings"},
		//psyco:allow the error is what is wanted
		{"in a nested template", "select {}", list{psyco.Raw("a = '{}'").Format(1)}, "\ta = '{}'\n"},
		//psyco:allow the error is what is wanted
		{"error of a nested template", "select {}", list{psyco.Raw("a = {}").Format()}, "\ta = {}\n"},
		{"in a join", "select\n{}", list{psyco.Join(", ", id{})}, "line 2, column 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := psyco.Compose(tt.template, tt.parts...)
			if err == nil {
				t.Fatalf("got %s", got)
			}
			if !strings.HasPrefix(err.Error(), "psyco: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q does not say %q", err, tt.want)
			}
		})
	}
}

func TestIdentifierString(t *testing.T) {
	for _, tt := range []struct {
		id   psyco.Identifier
		want string
	}{
		{psyco.Identifier{"s", `a"b`}, `"s"."a""b"`},
		{psyco.Identifier{"a\x00"}, "\"a\uFFFD\""},
		{nil, ""},
	} {
		if got := fmt.Sprint(tt.id); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

// TestComposedQueries runs what was composed, with names that are hard to write.
func TestComposedQueries(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		table := psyco.Identifier{`100% "odd" $1 %s`, "täble\n--"}
		column := psyco.Identifier{"it's %(a)s"}
		day := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
		for _, step := range []struct {
			template string
			parts    list
			args     list
		}{
			{"CREATE SCHEMA {}", list{table[:1]}, nil},
			{"CREATE TABLE {} ({} timestamptz DEFAULT {}, b text)", list{table, column, day}, nil},
			{"INSERT INTO {} (b) VALUES (%s), ({})", list{table, `\ 50%`}, list{"a%"}},
			{"INSERT INTO {0} ({1}, b) VALUES ($1, $2)", list{table, column}, list{day, "c"}},
			{"COMMENT ON TABLE {} IS %s", list{table}, list{"%"}},
		} {
			query, err := psyco.Compose(step.template, step.parts...)
			if err != nil {
				t.Fatal(err)
			}
			mustExec(t, db, query, step.args...)
		}
		for _, read := range []struct {
			template string
			parts    list
			args     list
		}{
			{"SELECT b FROM {} WHERE {} = %s ORDER BY 1", list{table, column}, list{day}},
			{"SELECT b FROM {} WHERE {} = $1 ORDER BY 1", list{table, column}, list{day}},
			{"SELECT b FROM {table} WHERE {table}.{column} = {day} ORDER BY 1",
				list{sql.Named("table", table), sql.Named("column", column), sql.Named("day", day)}, nil},
		} {
			query, err := psyco.Compose(read.template, read.parts...)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := all(t, db, query, read.args...), []string{`\ 50%`, "a%", "c"}; !slices.Equal(got, want) {
				t.Errorf("%s: got %q, want %q", query, got, want)
			}
		}
	})
}
