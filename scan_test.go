package psyco

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/psyco-go/psyco/internal/pgform"
)

// box is a type whose array has a delimiter of its own, as the server's has.
type box string

func (box) ArrayDelimiter() string { return ";" }

type wantsBytes struct{ got string }

func (w *wantsBytes) Scan(src any) error {
	b, ok := src.([]byte)
	if !ok {
		return errors.New("no bytes")
	}
	w.got = string(b)
	return nil
}

func (l *level) UnmarshalText(b []byte) error {
	digits, ok := strings.CutPrefix(string(b), "level-")
	if !ok || len(digits) != 1 {
		return errors.New("no level")
	}
	*l = level(digits[0] - '0')
	return nil
}

func TestScan(t *testing.T) {
	utc := time.FixedZone("", 0)
	for _, tt := range []struct {
		name string
		dest any // a pointer; Into is put around those that are not Scanners
		src  any
		want any
	}{
		{"int", new(int), []byte("5"), 5},
		{"int from int64", new(int16), int64(5), int16(5)},
		{"named int", new(namedInt), "5", namedInt(5)},
		{"*int", new(*int), "5", ptr(5)},
		{"*int of NULL", ptr(ptr(5)), nil, (*int)(nil)},
		{"uint", new(uint64), "18446744073709551615", uint64(18446744073709551615)},
		{"float", new(float32), "1.5", float32(1.5)},
		{"float from float64", new(float64), 1.5, 1.5},
		{"bool", new(bool), true, true},
		{"bool from text", new(bool), "f", false},
		{"string", new(string), []byte("x"), "x"},
		{"string from time", new(string), time.Date(2024, 2, 29, 0, 0, 0, 0, utc), "2024-02-29T00:00:00Z"},
		{"any", new(any), []byte("x"), "x"},
		{"bytes", new([]byte), []byte(`\x41`), []byte(`\x41`)},
		{"bytes from text", new([]byte), `\x41`, []byte("A")},
		{"bytes of NULL", ptr([]byte("old")), nil, []byte(nil)},
		{"raw json", new(json.RawMessage), []byte(`{}`), json.RawMessage(`{}`)},
		{"uuid", new([16]byte), []byte("12345678-9abc-def0-0102-030405060708"), [16]byte{0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 1, 2, 3, 4, 5, 6, 7, 8}},
		{"bytea as array", new([3]byte), []byte{1, 2, 3}, [3]byte{1, 2, 3}},
		{"bytea as array of a named byte", new([3]colour), []byte{1, 2, 3}, [3]colour{1, 2, 3}},
		{"time", new(time.Time), time.Date(2024, 2, 29, 0, 0, 0, 0, utc), time.Date(2024, 2, 29, 0, 0, 0, 0, utc)},
		{"named time", new(namedTime), time.Date(2024, 2, 29, 0, 0, 0, 0, utc), namedTime(time.Date(2024, 2, 29, 0, 0, 0, 0, utc))},
		{"times of day", new([]time.Time), "{12:30:00,24:00:00}", []time.Time{time.Date(0, 1, 1, 12, 30, 0, 0, time.UTC), time.Date(0, 1, 2, 0, 0, 0, 0, time.UTC)}},
		{"duration", new(time.Duration), []byte("1 day -01:00:00"), 23 * time.Hour},
		{"address", new(netip.Addr), []byte("::1"), netip.MustParseAddr("::1")},
		{"address with its whole prefix", new(netip.Addr), []byte("10.0.0.1/32"), netip.MustParseAddr("10.0.0.1")},
		{"prefix", new(netip.Prefix), []byte("10.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")},
		{"prefix of an address", new(netip.Prefix), []byte("10.0.0.1"), netip.MustParsePrefix("10.0.0.1/32")},
		{"net.IP", new(net.IP), []byte("10.0.0.1"), net.IP{10, 0, 0, 1}},
		{"net.IPNet", new(net.IPNet), []byte("10.0.0.0/8"), net.IPNet{IP: net.IP{10, 0, 0, 0}, Mask: net.CIDRMask(8, 32)}},
		{"macaddr", new(net.HardwareAddr), []byte("08:00:2b:01:02:03"), net.HardwareAddr{8, 0, 0x2b, 1, 2, 3}},
		{"big.Int", new(big.Int), []byte("-7"), *big.NewInt(-7)},
		{"*big.Rat", new(*big.Rat), []byte("0.125"), big.NewRat(1, 8)},
		{"TextUnmarshaler", new(level), []byte("level-3"), level(3)},
		{"sql.NullString", new(sql.NullString), "x", sql.NullString{String: "x", Valid: true}},
		{"Scanner of bytes in an array", new([]wantsBytes), "{x}", []wantsBytes{{"x"}}},
		{"slice", new([]int), []byte("{1,2}"), []int{1, 2}},
		{"slice of NULL", ptr([]int{1}), nil, []int(nil)},
		{"array", new([2]int), []byte("{1,2}"), [2]int{1, 2}},
		{"composite", new(point), []byte("(1,2)"), point{1, 2}},
		{"*composite", new(*point), []byte("(1,2)"), &point{1, 2}},

		{"Array", new(Array[string]), `{a,"b,c",NULLS,"NULL","\"","\\",""}`, Array[string]{"a", "b,c", "NULLS", "NULL", `"`, `\`, ""}},
		{"empty Array", new(Array[int]), "{}", Array[int]{}},
		{"Array of NULL", &Array[int]{1}, nil, Array[int](nil)},
		{"Array with NULL", new(Array[*int]), "{1,NULL}", Array[*int]{ptr(1), nil}},
		{"Array of sql.Null", new(Array[sql.Null[int]]), "{1,NULL}", Array[sql.Null[int]]{{V: 1, Valid: true}, {}}},
		{"Array of slices", new(Array[[]int]), "{{1,2},{3,4}}", Array[[]int]{{1, 2}, {3, 4}}},
		{"Array of Arrays", new(Array[Array[int]]), "{{1,2},{3,4}}", Array[Array[int]]{{1, 2}, {3, 4}}},
		{"Array of slices, empty", new(Array[[]int]), "{}", Array[[]int]{}},
		{"Array of any", new(Array[any]), "{{1,NULL}}", Array[any]{[]any{"1", nil}}},
		{"Array with bounds", new(Array[int]), "[0:1]={1,2}", Array[int]{1, 2}},
		{"Array with two bounds", new(Array[[]int]), "[-1:0][5:6]={{1,2},{3,4}}", Array[[]int]{{1, 2}, {3, 4}}},
		{"Array of boxes", new(Array[box]), "{(1,1),(0,0);(2,2),(1,1)}", Array[box]{"(1,1),(0,0)", "(2,2),(1,1)"}},
		{"Array of bytes", new(Array[[]byte]), `{"\\x00ff","\\x"}`, Array[[]byte]{{0, 255}, {}}},
		{"Array of booleans", new(Array[bool]), "{t,f}", Array[bool]{true, false}},
		{"Array of composites", new(Array[Record[point]]), `{"(1,2)","(3,4)"}`, Array[Record[point]]{{point{1, 2}}, {point{3, 4}}}},
		{"Array of ranges", new(Array[Range[int]]), `{"[1,2)",empty}`, Array[Range[int]]{{Lower: 1, Upper: 2, LowerInc: true}, {Empty: true}}},

		{"Interval", new(Interval), "1 year 2 mons -3 days +04:05:06.789", Interval{14, -3, 14706789000}},
		{"zero Interval", new(Interval), "00:00:00", Interval{}},
		{"verbose Interval", new(Interval), "@ 1 year 2 mons -3 days 4 hours 5 mins 6.789 secs ago", Interval{-14, 3, -14706789000}},
		{"zero verbose Interval", new(Interval), "@ 0", Interval{}},
		{"standard Interval", new(Interval), "+1-2 -3 +4:05:06.789", Interval{14, -3, 14706789000}},
		{"negative standard Interval", new(Interval), "-3 4:05:06", Interval{0, -3, -14706000000}},
		{"years and months", new(Interval), "-1-2", Interval{-14, 0, 0}},
		{"zero standard Interval", new(Interval), "0", Interval{}},
		{"ISO Interval", new(Interval), "P1Y2M-3DT4H5M6.789S", Interval{14, -3, 14706789000}},
		{"ISO weeks", new(Interval), "P2W", Interval{0, 14, 0}},
		{"zero ISO Interval", new(Interval), "PT0S", Interval{}},
		{"least Interval", new(Interval), "-178956970 years -8 mons -2147483648 days -2562047788:00:54.775808", Interval{-1 << 31, -1 << 31, -1 << 63}},

		{"Range", new(Range[int]), "[1,10)", Range[int]{Lower: 1, Upper: 10, LowerInc: true}},
		{"closed Range", new(Range[int]), "(1,10]", Range[int]{Lower: 1, Upper: 10, UpperInc: true}},
		{"Range without bounds", new(Range[int]), "(,)", Range[int]{LowerInf: true, UpperInf: true}},
		{"Range up to infinity", new(Range[Date]), "[2024-01-01,infinity)", Range[Date]{Lower: Date{Year: 2024, Month: 1, Day: 1}, LowerInc: true, Upper: Date{Infinity: 1}}},
		{"Range of text", new(Range[string]), `["a""\\,b","")`, Range[string]{Lower: `a"\,b`, LowerInc: true}},
		{"empty Range", new(Range[int]), "empty", Range[int]{Empty: true}},
		{"Multirange", new(Multirange[int]), "{[1,2),[5,)}", Multirange[int]{{Lower: 1, Upper: 2, LowerInc: true}, {Lower: 5, LowerInc: true, UpperInf: true}}},
		{"empty Multirange", new(Multirange[int]), "{}", Multirange[int]{}},
		{"Multirange of NULL", &Multirange[int]{}, nil, Multirange[int](nil)},

		{"HStore", new(HStore), `"a"=>"1", "b\"\\"=>NULL, "NULL"=>"NULL"`, HStore{"a": {V: "1", Valid: true}, `b"\`: {}, "NULL": {V: "NULL", Valid: true}}},
		{"empty HStore", new(HStore), "", HStore{}},
		{"HStore of NULL", &HStore{}, nil, HStore(nil)},
		{"Record", new(Record[triple]), `(,,"2024-02-29 00:00:00+00")`, Record[triple]{triple{At: time.Date(2024, 2, 29, 0, 0, 0, 0, utc)}}},
		{"Record of nothing", new(Record[struct{}]), "()", Record[struct{}]{}},
		{"Record with brackets", new(Record[struct{ A, B string }]), `(a]b,"c,""d\\")`, Record[struct{ A, B string }]{struct{ A, B string }{"a]b", `c,"d\`}}},
		{"Record by pointer", new(Record[*point]), "(1,2)", Record[*point]{&point{1, 2}}},
		{"JSON", &JSON[map[string]int]{map[string]int{"old": 1}}, []byte(`{"new":2}`), JSON[map[string]int]{map[string]int{"new": 2}}},
		{"JSON null", &JSON[*int]{ptr(1)}, []byte(`null`), JSON[*int]{}},
		{"Date", new(Date), "0044-03-15 BC", Date{Year: -43, Month: 3, Day: 15}},
		{"Date behind a pointer", new(*Date), time.Date(2024, 2, 29, 23, 0, 0, 0, utc), &Date{Year: 2024, Month: 2, Day: 29}},
		{"Date of a time", new(Date), time.Date(2024, 2, 29, 23, 0, 0, 0, time.FixedZone("", 3600)), Date{Year: 2024, Month: 2, Day: 29}},
		{"Timestamp", new(Timestamp), "2024-02-29 12:00:00.5", Timestamp{Time: time.Date(2024, 2, 29, 12, 0, 0, 5e8, utc)}},
		{"infinite Timestamp", new(Timestamp), []byte("-infinity"), Timestamp{Infinity: -1}},
		{"Inet", new(Inet), "10.0.0.1/8", Inet{netip.MustParsePrefix("10.0.0.1/8")}},
		{"Numeric", new(Numeric), "-0.10", Numeric("-0.10")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b []byte
			src := tt.src
			if x, ok := src.([]byte); ok {
				b = append([]byte{}, x...)
				src = b
			}
			if err := scanInto(tt.dest, src); err != nil {
				t.Fatal(err)
			}
			field := fillField(t, reflect.TypeOf(tt.dest).Elem(), src)
			for i := range b { // the driver uses its memory again
				b[i] = '#'
			}
			got := reflect.ValueOf(tt.dest).Elem().Interface()
			if b, ok := field.(big.Int); ok {
				field = *new(big.Int).Set(&b) // without spare memory
			}
			if !reflect.DeepEqual(field, got) {
				t.Errorf("a field of a row is %#v, Scan gives %#v", field, got)
			}
			if n, ok := got.(big.Int); ok {
				want := tt.want.(big.Int)
				if n.Cmp(&want) != 0 {
					t.Errorf("got %s, want %s", &n, &want)
				}
			} else if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %#v, want %#v", got, tt.want)
			}
		})
	}
}

// fillField gives what a field of a type becomes in a row of Query.
func fillField(t *testing.T, typ reflect.Type, src any) any {
	row := reflect.New(reflect.StructOf([]reflect.StructField{{Name: "V", Type: typ}}))
	plan, err := planOf(row.Elem().Type(), []rowColumn{{name: "v"}}, false)
	if err != nil {
		t.Fatal(err)
	}
	f := filler{plan: plan, dest: row.UnsafePointer()}
	f.begin()
	if err := errors.Join(f.put(0, src), f.end()); err != nil {
		t.Fatal(err)
	}
	return row.Elem().Field(0).Interface()
}

func scanInto(dest, src any) error {
	if s, ok := dest.(sql.Scanner); ok {
		return s.Scan(src)
	}
	return into{reflect.ValueOf(dest)}.Scan(src)
}

func TestScanErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		dest any
		src  any
		want string // words of the error
	}{
		{"NULL into int", new(int), nil, "NULL does not fit into int"},
		{"NULL into Interval", new(Interval), nil, "sql.Null[psyco.Interval]"},
		{"NULL into Range", new(Range[int]), nil, "NULL"},
		{"NULL into JSON", new(JSON[any]), nil, "NULL"},
		{"NULL into Record", new(Record[point]), nil, "NULL"},
		{"NULL into Date", new(Date), nil, "NULL"},
		{"NULL into Timestamp", new(Timestamp), nil, "NULL"},
		{"NULL into Inet", new(Inet), nil, "NULL"},
		{"NULL into Numeric", new(Numeric), nil, "NULL"},
		{"NULL element", new(Array[int]), "{1,NULL}", "element 1: NULL"},
		{"text into int", new(int), "x", `"x" as int`},
		{"too large", new(int8), "300", "out of range"},
		{"text into bool", new(bool), "maybe", "bool"},
		{"nil pointer", (*int)(nil), "1", "nil pointer"},
		{"map", new(map[string]int), "{}", "psyco.JSON[map[string]int]"},
		{"channel", new(chan int), "{}", "sql.Scanner"},
		{"bool into Interval", new(Interval), true, "bool"},
		{"months into Duration", new(time.Duration), "1 mon", "psyco.Interval"},
		{"long Duration", new(time.Duration), "300000000 hours", "292 years"},
		{"infinity into time", new(time.Time), "infinity", "psyco.Timestamp"},
		{"no time", new(time.Time), "yesterday", "ISO"},
		{"no time of day", new(time.Time), "25:00:00", "time"},
		{"prefix into address", new(netip.Addr), "10.0.0.1/8", "psyco.Inet"},
		{"short uuid", new([16]byte), "1234", "2 bytes"},
		{"no uuid", new([16]byte), "xyz", "[16]uint8"},
		{"bad bytea", new([]byte), `\x4`, "odd length"},

		{"no array", new(Array[int]), "1", "not an array"},
		{"open array", new(Array[int]), "{1", "}"},
		{"open quote", new(Array[string]), `{"a`, `"`},
		{"open escape", new(Array[string]), `{"a\`, `"`},
		{"rest after array", new(Array[int]), "{1}2", "follows"},
		{"empty element", new(Array[string]), "{a,}", "empty"},
		{"quote inside", new(Array[string]), `{a"b"}`, "unquoted"},
		{"ragged", new(Array[[]int]), "{{1},{2,3}}", "1 and 2"},
		{"mixed depth", new(Array[[]int]), "{{1},2}", "beside"},
		{"mixed depth first", new(Array[int]), "{1,{2}}", "beside"},
		{"too deep", new(Array[int]), "{{{{{{{1}}}}}}}", "6"},
		{"wrong bounds", new(Array[int]), "[1:3]={1,2}", "bounds"},
		{"no bounds", new(Array[int]), "[1:]={1}", "bounds"},
		{"too few dimensions", new(Array[[]int]), "{1}", "1 dimensions"},
		{"too many dimensions", new(Array[int]), "{{1}}", "2 dimensions"},
		{"wrong length", new([3]int), "{1,2}", "2 elements"},
		{"wrong element of a type of its own", new(Array[Range[int]]), `{"[1,2"}`, "element 0"},
		{"wrong element", new(Array[int]), "{1,x}", "element 1"},

		{"empty interval", new(Interval), "", "empty"},
		{"interval without unit", new(Interval), "5", "no unit"},
		{"unknown unit", new(Interval), "5 fortnights", "fortnights"},
		{"interval out of range", new(Interval), "2147483648 days", "out of range"},
		{"years out of range", new(Interval), "178956971 years", "out of range"},
		{"hours out of range", new(Interval), "2562047789:00:00", "out of range"},
		{"fine interval", new(Interval), "00:00:00.0000001", "microsecond"},
		{"fraction of a day", new(Interval), "P1.5D", "out of range"},
		{"four clock fields", new(Interval), "1:2:3:4", "time"},
		{"bare P", new(Interval), "P", "empty"},
		{"ISO without unit", new(Interval), "P1", "unit"},

		{"no range", new(Range[int]), "1,2", "["},
		{"range of one bound", new(Range[int]), "[1)", "one bound"},
		{"range of three bounds", new(Range[int]), "[1,2,3)", "three bounds"},
		{"open range", new(Range[int]), "[1,2", "no end"},
		{"rest after range", new(Range[int]), "[1,2)x", "follows"},
		{"wrong bound", new(Range[int]), "[a,2)", `"a"`},
		{"open multirange", new(Multirange[int]), "{[1,2)", "}"},
		{"no multirange", new(Multirange[int]), "[1,2)", "{"},
		{"unquoted hstore", new(HStore), "a=>1", "quoted key"},
		{"hstore without arrow", new(HStore), `"a""b"`, "=>"},
		{"hstore without comma", new(HStore), `"a"=>"b""c"=>"d"`, "comma"},
		{"no record", new(Record[point]), "1,2", "not a record"},
		{"open record", new(Record[point]), "(1,2", "not a record"},
		{"rest after record", new(Record[point]), "(1,2)3", "not a record"},
		{"short record", new(Record[point]), "(1)", "1 attributes"},
		{"NULL in record", new(Record[point]), "(1,)", "field Y: NULL"},
		{"record into int", new(Record[int]), "(1)", "struct"},
		{"no json", new(JSON[int]), "{", "JSON"},
		{"no date", new(Date), "2024-02-30", "2024-02-30"},
		{"no datestyle", new(Date), "29.02.2024", "datestyle"},
		{"money", new(Numeric), "$1,234.56", "::numeric"},
		{"no inet", new(Inet), "10.0.0", "inet"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := scanInto(tt.dest, tt.src)
			if err == nil {
				t.Fatalf("no error, but %#v", reflect.ValueOf(tt.dest).Elem().Interface())
			}
			if !strings.HasPrefix(err.Error(), "psyco: ") || strings.Count(err.Error(), "psyco: ") > 1 || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q does not start with psyco: and say %q", err, tt.want)
			}
		})
	}
}

type chain struct{ Next *chain }

func circularChain() *chain {
	c := &chain{}
	c.Next = c
	return c
}

func TestValueErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   driver.Valuer
		want string
	}{
		{"ragged Array", Array[[]int]{{1}, {}}, "1 and 0"},
		{"NULL bound", Range[*int]{}, "LowerInf"},
		{"NULL bound in a multirange", Multirange[*int]{{}}, "range 0"},
		{"NUL in HStore", HStore{"a\x00": {}}, "NUL"},
		{"JSON of a channel", JSON[chan int]{}, "JSON"},
		{"Record of an int", Record[int]{1}, "struct"},
		{"Record with a map", Record[struct{ M map[string]int }]{}, "field M"},
		{"Record in itself", Record[*chain]{V: circularChain()}, "leads to itself"},
		{"31st of February", Date{Year: 2024, Month: 2, Day: 31}, "no date"},
		{"zero Date", Date{}, "no date"},
		{"empty Numeric", Numeric(""), "not a number"},
		{"impossible Inet", Inet{netip.PrefixFrom(netip.MustParseAddr("::1"), 129)}, "network"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := tt.in.Value()
			if err == nil {
				t.Fatalf("no error, but %#v", v)
			}
			if !strings.HasPrefix(err.Error(), "psyco: ") || strings.Count(err.Error(), "psyco: ") > 1 || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q does not start with psyco: and say %q", err, tt.want)
			}
		})
	}
}

func TestIntervalDuration(t *testing.T) {
	for _, tt := range []struct {
		in   Interval
		want time.Duration
	}{
		{Interval{}, 0},
		{Interval{Months: 14}, (365 + 60) * 24 * time.Hour},
		{Interval{Months: -1, Days: 31, Microseconds: 1}, 24*time.Hour + time.Microsecond},
		{IntervalOf(90 * time.Minute), 90 * time.Minute},
		{IntervalOf(1500 * time.Nanosecond), 2 * time.Microsecond},
		{IntervalOf(-1 << 63), -1<<63 + 808}, // rounded to the microsecond
	} {
		if got, err := tt.in.Duration(); err != nil || got != tt.want {
			t.Errorf("%v lasts %v, %v; want %v", tt.in, got, err, tt.want)
		}
	}
	for _, in := range []Interval{{Months: 12 * 293}, {Days: 1 << 30}, {Microseconds: 1 << 62}, {-1 << 31, -1 << 31, -1 << 63}} {
		if got, err := in.Duration(); err == nil {
			t.Errorf("%v lasts %v, want an error", in, got)
		}
	}
}

func TestJSONInsideJSON(t *testing.T) {
	type outer struct{ Inner JSON[[]int] }
	b, err := json.Marshal(outer{JSON[[]int]{V: []int{1}}})
	if err != nil || string(b) != `{"Inner":[1]}` {
		t.Errorf("%s, %v", b, err)
	}
	var back outer
	if err := json.Unmarshal(b, &back); err != nil || !reflect.DeepEqual(back.Inner.V, []int{1}) {
		t.Errorf("%v, %v", back, err)
	}
}

// TestByteaInsideOthers reads bytea of all bytes inside arrays, composite types and ranges,
// in both forms that the server writes it in.
func TestByteaInsideOthers(t *testing.T) {
	db := openValues(t)
	type holder struct {
		Name string
		Data []byte
	}
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	exec := func(query string) {
		t.Helper()
		if _, err := conn.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	exec("CREATE TYPE bytearange AS RANGE (subtype = bytea, multirange_type_name = bytemultirange); CREATE TYPE holder AS (name text, data bytea)")
	for _, output := range []string{"hex", "escape"} {
		exec("SET bytea_output = " + output)
		for _, want := range [][]byte{every, {}, []byte(`\\`), []byte(`\`), []byte("\\000"), []byte("plain"), {0}, {0, 255}, []byte("é"), every[:16], []byte(`\x41`)} {
			want := append([]byte{}, want...)
			top := append(append([]byte{}, want...), 1)
			var (
				list   [][]byte
				array  Array[[]byte]
				ptrs   []*[]byte
				nested [][][]byte
				record holder
				list2  []holder
				rng    Range[[]byte]
				multi  Multirange[[]byte]
				null   sql.Null[[]byte]
				scalar []byte
			)
			err := conn.QueryRowContext(t.Context(), `SELECT ARRAY[b], ARRAY[b, b], ARRAY[b, NULL], ARRAY[[b, b]], ROW('n', b)::holder, ARRAY[ROW('n', b)::holder],
				bytearange(b, t), bytemultirange(bytearange(b, t)), b, b FROM (SELECT $1::bytea b, $2::bytea t) x`, want, top).
				Scan(Into(&list), &array, Into(&ptrs), Into(&nested), Into(&record), Into(&list2), &rng, &multi, &null, Into(&scalar))
			if err != nil {
				t.Errorf("%s: %q: %v", output, want, err)
				continue
			}
			for _, tt := range []struct {
				name      string
				got, want any
			}{
				{"list", list, [][]byte{want}}, {"Array", array, Array[[]byte]{want, want}}, {"pointers", ptrs, []*[]byte{&want, nil}},
				{"nested", nested, [][][]byte{{want, want}}}, {"record", record, holder{"n", want}}, {"records", list2, []holder{{"n", want}}},
				{"range", rng, Range[[]byte]{Lower: want, Upper: top, LowerInc: true}}, {"multirange", multi, Multirange[[]byte]{{Lower: want, Upper: top, LowerInc: true}}},
				{"Null", null, sql.Null[[]byte]{V: want, Valid: true}}, {"scalar", scalar, want},
			} {
				if !reflect.DeepEqual(tt.got, tt.want) {
					t.Errorf("%s: %s: %q became %q", output, tt.name, tt.want, tt.got)
				}
			}
		}
		var hash [][16]byte
		if err := conn.QueryRowContext(t.Context(), `SELECT ARRAY[$1::bytea, $2, $3]`, every[:16], every[240:], []byte("sixteen bytes ok")).Scan(Into(&hash)); err != nil ||
			!bytes.Equal(hash[0][:], every[:16]) || !bytes.Equal(hash[1][:], every[240:]) || string(hash[2][:]) != "sixteen bytes ok" {
			t.Errorf("%s: %x, %v", output, hash, err)
		}
	}
	// A text column is text.
	for _, want := range []string{`a\\b`, `\101`, "\\"} {
		var got []byte
		if err := conn.QueryRowContext(t.Context(), "SELECT $1::text", want).Scan(Into(&got)); err != nil || string(got) != want {
			t.Errorf("%q became %q, %v", want, got, err)
		}
	}
}

// TestBoxArray reads the arrays that have a semicolon between their elements.
func TestBoxArray(t *testing.T) {
	db := openValues(t)
	for _, tt := range []struct {
		query string
		want  any
	}{
		{`SELECT '{(1,1),(0,0)}'::box[]`, []string{"(1,1),(0,0)"}},
		{`SELECT '{(1,1),(0,0);(3.5,-3),(2,-1e+20)}'::box[]`, []string{"(1,1),(0,0)", "(3.5,-3),(2,-1e+20)"}},
		{`SELECT '{(Infinity,1),(0,-Infinity);(NaN,1),(1,1)}'::box[]`, nil},
		{`SELECT '[0:1]={(1,1),(0,0);(3,3),(2,2)}'::box[]`, []string{"(1,1),(0,0)", "(3,3),(2,2)"}},
		{`SELECT '{NULL;(1,1),(0,0)}'::box[]`, []*string{nil, ptr("(1,1),(0,0)")}},
		{`SELECT '{{(1,1),(0,0)};{(3,3),(2,2)}}'::box[]`, [][]string{{"(1,1),(0,0)"}, {"(3,3),(2,2)"}}},
		{`SELECT '{}'::box[]`, []string{}},
		{`SELECT ARRAY[NULL]::box[]`, []*string{nil}},
		{`SELECT ARRAY['(1,1)', '(0,0)']::text[]`, []string{"(1,1)", "(0,0)"}},
		{`SELECT ARRAY['(a', 'b)', '(c', 'd)']`, []string{"(a", "b)", "(c", "d)"}},
		{`SELECT ARRAY['(1', 'b;c)']`, []string{"(1", "b;c)"}},
		{`SELECT ARRAY[point '(1,2)', point '(3,4)']`, []string{"(1,2)", "(3,4)"}},
		{`SELECT ARRAY[lseg '[(1,2),(3,4)]', lseg '[(5,6),(7,8)]']`, []string{"[(1,2),(3,4)]", "[(5,6),(7,8)]"}},
		{`SELECT ARRAY[circle '<(1,2),3>', circle '<(4,5),6>']`, []string{"<(1,2),3>", "<(4,5),6>"}},
		{`SELECT ARRAY[polygon '((1,2),(3,4))', polygon '((5,6))']`, []string{"((1,2),(3,4))", "((5,6))"}},
		{`SELECT ARRAY[path '[(1,2),(3,4)]']`, []string{"[(1,2),(3,4)]"}},
		{`SELECT ARRAY[line '{1,2,3}', line '{4,5,6}']`, []string{"{1,2,3}", "{4,5,6}"}},
		{`SELECT ARRAY[B'101', B'1']::varbit[]`, []string{"101", "1"}},
		{`SELECT ARRAY['a', ',', ';', '"', ' ']::"char"[]`, []string{"a", ",", ";", `"`, " "}},
		{`SELECT ARRAY['a,b', 'c;d']::name[]`, []string{"a,b", "c;d"}},
		{`SELECT ARRAY['<a>,;</a>'::xml, '<b/>']`, []string{"<a>,;</a>", "<b/>"}},
		{`SELECT ARRAY[1234.5, 1]::money[]`, []string{"$1,234.50", "$1.00"}},
	} {
		want := tt.want
		if want == nil { // boxes are put in order, so that only their number is sure
			var n []string
			if err := db.QueryRow(tt.query).Scan(Into(&n)); err != nil || len(n) != 2 {
				t.Errorf("%s: %q, %v", tt.query, n, err)
			}
			continue
		}
		got := reflect.New(reflect.TypeOf(want))
		if err := db.QueryRow(tt.query).Scan(into{got}); err != nil || !reflect.DeepEqual(got.Elem().Interface(), want) {
			t.Errorf("%s: %q, %v", tt.query, got.Elem().Interface(), err)
		}
	}
	boxes := []box{"(1,1),(0,0)", "(3,3),(2,2)"}
	value, _, _, err := (*TypeMap)(nil).convert(boxes, 0)
	if err != nil {
		t.Fatal(err)
	}
	var back []box
	if err := db.QueryRow(`SELECT $1::box[]`, value).Scan(Into(&back)); err != nil || !reflect.DeepEqual(back, boxes) {
		t.Errorf("%q became %q, %v", boxes, back, err)
	}
	var list Array[string]
	if err := db.QueryRow(`SELECT '{(1,1),(0,0);(3,3),(2,2)}'::box[]`).Scan(&list); err != nil || len(list) != 2 {
		t.Errorf("%q, %v", list, err)
	}
}

// Each target reads any text. What is accepted must come back the same when it
// is written and read again: a parser that cuts, invents or misplaces something
// fails that.

func FuzzArrayOfStrings(f *testing.F) {
	f.Add("a", `"\`, "")
	f.Add("NULL", "{}", ",")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		want := []string{a, b, c}
		value, err := Array[string](want).Value()
		if err != nil {
			if strings.Contains(a+b+c, "\x00") {
				return
			}
			t.Fatal(err)
		}
		var got Array[string]
		if err := got.Scan(value); err != nil || !reflect.DeepEqual([]string(got), want) {
			t.Fatalf("%q became %q, %v", want, got, err)
		}
		rangeWant := Range[string]{Lower: a, Upper: b, LowerInc: true}
		value, err = rangeWant.Value()
		if err != nil {
			t.Fatal(err)
		}
		var rangeGot Range[string]
		if err := rangeGot.Scan(value); err != nil || rangeGot != rangeWant {
			t.Fatalf("%#v became %#v, %v", rangeWant, rangeGot, err)
		}
		type three struct{ A, B, C string }
		recordWant := Record[three]{three{a, b, c}}
		value, err = recordWant.Value()
		if err != nil {
			t.Fatal(err)
		}
		var recordGot Record[three]
		if err := recordGot.Scan(value); err != nil || recordGot != recordWant {
			t.Fatalf("%#v became %#v, %v", recordWant, recordGot, err)
		}
	})
}

func FuzzRange(f *testing.F) {
	for _, s := range []string{"[1,2)", "(,)", "empty", `["a""b",c\d]`, "[,", `("",x]`, "[1,2)[3,4)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var r Range[string]
		if r.Scan(text) != nil {
			return
		}
		if r.LowerInf {
			r.LowerInc = false // the server never says otherwise
		}
		if r.UpperInf {
			r.UpperInc = false
		}
		written, err := r.append(nil)
		if err != nil {
			if strings.Contains(text, "\x00") {
				return
			}
			t.Fatal(err)
		}
		var again Range[string]
		if err := again.Scan(written); err != nil || again != r {
			t.Fatalf("%q: %#v became %#v, %v", text, r, again, err)
		}
	})
}

func FuzzMultirange(f *testing.F) {
	for _, s := range []string{"{}", "{[1,2),[5,)}", "{empty}", "{[1,2)", "{,}", `{["}","{"]}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var m Multirange[int]
		if m.Scan(text) != nil {
			return
		}
		for i := range m {
			m[i].LowerInc = m[i].LowerInc && !m[i].LowerInf
			m[i].UpperInc = m[i].UpperInc && !m[i].UpperInf
		}
		value, err := m.Value()
		if err != nil {
			t.Fatal(err)
		}
		var again Multirange[int]
		if err := again.Scan(value); err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%q: %#v became %#v, %v", text, m, again, err)
		}
	})
}

func FuzzHStore(f *testing.F) {
	for _, s := range []string{"", `"a"=>"1", "b"=>NULL`, `"a\"\\"=>"NULL"`, `"a"=>`, `"a"=>"b",`, `"a"=>"1", "a"=>"2"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var h HStore
		if h.Scan(text) != nil {
			return
		}
		value, err := h.Value()
		if err != nil {
			if strings.Contains(text, "\x00") {
				return
			}
			t.Fatal(err)
		}
		var again HStore
		if err := again.Scan(value); err != nil || !reflect.DeepEqual(again, h) {
			t.Fatalf("%q: %#v became %#v, %v", text, h, again, err)
		}
	})
}

func FuzzTime(f *testing.F) {
	for _, s := range []string{"2024-02-29", "0001-02-29 BC", "5874897-12-31", "2024-02-29 12:30:00.123456+05:30", "1880-01-01 00:00:00-00:00:30", "0044-03-15 12:00:00+00 BC", "24:00:00", "12:00:00-08", "1-1-1", "infinity"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, err := parseTime(text)
		if err != nil || len(text) > 2 && text[2] == ':' || at.Year() < -4712 || at.Year() > 294276 {
			return
		}
		if again, err := parseTime(string(pgform.AppendTimestamp(nil, at))); err != nil || !again.Equal(at) {
			t.Fatalf("%q: %v became %v, %v", text, at, again, err)
		}
	})
}

// FuzzTimes holds psyco's timestamps to lib/pq's for the years both get right.
func FuzzTimes(f *testing.F) {
	f.Add(int64(0), int64(0), 0)
	f.Add(int64(-62135596800), int64(999999999), -30)
	f.Add(int64(-62167219200), int64(1), 45296)
	f.Fuzz(func(t *testing.T, seconds, nanos int64, offset int) {
		at := time.Unix(seconds%1e13, nanos%1e9).In(time.FixedZone("x", offset%(16*3600)))
		got, err := parseTime(string(pgform.AppendTimestamp(nil, at)))
		if err != nil || !got.Equal(at) {
			t.Fatalf("%v became %v, %v", at, got, err)
		}
		value, _, _, err := timeValue(at, at)
		if text, ok := value.(string); err != nil || ok && text != string(pgform.AppendTimestamp(nil, at)) {
			t.Fatalf("%v became %v, %v", at, value, err)
		}
	})
}

// A value goes into a variable of its own type as it is: without its text, which would cost memory. One that is
// too large is an error as before, and changes nothing.
func TestScanSameType(t *testing.T) {
	var (
		long   int64
		number int
		short  int32
		float  float64
		yes    bool
		text   string
		at     time.Time
	)
	noon := time.Date(2024, 2, 29, 12, 0, 0, 0, time.FixedZone("", 3600))
	for _, test := range []struct {
		into sql.Scanner
		src  any
		dst  any
		want any
	}{
		{Into(&long), int64(1 << 40), &long, int64(1 << 40)},
		{Into(&number), int64(-7), &number, -7},
		{Into(&short), int64(1 << 30), &short, int32(1 << 30)},
		{Into(&float), 0.1, &float, 0.1},
		{Into(&yes), true, &yes, true},
		{Into(&text), "it's", &text, "it's"},
		{Into(&at), noon, &at, noon},
	} {
		allocs := testing.AllocsPerRun(10, func() {
			if err := test.into.Scan(test.src); err != nil {
				t.Error(err)
			}
		})
		if got := reflect.ValueOf(test.dst).Elem().Interface(); got != test.want || allocs > 0 {
			t.Errorf("%T from %v: got %v, with %v allocations", test.dst, test.src, got, allocs)
		}
	}
	if err := Into(&short).Scan(int64(1 << 31)); err == nil || short != 1<<30 {
		t.Errorf("got %d, %v", short, err)
	}
}
