package psyco_test

import (
	"database/sql"
	"encoding"
	"encoding/json"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/psyco-go/psyco"
)

type place struct {
	City string `json:"city"`
	Zip  *int   `json:"zip"`
}

// textCases are values, their text and their JSON.
var textCases = []struct {
	name       string
	value      any
	text, json string // "": the text in a string
}{
	{"Date", psyco.Date{Year: 2024, Month: 2, Day: 29}, "2024-02-29", ""},
	{"Date BC", psyco.Date{Year: -43, Month: 3, Day: 15}, "0044-03-15 BC", ""},
	{"Date, infinite", psyco.Date{Infinity: -1}, "-infinity", ""},
	{"Date of a far year", psyco.Date{Year: 12024, Month: 1, Day: 1}, "12024-01-01", ""},
	{"Timestamp", psyco.Timestamp{Time: time.Date(2024, 2, 29, 12, 30, 0, 5e8, time.UTC)}, "2024-02-29T12:30:00.5Z", ""},
	{"Timestamp with an offset", psyco.Timestamp{Time: time.Date(2024, 2, 29, 12, 30, 0, 0, time.FixedZone("", -12600))}, "2024-02-29T12:30:00-03:30", ""},
	{"Timestamp with an offset of seconds", psyco.Timestamp{Time: time.Date(1880, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3208))}, "1880-01-01 00:00:00+00:53:28", ""},
	{"Timestamp BC", psyco.Timestamp{Time: time.Date(-43, 3, 15, 12, 0, 0, 0, time.UTC)}, "0044-03-15 12:00:00+00:00 BC", ""},
	{"Timestamp of a far year", psyco.Timestamp{Time: time.Date(12024, 1, 1, 0, 0, 0, 0, time.UTC)}, "12024-01-01 00:00:00+00:00", ""},
	{"Timestamp, infinite", psyco.Timestamp{Infinity: 1}, "infinity", ""},
	{"Interval", psyco.Interval{Months: 14, Days: -3, Microseconds: 14706789000}, "P1Y2M-3DT4H5M6.789S", ""},
	{"Interval of nothing", psyco.Interval{}, "PT0S", ""},
	{"Interval, shortest", psyco.Interval{Microseconds: -1}, "PT-0.000001S", ""},
	{"Interval, negative", psyco.Interval{Months: -25, Microseconds: -5400000000}, "P-2Y-1MT-1H-30M", ""},
	{"Interval, least", psyco.Interval{Months: math.MinInt32, Days: math.MinInt32, Microseconds: math.MinInt64}, "P-178956970Y-8M-2147483648DT-2562047788H-54.775808S", ""},
	{"Numeric", psyco.Numeric("-1.50"), "-1.50", ""},
	{"Numeric, not a number", psyco.Numeric("NaN"), "NaN", ""},
	{"Inet", psyco.Inet{Prefix: netip.MustParsePrefix("10.0.0.1/8")}, "10.0.0.1/8", ""},
	{"Inet, plain", psyco.Inet{Prefix: netip.MustParsePrefix("::1/128")}, "::1", ""},
	{"Inet, zero", psyco.Inet{}, "", `""`},
	{"Range", psyco.Range[int]{Lower: 1, LowerInc: true, Upper: 10}, "[1,10)", ""},
	{"Range of dates", psyco.Range[psyco.Date]{Lower: psyco.Date{Year: 2024, Month: 1, Day: 1}, LowerInc: true, UpperInf: true}, "[2024-01-01,)", ""},
	{"Range, empty", psyco.Range[int]{Empty: true}, "empty", ""},
	{"Multirange", psyco.Multirange[int]{{Lower: 1, LowerInc: true, Upper: 3}, {Lower: 5, UpperInf: true}}, "{[1,3),(5,)}", ""},
	{"Multirange, empty", psyco.Multirange[int]{}, "{}", ""},
	{"HStore", psyco.HStore{"a": {V: `x"y`, Valid: true}, "b": {}}, `"a"=>"x\"y","b"=>NULL`, `{"a":"x\"y","b":null}`},
	{"HStore, empty", psyco.HStore{}, "", "{}"},
	{"Record", psyco.Record[place]{V: place{"Köln, Nord", some(50667)}}, `("Köln, Nord",50667)`, `{"city":"Köln, Nord","zip":50667}`},
	{"Record with NULL", psyco.Record[place]{V: place{City: ""}}, `("",)`, `{"city":"","zip":null}`},
}

// TestText writes values as text and as JSON, and reads them again.
func TestText(t *testing.T) {
	for _, tt := range textCases {
		t.Run(tt.name, func(t *testing.T) {
			text, err := tt.value.(encoding.TextMarshaler).MarshalText()
			if err != nil || string(text) != tt.text {
				t.Errorf("text %q, want %q; %v", text, tt.text, err)
			}
			again := reflect.New(reflect.TypeOf(tt.value))
			if err := again.Interface().(encoding.TextUnmarshaler).UnmarshalText(text); err != nil || !sameValue(again.Elem().Interface(), tt.value) {
				t.Errorf("the text becomes %#v, %v", again.Elem(), err)
			}
			want := tt.json
			if want == "" {
				b, _ := json.Marshal(tt.text)
				want = string(b)
			}
			document, err := json.Marshal(map[string]any{"v": tt.value})
			if err != nil || string(document) != `{"v":`+want+"}" {
				t.Errorf("JSON %s, want %s; %v", document, want, err)
			}
			again = reflect.New(reflect.TypeOf(tt.value))
			if err := json.Unmarshal([]byte(want), again.Interface()); err != nil || !sameValue(again.Elem().Interface(), tt.value) {
				t.Errorf("the JSON becomes %#v, %v", again.Elem(), err)
			}
		})
	}
}

// sameValue is reflect.DeepEqual, but for the locations of times.
func sameValue(a, b any) bool {
	x, ok := a.(psyco.Timestamp)
	if y, too := b.(psyco.Timestamp); ok && too {
		return x.Infinity == y.Infinity && x.Time.Equal(y.Time)
	}
	return reflect.DeepEqual(a, b)
}

// TestTextLenient reads more than is written.
func TestTextLenient(t *testing.T) {
	for _, tt := range []struct {
		name, json string
		want       any
	}{
		{"Date of a timestamp", `"2024-02-29T23:30:00+01:00"`, psyco.Date{Year: 2024, Month: 2, Day: 29}},
		{"Timestamp without an offset", `"2024-02-29T12:30:00.25"`, psyco.Timestamp{Time: time.Date(2024, 2, 29, 12, 30, 0, 25e7, time.UTC)}},
		{"Timestamp of the server", `"2024-02-29 12:30:00+01"`, psyco.Timestamp{Time: time.Date(2024, 2, 29, 11, 30, 0, 0, time.UTC)}},
		{"Timestamp of a day", `"2024-02-29"`, psyco.Timestamp{Time: time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)}},
		{"Interval of the server", `"1 year 2 mons -3 days +04:05:06.789"`, psyco.Interval{Months: 14, Days: -3, Microseconds: 14706789000}},
		{"Interval, verbose", `"@ 1 day 2 hours ago"`, psyco.Interval{Days: -1, Microseconds: -7200000000}},
		{"Interval in weeks", `"P2W"`, psyco.Interval{Days: 14}},
		{"Numeric", `1.50`, psyco.Numeric("1.50")},
		{"Numeric with an exponent", `-1.5e3`, psyco.Numeric("-1.5e3")},
		{"Inet with its length", `"10.0.0.1/32"`, psyco.Inet{Prefix: netip.MustParsePrefix("10.0.0.1/32")}},
		{"Multirange as a list", `["[1,3)", "empty"]`, psyco.Multirange[int]{{Lower: 1, LowerInc: true, Upper: 3}, {Empty: true}}},
		{"HStore of anything plain", `{"a": 1.50, "b": true, "c": "x", "d": null}`, psyco.HStore{"a": text("1.50"), "b": text("true"), "c": text("x"), "d": {}}},
		{"Record with less", `{"city": "x"}`, psyco.Record[place]{V: place{City: "x"}}},
		{"null, Date", "null", psyco.Date{}}, {"null, Timestamp", "null", psyco.Timestamp{}}, {"null, Interval", "null", psyco.Interval{}},
		{"null, Numeric", "null", psyco.Numeric("")}, {"null, Inet", "null", psyco.Inet{}}, {"null, Range", "null", psyco.Range[int]{}},
		{"null, Multirange", "null", psyco.Multirange[int](nil)}, {"null, HStore", "null", psyco.HStore(nil)}, {"null, Record", "null", psyco.Record[place]{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := reflect.New(reflect.TypeOf(tt.want))
			if err := json.Unmarshal([]byte(tt.json), got.Interface()); err != nil || !sameValue(got.Elem().Interface(), tt.want) {
				t.Errorf("%#v, %v", got.Elem(), err)
			}
		})
	}
	for _, v := range []any{psyco.Multirange[int](nil), psyco.HStore(nil)} {
		if b, err := json.Marshal(v); string(b) != "null" || err != nil {
			t.Errorf("%T: %s, %v", v, b, err)
		}
	}
}

func text(s string) sql.Null[string] { return sql.Null[string]{V: s, Valid: true} }

// TestTextErrors reads what is not such a value, and writes what cannot be one.
func TestTextErrors(t *testing.T) {
	for _, tt := range []struct {
		name, json string
		into       any
	}{
		{"Date", `"2023-02-29"`, new(psyco.Date)}, {"Date of words", `"today"`, new(psyco.Date)}, {"Date, number", `20240229`, new(psyco.Date)},
		{"Timestamp", `"2024-02-30T00:00:00Z"`, new(psyco.Timestamp)}, {"Timestamp, empty", `""`, new(psyco.Timestamp)},
		{"Interval", `"P1X"`, new(psyco.Interval)}, {"Interval, empty", `""`, new(psyco.Interval)},
		{"Numeric", `"1,5"`, new(psyco.Numeric)}, {"Numeric, bool", `true`, new(psyco.Numeric)}, {"Numeric, list", `[1]`, new(psyco.Numeric)},
		{"Inet", `"10.0.0"`, new(psyco.Inet)}, {"Range", `"[1,x)"`, new(psyco.Range[int])}, {"Range, object", `{}`, new(psyco.Range[int])},
		{"Multirange", `"{[1,2}"`, new(psyco.Multirange[int])}, {"Multirange, list", `["x"]`, new(psyco.Multirange[int])}, {"Multirange, number", `1`, new(psyco.Multirange[int])},
		{"HStore", `{"a": {}}`, new(psyco.HStore)}, {"HStore, list", `[]`, new(psyco.HStore)}, {"Record", `[1]`, new(psyco.Record[place])},
	} {
		if err := json.Unmarshal([]byte(tt.json), tt.into); err == nil {
			t.Errorf("%s: %s becomes %v", tt.name, tt.json, reflect.ValueOf(tt.into).Elem())
		}
	}
	for _, v := range []any{psyco.Date{Year: 2023, Month: 2, Day: 29}, psyco.Numeric(""), psyco.Numeric("x"), psyco.Range[any]{}, psyco.Multirange[any]{{}}} {
		if b, err := json.Marshal(v); err == nil || !strings.Contains(err.Error(), "psyco: ") {
			t.Errorf("%#v becomes %s, %v", v, b, err)
		}
	}
}

// TestTextAsTheServer compares texts with what the server writes and reads.
func TestTextAsTheServer(t *testing.T) {
	conn := mustConn(t, testDB(t))
	mustExec(t, conn, "SET intervalstyle = iso_8601; CREATE EXTENSION hstore")
	rows, err := conn.QueryContext(t.Context(), `SELECT v::text FROM (
		SELECT make_interval(months => (random() * 100 - 50)::int * (random() * 2)::int, days => (random() * 100 - 50)::int * (random() * 2)::int) +
			((random() - 0.5) * 1e6 * (random() * 2)::int)::int * interval '1 microsecond' * (10 ^ (random() * 6)::int) v
		FROM generate_series(1, 500)) i`)
	if err != nil {
		t.Fatal(err)
	}
	for v, err := range psyco.ScanRows[string](rows) {
		var i psyco.Interval
		if err != nil {
			t.Fatal(err)
		}
		if err := i.UnmarshalText([]byte(v)); err != nil {
			t.Fatal(err)
		}
		if b, err := json.Marshal(i); err != nil || string(b) != `"`+v+`"` {
			t.Errorf("%s becomes %s, %v", v, b, err)
		}
	}
	rows.Close()
	for _, tt := range textCases {
		typ := map[string]string{"Date": "date", "Timestamp": "timestamptz", "Interval": "interval", "Numeric": "numeric", "Inet": "inet", "Range": "int8range", "HStore": "hstore"}[strings.FieldsFunc(tt.name, func(r rune) bool { return r == ' ' || r == ',' })[0]]
		if typ == "" || tt.name == "Inet, zero" || tt.name == "Range of dates" || tt.name == "Interval, least" {
			continue
		}
		again := reflect.New(reflect.TypeOf(tt.value))
		if err := conn.QueryRowContext(t.Context(), "SELECT %s::text::"+typ, tt.text).Scan(again.Interface()); err != nil || !sameValue(again.Elem().Interface(), tt.value) {
			t.Errorf("%s: the server reads %s as %v, %v", tt.name, tt.text, again.Elem(), err)
		}
	}
}

// FuzzText reads texts as values of every type: what is read is written so that it is read again.
func FuzzText(f *testing.F) {
	for _, tt := range textCases {
		f.Add(tt.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, tt := range textCases {
			v := reflect.New(reflect.TypeOf(tt.value))
			if v.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)) != nil {
				continue
			}
			for _, way := range []struct {
				name   string
				write  func() ([]byte, error)
				reread func(any, []byte) error
			}{
				{"text", v.Interface().(encoding.TextMarshaler).MarshalText, func(p any, b []byte) error { return p.(encoding.TextUnmarshaler).UnmarshalText(b) }},
				{"JSON", func() ([]byte, error) { return json.Marshal(v.Interface()) }, func(p any, b []byte) error { return json.Unmarshal(b, p) }},
			} {
				b, err := way.write()
				if err != nil && (strings.ContainsRune(text, 0) || !utf8.ValidString(text)) {
					continue // the server has no such text
				}
				if err != nil {
					t.Fatalf("%T %v of %q as %s: %v", v.Elem().Interface(), v.Elem(), text, way.name, err)
				}
				again := reflect.New(v.Type().Elem())
				if err := way.reread(again.Interface(), b); err != nil {
					t.Fatalf("%T of %q is written as %q, which is not read: %v", v.Elem().Interface(), text, b, err)
				}
			}
		}
	})
}
