package placeholder

import (
	"cmp"
	"database/sql/driver"
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
)

// argumentSource finds the values of named placeholders.
type argumentSource func(name string) (value any, ok bool, err error)

// namedSource returns where the values of named placeholders come from: one map
// with string keys, one struct or pointer to one, or sql.Named values. It
// returns nil for arguments of other forms.
func namedSource(args []driver.NamedValue) (argumentSource, error) {
	if len(args) == 1 && args[0].Name == "" {
		return containerSource(args[0].Value)
	}
	named := 0
	for i := range args {
		if args[i].Name != "" {
			named++
		}
	}
	if named < len(args) {
		return nil, nil
	}
	return func(name string) (any, bool, error) {
		i := slices.IndexFunc(args, func(a driver.NamedValue) bool { return a.Name == name })
		if i < 0 {
			return nil, false, nil
		}
		return args[i].Value, true, nil
	}, nil
}

// containerSource returns the source that a map or struct is, or nil.
func containerSource(v any) (argumentSource, error) {
	if m, ok := v.(map[string]any); ok {
		return func(name string) (any, bool, error) {
			value, ok := m[name]
			return value, ok, nil
		}, nil
	}
	if v == nil || !IsContainer(reflect.TypeOf(v)) {
		return nil, nil
	}
	rv := reflect.ValueOf(v)
	for rv.Kind() == reflect.Pointer {
		if rv.IsNil() {
			return nil, fmt.Errorf("the parameters are a nil %T", v)
		}
		rv = rv.Elem()
	}
	if rv.Kind() == reflect.Map {
		key := rv.Type().Key()
		return func(name string) (any, bool, error) {
			value := rv.MapIndex(reflect.ValueOf(name).Convert(key))
			if !value.IsValid() {
				return nil, false, nil
			}
			return value.Interface(), true, nil
		}, nil
	}
	fields := FieldsOf(rv.Type())
	return func(name string) (any, bool, error) {
		i, ok := fields.ByName[name]
		if !ok {
			return nil, false, nil
		}
		field, err := rv.FieldByIndexErr(fields.List[i].Index)
		if err != nil {
			return nil, false, fmt.Errorf("parameter %s is in an embedded struct, of %s, that is a nil pointer", name, rv.Type())
		}
		return field.Interface(), true, nil
	}, nil
}

// IsContainer reports whether a type's values hold values by name: maps with
// string keys and structs, unless they stand for one value of their own.
func IsContainer(typ reflect.Type) bool {
	if isValue(typ) {
		return false
	}
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch typ.Kind() {
	case reflect.Map:
		return !isValue(typ) && typ.Key().Kind() == reflect.String
	case reflect.Struct:
		return !isValue(typ)
	}
	return false
}

var (
	valuerType        = reflect.TypeFor[driver.Valuer]()
	textMarshalerType = reflect.TypeFor[encoding.TextMarshaler]()
	timeType          = reflect.TypeFor[time.Time]()
)

// isValue reports whether a type says itself what single value it stands for.
func isValue(typ reflect.Type) bool {
	return typ.Implements(valuerType) || typ.Implements(textMarshalerType) || typ.ConvertibleTo(timeType) ||
		typ.Kind() == reflect.Struct && (reflect.PointerTo(typ).Implements(valuerType) || reflect.PointerTo(typ).Implements(textMarshalerType))
}

// IsByteList reports whether typ is bytes and not an array of small numbers.
func IsByteList(typ reflect.Type) bool {
	if typ.Kind() != reflect.Slice && typ.Kind() != reflect.Array {
		return false
	}
	elem := typ.Elem()
	return elem.Kind() == reflect.Uint8 && !elem.Implements(valuerType) && !elem.Implements(textMarshalerType)
}

// StructFields are the fields of a struct type that hold parameters.
type StructFields struct {
	List   []Field        // in the order of the struct, embedded ones in their place
	ByName map[string]int // where each is in List
}

// Field is the field of a struct that holds a parameter.
type Field struct {
	Name  string // of the parameter
	Index []int  // for reflect.Value.FieldByIndex
}

var fieldCache sync.Map // reflect.Type → *StructFields

// FieldsOf returns the exported fields of a struct type under the names of their
// db tags, else under their own in snake_case. The fields of embedded structs
// belong to it, as in Go: a name at a lesser depth hides the deeper ones, and
// one that is there twice at the same depth does not count.
func FieldsOf(typ reflect.Type) *StructFields {
	if f, ok := fieldCache.Load(typ); ok {
		return f.(*StructFields)
	}
	all := appendFields(nil, typ, nil, nil)
	f := &StructFields{ByName: make(map[string]int)}
	byDepth := slices.Clone(all)
	slices.SortStableFunc(byDepth, func(a, b Field) int { return cmp.Compare(len(a.Index), len(b.Index)) })
	winner := make(map[string]Field)
	for _, field := range byDepth {
		switch first, taken := winner[field.Name]; {
		case !taken:
			winner[field.Name] = field
		case len(first.Index) == len(field.Index):
			winner[field.Name] = Field{Index: first.Index}
		}
	}
	for _, field := range all {
		if w := winner[field.Name]; w.Name != "" && slices.Equal(w.Index, field.Index) {
			f.ByName[field.Name] = len(f.List)
			f.List = append(f.List, field)
		}
	}
	actual, _ := fieldCache.LoadOrStore(typ, f)
	return actual.(*StructFields)
}

// appendFields appends the fields of typ, which is at index. outer are the
// structs around it, so that one that embeds a pointer to itself ends.
func appendFields(list []Field, typ reflect.Type, index []int, outer []reflect.Type) []Field {
	if slices.Contains(outer, typ) {
		return list
	}
	outer = append(outer, typ)
	for i := range typ.NumField() {
		field := typ.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("db"), ",")
		if name == "-" {
			continue
		}
		at := append(slices.Clip(index), i)
		if field.Anonymous && name == "" {
			inner := field.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct && !isValue(field.Type) && !isValue(inner) {
				list = appendFields(list, inner, at, outer)
				continue
			}
		}
		if !field.IsExported() {
			continue
		}
		if name == "" {
			name = SnakeCase(field.Name)
		}
		list = append(list, Field{name, at})
	}
	return list
}

// SnakeCase turns UserID into user_id, HTTPServer into http_server and IDs into ids.
func SnakeCase(name string) string {
	runes := []rune(name)
	upperAt := func(i int) bool { return i < len(runes) && unicode.IsUpper(runes[i]) }
	lowerAt := func(i int) bool {
		plural := i < len(runes) && runes[i] == 's' && (i+1 == len(runes) || upperAt(i+1))
		return i < len(runes) && unicode.IsLower(runes[i]) && !plural
	}
	var b strings.Builder
	for i, r := range runes {
		if i > 0 && upperAt(i) && runes[i-1] != '_' && (!upperAt(i-1) || lowerAt(i+1)) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
