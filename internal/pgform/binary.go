package pgform

import (
	"encoding/binary"
	"math"
	"time"
)

// The Read functions read the server's binary forms (PostgreSQL: the typsend functions).
// ok says that the bytes can be such a value.

// BinarySize is how many bytes all values of a type have in binary, 0 if that differs or is
// not known here.
func BinarySize(oid uint32) int {
	switch oid {
	case OIDBool:
		return 1
	case OIDInt2:
		return 2
	case OIDInt4, OIDFloat4, OIDDate:
		return 4
	case OIDInt8, OIDFloat8, OIDTime, OIDTimestamp, OIDTimestamptz:
		return 8
	case OIDInterval, OIDUUID:
		return 16
	}
	return 0
}

// ReadInt reads an integer of 2, 4 or 8 bytes.
func ReadInt(b []byte) (n int64, ok bool) {
	switch len(b) {
	case 2:
		return int64(int16(binary.BigEndian.Uint16(b))), true
	case 4:
		return int64(int32(binary.BigEndian.Uint32(b))), true
	case 8:
		return int64(binary.BigEndian.Uint64(b)), true
	}
	return 0, false
}

// ReadFloat8 reads a float8.
func ReadFloat8(b []byte) (f float64, ok bool) {
	if len(b) != 8 {
		return 0, false
	}
	return math.Float64frombits(binary.BigEndian.Uint64(b)), true
}

// ReadFloat4 reads a float4.
func ReadFloat4(b []byte) (f float32, ok bool) {
	if len(b) != 4 {
		return 0, false
	}
	return math.Float32frombits(binary.BigEndian.Uint32(b)), true
}

// ReadTimestamp reads a timestamp or timestamptz. A finite one is what a clock shows in
// UTC, and one in UTC.
func ReadTimestamp(b []byte) (t time.Time, infinity int8, ok bool) {
	if len(b) != 8 {
		return t, 0, false
	}
	micros := int64(binary.BigEndian.Uint64(b))
	switch micros {
	case math.MaxInt64:
		return t, 1, true
	case math.MinInt64:
		return t, -1, true
	}
	seconds := micros / MicrosPerSecond
	micros -= seconds * MicrosPerSecond
	if micros < 0 {
		seconds--
		micros += MicrosPerSecond
	}
	return time.Unix(seconds+Epoch, micros*1000).UTC(), 0, true
}

// ReadDate reads a date: a finite one is its midnight in UTC.
func ReadDate(b []byte) (t time.Time, infinity int8, ok bool) {
	if len(b) != 4 {
		return t, 0, false
	}
	days := int32(binary.BigEndian.Uint32(b))
	switch days {
	case math.MaxInt32:
		return t, 1, true
	case math.MinInt32:
		return t, -1, true
	}
	return time.Unix(int64(days)*secondsPerDay+Epoch, 0).UTC(), 0, true
}

// ReadClock reads a time of day, which is on the first day of the year 0, and 24:00 on the
// second.
func ReadClock(b []byte) (t time.Time, ok bool) {
	if len(b) != 8 {
		return t, false
	}
	micros := int64(binary.BigEndian.Uint64(b))
	if micros < 0 || micros > MicrosPerDay {
		return t, false
	}
	return clockStart.Add(time.Duration(micros) * time.Microsecond), true
}

var clockStart = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)

// ReadInterval reads an interval, which may be infinite from PostgreSQL 17 on.
func ReadInterval(b []byte) (i Interval, infinity int8, ok bool) {
	if len(b) != 16 {
		return i, 0, false
	}
	i = Interval{
		Microseconds: int64(binary.BigEndian.Uint64(b)),
		Days:         int32(binary.BigEndian.Uint32(b[8:])),
		Months:       int32(binary.BigEndian.Uint32(b[12:])),
	}
	switch i {
	case Interval{Microseconds: math.MaxInt64, Days: math.MaxInt32, Months: math.MaxInt32}:
		infinity = 1
	case Interval{Microseconds: math.MinInt64, Days: math.MinInt32, Months: math.MinInt32}:
		infinity = -1
	}
	return i, infinity, true
}
