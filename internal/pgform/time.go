package pgform

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	MicrosPerSecond = 1_000_000
	MicrosPerMinute = 60 * MicrosPerSecond
	MicrosPerHour   = 60 * MicrosPerMinute
	MicrosPerDay    = 24 * MicrosPerHour

	// Epoch is where the server's times begin: 2000-01-01, in Unix seconds.
	Epoch = 946_684_800

	secondsPerDay = 24 * 60 * 60
)

const (
	infinity         = "infinity"
	negativeInfinity = "-infinity"
)

// ParseInfinity reports whether a date or time is infinite, and on which side.
func ParseInfinity(text string) (sign int8, infinite bool) {
	switch text {
	case infinity:
		return 1, true
	case negativeInfinity:
		return -1, true
	}
	return 0, false
}

// InfinityText is what ParseInfinity reads.
func InfinityText(sign int8) string {
	if sign < 0 {
		return negativeInfinity
	}
	return infinity
}

// AppendInfinity writes an infinite timestamp in binary.
func AppendInfinity(b []byte, sign int8) []byte {
	if sign < 0 {
		return binary.BigEndian.AppendUint64(b, 1<<63)
	}
	return binary.BigEndian.AppendUint64(b, math.MaxInt64)
}

// AppendTimestamp writes t with its offset, in years BC where Go counts zero and down.
func AppendTimestamp(b []byte, t time.Time) []byte {
	b = appendDay(b, t.Year(), t.Month(), t.Day())
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

// AppendMicros writes a timestamp in binary: what the clock shows at an offset from UTC,
// rounded to the microsecond, as the server does (PostgreSQL: timestamp_recv).
func AppendMicros(b []byte, t time.Time, offset int64) ([]byte, error) {
	const limit = math.MaxInt64/MicrosPerSecond - 1
	seconds := t.Unix() + offset - Epoch
	if seconds > limit || seconds < -limit {
		return b, fmt.Errorf("the year %d is out of the range of a timestamp", t.Year())
	}
	micros := seconds*MicrosPerSecond + int64(t.Nanosecond()+500)/1000
	return binary.BigEndian.AppendUint64(b, uint64(micros)), nil
}

// Date is a day of the calendar. Year 0 is 1 BC.
type Date struct {
	Year     int
	Month    time.Month
	Day      int
	Infinity int8 // -1: -infinity, 1: infinity, 0: Year, Month and Day count
}

// DateOf gives the date on the wall clock of t.
func DateOf(t time.Time) Date {
	year, month, day := t.Date()
	return Date{Year: year, Month: month, Day: day}
}

func (d Date) midnight() time.Time {
	return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC)
}

// Exists reports whether the calendar has the date, if it is finite.
func (d Date) Exists() bool { return d.Infinity != 0 || DateOf(d.midnight()) == d }

// ParseDate reads year-month-day, with a BC behind it for the years before 1.
func ParseDate(text string) (Date, bool) {
	text, bc := strings.CutSuffix(text, " BC")
	parts := strings.Split(text, "-")
	if len(parts) != 3 {
		return Date{}, false
	}
	var numbers [3]int
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return Date{}, false
		}
		numbers[i] = int(n)
	}
	d := Date{Year: numbers[0], Month: time.Month(numbers[1]), Day: numbers[2]}
	if bc {
		d.Year = 1 - d.Year
	}
	return d, d.Exists()
}

// AppendText writes the date as the server does with datestyle ISO: 2024-02-29,
// 0044-03-15 BC, infinity.
func (d Date) AppendText(b []byte) []byte {
	if d.Infinity != 0 {
		return append(b, InfinityText(d.Infinity)...)
	}
	b = appendDay(b, d.Year, d.Month, d.Day)
	if d.Year <= 0 {
		b = append(b, " BC"...)
	}
	return b
}

// AppendBinary writes the date in binary (PostgreSQL: date_recv).
func (d Date) AppendBinary(b []byte) ([]byte, error) {
	switch {
	case d.Infinity < 0:
		return binary.BigEndian.AppendUint32(b, 1<<31), nil
	case d.Infinity > 0:
		return binary.BigEndian.AppendUint32(b, math.MaxInt32), nil
	}
	days := (d.midnight().Unix() - Epoch) / secondsPerDay
	if days >= math.MaxInt32 || days <= math.MinInt32 {
		return b, fmt.Errorf("the year %d is out of the range of a date", d.Year)
	}
	return binary.BigEndian.AppendUint32(b, uint32(days)), nil
}

// appendDay writes a date without its era.
func appendDay(b []byte, year int, month time.Month, day int) []byte {
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

// ClockMicros is the time of day that t's clock shows, in microseconds.
func ClockMicros(t time.Time) int64 {
	hour, minute, second := t.Clock()
	return int64(hour*3600+minute*60+second)*MicrosPerSecond + int64(t.Nanosecond()+500)/1000
}

// AppendClock writes a time of day in binary (PostgreSQL: time_recv).
func AppendClock(b []byte, micros int64) ([]byte, error) {
	if micros < 0 || micros > MicrosPerDay {
		return b, fmt.Errorf("%s is not a time of day", time.Duration(micros)*time.Microsecond)
	}
	return binary.BigEndian.AppendUint64(b, uint64(micros)), nil
}

// ParseClock reads a time of day, with an offset or without. 24:00 is on the day after.
func ParseClock(text string) (time.Time, error) {
	clock, zone := text, ""
	if i := strings.IndexAny(text, "+-"); i >= 0 {
		clock, zone = text[:i], "-07:00:00"[:min(len(text)-i, 9)]
	}
	midnight := strings.HasPrefix(clock, "24:")
	readable := text
	if midnight {
		readable = "00:" + text[len("24:"):]
	}
	t, err := time.Parse("15:04:05"+zone, readable)
	if err != nil {
		return time.Time{}, fmt.Errorf("%.60q is not a time", text)
	}
	if midnight {
		t = t.Add(24 * time.Hour)
	}
	return t, nil
}

// HasZone reports whether a timestamp in text form says its offset.
func HasZone(text string) bool {
	clock := strings.IndexByte(text, ':')
	return clock >= 0 && strings.ContainsAny(text[clock:], "+-Z")
}

// ParseISO reads a date or timestamp of datestyle ISO as far as it is an ordinary one, of the
// years 0 to 9999: what its clock shows, in UTC, and its offset from UTC if it has one.
func ParseISO(text []byte) (clock time.Time, offset int, zoned, ok bool) {
	if len(text) < len("2006-01-02") || text[4] != '-' || text[7] != '-' {
		return clock, 0, false, false
	}
	year := 100*twoDigits(text, 0) + twoDigits(text, 2)
	month, day := twoDigits(text, 5), twoDigits(text, 8)
	var hour, minute, second, nanos int
	rest := text[10:]
	if len(rest) >= len(" 15:04:05") {
		if rest[0] != ' ' || rest[3] != ':' || rest[6] != ':' {
			return clock, 0, false, false
		}
		hour, minute, second = twoDigits(rest, 1), twoDigits(rest, 4), twoDigits(rest, 7)
		rest = rest[9:]
		if len(rest) > 1 && rest[0] == '.' {
			n := 1
			for unit := 100_000_000; n < len(rest) && n <= 6 && rest[n]-'0' <= 9; n++ {
				nanos += int(rest[n]-'0') * unit
				unit /= 10
			}
			if n == 1 {
				return clock, 0, false, false
			}
			rest = rest[n:]
		}
		if zoned = len(rest) >= 3 && (rest[0] == '+' || rest[0] == '-'); zoned {
			sign := 1
			if rest[0] == '-' {
				sign = -1
			}
			for unit := 3600; unit > 0 && len(rest) >= 3 && (unit == 3600 || rest[0] == ':'); unit /= 60 {
				part := twoDigits(rest, 1)
				if part < 0 {
					return clock, 0, false, false
				}
				offset += sign * part * unit
				rest = rest[3:]
			}
		}
	}
	if len(rest) > 0 || year < 0 || month < 1 || day < 1 || uint(hour) > 23 || uint(minute) > 59 || uint(second) > 59 || month > 12 || day > 31 {
		return clock, 0, false, false
	}
	return time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC), offset, zoned, true
}

// twoDigits reads the number at text[i:], which is there; else what it returns is far below 0.
func twoDigits(text []byte, i int) int {
	tens, ones := text[i]-'0', text[i+1]-'0'
	if tens > 9 || ones > 9 {
		return -1 << 20
	}
	return 10*int(tens) + int(ones)
}
