package psyco

import (
	"database/sql"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testsize"
)

// openValues opens a database in which the types of the value tests exist.
// It uses plain lib/pq, so that what is tested is the types alone.
func openValues(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", pgserver.TestDSN(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for _, query := range []string{
		"CREATE EXTENSION hstore",
		"CREATE TYPE triple AS (name text, number int8, at timestamptz)",
		"CREATE TYPE outer_triple AS (inside triple, numbers int4[])",
	} {
		if _, err := db.Exec(query); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

// property says that values of T and of a server's type survive both ways.
type property[T any] struct {
	sqlType string
	// random makes a value from anywhere in the type's range, its edges included.
	random func(*rand.Rand) T
	// server is an SQL expression for a random value of the type; empty if there is none worth it.
	server string
	// equal compares; nil is reflect.DeepEqual.
	equal func(a, b T) bool
}

var propertyValues = testsize.Cases(1_000, 10_000)

const (
	propertyBatch = 500 // values in a query
	propertyRow   = 20  // values in the inner arrays of a nested one
)

func (p property[T]) test(t *testing.T, db *sql.DB) {
	t.Helper()
	if p.equal == nil {
		p.equal = func(a, b T) bool { return reflect.DeepEqual(a, b) }
	}
	t.Run(fmt.Sprintf("%s as %T", p.sqlType, *new(T)), func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(1, 2))
		for range propertyValues / propertyBatch {
			values := make([]T, propertyBatch)
			for i := range values {
				values[i] = p.random(rnd)
			}
			p.scalars(t, db, values)
			p.arrays(t, db, values)
			p.nested(t, db, values)
			if t.Failed() {
				return
			}
		}
		if p.server != "" {
			p.fromServer(t, db)
		}
	})
}

func (p property[T]) compare(t *testing.T, how string, got, want []T) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values became %d", how, len(want), len(got))
	}
	for i := range want {
		if !p.equal(got[i], want[i]) {
			t.Fatalf("%s: %#v became %#v", how, want[i], got[i])
		}
	}
}

// scalars sends each value as a parameter of its own and reads each from a row of its own.
func (p property[T]) scalars(t *testing.T, db *sql.DB, values []T) {
	t.Helper()
	var query strings.Builder
	args := make([]any, len(values))
	for i, v := range values {
		value, _, _, err := (*TypeMap)(nil).convert(v, 0)
		if err != nil {
			t.Fatalf("adapt(%#v): %v", v, err)
		}
		args[i] = value
		if i > 0 {
			query.WriteString(", ")
		}
		fmt.Fprintf(&query, "($%d::%s)", i+1, p.sqlType)
	}
	p.compare(t, "scalar", collect[T](t, db, "VALUES "+query.String(), args...), values)
}

func collect[T any](t *testing.T, db *sql.DB, query string, args ...any) []T {
	t.Helper()
	rows, err := db.Query(query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []T
	for rows.Next() {
		var v T
		if err := rows.Scan(Into(&v)); err != nil {
			t.Fatal(err)
		}
		got = append(got, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return got
}

func (p property[T]) arrays(t *testing.T, db *sql.DB, values []T) {
	t.Helper()
	var got Array[T]
	if err := db.QueryRow("SELECT $1::"+p.sqlType+"[]", Array[T](values)).Scan(&got); err != nil {
		t.Fatal(err)
	}
	p.compare(t, "array", got, values)
}

func (p property[T]) nested(t *testing.T, db *sql.DB, values []T) {
	t.Helper()
	var got Array[[]T]
	sent := Array[[]T](slices.Collect(slices.Chunk(values, propertyRow)))
	if err := db.QueryRow("SELECT $1::"+p.sqlType+"[][]", sent).Scan(&got); err != nil {
		t.Fatal(err)
	}
	p.compare(t, "nested array", slices.Concat(got...), values)
}

// fromServer reads values that the server made, sends them back, and lets the server compare.
func (p property[T]) fromServer(t *testing.T, db *sql.DB) {
	t.Helper()
	if _, err := db.Exec("DROP TABLE IF EXISTS random_values; CREATE TABLE random_values AS SELECT n, (" + p.server + ")::" + p.sqlType +
		fmt.Sprintf(" AS v FROM generate_series(1, %d) n", propertyValues)); err != nil {
		t.Fatal(err)
	}
	values := collect[T](t, db, "SELECT v FROM random_values ORDER BY n")
	var arrays Array[T]
	if err := db.QueryRow("SELECT array_agg(v ORDER BY n) FROM random_values").Scan(&arrays); err != nil {
		t.Fatal(err)
	}
	p.compare(t, "array from the server", arrays, values)

	var changed sql.Null[string]
	var n int
	err := db.QueryRow(`SELECT count(*), min(r.v::text || ' became ' || s.v::text) FILTER (WHERE r.v::text <> s.v::text)
		FROM random_values r JOIN (SELECT unnest($1::`+p.sqlType+`[]) v, generate_series(1, count(*)) n FROM random_values) s USING (n)`, arrays).Scan(&n, &changed)
	if err != nil {
		t.Fatal(err)
	}
	if n != propertyValues || changed.Valid {
		t.Errorf("of %d values %d came back; %q", propertyValues, n, changed.V)
	}
}

// A sample takes an edge case now and then, else a random value.
func sample[T any](rnd *rand.Rand, edges []T, random func() T) T {
	if rnd.IntN(8) == 0 {
		return edges[rnd.IntN(len(edges))]
	}
	return random()
}

func randomInt64(rnd *rand.Rand) int64 {
	return sample(rnd, []int64{0, -1, 1, math.MaxInt32, math.MaxInt32 + 1, math.MinInt32, math.MaxInt64, math.MinInt64},
		func() int64 { return int64(rnd.Uint64()) >> rnd.IntN(64) })
}

func randomInt32(rnd *rand.Rand) int32 {
	return sample(rnd, []int32{0, -1, 1, math.MaxInt32, math.MinInt32}, func() int32 { return int32(rnd.Uint32()) >> rnd.IntN(32) })
}

// randomText leans to the characters that some text format gives a meaning to.
func randomText(rnd *rand.Rand) string {
	special := []string{"", "NULL", "null", "empty", `\`, `"`, `'`, `""`, "{", "}", "[", "]", "(", ")", ",", ";", "=>", " ", "\t", "\n", "\v", "\x01", "ä", "🐘", "\u2028", `\x41`, "a", "b", "0"}
	var b strings.Builder
	for range rnd.IntN(8) {
		b.WriteString(special[rnd.IntN(len(special))])
	}
	return b.String()
}

// randomMicros is a time between 4713 BC and 294276, the server's range, to the microsecond.
func randomMicros(rnd *rand.Rand) time.Time {
	first := time.Date(-4712, 1, 1, 0, 0, 0, 0, time.UTC)
	last := time.Date(294276, 12, 31, 23, 59, 59, 999999000, time.UTC)
	return sample(rnd, []time.Time{first, last, {}, time.Date(0, 2, 29, 23, 59, 59, 999999000, time.UTC), time.Date(-4, 2, 29, 0, 0, 0, 0, time.UTC), time.Unix(0, 0)},
		func() time.Time {
			year := 1800 + rnd.Int64N(400)
			if rnd.IntN(2) == 0 {
				year = int64(first.Year()) + 1 + rnd.Int64N(int64(last.Year()-first.Year()-1))
			}
			t := time.Date(int(year), 1, 1, 0, 0, 0, int(rnd.Int64N(1e6)*1000), time.UTC).Add(time.Duration(rnd.Int64N(365*86400)) * time.Second)
			return t.In(time.FixedZone("random", int(rnd.Int64N(2*15*3600)-15*3600)))
		})
}

func randomNumeric(rnd *rand.Rand) Numeric {
	return sample(rnd, []Numeric{"0", "NaN", "Infinity", "-Infinity", "0.00", Numeric("-1" + strings.Repeat("0", 200) + "." + strings.Repeat("7", 300))},
		func() Numeric {
			n := new(big.Int).SetUint64(rnd.Uint64())
			n.Mul(n, new(big.Int).SetUint64(rnd.Uint64()>>rnd.IntN(64)))
			digits := fmt.Sprintf("%030s", n)
			cut := rnd.IntN(30)
			whole := strings.TrimLeft(digits[:len(digits)-cut], "0")
			text := max(whole, "0")
			if cut > 0 {
				text += "." + digits[len(digits)-cut:]
			}
			if rnd.IntN(2) == 0 && strings.Trim(text, "0.") != "" {
				text = "-" + text
			}
			return Numeric(text)
		})
}

func randomDate(rnd *rand.Rand) Date {
	return sample(rnd, []Date{{Infinity: 1}, {Infinity: -1}, {Year: -4712, Month: 1, Day: 1}, {Year: 5874897, Month: 12, Day: 31}, {Year: 0, Month: 2, Day: 29}},
		func() Date { return DateOf(randomMicros(rnd)) })
}

// intervals gives random intervals that a server of that version can hold.
func intervals(version int) func(*rand.Rand) Interval {
	return func(rnd *rand.Rand) Interval {
		return Interval{randomInt32(rnd), randomInt32(rnd), pgserver.IntervalMicros(version, randomInt64(rnd))}
	}
}

func randomPrefix(rnd *rand.Rand) netip.Prefix {
	var b [16]byte
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	addr := netip.AddrFrom16(b)
	if rnd.IntN(2) == 0 {
		addr = netip.AddrFrom4([4]byte(b[:4]))
	}
	return netip.PrefixFrom(addr, rnd.IntN(addr.BitLen()+1))
}

// randomRange makes what the server has as normal form: discrete ranges are [),
// no empty ones with bounds.
func randomRange[T any](rnd *rand.Rand, discrete bool, pair func() (lower, upper T)) Range[T] {
	if rnd.IntN(10) == 0 {
		return Range[T]{Empty: true}
	}
	var r Range[T]
	lower, upper := pair()
	if r.LowerInf = rnd.IntN(5) == 0; !r.LowerInf {
		r.Lower, r.LowerInc = lower, discrete || rnd.IntN(2) == 0
	}
	if r.UpperInf = rnd.IntN(5) == 0; !r.UpperInf {
		r.Upper, r.UpperInc = upper, !discrete && rnd.IntN(2) == 0
	}
	return r
}

func randomIntRange(rnd *rand.Rand) Range[int64] {
	return randomRange(rnd, true, func() (int64, int64) {
		a := rnd.Int64N(1000) - 500
		return a, a + 1 + rnd.Int64N(1000)
	})
}

type triple struct {
	Name   *string
	Number sql.Null[int64]
	At     time.Time
}

type outerTriple struct {
	Inside  triple
	Numbers []int32
}

func randomTriple(rnd *rand.Rand) triple {
	v := triple{At: randomMicros(rnd)}
	if rnd.IntN(4) > 0 {
		v.Name = ptr(randomText(rnd))
	}
	if rnd.IntN(4) > 0 {
		v.Number = sql.Null[int64]{V: randomInt64(rnd), Valid: true}
	}
	return v
}

func equalTriple(a, b triple) bool {
	return a.At.Equal(b.At) && a.Number == b.Number && reflect.DeepEqual(a.Name, b.Name)
}

func TestValuesSurvive(t *testing.T) {
	db := openValues(t)
	randomInterval := intervals(pgserver.Version(t, db))
	property[bool]{"bool", func(r *rand.Rand) bool { return r.IntN(2) == 0 }, "random() < 0.5", nil}.test(t, db)
	property[int32]{"int4", randomInt32, "(random() * 4294967295 - 2147483648)::int8", nil}.test(t, db)
	property[int64]{"int8", randomInt64, "((random() - 0.5) * 1.8e19)::int8", nil}.test(t, db)
	property[uint64]{"numeric", (*rand.Rand).Uint64, "", nil}.test(t, db)
	property[*big.Int]{"numeric", func(r *rand.Rand) *big.Int {
		return new(big.Int).Lsh(big.NewInt(randomInt64(r)), uint(r.IntN(500)))
	}, "", func(a, b *big.Int) bool { return a.Cmp(b) == 0 }}.test(t, db)
	property[*big.Rat]{"numeric", func(r *rand.Rand) *big.Rat {
		return big.NewRat(randomInt64(r), 1<<r.IntN(40))
	}, "", func(a, b *big.Rat) bool { return a.Cmp(b) == 0 }}.test(t, db)
	property[Numeric]{"numeric", randomNumeric, "(random() - 0.5)::numeric * (10::numeric ^ (n % 60))", nil}.test(t, db)
	property[float64]{"float8", func(r *rand.Rand) float64 {
		return sample(r, []float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64},
			func() float64 {
				f := math.Float64frombits(r.Uint64())
				return f
			})
	}, "(random() - 0.5) * 10.0 ^ (n % 300)", func(a, b float64) bool {
		return math.Float64bits(a) == math.Float64bits(b) || a != a && b != b
	}}.test(t, db)
	property[float32]{"float4", func(r *rand.Rand) float32 { return math.Float32frombits(r.Uint32() &^ (1 << 30)) }, "",
		func(a, b float32) bool { return a == b || a != a && b != b }}.test(t, db)
	property[string]{"text", randomText, `translate(md5(n::text), '0123456789', '"\ {},()''' || chr(n))`, nil}.test(t, db)
	property[*string]{"text", func(r *rand.Rand) *string {
		return sample(r, []*string{nil}, func() *string { return ptr(randomText(r)) })
	}, "", nil}.test(t, db)
	property[[]byte]{"bytea", func(r *rand.Rand) []byte {
		b := make([]byte, r.IntN(20))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}, "decode(md5(n::text), 'hex')", nil}.test(t, db)
	property[[16]byte]{"uuid", func(r *rand.Rand) (b [16]byte) {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}, "gen_random_uuid()", nil}.test(t, db)
	property[time.Time]{"timestamptz", randomMicros, "'epoch'::timestamptz + (random() - 0.01) * 200000 * interval '1 year'", time.Time.Equal}.test(t, db)
	property[Timestamp]{"timestamp", func(r *rand.Rand) Timestamp {
		return sample(r, []Timestamp{{Infinity: 1}, {Infinity: -1}}, func() Timestamp { return Timestamp{Time: randomMicros(r).UTC()} })
	}, "CASE WHEN n % 100 = 0 THEN 'infinity' ELSE 'epoch'::timestamp + (random() - 0.01) * 200000 * interval '1 year' END", equalTimestamp}.test(t, db)
	property[Timestamp]{"timestamptz", func(r *rand.Rand) Timestamp {
		return sample(r, []Timestamp{{Infinity: 1}, {Infinity: -1}}, func() Timestamp { return Timestamp{Time: randomMicros(r)} })
	}, "", equalTimestamp}.test(t, db)
	property[Date]{"date", randomDate, "CASE WHEN n % 100 = 0 THEN '-infinity' ELSE '4713-01-01 BC'::date + (random() * 2000000)::int END", nil}.test(t, db)
	property[Interval]{"interval", randomInterval, "make_interval(0, (random() * 100 - 50)::int, 0, (random() * 100 - 50)::int, 0, 0, (random() - 0.5) * 1000000)", nil}.test(t, db)
	property[time.Duration]{"interval", func(r *rand.Rand) time.Duration {
		return time.Duration(randomInt64(r)/int64(time.Microsecond)) * time.Microsecond
	}, "", nil}.test(t, db)
	property[Inet]{"inet", func(r *rand.Rand) Inet { return Inet{randomPrefix(r)} }, "set_masklen('10.0.0.0'::inet + (random() * 16000000)::int8, n % 33)", nil}.test(t, db)
	property[netip.Addr]{"inet", func(r *rand.Rand) netip.Addr { return randomPrefix(r).Addr() }, "'::'::inet + (random() * 1e18)::int8", nil}.test(t, db)
	property[netip.Prefix]{"cidr", func(r *rand.Rand) netip.Prefix { return randomPrefix(r).Masked() }, "network(set_masklen('10.0.0.0'::inet + (random() * 16000000)::int8, n % 33))", nil}.test(t, db)
	property[net.HardwareAddr]{"macaddr", func(r *rand.Rand) net.HardwareAddr {
		b := make(net.HardwareAddr, 6)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}, "left(md5(n::text), 12)", nil}.test(t, db)
	property[JSON[any]]{"json", randomJSON, "", nil}.test(t, db)
	property[JSON[any]]{"jsonb", randomJSON, "jsonb_build_object('n', n, 'a', ARRAY[n::text, null, '\"\\{}'])", nil}.test(t, db)
	property[Range[int64]]{"int8range", randomIntRange, "CASE WHEN n % 9 = 0 THEN 'empty' ELSE int8range(NULLIF(n, n / 5 * 5), n + (random() * 10)::int + 1) END", nil}.test(t, db)
	property[Range[Numeric]]{"numrange", func(r *rand.Rand) Range[Numeric] {
		return randomRange(r, false, func() (Numeric, Numeric) {
			return Numeric(fmt.Sprint(-r.Int64N(1e9), ".50")), Numeric(fmt.Sprint(1+r.Int64N(1e9), ".250"))
		})
	}, "", nil}.test(t, db)
	property[Range[Date]]{"daterange", func(r *rand.Rand) Range[Date] {
		return randomRange(r, true, func() (Date, Date) {
			return Date{Year: -int(r.Int64N(4000)), Month: 2, Day: 28}, sample(r, []Date{{Infinity: 1}}, func() Date { return Date{Year: 1 + int(r.Int64N(9999)), Month: 1, Day: 2} })
		})
	}, "daterange('2000-01-01', '2000-01-02'::date + n)", nil}.test(t, db)
	property[Range[Timestamp]]{"tstzrange", func(r *rand.Rand) Range[Timestamp] {
		return randomRange(r, false, func() (Timestamp, Timestamp) {
			lower := time.Unix(-r.Int64N(1e10), 123456000)
			return Timestamp{Time: lower}, Timestamp{Time: lower.Add(time.Duration(1+r.Int64N(1e9)) * time.Millisecond)}
		})
	}, "tstzrange('epoch', 'epoch'::timestamptz + random() * interval '100 years', '[]')", func(a, b Range[Timestamp]) bool {
		ok := equalTimestamp(a.Lower, b.Lower) && equalTimestamp(a.Upper, b.Upper)
		a.Lower, a.Upper, b.Lower, b.Upper = Timestamp{}, Timestamp{}, Timestamp{}, Timestamp{}
		return ok && a == b
	}}.test(t, db)
	property[Multirange[int64]]{"int8multirange", func(r *rand.Rand) Multirange[int64] {
		m := Multirange[int64]{}
		lower := int64(0)
		for range r.IntN(4) {
			lower += 2 + r.Int64N(100)
			m = append(m, Range[int64]{Lower: lower, Upper: lower + 1, LowerInc: true})
		}
		return m
	}, "int8multirange(int8range(n, n + 2), int8range(n + 5, NULL))", nil}.test(t, db)
	property[HStore]{"hstore", func(r *rand.Rand) HStore {
		h := HStore{}
		for range r.IntN(4) {
			h[randomText(r)] = sample(r, []sql.Null[string]{{}}, func() sql.Null[string] { return sql.Null[string]{V: randomText(r), Valid: true} })
		}
		return h
	}, `hstore(ARRAY['a"b\', n::text], ARRAY[NULL, md5(n::text)])`, nil}.test(t, db)
	property[Record[triple]]{"triple", func(r *rand.Rand) Record[triple] { return Record[triple]{V: randomTriple(r)} },
		`ROW(chr(n % 127 + 1) || '"\,()', n, 'epoch'::timestamptz + n * interval '1 day')`,
		func(a, b Record[triple]) bool { return equalTriple(a.V, b.V) }}.test(t, db)
	property[Record[outerTriple]]{"outer_triple", func(r *rand.Rand) Record[outerTriple] {
		return Record[outerTriple]{V: outerTriple{randomTriple(r), []int32{randomInt32(r), randomInt32(r)}}}
	}, "", func(a, b Record[outerTriple]) bool {
		return equalTriple(a.V.Inside, b.V.Inside) && slices.Equal(a.V.Numbers, b.V.Numbers)
	}}.test(t, db)
	property[sql.Null[Interval]]{"interval", func(r *rand.Rand) sql.Null[Interval] {
		return sample(r, []sql.Null[Interval]{{}}, func() sql.Null[Interval] { return sql.Null[Interval]{V: randomInterval(r), Valid: true} })
	}, "", nil}.test(t, db)
	property[sql.NullTime]{"timestamptz", func(r *rand.Rand) sql.NullTime {
		return sample(r, []sql.NullTime{{}}, func() sql.NullTime { return sql.NullTime{Time: randomMicros(r), Valid: true} })
	}, "", func(a, b sql.NullTime) bool { return a.Valid == b.Valid && a.Time.Equal(b.Time) }}.test(t, db)
}

func equalTimestamp(a, b Timestamp) bool { return a.Infinity == b.Infinity && a.Time.Equal(b.Time) }

func randomJSON(r *rand.Rand) JSON[any] {
	text := strings.ReplaceAll(randomText(r), "\x00", "")
	return sample(r, []JSON[any]{{V: "x"}, {V: 1.5}, {V: true}, {V: []any{}}}, func() JSON[any] {
		return JSON[any]{V: map[string]any{text: []any{text, nil, float64(r.IntN(1000)), map[string]any{}}}}
	})
}
