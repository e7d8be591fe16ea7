package psyco

import (
	"database/sql"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/pgform"
)

// Into makes a destination for Scan out of a pointer to any type that can be a
// parameter: besides what database/sql scans itself that is time.Duration
// (interval; one with months is an error), [16]byte (uuid), the types of net, net/netip
// and math/big, every encoding.TextUnmarshaler, slices and nested slices (arrays),
// structs (composite types, field by field), and pointers to
// all of them, which NULL sets to nil. A NULL for another type is an error.
//
//	var ids []int64
//	var addr netip.Addr
//	err := row.Scan(psyco.Into(&ids), psyco.Into(&addr))
func Into[T any](dest *T) sql.Scanner { return into{reflect.ValueOf(dest)} }

type into struct{ dest reflect.Value }

// Scan implements [sql.Scanner].
func (d into) Scan(src any) error {
	if d.dest.IsNil() {
		return prefixed(errors.New("Into was given a nil pointer"))
	}
	if err := setValue(d.dest.Elem(), src); err != nil {
		return prefixed(err)
	}
	return nil
}

// setValue stores what a driver delivers in dst.
func setValue(dst reflect.Value, src any) error {
	if setSame(dst.Addr().Interface(), src) {
		return nil
	}
	switch x := src.(type) {
	case nil:
		return setNull(dst)
	case string:
		// Of a text column, where a backslash is one, but for the sign of hex.
		if isBytesItself(indirectType(dst.Type())) && !strings.HasPrefix(x, `\x`) {
			allocate(dst).SetBytes([]byte(x))
			return nil
		}
		return setText(dst, x)
	case []byte:
		// Of a bytea column: decoded already, and the driver's to reuse.
		if base := indirectType(dst.Type()); isBytesItself(base) {
			allocate(dst).SetBytes(append([]byte{}, x...))
			return nil
		} else if isByteList(base) && base.Kind() == reflect.Array && base.Len() == len(x) && !isScanner(base) {
			copy(allocate(dst).Bytes(), x)
			return nil
		} else if isNullOf(base) && isBytesItself(base.Field(0).Type) {
			null := allocate(dst)
			null.Field(0).SetBytes(append([]byte{}, x...))
			null.FieldByName("Valid").SetBool(true)
			return nil
		}
		return setText(dst, string(x))
	case time.Time:
		if base := indirectType(dst.Type()); base.Kind() == reflect.Struct && timeType.ConvertibleTo(base) {
			allocate(dst).Set(reflect.ValueOf(x).Convert(base))
			return nil
		}
	}
	if dst.Kind() == reflect.Pointer && isScanner(indirectType(dst.Type())) {
		dst = allocate(dst)
	}
	if scanner, ok := dst.Addr().Interface().(sql.Scanner); ok {
		return unprefixed(scanner.Scan(src))
	}
	if x, ok := src.(time.Time); ok && indirectType(dst.Type()).Kind() == reflect.String {
		return setText(dst, x.Format(time.RFC3339Nano)) // as database/sql does
	}
	text, _, err := appendText(nil, src)
	if err != nil {
		return err
	}
	return setText(dst, string(text))
}

// setSame stores a value in a variable of its own type, as most are, without a detour by its text. It reports
// whether dst points to one.
func setSame(dst, src any) bool {
	switch x := src.(type) {
	case int64:
		switch p := dst.(type) {
		case *int64:
			*p = x
			return true
		case *int:
			if int64(int(x)) == x {
				*p = int(x)
				return true
			}
		case *int32:
			if int64(int32(x)) == x {
				*p = int32(x)
				return true
			}
		}
	case float64:
		if p, ok := dst.(*float64); ok {
			*p = x
			return true
		}
	case bool:
		if p, ok := dst.(*bool); ok {
			*p = x
			return true
		}
	case string:
		if p, ok := dst.(*string); ok {
			*p = x
			return true
		}
	case time.Time:
		if p, ok := dst.(*time.Time); ok {
			*p = x
			return true
		}
	}
	return false
}

var (
	scannerType         = reflect.TypeFor[sql.Scanner]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func isScanner(typ reflect.Type) bool { return reflect.PointerTo(typ).Implements(scannerType) }

// isBytesItself reports whether a typ is a slice of bytes without a say in what they mean.
func isBytesItself(typ reflect.Type) bool {
	return typ.Kind() == reflect.Slice && isByteList(typ) && typ != reflect.TypeFor[net.HardwareAddr]() &&
		!isScanner(typ) && !reflect.PointerTo(typ).Implements(textUnmarshalerType)
}

func indirectType(typ reflect.Type) reflect.Type {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	return typ
}

// allocate follows dst's pointers, making what they point to.
func allocate(dst reflect.Value) reflect.Value {
	for dst.Kind() == reflect.Pointer {
		dst.Set(reflect.New(dst.Type().Elem()))
		dst = dst.Elem()
	}
	return dst
}

func setNull(dst reflect.Value) error {
	if scanner, ok := dst.Addr().Interface().(sql.Scanner); ok {
		return unprefixed(scanner.Scan(nil))
	}
	if !isNilable(dst.Kind()) && dst.Kind() != reflect.Interface {
		return fmt.Errorf("NULL does not fit into %s: use *%[1]s or sql.Null[%[1]s]", dst.Type())
	}
	dst.SetZero()
	return nil
}

// setText stores a value in PostgreSQL's text format in dst, which is
// addressable. It follows the rules of database/sql, and has more types.
func setText(dst reflect.Value, text string) error {
	typ := dst.Type()
	switch typ {
	case timeType:
		t, err := parseTime(text)
		if err == nil {
			dst.Set(reflect.ValueOf(t))
		}
		return err
	case reflect.TypeFor[time.Duration]():
		interval, err := pgform.ParseInterval(text)
		if err != nil {
			return err
		}
		if interval.Months != 0 {
			return fmt.Errorf("interval %s has months, which are not a fixed duration: use psyco.Interval", text)
		}
		d, err := Interval(interval).Duration()
		dst.SetInt(int64(d))
		return unprefixed(err)
	case reflect.TypeFor[netip.Addr](), reflect.TypeFor[netip.Prefix](), reflect.TypeFor[net.IP](), reflect.TypeFor[net.IPNet](), reflect.TypeFor[net.HardwareAddr]():
		return setNetwork(dst, text)
	case reflect.TypeFor[json.RawMessage]():
		dst.SetBytes([]byte(text))
		return nil
	case reflect.TypeFor[sql.NullTime]():
		return setNullOf(dst, dst.FieldByName("Time"), text)
	}
	if isNullOf(typ) {
		return setNullOf(dst, dst.FieldByName("V"), text)
	}
	switch x := dst.Addr().Interface().(type) {
	case sql.Scanner:
		return unprefixed(x.Scan([]byte(text)))
	case encoding.TextUnmarshaler:
		if typ.Kind() == reflect.Pointer {
			break // a nil one, whose method would have nothing to write to
		}
		if err := x.UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("cannot read %.60q as %s: %w", text, typ, err)
		}
		return nil
	}
	return setKind(dst, text)
}

// setNullOf stores text in field, which is what dst, a sql.Null of some kind, holds.
func setNullOf(dst, field reflect.Value, text string) error {
	if err := setText(field, text); err != nil {
		return err
	}
	dst.FieldByName("Valid").SetBool(true)
	return nil
}

// setKind stores text in a dst whose type has no say in it.
func setKind(dst reflect.Value, text string) (err error) {
	typ := dst.Type()
	switch dst.Kind() {
	case reflect.Pointer:
		elem := reflect.New(typ.Elem())
		if err := setText(elem.Elem(), text); err != nil {
			return err
		}
		dst.Set(elem)
		return nil
	case reflect.Interface:
		if typ.NumMethod() == 0 {
			dst.Set(reflect.ValueOf(text))
			return nil
		}
	case reflect.String:
		dst.SetString(text)
		return nil
	case reflect.Bool:
		var b bool
		if b, err = strconv.ParseBool(text); err == nil {
			dst.SetBool(b)
			return nil
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		var n int64
		if n, err = strconv.ParseInt(text, 10, typ.Bits()); err == nil {
			dst.SetInt(n)
			return nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		var n uint64
		if n, err = strconv.ParseUint(text, 10, typ.Bits()); err == nil {
			dst.SetUint(n)
			return nil
		}
	case reflect.Float32, reflect.Float64:
		var f float64
		if f, err = strconv.ParseFloat(text, typ.Bits()); err == nil {
			dst.SetFloat(f)
			return nil
		}
	case reflect.Slice, reflect.Array:
		if isByteList(typ) {
			return setBytes(dst, text)
		}
		return setArray(dst, text)
	case reflect.Struct:
		if timeType.ConvertibleTo(typ) {
			t, err := parseTime(text)
			if err == nil {
				dst.Set(reflect.ValueOf(t).Convert(typ))
			}
			return err
		}
		return setRecord(dst, text)
	}
	if numError := (*strconv.NumError)(nil); errors.As(err, &numError) {
		return fmt.Errorf("cannot read %.60q as %s: %w", text, typ, numError.Err)
	}
	advice := "give the type a Scan method (sql.Scanner)"
	if dst.Kind() == reflect.Map {
		advice = fmt.Sprintf("scan json into a psyco.JSON[%s], hstore into a psyco.HStore", typ)
	}
	return fmt.Errorf("cannot read %.60q as %s: %s", text, typ, advice)
}

// setBytes reads bytea, which inside other values is still text, in either form of
// bytea_output, a UUID, or any text that is neither.
func setBytes(dst reflect.Value, text string) error {
	var b []byte
	var err error
	switch isUUID := dst.Kind() == reflect.Array && dst.Len() == 16; {
	case strings.HasPrefix(text, `\x`), pgform.IsEscapedBytea(text):
		b, err = pgform.ParseBytea(text)
	case isUUID && len(text) != dst.Len():
		b, err = hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	default:
		b = []byte(text)
	}
	switch {
	case err != nil:
		return fmt.Errorf("cannot read %.60q as %s: %w", text, dst.Type(), err)
	case dst.Kind() == reflect.Slice:
		dst.SetBytes(b)
		return nil
	case len(b) != dst.Len():
		return fmt.Errorf("cannot store %d bytes in %s", len(b), dst.Type())
	}
	copy(dst.Bytes(), b)
	return nil
}

// prefixedError is an error of this package on its way to the caller. Where it
// becomes part of another one, the prefix goes.
type prefixedError struct{ error }

func (e prefixedError) Error() string { return "psyco: " + e.error.Error() }
func (e prefixedError) Unwrap() error { return e.error }

func prefixed(err error) error { return prefixedError{err} }

func unprefixed(err error) error {
	if e, ok := err.(prefixedError); ok {
		return e.error
	}
	return err
}

// scanText gives the text that a driver's value is in, copied. dest names the
// destination's type in errors.
func scanText(src any, dest string) (string, error) {
	switch x := src.(type) {
	case string:
		return x, nil
	case []byte:
		return string(x), nil
	case nil:
		return "", prefixed(fmt.Errorf("NULL does not fit into psyco.%s: use *psyco.%[1]s or sql.Null[psyco.%[1]s]", dest))
	}
	return "", prefixed(fmt.Errorf("cannot scan a %T into psyco.%s", src, dest))
}

// parseTime reads timestamps with and without a zone, dates and times of day as lib/pq does.
func parseTime(text string) (time.Time, error) {
	if strings.HasSuffix(text, "infinity") {
		return time.Time{}, fmt.Errorf("%s is not a time.Time: use psyco.Timestamp or psyco.Date", text)
	}
	if len(text) > 2 && text[2] == ':' {
		return pgform.ParseClock(text)
	}
	t, err := pq.ParseTimestamp(nil, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%.60q is not a timestamp in datestyle ISO", text)
	}
	return t, nil
}

// appendParameterText appends what v, which is of a type that can be a parameter, is in text.
func appendParameterText(b []byte, v any) (_ []byte, null bool, err error) {
	value, _, _, err := (*TypeMap)(nil).convert(v, 0)
	if err != nil {
		return b, false, err
	}
	return appendText(b, value)
}
