package psyco

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/psyco-go/psyco/internal/pgform"
)

type (
	namedBool   bool
	namedInt    int16
	namedUint   uint64
	namedFloat  float32
	namedString string
	namedBytes  []byte
	namedUUID   [16]byte
	namedTime   time.Time
	colour      uint8
	point       struct{ X, Y int }
)

// stringValuer has a value receiver, so that its nil pointer is NULL.
type stringValuer struct{ s string }

func (v stringValuer) Value() (driver.Value, error) { return v.s, nil }

// pointerValuer has a pointer receiver, which nil pointers reach.
type pointerValuer struct{}

func (v *pointerValuer) Value() (driver.Value, error) {
	if v == nil {
		return "nil was asked", nil
	}
	return int64(7), nil
}

type loopValuer struct{}

func (v loopValuer) Value() (driver.Value, error) { return v, nil }

type failingValuer struct{}

var errValuer = errors.New("no value today")

func (failingValuer) Value() (driver.Value, error) { return nil, errValuer }

type anyValuer struct{ v any }

func (v anyValuer) Value() (driver.Value, error) { return v.v, nil }

// level is an integer with a name, as enums often are.
type level uint8

func (l level) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "level-%d", uint8(l)), nil }

type pointerMarshaler struct{ s string }

func (p *pointerMarshaler) MarshalText() ([]byte, error) { return []byte(p.s), nil }

func ptr[T any](v T) *T { return &v }

func mustCIDR(s string) *net.IPNet {
	_, n, err := net.ParseCIDR(s)
	if err != nil {
		panic(err)
	}
	return n
}

func TestAdapt(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	noon := time.Date(2024, 2, 29, 12, 0, 0, 1500, berlin)
	naive := time.Date(2024, 2, 29, 12, 0, 0, 0, time.FixedZone("", 0))
	uuid := [16]byte{0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 1, 2, 3, 4, 5, 6, 7, 8}
	const uuidString = "12345678-9abc-def0-0102-030405060708"
	var cyclic any
	cyclic = &cyclic

	for _, tt := range []struct {
		name     string
		in       any
		want     driver.Value
		oid      uint32
		fallback uint32
	}{
		{"nil", nil, nil, 0, pgform.OIDText},
		{"bool", true, true, pgform.OIDBool, pgform.OIDBool},
		{"named bool", namedBool(true), true, pgform.OIDBool, pgform.OIDBool},
		{"nil *bool", (*bool)(nil), nil, 0, pgform.OIDBool},

		{"int", 1, int64(1), pgform.OIDInt4, pgform.OIDInt4},
		{"greatest int4", math.MaxInt32, int64(math.MaxInt32), pgform.OIDInt4, pgform.OIDInt4},
		{"least int4", int64(math.MinInt32), int64(math.MinInt32), pgform.OIDInt4, pgform.OIDInt4},
		{"int beyond int4", wideInt(math.MaxInt32 + 1), int64(math.MaxInt32 + 1), pgform.OIDInt8, pgform.OIDInt8},
		{"int below int4", int64(math.MinInt32 - 1), int64(math.MinInt32 - 1), pgform.OIDInt8, pgform.OIDInt8},
		{"int8", int8(-3), int64(-3), pgform.OIDInt4, pgform.OIDInt4},
		{"int64", int64(math.MinInt64), int64(math.MinInt64), pgform.OIDInt8, pgform.OIDInt8},
		{"uint8", uint8(200), int64(200), pgform.OIDInt4, pgform.OIDInt4},
		{"uint32", uint32(math.MaxUint32), int64(math.MaxUint32), pgform.OIDInt8, pgform.OIDInt8},
		{"uint64 within int64", uint64(math.MaxInt64), int64(math.MaxInt64), pgform.OIDInt8, pgform.OIDInt8},
		{"uint64 beyond int64", uint64(math.MaxUint64), "18446744073709551615", pgform.OIDNumeric, pgform.OIDNumeric},
		{"named int", namedInt(-5), int64(-5), pgform.OIDInt4, pgform.OIDInt4},
		{"named uint", namedUint(1 << 63), "9223372036854775808", pgform.OIDNumeric, pgform.OIDNumeric},
		{"*int", ptr(5), int64(5), pgform.OIDInt4, pgform.OIDInt4},
		{"**int", ptr(ptr(5)), int64(5), pgform.OIDInt4, pgform.OIDInt4},
		{"nil *int", (*int)(nil), nil, 0, pgform.OIDInt4},
		{"pointer to nil *int", ptr((*int)(nil)), nil, 0, pgform.OIDInt4},
		{"month", time.March, int64(3), pgform.OIDInt4, pgform.OIDInt4},

		{"float64", 1.5, 1.5, pgform.OIDFloat8, pgform.OIDFloat8},
		{"infinite float", math.Inf(-1), math.Inf(-1), pgform.OIDFloat8, pgform.OIDFloat8},
		{"float32", float32(0.1), float64(float32(0.1)), pgform.OIDFloat8, pgform.OIDFloat8},
		{"named float", namedFloat(2), 2.0, pgform.OIDFloat8, pgform.OIDFloat8},

		{"string", "a'b", "a'b", 0, pgform.OIDText},
		{"empty string", "", "", 0, pgform.OIDText},
		{"named string", namedString("x"), "x", 0, pgform.OIDText},
		{"nil *string", (*string)(nil), nil, 0, pgform.OIDText},
		{"bytes", []byte{0, 255}, []byte{0, 255}, 0, pgform.OIDBytea},
		{"empty bytes", []byte{}, []byte{}, 0, pgform.OIDBytea},
		{"nil bytes", []byte(nil), nil, 0, pgform.OIDBytea},
		{"named bytes", namedBytes{1}, []byte{1}, 0, pgform.OIDBytea},
		{"nil named bytes", namedBytes(nil), nil, 0, pgform.OIDBytea},
		{"bytes of a named type", []colour{1}, []byte{1}, 0, pgform.OIDBytea},
		{"array of a named byte", [2]colour{1, 2}, []byte{1, 2}, 0, pgform.OIDBytea},
		{"byte array", [3]byte{1, 2, 3}, []byte{1, 2, 3}, 0, pgform.OIDBytea},

		{"time", noon, noon, pgform.OIDTimestamptz, pgform.OIDTimestamptz},
		{"*time", &noon, noon, pgform.OIDTimestamptz, pgform.OIDTimestamptz},
		{"nil *time", (*time.Time)(nil), nil, 0, pgform.OIDTimestamptz},
		{"UTC", noon.UTC(), noon.UTC(), pgform.OIDTimestamptz, pgform.OIDTimestamptz},
		{"time as lib/pq reads a timestamp", naive, naive, 0, pgform.OIDTimestamptz},
		{"named time", namedTime(noon), noon, pgform.OIDTimestamptz, pgform.OIDTimestamptz},
		{"leap day BC", time.Date(-4, 2, 29, 1, 2, 3, 0, time.UTC), "0005-02-29 01:02:03+00:00 BC", pgform.OIDTimestamptz, pgform.OIDTimestamptz},
		{"another zone BC", time.Date(-4712, 1, 2, 3, 4, 5, 0, time.FixedZone("LMT", -17762)), "4713-01-02 03:04:05-04:56:02 BC", pgform.OIDTimestamptz, pgform.OIDTimestamptz},
		{"offset of seconds", time.Date(1880, 1, 1, 0, 0, 0, 0, time.FixedZone("LMT", -30)), "1880-01-01 00:00:00-00:00:30", pgform.OIDTimestamptz, pgform.OIDTimestamptz},
		{"duration", 90 * time.Second, "00:01:30", pgform.OIDInterval, pgform.OIDInterval},
		{"negative duration", -1500 * time.Millisecond, "-00:00:01.5", pgform.OIDInterval, pgform.OIDInterval},
		{"nil *duration", (*time.Duration)(nil), nil, 0, pgform.OIDInterval},
		{"interval", Interval{14, -3, 1}, "1 year 2 mons -3 days +00:00:00.000001", pgform.OIDInterval, pgform.OIDInterval},
		{"nil *Interval", (*Interval)(nil), nil, 0, pgform.OIDText},

		{"uuid", uuid, uuidString, pgform.OIDUUID, pgform.OIDUUID},
		{"named uuid", namedUUID(uuid), uuidString, pgform.OIDUUID, pgform.OIDUUID},
		{"nil *uuid", (*[16]byte)(nil), nil, 0, pgform.OIDUUID},
		{"address", netip.MustParseAddr("10.0.0.1"), "10.0.0.1", pgform.OIDInet, pgform.OIDInet},
		{"no address", netip.Addr{}, nil, 0, pgform.OIDInet},
		{"network", netip.MustParsePrefix("10.0.0.0/8"), "10.0.0.0/8", pgform.OIDCIDR, pgform.OIDCIDR},
		{"network with host bits", netip.MustParsePrefix("10.0.0.1/8"), "10.0.0.1/8", pgform.OIDInet, pgform.OIDInet},
		{"net.IP", net.ParseIP("10.0.0.1"), "10.0.0.1", pgform.OIDInet, pgform.OIDInet},
		{"net.IP v6", net.ParseIP("::1"), "::1", pgform.OIDInet, pgform.OIDInet},
		{"nil net.IP", net.IP(nil), nil, 0, pgform.OIDInet},
		{"net.IPNet", *mustCIDR("fe80::/10"), "fe80::/10", pgform.OIDCIDR, pgform.OIDCIDR},
		{"*net.IPNet", mustCIDR("10.1.0.0/16"), "10.1.0.0/16", pgform.OIDCIDR, pgform.OIDCIDR},
		{"mapped *net.IPNet", &net.IPNet{IP: net.ParseIP("10.1.0.0"), Mask: net.CIDRMask(112, 128)}, "10.1.0.0/16", pgform.OIDCIDR, pgform.OIDCIDR},
		{"nil *net.IPNet", (*net.IPNet)(nil), nil, 0, pgform.OIDInet},
		{"macaddr", net.HardwareAddr{8, 0, 0x2b, 1, 2, 3}, "08:00:2b:01:02:03", pgform.OIDMacaddr, pgform.OIDMacaddr},
		{"macaddr8", net.HardwareAddr{8, 0, 0x2b, 1, 2, 3, 4, 5}, "08:00:2b:01:02:03:04:05", pgform.OIDMacaddr8, pgform.OIDMacaddr8},
		{"nil macaddr", net.HardwareAddr(nil), nil, 0, pgform.OIDMacaddr},

		{"big.Int", *big.NewInt(-7), "-7", pgform.OIDNumeric, pgform.OIDNumeric},
		{"*big.Int", new(big.Int).Lsh(big.NewInt(1), 70), "1180591620717411303424", pgform.OIDNumeric, pgform.OIDNumeric},
		{"nil *big.Int", (*big.Int)(nil), nil, 0, pgform.OIDNumeric},
		{"*big.Float", big.NewFloat(0.1), "0.1", pgform.OIDNumeric, pgform.OIDNumeric},
		{"infinite *big.Float", new(big.Float).SetInf(true), "-Infinity", pgform.OIDNumeric, pgform.OIDNumeric},
		{"*big.Rat", big.NewRat(-1, 8), "-0.125", pgform.OIDNumeric, pgform.OIDNumeric},
		{"**big.Rat", ptr(big.NewRat(3, 1)), "3", pgform.OIDNumeric, pgform.OIDNumeric},
		{"json.Number", json.Number("1e400"), "1e400", pgform.OIDNumeric, pgform.OIDNumeric},
		{"Numeric", Numeric("1.50"), "1.50", pgform.OIDNumeric, pgform.OIDNumeric},
		{"json.RawMessage", json.RawMessage(`{"a":1}`), `{"a":1}`, 0, pgform.OIDJSONB},
		{"nil json.RawMessage", json.RawMessage(nil), nil, 0, pgform.OIDJSONB},

		{"Valuer", stringValuer{"v"}, "v", 0, pgform.OIDText},
		{"nil *Valuer", (*stringValuer)(nil), nil, 0, pgform.OIDText},
		{"pointer Valuer", &pointerValuer{}, int64(7), pgform.OIDInt4, pgform.OIDInt4},
		{"nil pointer Valuer", (*pointerValuer)(nil), "nil was asked", 0, pgform.OIDText},
		{"Valuer of an int", anyValuer{5}, int64(5), pgform.OIDInt4, pgform.OIDInt4},
		{"Valuer of a Valuer", anyValuer{stringValuer{"deep"}}, "deep", 0, pgform.OIDText},
		{"Valuer of nil", anyValuer{nil}, nil, 0, pgform.OIDText},
		{"sql.NullString", sql.NullString{String: "x", Valid: true}, "x", 0, pgform.OIDText},
		{"invalid sql.NullInt64", sql.NullInt64{}, nil, 0, pgform.OIDText},
		{"sql.NullTime", sql.NullTime{Time: noon, Valid: true}, noon, pgform.OIDTimestamptz, pgform.OIDTimestamptz},
		{"sql.Null of a duration", sql.Null[time.Duration]{V: time.Second, Valid: true}, "00:00:01", pgform.OIDInterval, pgform.OIDInterval},
		{"sql.Null of an Interval", sql.Null[Interval]{V: Interval{Days: 1}, Valid: true}, "1 day", pgform.OIDInterval, pgform.OIDInterval},
		{"sql.Null that is NULL", sql.Null[time.Time]{}, nil, 0, pgform.OIDTimestamptz},
		{"*sql.Null", &sql.Null[int]{V: 3, Valid: true}, int64(3), pgform.OIDInt4, pgform.OIDInt4},
		{"[]sql.Null", []sql.Null[time.Duration]{{V: 1000, Valid: true}, {}}, `{"00:00:00.000001",NULL}`, 1187, 1187},
		{"TextMarshaler", level(3), "level-3", 0, pgform.OIDText},
		{"*TextMarshaler", ptr(level(3)), "level-3", 0, pgform.OIDText},
		{"nil *TextMarshaler", (*level)(nil), nil, 0, pgform.OIDText},
		{"pointer TextMarshaler", &pointerMarshaler{"pm"}, "pm", 0, pgform.OIDText},
		{"nil pointer TextMarshaler", (*pointerMarshaler)(nil), nil, 0, pgform.OIDText},

		{"[]string", []string{`a"b`, `c\d`, "", "NULL", "x,y{}"}, `{"a\"b","c\\d","","NULL","x,y{}"}`, 0, 1009},
		{"[]*string", []*string{ptr("a"), nil}, `{"a",NULL}`, 0, 1009},
		{"nil []string", []string(nil), nil, 0, 1009},
		{"empty []string", []string{}, `{}`, 0, 1009},
		{"[]int", []int{1, -2}, "{1,-2}", 0, 1007},
		{"[]int beyond int4", wideInts(1, math.MaxInt64), "{1,9223372036854775807}", 1016, 1016},
		{"[]uint64 beyond int64", []uint64{1, math.MaxUint64}, `{1,"18446744073709551615"}`, 1231, 1231},
		{"[]namedInt", []namedInt{3}, "{3}", 0, 1007},
		{"empty []int", []int{}, "{}", 0, 1007},
		{"nil []int64", []int64(nil), nil, 0, 1007},
		{"array of int", [2]int{1, 2}, "{1,2}", 0, 1007},
		{"pointer to []int", &[]int{1}, "{1}", 0, 1007},
		{"[]rune", []rune("ab"), "{97,98}", 0, 1007},
		{"[]float64", []float64{1e6, math.NaN(), math.Inf(1)}, "{1000000,NaN,Infinity}", 0, 1022},
		{"[]bool", []bool{true, false}, "{true,false}", 1000, 1000},
		{"empty []bool", []bool{}, "{}", 1000, 1000},
		{"[][]byte", [][]byte{{1}, nil, {}}, `{"\\x01",NULL,"\\x"}`, 1001, 1001},
		{"empty [][]byte", [][]byte{}, "{}", 1001, 1001},
		{"[]*[]byte", []*[]byte{{1}}, `{"\\x01"}`, 1001, 1001},
		{"[]time.Time", []time.Time{noon}, `{"2024-02-29 12:00:00.0000015+01:00"}`, 1185, 1185},
		{"[]time.Time of both kinds", []time.Time{naive, noon.UTC()}, `{"2024-02-29 12:00:00+00:00","2024-02-29 11:00:00.0000015+00:00"}`, 1185, 1185},
		{"[]time.Duration", []time.Duration{time.Second}, `{"00:00:01"}`, 1187, 1187},
		{"[][16]byte", [][16]byte{uuid}, `{"` + uuidString + `"}`, 2951, 2951},
		{"[]netip.Addr", []netip.Addr{netip.MustParseAddr("::1")}, `{"::1"}`, 1041, 1041},
		{"[]netip.Prefix", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, `{"10.0.0.0/8"}`, 651, 651},
		{"[]netip.Prefix with host bits", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.0.0.1/8")}, `{"10.0.0.0/8","10.0.0.1/8"}`, 1041, 1041},
		{"[]net.IP", []net.IP{net.IPv4(1, 2, 3, 4), nil}, `{"1.2.3.4",NULL}`, 1041, 1041},
		{"[]*big.Int", []*big.Int{big.NewInt(1), nil}, `{"1",NULL}`, 1231, 1231},
		{"[]json.RawMessage", []json.RawMessage{[]byte(`{"a":"b"}`)}, `{"{\"a\":\"b\"}"}`, 0, 3807},
		{"[]level", []level{1, 2}, `{"level-1","level-2"}`, 0, 1009},
		{"[]Valuer", []stringValuer{{"a"}}, `{"a"}`, 0, 1009},
		{"[]sql.NullInt64", []sql.NullInt64{{Int64: 4, Valid: true}, {}}, `{4,NULL}`, 0, 1007},
		{"Valuer of bytes in a slice", []anyValuer{{[]byte("{}")}}, `{"{}"}`, 0, 1001},
		{"[]any of ints", []any{1, int64(math.MaxInt64), nil}, "{1,9223372036854775807,NULL}", 1016, 1016},
		{"[]any of numbers", []any{1, 2.5}, "{1,2.5}", 0, 1022},
		{"[]any of strings", []any{"a", namedString("b")}, `{"a","b"}`, 0, 1009},
		{"[]any of nil", []any{nil, nil}, `{NULL,NULL}`, 0, 1009},
		{"empty []any", []any{}, `{}`, 0, 1009},
		{"[][]int", [][]int{{1, 2}, {3, 4}}, "{{1,2},{3,4}}", 0, 1007},
		{"[][]int of empty ones", [][]int{{}, {}}, "{}", 0, 1007},
		{"[][]int of nil", [][]int{nil}, "{}", 0, 1007},
		{"[2][1]string", [2][1]string{{"a"}, {"b"}}, `{{"a"},{"b"}}`, 0, 1009},
		{"[]any of slices", []any{[]any{1, nil}, []int{3, 4}}, "{{1,NULL},{3,4}}", 0, 1007},
		{"[][][]bool", [][][]bool{{{true}}}, "{{{true}}}", 1000, 1000},
		{"[]*[]int", []*[]int{{1}, {2}}, "{{1},{2}}", 0, 1007},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m *TypeMap
			got, oid, fallback, err := m.convert(tt.in, 0)
			if err != nil {
				t.Fatal(err)
			}
			if oid != 0 {
				fallback = oid
			}
			if !reflect.DeepEqual(got, tt.want) || oid != tt.oid || fallback != tt.fallback {
				t.Errorf("convert(%#v) = %#v, %d, %d; want %#v, %d, %d", tt.in, got, oid, fallback, tt.want, tt.oid, tt.fallback)
			}
		})
	}

	loop := make([]any, 1)
	loop[0] = loop
	for _, tt := range []struct {
		name string
		in   any
		want []string // words of the error
	}{
		{"NUL in a string", "a\x00b", []string{"NUL", "offset 1", "bytea"}},
		{"NUL in a named string", namedString("\x00"), []string{"NUL"}},
		{"NUL in an element", []string{"ok", "\x00"}, []string{"element 1", "NUL"}},
		{"struct", point{}, []string{"psyco.point", "psyco.JSON[psyco.point]{V: v}", "psyco.Record"}},
		{"*struct", &point{}, []string{"psyco.point", "psyco.JSON"}},
		{"map", map[string]int{}, []string{"map[string]int", "psyco.JSON", "psyco.HStore"}},
		{"slice of structs", []point{{}}, []string{"[]psyco.point", "psyco.JSON", "psyco.CopyRows"}},
		{"slice of maps", []map[string]any{{}}, []string{"[]map[string]interface {}", "psyco.CopyRows"}},
		{"channel", make(chan int), []string{"chan int", "driver.Valuer"}},
		{"func", func() {}, []string{"func()"}},
		{"complex", 1i, []string{"complex128"}},
		{"ragged", [][]int{{1, 2}, {3}}, []string{"element 1", "2 and 1 elements"}},
		{"ragged with nil", [][]int{{1}, nil}, []string{"1 and 0 elements"}},
		{"value beside slice", []any{1, []int{2}}, []string{"element 1", "[]int"}},
		{"slice beside value", []any{[]int{2}, 1}, []string{"element 1", "rectangular"}},
		{"NULL beside slice", []any{[]int{2}, nil}, []string{"element 1", "NULL"}},
		{"string beside int", []any{1, "a"}, []string{"element 1", "string beside int"}},
		{"bytes beside string", []any{"a", []byte("b")}, []string{"[]uint8 beside string"}},
		{"time beside string", []any{"a", time.Now()}, []string{"time.Time beside string"}},
		{"seven dimensions", [][][][][][][]int{{{{{{{1}}}}}}}, []string{"6"}},
		{"slice in itself", loop, []string{"nested more than 6"}},
		{"pointer to itself", cyclic, []string{"leads to itself"}},
		{"Valuer of itself", loopValuer{}, []string{"psyco.loopValuer"}},
		{"Valuer that fails", failingValuer{}, []string{"psyco.failingValuer", "no value today"}},
		{"fraction without end", big.NewRat(1, 3), []string{"1/3", "FloatString"}},
		{"big.Int beyond numeric", new(big.Int).Lsh(big.NewInt(1), 500_000), []string{"*big.Int", "131072"}},
		{"big.Float beyond numeric", new(big.Float).SetMantExp(big.NewFloat(1), 1<<30), []string{"*big.Float", "131072"}},
		{"json.Number that is none", json.Number("1; drop"), []string{"json.Number", "not a number"}},
		{"Numeric that is none", Numeric("€ 5"), []string{"not a number"}},
		{"zoned address", netip.MustParseAddr("fe80::1%eth0"), []string{"zone"}},
		{"net.IP of 3 bytes", net.IP{1, 2, 3}, []string{"3 bytes"}},
		{"net.IPNet with holes", net.IPNet{IP: net.IPv4(1, 2, 3, 4), Mask: net.IPMask{255, 0, 255, 0}}, []string{"mask"}},
		{"infiniband address", make(net.HardwareAddr, 20), []string{"20 bytes", "macaddr8"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m *TypeMap
			v, _, _, err := m.convert(tt.in, 0)
			if err == nil {
				t.Fatalf("adapt gave %#v, want an error", v)
			}
			for _, word := range tt.want {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("error %q does not say %q", err, word)
				}
			}
		})
	}
	if _, _, _, err := (*TypeMap)(nil).convert([]any{failingValuer{}}, 0); !errors.Is(err, errValuer) {
		t.Errorf("the Valuer's own error is lost in %v", err)
	}
}

type celsius float64

type shape interface{ Corners() int }

type square struct{}

func (square) Corners() int { return 4 }

type triangle struct{}

func (*triangle) Corners() int { return 3 }

func TestTypeMap(t *testing.T) {
	m := new(TypeMap)
	RegisterAdapter(m, func(p point) (any, uint32, error) { return fmt.Sprintf("(%d,%d)", p.X, p.Y), 600, nil })
	RegisterAdapter(m, func(c celsius) (any, uint32, error) { return Numeric(fmt.Sprintf("%.2f", float64(c))), 0, nil })
	RegisterAdapter(m, func(s string) (any, uint32, error) { return strings.ToUpper(s), 0, nil })
	RegisterAdapter(m, func(s shape) (any, uint32, error) { return s.Corners(), pgform.OIDInt8, nil })
	RegisterAdapter(m, func(b namedBool) (any, uint32, error) { return nil, 0, errValuer })

	for _, tt := range []struct {
		in   any
		want driver.Value
		oid  uint32
	}{
		{point{1, 2}, "(1,2)", 600},
		{&point{1, 2}, "(1,2)", 600},
		{(*point)(nil), nil, 0},
		{[]point{{1, 2}, {3, 4}}, `{"(1,2)","(3,4)"}`, 1017},
		{[][]point{{{1, 2}}}, `{{"(1,2)"}}`, 1017},
		{[]point{}, `{}`, 0},
		{celsius(21.456), "21.46", pgform.OIDNumeric},
		{"shout", "SHOUT", 0},
		{[]string{"a"}, `{"A"}`, 0},
		{namedString("quiet"), "quiet", 0},
		{square{}, int64(4), pgform.OIDInt8},
		{&triangle{}, int64(3), pgform.OIDInt8},
		{5, int64(5), pgform.OIDInt4},
	} {
		got, oid, _, err := m.convert(tt.in, 0)
		if err != nil || !reflect.DeepEqual(got, tt.want) || oid != tt.oid {
			t.Errorf("convert(%#v) = %#v, %d, %v; want %#v, %d", tt.in, got, oid, err, tt.want, tt.oid)
		}
	}
	if _, _, _, err := m.convert(namedBool(true), 0); !errors.Is(err, errValuer) || !strings.Contains(err.Error(), "psyco.namedBool") {
		t.Errorf("an adapter's error became %v", err)
	}

	RegisterAdapter(m, func(square) (any, uint32, error) { return "square", 0, nil })
	if got, _, _, err := m.convert(square{}, 0); err != nil || got != "SQUARE" {
		t.Errorf("a type's own adapter lost to its interface's: %v, %v", got, err)
	}
}

func TestTypeMapConcurrent(t *testing.T) {
	m := new(TypeMap)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				RegisterAdapter(m, func(p point) (any, uint32, error) { return "p", 600, nil })
				if _, oid, _, err := m.convert(point{}, 0); err != nil || oid != 600 {
					t.Errorf("adapt lost the registration: %d, %v", oid, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestAdaptAllocations holds adapt to what boxing an int costs.
func TestAdaptAllocations(t *testing.T) {
	var m *TypeMap
	noon := time.Now()
	for _, tt := range []struct {
		in   any
		most float64
	}{
		{int64(1 << 40), 0}, {"a string", 0}, {true, 0}, {3.5, 0}, {[]byte("bytes"), 0}, {noon, 0}, {nil, 0},
		{wideInt(1 << 40), 1}, {7, 0},
	} {
		if n := testing.AllocsPerRun(100, func() { m.convert(tt.in, 0) }); n > tt.most {
			t.Errorf("convert(%T) allocates %v times, want at most %v", tt.in, n, tt.most)
		}
	}
}

func BenchmarkAdapt(b *testing.B) {
	var m *TypeMap
	for _, in := range []any{7, int64(1 << 40), "a string", true, time.Now(), []int64{1, 2, 3, 4, 5, 6, 7, 8}, []string{"a", "b", "c"}} {
		b.Run(fmt.Sprintf("%T", in), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, _, err := m.convert(in, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// wideInt is n as an int, where an int holds it.
func wideInt(n int64) any {
	if int64(int(n)) != n {
		return n
	}
	return int(n)
}

// wideInts is a slice of ints, where they hold the numbers.
func wideInts(numbers ...int64) any {
	var ints []int
	for _, n := range numbers {
		if int64(int(n)) != n {
			return numbers
		}
		ints = append(ints, int(n))
	}
	return ints
}
