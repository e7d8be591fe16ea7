package pgform

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// AppendNumeric writes a decimal number that IsNumeric accepts: the count of its
// digits to base 10,000, the weight of the first of them, sign, display scale,
// digits (PostgreSQL: numeric_recv).
func AppendNumeric(b []byte, text string) ([]byte, error) {
	const (
		negative    = 0x4000
		notANumber  = 0xC000
		infinite    = 0xD000
		negInfinite = 0xF000
	)
	appendHead := func(b []byte, digits, weight int, sign uint16, scale int) []byte {
		b = binary.BigEndian.AppendUint16(b, uint16(digits))
		b = binary.BigEndian.AppendUint16(b, uint16(weight))
		b = binary.BigEndian.AppendUint16(b, sign)
		return binary.BigEndian.AppendUint16(b, uint16(scale))
	}
	minus, number := cutSign(text)
	var sign uint16
	if minus {
		sign = negative
	}
	switch number[0] | 0x20 {
	case 'n':
		return appendHead(b, 0, 0, notANumber, 0), nil
	case 'i':
		if minus {
			return appendHead(b, 0, 0, negInfinite, 0), nil
		}
		return appendHead(b, 0, 0, infinite, 0), nil
	}
	exponent := 0
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(number[i+1:]); err != nil || exponent > MaxNumericWhole || exponent < -MaxNumericWhole {
			return b, numericRange(text)
		}
		number = number[:i]
	}
	whole, fraction, _ := strings.Cut(number, ".")
	exponent -= len(fraction) // the number is whole+fraction times 10 to the exponent
	scale := max(0, -exponent)
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		if scale > MaxNumericScale {
			return b, numericRange(text)
		}
		return appendHead(b, 0, 0, 0, scale), nil
	}
	if pad := (exponent%4 + 4) % 4; pad > 0 {
		digits += "000"[:pad]
		exponent -= pad
	}
	first := (len(digits)-1)%4 + 1 // decimal digits of the first digit to base 10,000
	groups := (len(digits)-first)/4 + 1
	weight := exponent/4 + groups - 1
	for groups > 1 && digits[len(digits)-4:] == "0000" {
		digits, groups = digits[:len(digits)-4], groups-1
	}
	if scale > MaxNumericScale || (weight+1)*4 > MaxNumericWhole || groups > math.MaxUint16 {
		return b, numericRange(text)
	}
	b = appendHead(b, groups, weight, sign, scale)
	for start, end := 0, first; end <= len(digits); start, end = end, end+4 {
		digit := uint16(0)
		for _, c := range []byte(digits[start:end]) {
			digit = digit*10 + uint16(c-'0')
		}
		b = binary.BigEndian.AppendUint16(b, digit)
	}
	return b, nil
}

func numericRange(text string) error {
	return fmt.Errorf("%.40s is out of numeric's range, %d digits before the point and %d after it", text, MaxNumericWhole, MaxNumericScale)
}

// IsNumeric reports whether s is a decimal number, with an exponent or not, or
// one of numeric's special values.
func IsNumeric(s string) bool {
	_, s = cutSign(s)
	switch strings.ToLower(s) {
	case "nan", "infinity", "inf":
		return true
	}
	mantissa, exponent := s, ""
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		mantissa, exponent = s[:i], s[i+1:]
		if _, exponent = cutSign(exponent); exponent == "" {
			return false
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	return whole+fraction != "" && strings.Trim(whole+fraction+exponent, "0123456789") == ""
}

// The limits of numeric: digits before and after the point, and the bits of a
// number with that many digits.
const (
	MaxNumericWhole = 131072
	MaxNumericScale = 16383
	MaxNumericBits  = 435412
)
