package literal

import (
	"errors"
	"strings"
	"testing"

	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/sqllex"
)

func text(v any) (string, error) {
	b, _, err := pgform.AppendText(nil, v)
	return string(b), err
}

func typeName(oid uint32) string {
	return map[uint32]string{
		pgform.OIDBytea: "bytea", pgform.OIDChar: `"char"`, pgform.OIDInt8: "int8", pgform.OIDText: "text",
		pgform.OIDJSON: "json", pgform.OIDFloat8: "float8", pgform.ArrayOID(pgform.OIDText): "text[]",
	}[oid]
}

// each gives the values to the parameters of a text, one after the other.
func each(values ...Value) func(sqllex.Token) *Value {
	return func(sqllex.Token) *Value {
		if len(values) == 0 {
			return nil
		}
		v := &values[0]
		values = values[1:]
		return v
	}
}

func TestWrite(t *testing.T) {
	tests := []struct {
		name, text string
		w          Writer
		values     []Value
		want       string
	}{
		{"NULL", "select $1, $2", Writer{}, []Value{{}, {Type: pgform.OIDText}}, "select NULL, NULL::text"},
		{"bool", "select $1, $2", Writer{}, []Value{{V: true, Type: pgform.OIDBool}, {V: false}}, "select true, 'false'"},
		{"a number of its own type", "select $1, $2", Writer{}, []Value{{V: int64(5), Type: pgform.OIDInt4}, {V: int64(1) << 40, Type: pgform.OIDInt8}}, "select 5, 1099511627776"},
		{"a number of another type", "select $1, $2", Writer{}, []Value{{V: int64(5), Type: pgform.OIDInt8}, {V: int64(5)}}, "select '5'::int8, '5'"},
		{"a float", "select $1", Writer{}, []Value{{V: 1.5, Type: pgform.OIDFloat8}}, "select '1.5'::float8"},
		{"a float among constants", "set x to $1", Writer{}, []Value{{V: 1.5, Type: pgform.OIDFloat8}}, "set x to 1.5"},
		{"text", "select $1", Writer{}, []Value{{V: `it's \`}}, `select E'it''s \\'`},
		{"a type with quotes", "select $1", Writer{}, []Value{{V: "a", Type: pgform.OIDChar}}, `select 'a'::"char"`},
		{"an array", "select $1", Writer{}, []Value{{V: "{a}", Type: pgform.ArrayOID(pgform.OIDText)}}, "select '{a}'::text[]"},
		{"a type that not every server has", "select $1", Writer{}, []Value{{V: "a", Type: 99999}}, "select 'a'"},
		{"bytes", "select $1", Writer{}, []Value{{V: []byte("a"), Bytes: true}}, `select E'\\x61'::bytea`},
		{"bytes that may be text", "select $1", Writer{}, []Value{{V: []byte("a")}}, "select 'a'"},
		{"bytes of a type", "select $1", Writer{}, []Value{{V: []byte("{}"), Type: pgform.OIDJSON, Bytes: true}}, "select '{}'::json"},
		{"bytes of a bytea", "select $1", Writer{Native: true}, []Value{{V: []byte("a"), Type: pgform.OIDBytea}}, `select E'\\x61'::bytea`},
		{"native", "select $1, $2, $3", Writer{Native: true}, []Value{{V: true, Type: pgform.OIDBool}, {V: int64(5)}, {V: []byte(nil)}}, "select 'true', '5', NULL"},
		{"a parameter without a value", "select $1, $2", Writer{}, []Value{{V: "a"}}, "select 'a', $2"},
		{"percent signs", "select '%%', $1", Writer{Double: true}, []Value{{V: "5%"}}, "select '%%', '5%%'"},
		{"a backslash where it is one", `select '\' || $1 || '\'`, Writer{Conforming: true}, []Value{{V: "a"}}, `select '\' || 'a' || '\'`},
		{"kept apart", "select a-$1, U&$2 $3\n'x', $4::int2", Writer{}, []Value{{V: int64(-5), Type: pgform.OIDInt4}, {V: "a"}, {V: "b"}, {V: int64(-1), Type: pgform.OIDInt4}},
			"select a- -5, U& 'a'  /**/ 'b' /**/ \n'x', (-1)::int2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var places [][2]int
			tt.w.Text, tt.w.TypeName = text, typeName
			tt.w.Placed = func(start, stop int) { places = append(places, [2]int{start, stop}) }
			got, err := tt.w.Write(tt.text, each(tt.values...))
			if err != nil || got != tt.want {
				t.Fatalf("got  %s, %v\nwant %s", got, err, tt.want)
			}
			if len(places) != len(tt.values) {
				t.Errorf("%d places for %d values", len(places), len(tt.values))
			}
			at := 0
			for _, p := range places {
				if p[0] < at || p[1] <= p[0] || p[1] > len(got) {
					t.Errorf("no literal is at %v", p)
				}
				at = p[1]
			}
		})
	}
}

func TestWriteErrors(t *testing.T) {
	tests := []struct {
		name, text string
		value      Value
		want       string
		ofValue    bool
	}{
		{"NUL in the text", "select $1\x00", Value{V: "a"}, "a query cannot have a NUL byte", false},
		{"a literal that may end elsewhere", `select '\' || $1 || '\'`, Value{V: "a"}, "with standard_conforming_strings off this literal would end elsewhere", false},
		{"NUL in a value", "select $1", Value{V: "a\x00"}, "text has a NUL byte at offset 1", true},
		{"a value without a text", "select $1", Value{V: struct{}{}}, "struct {}", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := Writer{Text: text, TypeName: typeName}
			got, err := w.Write(tt.text, each(tt.value))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%q, %v, want %s", got, err, tt.want)
			}
			var place *sqllex.Error
			var refused *ValueError
			if errors.As(err, &place) == tt.ofValue || errors.As(err, &refused) != tt.ofValue {
				t.Errorf("%T", err)
			}
			if checked := w.Check(&tt.value); (checked != nil) != tt.ofValue {
				t.Errorf("Check: %v", checked)
			}
		})
	}
}

func TestUnclear(t *testing.T) {
	for _, tt := range []struct {
		bytes string
		want  bool
	}{{"", false}, {"it's é", false}, {`\`, true}, {"\x00", true}, {"\xff", true}} {
		if got := Unclear([]byte(tt.bytes)); got != tt.want {
			t.Errorf("%q: %v", tt.bytes, got)
		}
	}
}
