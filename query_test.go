package psyco_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/DATA-DOG/go-sqlmock"
	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/faultproxy"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/psycotest"
)

// queryCase is a query, and what its rows are as values of some type.
type queryCase struct {
	name  string
	query string
	args  []any
	want  any    // []T
	fails string // words of the error instead
	run   func(ctx context.Context, h psyco.Handle, query string, args ...any) (any, error)
	scan  func(rows *sql.Rows) (any, error) // the same by ScanRows
	// direct reports whether the rows are decoded directly.
	direct func(ctx context.Context, h psyco.Handle, query string, args ...any) (bool, error)
}

// rowsOf is a case with values of type T.
func rowsOf[T any](name, query string, want ...T) queryCase {
	if want == nil {
		want = []T{}
	}
	return queryCase{name: name, query: query, want: want,
		run: func(ctx context.Context, h psyco.Handle, query string, args ...any) (any, error) {
			got, err := psyco.QueryAll[T](ctx, h, query, args...)
			if err != nil {
				return nil, err
			}
			return got, nil
		},
		direct: psyco.ReadsDirectly[T],
		scan: func(rows *sql.Rows) (any, error) {
			got := []T{}
			for v, err := range psyco.ScanRows[T](rows) {
				if err != nil {
					return nil, err
				}
				got = append(got, v)
			}
			return got, nil
		},
	}
}

// failing is a case whose error has the words.
func failing[T any](name, query, fails string) queryCase {
	c := rowsOf[T](name, query)
	c.fails = fails
	return c
}

func (c queryCase) with(args ...any) queryCase {
	c.args = args
	return c
}

type (
	client struct {
		ID    int64
		Name  string
		Email *string
		Since time.Time `db:"created_at"`
	}
	address struct {
		City string
		Zip  *string
	}
	base struct {
		ID   int
		Skip string `db:"-"`
	}
	embedding struct {
		base
		Name string
	}
	embeddingPointer struct {
		*base
		Name string
	}
	order struct {
		ID      int
		Address address
		Billing *address
		Extra   string `db:",optional"`
	}
	deep struct {
		Order *order `db:"o"`
		N     int
	}
	node struct {
		ID     int
		Parent *node
	}
	located struct {
		At   psyco.Record[pair]
		Pair pair
	}
	pair   struct{ X, Y int }
	shadow struct {
		base
		ID string
	}
	settings struct {
		Theme string `json:"theme"`
	}
	document struct {
		A settings `db:",json"`
		B psyco.JSON[settings]
		C map[string]any `db:",json"`
		D *settings      `db:",json"`
	}
	wide struct {
		I16 int16
		I32 int32
		I64 int64
		U8  uint8
		F32 float32
		F64 float64
		B   bool
		S   string
		Raw []byte
		T   time.Time
		Tz  time.Time
		D   psyco.Date
		U   [16]byte
		Num psyco.Numeric
		Iv  psyco.Interval
		Net netip.Addr
		Arr []int
		P   *string
		N   sql.Null[int64]
		NS  sql.NullString
		NT  sql.NullTime
		A   any
	}
	kind     string
	oddNames struct {
		UserID  int
		URLs    string
		HTTPTwo string
	}
	anys    []any
	dict    map[string]any
	textual struct{ v string }
)

func (t *textual) UnmarshalText(b []byte) error {
	t.v = "<" + string(b) + ">"
	return nil
}

func at(value string) time.Time {
	t, err := pq.ParseTimestamp(nil, value)
	if err != nil {
		panic(err)
	}
	return t
}

func some[T any](v T) *T { return &v }

// queryCases are rows of every kind. They are the same in all modes, and on all ways
// from the wire into a T.
var queryCases = []queryCase{
	rowsOf("struct", "SELECT 7::int8 AS id, 'x' AS name, NULL::text AS email, '2024-02-29 12:00:00.5'::timestamp AS created_at UNION ALL SELECT 8, '', 'e', 'epoch'",
		client{7, "x", nil, at("2024-02-29 12:00:00.5")}, client{8, "", some("e"), at("1970-01-01 00:00:00")}),
	rowsOf("pointers", "SELECT 1::int8 AS id, 'x' AS name, 'y' AS email, 'epoch'::timestamp AS created_at", &client{1, "x", some("y"), at("1970-01-01 00:00:00")}),
	rowsOf[client]("no rows", "SELECT 1::int8 AS id, 'x' AS name, NULL AS email, now() AS created_at WHERE false"),
	rowsOf("names in snake case", `SELECT 1 AS user_id, 'u' AS urls, 'h' AS http_two`, oddNames{1, "u", "h"}),
	rowsOf("embedded", "SELECT 1 AS id, 'x' AS name", embedding{base{ID: 1}, "x"}),
	rowsOf("embedded pointer", "SELECT 1 AS id, 'x' AS name UNION ALL SELECT NULL, 'y'", embeddingPointer{&base{ID: 1}, "x"}, embeddingPointer{nil, "y"}),
	rowsOf("hidden by a field nearer by", "SELECT 'x' AS id", shadow{ID: "x"}),
	rowsOf("nested", `SELECT 1 AS id, 'a' AS address_city, '1' AS address_zip, NULL AS billing_city, NULL AS "billing_zip"
		UNION ALL SELECT 2, 'b', NULL, 'c', NULL`,
		order{ID: 1, Address: address{"a", some("1")}}, order{ID: 2, Address: address{"b", nil}, Billing: &address{"c", nil}}),
	rowsOf("nested with dots", `SELECT 'a' AS "address.city", NULL AS "address.zip", NULL AS "billing.zip", 'c' AS "billing.city", 'e' AS extra, 1 AS id`,
		order{ID: 1, Address: address{"a", nil}, Billing: &address{"c", nil}, Extra: "e"}),
	rowsOf("nested twice", `SELECT NULL AS o_billing_city, NULL AS o_billing_zip, 3 AS n, 1 AS o_id, 'a' AS o_address_city, NULL AS o_address_zip
		UNION ALL SELECT NULL, NULL, 4, NULL, NULL, NULL`,
		deep{&order{ID: 1, Address: address{"a", nil}}, 3}, deep{nil, 4}),
	rowsOf("leads to itself", `SELECT 1 AS id, 2 AS parent_id, NULL AS parent_parent_id UNION ALL SELECT 1, 2, 3`,
		node{1, &node{2, nil}}, node{1, &node{2, &node{3, nil}}}),
	rowsOf("composite", `SELECT (1,2) AS at, (3,4) AS pair`, located{psyco.Record[pair]{V: pair{1, 2}}, pair{3, 4}}),
	rowsOf("json", `SELECT '{"theme":"a"}'::json AS a, '{"theme":"b"}'::jsonb AS b, '{"c":[1]}'::jsonb AS c, NULL::json AS d`,
		document{settings{"a"}, psyco.JSON[settings]{V: settings{"b"}}, map[string]any{"c": []any{1.0}}, nil}),
	rowsOf("wide", `SELECT 1::int2 AS i16, -2::int4 AS i32, 1::int8 << 40 AS i64, 255 AS u8, 0.1::float4 AS f32, 1e300::float8 AS f64, true AS b, 'ä' AS s, '\x00ff'::bytea AS raw,
			'0044-03-15 01:02:03.000004 BC'::timestamp AS t, '12345-01-01 00:00:00+00'::timestamptz AS tz, '2024-02-29'::date AS d,
			'00010203-0405-0607-0809-0a0b0c0d0e0f'::uuid AS u, 1.50 AS num, '1 mon -2 days 03:00'::interval AS iv, '10.0.0.1'::inet AS net,
			'{1,2}'::int[] AS arr, 'p' AS p, 5::int8 AS n, 's' AS ns, '2024-02-29'::timestamp AS nt, 7 AS a`,
		wide{1, -2, 1 << 40, 255, 0.1, 1e300, true, "ä", []byte{0, 255}, at("0044-03-15 01:02:03.000004 BC"), at("12345-01-01 00:00:00+00").UTC(),
			psyco.Date{Year: 2024, Month: 2, Day: 29}, [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, "1.50",
			psyco.Interval{Months: 1, Days: -2, Microseconds: 3 * 3600e6}, netip.MustParseAddr("10.0.0.1"), []int{1, 2}, some("p"),
			sql.Null[int64]{V: 5, Valid: true}, sql.NullString{String: "s", Valid: true}, sql.NullTime{Time: at("2024-02-29 00:00:00"), Valid: true}, int64(7)}),

	rowsOf[int]("ints", "SELECT i FROM generate_series(1, 3) i", 1, 2, 3),
	rowsOf[int8]("int8 of int2", "SELECT '-128'::int2", -128),
	rowsOf[uint32]("oid", "SELECT 4294967295::oid", math.MaxUint32),
	rowsOf[float64]("float of int", "SELECT 9007199254740993::int8", 1<<53),
	rowsOf[float64]("floats", "SELECT unnest('{NaN,Infinity,-Infinity,-0,5e-324}'::float8[]) OFFSET 1", math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 5e-324),
	rowsOf[float64]("float8 of float4", "SELECT 0.1::float4", 0.1),
	rowsOf[float32]("float4 of float8", "SELECT 0.1::float8", 0.1),
	rowsOf[float64]("float of numeric", "SELECT 1.25", 1.25),
	rowsOf[string]("strings of everything", `SELECT 5::text UNION ALL SELECT ''`, "5", ""),
	rowsOf[string]("string of int", `SELECT 5`, "5"),
	rowsOf[string]("string of float", `SELECT 1e20::float8`, "100000000000000000000"),
	rowsOf[string]("string of bool", `SELECT true`, "true"),
	rowsOf[string]("string of numeric", `SELECT 1.50`, "1.50"),
	rowsOf[string]("string of timestamp", `SELECT '2024-02-29'::timestamp`, "2024-02-29T00:00:00Z"),
	rowsOf[string]("string of bytea", `SELECT 'ab'::bytea`, "ab"),
	rowsOf[string]("string of uuid", `SELECT 'A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid`, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
	rowsOf[string]("string of char(n)", `SELECT 'a'::char(3)`, "a  "),
	rowsOf[string]("string of array", `SELECT '{1,2}'::int[]`, "{1,2}"),
	rowsOf[kind]("named string", `SELECT 'x'`, "x"),
	rowsOf("bytes", `SELECT '\x5c78343100'::bytea UNION ALL SELECT ''`, []byte(`\x41`+"\x00"), []byte{}),
	rowsOf[[]byte]("bytes of NULL", `SELECT NULL::bytea`, nil),
	rowsOf("bytes of text", `SELECT 'a\b'`, []byte(`a\b`)),
	rowsOf("Null bytes that look like hex", `SELECT '\x5c783431'::bytea`, sql.Null[[]byte]{V: []byte(`\x41`), Valid: true}),
	rowsOf("raw json", `SELECT '{}'::json`, json.RawMessage("{}")),
	rowsOf("times", `SELECT '2024-02-29 12:00:00.123456'::timestamp UNION ALL SELECT '4713-01-01 BC' UNION ALL SELECT '294276-12-31 23:59:59.999999'`,
		at("2024-02-29 12:00:00.123456"), at("4713-01-01 00:00:00 BC"), at("294276-12-31 23:59:59.999999")),
	rowsOf("time of a date", `SELECT '0001-01-01 BC'::date`, at("0001-01-01 BC")),
	rowsOf("times of day", `SELECT '24:00'::time UNION ALL SELECT '12:34:56.789'`, time.Date(0, 1, 2, 0, 0, 0, 0, time.UTC), time.Date(0, 1, 1, 12, 34, 56, 789e6, time.UTC)),
	rowsOf("Timestamps", `SELECT 'infinity'::timestamptz UNION ALL SELECT '-infinity'`, psyco.Timestamp{Infinity: 1}, psyco.Timestamp{Infinity: -1}),
	rowsOf("Timestamp", `SELECT '2024-02-29 01:02:03'::timestamp`, psyco.Timestamp{Time: at("2024-02-29 01:02:03")}),
	rowsOf("Dates", `SELECT '2024-02-29'::date UNION ALL SELECT '0044-03-15 BC' UNION ALL SELECT 'infinity' UNION ALL SELECT '-infinity' UNION ALL SELECT '5874897-12-31' UNION ALL SELECT '4713-01-01 BC'`,
		psyco.Date{Year: 2024, Month: 2, Day: 29}, psyco.Date{Year: -43, Month: 3, Day: 15}, psyco.Date{Infinity: 1}, psyco.Date{Infinity: -1}, psyco.Date{Year: 5874897, Month: 12, Day: 31}, psyco.Date{Year: -4712, Month: 1, Day: 1}),
	rowsOf("Date of a timestamp", `SELECT '2024-02-29 23:00'::timestamp`, psyco.Date{Year: 2024, Month: 2, Day: 29}),
	rowsOf("Intervals", `SELECT '1 year -1 day 00:00:01.5'::interval UNION ALL
		SELECT make_interval(months => '-2147483648') + make_interval(days => '-2147483648', hours => -2147483647)`, // which PostgreSQL 14 does not read
		psyco.Interval{Months: 12, Days: -1, Microseconds: 1500000}, psyco.Interval{Months: math.MinInt32, Days: math.MinInt32, Microseconds: -math.MaxInt32 * 3_600_000_000}),
	rowsOf("durations", `SELECT '1 day 00:00:01'::interval`, 24*time.Hour+time.Second),
	rowsOf[psyco.Numeric]("Numerics", `SELECT unnest('{NaN,0,-12345678901234567890.000000000000000001,1e100}'::numeric[])`, "NaN", "0", "-12345678901234567890.000000000000000001", psyco.Numeric("1"+strings.Repeat("0", 100))),
	rowsOf[psyco.Numeric]("Numeric of int", `SELECT 5`, "5"),
	rowsOf("Array with NULL", `SELECT '{1,NULL}'::int[]`, psyco.Array[*int]{some(1), nil}),
	rowsOf("Range", `SELECT int4range(1, 5)`, psyco.Range[int]{Lower: 1, Upper: 5, LowerInc: true}),
	rowsOf("TextUnmarshaler", `SELECT 'a' UNION ALL SELECT 'b'`, textual{"<a>"}, textual{"<b>"}),
	rowsOf("uuid as bytes", `SELECT '00010203-0405-0607-0809-0a0b0c0d0e0f'::uuid`, [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}),
	rowsOf("pointers to one column", `SELECT 1 UNION ALL SELECT NULL`, some(1), nil),
	rowsOf("pointer to pointer", `SELECT 1`, some(some(1))),
	rowsOf("Nulls", `SELECT 1 UNION ALL SELECT NULL`, sql.Null[int]{V: 1, Valid: true}, sql.Null[int]{}),
	rowsOf("Null Numeric", `SELECT 1.5 UNION ALL SELECT NULL`, sql.Null[psyco.Numeric]{V: "1.5", Valid: true}, sql.Null[psyco.Numeric]{}),
	rowsOf("Null of an address", `SELECT '::1'::inet`, sql.Null[netip.Addr]{V: netip.MustParseAddr("::1"), Valid: true}),
	rowsOf("old Nulls", `SELECT 1::int8`, sql.NullInt64{Int64: 1, Valid: true}),
	rowsOf("NullInt32", `SELECT 1 UNION ALL SELECT NULL`, sql.NullInt32{Int32: 1, Valid: true}, sql.NullInt32{}),
	rowsOf("NullFloat64", `SELECT 1.5::float8`, sql.NullFloat64{Float64: 1.5, Valid: true}),
	rowsOf("NullBool", `SELECT false`, sql.NullBool{Valid: true}),

	rowsOf("lists", `SELECT 1, 'a', NULL UNION ALL SELECT 2, 'b', 'c'`, []any{int64(1), "a", nil}, []any{int64(2), "b", "c"}),
	rowsOf("named lists", `SELECT 1 AS a, 2 AS a`, anys{int64(1), int64(2)}),
	rowsOf("maps", `SELECT 1 AS a, 'x' AS b UNION ALL SELECT NULL, 'y'`, map[string]any{"a": int64(1), "b": "x"}, map[string]any{"a": nil, "b": "y"}),
	rowsOf("named maps", `SELECT 1 AS a`, dict{"a": int64(1)}),
	rowsOf("map of no columns", `SELECT`, map[string]any{}),
	rowsOf("struct of no columns", `SELECT FROM generate_series(1, 2)`, struct{}{}, struct{}{}),
	rowsOf[any]("usable values", `SELECT 1::int2 UNION ALL SELECT NULL`, int64(1), nil),
	rowsOf("usable values of all types", `SELECT 1::int8 AS a, 1.5::float8 AS b, 1.5::float4 AS c, true AS d, 'x'::text AS e, 'x'::varchar AS f, 'x '::char(2) AS g, 'x'::name AS h, '\x6162'::bytea AS i,
			1.50 AS j, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS k, '{"a":[1,null]}'::jsonb AS l, '"s"'::json AS m, '2024-02-29'::date AS n, '2024-02-29 01:00'::timestamp AS o,
			'infinity'::date AS p, '-infinity'::timestamp AS q, '1 day'::interval AS r, '10.0.0.1/8'::inet AS s, '[1,2)'::int4range AS t, '101'::bit(3) AS u, '12:00'::time AS v, 7::oid AS w`,
		map[string]any{"a": int64(1), "b": 1.5, "c": 1.5, "d": true, "e": "x", "f": "x", "g": "x ", "h": "x", "i": []byte("ab"),
			"j": psyco.Numeric("1.50"), "k": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "l": map[string]any{"a": []any{1.0, nil}}, "m": "s", "n": at("2024-02-29 00:00:00"), "o": at("2024-02-29 01:00:00"),
			"p": psyco.Date{Infinity: 1}, "q": psyco.Timestamp{Infinity: -1}, "r": psyco.Interval{Days: 1}, "s": "10.0.0.1/8", "t": "[1,2)", "u": "101", "v": time.Date(0, 1, 1, 12, 0, 0, 0, time.UTC), "w": "7"}),
	rowsOf("usable arrays", `SELECT '{1,2}'::int2[] AS a, '{1,NULL}'::int8[] AS b, '{{1,2},{3,4}}'::int4[] AS c, '{}'::int[] AS d, '{a,"b,c"}'::text[] AS e, '{1.5}'::numeric[] AS f, '{1.5}'::float4[] AS g,
			'{t,f}'::bool[] AS h, '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'::uuid[] AS i, ARRAY['ab'::bytea] AS j, '{2024-02-29}'::date[] AS k, '{infinity}'::timestamp[] AS l, '{1 day}'::interval[] AS m, ARRAY['{"a":1}'::jsonb] AS n`,
		map[string]any{"a": []int64{1, 2}, "b": []*int64{some(int64(1)), nil}, "c": [][]int64{{1, 2}, {3, 4}}, "d": []int64{}, "e": []string{"a", "b,c"}, "f": []psyco.Numeric{"1.5"}, "g": []float64{1.5},
			"h": []bool{true, false}, "i": []string{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}, "j": [][]byte{[]byte("ab")}, "k": []time.Time{at("2024-02-29 00:00:00")}, "l": []psyco.Timestamp{{Infinity: 1}},
			"m": []psyco.Interval{{Days: 1}}, "n": []psyco.JSON[any]{{V: map[string]any{"a": 1.0}}}}),
	rowsOf[any]("usable enum", `SELECT 'happy'::mood`, "happy"),
	rowsOf[string]("enum", `SELECT 'happy'::mood`, "happy"),
	rowsOf[any]("usable domain", `SELECT 'x'::words`, "x"),
	rowsOf[any]("usable composite", `SELECT (1,2)`, "(1,2)"),
	rowsOf[any]("usable enum array", `SELECT '{happy}'::mood[]`, "{happy}"),
	rowsOf[kind]("domain", `SELECT 'x'::words`, "x"),
	rowsOf("arguments", `SELECT %s::int AS a, %s::text AS b`, dict{"a": int64(1), "b": "x"}).with(1, "x"),
	rowsOf("named arguments", `SELECT %(a)s::int AS a, %(b)s::text AS b`, dict{"a": int64(1), "b": "x"}).with(map[string]any{"a": 1, "b": "x"}),
	rowsOf[int]("native arguments", `SELECT $1::int + i FROM generate_series(1, 3) i`, 11, 12, 13).with(10),
	rowsOf[int]("through a cursor", `SELECT i FROM generate_series(1, %s) i`, 1, 2, 3).with(3, psyco.ServerSide(2)),
	rowsOf("lax", `SELECT 1 AS id, 2 AS other`, client{ID: 1}).with(psyco.Lax()),
	rowsOf[string]("a percent sign", `SELECT '%s'`, "%s"),
	rowsOf[int]("a comment behind", "SELECT 1; -- one", 1),
	rowsOf[int]("two statements", "SELECT 1; SELECT 2", 1),
	rowsOf[string]("no SELECT", "SHOW standard_conforming_strings", "on"),
	rowsOf[int]("INSERT", "INSERT INTO t VALUES (1), (2) RETURNING a", 1, 2),
	rowsOf[string]("long", "SELECT repeat('x', 100000) || i FROM generate_series(1, 3) i", strings.Repeat("x", 100000)+"1", strings.Repeat("x", 100000)+"2", strings.Repeat("x", 100000)+"3"),

	failing[int]("NULL", "SELECT 1 UNION ALL SELECT NULL", `psyco: row 2, column "?column?": NULL does not fit into int: use *int or sql.Null[int]`),
	failing[struct{ A, B int }]("NULL in a field", "SELECT 1 AS a, NULL::int AS b", `psyco: row 1, column "b", field .B: NULL does not fit into int`),
	failing[client]("NULL in a struct", "SELECT NULL::int8 AS id, 'x' AS name, NULL AS email, now() AS created_at", `psyco: row 1, column "id", field client.ID: NULL does not fit into int64: use *int64`),
	failing[order]("NULL in a struct behind a pointer", "SELECT 1 AS id, 'a' AS address_city, NULL AS address_zip, NULL AS billing_city, 'z' AS billing_zip", `row 1, column "billing_city", field order.Billing.City: NULL does not fit into string`),
	failing[int8]("too large", "SELECT 300", `psyco: row 1, column "?column?": cannot read "300" as int8: value out of range`),
	failing[uint16]("negative", "SELECT -1", `cannot read "-1" as uint16`),
	failing[int]("text for a number", "SELECT 'x'", `cannot read "x" as int`),
	failing[int]("fraction", "SELECT 1.5::float8", `cannot read "1.5" as int`),
	failing[time.Time]("infinite", "SELECT 'infinity'::timestamp", "psyco.Timestamp"),
	failing[time.Time]("infinite date", "SELECT 'infinity'::date", "psyco.Timestamp"),
	failing[time.Duration]("months", "SELECT '1 mon'::interval", "psyco.Interval"),
	failing[document]("no json", `SELECT '1' AS a, '{}'::json AS b, '{}' AS c, '{}' AS d`, `column "a", field document.A: cannot read "1" as psyco_test.settings`),
	failing[map[string]int]("map", "SELECT '{}'::json", "psyco.JSON[map[string]int]"),
	failing[int]("two columns", "SELECT 1, 2", "psyco: the query has 2 columns, and int takes one: select one, or use a struct, []any or map[string]any"),
	failing[int]("no column", "SELECT", "the query has 0 columns"),
	failing[client]("a column without a field", "SELECT 1::int8 AS id, 'x' AS name, NULL AS email, now() AS created_at, 1 AS emial", `psyco: psyco_test.client does not fit the query: the column "emial" has no field: add one (db:"emial"), or select less`),
	failing[client]("a field without a column", "SELECT 1::int8 AS id, NULL AS email, now() AS created_at", `the field client.Name has no column "name": select it, or tag the field db:",optional"`),
	failing[order]("a struct without columns", "SELECT 1 AS id, 'a' AS address_city, NULL AS address_zip", "the field order.Billing has no columns (billing_…)"),
	failing[struct {
		AuthorID int
		Author   struct{ ID int }
	}]("a field in front of a nested one", "SELECT 1 AS author_id", `the field .Author.ID has no column "author_id"`),
	failing[struct {
		A int `db:"x"`
		B int `db:"x"`
	}]("two fields for a column", "SELECT 1 AS x", `the column "x" fits the fields .A and .B: give one of them a db tag`),
	failing[struct {
		a int `db:"a"`
	}]("not exported", "SELECT 1 AS a", "the field .a has a tag but is not exported"),
	failing[base]("one name twice", "SELECT 1 AS id, 2 AS id", `psyco: the columns 1 and 2 of the query are both called "id": give one of them another name with AS`),
	failing[map[string]any]("one name twice in a map", "SELECT 1 AS id, 2 AS id", "both called"),
	failing[int]("an error of the server", "SELECT 1/0", "division by zero"),
	failing[int]("an error in the middle", "SELECT 1/(3-i) FROM generate_series(1, 5) i", "division by zero"),
}

// prepareQueryCases makes what the cases need.
func prepareQueryCases(t *testing.T, db *sql.DB) *sql.Conn {
	mustExec(t, db, "CREATE TYPE mood AS ENUM ('happy'); CREATE DOMAIN words AS text; CREATE TABLE t (a int)")
	conn := mustConn(t, db)
	mustExec(t, conn, "SET TIME ZONE 'UTC'")
	return conn
}

func (c queryCase) check(t *testing.T, how string, got any, err error) {
	t.Helper()
	switch {
	case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
		t.Errorf("%s, %s: got %v and error %v, want an error with %q", c.name, how, got, err, c.fails)
	case c.fails == "" && err != nil:
		t.Errorf("%s, %s: %v", c.name, how, err)
	case c.fails == "" && !reflect.DeepEqual(got, c.want):
		t.Errorf("%s, %s: got\n%+v, want\n%+v", c.name, how, got, c.want)
	}
}

// TestQueryAll reads every case as often as it takes until its text is prepared and known,
// and by ScanRows.
func TestQueryAll(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		conn := prepareQueryCases(t, db)
		for _, c := range queryCases {
			for _, how := range []string{"first", "second", "third"} {
				got, err := c.run(t.Context(), conn, c.query, c.args...)
				c.check(t, how, got, err)
			}
			if c.name == "lax" {
				continue
			}
			rows, err := conn.QueryContext(t.Context(), c.query, c.args...)
			if err != nil {
				c.check(t, "rows", nil, err)
				continue
			}
			got, err := c.scan(rows)
			c.check(t, "rows", got, err)
			rows.Close()
		}
	})
}

func TestQuery(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		db.SetMaxOpenConns(1) // what is left open is seen
		ctx := t.Context()
		for range 3 {
			sum := 0
			for n, err := range psyco.Query[int](ctx, db, "SELECT i FROM generate_series(1, 5) i WHERE i > %s", 1) {
				if err != nil {
					t.Fatal(err)
				}
				if sum += n; n == 4 {
					break
				}
			}
			if sum != 2+3+4 {
				t.Errorf("the rows add up to %d", sum)
			}
			calls := 0
			for n, err := range psyco.Query[int](ctx, db, "SELECT 6/(3-i) FROM generate_series(1, 5) i WHERE i > %s", 0) {
				if calls++; calls < 3 && err != nil || calls == 3 && (code(err) != "22012" || n != 0) {
					t.Errorf("call %d: %d, %v", calls, n, err)
				}
			}
			if calls != 3 {
				t.Errorf("%d calls for two rows and an error", calls)
			}
			again := psyco.Query[int](ctx, db, "SELECT 1")
			for range 2 {
				for n, err := range again {
					if n != 1 || err != nil {
						t.Errorf("%d, %v", n, err)
					}
				}
			}
			for n, err := range psyco.Query[int](ctx, db, "SELECT nonsense") {
				if code(err) != "42703" {
					t.Errorf("%d, %v", n, err)
				}
			}
		}
		if n := db.Stats().InUse; n != 0 {
			t.Errorf("%d connections are still in use", n)
		}
	})
}

// TestQueryNested runs statements on the connection of rows that are being read.
func TestQueryNested(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		if wrapped(t) {
			return // lib/pq's connection is busy
		}
		tx := mustBegin(t, db)
		for range 3 {
			var got []string
			for c, err := range psyco.Query[struct {
				N int
				S string
			}](t.Context(), tx, "SELECT i AS n, repeat('x', 1000) || i AS s FROM generate_series(1, 200) i WHERE i > %s", 0) {
				if err != nil {
					t.Fatal(err)
				}
				if c.N%50 == 1 {
					name, err := psyco.QueryOne[string](t.Context(), tx, "SELECT 'n' || %s", c.N)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, name)
				}
				if want := strings.Repeat("x", 1000) + fmt.Sprint(c.N); c.S != want {
					t.Fatalf("row %d has %.20q…", c.N, c.S)
				}
			}
			if s := strings.Join(got, " "); s != "n1 n51 n101 n151" {
				t.Errorf("got %s", s)
			}
		}
	})
}

func TestQueryOne(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		db.SetMaxOpenConns(1)
		ctx := t.Context()
		for range 3 {
			for _, tt := range []struct {
				name  string
				from  int
				want  int
				fails error
			}{{"one", 2, 3, nil}, {"none", 3, 0, sql.ErrNoRows}, {"two", 1, 0, psyco.ErrTooManyRows}, {"three", 0, 0, psyco.ErrTooManyRows}} {
				got, err := psyco.QueryOne[int](ctx, db, "SELECT i FROM generate_series(1, 3) i WHERE i > %s", tt.from)
				if got != tt.want || !errors.Is(err, tt.fails) {
					t.Errorf("%s: %d, %v", tt.name, got, err)
				}
			}
			if got, err := psyco.QueryOne[int](ctx, db, "SELECT 1/i FROM generate_series(0, 1) i WHERE i < %s", 5); code(err) != "22012" {
				t.Errorf("%d, %v", got, err)
			}
		}
	})
}

// TestQueryCanceled ends the context of rows that are being read.
func TestQueryCanceled(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			var last error
			for n, err := range psyco.Query[int](ctx, db, "SELECT i FROM (SELECT generate_series(1, 1000000) AS i) s WHERE i > %s", 0) {
				if n == 10 {
					cancel()
				}
				last = err
			}
			cancel()
			if !errors.Is(last, context.Canceled) {
				t.Errorf("error %v", last)
			}
		}
	})
}

func TestScanRows(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		rows, err := db.QueryContext(t.Context(), "SELECT 1 AS id, 'x' AS name; SELECT 2 AS n UNION ALL SELECT 3; SELECT 1 AS a, 4 AS n")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for v, err := range psyco.ScanRows[embedding](rows) {
			if err != nil || v.ID != 1 || v.Name != "x" {
				t.Errorf("%v, %v", v, err)
			}
		}
		if !rows.NextResultSet() {
			t.Fatal(rows.Err())
		}
		for n, err := range psyco.ScanRows[int](rows) {
			if n != 2 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
			break // the rest is still there
		}
		if n := 0; !rows.Next() || rows.Scan(&n) != nil || n != 3 {
			t.Errorf("got %d instead of the row that was left", n)
		}
		if rows.Next() {
			t.Error("there is one more row")
		}
		if !rows.NextResultSet() {
			t.Fatal(rows.Err())
		}
		for v, err := range psyco.ScanRows[struct{ N int }](rows, psyco.Lax()) {
			if v.N != 4 || err != nil {
				t.Errorf("%v, %v", v, err)
			}
		}
	})
}

// TestQueryMock reads rows of sqlmock, behind psyco and without it.
func TestQueryMock(t *testing.T) {
	behind, mock := psycotest.Mock(t)
	plain, plainMock, err := sqlmock.New()
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	rows := func(mock sqlmock.Sqlmock, query string) {
		mock.ExpectQuery(query).WithArgs(7).WillReturnRows(sqlmock.NewRows([]string{"id", "name", "email", "created_at"}).
			AddRow(int64(7), []byte("x"), nil, time.Unix(0, 0)).AddRow([]byte("8"), "y", "e", time.Unix(1, 0)))
	}
	want := []client{{7, "x", nil, time.Unix(0, 0)}, {8, "y", some("e"), time.Unix(1, 0)}}
	rows(mock, "SELECT * FROM clients WHERE id >= %s")
	if got, err := psyco.QueryAll[client](t.Context(), behind, "SELECT * FROM clients WHERE id >= %s", 7); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("behind psyco: %v, %v", got, err)
	}
	rows(plainMock, "SELECT")
	if got, err := psyco.QueryAll[client](t.Context(), plain, "SELECT * FROM clients WHERE id >= $1", 7); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("without psyco: %v, %v", got, err)
	}
	mock.ExpectQuery("SELECT 1").WillReturnRows(sqlmock.NewRows([]string{"a", "b"}).AddRow([]byte("t"), []byte{0xff}))
	if got, err := psyco.QueryOne[[]any](t.Context(), behind, "SELECT 1"); err != nil || !reflect.DeepEqual(got, []any{"t", []byte{0xff}}) {
		t.Errorf("%v, %v", got, err)
	}
}

// TestQueryHandles runs queries on handles of every kind.
func TestQueryHandles(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		plain, err := sql.Open("postgres", sameDatabase(t, db))
		if err != nil {
			t.Fatal(err)
		}
		defer plain.Close()
		for _, tt := range []struct {
			name   string
			h      psyco.Handle
			native bool
		}{{"DB", db, false}, {"Tx", mustBegin(t, db), false}, {"Conn", mustConn(t, db), false}, {"statements", preparing{db}, false}, {"lib/pq", plain, true}} {
			for range 3 {
				if got, err := psyco.QueryAll[int](t.Context(), tt.h, "SELECT i FROM generate_series(1, $1) i", 2); err != nil || len(got) != 2 {
					t.Errorf("%s: %v, %v", tt.name, got, err)
				}
				if got, err := psyco.QueryAll[string](t.Context(), tt.h, "SELECT 'x'"); err != nil || len(got) != 1 {
					t.Errorf("%s: %v, %v", tt.name, got, err)
				}
				if tt.native {
					continue
				}
				if got, err := psyco.QueryAll[int](t.Context(), tt.h, "SELECT i FROM generate_series(1, %s) i", 2); err != nil || len(got) != 2 {
					t.Errorf("%s: %v, %v", tt.name, got, err)
				}
			}
		}
	})
}

// TestRowOptionMisplaced gives what belongs to Query to database/sql's own methods.
func TestRowOptionMisplaced(t *testing.T) {
	db := testDB(t)
	//psyco:allow the error is what is wanted
	if _, err := db.Query("SELECT %s", psyco.Lax()); err == nil || !strings.Contains(err.Error(), "Lax is for Query") {
		t.Errorf("error %v", err)
	}
}

// TestQueryDirect reads every case where the connection decodes it, and looks whether it
// does.
func TestQueryDirect(t *testing.T) {
	for _, dsn := range []string{"", " prepare_threshold=1"} {
		db := open(t, pgserver.TestDSN(t)+dsn)
		conn := prepareQueryCases(t, db)
		for _, c := range queryCases {
			switch c.name {
			case "through a cursor", "two statements", "no SELECT":
				continue
			}
			_, _ = c.direct(t.Context(), conn, c.query, c.args...)
			got, err := c.run(t.Context(), conn, c.query, c.args...)
			c.check(t, "directly", got, err)
			if direct, err := c.direct(t.Context(), conn, c.query, c.args...); c.fails == "" && (!direct || err != nil) {
				t.Errorf("%s: the rows are not read directly; %v", c.name, err)
			}
		}
	}
}

// mixed is a row of fixed size, and one text.
type mixed struct {
	ID    int64
	Name  string
	Score float64
	At    time.Time
	OK    bool
}

const mixedRows = `SELECT i AS id, 'name ' || i AS name, i / 7.0::float8 AS score, 'epoch'::timestamp + i * interval '1 second' AS at, i % 2 = 0 AS ok
	FROM generate_series(1::int8, %s) i`

// TestQueryAllocations counts what a row costs: the memory of its texts, and a part of a slice.
func TestQueryAllocations(t *testing.T) {
	db := testDB(t)
	const rows = 10_000
	run := func() {
		if got, err := psyco.QueryAll[mixed](t.Context(), db, mixedRows, rows); err != nil || len(got) != rows {
			t.Fatalf("%d rows, %v", len(got), err)
		}
	}
	run()
	if n := testing.AllocsPerRun(3, run) / rows; n > 1.1 {
		t.Errorf("%v allocations a row", n)
	}
	one := func() {
		if got, err := psyco.QueryOne[mixed](t.Context(), db, mixedRows, 1); err != nil || got.Name != "name 1" {
			t.Fatalf("%v, %v", got, err)
		}
	}
	var m mixed
	scan := func() {
		if err := db.QueryRowContext(t.Context(), mixedRows, 1).Scan(&m.ID, &m.Name, &m.Score, &m.At, &m.OK); err != nil {
			t.Fatal(err)
		}
	}
	one()
	if typed, scanned := testing.AllocsPerRun(100, one), testing.AllocsPerRun(100, scan); typed > scanned {
		t.Errorf("%v allocations for one row, %v with Scan", typed, scanned)
	}
}

// TestQueryRoundTrips expects one for each query, whatever is known of its text.
func TestQueryRoundTrips(t *testing.T) {
	db := testDB(t)
	conn := mustConn(t, db)
	for _, tt := range []struct {
		name, query string
		args        []any
	}{{"arguments", mixedRows, []any{3}}, {"no arguments", "SELECT i AS id, '' AS name, 0::float8 AS score, now() AS at, true AS ok FROM generate_series(1, 3) i", nil}} {
		for _, how := range []string{"first", "second", "third"} {
			n := roundTrips(t, conn, func() {
				if got, err := psyco.QueryAll[mixed](t.Context(), conn, tt.query, tt.args...); err != nil || len(got) != 3 {
					t.Fatalf("%s: %d rows, %v", tt.name, len(got), err)
				}
			})
			if n != 1 {
				t.Errorf("%s, %s time: %d round trips", tt.name, how, n)
			}
		}
	}
}

// TestQueryBetween reads rows directly with notices in between, which lib/pq has to see.
func TestQueryBetween(t *testing.T) {
	notices := 0
	db := testDB(t, psyco.WithNoticeHandler(func(*pq.Error) { notices++ }))
	mustExec(t, db, `CREATE FUNCTION noisy(i int) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '%', i; RETURN repeat('n', 100) || i; END $$`)
	type row struct {
		N int
		S string
		T time.Time
	}
	for range 3 {
		got, err := psyco.QueryAll[row](t.Context(), db, "SELECT i AS n, noisy(i) AS s, 'epoch'::timestamp AS t FROM generate_series(1, %s) i", 200)
		if err != nil || len(got) != 200 {
			t.Fatalf("%d rows, %v", len(got), err)
		}
		for i, r := range got {
			if r.N != i+1 || r.S != strings.Repeat("n", 100)+fmt.Sprint(i+1) || !r.T.Equal(time.Unix(0, 0)) {
				t.Fatalf("row %d is %v", i, r)
			}
		}
	}
	if notices != 600 {
		t.Errorf("%d notices", notices)
	}
}

// panicking is a type whose Scan method fails.
type panicking struct{}

func (*panicking) Scan(any) error { panic("in Scan") }

// TestQueryPanic lets a panic of the program's code through.
func TestQueryPanic(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		db.SetMaxOpenConns(1)
		for range 3 {
			func() {
				defer func() {
					if v := recover(); v != "in Scan" {
						t.Errorf("recovered %v", v)
					}
				}()
				got, err := psyco.QueryAll[panicking](t.Context(), db, "SELECT %s::text", "x")
				t.Errorf("%v, %v", got, err)
			}()
			if n, err := psyco.QueryOne[int](t.Context(), db, "SELECT 1"); n != 1 || err != nil {
				t.Errorf("afterwards: %d, %v", n, err)
			}
		}
	})
}

// TestQueryChangedColumns changes the columns of a query that is prepared.
func TestQueryChangedColumns(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		conn := mustConn(t, db)
		mustExec(t, conn, "CREATE TABLE t AS SELECT 1 AS a, 2 AS b")
		query := func() (map[string]any, error) {
			got, err := psyco.QueryOne[map[string]any](t.Context(), conn, "SELECT * FROM t WHERE a > %s", 0)
			again, errAgain := psyco.QueryOne[map[string]any](t.Context(), conn, "SELECT * FROM t")
			if !reflect.DeepEqual(got, again) {
				t.Errorf("%v, without arguments %v", got, again)
			}
			return got, errors.Join(err, errAgain)
		}
		for range 3 {
			if got, err := query(); err != nil || !reflect.DeepEqual(got, map[string]any{"a": int64(1), "b": int64(2)}) {
				t.Errorf("%v, %v", got, err)
			}
		}
		mustExec(t, conn, "ALTER TABLE t ALTER b TYPE text, ADD c timestamp DEFAULT 'epoch'")
		for range 3 {
			if got, err := query(); err != nil || !reflect.DeepEqual(got, map[string]any{"a": int64(1), "b": "2", "c": at("1970-01-01 00:00:00")}) {
				t.Errorf("%v, %v", got, err)
			}
		}
		mustExec(t, db, "ALTER TABLE t DROP b, ALTER c TYPE date") // by another session
		for range 3 {
			if got, err := query(); err != nil || !reflect.DeepEqual(got, map[string]any{"a": int64(1), "c": at("1970-01-01 00:00:00")}) {
				t.Errorf("%v, %v", got, err)
			}
		}
	})
}

const instants = "SELECT t FROM unnest('{2024-01-01, 2024-07-01, 1900-01-01, 0044-03-15 BC}'::timestamptz[]) t"

// TestQueryZone changes the session's time zone between queries.
func TestQueryZone(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		conn := mustConn(t, db)
		for range 3 {
			for _, zone := range []string{"UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "<+03:30>-03:30"} {
				mustExec(t, conn, "SET TIME ZONE '"+zone+"'")
				var want []time.Time
				rows, err := conn.QueryContext(t.Context(), instants)
				if err != nil {
					t.Fatal(err)
				}
				for rows.Next() {
					var at time.Time
					if err := rows.Scan(&at); err != nil {
						t.Fatal(err)
					}
					want = append(want, at)
				}
				got, err := psyco.QueryAll[time.Time](t.Context(), conn, instants)
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%s: got %v, want %v; %v", zone, got, want, err)
				}
			}
		}
	})
}

// TestQueryFloat4 reads float4s into float64s: they are the numbers of their texts.
func TestQueryFloat4(t *testing.T) {
	conn := mustConn(t, testDB(t))
	mustExec(t, conn, `CREATE TABLE f AS SELECT ((random() - 0.5) * 2::float8 ^ (random() * 250 - 125))::float4 AS v FROM generate_series(1, 5000);
		INSERT INTO f SELECT (random() * 1e9)::int::float4 FROM generate_series(1, 5000);
		INSERT INTO f SELECT (sign * 2::float8 ^ n)::float4 FROM generate_series(-149, 127) n, (VALUES (1), (-1)) s (sign);
		INSERT INTO f VALUES (-35254832), (8388608.5), (33554432), (9007199254740992)`)
	for range 2 {
		got, err := psyco.QueryAll[struct {
			V float64
			T string
		}](t.Context(), conn, "SELECT v, v::text AS t FROM f")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range got {
			if want, err := strconv.ParseFloat(f.T, 64); err != nil || f.V != want {
				t.Errorf("%s is %v; %v", f.T, f.V, err)
			}
		}
	}
}

// TestQueryBrokenRows meets rows that do not fit what the server has said of them.
func TestQueryBrokenRows(t *testing.T) {
	const columns = "\x00\x02"
	for _, tt := range []struct{ name, row string }{
		{"a short int8", columns + "\x00\x00\x00\x03abc" + "\x00\x00\x00\x01x"},
		{"a long int8", columns + "\x00\x00\x00\x09abcdefghi" + "\x00\x00\x00\x01x"},
		{"one column", "\x00\x01" + "\x00\x00\x00\x08abcdefgh"},
		{"three columns", "\x00\x03" + "\x00\x00\x00\x08abcdefgh" + "\x00\x00\x00\x01x" + "\xff\xff\xff\xff"},
		{"a column behind the end", columns + "\x00\x00\x00\x08abcdefgh" + "\x00\x00\x00\x05x"},
		{"a negative length", columns + "\x00\x00\x00\x08abcdefgh" + "\xff\xff\xff\xfe"},
	} {
		for _, rows := range []int{3, 3000} {
			t.Run(fmt.Sprint(tt.name, " of ", rows), func(t *testing.T) {
				t.Parallel()
				p, db, _ := faulty(t, "")
				db.SetMaxOpenConns(1)
				var left atomic.Int32
				p.Rewrite(func(_ int, m []byte) faultproxy.Rewrite {
					if m[0] != 'D' || left.Load() == 0 || left.Add(-1) > 0 {
						return faultproxy.Rewrite{Bytes: m}
					}
					m = binary.BigEndian.AppendUint32([]byte{'D'}, uint32(len(tt.row)+4))
					return faultproxy.Rewrite{Bytes: append(m, tt.row...)}
				})
				type row struct {
					N int64
					S string
				}
				query := func() ([]row, error) {
					return psyco.QueryAll[row](t.Context(), db, "SELECT i AS n, 'x' AS s FROM generate_series(1::int8, %s) i", rows)
				}
				for range 2 {
					if got, err := query(); err != nil || len(got) != rows {
						t.Fatalf("%d rows, %v", len(got), err)
					}
				}
				left.Store(int32(rows - 1))
				if got, err := query(); err == nil || !strings.HasPrefix(err.Error(), "psyco: ") {
					t.Errorf("%d rows, error %v", len(got), err)
				}
				if got, err := query(); err != nil || len(got) != rows {
					t.Errorf("afterwards: %d rows, %v", len(got), err)
				}
			})
		}
	}
}

// TestQueryTraced sees the same of rows that are decoded directly as of any others.
func TestQueryTraced(t *testing.T) {
	inTracedModes(t, func(t *testing.T, db *sql.DB, rec *recorder) {
		for _, tt := range []struct {
			name string
			run  func() error
			want string
		}{
			{"all", func() error {
				_, err := psyco.QueryAll[int](t.Context(), db, "SELECT i FROM generate_series(1, %s) i", 5)
				return err
			}, "Query SELECT i FROM generate_series(1, %s) i args=1 returned=5"},
			{"no arguments", func() error { _, err := psyco.QueryAll[int](t.Context(), db, "SELECT 1"); return err }, "Query SELECT 1 returned=1"},
			{"left early", func() error {
				for _, err := range psyco.Query[int](t.Context(), db, "SELECT i FROM generate_series(1, %s) i", 5) {
					return err
				}
				return nil
			}, "Query SELECT i FROM generate_series(1, %s) i args=1 returned=1"},
			{"an error", func() error {
				if _, err := psyco.QueryAll[int](t.Context(), db, "SELECT 6/(3-i) FROM generate_series(1, %s) i", 5); err == nil {
					return errors.New("no error")
				}
				return nil
			}, "Query SELECT 6/(3-i) FROM generate_series(1, %s) i args=1 returned=2 error=22012"},
		} {
			for range 3 {
				if err := tt.run(); err != nil {
					t.Errorf("%s: %v", tt.name, err)
				}
				var got []string
				for _, e := range rec.take(t) {
					got = append(got, describe(e))
				}
				if len(got) != 1 || got[0] != tt.want {
					t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
				}
			}
		}
	})
}

// aheadConnector is a driver in front of psyco's that reads rows ahead: all of them before
// it returns, or one.
type aheadConnector struct {
	driver.Connector
	all bool
}

func (a aheadConnector) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := a.Connector.Connect(ctx)
	return aheadConn{c, a.all}, err
}

type aheadConn struct {
	driver.Conn
	all bool
}

func (aheadConn) CheckNamedValue(*driver.NamedValue) error { return nil }

func (c aheadConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
	if err != nil {
		return nil, err
	}
	ahead := &aheadRows{Rows: rows}
	for c.all && ahead.read() {
	}
	return ahead, nil
}

type aheadRows struct {
	driver.Rows
	ready [][]driver.Value
	err   error
}

func (r *aheadRows) read() bool {
	row := make([]driver.Value, len(r.Columns()))
	if r.err == nil {
		if r.err = r.Rows.Next(row); r.err == nil {
			r.ready = append(r.ready, row)
		}
	}
	return r.err == nil
}

func (r *aheadRows) Next(dest []driver.Value) error {
	for len(r.ready) < 2 && r.read() {
	}
	if len(r.ready) == 0 {
		return r.err
	}
	copy(dest, r.ready[0])
	r.ready = r.ready[1:]
	return nil
}

// TestQueryReadAhead reads rows through drivers that read ahead: they come as they are, or
// there is an error.
func TestQueryReadAhead(t *testing.T) {
	type row struct {
		N int64
		S string
	}
	for _, all := range []bool{true, false} {
		connector, err := psyco.NewConnector(pgserver.TestDSN(t))
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(aheadConnector{connector, all})
		defer db.Close()
		db.SetMaxOpenConns(1)
		for _, n := range []int{1, 5, 5000} {
			for range 3 {
				got, err := psyco.QueryAll[row](t.Context(), db, "SELECT i AS n, 'text ' || i AS s FROM generate_series(1::int8, %s) i", n)
				if err != nil && !all && strings.Contains(err.Error(), "has read rows ahead") {
					continue
				}
				if err != nil || len(got) != n {
					t.Fatalf("%d rows of %d, %v", len(got), n, err)
				}
				for i, r := range got {
					if r.N != int64(i+1) || r.S != fmt.Sprint("text ", i+1) {
						t.Fatalf("row %d is %v", i+1, r)
					}
				}
			}
		}
	}
}
