package psyco

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"
)

var timestampTexts = []string{
	"2024-02-29", "2024-02-29 12:30:00", "2024-02-29 12:30:00.5", "2024-02-29 23:59:59.999999", "0001-01-01 00:00:00", "9999-12-31 23:59:59",
	"2024-02-29 12:30:00+00", "2024-02-29 12:30:00.000001-03:30", "1880-01-01 00:00:00+00:53:28", "2024-07-01 12:00:00+02", "2024-07-01 12:00:00+03",
	"0044-03-15 BC", "0044-03-15 12:00:00+00 BC", "12024-01-01 00:00:00", "294276-12-31 23:59:59.999999",
	"2023-02-29", "2024-13-01", "2024-00-00", "2024-01-01 24:00:00", "2024-01-01 23:59:60", "2024-01-01T00:00:00", "2024-01-01 00:00:00Z",
	"2024-01-01 00:00:00.", "2024-01-01 00:00:00.1234567", "2024-01-01 00:00:00.-1", "2024-01-01 00:00:00+", "2024-01-01 00:00:00+1", "2024-01-01 00:00:00+01:",
	"2024-01-01 00:00:00+01:0", "2024-01-01 00:00:00+01:00:00:00", "2024-01-01 00:00:00 +01", "2024-1-1", "Thu Feb 29 12:30:00 2024", "29.02.2024", "", "-", "+024-01-01", "2024-01-0a",
}

// FuzzTimestampAsLibPQ decodes texts of times as lib/pq does, so that the times are equal with ==.
func FuzzTimestampAsLibPQ(f *testing.F) {
	for _, text := range timestampTexts {
		f.Add(text)
	}
	locations := []*time.Location{nil, time.UTC}
	for _, name := range []string{"Europe/Berlin", "America/St_Johns"} {
		l, err := time.LoadLocation(name)
		if err != nil {
			f.Fatal(err)
		}
		locations = append(locations, l)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.HasSuffix(text, "infinity") {
			return
		}
		for _, l := range locations {
			got, err := new(valueDecoder).timestamp(l, []byte(text))
			want, wantErr := pq.ParseTimestamp(l, text)
			if (err != nil) != (wantErr != nil) {
				t.Errorf("%q in %v: error %v, lib/pq has %v", text, l, err, wantErr)
			} else if err == nil && (got != any(want) || !reflect.DeepEqual(got, any(want))) {
				t.Errorf("%q in %v: %v, lib/pq has %v", text, l, got, want)
			}
		}
	})
}
