package values_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/testdb"
	"github.com/psyco-go/psyco/internal/testsize"
)

// differing are ways to read rows as values of a type.
type differing struct {
	name                    string
	direct, scanned, copied func(ctx context.Context, h psyco.Handle, query string, args ...any) (any, error)
}

func bothWays[T any]() differing {
	return differing{fmt.Sprint(reflect.TypeFor[T]()), func(ctx context.Context, h psyco.Handle, query string, args ...any) (any, error) {
		return psyco.QueryAll[T](ctx, h, query, args...)
	}, func(ctx context.Context, h psyco.Handle, query string, args ...any) (any, error) {
		rows, err := h.QueryContext(ctx, query, args...)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		return testdb.Collected(psyco.ScanRows[T](rows))
	}, func(ctx context.Context, h psyco.Handle, query string, args ...any) (any, error) {
		return testdb.Collected(psyco.CopyOutRows[T](ctx, h, "COPY ("+query+") TO STDOUT", args...))
	}}
}

type (
	numbers []int16
	status  string
)

// TestDirectAsScanned reads values of every type into fields of every type, directly,
// by way of database/sql, and of the data of a COPY.
func TestDirectAsScanned(t *testing.T) {
	targets := []differing{
		bothWays[int](), bothWays[int8](), bothWays[int16](), bothWays[int32](), bothWays[int64](), bothWays[*int64](),
		bothWays[uint](), bothWays[uint8](), bothWays[uint32](), bothWays[uint64](), bothWays[float32](), bothWays[float64](), bothWays[**int](),
		bothWays[bool](), bothWays[*bool](), bothWays[string](), bothWays[*string](), bothWays[status](), bothWays[[]byte](), bothWays[*[]byte](),
		bothWays[json.RawMessage](), bothWays[time.Time](), bothWays[*time.Time](), bothWays[time.Duration](), bothWays[[16]byte](),
		bothWays[psyco.Timestamp](), bothWays[psyco.Date](), bothWays[*psyco.Date](), bothWays[psyco.Interval](), bothWays[psyco.Numeric](), bothWays[sql.Null[psyco.Numeric]](),
		bothWays[sql.Null[int]](), bothWays[sql.Null[string]](), bothWays[sql.Null[time.Time]](), bothWays[sql.NullInt32](), bothWays[sql.NullBool](),
		bothWays[sql.NullString](), bothWays[sql.NullTime](), bothWays[sql.NullFloat64](), bothWays[sql.RawBytes](),
		bothWays[any](), bothWays[[]any](), bothWays[map[string]any](), bothWays[[]int](), bothWays[[]string](), bothWays[*[]string](), bothWays[numbers](),
		bothWays[netip.Addr](), bothWays[netip.Prefix](), bothWays[psyco.JSON[any]](), bothWays[psyco.Range[int]](), bothWays[psyco.HStore](), bothWays[struct{ V any }](),
	}
	random := testsize.Cases(5, 50) // rows
	db := testDB(t)
	conn := mustConn(t, db)
	mustExec(t, conn, `CREATE TYPE mood AS ENUM ('happy', 'sad'); CREATE DOMAIN digits AS int CHECK (value < 1000); CREATE DOMAIN word AS text`)
	for i, tt := range []struct {
		typ, random string
		values      []string
	}{
		{"int2", "(random() * 65535 - 32768)::int", []string{"-32768", "0", "32767"}},
		{"int4", "(random() * 4294967295 - 2147483648)::int8", []string{"-2147483648", "-1", "2147483647"}},
		{"int8", "(random() * 1e18)::int8 - 5e17::int8", []string{"-9223372036854775808", "0", "9223372036854775807"}},
		{"oid", "(random() * 4294967295)::int8", []string{"0", "4294967295"}},
		{"float4", "((random() - 0.5) * 10 ^ (random() * 60 - 30))", []string{"0.1", "-0", "NaN", "Infinity", "-Infinity", "3.4e38", "1e-45", "16777217"}},
		{"float8", "((random() - 0.5) * 10 ^ (random() * 500 - 250))", []string{"0.1", "-0", "NaN", "Infinity", "-Infinity", "1.7e308", "5e-324", "9007199254740993"}},
		{"bool", "random() < 0.5", []string{"t", "f"}},
		{"numeric", "(random() * 1e12)::numeric", []string{"1.50", "NaN", "Infinity", "-1e-20", "7"}},
		{"text", "md5(random()::text)", []string{"", "1", "t", "2024-02-29", "ünï", "{1,2}", `\x00`}},
		{"varchar", "md5(random()::text)", []string{"", "x"}},
		{"bpchar", "md5(random()::text)", []string{"", "x "}},
		{`"char"`, "chr(65 + (random() * 20)::int)", []string{"", "a"}},
		{"name", "md5(random()::text)", []string{"", "x"}},
		{"bytea", "decode(md5(random()::text), 'hex')", []string{"", `\x00`, `\xff`, "abc"}},
		{"uuid", "gen_random_uuid()", []string{"00000000-0000-0000-0000-000000000000"}},
		{"date", "'2000-01-01'::date + ((random() - 0.5) * 1000000)::int", []string{"infinity", "-infinity", "4713-01-01 BC", "5874897-12-31", "0001-01-01", "0044-03-15 BC"}},
		{"time", "(random() * interval '24 hours')::time", []string{"00:00", "24:00", "23:59:59.999999"}},
		{"timetz", "(random() * interval '24 hours')::time + '+02'::interval", []string{"00:00+00", "12:34:56.7-03:30"}},
		{"timestamp", "'2000-01-01'::timestamp + (random() - 0.5) * interval '1000000 days'", []string{"infinity", "-infinity", "4713-01-01 BC", "294276-12-31 23:59:59.999999", "1969-12-31 23:59:59.999999"}},
		{"timestamptz", "'2000-01-01'::timestamptz + (random() - 0.5) * interval '1000000 days'", []string{"infinity", "-infinity", "4713-01-02 BC", "294276-12-30", "1900-01-01", "2024-07-01"}},
		{"interval", "random() * interval '100 years 5 mons -3 days 12:34:56.7'", []string{"0", "-1 day", "1 mon -1 day +01:00", "-178000000 years"}},
		{"json", "to_json(random())", []string{"null", `{"a": 1}`, "[1, 2]", `"x"`}},
		{"jsonb", "to_jsonb(random())", []string{"null", `{"a": 1}`, "[1, 2]", `"x"`}},
		{"inet", "'10.0.0.0'::inet + (random() * 1000000)::int", []string{"::1", "10.0.0.1/8"}},
		{"int4range", "int4range((random() * 10)::int, 20)", []string{"empty", "(,)"}},
		{"int4[]", "array[(random() * 10)::int]", []string{"{}", "{1,NULL}", "{{1,2},{3,4}}"}},
		{"text[]", "array[md5(random()::text)]", []string{"{}", "{NULL}", `{"a,b"}`}},
		{"mood", "CASE WHEN random() < 0.5 THEN 'happy' ELSE 'sad' END::mood", []string{"sad"}},
		{"digits", "(random() * 100)::int", []string{"-5"}},
		{"word", "md5(random()::text)", []string{""}},
	} {
		for _, zone := range []string{"UTC", "Europe/Berlin", "<+03:30>-03:30"} {
			if zone != "UTC" && tt.typ != "timestamptz" {
				continue
			}
			table := fmt.Sprintf("t%d_%d", i, len(zone))
			mustExec(t, conn, "SET TIME ZONE '"+zone+"'")
			mustExec(t, conn, fmt.Sprintf("CREATE TABLE %s (n serial, v %s); INSERT INTO %[1]s (v) SELECT %[3]s FROM generate_series(1, %[4]d); INSERT INTO %[1]s (v) VALUES (NULL)", table, tt.typ, tt.random, random))
			for _, v := range tt.values {
				mustExec(t, conn, fmt.Sprintf("INSERT INTO %s (v) VALUES (%s)", table, "'"+v+"'"))
			}
			all := fmt.Sprintf("SELECT v FROM %s WHERE n BETWEEN %%s AND %%s ORDER BY n", table)
			compare := func(target differing, first, last int) (direct any, directErr error) {
				t.Helper()
				direct, directErr = target.direct(t.Context(), conn, all, first, last)
				scanned, scannedErr := target.scanned(t.Context(), conn, all, first, last)
				if fmt.Sprint(directErr) != fmt.Sprint(scannedErr) {
					t.Errorf("%s into %s, rows %d to %d: error %v directly, %v scanned", tt.typ, target.name, first, last, directErr, scannedErr)
				} else if !equalNaN(direct, scanned) {
					t.Errorf("%s into %s, rows %d to %d:\n%#v directly\n%#v scanned", tt.typ, target.name, first, last, direct, scanned)
				}
				return direct, directErr
			}
			rows := random + 1 + len(tt.values)
			for j, target := range targets {
				if (i+j)%testsize.Cases(3, 1) != 0 {
					continue
				}
				_, _ = target.direct(t.Context(), conn, all, 0, 0)
				direct, want := compare(target, 1, rows)
				copied, err := target.copied(t.Context(), conn, all, 1, rows)
				if text := strings.Replace(fmt.Sprint(err), "psyco: CopyOutRows: ", "psyco: ", 1); text != fmt.Sprint(want) {
					t.Errorf("%s into %s: error %v copied, %v directly", tt.typ, target.name, err, want)
				} else if want == nil && !equalNaN(copied, direct) {
					t.Errorf("%s into %s:\n%#v copied\n%#v directly", tt.typ, target.name, copied, direct)
				}
				if want == nil {
					continue
				}
				for n := range testsize.Some(2, 2+len(tt.values)) { // the last random one and all behind it
					compare(target, random-1+n, random-1+n)
				}
			}
		}
	}
}
