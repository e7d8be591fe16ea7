package pgform

import (
	"math/big"
	"strings"
	"testing"
)

// Each target reads any text. What is accepted must come back the same when it
// is written and read again.

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
