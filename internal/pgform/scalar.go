package pgform

import (
	"encoding/binary"
	"math"
)

// AppendInt writes an integer in binary, in 2, 4 or 8 bytes.
func AppendInt(b []byte, n int64, size int) []byte {
	switch size {
	case 2:
		return binary.BigEndian.AppendUint16(b, uint16(n))
	case 4:
		return binary.BigEndian.AppendUint32(b, uint32(n))
	}
	return binary.BigEndian.AppendUint64(b, uint64(n))
}

// AppendFloat8 writes a float8 in binary.
func AppendFloat8(b []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(b, math.Float64bits(f))
}

// AppendFloat4 writes a float4 in binary.
func AppendFloat4(b []byte, f float32) []byte {
	return binary.BigEndian.AppendUint32(b, math.Float32bits(f))
}

// AppendBool writes a bool in binary.
func AppendBool(b []byte, x bool) []byte {
	if x {
		return append(b, 1)
	}
	return append(b, 0)
}
