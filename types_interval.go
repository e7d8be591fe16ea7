package psyco

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"time"

	"github.com/psyco-go/psyco/internal/pgform"
)

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
