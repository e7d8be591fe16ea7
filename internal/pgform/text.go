package pgform

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// AppendText writes a value as the server reads it in text format, or reports that
// it is NULL, for which the places that a value can stand in have different words.
func AppendText(b []byte, value any) (_ []byte, null bool, err error) {
	switch x := value.(type) {
	case nil:
		return b, true, nil
	case int64:
		return strconv.AppendInt(b, x, 10), false, nil
	case float64:
		return AppendFloat(b, x), false, nil
	case bool:
		return strconv.AppendBool(b, x), false, nil
	case string:
		return append(b, x...), false, nil
	case []byte:
		return AppendBytea(b, x), x == nil, nil
	case time.Time:
		return AppendTimestamp(b, x), false, nil
	}
	return b, false, fmt.Errorf("%T has no text form", value)
}

// AppendFloat writes f without an exponent, because an integer column reads
// 1000000 but not 1e+06.
func AppendFloat(b []byte, f float64) []byte {
	switch {
	case math.IsInf(f, 1):
		return append(b, "Infinity"...)
	case math.IsInf(f, -1):
		return append(b, "-Infinity"...)
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

// AppendBytea writes bytes in hexadecimal, nothing for nil.
func AppendBytea(b, bytes []byte) []byte {
	if bytes == nil {
		return b
	}
	return hex.AppendEncode(append(b, `\x`...), bytes)
}

// CheckText refuses what the server cannot store in any text.
func CheckText(s string) error {
	if i := strings.IndexByte(s, 0); i >= 0 {
		return fmt.Errorf("text has a NUL byte at offset %d, which PostgreSQL cannot store: remove it, or pass []byte to a bytea column", i)
	}
	return nil
}

// append2 writes n with at least two digits.
func append2[N int | uint64](b []byte, n N) []byte {
	if n < 10 {
		b = append(b, '0')
	}
	return strconv.AppendInt(b, int64(n), 10)
}
