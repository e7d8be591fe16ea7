package psyco

import (
	"database/sql/driver"
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"net"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/placeholder"
)

// maxNesting ends chains of pointers, Valuers and adapters that never arrive at
// a value.
const maxNesting = 32

// parameter is implemented by the types of this package whose place among the
// types of the server is not visible in the value they give database/sql.
type parameter interface {
	driver.Valuer
	// parameterOID returns the type to declare, 0 to let the server infer it,
	// and the one to declare when it cannot.
	parameterOID() (oid, fallback uint32)
}

var (
	timeType          = reflect.TypeFor[time.Time]()
	valuerType        = reflect.TypeFor[driver.Valuer]()
	parameterType     = reflect.TypeFor[parameter]()
	textMarshalerType = reflect.TypeFor[encoding.TextMarshaler]()
)

// convert turns one argument of a psycopg-style query into something lib/pq
// encodes: nil, bool, int64, float64, string, []byte or time.Time. oid is the
// type to declare for it, 0 to let the server infer one; fallback is what to
// declare when it cannot, and means something only if oid is 0. The error says
// what was wrong with the value; its position or name is for the caller to add.
//
// The rules are psycopg 3's: a type is declared where the Go type has one. Text and
// bytes have none (a string may become a date, an enum, json), and neither have
// slices of integers and floats, because arrays, unlike numbers, only combine
// with arrays of the very same type: bigint[] && integer[] does not exist.
func (m *TypeMap) convert(v any, nesting int) (value driver.Value, oid, fallback uint32, err error) {
	if nesting > maxNesting {
		return nil, 0, 0, fmt.Errorf("%T leads to itself or is nested more than %d deep", v, maxNesting)
	}
	if custom := m.lookup(reflect.TypeOf(v)); custom != nil {
		return m.custom(custom, v, nesting)
	}
	return m.builtin(v, nesting)
}

func (m *TypeMap) custom(convert adapter, v any, nesting int) (value driver.Value, oid, fallback uint32, err error) {
	with, declared, err := convert(v)
	if err != nil {
		return nil, 0, 0, fmt.Errorf("the adapter for %T: %w", v, err)
	}
	if reflect.TypeOf(with) == reflect.TypeOf(v) {
		value, oid, fallback, err = m.builtin(with, nesting+1)
	} else {
		value, oid, fallback, err = m.convert(with, nesting+1)
	}
	if declared != 0 {
		oid = declared
	}
	return value, oid, fallback, err
}

// builtin converts without asking for v's own adapter. Its cases are ordered by
// how often they are met; those that database/sql would treat as Valuers follow
// below them.
func (m *TypeMap) builtin(v any, nesting int) (value driver.Value, oid, fallback uint32, err error) {
	switch x := v.(type) {
	case nil:
		return nil, 0, pgform.OIDText, nil
	case string:
		if err := pgform.CheckText(x); err != nil {
			return nil, 0, 0, err
		}
		return v, 0, pgform.OIDText, nil
	case int64:
		return v, intOID(x), 0, nil
	case int:
		return int64(x), intOID(int64(x)), 0, nil
	case bool:
		return v, pgform.OIDBool, 0, nil
	case float64:
		return v, pgform.OIDFloat8, 0, nil
	case []byte:
		if x == nil {
			return nil, 0, pgform.OIDBytea, nil
		}
		return v, 0, pgform.OIDBytea, nil
	case time.Time:
		return timeValue(v, x)
	case time.Duration:
		return IntervalOf(x).String(), pgform.OIDInterval, 0, nil
	case json.RawMessage:
		if x == nil {
			return nil, 0, pgform.OIDJSONB, nil
		}
		// As a string, because binary_parameters would send []byte in the
		// binary format, which jsonb has its own of.
		return string(x), 0, pgform.OIDJSONB, pgform.CheckText(string(x))
	case json.Number:
		if !pgform.IsNumeric(string(x)) {
			return nil, 0, 0, fmt.Errorf("json.Number %.40q is not a number", string(x))
		}
		return string(x), pgform.OIDNumeric, 0, nil
	case netip.Addr, netip.Prefix, net.IP, net.IPNet, *net.IPNet, net.HardwareAddr:
		return networkValue(v)
	case big.Int, *big.Int, big.Float, *big.Float, big.Rat, *big.Rat:
		return bigValue(v)
	case Composable:
		return nil, 0, 0, fmt.Errorf("a %T is a part of a query, not a value: put it in with Compose", v)
	case list:
		if rv := reflect.ValueOf(v); rv.Kind() == reflect.Slice {
			return m.list(rv, nesting)
		}
	case parameter:
		if isNilPointer(v) {
			return nil, 0, pgform.OIDText, nil
		}
		oid, fallback = x.parameterOID()
		value, err = x.Value()
		return value, oid, fallback, unprefixed(err)
	case driver.Valuer:
		return m.valuer(x, nesting)
	}
	return m.reflected(reflect.ValueOf(v), nesting)
}

// valuer asks x for its value and converts that, because what Value returns
// stands for what the program means: a string says nothing about the type.
func (m *TypeMap) valuer(x driver.Valuer, nesting int) (value driver.Value, oid, fallback uint32, err error) {
	// As database/sql does: a nil pointer whose Value has a value receiver is NULL.
	if rv := reflect.ValueOf(x); isNilPointer(x) && rv.Type().Elem().Implements(valuerType) {
		return nil, 0, pgform.OIDText, nil
	}
	if rv := reflect.Indirect(reflect.ValueOf(x)); rv.IsValid() && isNullOf(rv.Type()) {
		// Its Value method turns a V that is not a Valuer into a basic type: a Duration into nanoseconds.
		if !rv.FieldByName("Valid").Bool() {
			return m.null(rv.Type())
		}
		return m.convert(rv.FieldByName("V").Interface(), nesting+1)
	}
	with, err := x.Value()
	if err != nil {
		return nil, 0, 0, fmt.Errorf("%T: %w", x, unprefixed(err))
	}
	if reflect.TypeOf(with) == reflect.TypeOf(x) {
		return nil, 0, 0, fmt.Errorf("%T's Value method returns a %T again: return a string, []byte, int64, float64, bool, time.Time or nil", x, x)
	}
	return m.convert(with, nesting+1)
}

// reflected handles types by their kind or their TextMarshaler.
func (m *TypeMap) reflected(rv reflect.Value, nesting int) (value driver.Value, oid, fallback uint32, err error) {
	typ := rv.Type()
	if rv.Kind() == reflect.Pointer {
		if rv.IsNil() {
			return m.null(typ.Elem())
		}
		// A MarshalText with a pointer receiver would be lost behind the pointer.
		if !typ.Implements(textMarshalerType) || typ.Elem().Implements(textMarshalerType) || m.lookup(typ.Elem()) != nil || isBig(typ.Elem()) {
			return m.convert(rv.Elem().Interface(), nesting+1)
		}
	}
	if text, ok := rv.Interface().(encoding.TextMarshaler); ok && !(isNilable(rv.Kind()) && rv.IsNil()) {
		b, err := text.MarshalText()
		if err != nil {
			return nil, 0, 0, fmt.Errorf("%s: %w", typ, err)
		}
		return string(b), 0, pgform.OIDText, pgform.CheckText(string(b))
	}
	switch rv.Kind() {
	case reflect.Bool:
		return rv.Bool(), pgform.OIDBool, 0, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return rv.Int(), intOID(rv.Int()), 0, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		if u := rv.Uint(); u > math.MaxInt64 {
			return strconv.FormatUint(u, 10), pgform.OIDNumeric, 0, nil
		} else {
			return int64(u), intOID(int64(u)), 0, nil
		}
	case reflect.Float32, reflect.Float64:
		return rv.Float(), pgform.OIDFloat8, 0, nil
	case reflect.String:
		return rv.String(), 0, pgform.OIDText, pgform.CheckText(rv.String())
	case reflect.Slice, reflect.Array:
		return m.list(rv, nesting)
	case reflect.Struct:
		if typ.ConvertibleTo(timeType) {
			return m.builtin(rv.Convert(timeType).Interface(), nesting+1)
		}
		return nil, 0, 0, &untypedError{typ}
	case reflect.Map:
		return nil, 0, 0, &untypedError{typ}
	}
	return nil, 0, 0, fmt.Errorf("%s cannot become a PostgreSQL value: pass a value of a basic type, or give the type a Value method (driver.Valuer)", typ)
}

// untypedError refuses a struct or map, or a slice of them.
type untypedError struct{ typ reflect.Type }

func (e *untypedError) Error() string {
	const advice = ", which has no PostgreSQL type of its own: pass psyco.JSON[%[1]s]{V: v} for json, "
	switch e.typ.Kind() {
	case reflect.Struct:
		return fmt.Sprintf("%s is a struct"+advice+"psyco.Record[%[1]s]{V: v} for a composite type, or its fields one by one", e.typ)
	case reflect.Map:
		return fmt.Sprintf("%s is a map"+advice+"or a psyco.HStore", e.typ)
	}
	return fmt.Sprintf("%s is a slice of structs or maps"+advice+"a slice of psyco.Record for an array of a composite type, or load the elements as rows with psyco.CopyRows", e.typ)
}

// null is the NULL that a nil pointer to typ, or a nil slice typ, stands for.
func (m *TypeMap) null(typ reflect.Type) (value driver.Value, oid, fallback uint32, err error) {
	if oid, fallback = m.typeOID(typ); oid != 0 {
		fallback = oid
	}
	return nil, 0, fallback, nil
}

// typeOID is what values of typ are declared as, as far as the type alone
// says so. It runs no code of the program's.
func (m *TypeMap) typeOID(typ reflect.Type) (oid, fallback uint32) {
	switch {
	case m.lookup(typ) != nil:
		return 0, pgform.OIDText
	case typ.Implements(parameterType) && typ.Kind() != reflect.Pointer:
		return reflect.Zero(typ).Interface().(parameter).parameterOID()
	case typ.Kind() == reflect.Pointer:
		return m.typeOID(typ.Elem())
	case isNullOf(typ):
		v, _ := typ.FieldByName("V")
		return m.typeOID(v.Type)
	case m.isList(typ):
		for m.isList(typ) {
			typ = typ.Elem()
		}
		return arrayParameter(m.typeOID(typ))
	case typ.Kind() == reflect.Interface, typ.Implements(valuerType), typ.Implements(textMarshalerType) && !isKnownMarshaler(typ):
		return 0, pgform.OIDText
	}
	if isByteList(typ) && typ.Kind() == reflect.Slice && typ != reflect.TypeFor[json.RawMessage]() && !isKnownMarshaler(typ) {
		return 0, pgform.OIDBytea
	}
	_, oid, fallback, err := m.convert(reflect.Zero(typ).Interface(), maxNesting)
	if err != nil {
		return 0, pgform.OIDText
	}
	return oid, fallback
}

// list handles slices and arrays: bytes, UUIDs, PostgreSQL arrays.
func (m *TypeMap) list(rv reflect.Value, nesting int) (value driver.Value, oid, fallback uint32, err error) {
	typ := rv.Type()
	isSlice := rv.Kind() == reflect.Slice
	if isByteList(typ) && m.lookup(typ.Elem()) == nil {
		switch {
		case isSlice && rv.IsNil():
			return nil, 0, pgform.OIDBytea, nil
		case isSlice:
			return rv.Bytes(), 0, pgform.OIDBytea, nil
		}
		addressable := reflect.New(typ).Elem()
		addressable.Set(rv)
		b := addressable.Bytes()
		if len(b) == 16 {
			return string(pgform.AppendUUID(make([]byte, 0, 36), b)), pgform.OIDUUID, 0, nil
		}
		return b, 0, pgform.OIDBytea, nil
	}
	if isSlice && rv.IsNil() {
		return m.null(typ)
	}
	return m.array(rv, nesting)
}

// intOID picks int4 if n fits, as psycopg does: an operator or function that
// takes an integer does not take a bigint (date + 1, left(s, 3)), while the
// other way round works.
func intOID(n int64) uint32 {
	if n == int64(int32(n)) {
		return pgform.OIDInt4
	}
	return pgform.OIDInt8
}

// timeValue passes x, which is also boxed in v, on to lib/pq.
func timeValue(v any, x time.Time) (value driver.Value, oid, fallback uint32, err error) {
	// A zone without a name and an offset is what lib/pq gives a timestamp or
	// date that it reads. Declared as timestamptz, the way back would move it
	// by the session's time zone; inferred, it keeps its wall clock there and
	// its instant in a timestamptz.
	name, offset := x.Zone()
	if name == "" && offset == 0 {
		oid, fallback = 0, pgform.OIDTimestamptz
	} else {
		oid = pgform.OIDTimestamptz
	}
	// lib/pq writes a year BC by way of the same one AD, in which February has other days
	// and the zone another offset, and loses the sign of offsets under a minute.
	if x.Year() <= 0 || offset < 0 && offset > -60 {
		text, _, err := appendText(nil, v)
		return string(text), oid, fallback, err
	}
	return v, oid, fallback, nil
}

// isByteList reports whether typ is bytes and not an array of small numbers.
func isByteList(typ reflect.Type) bool { return placeholder.IsByteList(typ) }

// isKnownMarshaler reports whether builtin converts the type, as it does not with other TextMarshalers.
func isKnownMarshaler(typ reflect.Type) bool {
	switch typ.PkgPath() {
	case "time", "net", "net/netip":
		return true
	}
	return false
}

// isNullOf reports whether typ is a sql.Null[T].
func isNullOf(typ reflect.Type) bool {
	return typ.PkgPath() == "database/sql" && strings.HasPrefix(typ.Name(), "Null[")
}

func isBig(typ reflect.Type) bool {
	return typ == reflect.TypeFor[big.Int]() || typ == reflect.TypeFor[big.Float]() || typ == reflect.TypeFor[big.Rat]()
}

func isNilable(k reflect.Kind) bool {
	switch k {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Func, reflect.Chan:
		return true
	}
	return false
}

func isNilPointer(v any) bool {
	rv := reflect.ValueOf(v)
	return rv.Kind() == reflect.Pointer && rv.IsNil()
}

// TypeMap says how Go types that psyco does not know become parameters. It
// holds what [RegisterAdapter] put into it; the zero value is ready to use.
//
// A TypeMap may be shared by connections and goroutines, and adapters may be
// registered while it is in use: statements that start later see them.
type TypeMap struct {
	mu       sync.Mutex // serialises registrations
	adapters atomic.Pointer[adapterSet]
}

// adapterSet is never changed once it is published: registering copies it, so
// that adapting a parameter takes no lock.
type adapterSet struct {
	concrete   map[reflect.Type]adapter
	interfaces []interfaceAdapter
}

type adapter func(any) (value any, oid uint32, err error)

type interfaceAdapter struct {
	typ     reflect.Type
	convert adapter
}

// RegisterAdapter makes m pass values of type T as what adapt returns for them:
// a value that psyco knows how to pass (nil for NULL), and the OID of the type
// to declare the parameter as. With OID 0 the value decides, as if it had been
// passed itself. T may be any type, also one that psyco already knows; if it is
// an interface, adapt is used for the types that implement it and have no
// adapter of their own. Slices of T and pointers to T use the adapter too.
// Registering T again replaces its adapter (psycopg: register_adapter).
//
// Adapters serve the psycopg placeholder styles; $n queries keep lib/pq's
// conversions.
func RegisterAdapter[T any](m *TypeMap, adapt func(T) (value any, oid uint32, err error)) {
	typ := reflect.TypeFor[T]()
	convert := func(v any) (any, uint32, error) { return adapt(v.(T)) }

	m.mu.Lock()
	defer m.mu.Unlock()
	next := &adapterSet{concrete: map[reflect.Type]adapter{}}
	if old := m.adapters.Load(); old != nil {
		maps.Copy(next.concrete, old.concrete)
		next.interfaces = append(next.interfaces, old.interfaces...)
	}
	if typ.Kind() != reflect.Interface {
		next.concrete[typ] = convert
	} else {
		// The latest registration is asked first, so it replaces an earlier one.
		next.interfaces = append([]interfaceAdapter{{typ, convert}}, next.interfaces...)
	}
	m.adapters.Store(next)
}

// lookup returns the adapter for values of typ, or nil. A nil map has none.
func (m *TypeMap) lookup(typ reflect.Type) adapter {
	if m == nil || typ == nil {
		return nil
	}
	set := m.adapters.Load()
	if set == nil {
		return nil
	}
	if convert := set.concrete[typ]; convert != nil {
		return convert
	}
	for _, a := range set.interfaces {
		if typ.Implements(a.typ) {
			return a.convert
		}
	}
	return nil
}
