package pgform

import (
	"encoding/binary"
	"math/big"
	"strings"
	"testing"
)

// FuzzAppendNumeric checks that the binary form of a number has its value and
// its scale, and none of the digits that the server refuses or would drop.
func FuzzAppendNumeric(f *testing.F) {
	for _, s := range []string{"0", "-0", "1", "-1.50", "00012.3400", "123456789", "10000", "0.0001", "0.00001", "1e4", "1e-4", "12e3", "-.5", "5.", "9999.9999", "1e131071", "1E-16383", "1e-16384", "NaN", "-inf", "+Infinity", "1e99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !IsNumeric(text) || len(text) > 2000 {
			return
		}
		b, err := AppendNumeric(nil, text)
		if err != nil {
			if !strings.ContainsAny(text, "eE") {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		digits := int(binary.BigEndian.Uint16(b))
		weight := int(int16(binary.BigEndian.Uint16(b[2:])))
		sign := binary.BigEndian.Uint16(b[4:])
		scale := int(binary.BigEndian.Uint16(b[6:]))
		if len(b) != 8+2*digits || scale > MaxNumericScale {
			t.Fatalf("%q: %x", text, b)
		}
		if sign >= 0xC000 {
			if digits != 0 || strings.ContainsAny(text, "0123456789") {
				t.Fatalf("%q: %x", text, b)
			}
			return
		}
		sum := new(big.Int)
		for i := range digits {
			d := binary.BigEndian.Uint16(b[8+2*i:])
			if d >= 10_000 || (i == 0 || i == digits-1) && d == 0 {
				t.Fatalf("%q: digit %d of %x", text, i, b)
			}
			sum.Add(sum.Mul(sum, big.NewInt(10_000)), big.NewInt(int64(d)))
		}
		got := new(big.Rat).SetInt(sum)
		power := new(big.Int).Exp(big.NewInt(10_000), big.NewInt(int64(max(weight-digits+1, digits-1-weight))), nil)
		if weight-digits+1 >= 0 {
			got.Mul(got, new(big.Rat).SetInt(power))
		} else {
			got.Quo(got, new(big.Rat).SetInt(power))
		}
		if sign == 0x4000 {
			got.Neg(got)
		}
		want, ok := new(big.Rat).SetString(text)
		if !ok || got.Cmp(want) != 0 {
			t.Fatalf("%q became %s", text, got.FloatString(10))
		}
		mantissa, exponent := strings.ToLower(text), 0
		if i := strings.IndexByte(mantissa, 'e'); i >= 0 {
			e, _ := new(big.Int).SetString(mantissa[i+1:], 10)
			mantissa, exponent = mantissa[:i], int(e.Int64())
		}
		_, fraction, _ := strings.Cut(mantissa, ".")
		if scale != max(0, len(fraction)-exponent) {
			t.Fatalf("%q has scale %d", text, scale)
		}
	})
}
