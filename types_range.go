package psyco

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/psyco-go/psyco/internal/pgform"
)

// Range is a value of a range type with subtype T: int32 for int4range, int64 or
// int for int8range, Numeric for numrange, Date for daterange, time.Time or
// Timestamp for tsrange and tstzrange, any type that [Into] accepts for others.
// The fields are psycopg's Range.
//
// The zero Range is (0,0) with neither bound in it: an empty range, though Empty
// is false until the server has seen it. For columns that may be NULL use
// sql.Null[psyco.Range[T]] or a pointer; scanning NULL into a Range is an error.
type Range[T any] struct {
	Lower, Upper       T
	LowerInc, UpperInc bool // the bound itself is in the range: [ and ]
	LowerInf, UpperInf bool // there is no bound on this side; Lower or Upper does not count
	Empty              bool // there is nothing in the range; no other field counts
}

// Multirange is a value of a multirange type, with its ranges in order.
// NULL is a nil Multirange, '{}' an empty one.
type Multirange[T any] []Range[T]

var (
	_ sql.Scanner   = (*Range[int])(nil)
	_ driver.Valuer = Range[int]{}
	_ parameter     = Range[int]{}

	_ sql.Scanner   = (*Multirange[int])(nil)
	_ driver.Valuer = Multirange[int](nil)
	_ parameter     = Multirange[int](nil)
)

// Value implements [driver.Valuer].
func (r Range[T]) Value() (driver.Value, error) {
	b, err := r.append(nil)
	if err != nil {
		return nil, prefixed(err)
	}
	return string(b), nil
}

func (r Range[T]) append(b []byte) (_ []byte, err error) {
	if r.Empty {
		return append(b, "empty"...), nil
	}
	if r.LowerInc && !r.LowerInf {
		b = append(b, '[')
	} else {
		b = append(b, '(')
	}
	if !r.LowerInf {
		if b, err = appendBound(b, r.Lower); err != nil {
			return nil, fmt.Errorf("lower bound: %w", err)
		}
	}
	b = append(b, ',')
	if !r.UpperInf {
		if b, err = appendBound(b, r.Upper); err != nil {
			return nil, fmt.Errorf("upper bound: %w", err)
		}
	}
	if r.UpperInc && !r.UpperInf {
		return append(b, ']'), nil
	}
	return append(b, ')'), nil
}

func appendBound(b []byte, bound any) ([]byte, error) {
	text, null, err := appendParameterText(nil, bound)
	if err != nil {
		return nil, err
	}
	if null {
		return nil, errors.New("it is NULL: set LowerInf or UpperInf for a range without it")
	}
	return appendComponent(b, string(text)), nil
}

// Which range a subtype stands for, as far as Go's type says so.
func (Range[T]) parameterOID() (oid, fallback uint32) {
	typ := reflect.TypeFor[T]()
	switch typ.Kind() {
	case reflect.Int, reflect.Int64, reflect.Uint, reflect.Uint32, reflect.Uint64:
		return 0, pgform.OIDInt8Range // int8range, unless there is a Valuer
	}
	switch oid, fallback := (*TypeMap)(nil).typeOID(typ); max(oid, fallback) {
	case pgform.OIDInt4:
		return 0, pgform.OIDInt4Range
	case pgform.OIDNumeric, pgform.OIDFloat8:
		return 0, pgform.OIDNumRange
	case pgform.OIDTimestamptz:
		return 0, pgform.OIDTstzRange
	case pgform.OIDDate:
		return 0, pgform.OIDDateRange
	}
	return 0, pgform.OIDText
}

// Scan implements [sql.Scanner].
func (r *Range[T]) Scan(src any) error {
	text, err := scanText(src, "Range")
	if err != nil {
		return err
	}
	var got Range[T]
	rest, err := got.parse(text)
	if err == nil && rest != "" {
		err = fmt.Errorf("%.20q follows it", rest)
	}
	if err != nil {
		return prefixed(fmt.Errorf("%.60q is not a range of %s: %w", text, reflect.TypeFor[T](), err))
	}
	*r = got
	return nil
}

// parse reads the range that text starts with (PostgreSQL: range_out).
func (r *Range[T]) parse(text string) (rest string, err error) {
	if rest, ok := strings.CutPrefix(text, "empty"); ok {
		r.Empty = true
		return rest, nil
	}
	if text == "" || text[0] != '[' && text[0] != '(' {
		return "", errors.New("[ or ( is missing")
	}
	r.LowerInc = text[0] == '['
	lower, rest, err := cutComponent(text[1:], ",)]")
	if err != nil {
		return "", err
	}
	if rest[0] != ',' {
		return "", errors.New("it has one bound")
	}
	upper, rest, err := cutComponent(rest[1:], ",)]")
	if err != nil {
		return "", err
	}
	if rest[0] == ',' {
		return "", errors.New("it has three bounds")
	}
	r.UpperInc = rest[0] == ']'
	if r.LowerInf = lower.null; !lower.null {
		if err := setText(reflect.ValueOf(&r.Lower).Elem(), lower.text); err != nil {
			return "", err
		}
	}
	if r.UpperInf = upper.null; !upper.null {
		if err := setText(reflect.ValueOf(&r.Upper).Elem(), upper.text); err != nil {
			return "", err
		}
	}
	return rest[1:], nil
}

// Value implements [driver.Valuer].
func (m Multirange[T]) Value() (driver.Value, error) {
	if m == nil {
		return nil, nil
	}
	b := []byte{'{'}
	for i, r := range m {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = r.append(b); err != nil {
			return nil, prefixed(fmt.Errorf("range %d: %w", i, err))
		}
	}
	return string(append(b, '}')), nil
}

func (Multirange[T]) parameterOID() (oid, fallback uint32) {
	switch _, fallback = (Range[T]{}).parameterOID(); fallback {
	case pgform.OIDInt4Range:
		return 0, pgform.OIDInt4Multirange
	case pgform.OIDNumRange:
		return 0, pgform.OIDNumMultirange
	case pgform.OIDTstzRange:
		return 0, pgform.OIDTstzMultirange
	case pgform.OIDDateRange:
		return 0, pgform.OIDDateMultirange
	case pgform.OIDInt8Range:
		return 0, pgform.OIDInt8Multirange
	}
	return 0, pgform.OIDText
}

// Scan implements [sql.Scanner].
func (m *Multirange[T]) Scan(src any) error {
	if src == nil {
		*m = nil
		return nil
	}
	text, err := scanText(src, "Multirange")
	if err != nil {
		return err
	}
	got, err := parseMultirange[T](text)
	if err != nil {
		return prefixed(fmt.Errorf("%.60q is not a multirange of %s: %w", text, reflect.TypeFor[T](), err))
	}
	*m = got
	return nil
}

func parseMultirange[T any](text string) (Multirange[T], error) {
	m := Multirange[T]{}
	if text == "{}" {
		return m, nil
	}
	rest, ok := strings.CutPrefix(text, "{")
	if !ok {
		return nil, errors.New("{ is missing")
	}
	for {
		var r Range[T]
		var err error
		if rest, err = r.parse(rest); err != nil {
			return nil, err
		}
		m = append(m, r)
		switch {
		case rest == "}":
			return m, nil
		case !strings.HasPrefix(rest, ","):
			return nil, errors.New("} is missing")
		}
		rest = rest[1:]
	}
}
