package psyco

import (
	"database/sql"
	"database/sql/driver"
	"encoding"
	"fmt"
	"time"

	"github.com/psyco-go/psyco/internal/pgform"
)

// Timestamp is a value of type timestamp or timestamptz, which, unlike a
// time.Time, may be infinite.
//
// As a parameter its type is left to the server to infer: a timestamp column
// stores the wall clock of Time, a timestamptz column its instant. (A time.Time
// is a timestamptz, which the server converts to the session's time zone
// for a timestamp column.) For columns that may be NULL use
// sql.Null[psyco.Timestamp] or a pointer; scanning NULL into a Timestamp is an
// error.
type Timestamp struct {
	Time     time.Time // its location is what lib/pq gives; without meaning if Infinity is not 0
	Infinity int8      // -1: -infinity, 1: infinity, 0: Time counts
}

// Date is a value of type date, which has no time zone, and may be infinite. Years are
// counted as in package time: 0 is 1 BC. Dates can be compared with ==.
//
// As a parameter it is a date. A time.Time is a timestamptz, whose date depends
// on the session's time zone. For columns that may be NULL use
// sql.Null[psyco.Date] or a pointer; scanning NULL into a Date is an error.
type Date struct {
	Year     int
	Month    time.Month
	Day      int
	Infinity int8 // -1: -infinity, 1: infinity, 0: Year, Month and Day count
}

var (
	_ sql.Scanner   = (*Timestamp)(nil)
	_ driver.Valuer = Timestamp{}
	_ parameter     = Timestamp{}
	_ textual       = (*Timestamp)(nil)

	_ sql.Scanner   = (*Date)(nil)
	_ driver.Valuer = Date{}
	_ parameter     = Date{}
	_ textual       = (*Date)(nil)
)

// infinityOf reports whether a value is infinite, and on which side.
func infinityOf(src any) (sign int8, infinite bool) {
	switch x := src.(type) {
	case string:
		return pgform.ParseInfinity(x)
	case []byte:
		return pgform.ParseInfinity(string(x))
	}
	return 0, false
}

// textual is what is text in JSON and elsewhere.
type textual interface {
	encoding.TextMarshaler
	encoding.TextUnmarshaler
}

// Value implements [driver.Valuer].
func (t Timestamp) Value() (driver.Value, error) {
	if t.Infinity != 0 {
		return pgform.InfinityText(t.Infinity), nil
	}
	value, _, _, err := timeValue(t.Time, t.Time)
	return value, err
}

func (Timestamp) parameterOID() (oid, fallback uint32) { return 0, pgform.OIDTimestamptz }

// Scan implements [sql.Scanner].
func (t *Timestamp) Scan(src any) error {
	if sign, infinite := infinityOf(src); infinite {
		*t = Timestamp{Infinity: sign}
		return nil
	}
	if x, ok := src.(time.Time); ok {
		*t = Timestamp{Time: x}
		return nil
	}
	text, err := scanText(src, "Timestamp")
	if err != nil {
		return err
	}
	x, err := parseTime(text)
	if err != nil {
		return prefixed(err)
	}
	*t = Timestamp{Time: x}
	return nil
}

// DateOf gives the date on the wall clock of t.
func DateOf(t time.Time) Date { return Date(pgform.DateOf(t)) }

// In gives midnight of the date in loc. Without meaning for an infinite date.
func (d Date) In(loc *time.Location) time.Time {
	return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, loc)
}

// String gives the date as the server does with datestyle ISO: "2024-02-29",
// "0044-03-15 BC", "infinity".
func (d Date) String() string { return string(pgform.Date(d).AppendText(nil)) }

// Value implements [driver.Valuer]. A date that the calendar does not have is an error.
func (d Date) Value() (driver.Value, error) {
	if !pgform.Date(d).Exists() {
		return nil, prefixed(fmt.Errorf("there is no date of year %d, month %d, day %d", d.Year, int(d.Month), d.Day))
	}
	return d.String(), nil
}

func (Date) parameterOID() (oid, fallback uint32) { return pgform.OIDDate, 0 }

// Scan implements [sql.Scanner]. Of a timestamp it takes the date on its wall clock.
func (d *Date) Scan(src any) error {
	if sign, infinite := infinityOf(src); infinite {
		*d = Date{Infinity: sign}
		return nil
	}
	if x, ok := src.(time.Time); ok {
		*d = DateOf(x)
		return nil
	}
	text, err := scanText(src, "Date")
	if err != nil {
		return err
	}
	got, ok := pgform.ParseDate(text)
	if !ok {
		return prefixed(fmt.Errorf("%.60q is not a date in datestyle ISO", text))
	}
	*d = Date(got)
	return nil
}

// Interval is a value of type interval. Its three parts are independent, as they
// are in the server: a month has no fixed number of days and, where clocks change,
// a day has no fixed number of hours.
//
// It scans every intervalstyle, from psyco and from plain lib/pq. For columns
// that may be NULL use sql.Null[psyco.Interval] or a pointer; scanning NULL into
// an Interval is an error.
type Interval struct {
	Months       int32
	Days         int32
	Microseconds int64
}

var (
	_ sql.Scanner   = (*Interval)(nil)
	_ driver.Valuer = Interval{}
	_ parameter     = Interval{}
	_ textual       = (*Interval)(nil)
)

// IntervalOf gives the interval that lasts d, rounded to the microsecond. It has no
// days or months: 48 hours stay 48 hours.
func IntervalOf(d time.Duration) Interval {
	return Interval{Microseconds: d.Round(time.Microsecond).Microseconds()}
}

// Duration gives the interval's length with psycopg's rule for what has no fixed
// length: a year has 365 days, a month 30 and a day 24 hours. An interval longer
// than a time.Duration, about 292 years, is an error.
func (i Interval) Duration() (time.Duration, error) {
	d, ok := pgform.Interval(i).Duration()
	if !ok {
		return 0, prefixed(fmt.Errorf("interval %s is longer than a time.Duration can be, about 292 years", i))
	}
	return d, nil
}

// String gives the interval as the server does with intervalstyle postgres:
// "1 year 2 mons -3 days +04:05:06.789".
func (i Interval) String() string { return string(pgform.Interval(i).AppendText(nil)) }

// Value implements [driver.Valuer].
func (i Interval) Value() (driver.Value, error) {
	return string(pgform.Interval(i).AppendInput(nil)), nil
}

func (Interval) parameterOID() (oid, fallback uint32) { return pgform.OIDInterval, 0 }

// Scan implements [sql.Scanner].
func (i *Interval) Scan(src any) error {
	text, err := scanText(src, "Interval")
	if err != nil {
		return err
	}
	got, err := pgform.ParseInterval(text)
	if err != nil {
		return prefixed(err)
	}
	*i = Interval(got)
	return nil
}

// MarshalText implements [encoding.TextMarshaler], and so encoding/json: RFC 3339, "infinity",
// and for years and offsets that it does not have what the server writes.
func (t Timestamp) MarshalText() ([]byte, error) {
	year := t.Time.Year()
	switch _, offset := t.Time.Zone(); {
	case t.Infinity != 0:
		return []byte(pgform.InfinityText(t.Infinity)), nil
	case year < 1 || year > 9999 || offset%60 != 0:
		return pgform.AppendTimestamp(nil, t.Time), nil
	}
	return t.Time.MarshalText()
}

// UnmarshalText implements [encoding.TextUnmarshaler]. It reads RFC 3339, with or without
// an offset, and what the server writes.
func (t *Timestamp) UnmarshalText(text []byte) error {
	for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04:05"} {
		if x, err := time.Parse(layout, string(text)); err == nil {
			*t = Timestamp{Time: x}
			return nil
		}
	}
	return t.Scan(string(text))
}

// MarshalText implements [encoding.TextMarshaler], and so encoding/json: String, for a date
// that the calendar has.
func (d Date) MarshalText() ([]byte, error) {
	if _, err := d.Value(); err != nil {
		return nil, err
	}
	return pgform.Date(d).AppendText(nil), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler]. Of a timestamp as in RFC 3339 it takes
// the date on its wall clock.
func (d *Date) UnmarshalText(text []byte) error {
	if x, err := time.Parse(time.RFC3339, string(text)); err == nil {
		*d = DateOf(x)
		return nil
	}
	return d.Scan(string(text))
}

// MarshalText implements [encoding.TextMarshaler], and so encoding/json: a duration of
// ISO 8601, P1Y2M-3DT4H5M6.789S, as the server writes it with intervalstyle iso_8601.
func (i Interval) MarshalText() ([]byte, error) { return pgform.Interval(i).AppendISO(nil), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. It reads what the server writes with
// any intervalstyle.
func (i *Interval) UnmarshalText(text []byte) error { return i.Scan(string(text)) }
