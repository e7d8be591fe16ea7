package psyco

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// postgresEpoch is where the server's times begin: 2000-01-01, in Unix seconds.
const postgresEpoch = 946_684_800

const secondsPerDay = 24 * 60 * 60

// encodeTimestamptz appends an instant, in microseconds since the server's epoch.
func encodeTimestamptz(m *TypeMap, b []byte, v any) ([]byte, error) {
	if t, ok := v.(time.Time); ok && !hasInfinity() {
		return appendMicros(b, t, 0)
	}
	t, infinite, err := momentOf(m, v, "timestamptz")
	if err != nil {
		return b, err
	}
	if infinite != 0 {
		return appendInfinity(b, infinite), nil
	}
	return appendMicros(b, t, 0)
}

// encodeTimestamp appends what the clock shows.
func encodeTimestamp(m *TypeMap, b []byte, v any) ([]byte, error) {
	t, ok := v.(time.Time)
	if !ok || hasInfinity() {
		var infinite int8
		var err error
		if t, infinite, err = momentOf(m, v, "timestamp"); err != nil {
			return b, err
		}
		if infinite != 0 {
			return appendInfinity(b, infinite), nil
		}
	}
	_, offset := t.Zone()
	return appendMicros(b, t, int64(offset))
}

func appendInfinity(b []byte, sign int8) []byte {
	if sign < 0 {
		return binary.BigEndian.AppendUint64(b, 1<<63)
	}
	return binary.BigEndian.AppendUint64(b, math.MaxInt64)
}

// appendMicros rounds to the microsecond, as the server does.
func appendMicros(b []byte, t time.Time, offset int64) ([]byte, error) {
	const limit = math.MaxInt64/microsPerSecond - 1
	seconds := t.Unix() + offset - postgresEpoch
	if seconds > limit || seconds < -limit {
		return b, fmt.Errorf("the year %d is out of the range of a timestamp", t.Year())
	}
	micros := seconds*microsPerSecond + int64(t.Nanosecond()+500)/1000
	return binary.BigEndian.AppendUint64(b, uint64(micros)), nil
}

func encodeDate(m *TypeMap, b []byte, v any) ([]byte, error) {
	date, err := dateOf(m, v)
	switch {
	case err != nil:
		return b, err
	case date.Infinity < 0:
		return binary.BigEndian.AppendUint32(b, 1<<31), nil
	case date.Infinity > 0:
		return binary.BigEndian.AppendUint32(b, math.MaxInt32), nil
	}
	days := (date.In(time.UTC).Unix() - postgresEpoch) / secondsPerDay
	if days >= math.MaxInt32 || days <= math.MinInt32 {
		return b, fmt.Errorf("the year %d is out of the range of a date", date.Year)
	}
	return binary.BigEndian.AppendUint32(b, uint32(days)), nil
}

func dateOf(m *TypeMap, v any) (Date, error) {
	if t, ok := v.(time.Time); ok && !hasInfinity() {
		return DateOf(t), nil
	}
	value, err := basicValue(m, v)
	if err != nil {
		return Date{}, err
	}
	if text, ok := textOf(value).(string); ok {
		if date, ok := parseDate(text); ok {
			return date, nil
		}
	}
	t, infinite, err := momentOf(m, v, "date")
	if err != nil {
		return Date{}, err
	}
	date := DateOf(t)
	date.Infinity = infinite
	return date, nil
}

// encodeTime appends the time of day that the clock shows.
func encodeTime(m *TypeMap, b []byte, v any) ([]byte, error) {
	var micros int64
	switch x := v.(type) {
	case time.Duration:
		micros = x.Round(time.Microsecond).Microseconds()
	case time.Time:
		micros = clockMicros(x)
	default:
		t, infinite, err := momentOf(m, v, "time")
		switch {
		case err != nil:
			return b, err
		case infinite != 0:
			return b, errors.New("infinity is no time of day")
		}
		micros = clockMicros(t)
		if t.Year() == 0 && t.Day() == 2 { // as parseTime gives 24:00:00
			micros += microsPerDay
		}
	}
	if micros < 0 || micros > microsPerDay {
		return b, fmt.Errorf("%s is no time of day", time.Duration(micros)*time.Microsecond)
	}
	return binary.BigEndian.AppendUint64(b, uint64(micros)), nil
}

func clockMicros(t time.Time) int64 {
	hour, minute, second := t.Clock()
	return int64(hour*3600+minute*60+second)*microsPerSecond + int64(t.Nanosecond()+500)/1000
}

// momentOf converts what is not plainly a time.Time.
func momentOf(m *TypeMap, v any, typ string) (t time.Time, infinite int8, err error) {
	value, err := basicValue(m, v)
	if err != nil {
		return time.Time{}, 0, err
	}
	switch x := textOf(value).(type) {
	case time.Time:
		infinite, _ := infinityOf(infinityFor(x))
		return x, infinite, nil
	case string:
		if sign, ok := infinityOf(x); ok {
			return time.Time{}, sign, nil
		}
		if typ == "timestamptz" && !hasZone(x) {
			return time.Time{}, 0, fmt.Errorf("the timestamptz %.60q has no offset: add one, or pass a time.Time", x)
		}
		if t, err := time.Parse(time.RFC3339Nano, x); err == nil {
			return t, 0, nil
		}
		if typ != "time" && !strings.ContainsRune(x, '-') {
			break // a time of day
		}
		if t, err := parseTime(x); err == nil {
			return t, 0, nil
		}
	}
	return time.Time{}, 0, misfit(v, typ)
}

// hasZone reports whether a timestamp in text form says its offset.
func hasZone(text string) bool {
	clock := strings.IndexByte(text, ':')
	return clock >= 0 && strings.ContainsAny(text[clock:], "+-Z")
}
