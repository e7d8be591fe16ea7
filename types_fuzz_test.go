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

func FuzzArray(f *testing.F) {
	for _, s := range []string{"{}", "{1,2}", `{"a\"b",NULL,"NULL",c d}`, "[0:1][2:2]={{1},{2}}", "{{{{{{1}}}}}}", "{(1,1),(0,0);(2,2),(1,1)}", "{", `{"\`, "[1:2147483647]={1}"} {
		f.Add(s, byte(','))
		f.Add(s, byte(';'))
	}
	f.Fuzz(func(t *testing.T, text string, delimiter byte) {
		if delimiter != ';' {
			delimiter = ','
		}
		elements, dims, err := parseArray(text, delimiter)
		if err != nil {
			return
		}
		total := min(len(dims), 1)
		for _, n := range dims {
			total *= n
		}
		if total != len(elements) {
			t.Fatalf("%q has dimensions %v and %d elements", text, dims, len(elements))
		}
		again, againDims, err := parseArray(writeArray(elements, dims, delimiter), delimiter)
		if err != nil || !reflect.DeepEqual(again, elements) || !reflect.DeepEqual(againDims, dims) {
			t.Fatalf("%q: %v %v became %v %v, %v", text, elements, dims, again, againDims, err)
		}
	})
}

func writeArray(elements []element, dims []int, delimiter byte) string {
	if len(dims) == 0 {
		return "{}"
	}
	b := []byte{'{'}
	size := len(elements) / dims[0]
	for i := range dims[0] {
		if i > 0 {
			b = append(b, delimiter)
		}
		part := elements[i*size : (i+1)*size]
		switch {
		case len(dims) > 1:
			b = append(b, writeArray(part, dims[1:], delimiter)...)
		case part[0].null:
			b = append(b, "NULL"...)
		default:
			b = appendQuotedElement(b, part[0].text)
		}
	}
	return string(append(b, '}'))
}

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
		m, err := parseMultirange[int](text)
		if err != nil {
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
		if again, err := parseMultirange[int](value.(string)); err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%q: %#v became %#v, %v", text, m, again, err)
		}
	})
}

func FuzzRecord(f *testing.F) {
	for _, s := range []string{"()", "(1,2)", `("a""b",,"c\\d")`, "(", "(a", `(a"b,c"d)`, "(1]2)", `(\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		attributes, err := parseRecord(text)
		if err != nil {
			return
		}
		b := []byte{'('}
		for i, a := range attributes {
			if i > 0 {
				b = append(b, ',')
			}
			if !a.null {
				b = appendComponent(b, a.text)
			}
		}
		again, err := parseRecord(string(append(b, ')')))
		if len(attributes) == 1 && attributes[0].null {
			return // "()" is also a record without attributes
		}
		if err != nil || !reflect.DeepEqual(again, attributes) {
			t.Fatalf("%q: %v became %v, %v", text, attributes, again, err)
		}
	})
}

func FuzzHStore(f *testing.F) {
	for _, s := range []string{"", `"a"=>"1", "b"=>NULL`, `"a\"\\"=>"NULL"`, `"a"=>`, `"a"=>"b",`, `"a"=>"1", "a"=>"2"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHStore(text)
		if err != nil {
			return
		}
		value, err := h.Value()
		if err != nil {
			if strings.Contains(text, "\x00") {
				return
			}
			t.Fatal(err)
		}
		if again, err := parseHStore(value.(string)); err != nil || !reflect.DeepEqual(again, h) {
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
