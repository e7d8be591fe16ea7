package psyco

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/psyco-go/psyco/internal/pgform"
)

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
