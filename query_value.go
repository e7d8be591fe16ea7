package psyco

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/lib/pq/oid"

	"github.com/psyco-go/psyco/internal/pgform"
)

// oidOf is the type that database/sql knows by a name, 0 if none has that name.
func oidOf(name string) uint32 {
	if name == "" {
		return 0
	}
	return typeOIDs()[strings.ToUpper(name)]
}

var typeOIDs = sync.OnceValue(func() map[string]uint32 {
	m := make(map[string]uint32, len(oid.TypeName))
	for id, name := range oid.TypeName {
		m[name] = uint32(id)
	}
	return m
})

// usable makes a value that a program can use of what a driver delivers for a column
// whose Go type is any.
func usable(src any, typ uint32) (any, error) {
	switch x := src.(type) {
	case []byte:
		if typ == pgform.OIDBytea || typ == 0 && !utf8.Valid(x) {
			return bytes.Clone(x), nil
		}
		return usableText(string(x), typ)
	case string:
		return usableText(x, typ)
	}
	return src, nil
}

// usableText is usable for a value's text.
func usableText(text string, typ uint32) (any, error) {
	var elem reflect.Type
	switch typ {
	case pgform.OIDNumeric:
		return Numeric(text), nil
	case pgform.OIDInterval:
		return readAs[Interval](text)
	case pgform.OIDJSON, pgform.OIDJSONB:
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			return nil, fmt.Errorf("cannot read %.60q as json: %w", text, err)
		}
		return v, nil
	case pgform.OIDDate:
		return readAs[Date](text)
	case pgform.OIDTimestamp, pgform.OIDTimestamptz:
		return readAs[Timestamp](text)
	default:
		if elem = elementType(pgform.ElementOID(typ)); elem == nil {
			return text, nil
		}
	}
	return readArray(text, elem)
}

// readAs reads a type of this package.
func readAs[T any, P interface {
	*T
	Scan(any) error
}](text string) (any, error) {
	var v T
	if err := P(&v).Scan(text); err != nil {
		return nil, unprefixed(err)
	}
	return v, nil
}

// elementType is what the elements of an array become, nil for no array.
func elementType(typ uint32) reflect.Type {
	switch typ {
	case 0:
		return nil
	case pgform.OIDInt2, pgform.OIDInt4, pgform.OIDInt8:
		return reflect.TypeFor[int64]()
	case pgform.OIDFloat4, pgform.OIDFloat8:
		return reflect.TypeFor[float64]()
	case pgform.OIDBool:
		return reflect.TypeFor[bool]()
	case pgform.OIDNumeric:
		return reflect.TypeFor[Numeric]()
	case pgform.OIDInterval:
		return reflect.TypeFor[Interval]()
	case pgform.OIDDate, pgform.OIDTimestamp, pgform.OIDTimestamptz, pgform.OIDTime, pgform.OIDTimetz:
		return timeType
	case pgform.OIDBytea:
		return reflect.TypeFor[[]byte]()
	case pgform.OIDJSON, pgform.OIDJSONB:
		return reflect.TypeFor[JSON[any]]()
	}
	return reflect.TypeFor[string]()
}

// readArray reads an array into a slice of elem, or of pointers to it if it has NULLs.
// Where a time is infinite it is one of Timestamp.
func readArray(text string, elem reflect.Type) (any, error) {
	elements, dims, err := pgform.ParseArray(text, pgform.Delimiter(text))
	if err != nil {
		return nil, err
	}
	if elem == timeType && slices.ContainsFunc(elements, func(e pgform.Element) bool { return strings.HasSuffix(e.Text, "infinity") }) {
		elem = reflect.TypeFor[Timestamp]()
	}
	if slices.ContainsFunc(elements, func(e pgform.Element) bool { return e.Null }) {
		elem = reflect.PointerTo(elem)
	}
	typ := reflect.SliceOf(elem)
	for range max(len(dims), 1) - 1 {
		typ = reflect.SliceOf(typ)
	}
	list := reflect.New(typ).Elem()
	f := arrayFiller{elements: elements, dims: dims}
	if err := f.fill(list, 0); err != nil {
		return nil, err
	}
	return list.Interface(), nil
}
