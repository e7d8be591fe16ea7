package psyco

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/psyco-go/psyco/internal/pgform"
)

// HStore is a value of the extension hstore: text values, or NULLs, by key.
//
//	psyco.HStore{"colour": {V: "red", Valid: true}, "size": {}}
//
// NULL is a nil HStore, an hstore without keys an empty one. As parameter its
// type is left to the server to infer, because extensions have no fixed OID:
// where it cannot, write %s::hstore.
type HStore map[string]sql.Null[string]

var (
	_ sql.Scanner   = (*HStore)(nil)
	_ driver.Valuer = HStore(nil)
	_ parameter     = HStore(nil)
	_ textual       = (*HStore)(nil)

	_ json.Marshaler   = HStore(nil)
	_ json.Unmarshaler = (*HStore)(nil)
)

// Value implements [driver.Valuer].
func (h HStore) Value() (driver.Value, error) {
	if h == nil {
		return nil, nil
	}
	var b []byte
	for _, key := range slices.Sorted(maps.Keys(h)) {
		value := h[key]
		if err := errors.Join(pgform.CheckText(key), pgform.CheckText(value.V)); err != nil {
			return nil, prefixed(fmt.Errorf("hstore key %q: %w", key, err))
		}
		b = pgform.AppendPair(b, key, pgform.Element{Text: value.V, Null: !value.Valid})
	}
	return string(b), nil
}

func (HStore) parameterOID() (oid, fallback uint32) { return 0, pgform.OIDText }

// Scan implements [sql.Scanner].
func (h *HStore) Scan(src any) error {
	if src == nil {
		*h = nil
		return nil
	}
	text, err := scanText(src, "HStore")
	if err != nil {
		return err
	}
	got := HStore{}
	err = pgform.ParseHStore(text, func(key string, value pgform.Element) {
		got[key] = sql.Null[string]{V: value.Text, Valid: !value.Null}
	})
	if err != nil {
		return prefixed(fmt.Errorf("%.60q is not an hstore: %w", text, err))
	}
	*h = got
	return nil
}

// MarshalJSON implements [json.Marshaler]: {"colour": "red", "size": null}, null for nil.
func (h HStore) MarshalJSON() ([]byte, error) {
	if h == nil {
		return []byte("null"), nil
	}
	object := make(map[string]*string, len(h))
	for key, value := range h {
		if object[key] = nil; value.Valid {
			object[key] = &value.V
		}
	}
	return json.Marshal(object)
}

// UnmarshalJSON implements [json.Unmarshaler]. Numbers, true and false become their text, as they
// do with the server's casts.
func (h *HStore) UnmarshalJSON(b []byte) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(b, &object); err != nil {
		return err
	}
	if object == nil {
		*h = nil
		return nil
	}
	got := make(HStore, len(object))
	for key, document := range object {
		value := sql.Null[string]{Valid: true}
		switch document[0] {
		case 'n':
			value.Valid = false
		case '"':
			if err := json.Unmarshal(document, &value.V); err != nil {
				return err
			}
		case '{', '[':
			return prefixed(fmt.Errorf("hstore key %q: %.40q is not text", key, document))
		default:
			value.V = string(document)
		}
		got[key] = value
	}
	*h = got
	return nil
}

// MarshalText implements [encoding.TextMarshaler]: the server's form,
// "colour"=>"red","size"=>NULL.
func (h HStore) MarshalText() ([]byte, error) {
	text, err := h.Value()
	if text == nil || err != nil {
		return nil, err
	}
	return []byte(text.(string)), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (h *HStore) UnmarshalText(text []byte) error { return h.Scan(string(text)) }
