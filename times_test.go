package psyco_test

import (
	"database/sql"
	"fmt"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/psyco-go/psyco"
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
