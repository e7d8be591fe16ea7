package pgform

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Interval is an interval as the server has it: in three parts.
type Interval struct {
	Months       int32
	Days         int32
	Microseconds int64
}

// AppendText writes the interval as the server does with intervalstyle postgres:
// 1 year 2 mons -3 days +04:05:06.789.
func (i Interval) AppendText(b []byte) []byte {
	start := len(b)
	negative := false // whether the part before is: then a positive one shows its sign
	part := func(n int32, unit string) {
		if n == 0 {
			return
		}
		if len(b) > start {
			b = append(b, ' ')
		}
		if negative && n > 0 {
			b = append(b, '+')
		}
		b = strconv.AppendInt(b, int64(n), 10)
		b = append(b, ' ')
		b = append(b, unit...)
		if n != 1 {
			b = append(b, 's')
		}
		negative = n < 0
	}
	part(i.Months/12, "year")
	part(i.Months%12, "mon")
	part(i.Days, "day")
	if i.Microseconds == 0 && len(b) > start {
		return b
	}
	if len(b) > start {
		b = append(b, ' ')
	}
	micros := uint64(i.Microseconds)
	switch {
	case i.Microseconds < 0:
		b = append(b, '-')
		micros = -micros
	case negative:
		b = append(b, '+')
	}
	b = append2(b, micros/MicrosPerHour)
	b = append2(append(b, ':'), micros/MicrosPerMinute%60)
	b = append2(append(b, ':'), micros/MicrosPerSecond%60)
	if fraction := micros % MicrosPerSecond; fraction != 0 {
		digits := strconv.AppendUint(nil, MicrosPerSecond+fraction, 10)[1:]
		b = append(append(b, '.'), strings.TrimRight(string(digits), "0")...)
	}
	return b
}

// AppendISO writes the interval as the server does with intervalstyle iso_8601:
// P1Y2M-3DT4H5M6.789S.
func (i Interval) AppendISO(b []byte) []byte {
	if i == (Interval{}) {
		return append(b, "PT0S"...)
	}
	part := func(n int64, unit byte) {
		if n != 0 {
			b = append(strconv.AppendInt(b, n, 10), unit)
		}
	}
	b = append(b, 'P')
	part(int64(i.Months/12), 'Y')
	part(int64(i.Months%12), 'M')
	part(int64(i.Days), 'D')
	if i.Microseconds == 0 {
		return b
	}
	b = append(b, 'T')
	part(i.Microseconds/MicrosPerHour, 'H')
	part(i.Microseconds/MicrosPerMinute%60, 'M')
	micros := i.Microseconds % MicrosPerMinute
	if micros == 0 {
		return b
	}
	if micros < 0 {
		b, micros = append(b, '-'), -micros
	}
	b = strconv.AppendInt(b, micros/MicrosPerSecond, 10)
	if fraction := micros % MicrosPerSecond; fraction != 0 {
		digits := strconv.AppendInt(nil, MicrosPerSecond+fraction, 10)[1:]
		b = append(append(b, '.'), strings.TrimRight(string(digits), "0")...)
	}
	return append(b, 'S')
}

// AppendInput writes the interval so that every server reads it.
func (i Interval) AppendInput(b []byte) []byte {
	if i.Microseconds != math.MinInt64 {
		return i.AppendText(b)
	}
	// The server does not read what it writes for this one.
	i.Microseconds = 0
	if i != (Interval{}) {
		b = append(i.AppendText(b), ' ')
	}
	return append(b, "-2562047788 hours -54.775808 secs"...)
}

// AppendBinary writes the interval in binary (PostgreSQL: interval_recv).
func (i Interval) AppendBinary(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(i.Microseconds))
	b = binary.BigEndian.AppendUint32(b, uint32(i.Days))
	return binary.BigEndian.AppendUint32(b, uint32(i.Months))
}

// Duration gives the interval's length where a year has 365 days, a month 30 and a day
// 24 hours, if a Duration can have it.
func (i Interval) Duration() (_ time.Duration, ok bool) {
	days := int64(i.Months/12)*365 + int64(i.Months%12)*30 + int64(i.Days)
	micros, ok := addProduct(i.Microseconds, days, MicrosPerDay)
	if !ok {
		return 0, false
	}
	nanos, ok := addProduct(0, micros, int64(time.Microsecond))
	return time.Duration(nanos), ok
}

var errIntervalRange = errors.New("a part is out of range")

// ParseInterval reads the output of every intervalstyle (PostgreSQL: EncodeInterval).
func ParseInterval(text string) (Interval, error) {
	var p intervalParser
	var err error
	if strings.HasPrefix(text, "P") {
		err = p.iso(text[1:])
	} else {
		err = p.words(strings.Fields(text))
	}
	if err != nil {
		return Interval{}, fmt.Errorf("%.60q is not an interval: %w", text, err)
	}
	return p.Interval, nil
}

type intervalParser struct{ Interval }

// add adds n of a unit, and of a second the fraction in microseconds.
func (p *intervalParser) add(n int64, unit string, fraction int64) error {
	ok := fraction == 0
	addTo := func(part *int32, size int64) {
		sum, fits := addProduct(int64(*part), n, size)
		ok = ok && fits && sum == int64(int32(sum))
		*part = int32(sum)
	}
	size := int64(0)
	switch strings.TrimSuffix(unit, "s") {
	case "year", "Y":
		addTo(&p.Months, 12)
	case "mon", "month", "M":
		addTo(&p.Months, 1)
	case "week", "W":
		addTo(&p.Days, 7)
	case "day", "D":
		addTo(&p.Days, 1)
	case "hour", "TH":
		size = MicrosPerHour
	case "min", "minute", "TM":
		size = MicrosPerMinute
	case "sec", "second", "TS":
		size, ok = MicrosPerSecond, true
	default:
		return fmt.Errorf("%q is not a unit", unit)
	}
	if size != 0 {
		sum, fits := addProduct(p.Microseconds, 1, fraction)
		if fits {
			sum, fits = addProduct(sum, n, size)
		}
		ok = ok && fits
		p.Microseconds = sum
	}
	if !ok {
		return errIntervalRange
	}
	return nil
}

// words reads the styles postgres, postgres_verbose and sql_standard.
func (p *intervalParser) words(words []string) error {
	if len(words) > 0 && words[0] == "@" {
		words = words[1:]
	}
	ago := len(words) > 1 && words[len(words)-1] == "ago"
	if ago {
		words = words[:len(words)-1]
	}
	if len(words) == 0 {
		return errors.New("it is empty")
	}
	for i := 0; i < len(words); i++ {
		word := words[i]
		body := strings.TrimLeft(word, "+-")
		switch {
		case strings.Contains(word, ":"):
			if err := p.clock(word, false); err != nil {
				return err
			}
		case strings.Contains(body, "-"): // sql_standard: years-months
			negative, body := cutSign(word)
			years, months, _ := strings.Cut(body, "-")
			for _, part := range [...]struct{ digits, unit string }{{years, "year"}, {months, "mon"}} {
				n, _, err := parseDecimal(negative, part.digits)
				if err != nil {
					return err
				}
				if err := p.add(n, part.unit, 0); err != nil {
					return err
				}
			}
		default:
			negative, body := cutSign(word)
			n, fraction, err := parseDecimal(negative, body)
			if err != nil {
				return err
			}
			switch {
			case i+1 < len(words) && strings.Contains(words[i+1], ":"): // sql_standard: days and a time under one sign
				if err := p.add(n, "day", fraction); err != nil {
					return err
				}
				i++
				if err := p.clock(words[i], negative); err != nil {
					return err
				}
			case i+1 < len(words):
				i++
				if err := p.add(n, words[i], fraction); err != nil {
					return err
				}
			case n == 0 && len(words) == 1:
			default:
				return fmt.Errorf("%q has no unit", word)
			}
		}
	}
	if ago {
		if p.Months == math.MinInt32 || p.Days == math.MinInt32 || p.Microseconds == math.MinInt64 {
			return errIntervalRange
		}
		p.Months, p.Days, p.Microseconds = -p.Months, -p.Days, -p.Microseconds
	}
	return nil
}

// clock reads [sign]hours:minutes[:seconds]. Without a sign of its own it is
// negative if negative says so.
func (p *intervalParser) clock(word string, negative bool) error {
	if word[0] == '-' || word[0] == '+' {
		negative, word = cutSign(word)
	}
	fields := strings.Split(word, ":")
	if len(fields) > 3 {
		return fmt.Errorf("%q is not a time", word)
	}
	units := [...]string{"hour", "min", "sec"}
	for i, field := range fields {
		n, fraction, err := parseDecimal(negative, field)
		if err != nil {
			return err
		}
		if i > 0 && (n > 60 || n < -60) {
			return fmt.Errorf("%q is not a time", word)
		}
		if err := p.add(n, units[i], fraction); err != nil {
			return err
		}
	}
	return nil
}

// iso reads what follows the P of style iso_8601.
func (p *intervalParser) iso(text string) error {
	if text == "" || text == "T" {
		return errors.New("it is empty")
	}
	prefix := ""
	for text != "" {
		if text[0] == 'T' && prefix == "" {
			prefix, text = "T", text[1:]
			continue
		}
		negative, body := cutSign(text)
		end := 0
		for end < len(body) && (body[end] == '.' || body[end] >= '0' && body[end] <= '9') {
			end++
		}
		if end == len(body) {
			return fmt.Errorf("%q has no unit", text)
		}
		n, fraction, err := parseDecimal(negative, body[:end])
		if err != nil {
			return err
		}
		if err := p.add(n, prefix+body[end:end+1], fraction); err != nil {
			return err
		}
		text = body[end+1:]
	}
	return nil
}

func cutSign(s string) (negative bool, digits string) {
	if s != "" && (s[0] == '-' || s[0] == '+') {
		return s[0] == '-', s[1:]
	}
	return false, s
}

// parseDecimal reads unsigned digits with up to six more behind a dot, which it
// returns as millionths. Both get the sign.
func parseDecimal(negative bool, s string) (n, millionths int64, err error) {
	whole, decimals, hasDot := strings.Cut(s, ".")
	if whole == "" && hasDot {
		whole = "0"
	}
	u, err := parseDigits(whole)
	if err != nil {
		return 0, 0, err
	}
	if len(decimals) > 6 {
		return 0, 0, fmt.Errorf("%q is finer than a microsecond", s)
	}
	if decimals != "" {
		if millionths, err = parseDigits(decimals + "000000"[len(decimals):]); err != nil {
			return 0, 0, err
		}
	}
	if negative {
		return -u, -millionths, nil
	}
	return u, millionths, nil
}

func parseDigits(s string) (int64, error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, errIntervalRange
	}
	return n, nil
}

// addProduct returns a + b*c, and false if that overflows.
func addProduct(a, b, c int64) (int64, bool) {
	hi, lo := bits.Mul64(absolute(b), absolute(c))
	negative := (b < 0) != (c < 0)
	if hi != 0 || lo > 1<<63 || lo == 1<<63 && !negative {
		return 0, false
	}
	product := int64(lo)
	if negative {
		product = -product
	}
	sum := a + product
	return sum, (sum > a) == (product > 0)
}

func absolute(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}
