package psyco

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"os"
	"reflect"
	"testing"
	"time"
)

// psycopgRecord is what testdata/values/record.py wrote down.
type psycopgRecord struct {
	Psycopg2 string
	Server   string
	Timezone string
	Rows     []psycopgRow
}

type psycopgRow struct {
	Value, Type, Error string
	Text               *string
}

type valueTriple struct {
	Number int64
	Name   string
	At     *time.Time
}

// goValues has Go's counterpart of each value of the record.
func goValues() map[string]any {
	noon := time.Date(2024, 2, 29, 12, 0, 0, 123456000, time.FixedZone("CET", 3600))
	// What lib/pq makes of a timestamp column is Go's naive datetime.
	naive := time.Date(2024, 2, 29, 12, 0, 0, 123456000, time.FixedZone("", 0))
	id := [16]byte{0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 1, 2, 3, 4, 5, 6, 7, 8}
	date := func(y int, m time.Month, d int) Date { return Date{Year: y, Month: m, Day: d} }
	return map[string]any{
		"none":               nil,
		"true":               true,
		"int":                42,
		"int beyond int4":    wideInt(1 << 40),
		"int beyond int8":    uint64(math.MaxUint64),
		"negative":           int16(-7),
		"float":              1.5,
		"nan":                math.NaN(),
		"inf":                math.Inf(-1),
		"decimal":            Numeric("1.50"),
		"str":                `it's \ "ok"`,
		"empty str":          "",
		"str as date":        "2024-02-29",
		"str as json":        json.RawMessage(`{"a": 1}`),
		"str as number":      "17",
		"bytes":              []byte("\x00\xff'\\"),
		"empty bytes":        []byte{},
		"aware datetime":     noon,
		"utc datetime":       noon.UTC(),
		"naive datetime":     naive,
		"date":               date(2024, 2, 29),
		"timedelta":          time.Second,
		"negative timedelta": -1500 * time.Millisecond,
		"uuid":               id,
		"ip address":         netip.MustParseAddr("10.0.0.1"),
		"ip interface":       netip.MustParsePrefix("10.0.0.1/8"),
		"ip network":         netip.MustParsePrefix("10.0.0.0/8"),
		"list of int":        []int{1, 2, 3},
		"list of float":      []float64{1.5, 2},
		"list of str":        []string{"a", "b c", `d"e`, `f\g`, "", "NULL"},
		"list with none":     []*string{ptr("a"), nil},
		"empty list":         []int{},
		"nested list":        [][]int{{1, 2}, {3, 4}},
		"list of bool":       []bool{true, false},
		"list of datetime":   []time.Time{noon},
		"list of date":       []Date{date(2024, 2, 29)},
		"list of uuid":       [][16]byte{id},
		"list of bytes":      [][]byte{{0, 255}},
		"json":               JSON[any]{V: map[string]any{"a": []any{1.0, nil, "x"}}},
		"int range":          Range[int]{Lower: 1, LowerInc: true, Upper: 10},
		"closed range":       Range[int]{Lower: 1, LowerInc: true, Upper: 10, UpperInc: true},
		"unbounded range":    Range[int]{LowerInf: true, Upper: 10},
		"empty range":        Range[int]{Empty: true},
		"date range":         Range[Date]{Lower: date(2024, 1, 1), LowerInc: true, Upper: date(2024, 2, 1)},
		"datetime range":     Range[time.Time]{Lower: noon, LowerInc: true, UpperInf: true},
		"hstore":             HStore{"a": {V: "1", Valid: true}, `b"`: {}},
		"tuple":              Record[valueTriple]{V: valueTriple{7, "a, b", nil}},
	}
}

// unlikePsycopg says where psyco differs on purpose from the record.
var unlikePsycopg = map[string]string{
	// Python's timedelta keeps its days apart, and its days are negative first.
	"negative timedelta interval": "-00:00:01.5",
	// encoding/json writes no spaces.
	"json json": `{"a":[1,null,"x"]}`,
	// psycopg2 cannot adapt an ip_address.
	"ip address inet": "10.0.0.1/32",
}

func TestValuesAsPsycopg(t *testing.T) {
	raw, err := os.ReadFile("testdata/values/psycopg2.json")
	if err != nil {
		t.Fatal(err)
	}
	var record psycopgRecord
	if err := json.Unmarshal(raw, &record); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	conn, err := openValues(t).Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := conn.ExecContext(ctx, query, args...); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	exec("CREATE TYPE value_triple AS (number int8, name text, at timestamptz)")
	exec("SET timezone TO '" + record.Timezone + "'")

	values := goValues()
	seen := map[string]bool{}
	for _, row := range record.Rows {
		belongs := !seen[row.Value] // the first type of a value is its own
		seen[row.Value] = true
		t.Run(row.Value+"/"+row.Type, func(t *testing.T) {
			v, ok := values[row.Value]
			if !ok {
				t.Fatal("the record has a value that Go's table lacks")
			}
			value, oid, _, err := (*TypeMap)(nil).convert(v, 0)
			if err != nil {
				t.Fatal(err)
			}
			// A cast around the parameter declares it, as the typed Parse does.
			parameter := "$1"
			if oid != 0 {
				if err := conn.QueryRowContext(ctx, "SELECT 'CAST($1 AS ' || format_type($1, -1) || ')'", oid).Scan(&parameter); err != nil {
					t.Fatal(err)
				}
			}
			exec("CREATE TEMP TABLE t (v " + row.Type + ")")
			defer exec("DROP TABLE t")
			exec("INSERT INTO t VALUES ("+parameter+")", value)

			want := row.Text
			if other, ok := unlikePsycopg[row.Value+" "+row.Type]; ok {
				want = &other
			}
			for how, query := range map[string]string{
				"inserted": "SELECT v::text, v FROM t",
				"selected": "SELECT ($1::" + row.Type + ")::text, $1::" + row.Type,
			} {
				args := []any{value}
				if how == "inserted" {
					args = nil
				} else if !belongs {
					continue // an explicit cast may take another way than a column does
				}
				back := reflect.New(reflect.TypeFor[string]())
				if v != nil {
					back = reflect.New(reflect.TypeOf(v))
				}
				var text *string
				dest := []any{&text, into{back}}
				if !belongs || v == nil {
					dest[1] = new(any)
				}
				if err := conn.QueryRowContext(ctx, query, args...).Scan(dest...); err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(text, want) {
					t.Errorf("%s %#v: the server has %s, psycopg2 %s gives %s", how, v, showText(text), record.Psycopg2, showText(want))
				}
				if belongs && v != nil && !sameValue(back.Elem().Interface(), v) && row.Value != "closed range" {
					t.Errorf("%s %#v came back as %#v", how, v, back.Elem().Interface())
				}
			}
		})
	}
	for name := range values {
		if !seen[name] {
			t.Errorf("the record lacks %q", name)
		}
	}
}

func showText(s *string) string {
	if s == nil {
		return "NULL"
	}
	return fmt.Sprintf("%q", *s)
}

// sameValue compares times by their instant and takes NaN for NaN.
func sameValue(a, b any) bool {
	switch a := a.(type) {
	case time.Time:
		return a.Equal(b.(time.Time))
	case []time.Time:
		return len(a) == 1 && a[0].Equal(b.([]time.Time)[0])
	case Range[time.Time]:
		b := b.(Range[time.Time])
		return a.Lower.Equal(b.Lower) && a.LowerInc == b.LowerInc && a.UpperInf == b.UpperInf
	case float64:
		return a == b || a != a && b.(float64) != b.(float64)
	}
	return reflect.DeepEqual(a, b)
}

// TestScanNative reads, with plain lib/pq, each kind of value that its decoder makes.
func TestScanNative(t *testing.T) {
	db := openValues(t)
	noon := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	var (
		interval Interval
		stamp    Timestamp
		date     Date
		infinite Timestamp
		numeric  Numeric
		whole    Numeric
		real     Numeric
		doc      JSON[map[string]int]
		ids      []int64
		inet     Inet
		id       [16]byte
		null     sql.Null[Interval]
		nothing  *Interval
		list     Array[string]
	)
	err := db.QueryRow(`SELECT '1 mon 2 days'::interval, '2024-02-29 12:00'::timestamp, '2024-02-29'::date, 'infinity'::date,
		1.50, 7::int8, 0.1::float8, '{"a":1}'::jsonb, ARRAY[1,2]::int8[], '10.0.0.1/8'::inet, $1::uuid, NULL, NULL, '{a,"b c"}'::text`,
		"12345678-9abc-def0-0102-030405060708").Scan(&interval, &stamp, &date, &infinite, &numeric, &whole, &real, &doc, (*Array[int64])(&ids), &inet, Into(&id), &null, &nothing, &list)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ got, want any }{
		{interval, Interval{1, 2, 0}}, {stamp.Time.Equal(noon), true}, {date, Date{Year: 2024, Month: 2, Day: 29}},
		{infinite, Timestamp{Infinity: 1}}, {numeric, Numeric("1.50")}, {whole, Numeric("7")}, {real, Numeric("0.1")},
		{doc.V, map[string]int{"a": 1}}, {ids, []int64{1, 2}}, {inet, Inet{netip.MustParsePrefix("10.0.0.1/8")}},
		{id[15], byte(8)}, {null.Valid, false}, {nothing, (*Interval)(nil)}, {list, Array[string]{"a", "b c"}},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("got %#v, want %#v", tt.got, tt.want)
		}
	}
}
