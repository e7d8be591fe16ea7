package placeholder

import (
	"database/sql/driver"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	unknown := Unknown{}
	tests := []struct {
		name, text string
		args       []driver.NamedValue
		err        string // "" for none
	}{
		{"right", "SELECT %s, %s", values(1, 2), ""},
		{"too few", "SELECT %s, %s", values(1), "the query has 2 placeholders but 1 parameters were passed (line 1, column 12)"},
		{"native, right", "SELECT $2, $1", values(1, 2), ""},
		{"native, too few", "SELECT $1,\n $2", values(1), "the query has the parameter $2 but 1 parameters were passed (line 2, column 2)"},
		{"native, too many", "SELECT $1", values(1, 2), "the query has 1 parameters but 2 were passed"},
		{"native, not seen by the server", "CREATE FUNCTION f() AS 'x' RETURN $1", values(1, 2), ""},
		{"question mark", "SELECT ?", values(1), "does not know '?'"},
		{"native, names", "SELECT :a", named("a", 1), "write %(a)s, not :a"},
		{"name is missing", "SELECT %(a)s", values(map[string]any{"b": 1}), "query parameter missing: a"},
		{"names unknown", "SELECT %(a)s, %(b)s", values(unknown), ""},
		{"a name and an unknown", "SELECT %(a)s, %(b)s", append(named("a", 1), values(unknown)...), ""},
		{"value unknown", "SELECT %(a)s", named("a", unknown), ""},
		{"list unknown", "SELECT 1 IN %s, 1 IN (%s), (1, 2) IN %s", values(unknown, unknown, unknown), ""},
		{"no list", "SELECT 1 IN %s", values(1), "IN takes a slice, got int"},
		{"no rows", "SELECT (1, 2) IN %s", values(1), "a row IN takes a slice of rows"},
		{"rows", "SELECT (1, 2) IN %s", values([][]int{}), ""},
		{"no arguments", "SELECT %s", nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q, err := Rewrite(tt.text, Auto)
			if err != nil {
				t.Fatal(err)
			}
			if err := q.Check(tt.args); tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

func TestForgotten(t *testing.T) {
	tests := []struct{ name, text, err string }{
		{"nothing", "SELECT 1", ""},
		{"placeholder", "SELECT 1,\n %s", "no arguments were given for %s, so the query is sent as it is (line 2, column 2)"},
		{"name", "SELECT %(a)s", "no arguments were given for %(a)s"},
		{"modulo", "SELECT a %s FROM t", ""},
		{"quoted", "SELECT '%s'", ""},
		{"native", "SELECT $1", "the query has the parameter $1 but 0 parameters were passed"},
		{"parameter of a function", "CREATE FUNCTION f(int) RETURNS int RETURN $1", ""},
		{"parameter of a prepared statement", "SELECT 1; PREPARE p AS SELECT $1", ""},
		{"question mark", "SELECT a = ?", "does not know '?'"},
		{"operator", "SELECT a ? 'b'", ""},
		{"operator of jsonpath", "SELECT a @? '$.b'", ""},
		{"prefix operator", "SELECT ?| lseg '((-1,0),(1,0))'", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := Forgotten(tt.text, Auto); tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

// What Misplaced refuses is a syntax error to the server, and what looks like it is not:
// see TestMisplacedOnServer.
var misplaced = []struct{ text, hint string }{
	{"SELECT * FROM %s", "psyco.Compose"},
	{"SELECT (SELECT 1 FROM $1)", "psyco.Compose"},
	{"INSERT INTO %s VALUES (1)", "psyco.Compose"},
	{"UPDATE %s SET a = 1", "psyco.Compose"},
	{"DELETE FROM %s", "psyco.Compose"},
	{"SELECT 1 FROM (SELECT 1) t JOIN %s ON true", "psyco.Compose"},
	{"DROP TABLE %s", "psyco.Compose"},
	{"SELECT INTERVAL %s", "write %s::interval"},
	{"SELECT 1 WHERE 1 IS NOT %(a)s", "write IS DISTINCT FROM %(a)s"},
	{"SELECT 1 WHERE 1 IS $1", "write IS NOT DISTINCT FROM $1"},
	{"SELECT 'a' LIKE %s%%", "percent signs of a pattern"},
	{"SELECT extract(year FROM %s::date)", ""},
	{"SELECT substring(%s FROM %s)", ""},
	{"SELECT trim(both 'x' FROM %s)", ""},
	{"SELECT 1 IS DISTINCT FROM %s", ""},
	{"SELECT 1 FOR UPDATE LIMIT %s", ""},
	{"SELECT t.interval, %s FROM (SELECT 1 AS interval) t", ""},
	{"COMMENT ON SCHEMA public IS %s", ""},
	{"SET TIME ZONE INTERVAL %s", ""},
	{"SELECT '%%' || %s || '%%'", ""},
}

func TestMisplaced(t *testing.T) {
	for _, tt := range misplaced {
		t.Run(tt.text, func(t *testing.T) {
			q, err := Rewrite(tt.text, Auto)
			if err != nil {
				t.Fatal(err)
			}
			if err := q.Misplaced(); tt.hint == "" && err != nil || tt.hint != "" && (err == nil || !strings.Contains(err.Error(), tt.hint)) {
				t.Errorf("error %v, want %q", err, tt.hint)
			}
		})
	}
}
