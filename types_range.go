package psyco

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

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
	_ textual       = (*Range[int])(nil)

	_ sql.Scanner   = (*Multirange[int])(nil)
	_ driver.Valuer = Multirange[int](nil)
	_ parameter     = Multirange[int](nil)
	_ textual       = (*Multirange[int])(nil)

	_ json.Marshaler   = Multirange[int](nil)
	_ json.Unmarshaler = (*Multirange[int])(nil)
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
	form := pgform.Range{
		Lower: pgform.Element{Null: r.LowerInf}, Upper: pgform.Element{Null: r.UpperInf},
		LowerInc: r.LowerInc, UpperInc: r.UpperInc, Empty: r.Empty,
	}
	if !r.Empty && !r.LowerInf {
		if form.Lower.Text, err = boundText(r.Lower); err != nil {
			return nil, fmt.Errorf("lower bound: %w", err)
		}
	}
	if !r.Empty && !r.UpperInf {
		if form.Upper.Text, err = boundText(r.Upper); err != nil {
			return nil, fmt.Errorf("upper bound: %w", err)
		}
	}
	return form.AppendText(b), nil
}

func boundText(bound any) (string, error) {
	text, null, err := appendParameterText(nil, bound)
	if null {
		err = errors.New("it is NULL: set LowerInf or UpperInf for a range without it")
	}
	return string(text), err
}

// Which range a subtype stands for, where the Go type decides it.
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
	form, err := pgform.ParseRange(text)
	if err == nil {
		err = got.set(form)
	}
	if err != nil {
		return prefixed(fmt.Errorf("%.60q is not a range of %s: %w", text, reflect.TypeFor[T](), err))
	}
	*r = got
	return nil
}

// set takes over what was read.
func (r *Range[T]) set(form pgform.Range) error {
	*r = Range[T]{
		LowerInc: form.LowerInc, UpperInc: form.UpperInc,
		LowerInf: form.Lower.Null, UpperInf: form.Upper.Null, Empty: form.Empty,
	}
	if form.Empty {
		return nil
	}
	if !r.LowerInf {
		if err := setText(reflect.ValueOf(&r.Lower).Elem(), form.Lower.Text); err != nil {
			return err
		}
	}
	if !r.UpperInf {
		return setText(reflect.ValueOf(&r.Upper).Elem(), form.Upper.Text)
	}
	return nil
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
	forms, err := pgform.ParseMultirange(text)
	got := make(Multirange[T], len(forms))
	for i := range forms {
		if err == nil {
			err = got[i].set(forms[i])
		}
	}
	if err != nil {
		return prefixed(fmt.Errorf("%.60q is not a multirange of %s: %w", text, reflect.TypeFor[T](), err))
	}
	*m = got
	return nil
}

// MarshalText implements [encoding.TextMarshaler], and so encoding/json: what the server writes,
// [1,10).
func (r Range[T]) MarshalText() ([]byte, error) {
	b, err := r.append(nil)
	if err != nil {
		return nil, prefixed(err)
	}
	return b, nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (r *Range[T]) UnmarshalText(text []byte) error { return r.Scan(string(text)) }

// MarshalText implements [encoding.TextMarshaler]: what the server writes, {[1,3),[5,8)}. Of
// nil it is the text of an empty multirange.
func (m Multirange[T]) MarshalText() ([]byte, error) {
	text, err := append(Multirange[T]{}, m...).Value()
	if err != nil {
		return nil, err
	}
	return []byte(text.(string)), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (m *Multirange[T]) UnmarshalText(text []byte) error { return m.Scan(string(text)) }

// MarshalJSON implements [json.Marshaler]: the text in a string, null for nil.
func (m Multirange[T]) MarshalJSON() ([]byte, error) {
	text, err := m.Value()
	if err != nil {
		return nil, err
	}
	return json.Marshal(text)
}

// UnmarshalJSON implements [json.Unmarshaler]. It reads the text in a string, and a list of ranges.
func (m *Multirange[T]) UnmarshalJSON(b []byte) error {
	if b[0] == '[' {
		var ranges []Range[T]
		if err := json.Unmarshal(b, &ranges); err != nil {
			return err
		}
		*m = ranges
		return nil
	}
	var text *string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	if text == nil {
		*m = nil
		return nil
	}
	return m.Scan(*text)
}
