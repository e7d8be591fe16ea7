package bulk_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testdb"
	"github.com/psyco-go/psyco/internal/testsize"
)

// TestCopyRowsValues loads each value in the binary and in the text format.
func TestCopyRowsValues(t *testing.T) {
	ctx := context.Background()
	dsn := pgserver.TestDSN(t) + " TimeZone=Asia/Kolkata"
	db := open(t, dsn)
	mustExec(t, db, `CREATE TYPE mood AS ENUM ('sad', 'it''s "ok"');
		CREATE DOMAIN small AS int CHECK (VALUE < 10);
		CREATE DOMAIN smaller AS small CHECK (VALUE < 5);
		CREATE DOMAIN moods AS mood[];
		CREATE TYPE pair AS (a int, b text)`)
	type named int16
	type document struct {
		A int    `json:"a"`
		B string `json:"b"`
	}
	zone := time.FixedZone("", -(3*3600 + 1800))
	at := time.Date(2024, 2, 29, 23, 59, 58, 123456700, zone)
	seven := 7
	uuid := [16]byte{0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11}
	const uuidText = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
	for _, tt := range []struct {
		typ   string
		value any
		want  string
	}{
		{"bool", true, "true"}, {"bool", "f", "false"}, {"bool", sql.NullBool{}, "<nil>"},
		{"int2", int16(-32768), "-32768"}, {"int2", uint8(255), "255"}, {"int4", math.MinInt32, "-2147483648"},
		{"int4", named(3), "3"}, {"int4", &seven, "7"}, {"int4", (*int)(nil), "<nil>"}, {"int4", "12", "12"}, {"int4", 2.0, "2"},
		{"int4", sql.Null[int64]{V: 5, Valid: true}, "5"}, {"int4", wordy("8"), "8"},
		{"int8", int64(math.MaxInt64), "9223372036854775807"}, {"int8", uint64(1) << 62, "4611686018427387904"}, {"int8", []byte("4"), "4"},
		{"oid", uint32(math.MaxUint32), "4294967295"},
		{"float4", float32(1.1), "1.1"}, {"float4", 1.1, "1.1"}, {"float8", math.Inf(-1), "-Infinity"}, {"float8", math.NaN(), "NaN"},
		{"float8", 1e-300, "1e-300"}, {"float8", 3, "3"}, {"float8", "2.5e3", "2500"},
		{"numeric", 0, "0"}, {"numeric", -10_000, "-10000"}, {"numeric", int64(math.MinInt64), "-9223372036854775808"},
		{"numeric", "123456789.00123000", "123456789.00123000"}, {"numeric", psyco.Numeric("-0.000001"), "-0.000001"}, {"numeric", "1.5e10", "15000000000"},
		{"numeric", "1e-10", "0.0000000001"}, {"numeric", "NaN", "NaN"}, {"numeric", "-Infinity", "-Infinity"}, {"numeric", 0.1, "0.1"}, {"numeric", "000.00", "0.00"},
		{"numeric", new(big.Int).Exp(big.NewInt(10), big.NewInt(40), nil), "1" + strings.Repeat("0", 40)}, {"numeric", big.NewRat(1, 8), "0.125"},
		{"numeric(6,2)", "1234.567", "1234.57"}, {"numeric", uint64(math.MaxUint64), "18446744073709551615"},
		{"text", "tab\tline\nback\\slash\rquote'", "tab\tline\nback\\slash\rquote'"}, {"text", "", ""}, {"text", `\N`, `\N`}, {"text", `\.`, `\.`},
		{"text", []byte("bytes"), "bytes"}, {"text", 5, "5"}, {"text", true, "true"}, {"text", []byte(nil), "<nil>"},
		{"varchar(3)", "abc", "abc"}, {"char(3)", "a", "a"}, {"name", "n", "n"},
		{"bytea", []byte{0, 1, 255}, `\x0001ff`}, {"bytea", []byte{}, `\x`}, {"bytea", `\x4142`, `\x4142`}, {"bytea", "AB", `\x4142`}, {"bytea", uuid, `\xa0eebc999c0b4ef8bb6d6bb9bd380a11`},
		{"bytea", [3]byte{1, 2, 3}, `\x010203`},
		{"uuid", uuid, uuidText}, {"uuid", uuidText, uuidText}, {"uuid", "{A0EEBC999C0B4EF8BB6D6BB9BD380A11}", uuidText},
		{"date", at, "2024-02-29"}, {"date", psyco.Date{Year: 0, Month: 2, Day: 29}, "0001-02-29 BC"}, {"date", psyco.Date{Infinity: -1}, "-infinity"}, {"date", "1999-12-31", "1999-12-31"}, {"date", psyco.Timestamp{Infinity: 1}, "infinity"},
		{"time", at, "23:59:58.123457"}, {"time", "24:00:00", "24:00:00"}, {"time", 90 * time.Minute, "01:30:00"}, {"time", "12:34:56.5", "12:34:56.5"},
		{"timestamp", at, "2024-02-29 23:59:58.123457"}, {"timestamp", psyco.Timestamp{Infinity: 1}, "infinity"}, {"timestamp", "2024-01-02 03:04:05.5", "2024-01-02 03:04:05.5"},
		{"timestamp", time.Date(-43, 3, 15, 0, 0, 0, 0, time.UTC), "0044-03-15 00:00:00 BC"}, {"timestamp", psyco.Date{Year: 2024, Month: 1, Day: 2}, "2024-01-02 00:00:00"},
		{"timestamptz", at, "2024-03-01 08:59:58.123457+05:30"}, {"timestamptz", psyco.Timestamp{Infinity: -1}, "-infinity"}, {"timestamptz", "2024-01-02 03:04:05+00", "2024-01-02 08:34:05+05:30"},
		{"timestamptz", "2024-01-02T03:04:05Z", "2024-01-02 08:34:05+05:30"}, {"timestamptz", sql.NullTime{Time: at, Valid: true}, "2024-03-01 08:59:58.123457+05:30"},
		{"interval", 90 * time.Minute, "01:30:00"}, {"interval", psyco.Interval{Months: 14, Days: -3, Microseconds: 1}, "1 year 2 mons -3 days +00:00:00.000001"}, {"interval", "1 day", "1 day"},
		{"json", `{"a": 1}`, `{"a": 1}`}, {"json", []byte(`[1]`), `[1]`}, {"jsonb", document{1, "x\ty"}, `{"a": 1, "b": "x\ty"}`}, {"jsonb", map[string]any{"k": []int{1}}, `{"k": [1]}`},
		{"jsonb", []int{1, 2}, `[1, 2]`}, {"jsonb", psyco.JSON[[]int]{V: nil}, "null"}, {"jsonb", &document{2, ""}, `{"a": 2, "b": ""}`}, {"json", (*document)(nil), "<nil>"}, {"jsonb", map[string]int(nil), "<nil>"}, {"jsonb", 1.5, "1.5"},
		{"inet", netip.MustParseAddr("10.1.2.3"), "10.1.2.3/32"}, {"inet", netip.MustParsePrefix("2001:db8::1/32"), "2001:db8::1/32"}, {"inet", "127.0.0.1/8", "127.0.0.1/8"}, {"inet", netip.Addr{}, "<nil>"},
		{"cidr", netip.MustParsePrefix("10.0.0.0/8"), "10.0.0.0/8"}, {"cidr", "::1", "::1/128"},
		{"mood", "sad", "sad"}, {"mood", `it's "ok"`, `it's "ok"`}, {"smaller", 4, "4"}, {"moods", []string{"sad", `it's "ok"`}, `{sad,"it's \"ok\""}`},
		{"int4[]", []int{1, -2}, "{1,-2}"}, {"int4[]", []int(nil), "<nil>"}, {"int4[]", []int{}, "{}"}, {"int8[]", [][]int64{{1, 2}, {3, 4}}, "{{1,2},{3,4}}"},
		{"int2[]", pq.Int64Array{1, 2}, "{1,2}"}, {"text[]", []string{"a,b", `"`, "", "NULL", `\`}, `{"a,b","\"","","NULL","\\"}`}, {"text[]", []*string{nil}, "{NULL}"}, {"text[]", "{a,NULL}", "{a,NULL}"},
		{"bytea[]", [][]byte{{1}, {}}, `{"\\x01","\\x"}`}, {"timestamptz[]", []time.Time{at}, `{"2024-03-01 08:59:58.123457+05:30"}`}, {"date[]", []time.Time{at}, "{2024-02-29}"},
		{"uuid[]", [][16]byte{uuid}, "{" + uuidText + "}"}, {"numeric[]", []psyco.Numeric{"1.50"}, "{1.50}"}, {"jsonb[]", []string{`{"a":1}`}, `{"{\"a\": 1}"}`}, {"bool[]", []bool{true}, "{t}"},
		{"float8[]", []float64{1.5, math.Inf(1)}, "{1.5,Infinity}"}, {"small[]", []int{1}, "{1}"}, {"mood[]", psyco.Array[string]{"sad"}, "{sad}"}, {"interval[]", []time.Duration{time.Second}, "{00:00:01}"}, {"inet[]", []netip.Addr{netip.MustParseAddr("::1")}, "{::1}"},
		// What the elements are is up to the column, in both formats.
		{"int4[]", []any{1, "2", nil}, "{1,2,NULL}"}, {"int4[]", []float64{3}, "{3}"}, {"text[]", [][]byte{[]byte(`a\b"`)}, `{"a\\b\""}`}, {"text[]", []any{1, true}, "{1,true}"},
		{"jsonb[]", []map[string]int{{"a": 1}, nil}, `{"{\"a\": 1}",NULL}`}, {"jsonb[]", []any{document{1, "x"}, "[]"}, `{"{\"a\": 1, \"b\": \"x\"}",[]}`},
		{"int4[]", sql.Null[[]int]{V: []int{1}, Valid: true}, "{1}"}, {"int4[]", sql.Null[[]int]{}, "<nil>"}, {"int4[]", &[]int{1}, "{1}"}, {"int4[]", (*[]int)(nil), "<nil>"}, {"int4[]", [2]int16{1, 2}, "{1,2}"},
		{"int4[]", [][]int{{}, {}}, "{}"}, {"text[]", []any{[]string{"a"}, []any{nil}}, "{{a},{NULL}}"}, {"bytea[]", [][][]byte{{{1}}, {nil}}, `{{"\\x01"},{NULL}}`},
		{"interval[]", []psyco.Interval{{Days: 1}}, `{"1 day"}`}, {"date[]", []psyco.Date{{Infinity: 1}}, "{infinity}"}, {"mood[]", []any{"sad", `it's "ok"`}, `{sad,"it's \"ok\""}`},
		// Without an encoder: as text in both.
		{"point", "(1,2)", "(1,2)"}, {"pair", psyco.Record[struct {
			A int
			B string
		}]{V: struct {
			A int
			B string
		}{1, "x y"}}, `(1,"x y")`}, {"int4range", psyco.Range[int]{Lower: 1, Upper: 5, LowerInc: true}, "[1,5)"}, {"macaddr", "08:00:2b:01:02:03", "08:00:2b:01:02:03"},
		{"bit(3)", "101", "101"}, {"int2vector", "1 2", "1 2"}, {"money", "12.50", "$12.50"}, {"pair[]", `{"(1,a)"}`, `{"(1,a)"}`}, {"timetz", "10:00:00+01", "10:00:00+01"}, {"xml", "<a/>", "<a/>"},
	} {
		mustExec(t, db, "CREATE TABLE v (x "+tt.typ+")")
		for name, opts := range map[string][]psyco.CopyOption{"binary": nil, "text": {psyco.CopyTextFormat()}} {
			mustExec(t, db, "TRUNCATE v")
			n, err := psyco.CopyRows(ctx, db, psyco.Identifier{"v"}, []string{"x"}, psyco.SliceRows([][]any{{tt.value}}), opts...)
			if err != nil || n != 1 {
				t.Errorf("%s: %s of %T %v: %d rows, %v", name, tt.typ, tt.value, tt.value, n, err)
				continue
			}
			if got := all(t, db, "SELECT x::text FROM v")[0]; got != tt.want {
				t.Errorf("%s: %s of %T %v: got %q, want %q", name, tt.typ, tt.value, tt.value, got, tt.want)
			}
		}
		mustExec(t, db, "DROP TABLE v")
	}
}

type wordy string // has a text form of its own

func (w wordy) MarshalText() ([]byte, error) { return []byte(w), nil }

func TestCopyRowsErrors(t *testing.T) {
	ctx := context.Background()
	db, same := copyConn(t)
	mustExec(t, db, `CREATE TABLE t (i int, s text, f real, n numeric, b bool, u uuid, d date, z timestamptz, c time, v interval, a int[], x inet, y bytea, j jsonb)`)
	good := []any{1, "x", 1.5, "1", true, nil, nil, nil, nil, nil, nil, nil, nil, nil}
	columns := []string{"i", "s", "f", "n", "b", "u", "d", "z", "c", "v", "a", "x", "y", "j"}
	for _, tt := range []struct {
		column string
		value  any
		want   string
	}{
		{"i", "abc", `"abc" is not a valid int4`}, {"i", int64(1 << 40), "out of the range of int4"}, {"i", 1.5, "is not a valid int4"}, {"i", true, "is not a valid int4"}, {"i", time.Time{}, "time.Time does not fit the type int4"},
		{"i", uint64(math.MaxUint64), "is not a valid int4"}, {"i", math.NaN(), "is not a valid int4"}, {"i", struct{ A int }{}, "is a struct"}, {"i", make(chan int), "chan int cannot become"}, {"i", []int{1}, "[]int does not fit the type int4"},
		{"s", "a\x00b", "NUL byte"}, {"s", []byte("\x00"), "NUL byte"}, {"f", 1e300, "out of the range of float4"}, {"f", "1x", "is not a valid float4"}, {"f", 1e-300, "out of the range"},
		{"n", "1,5", "is not a valid numeric"}, {"n", "1e200000", "out of numeric's range"}, {"n", "1e-20000", "out of numeric's range"}, {"n", "0e-20000", "out of numeric's range"}, {"n", true, "is not a valid numeric"},
		{"b", 1, "is not a valid bool"}, {"b", "maybe", "is not a valid bool"}, {"u", "123", "is not a valid uuid"}, {"u", 5, "is not a valid uuid"},
		{"d", "tomorrow", "is not a valid date"}, {"d", "12:00:00", "is not a valid date"}, {"d", 5, "is not a valid date"}, {"z", "2024-01-02 03:04:05", "has no offset"}, {"z", 5, "is not a valid timestamptz"},
		{"z", psyco.Date{Year: 2024, Month: 1, Day: 1}, "has no offset"}, {"z", time.Unix(1<<60, 0), "out of the range"}, {"d", time.Unix(1<<55, 0), "out of the range"},
		{"c", 25 * time.Hour, "is not a time of day"}, {"c", psyco.Timestamp{Infinity: 1}, "is not a time of day"}, {"c", "noon", "is not a valid time"}, {"v", "soon", "is not an interval"}, {"v", 3, "is not a valid interval"},
		{"a", 1, "is not a valid array"}, {"a", []string{"x"}, `element 0: "x" is not a valid int4`}, {"a", []any{[]int{1, 2}, []int{1}}, "rectangular"}, {"a", "{1", "array"},
		{"x", "nowhere", "is not an inet"}, {"x", 7, "is not a valid inet"}, {"y", `a\b`, "is not a valid bytea"}, {"y", 1, "no"}, {"j", func() {}, "cannot become"}, {"j", map[string]any{"f": func() {}}, "unsupported type"},
	} {
		rows := func(yield func([]any, error) bool) {
			for i := range 3 {
				row := slices.Clone(good)
				if i == 2 {
					row[slices.Index(columns, tt.column)] = tt.value
				}
				if !yield(row, nil) {
					return
				}
			}
		}
		n, err := psyco.CopyRows(ctx, db, psyco.Identifier{"t"}, columns, rows)
		if n != 0 || err == nil || !strings.HasPrefix(err.Error(), `psyco: CopyRows: row 3: column "`+tt.column+`": `) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s of %T: %d rows, %v", tt.column, tt.value, n, err)
		}
		if strings.Count(err.Error(), "psyco:") != 1 {
			t.Errorf("%v", err)
		}
		same()
	}
	for _, tt := range []struct {
		name    string
		table   psyco.Identifier
		columns []string
		rows    [][]any
		want    string
	}{
		{"no table", psyco.Identifier{"nosuch"}, columns[:1], nil, `relation "nosuch" does not exist`},
		{"schema in the name", psyco.Identifier{"public.t"}, columns[:1], nil, `relation "public.t" does not exist, a table whose name has a dot in it`},
		{"no column", psyco.Identifier{"t"}, []string{"nosuch"}, nil, `column "nosuch" of relation "t" does not exist`},
		{"no columns", psyco.Identifier{"t"}, nil, nil, "no columns are named"},
		{"no name", psyco.Identifier{}, columns, nil, "Identifier without parts"},
		{"empty name", psyco.Identifier{"t"}, []string{""}, nil, "empty part"},
		{"short row", psyco.Identifier{"t"}, columns[:2], [][]any{{1, "a"}, {1}}, "row 2: it has 1 values for 2 columns"},
		{"server", psyco.Identifier{"t"}, columns[:2], [][]any{{1, "a"}, {2, "\xff"}}, "invalid byte sequence"},
	} {
		if _, err := psyco.CopyRows(ctx, db, tt.table, tt.columns, psyco.SliceRows(tt.rows)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		same()
	}
	equalRows(t, all(t, db, "SELECT count(*) FROM t"), "0")

	// On a connection that stays with its user the own transaction is over too.
	c, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := psyco.CopyRows(ctx, c, psyco.Identifier{"t"}, columns[:1], psyco.SliceRows([][]any{{"x"}})); err == nil {
		t.Error("no error")
	}
	psyco.WithConn(ctx, c, func(c *psyco.Conn) error {
		if s := c.TxStatus(); s != 'I' {
			t.Errorf("status %q", s)
		}
		return nil
	})
}

func TestCopyRowsHandles(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	mustExec(t, db, `CREATE SCHEMA "odd.one"; CREATE TABLE "odd.one"."ta""ble" (id int GENERATED ALWAYS AS IDENTITY, "na me" text, n int);
		CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.n % 2 = 0 THEN RETURN NULL; END IF; RETURN NEW; END$$;
		CREATE TRIGGER skip BEFORE INSERT ON "odd.one"."ta""ble" FOR EACH ROW EXECUTE FUNCTION skip()`)
	table := psyco.Identifier{"odd.one", `ta"ble`}
	onHandles(t, db, func(t *testing.T, h psyco.Handle) {
		mustExec(t, h, "TRUNCATE "+table.String())
		var rows, size int64
		n, err := psyco.CopyRows(ctx, h, table, []string{"n", "na me", "id"},
			psyco.SliceRows([][]any{{1, "one", 10}, {2, nil, 20}, {3, "three", 30}}),
			psyco.CopyProgress(func(r, b int64) { rows, size = r, b }))
		if err != nil || n != 2 || rows != 3 || size < 50 {
			t.Fatalf("%d rows, progress %d rows and %d bytes, %v", n, rows, size, err)
		}
		equalRows(t, all(t, h, "SELECT * FROM "+table.String()), "10,one,1", "30,three,3")
		if n, err := psyco.CopyRows(ctx, h, table, []string{"n"}, psyco.SliceRows(nil)); err != nil || n != 0 {
			t.Fatalf("no rows: %d, %v", n, err)
		}
	})
	// The server counts what it keeps, and progress goes up.
	var last, calls int64
	n, err := psyco.CopyRows(ctx, db, table, []string{"n"}, func(yield func([]any, error) bool) {
		for i := range 50_000 {
			if !yield([]any{i}, nil) {
				return
			}
		}
	}, psyco.CopyProgress(func(r, b int64) {
		if calls++; r < last || b < r {
			t.Errorf("progress went from %d to %d rows, %d bytes", last, r, b)
		}
		last = r
	}))
	if err != nil || n != 25_000 || last != 50_000 || calls < 5 {
		t.Errorf("%d rows, %d reported in %d calls, %v", n, last, calls, err)
	}
}

func TestCopyRowsRoundTrips(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	db.SetMaxOpenConns(1)
	mustExec(t, db, "CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE t (i int, s text[]); CREATE TABLE m (m mood)")
	load := func(h psyco.Handle, table, column string, value any) {
		if _, err := psyco.CopyRows(ctx, h, psyco.Identifier{table}, []string{column}, psyco.SliceRows([][]any{{value}})); err != nil {
			t.Error(err)
		}
	}
	// COPY itself takes two: the statement, and its data.
	if n := roundTrips(t, db, func() { load(db, "t", "i", 1) }); n != 3 {
		t.Errorf("%d round trips", n)
	}
	if n := roundTrips(t, db, func() { load(db, "m", "m", "ok") }); n != 4 {
		t.Errorf("%d round trips with an enum", n)
	}
	if n := roundTrips(t, db, func() {
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		load(tx, "t", "s", []string{"x"})
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	}); n != 4 {
		t.Errorf("%d round trips in a transaction", n)
	}
}

func TestCopyRowsStructs(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	mustExec(t, db, "CREATE TABLE t (id int, full_name text, at timestamptz)")
	type base struct {
		ID int
	}
	type person struct {
		*base
		FullName string
		Secret   string    `db:"-"`
		When     time.Time `db:"at"`
	}
	columns := psyco.StructColumns[person]()
	equalRows(t, columns, "id", "full_name", "at")
	equalRows(t, psyco.StructColumns[*person](), columns...)
	people := []person{{&base{1}, "Ada", "x", time.Unix(0, 0)}, {nil, "Grace", "y", time.Unix(1, 0)}}
	if n, err := psyco.CopyRows(ctx, db, psyco.Identifier{"t"}, columns, psyco.StructRows(columns, slices.Values(people))); err != nil || n != 2 {
		t.Fatalf("%d rows, %v", n, err)
	}
	if n, err := psyco.CopyRows(ctx, db, psyco.Identifier{"t"}, columns[:2], psyco.StructRows(columns[:2], slices.Values([]*person{&people[0]}))); err != nil || n != 1 {
		t.Fatalf("%d rows, %v", n, err)
	}
	equalRows(t, all(t, db, "SELECT id, full_name, extract(epoch FROM at)::int FROM t"), "1,Ada,0", "<nil>,Grace,1", "1,Ada,<nil>")
	for want, err := range map[string]error{
		"int is not a struct": func() error {
			_, err := psyco.CopyRows(ctx, db, psyco.Identifier{"t"}, columns, psyco.StructRows(columns, slices.Values([]int{1})))
			return err
		}(),
		`has no field for the column "secret"`: func() error {
			_, err := psyco.CopyRows(ctx, db, psyco.Identifier{"t"}, columns, psyco.StructRows([]string{"secret"}, slices.Values(people)))
			return err
		}(),
		"row 2: StructRows: a nil *bulk_test.person": func() error {
			_, err := psyco.CopyRows(ctx, db, psyco.Identifier{"t"}, columns, psyco.StructRows(columns, slices.Values([]*person{&people[0], nil})))
			return err
		}(),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if psyco.StructColumns[int]() != nil {
		t.Error("columns of an int")
	}
}

// TestCopyRowsPrivileges needs nothing that COPY does not.
func TestCopyRowsPrivileges(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	c, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	mustExec(t, c, "CREATE TABLE t (i int, secret text); CREATE ROLE copy_writer; GRANT INSERT (i) ON t TO copy_writer; SET ROLE copy_writer")
	defer mustExec(t, c, "RESET ROLE; DROP OWNED BY copy_writer; DROP ROLE copy_writer")
	if _, err := psyco.CopyRows(ctx, c, psyco.Identifier{"t"}, []string{"i"}, psyco.SliceRows([][]any{{1}})); err != nil {
		t.Error(err)
	}
	if _, err := psyco.CopyRows(ctx, c, psyco.Identifier{"t"}, []string{"secret"}, psyco.SliceRows([][]any{{1}})); pq.As(err, "42501") == nil {
		t.Errorf("got %v", err)
	}
}

// TestCopyRowsAlteredType changes a column's type to one of the same size while
// CopyRows waits, and in a transaction that cannot see the change.
func TestCopyRowsAlteredType(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	load := func(h psyco.Handle) error {
		_, err := psyco.CopyRows(ctx, h, psyco.Identifier{"t"}, []string{"v"}, psyco.SliceRows([][]any{{42}}))
		return err
	}
	mustExec(t, db, "CREATE TABLE t (v int8)")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, tx, "ALTER TABLE t ALTER v TYPE float8")
	done := make(chan error)
	go func() { done <- load(db) }()
	for all(t, db, "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")[0] == "0" {
		time.Sleep(time.Millisecond)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	equalRows(t, all(t, db, "SELECT v FROM t"), "42")

	old, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Rollback()
	equalRows(t, all(t, old, "SELECT count(*) FROM pg_class WHERE relname = %s", "t"), "1")
	mustExec(t, db, "TRUNCATE t; ALTER TABLE t ALTER v TYPE int8")
	if err := load(old); err != nil {
		t.Fatal(err)
	}
	if err := old.Commit(); err != nil {
		t.Fatal(err)
	}
	equalRows(t, all(t, db, "SELECT v FROM t"), "42")
}

// TestCopyRowsRandom loads random values in both formats and as parameters of
// INSERT, which must all be the same.
func TestCopyRowsRandom(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	text := func() string {
		var b strings.Builder
		for range rng.IntN(12) {
			b.WriteRune([]rune("ab\\\t\n\r\"'{},N. ü😀\b\v\x7f")[rng.IntN(19)])
		}
		return b.String()
	}
	number := func() string {
		s := fmt.Sprintf("%d", rng.Int64())[:1+rng.IntN(15)] + strings.Repeat("0", rng.IntN(9))
		if rng.IntN(2) == 0 {
			s += "." + strings.Repeat("0", rng.IntN(9)) + fmt.Sprint(rng.Uint64()>>rng.IntN(64))
		}
		if rng.IntN(4) == 0 {
			s += fmt.Sprintf("e%d", rng.IntN(60)-30)
		}
		if rng.IntN(2) == 0 {
			s = "-" + s
		}
		return s
	}
	moment := func() time.Time {
		return time.Unix(rng.Int64N(400_000_000_000)-150_000_000_000, rng.Int64N(1e6)*1000).UTC()
	}
	version := pgserver.Version(t, db)
	interval := func() psyco.Interval {
		return psyco.Interval{Months: int32(rng.Uint32()), Days: int32(rng.Uint32()), Microseconds: pgserver.IntervalMicros(version, rng.Int64()>>rng.IntN(60))}
	}
	addr := func() netip.Prefix {
		var a [16]byte
		for i := range a {
			a[i] = byte(rng.Uint32())
		}
		if rng.IntN(2) == 0 {
			return netip.PrefixFrom(netip.AddrFrom4([4]byte(a[:4])), rng.IntN(33))
		}
		return netip.PrefixFrom(netip.AddrFrom16(a), rng.IntN(129))
	}
	columns := []struct {
		typ   string
		value func() any
	}{
		{"bool", func() any { return rng.IntN(2) == 0 }},
		{"int2", func() any { return int16(rng.Uint32()) }},
		{"int4", func() any { return int32(rng.Uint32()) }},
		{"int8", func() any { return int64(rng.Uint64()) >> rng.IntN(64) }},
		{"float8", func() any { return math.Float64frombits(rng.Uint64()) }},
		{"float4", func() any { return rng.Float32() }},
		{"numeric", func() any { return psyco.Numeric(number()) }},
		{"text", func() any { return text() }},
		{"bytea", func() any { return []byte(text()) }},
		{"date", func() any { return psyco.DateOf(moment()) }},
		{"time", func() any { return time.Duration(rng.Int64N(86_400_000_000)) * time.Microsecond }},
		{"timestamptz", func() any { return moment() }},
		{"timestamp", func() any { return psyco.Timestamp{Time: moment()} }},
		{"interval", func() any { return interval() }},
		{"jsonb", func() any { return psyco.JSON[any]{V: []any{text(), rng.Float64()}} }},
		{"inet", func() any { return addr() }},
		{"cidr", func() any { return addr().Masked() }},
		{"text[]", func() any { return []string{text(), text()} }},
		{"int8[]", func() any { return []int64{rng.Int64(), -rng.Int64()} }},
		{"timestamptz[]", func() any { return []time.Time{moment()} }},
	}
	var definitions, names, params []string
	for i, c := range columns {
		names = append(names, fmt.Sprintf("c%d", i))
		definitions = append(definitions, names[i]+" "+c.typ)
		params = append(params, "%s")
	}
	for _, table := range []string{"b", "x", "p"} {
		mustExec(t, db, "SET timezone = UTC")
		mustExec(t, db, "CREATE TABLE "+table+" (n int, "+strings.Join(definitions, ", ")+")")
	}
	const count = 300
	rows := make([][]any, count)
	err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
		mustExec(t, tx, "SET LOCAL timezone = UTC")
		for i := range rows {
			rows[i] = []any{i}
			for _, c := range columns {
				v := c.value()
				if rng.IntN(10) == 0 {
					v = nil
				}
				rows[i] = append(rows[i], v)
			}
			if _, err := tx.Exec("INSERT INTO p VALUES (%s, "+strings.Join(params, ", ")+")", rows[i]...); err != nil {
				return fmt.Errorf("%v: %w", rows[i], err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	names = append([]string{"n"}, names...)
	for table, opts := range map[string][]psyco.CopyOption{"b": nil, "x": {psyco.CopyTextFormat()}} {
		if n, err := psyco.CopyRows(ctx, db, psyco.Identifier{table}, names, psyco.SliceRows(rows), opts...); err != nil || n != count {
			t.Fatalf("%s: %d rows, %v", table, n, err)
		}
		for _, name := range names {
			different := all(t, db, fmt.Sprintf("SELECT p.n, p.%[1]s::text, o.%[1]s::text FROM p JOIN %[2]s o USING (n) WHERE p.%[1]s::text IS DISTINCT FROM o.%[1]s::text", name, table))
			if len(different) > 0 {
				t.Errorf("%s.%s: %d rows differ, such as %q", table, name, len(different), different[0])
			}
		}
	}
}

// TestCopyEveryType sends a table with every built-in type through COPY TO and
// COPY FROM in each format.
func TestCopyEveryType(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	literals := map[string]string{
		"bool": "t", "bytea": `\x00ff5c`, "char": "c", "name": "n", "int8": "-9000000000", "int2": "-2", "int2vector": "1 2", "int4": "4", "regproc": "now", "text": "a\tb\nc\\d,\"e\"",
		"oid": "7", "tid": "(1,2)", "xid": "3", "cid": "4", "oidvector": "1 2", "json": `{"a" : "b\\c"}`, "xml": "<a>b</a>", "xid8": "5", "point": "(1,2)", "lseg": "[(1,2),(3,4)]",
		"path": "((1,2),(3,4))", "box": "(3,4),(1,2)", "polygon": "((1,2),(3,4))", "line": "{1,2,3}", "float4": "1.5", "float8": "-1e300", "circle": "<(1,2),3>", "money": "12.34",
		"macaddr": "08:00:2b:01:02:03", "inet": "10.0.0.1/8", "cidr": "10.0.0.0/8", "macaddr8": "08:00:2b:01:02:03:04:05", "bpchar": "x", "varchar": "y", "date": "0044-03-15 BC", "time": "24:00:00",
		"timestamp": "infinity", "timestamptz": "2024-02-29 12:34:56.789+02", "interval": "1 year -2 days 3:04:05.6", "timetz": "12:34:56+05:30", "bit": "1", "varbit": "10101", "numeric": "-123456789012345678901234.5000",
		"refcursor": "r", "regprocedure": "now()", "regoper": "pg_catalog.||/", "regoperator": "+(integer,integer)", "regclass": "pg_class", "regtype": "integer", "regconfig": "english", "regdictionary": "simple",
		"regrole": "-", "regnamespace": "pg_catalog", "regcollation": `"C"`, "uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "txid_snapshot": "10:20:10,14", "pg_snapshot": "10:20:10,14", "pg_lsn": "16/B374D848",
		"tsvector": "'a':1A 'b c':2", "tsquery": "'a' & !'b'", "jsonb": `{"a": [1, null]}`, "jsonpath": "$.a[*]", "int4range": "[1,5)", "numrange": "(,1.5]", "tsrange": "empty", "tstzrange": `["2024-01-01 00:00:00+00",)`,
		"daterange": "[2024-01-01,2024-02-01)", "int8range": "[1,2)", "int4multirange": "{[1,3),[5,7)}", "nummultirange": "{}", "tsmultirange": "{}", "tstzmultirange": "{}", "datemultirange": "{}", "int8multirange": "{[1,3)}",
	}
	// Those that the server makes itself, and that have no input or no binary form.
	types := all(t, db, `SELECT typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm') AND typcategory <> 'A'
		AND typname NOT IN ('aclitem', 'gtsvector', 'pg_node_tree', 'pg_ndistinct', 'pg_dependencies', 'pg_mcv_list', 'pg_brin_bloom_summary', 'pg_brin_minmax_multi_summary')
		UNION SELECT typname FROM pg_type WHERE typname IN ('int2vector', 'oidvector') ORDER BY 1`)
	if len(types) < 60 {
		t.Fatalf("only %d types", len(types))
	}
	var definitions, values, nulls, arrays []string
	for i, typ := range types {
		literal, ok := literals[typ]
		if !ok {
			t.Errorf("no value for the type %s", typ)
			continue
		}
		definitions = append(definitions, fmt.Sprintf(`c%d pg_catalog."%s", a%[1]d pg_catalog."%[2]s"[]`, i, typ))
		value := pq.QuoteLiteral(literal) + `::pg_catalog."` + typ + `"`
		values = append(values, value, "ARRAY["+value+", NULL]")
		nulls = append(nulls, "NULL", "NULL")
		arrays = append(arrays, "NULL", "'{}'")
	}
	mustExec(t, db, "CREATE TABLE source ("+strings.Join(definitions, ", ")+")")
	for _, v := range [][]string{values, nulls, arrays} {
		mustExec(t, db, "INSERT INTO source VALUES ("+strings.Join(v, ", ")+")")
	}
	want := all(t, db, "SELECT source::text FROM source")
	for _, options := range []string{"", "(FORMAT csv)", "(FORMAT binary)"} {
		mustExec(t, db, "DROP TABLE IF EXISTS target; CREATE TABLE target (LIKE source)")
		r, w := io.Pipe()
		go func() {
			_, err := psyco.CopyTo(ctx, db, w, "COPY source TO STDOUT "+options)
			w.CloseWithError(err)
		}()
		n, err := psyco.CopyFrom(ctx, db, "COPY target FROM STDIN "+options, r)
		if err != nil || n != int64(len(want)) {
			t.Fatalf("%s: %d rows, %v", options, n, err)
		}
		equalRows(t, all(t, db, "SELECT target::text FROM target"), want...)
	}
	// In binary what psyco writes is what the server writes.
	var server, ours bytes.Buffer
	if _, err := psyco.CopyTo(ctx, db, &server, "COPY (SELECT 1, 'x'::text, 1.50, NULL::int) TO STDOUT (FORMAT binary)"); err != nil {
		t.Fatal(err)
	}
	mustExec(t, db, "CREATE TABLE small (a int, b text, c numeric, d int)")
	if _, err := psyco.CopyRows(ctx, db, psyco.Identifier{"small"}, []string{"a", "b", "c", "d"}, psyco.SliceRows([][]any{{1, "x", "1.50", nil}})); err != nil {
		t.Fatal(err)
	}
	if _, err := psyco.CopyTo(ctx, db, &ours, "COPY small TO STDOUT (FORMAT binary)"); err != nil || !bytes.Equal(ours.Bytes(), server.Bytes()) {
		t.Errorf("%x is not %x: %v", ours.Bytes(), server.Bytes(), err)
	}
}

// TestCopyRowsAdapter lets registered adapters go before the encoders.
func TestCopyRowsAdapter(t *testing.T) {
	types := new(psyco.TypeMap)
	psyco.RegisterAdapter(types, func(b bool) (any, uint32, error) {
		if b {
			return "yes", 0, nil
		}
		return nil, 0, errors.New("no is not an answer")
	})
	db := testDB(t, psyco.WithTypeMap(types))
	mustExec(t, db, "CREATE TABLE t (s text)")
	if _, err := psyco.CopyRows(context.Background(), db, psyco.Identifier{"t"}, []string{"s"}, psyco.SliceRows([][]any{{true}, {"plain"}})); err != nil {
		t.Fatal(err)
	}
	equalRows(t, all(t, db, "SELECT s FROM t"), "yes", "plain")
	if _, err := psyco.CopyRows(context.Background(), db, psyco.Identifier{"t"}, []string{"s"}, psyco.SliceRows([][]any{{false}})); err == nil || !strings.Contains(err.Error(), `row 1: column "s": `) || !strings.Contains(err.Error(), "no is not an answer") {
		t.Errorf("got %v", err)
	}
}

type reading struct {
	ID    int64
	Name  *string
	Value float64
	At    time.Time
}

const (
	readings    = "SELECT i::int8 AS id, CASE WHEN i % 3 > 0 THEN repeat('x\t\\', i) END AS name, i * 1.5::float8 AS value, '2024-02-29 12:00+00'::timestamptz AS at FROM generate_series(1, %s) i"
	readingsTyp = "SELECT i AS id, name, value::numeric AS value, at FROM (" + readings + ") r (i, name, value, at)"
)

// TestCopyOutRows compares with QueryAll: in the binary format and, because of a numeric, in
// text.
func TestCopyOutRows(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		behindWrap := wrapped(t)
		onHandles(t, db, func(t *testing.T, h psyco.Handle) {
			for _, query := range []string{readings, readingsTyp} {
				got, err := testdb.Collected(psyco.CopyOutRows[reading](t.Context(), h, "COPY ("+query+") TO STDOUT", 300))
				if behindWrap {
					if want := "psyco: CopyOutRows needs psyco's own connection, not one behind Wrap"; err == nil || err.Error() != want {
						t.Errorf("error %v", err)
					}
					continue
				}
				want, qerr := psyco.QueryAll[reading](t.Context(), h, query, 300)
				if err != nil || qerr != nil || len(got) != 300 || !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %d rows; %v; %v", query, len(got), err, qerr)
				}
			}
		})
	})
}

func TestCopyOutRowsOf(t *testing.T) {
	db := testDB(t)
	mustExec(t, db, `CREATE TABLE plain (id int, name text); INSERT INTO plain VALUES (1, 'a'), (2, NULL);
		CREATE TABLE "to" (id int, name text, twice int GENERATED ALWAYS AS (id * 2) STORED); INSERT INTO "to" VALUES (3, 'b');
		CREATE TABLE parts (id int, name text) PARTITION BY LIST (id)`)
	type row struct {
		ID   int
		Name sql.Null[string]
	}
	a, null, b := row{1, sql.Null[string]{V: "a", Valid: true}}, row{ID: 2}, row{3, sql.Null[string]{V: "b", Valid: true}}
	for _, tt := range []struct {
		name, text string
		args       []any
		want       []row
		err        string
	}{
		{"a table", "COPY plain TO STDOUT", nil, []row{a, null}, ""},
		{"columns", "copy plain (name, id) to stdout;", nil, []row{a, null}, ""},
		{"a comment", "/* TO */ COPY plain -- (x)\n (id, name) TO STDOUT -- end", nil, []row{a, null}, ""},
		{"a parenthesis in a comment behind columns", "COPY plain (id, name) /* ) */ TO STDOUT", nil, []row{a, null}, ""},
		{"a parenthesis in a comment behind a query", "COPY (SELECT id, name FROM plain) -- )\n TO STDOUT", nil, []row{a, null}, ""},
		{"a quoted name", `COPY "to" (id, name) TO STDOUT`, nil, []row{b}, ""},
		{"a schema", "COPY public.plain TO STDOUT", nil, []row{a, null}, ""},
		{"a query", "COPY (SELECT id, name FROM plain WHERE name = %(n)s) TO STDOUT", []any{map[string]any{"n": "a"}}, []row{a}, ""},
		{"$1", "COPY (SELECT id, name FROM plain WHERE id = ANY($1)) TO STDOUT", []any{pq.Array([]int{1})}, []row{a}, ""},
		{"no rows", "COPY (SELECT id, name FROM plain WHERE false) TO STDOUT", nil, []row{}, ""},
		{"RETURNING", "COPY (UPDATE plain SET id = id RETURNING id, name) TO STDOUT", nil, []row{a, null}, ""},
		{"what fits not", "COPY (SELECT 1 AS id) TO STDOUT", nil, nil, `bulk_test.row does not fit the query: the field row.Name has no column "name"`},
		{"lax", "COPY (SELECT 4 AS id, 5 AS more) TO STDOUT", []any{psyco.Lax()}, []row{{ID: 4}}, ""},
		{"NULL", "COPY (SELECT NULL::int AS id, '' AS name) TO STDOUT", nil, nil, `psyco: CopyOutRows: row 1, column "id", field row.ID: `},
		{"generated columns", `COPY "to" TO STDOUT`, []any{psyco.Lax()}, nil, "psyco: CopyOutRows: a row has 2 columns, and 3 were described: name the columns of a table that has generated ones"},
		{"partitions", "COPY parts TO STDOUT", nil, nil, `pq: cannot copy from partitioned table "parts"`},
		{"options", "COPY plain TO STDOUT (FORMAT csv)", nil, nil, "psyco: CopyOutRows needs COPY a query or a table TO STDOUT with nothing behind it"},
		{"another statement", "COPY plain TO STDOUT; SELECT 1", nil, nil, "psyco: CopyOutRows needs COPY a query or a table TO STDOUT with nothing behind it"},
		{"no COPY", "SELECT 1", nil, nil, "psyco: CopyOutRows needs COPY a query or a table TO STDOUT"},
		{"in", "COPY plain FROM STDIN", nil, nil, "psyco: CopyOutRows needs COPY a query or a table TO STDOUT"},
		{"a table that is missing", "COPY missing TO STDOUT", nil, nil, `pq: relation "missing" does not exist (42P01)`},
		{"a column that is missing", "COPY (SELECT id, nam FROM plain) TO STDOUT", nil, nil, `pq: column "nam" does not exist at column 18 (42703)`},
		{"behind what is not ASCII", "/* ä€ */ COPY (SELECT id, nam FROM plain) TO STDOUT", nil, nil, `pq: column "nam" does not exist at column 27 (42703)`},
		{"an error in the middle", "COPY (SELECT 10 / (5 - i) AS id, '' AS name FROM generate_series(1, 9) i) TO STDOUT", nil, nil, "pq: division by zero (22012)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			onHandles(t, db, func(t *testing.T, h psyco.Handle) {
				if _, ok := h.(*sql.Tx); ok && strings.HasPrefix(tt.err, "pq:") {
					h = db // it would fail the transaction
				}
				got, err := testdb.Collected(psyco.CopyOutRows[row](t.Context(), h, tt.text, tt.args...))
				if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %v", err, tt.err)
				}
				if tt.err == "" && !reflect.DeepEqual(got, tt.want) {
					t.Errorf("got %v, want %v", got, tt.want)
				}
				mustExec(t, h, "SELECT %s", 1)
			})
		})
	}
}

// TestCopyOutRowsLeft leaves the loop, in all ways.
func TestCopyOutRowsLeft(t *testing.T) {
	db := testDB(t)
	mustExec(t, db, "CREATE TABLE n (id int)")
	rows := testsize.Cases(20_000, 100_000)
	for _, text := range []string{
		"COPY (SELECT i FROM generate_series(1, %s) i) TO STDOUT",
		"COPY (SELECT i::numeric FROM generate_series(1, %s) i) TO STDOUT",
		"COPY (INSERT INTO n SELECT i FROM generate_series(1, %s) i RETURNING id) TO STDOUT",
	} {
		onHandles(t, db, func(t *testing.T, h psyco.Handle) {
			for _, n := range []int{1, 2, rows} {
				left := 0
				for i, err := range psyco.CopyOutRows[int](t.Context(), h, text, rows) {
					if left++; err != nil || i != left {
						t.Fatalf("row %d is %d; %v", left, i, err)
					}
					if left == n {
						break
					}
				}
				mustExec(t, h, "SELECT %s", n)
			}
		})
	}
	t.Run("panic", func(t *testing.T) {
		func() {
			defer func() {
				if p := recover(); p != "stop" {
					t.Errorf("recovered %v", p)
				}
			}()
			for range psyco.CopyOutRows[int](t.Context(), db, "COPY (SELECT generate_series(1, 9)) TO STDOUT") {
				panic("stop")
			}
		}()
		mustExec(t, db, "SELECT %s", 1)
	})
	t.Run("context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var err error
		for _, err = range psyco.CopyOutRows[int](ctx, db, "COPY (SELECT generate_series(1, 10000000)) TO STDOUT") {
			cancel()
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		mustExec(t, db, "SELECT %s", 1)
	})
	t.Run("a misfit in a transaction", func(t *testing.T) {
		tx := mustBegin(t, db)
		_, err := testdb.Collected(psyco.CopyOutRows[int8](t.Context(), tx, "COPY (SELECT generate_series(1, 1000)) TO STDOUT"))
		if err == nil || !strings.HasPrefix(err.Error(), `psyco: CopyOutRows: row 128, column "generate_series": `) {
			t.Errorf("error %v", err)
		}
		mustExec(t, tx, "SELECT %s", 1)
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
	})
}

func TestCopyOutRowsRoundTrips(t *testing.T) {
	db := testDB(t)
	tx := mustBegin(t, db)
	defer tx.Rollback()
	for name, h := range map[string]psyco.Handle{"outside of a transaction": mustConn(t, db), "in one": tx} {
		mustExec(t, h, "SELECT 1")
		n := roundTrips(t, h, func() {
			if _, err := testdb.Collected(psyco.CopyOutRows[int](t.Context(), h, "COPY (SELECT generate_series(1, 3)) TO STDOUT")); err != nil {
				t.Error(err)
			}
		})
		if n != 2 {
			t.Errorf("%s: %d round trips", name, n)
		}
	}
}
