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

// Record reads and writes a value of a composite type, or a row like ROW(1,
// 'a'), with a struct: the exported fields of T take the attributes by position.
// Fields may have any type that [Into] accepts; a struct is a composite inside
// the composite, a pointer or sql.Null a field that may be NULL.
//
// For values that may be NULL themselves use sql.Null[psyco.Record[T]] or a pointer;
// scanning NULL into a Record is an error.
type Record[T any] struct{ V T }

var (
	_ sql.Scanner   = (*Record[struct{}])(nil)
	_ driver.Valuer = Record[struct{}]{}
	_ parameter     = Record[struct{}]{}
	_ textual       = (*Record[struct{}])(nil)

	_ json.Marshaler   = Record[struct{}]{}
	_ json.Unmarshaler = (*Record[struct{}])(nil)
)

// Value implements [driver.Valuer].
func (r Record[T]) Value() (driver.Value, error) {
	rv := reflect.ValueOf(&r.V).Elem()
	for rv.Kind() == reflect.Pointer && !rv.IsNil() {
		rv = rv.Elem()
	}
	if rv.Kind() != reflect.Struct {
		return nil, prefixed(fmt.Errorf("Record needs a struct, not a %s", rv.Type()))
	}
	b, err := appendRecord(nil, rv, 0)
	if err != nil {
		return nil, prefixed(err)
	}
	return string(b), nil
}

func (Record[T]) parameterOID() (oid, fallback uint32) { return 0, pgform.OIDText }

// Scan implements [sql.Scanner].
func (r *Record[T]) Scan(src any) error {
	text, err := scanText(src, "Record")
	if err != nil {
		return err
	}
	var v T
	dst := allocate(reflect.ValueOf(&v).Elem())
	if dst.Kind() != reflect.Struct {
		return prefixed(fmt.Errorf("Record needs a struct, not a %s", dst.Type()))
	}
	if err := setRecord(dst, text); err != nil {
		return prefixed(err)
	}
	r.V = v
	return nil
}

// recordFields gives the indexes of the fields that take part.
func recordFields(typ reflect.Type) []int {
	var fields []int
	for i := range typ.NumField() {
		if typ.Field(i).IsExported() {
			fields = append(fields, i)
		}
	}
	return fields
}

// setRecord reads a composite value into the struct dst (PostgreSQL: record_out).
func setRecord(dst reflect.Value, text string) error {
	attributes, err := pgform.ParseRecord(text)
	if err != nil {
		return err
	}
	typ := dst.Type()
	fields := recordFields(typ)
	if len(fields) != len(attributes) {
		return fmt.Errorf("a record of %d attributes does not fit into %s, which has %d exported fields", len(attributes), typ, len(fields))
	}
	for i, field := range fields {
		if attributes[i].Null {
			err = setNull(dst.Field(field))
		} else {
			err = setText(dst.Field(field), attributes[i].Text)
		}
		if err != nil {
			return fmt.Errorf("field %s: %w", typ.Field(field).Name, err)
		}
	}
	return nil
}

// appendRecord writes the struct rv as a composite value.
func appendRecord(b []byte, rv reflect.Value, depth int) ([]byte, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("%s leads to itself or is nested more than %d deep", rv.Type(), maxNesting)
	}
	b = append(b, '(')
	for i, index := range recordFields(rv.Type()) {
		if i > 0 {
			b = append(b, ',')
		}
		text, null, err := appendParameterText(nil, rv.Field(index).Interface())
		if untyped := (*untypedError)(nil); errors.As(err, &untyped) && untyped.typ.Kind() == reflect.Struct && indirectType(rv.Field(index).Type()) == untyped.typ {
			nested := rv.Field(index)
			for nested.Kind() == reflect.Pointer {
				nested = nested.Elem()
			}
			text, err = appendRecord(nil, nested, depth+1)
			null = false
		}
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", rv.Type().Field(index).Name, err)
		}
		if !null {
			b = pgform.AppendComponent(b, string(text))
		}
	}
	return append(b, ')'), nil
}

// MarshalJSON implements [json.Marshaler]: a Record stands for its V.
func (r Record[T]) MarshalJSON() ([]byte, error) { return json.Marshal(r.V) }

// UnmarshalJSON implements [json.Unmarshaler].
func (r *Record[T]) UnmarshalJSON(b []byte) error {
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	r.V = v
	return nil
}

// MarshalText implements [encoding.TextMarshaler]: what the server writes, (1,a).
func (r Record[T]) MarshalText() ([]byte, error) {
	text, err := r.Value()
	if err != nil {
		return nil, err
	}
	return []byte(text.(string)), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (r *Record[T]) UnmarshalText(text []byte) error { return r.Scan(string(text)) }
