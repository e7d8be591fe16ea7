package psyco

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

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
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = append(appendQuotedElement(b, key), "=>"...)
		if value.Valid {
			b = appendQuotedElement(b, value.V)
		} else {
			b = append(b, "NULL"...)
		}
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
	got, err := parseHStore(text)
	if err != nil {
		return prefixed(fmt.Errorf("%.60q is not an hstore: %w", text, err))
	}
	*h = got
	return nil
}

// parseHStore reads what the server writes (hstore: hstore_out), where all but NULL is quoted.
func parseHStore(text string) (HStore, error) {
	h := HStore{}
	for rest := text; rest != ""; {
		if len(h) > 0 {
			var ok bool
			if rest, ok = strings.CutPrefix(rest, ","); !ok {
				return nil, errors.New("a comma is missing")
			}
			rest = strings.TrimLeft(rest, " ")
		}
		if !strings.HasPrefix(rest, `"`) {
			return nil, errors.New("a quoted key is missing")
		}
		key, after, err := cutQuoted(rest)
		if err != nil {
			return nil, err
		}
		after, ok := strings.CutPrefix(after, "=>")
		if !ok {
			return nil, errors.New("=> is missing")
		}
		var value sql.Null[string]
		if rest, ok = strings.CutPrefix(after, "NULL"); !ok {
			if !strings.HasPrefix(after, `"`) {
				return nil, errors.New("a quoted value is missing")
			}
			if value.V, rest, err = cutQuoted(after); err != nil {
				return nil, err
			}
			value.Valid = true
		}
		h[key] = value
	}
	return h, nil
}
