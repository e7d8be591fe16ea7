package psyco

import (
	"database/sql/driver"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"time"
)

// appendText writes a value as the server reads it in text format, inside
// arrays, ranges and records; for a parameter of its own lib/pq does this.
func appendText(b []byte, value driver.Value) ([]byte, error) {
	switch x := value.(type) {
	case int64:
		return strconv.AppendInt(b, x, 10), nil
	case float64:
		return appendFloat(b, x), nil
	case bool:
		return strconv.AppendBool(b, x), nil
	case string:
		return append(b, x...), nil
	case []byte:
		return hex.AppendEncode(append(b, `\x`...), x), nil
	case time.Time:
		return appendTimestamp(b, x), nil
	}
	return b, fmt.Errorf("%T has no text form", value)
}

// appendFloat writes f without an exponent, because an integer column reads
// 1000000 but not 1e+06.
func appendFloat(b []byte, f float64) []byte {
	switch {
	case math.IsInf(f, 1):
		return append(b, "Infinity"...)
	case math.IsInf(f, -1):
		return append(b, "-Infinity"...)
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

// appendTimestamp writes t with its offset, in years BC where Go counts zero and down.
func appendTimestamp(b []byte, t time.Time) []byte {
	if s := infinityFor(t); s != "" {
		return append(b, s...)
	}
	b = appendDate(b, t.Year(), t.Month(), t.Day())
	b = t.AppendFormat(b, " 15:04:05.999999999")
	_, offset := t.Zone()
	sign := byte('+')
	if offset < 0 {
		sign, offset = '-', -offset
	}
	b = append(b, sign)
	b = append2(b, offset/3600)
	b = append2(append(b, ':'), offset/60%60)
	if s := offset % 60; s != 0 {
		b = append2(append(b, ':'), s)
	}
	if t.Year() <= 0 {
		b = append(b, " BC"...)
	}
	return b
}

// appendDate writes the date without the era.
func appendDate(b []byte, year int, month time.Month, day int) []byte {
	if year <= 0 {
		year = 1 - year
	}
	for limit := 1000; limit > 1 && year < limit; limit /= 10 {
		b = append(b, '0')
	}
	b = strconv.AppendInt(b, int64(year), 10)
	b = append2(append(b, '-'), int(month))
	return append2(append(b, '-'), day)
}

// append2 writes n with at least two digits.
func append2[N int | uint64](b []byte, n N) []byte {
	if n < 10 {
		b = append(b, '0')
	}
	return strconv.AppendInt(b, int64(n), 10)
}
