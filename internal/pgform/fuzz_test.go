package pgform

import (
	"math/big"
	"reflect"
	"strings"
	"testing"
)

// Each target reads any text. What is accepted must come back the same when it
// is written and read again.

func FuzzArray(f *testing.F) {
	for _, s := range []string{"{}", "{1,2}", `{"a\"b",NULL,"NULL",c d}`, "[0:1][2:2]={{1},{2}}", "{{{{{{1}}}}}}", "{(1,1),(0,0);(2,2),(1,1)}", "{", `{"\`, "[1:2147483647]={1}"} {
		f.Add(s, byte(','))
		f.Add(s, byte(';'))
	}
	f.Fuzz(func(t *testing.T, text string, delimiter byte) {
		if delimiter != ';' {
			delimiter = ','
		}
		elements, dims, err := ParseArray(text, delimiter)
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
		again, againDims, err := ParseArray(writeArray(elements, dims, delimiter), delimiter)
		if err != nil || !reflect.DeepEqual(again, elements) || !reflect.DeepEqual(againDims, dims) {
			t.Fatalf("%q: %v %v became %v %v, %v", text, elements, dims, again, againDims, err)
		}
	})
}

func writeArray(elements []Element, dims []int, delimiter byte) string {
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
		case part[0].Null:
			b = append(b, "NULL"...)
		default:
			b = AppendQuoted(b, part[0].Text)
		}
	}
	return string(append(b, '}'))
}

func FuzzRecord(f *testing.F) {
	for _, s := range []string{"()", "(1,2)", `("a""b",,"c\\d")`, "(", "(a", `(a"b,c"d)`, "(1]2)", `(\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		attributes, err := ParseRecord(text)
		if err != nil {
			return
		}
		b := []byte{'('}
		for i, a := range attributes {
			if i > 0 {
				b = append(b, ',')
			}
			if !a.Null {
				b = AppendComponent(b, a.Text)
			}
		}
		again, err := ParseRecord(string(append(b, ')')))
		if len(attributes) == 1 && attributes[0].Null {
			return // "()" is also a record without attributes
		}
		if err != nil || !reflect.DeepEqual(again, attributes) {
			t.Fatalf("%q: %v became %v, %v", text, attributes, again, err)
		}
	})
}

func FuzzInterval(f *testing.F) {
	for _, s := range []string{"1 year 2 mons -3 days +04:05:06.789", "@ 1 day 2 hours ago", "-1-2 +3 -4:05:06", "P1Y-2M3DT4H5M-6.789S", "0", "@ 0", "-2562047788:00:54.775808", "5 weeks", "PT", "1:2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		i, err := ParseInterval(text)
		if err != nil {
			return
		}
		if again, err := ParseInterval(string(i.AppendText(nil))); err != nil || again != i {
			t.Fatalf("%q: %#v became %#v, %v", text, i, again, err)
		}
		if again, err := ParseInterval(string(i.AppendInput(nil))); err != nil || again != i {
			t.Fatalf("%q: %#v became %#v, %v", text, i, again, err)
		}
	})
}

func FuzzDate(f *testing.F) {
	for _, s := range []string{"2024-02-29", "0001-02-29 BC", "5874897-12-31", "2024-02-29 12:30:00", "1-1-1", "infinity"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, ok := ParseDate(text); ok {
			if again, ok := ParseDate(string(d.AppendText(nil))); !ok || again != d {
				t.Fatalf("%q: %v became %v, %v", text, d, again, ok)
			}
		}
	})
}

func FuzzNumeric(f *testing.F) {
	for _, s := range []string{"1.50", "-0.1", "NaN", "-Infinity", "1e5", ".5", "5.", ".", "1e", "+-1", "0x10", "1_000", "1/3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !IsNumeric(text) || len(text) > 100 {
			return
		}
		mantissa, _, _ := strings.Cut(strings.ToLower(text), "e")
		if strings.ContainsAny(mantissa, "nf") || mantissa == "" {
			return
		}
		if _, ok := new(big.Rat).SetString(mantissa); !ok {
			t.Fatalf("%q was taken for a number", text)
		}
	})
}

func FuzzInet(f *testing.F) {
	for _, s := range []string{"10.0.0.1", "10.0.0.1/8", "::1/128", "fe80::1%eth0", "::ffff:1.2.3.4", "::ffff:1.2.3.4/100", "1.2.3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseInet(text)
		if err != nil {
			return
		}
		written, err := InetText(p)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if again, err := ParseInet(written); err != nil || again != p {
			t.Fatalf("%q: %v became %v, %v", text, p, again, err)
		}
	})
}
