package psyco

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/psyco-go/psyco/internal/pgform"
)

// maxDims is the server's limit on an array's dimensions (PostgreSQL: MAXDIM).
const maxDims = 6

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
	leaf := rv.Type().Elem()
	for m.isList(leaf) {
		leaf = leaf.Elem()
	}
	w := arrayWriter{m: m, nesting: nesting, delimiter: arrayDelimiter(indirectType(leaf)), leafDepth: -1}
	w.buf = make([]byte, 0, 16+8*rv.Len())
	if err := w.write(rv, 0); err != nil {
		if untyped := (*untypedError)(nil); errors.As(err, &untyped) && !w.loose {
			err = &untypedError{rv.Type()}
		}
		return nil, 0, 0, err
	}
	elemOID, elemFallback := w.oid, w.fallback
	if w.elem == nil {
		if elemOID, elemFallback = m.typeOID(leaf); isByteList(leaf) && elemFallback == pgform.OIDBytea {
			elemOID = pgform.OIDBytea
		}
	}
	oid, fallback = arrayParameter(elemOID, elemFallback)
	for _, n := range w.dims {
		if n == 0 { // the server has only one empty array, without dimensions
			return "{}", oid, fallback, nil
		}
	}
	return string(w.buf), oid, fallback, nil
}

type arrayWriter struct {
	m         *TypeMap
	nesting   int
	delimiter byte
	buf       []byte
	dims      []int
	leafDepth int  // where the elements are, -1 before the first one
	loose     bool // elements sit in interfaces, so that their types may differ

	elem          reflect.Type // of the first element that is not NULL
	oid, fallback uint32       // what the elements so far have in common
}

func (w *arrayWriter) write(rv reflect.Value, depth int) error {
	if depth == maxDims {
		return fmt.Errorf("the slice is nested more than %d deep, which is the most dimensions an array has", maxDims)
	}
	n := rv.Len()
	switch {
	case depth == len(w.dims):
		w.dims = append(w.dims, n)
	case w.dims[depth] != n:
		return fmt.Errorf("nested slices have %d and %d elements: arrays are rectangular, pad the short ones with NULLs or pass json", w.dims[depth], n)
	}
	w.buf = append(w.buf, '{')
	for i := range n {
		if i > 0 {
			w.buf = append(w.buf, w.delimiter)
		}
		if err := w.element(rv.Index(i), depth); err != nil {
			if untyped := (*untypedError)(nil); errors.As(err, &untyped) {
				return err
			}
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	w.buf = append(w.buf, '}')
	return nil
}

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
		if w.leafDepth >= 0 && w.leafDepth <= depth+1 {
			return fmt.Errorf("%s stands beside values that are no slices", nested.Type())
		}
		return w.write(nested, depth+1)
	}
	if w.leafDepth < 0 && len(w.dims) == depth+1 {
		w.leafDepth = depth + 1
	}
	if w.leafDepth != depth+1 {
		return errors.New("a single value or NULL stands where the others are slices: arrays are rectangular")
	}
	return w.leaf(ev)
}

func (w *arrayWriter) leaf(ev reflect.Value) error {
	if !ev.IsValid() {
		w.buf = append(w.buf, "NULL"...)
		return nil
	}
	typ := ev.Type()
	if typ.PkgPath() == "" && w.m.lookup(typ) == nil {
		// The predeclared types, without boxing each element.
		switch typ.Kind() {
		case reflect.String:
			if err := pgform.CheckText(ev.String()); err != nil {
				return err
			}
			w.buf = appendQuotedElement(w.buf, ev.String())
			return w.unify(typ, 0, pgform.OIDText)
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
			w.buf = strconv.AppendInt(w.buf, ev.Int(), 10)
			return w.unify(typ, intOID(ev.Int()), 0)
		case reflect.Float64, reflect.Float32:
			w.buf = pgform.AppendFloat(w.buf, ev.Float())
			return w.unify(typ, pgform.OIDFloat8, 0)
		}
	}
	value, oid, fallback, err := w.m.convert(ev.Interface(), w.nesting+1)
	if err != nil {
		return err
	}
	switch x := value.(type) {
	case nil:
		w.buf = append(w.buf, "NULL"...)
		return nil
	case int64:
		w.buf = strconv.AppendInt(w.buf, x, 10)
	case float64:
		w.buf = pgform.AppendFloat(w.buf, x)
	case bool:
		w.buf = strconv.AppendBool(w.buf, x)
	case time.Time:
		w.buf = append(w.buf, '"')
		w.buf, _, _ = appendText(w.buf, value)
		w.buf = append(w.buf, '"')
	case string:
		w.buf = appendQuotedElement(w.buf, x)
	case []byte:
		// Bytes become hexadecimal and the array bytea[], except those that a
		// Valuer returns for its text.
		for typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if isByteList(typ) && !typ.Implements(valuerType) {
			oid = pgform.OIDBytea
			w.buf = fmt.Appendf(w.buf, `"\\x%x"`, x)
			break
		}
		if err := pgform.CheckText(string(x)); err != nil {
			return err
		}
		w.buf = appendQuotedElement(w.buf, string(x))
	default:
		return fmt.Errorf("%s gives a %T, which cannot stand in an array", typ, value)
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

// appendQuotedElement writes text as a quoted array element.
func appendQuotedElement(b []byte, text string) []byte {
	b = append(b, '"')
	for {
		i := strings.IndexAny(text, `"\`)
		if i < 0 {
			break
		}
		b = append(b, text[:i]...)
		b = append(b, '\\', text[i])
		text = text[i+1:]
	}
	b = append(b, text...)
	return append(b, '"')
}
