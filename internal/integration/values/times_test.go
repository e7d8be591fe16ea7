package values_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testsize"
)

// TestTimesInOldZones stores times before there were time zones, in places that have one:
// their offset is the local mean time, which has seconds.
func TestTimesInOldZones(t *testing.T) {
	var times []time.Time
	for _, name := range []string{"UTC", "America/New_York", "Europe/Amsterdam", "Asia/Kolkata", "Pacific/Apia"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, year := range []int{-4712, -43, -4, 0, 1, 1500, 1883, 1900, 2024, 12024} {
			times = append(times, time.Date(year, 1, 2, 3, 4, 5, 678901000, zone), time.Date(year, 2, 29, 23, 59, 59, 0, zone), time.Date(year, 7, 1, 0, 0, 0, 0, zone))
		}
	}
	const micros = "(extract(epoch FROM %s) * 1000000)::bigint"
	inModes(t, func(t *testing.T, db *sql.DB) {
		mustExec(t, db, "CREATE TABLE t (n serial, way text, z timestamptz)")
		ctx := t.Context()
		var rows [][]any
		for _, at := range times {
			for range 2 {
				var got int64
				if err := db.QueryRow(fmt.Sprintf("SELECT "+micros, "%s::timestamptz"), at).Scan(&got); err != nil || got != at.UnixMicro() {
					t.Errorf("%v: %d, %v, want %d", at, got, err, at.UnixMicro())
				}
			}
			rows = append(rows, []any{"many", at})
		}
		if _, err := psyco.ExecMany(ctx, db, "INSERT INTO t (way, z) VALUES (%s, %s)", psyco.SliceRows(rows)); err != nil {
			t.Fatal(err)
		}
		for _, options := range [][]psyco.CopyOption{nil, {psyco.CopyTextFormat()}} {
			if wrapped(t) {
				break
			}
			for i := range rows {
				rows[i][0] = fmt.Sprint("copy ", len(options))
			}
			if _, err := psyco.CopyRows(ctx, db, psyco.Identifier{"t"}, []string{"way", "z"}, psyco.SliceRows(rows), options...); err != nil {
				t.Fatal(err)
			}
		}
		mustExec(t, db, "INSERT INTO t (way, z) SELECT 'array', unnest(%s::timestamptz[])", times)
		text, err := psyco.Mogrify("INSERT INTO t (way, z) SELECT 'literal', unnest(ARRAY[%s, %s, %s])", times[0], times[3], times[6])
		if err != nil {
			t.Fatal(err)
		}
		mustExec(t, db, text)
		stored, err := db.Query("SELECT way, " + fmt.Sprintf(micros, "z") + ", z FROM t ORDER BY n")
		if err != nil {
			t.Fatal(err)
		}
		defer stored.Close()
		seen := map[string]int{}
		for stored.Next() {
			var way string
			var got int64
			var back time.Time
			if err := stored.Scan(&way, &got, &back); err != nil {
				t.Fatal(err)
			}
			want := times[seen[way]]
			if way == "literal" {
				want = times[3*seen[way]]
			}
			if got != want.UnixMicro() || !back.Equal(want) {
				t.Errorf("%s: %v is stored as %d and read as %v, want %d", way, want, got, back, want.UnixMicro())
			}
			seen[way]++
		}
		if err := stored.Err(); err != nil {
			t.Fatal(err)
		}
	})
}

const envInfinity = "PSYCO_TEST_INFINITY_DSN"

// TestEnableInfinityTs runs in a process of its own: pq.EnableInfinityTs is for all
// connections and cannot be taken back.
func TestEnableInfinityTs(t *testing.T) {
	if dsn := os.Getenv(envInfinity); dsn != "" {
		infinities(t, dsn)
		return
	}
	for _, late := range []string{"", "1"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestEnableInfinityTs$", "-test.v")
		cmd.Env = append(os.Environ(), envInfinity+"="+pgserver.TestDSN(t), envInfinity+"_LATE="+late)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}

func infinities(t *testing.T, dsn string) {
	past, future := time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC)
	between := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	ctx := context.Background()
	// What was written before is written as it is, and has no part in what follows.
	text := func() string {
		q, err := psyco.Mogrify("%s %s", past, []time.Time{future})
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	if got := text(); strings.Contains(got, "infinity") {
		t.Errorf("got %s", got)
	}
	if os.Getenv(envInfinity+"_LATE") != "" { // once a connection has written one, too
		early := open(t, dsn)
		if got := all(t, early, "SELECT %s::timestamptz::text", past); strings.Contains(got[0], "infinity") {
			t.Errorf("got %s", got)
		}
		early.Close()
	}
	pq.EnableInfinityTs(past, future)
	if os.Getenv(envInfinity+"_LATE") == "" {
		if got := text(); strings.Count(got, "infinity") != 2 {
			t.Errorf("got %s", got)
		}
	}
	values := []time.Time{past, future, between}
	same := func(t *testing.T, what string, got ...string) {
		t.Helper()
		for i, want := range []string{"-infinity", "infinity", "2024-02-29"} {
			if len(got) != 3 || got[i] != want && (i < 2 || len(got[i]) < 10 || got[i][:10] != want) {
				t.Errorf("%s: %q", what, got)
				return
			}
		}
	}
	for _, mode := range []struct{ name, driver, extra string }{
		{"lib/pq", "postgres", ""}, // says what is wanted
		{"psyco", "psyco", ""},
		{"prepared", "psyco", " prepare_threshold=1"},
		{"no cache", "psyco", " statement_cache_capacity=0"},
		{"binary_parameters", "psyco", " binary_parameters=yes"},
		{"client binding", "psyco", " binding=client"},
	} {
		t.Run(mode.name, func(t *testing.T) {
			db, err := sql.Open(mode.driver, dsn+mode.extra)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			for _, typ := range []string{"timestamptz", "timestamp", "date"} {
				queries := []string{"SELECT ($1::" + typ + ")::text"}
				if mode.driver == "psyco" {
					queries = append(queries, "SELECT (%s::"+typ+")::text")
				}
				for _, query := range queries {
					for range 3 { // unprepared, then prepared
						var got []string
						for _, v := range values {
							got = append(got, all(t, db, query, v)...)
						}
						same(t, query, got...)
					}
				}
				for range 3 {
					var lo, hi time.Time
					query := "SELECT '-infinity'::" + typ + ", 'infinity'::" + typ + " WHERE $1"
					if err := db.QueryRow(query, true).Scan(&lo, &hi); err != nil || !lo.Equal(past) || !hi.Equal(future) {
						t.Errorf("%s: %v, %v, %v", query, lo, hi, err)
					}
				}
			}
			if mode.driver != "psyco" {
				return
			}
			for range 3 { // lib/pq runs what has times in its result
				if got := all(t, db, "SELECT encode(%s::bytea, 'hex'), date '2024-02-29'", `\x4142`); got[0][:5] != "4142," {
					t.Errorf("a string for a bytea: %s", got)
				}
			}
			list := all(t, db, "SELECT unnest(%s::timestamptz[])::text", values)
			same(t, "[]time.Time", list...)
			conn := mustConn(t, db)
			mustExec(t, conn, "CREATE TEMP TABLE i (a timestamptz, b timestamp, c date)")
			rows := psyco.SliceRows(slices.Collect(func(yield func([]any) bool) {
				for _, v := range values {
					yield([]any{v, v, v})
				}
			}))
			if _, err := psyco.CopyRows(ctx, conn, psyco.Identifier{"i"}, []string{"a", "b", "c"}, rows); err != nil {
				t.Fatal(err)
			}
			if _, err := psyco.CopyRows(ctx, conn, psyco.Identifier{"i"}, []string{"a", "b", "c"}, rows, psyco.CopyTextFormat()); err != nil {
				t.Fatal(err)
			}
			if _, err := psyco.ExecMany(ctx, conn, "INSERT INTO i VALUES (%s, %s, %s)", rows); err != nil {
				t.Fatal(err)
			}
			for _, column := range []string{"a", "b", "c"} {
				got := all(t, conn, "SELECT "+column+"::text FROM i")
				if len(got) != 9 {
					t.Fatalf("%d rows", len(got))
				}
				same(t, "CopyRows into "+column, got[:3]...)
				same(t, "CopyRows in text into "+column, got[3:6]...)
				same(t, "ExecMany into "+column, got[6:]...)
			}
		})
	}
}

// TestValuesAsLibPQ compares what Scan gives an any with lib/pq's, bit for bit and with the
// same Location, over random values of each type and under settings that change their text.
func TestValuesAsLibPQ(t *testing.T) {
	types := []struct{ typ, random, special string }{
		{"bool", "random() < 0.5", "true"},
		{"int2", "(random() * 65535 - 32768)::int", "-32768"},
		{"int4", "(random() * 4294967295 - 2147483648)::int8", "2147483647"},
		{"int8", "(random() * 1e18)::int8 - 5e17::int8", "-9223372036854775808"},
		{"oid", "(random() * 4294967295)::int8", "4294967295"},
		{"float4", "(random() - 0.5) * 10 ^ (random() * 60 - 30)", "0.1|-0|NaN|Infinity|-Infinity|3.4e38|1e-45|16777217"},
		{"float8", "(random() - 0.5) * 10 ^ (random() * 500 - 250)", "0.1|-0|NaN|Infinity|-Infinity|1.7e308|5e-324|9007199254740993"},
		{"numeric", "(random() * 1e12)::numeric", "1.50|NaN|Infinity|-1e-20"},
		{"text", "repeat(md5(random()::text), (random() * 4)::int)", "|1|ünï"},
		{"bytea", "decode(md5(random()::text), 'hex')", "|abc"},
		{"uuid", "gen_random_uuid()", "00000000-0000-0000-0000-000000000000"},
		{"date", "'2000-01-01'::date + ((random() - 0.5) * 1000000)::int", "infinity|-infinity|4713-01-01 BC|5874897-12-31|0001-01-01|0044-03-15 BC"},
		{"time", "(random() * interval '24 hours')::time", "00:00|24:00|23:59:59.999999|02:24:29|24:00:00"},
		{"timetz", "(random() * interval '24 hours')::time + ((random() * 20 - 10)::int || ':30')::interval", "00:00+00|24:00-03:30|12:34:56.7+15:59:59"},
		{"timestamp", "'2000-01-01'::timestamp + (random() - 0.5) * interval '1000000 days'", "infinity|-infinity|4713-01-01 BC|294276-12-31 23:59:59.999999|1969-12-31 23:59:59.999999"},
		{"timestamptz", "'2000-01-01'::timestamptz + (random() - 0.5) * interval '1000000 days'", "infinity|-infinity|4713-01-02 BC|294276-12-30|1900-01-01|2024-07-01|2024-10-27 00:30+00"},
		{"interval", "random() * interval '100 years 5 mons -3 days 12:34:56.7'", "0|-1 day|1 mon -1 day +01:00|-178000000 years"},
		{"jsonb", "to_jsonb(random())", `null|{"a": 1}`},
		{"int4[]", "array[(random() * 10)::int]", "{}|{1,NULL}"},
	}
	many := testsize.Cases(2_000, 10_000)
	dsn := pgserver.TestDSN(t)
	reference, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer reference.Close()
	db := open(t, dsn)
	for i, tt := range types {
		mustExec(t, reference, fmt.Sprintf("CREATE TABLE t%d AS SELECT n, (%s)::%s AS v FROM generate_series(1, %d) n; INSERT INTO t%[1]d SELECT 0, v::%[3]s FROM unnest(string_to_array('%[5]s', '|')) v; INSERT INTO t%[1]d VALUES (0, NULL)",
			i, tt.random, tt.typ, many, tt.special))
	}
	for _, settings := range []struct {
		set string
		n   int
	}{
		{"SET TimeZone = 'UTC'", many}, {"SET TimeZone = 'Europe/Berlin'", many}, {"SET TimeZone = 'Etc/UTC'", 100}, {"SET TimeZone = '<+03:30>-03:30'", 100},
		{"SET DateStyle = 'German'", 100}, {"SET DateStyle = 'ISO, DMY'", 100}, {"SET DateStyle = 'SQL, DMY'", 1}, {"SET IntervalStyle = 'iso_8601'", 100},
		{"SET extra_float_digits = 0", 100}, {"SET extra_float_digits = -15", 100}, {"SET extra_float_digits = 3", 100},
		{"SET bytea_output = 'escape'", 100},
	} {
		theirs, ours := mustConn(t, reference), mustConn(t, db)
		for i, tt := range types {
			query := fmt.Sprintf("SELECT v FROM t%d WHERE n <= $1 ORDER BY n, v", i)
			read := func(h psyco.Handle, n int) (values []any, err error) {
				rows, err := h.QueryContext(t.Context(), query, n)
				if err != nil {
					return nil, err
				}
				defer rows.Close()
				for rows.Next() {
					var v any
					if err := rows.Scan(&v); err != nil {
						return values, err
					}
					values = append(values, v)
				}
				return values, rows.Err()
			}
			for use := range 3 {
				_, _ = read(ours, use) // so that it is prepared under the usual settings
			}
			for _, c := range []*sql.Conn{ours, theirs} {
				mustExec(t, c, settings.set)
			}
			for _, n := range []int{3, settings.n} {
				got, err := read(ours, n)
				want, wantErr := read(theirs, n)
				if (err == nil) != (wantErr == nil) {
					t.Errorf("%s, %s: error %v, lib/pq has %v", settings.set, tt.typ, err, wantErr)
					continue
				}
				for i := range min(len(got), len(want)) {
					if !equalNaN(got[i], want[i]) {
						t.Errorf("%s, %s: %#v (%[3]v), lib/pq has %#v (%[4]v)", settings.set, tt.typ, got[i], want[i])
						break
					}
				}
				if err == nil && len(got) != len(want) {
					t.Errorf("%s, %s: %d values of %d", settings.set, tt.typ, len(got), len(want))
				}
			}
			for _, c := range []*sql.Conn{ours, theirs} {
				mustExec(t, c, "RESET ALL")
			}
		}
		ours.Close()
		theirs.Close()
	}
}
