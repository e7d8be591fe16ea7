package psyco

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/psyco-go/psyco/internal/pgform"
)

// Array reads and writes a PostgreSQL array. T is any type that [Into] accepts:
// for an array with more dimensions a slice, Array[[]int]; for one with NULLs a
// pointer or a sql.Null. An existing slice is scanned with
// (*psyco.Array[int])(&ids); parameters of the psycopg styles need no wrapping,
// a plain slice does.
//
// NULL is a nil Array, '{}' an empty one. Lower bounds other than 1 are dropped.
// Elements are separated by a comma, those of a box[] that is read by a semicolon, or by
// what T's method ArrayDelimiter() string says, which a box[] that is written needs
// as well (lib/pq: pq.ArrayDelimiter).
type Array[T any] []T

var (
	_ sql.Scanner   = (*Array[int])(nil)
	_ driver.Valuer = Array[int](nil)
	_ list          = Array[int](nil)
)

// Value implements [driver.Valuer]. Nested slices of different lengths are an error.
func (a Array[T]) Value() (driver.Value, error) {
	if a == nil {
		return nil, nil
	}
	value, _, _, err := (*TypeMap)(nil).array(reflect.ValueOf(a), 0)
	if err != nil {
		return nil, prefixed(err)
	}
	return value, nil
}

// Scan implements [sql.Scanner].
func (a *Array[T]) Scan(src any) error {
	if src == nil {
		*a = nil
		return nil
	}
	text, err := scanText(src, "Array")
	if err != nil {
		return err
	}
	var got []T
	if err := setArray(reflect.ValueOf(&got).Elem(), text); err != nil {
		return prefixed(err)
	}
	*a = got
	return nil
}

func (Array[T]) isArray() {}

// list marks the slice types of this package that are arrays although they
// are Valuers.
type list interface{ isArray() }

var listType = reflect.TypeFor[list]()

// isList reports whether values of typ become arrays, or dimensions of one.
func (m *TypeMap) isList(typ reflect.Type) bool {
	if typ.Kind() != reflect.Slice && typ.Kind() != reflect.Array {
		return false
	}
	if typ.Implements(listType) {
		return true
	}
	return m.lookup(typ) == nil && (!isByteList(typ) || m.lookup(typ.Elem()) != nil) &&
		!typ.Implements(valuerType) && !typ.Implements(textMarshalerType)
}

// arrayParameter turns what elements are declared as into what their array is.
// Integers and floats are where Go's types do not say which array it has to be;
// see convert.
func arrayParameter(elemOID, elemFallback uint32) (oid, fallback uint32) {
	switch elemOID {
	case pgform.OIDInt4, pgform.OIDFloat8:
		return 0, pgform.ArrayOID(elemOID)
	case 0:
		if fallback = pgform.ArrayOID(elemFallback); fallback == 0 {
			fallback = pgform.ArrayOID(pgform.OIDText)
		}
		return 0, fallback
	}
	return pgform.ArrayOID(elemOID), pgform.ArrayOID(pgform.OIDText)
}

// array writes rv as an array in PostgreSQL's text format.
func (m *TypeMap) array(rv reflect.Value, nesting int) (value driver.Value, oid, fallback uint32, err error) {
	leaf := m.leafType(rv.Type())
	w := arrayWriter{m: m, nesting: nesting, delimiter: arrayDelimiter(indirectType(leaf))}
	w.buf = make([]byte, 0, 16+8*rv.Len())
	if err := w.array(rv); err != nil {
		return nil, 0, 0, err
	}
	elemOID, elemFallback := w.oid, w.fallback
	if w.elem == nil {
		if elemOID, elemFallback = m.typeOID(leaf); isByteList(leaf) && elemFallback == pgform.OIDBytea {
			elemOID = pgform.OIDBytea
		}
	}
	oid, fallback = arrayParameter(elemOID, elemFallback)
	return string(w.buf), oid, fallback, nil
}

// leafType is the type of the elements of nested slices.
func (m *TypeMap) leafType(typ reflect.Type) reflect.Type {
	for m.isList(typ) {
		typ = typ.Elem()
	}
	return typ
}

// arrayWriter writes nested slices as an array. A parameter's elements are converted as
// their Go types say, and what they have in common is what the array is declared as. Of
// a column that COPY fills the type is known: its elements have an encoder, and they need
// not be alike.
type arrayWriter struct {
	m         *TypeMap
	nesting   int
	encode    valueEncoder // of the elements, nil for a parameter
	plain     bool         // encode writes text as it is
	delimiter byte         // 0 for an array in binary
	buf       []byte
	start     int // where the array begins
	dims      []int
	leafDepth int  // where the elements are, 0 before the first one
	ownType   bool // all elements of the innermost slice are of a type that isOwnType
	loose     bool // elements sit in interfaces, so that their types may differ

	elem          reflect.Type // of the first element that is not NULL
	oid, fallback uint32       // what the elements so far have in common, or the column's type says
}

// array appends rv, a slice or an array.
func (w *arrayWriter) array(rv reflect.Value) error {
	w.start = len(w.buf)
	if err := w.write(rv, 0); err != nil {
		if untyped := (*untypedError)(nil); errors.As(err, &untyped) && !w.loose {
			err = &untypedError{rv.Type()}
		}
		return err
	}
	if slices.Contains(w.dims, 0) { // the server has only one empty array, without dimensions
		w.buf = w.buf[:w.start]
		if w.delimiter == 0 {
			w.buf = pgform.AppendArrayHead(w.buf, w.oid, nil)
		} else {
			w.buf = append(w.buf, "{}"...)
		}
	}
	return nil
}

// column appends rv for COPY.
func (w *arrayWriter) column(rv reflect.Value) ([]byte, error) {
	if rv.Kind() == reflect.Slice && rv.IsNil() {
		return w.buf, errNull
	}
	err := w.array(rv)
	return w.buf, err
}

// mark writes a character that arrays have in text alone.
func (w *arrayWriter) mark(c byte) {
	if w.delimiter != 0 {
		w.buf = append(w.buf, c)
	}
}

func (w *arrayWriter) write(rv reflect.Value, depth int) error {
	if depth == pgform.MaxDims {
		return fmt.Errorf("the slice is nested more than %d deep, which is the most dimensions an array has", pgform.MaxDims)
	}
	n := rv.Len()
	switch {
	case depth == len(w.dims):
		w.dims = append(w.dims, n)
	case w.dims[depth] != n:
		return fmt.Errorf("nested slices have %d and %d elements: arrays are rectangular, pad the short ones with NULLs or pass json", w.dims[depth], n)
	}
	leaves := true // every element is a single value
	switch typ := rv.Type().Elem(); typ.Kind() {
	case reflect.Interface, reflect.Pointer, reflect.Slice, reflect.Array:
		leaves, w.ownType = false, false
	default:
		w.ownType = w.m.isOwnType(typ)
	}
	w.mark('{')
	for i := range n {
		if i > 0 {
			w.mark(w.delimiter)
		}
		var err error
		if ev := rv.Index(i); !leaves || i == 0 {
			err = w.element(ev, depth)
		} else {
			err = w.single(ev)
		}
		if err != nil {
			if untyped := (*untypedError)(nil); errors.As(err, &untyped) {
				return err
			}
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	w.mark('}')
	return nil
}

// element writes an element that may be an array of the next dimension.
func (w *arrayWriter) element(ev reflect.Value, depth int) error {
	if ev.Kind() == reflect.Interface {
		w.loose = true
		ev = ev.Elem()
	}
	nested := ev
	for nested.Kind() == reflect.Pointer && !nested.IsNil() {
		nested = nested.Elem()
	}
	if nested.IsValid() && w.m.isList(nested.Type()) {
		if w.leafDepth > 0 && w.leafDepth <= depth+1 {
			return fmt.Errorf("%s stands beside values that are not slices", nested.Type())
		}
		return w.write(nested, depth+1)
	}
	if w.leafDepth == 0 && len(w.dims) == depth+1 {
		w.leafDepth = depth + 1
		if w.delimiter == 0 { // now all dimensions are known
			w.buf = pgform.AppendArrayHead(w.buf, w.oid, w.dims)
		}
	}
	if w.leafDepth != depth+1 {
		return errors.New("a single value or NULL stands where the others are slices: arrays are rectangular")
	}
	return w.single(ev)
}

// single writes an element that is not an array, and is not valid for NULL.
func (w *arrayWriter) single(ev reflect.Value) error {
	if w.encode != nil {
		return w.encoded(ev)
	}
	return w.leaf(ev)
}

// encoded writes an element of a column's array.
func (w *arrayWriter) encoded(ev reflect.Value) (err error) {
	if w.plain {
		if _, _, ok, err := w.predeclared(ev); ok {
			return err
		}
	}
	var v any
	if ev.IsValid() {
		v = ev.Interface()
	}
	if w.delimiter == 0 {
		w.buf, err = appendField(w.m, w.buf, w.encode, v)
		return err
	}
	at := len(w.buf)
	w.buf = append(w.buf, '"')
	err = errNull
	if v != nil {
		w.buf, err = w.m.encode(w.buf, w.encode, v)
	}
	if err == errNull {
		w.buf = append(w.buf[:at], "NULL"...)
		return nil
	}
	w.buf = append(pgform.Escape(w.buf, at+1), '"')
	return err
}

// isOwnType reports whether a type is Go's own, and has no adapter.
func (m *TypeMap) isOwnType(typ reflect.Type) bool {
	return typ.PkgPath() == "" && m.lookup(typ) == nil
}

// predeclared writes an element of one of Go's own types in text, without boxing it.
func (w *arrayWriter) predeclared(ev reflect.Value) (oid, fallback uint32, ok bool, err error) {
	if !w.ownType && !(ev.IsValid() && w.m.isOwnType(ev.Type())) {
		return 0, 0, false, nil
	}
	switch ev.Kind() {
	case reflect.String:
		w.buf = pgform.AppendQuoted(w.buf, ev.String())
		return 0, pgform.OIDText, true, pgform.CheckText(ev.String())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		w.buf = strconv.AppendInt(w.buf, ev.Int(), 10)
		return intOID(ev.Int()), 0, true, nil
	case reflect.Float64, reflect.Float32:
		w.buf = pgform.AppendFloat(w.buf, ev.Float())
		return pgform.OIDFloat8, 0, true, nil
	}
	return 0, 0, false, nil
}

// leaf writes an element of a parameter.
func (w *arrayWriter) leaf(ev reflect.Value) error {
	if oid, fallback, ok, err := w.predeclared(ev); ok {
		if err != nil {
			return err
		}
		return w.unify(ev.Type(), oid, fallback)
	}
	var v any
	if ev.IsValid() {
		v = ev.Interface()
	}
	value, oid, fallback, err := w.m.convert(v, w.nesting+1)
	if err != nil {
		return err
	}
	switch x := value.(type) {
	case time.Time:
		if s := infinityFor(x); s != "" {
			value = s
		}
	case []byte:
		// Bytes become hexadecimal and the array bytea[], except those that a
		// Valuer returns for its text.
		if typ := indirectType(ev.Type()); isByteList(typ) && !typ.Implements(valuerType) {
			oid = pgform.OIDBytea
			break
		}
		if err := pgform.CheckText(string(x)); err != nil {
			return err
		}
		value = string(x)
	}
	if w.buf, err = pgform.AppendElement(w.buf, value); err != nil {
		return fmt.Errorf("%s gives a %T, which cannot stand in an array", ev.Type(), value)
	}
	if value == nil {
		return nil
	}
	return w.unify(ev.Type(), oid, fallback)
}

// unify finds the type that an element shares with the ones before it.
func (w *arrayWriter) unify(typ reflect.Type, oid, fallback uint32) error {
	switch {
	case w.elem == nil:
		w.elem, w.oid, w.fallback = typ, oid, fallback
	case w.oid == oid && (oid != 0 || w.fallback == fallback):
	case numberRank(w.oid) > 0 && numberRank(oid) > 0:
		if numberRank(oid) > numberRank(w.oid) {
			w.oid = oid
		}
	case isNetwork(w.oid) && isNetwork(oid):
		w.oid = pgform.OIDInet
	case w.elem == typ: // such as times with and without a zone
		w.oid = max(w.oid, oid)
	default:
		return fmt.Errorf("%s beside %s: the elements of an array have one type", typ, w.elem)
	}
	return nil
}

// numberRank orders the number types by what they can hold, 0 for others.
func numberRank(oid uint32) int {
	switch oid {
	case pgform.OIDInt4:
		return 1
	case pgform.OIDInt8:
		return 2
	case pgform.OIDNumeric:
		return 3
	case pgform.OIDFloat8:
		return 4
	}
	return 0
}

func isNetwork(oid uint32) bool { return oid == pgform.OIDInet || oid == pgform.OIDCIDR }

// delimited is implemented by elements that something else than a comma separates.
type delimited interface{ ArrayDelimiter() string }

var delimitedType = reflect.TypeFor[delimited]()

// arrayDelimiter asks typ for the character between its elements in an array.
func arrayDelimiter(typ reflect.Type) byte {
	if typ.Kind() != reflect.Interface && reflect.PointerTo(typ).Implements(delimitedType) {
		if s := reflect.New(typ).Interface().(delimited).ArrayDelimiter(); len(s) == 1 {
			return s[0]
		}
	}
	return ','
}

// setArray reads an array into dst, a slice or an array.
func setArray(dst reflect.Value, text string) error {
	elem := dst.Type()
	for isDimension(elem) {
		elem = elem.Elem()
	}
	delimiter := arrayDelimiter(indirectType(elem))
	if delimiter == ',' {
		delimiter = pgform.Delimiter(text)
	}
	elements, dims, err := pgform.ParseArray(text, delimiter)
	if err != nil {
		return err
	}
	f := arrayFiller{elements: elements, dims: dims}
	return f.fill(dst, 0)
}

// isDimension reports whether an array is read into a typ, not into an element of one.
func isDimension(typ reflect.Type) bool {
	return (typ.Kind() == reflect.Slice || typ.Kind() == reflect.Array) && !isByteList(typ) &&
		(typ.Implements(listType) || !isScanner(typ) && !reflect.PointerTo(typ).Implements(textUnmarshalerType))
}

type arrayFiller struct {
	elements []pgform.Element
	next     int
	dims     []int
}

func (f *arrayFiller) fill(dst reflect.Value, depth int) error {
	typ := dst.Type()
	n := 0
	if len(f.dims) > 0 {
		n = f.dims[depth]
	}
	if typ.Kind() == reflect.Array && typ.Len() != n {
		return fmt.Errorf("cannot store %d elements in %s", n, typ)
	}
	if typ.Kind() == reflect.Slice {
		dst.Set(reflect.MakeSlice(typ, n, n))
	}
	for i := range n {
		if err := f.fillElement(dst.Index(i), depth); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

func (f *arrayFiller) fillElement(dst reflect.Value, depth int) error {
	inner := depth+1 < len(f.dims)
	if inner && dst.Kind() == reflect.Interface && dst.NumMethod() == 0 {
		nested := reflect.New(reflect.TypeFor[[]any]()).Elem()
		if err := f.fill(nested, depth+1); err != nil {
			return err
		}
		dst.Set(nested)
		return nil
	}
	if inner != isDimension(dst.Type()) {
		return fmt.Errorf("an array of %d dimensions does not fit: its elements at this depth are %s", len(f.dims), dst.Type())
	}
	if inner {
		return f.fill(dst, depth+1)
	}
	e := f.elements[f.next]
	f.next++
	if e.Null {
		return setNull(dst)
	}
	return setText(dst, e.Text)
}
