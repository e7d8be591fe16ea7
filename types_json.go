package psyco

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"

	"github.com/psyco-go/psyco/internal/pgform"
)

// JSON reads and writes V as json or jsonb, with encoding/json. As a parameter
// it is what psycopg's Json wrapper is: psyco.JSON[any]{V: v} passes any v.
//
// A document that is JSON's null decodes as encoding/json does it. For columns that may
// hold NULL use sql.Null[psyco.JSON[T]] or a pointer; scanning NULL into a JSON is an
// error. In a struct that is itself marshalled, JSON stands for its V.
type JSON[T any] struct{ V T }

var (
	_ sql.Scanner      = (*JSON[any])(nil)
	_ driver.Valuer    = JSON[any]{}
	_ parameter        = JSON[any]{}
	_ json.Marshaler   = JSON[any]{}
	_ json.Unmarshaler = (*JSON[any])(nil)
)

// Value implements [driver.Valuer].
func (j JSON[T]) Value() (driver.Value, error) {
	b, err := json.Marshal(j.V)
	if err != nil {
		return nil, prefixed(fmt.Errorf("JSON: %w", err))
	}
	return string(b), nil
}

func (JSON[T]) parameterOID() (oid, fallback uint32) { return 0, pgform.OIDJSONB }

// Scan implements [sql.Scanner]. V is decoded afresh: nothing of an earlier
// document stays in it.
func (j *JSON[T]) Scan(src any) error {
	text, err := scanText(src, "JSON")
	if err != nil {
		return err
	}
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return prefixed(fmt.Errorf("cannot read %.60q as %T: %w", text, v, err))
	}
	j.V = v
	return nil
}

// MarshalJSON implements [json.Marshaler].
func (j JSON[T]) MarshalJSON() ([]byte, error) { return json.Marshal(j.V) }

// UnmarshalJSON implements [json.Unmarshaler].
func (j *JSON[T]) UnmarshalJSON(b []byte) error {
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	j.V = v
	return nil
}
