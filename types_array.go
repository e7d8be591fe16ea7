package psyco

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
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

// element is what a value is made of: text, or NULL.
type element struct {
	text string
	null bool
}

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
	if delimiter == ',' && isBoxArray(text) {
		delimiter = ';'
	}
	elements, dims, err := parseArray(text, delimiter)
	if err != nil {
		return err
	}
	f := arrayFiller{elements: elements, dims: dims}
	return f.fill(dst, 0)
}

// isBoxArray reports whether text is a box[], the one array of the server's own types that
// has semicolons between its elements, and commas inside them without quotes. Each
// element must be a box, so that no text[] is taken for one.
func isBoxArray(text string) bool {
	i := strings.IndexByte(text, '(')
	return i > 0 && (text[i-1] == '{' || text[i-1] == ';') && boxArray.MatchString(text)
}

var boxArray = func() *regexp.Regexp {
	const number = `(?:-?[0-9][0-9.e+-]*|-?Infinity|NaN)`
	const box = `(?:NULL|\(` + number + `,` + number + `\),\(` + number + `,` + number + `\))`
	return regexp.MustCompile(`\A(?:[0-9:\[\]-]+=)?\{+` + box + `(?:\}*;\{*` + box + `)*\}+\z`)
}()

// isDimension reports whether an array is read into a typ, not into an element of one.
func isDimension(typ reflect.Type) bool {
	return (typ.Kind() == reflect.Slice || typ.Kind() == reflect.Array) && !isByteList(typ) &&
		(typ.Implements(listType) || !isScanner(typ) && !reflect.PointerTo(typ).Implements(textUnmarshalerType))
}

type arrayFiller struct {
	elements []element
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
	if e.null {
		return setNull(dst)
	}
	return setText(dst, e.text)
}

// parseArray reads an array's text form into its elements, in order, and the
// lengths of its dimensions: none for the empty array (PostgreSQL: array_out).
func parseArray(text string, delimiter byte) (elements []element, dims []int, err error) {
	p := arrayParser{rest: text, delimiter: delimiter}
	if err := p.parse(); err != nil {
		return nil, nil, fmt.Errorf("%.60q is not an array: %w", text, err)
	}
	return p.elements, p.dims, nil
}

type arrayParser struct {
	rest      string
	delimiter byte
	elements  []element
	dims      []int
	leafDepth int // where the elements are; 0 until the first one is seen
}

func (p *arrayParser) parse() error {
	bounds, err := p.bounds()
	if err != nil {
		return err
	}
	if p.rest == "{}" && bounds == nil {
		return nil
	}
	if err := p.dimension(1); err != nil {
		return err
	}
	if p.rest != "" {
		return fmt.Errorf("%.20q follows it", p.rest)
	}
	if bounds != nil {
		if len(bounds) != len(p.dims) {
			return errors.New("its bounds do not match its elements")
		}
		for i, n := range bounds {
			if n != p.dims[i] {
				return errors.New("its bounds do not match its elements")
			}
		}
	}
	return nil
}

// bounds reads "[0:1][-2:4]=" and returns the lengths it stands for.
func (p *arrayParser) bounds() ([]int, error) {
	if !strings.HasPrefix(p.rest, "[") {
		return nil, nil
	}
	head, rest, ok := strings.Cut(p.rest, "=")
	if !ok {
		return nil, errors.New("no = follows its bounds")
	}
	var lengths []int
	for head != "" {
		pair, more, ok := strings.Cut(head, "]")
		if !ok || pair == "" || pair[0] != '[' {
			return nil, errors.New("malformed bounds")
		}
		low, high, _ := strings.Cut(pair[1:], ":")
		l, errLow := strconv.ParseInt(low, 10, 32)
		h, errHigh := strconv.ParseInt(high, 10, 32)
		if errLow != nil || errHigh != nil || h < l {
			return nil, errors.New("malformed bounds")
		}
		lengths = append(lengths, int(h-l+1))
		head = more
	}
	p.rest = rest
	return lengths, nil
}

// dimension reads {…} at a depth that counts from 1.
func (p *arrayParser) dimension(depth int) error {
	if depth > maxDims {
		return fmt.Errorf("it has more than %d dimensions", maxDims)
	}
	if !strings.HasPrefix(p.rest, "{") {
		return errors.New("{ is missing")
	}
	p.rest = p.rest[1:]
	if len(p.dims) < depth {
		p.dims = append(p.dims, -1)
	}
	n := 0
	for {
		if err := p.item(depth); err != nil {
			return err
		}
		n++
		if p.rest == "" {
			return errors.New("} is missing")
		}
		c := p.rest[0]
		p.rest = p.rest[1:]
		if c == '}' {
			break
		}
		if c != p.delimiter {
			return fmt.Errorf("%q stands where %q was expected", c, p.delimiter)
		}
	}
	if p.dims[depth-1] >= 0 && p.dims[depth-1] != n {
		return fmt.Errorf("nested arrays have %d and %d elements", p.dims[depth-1], n)
	}
	p.dims[depth-1] = n
	return nil
}

func (p *arrayParser) item(depth int) error {
	if strings.HasPrefix(p.rest, "{") {
		if p.leafDepth != 0 && depth >= p.leafDepth {
			return errors.New("an array stands beside an element")
		}
		return p.dimension(depth + 1)
	}
	if p.leafDepth == 0 && len(p.dims) == depth {
		p.leafDepth = depth
	}
	if depth != p.leafDepth {
		return errors.New("an element stands beside an array")
	}
	if strings.HasPrefix(p.rest, `"`) {
		text, rest, err := cutQuoted(p.rest)
		if err != nil {
			return err
		}
		p.rest = rest
		p.elements = append(p.elements, element{text: text})
		return nil
	}
	end := 0
	for end < len(p.rest) && p.rest[end] != p.delimiter && p.rest[end] != '}' {
		switch p.rest[end] {
		case '{', '"', '\\':
			return fmt.Errorf("%q stands inside an unquoted element", p.rest[end])
		}
		end++
	}
	text := p.rest[:end]
	if text == "" {
		return errors.New("an element is empty")
	}
	p.rest = p.rest[end:]
	p.elements = append(p.elements, element{text: text, null: text == "NULL"})
	if text == "NULL" {
		p.elements[len(p.elements)-1].text = ""
	}
	return nil
}

// cutQuoted reads the "quoted text" that s starts with, in which a backslash
// takes the next character as it is.
func cutQuoted(s string) (text, rest string, err error) {
	s = s[1:]
	end := strings.IndexAny(s, `"\`)
	if end >= 0 && s[end] == '"' { // nothing is escaped: no copy
		return s[:end], s[end+1:], nil
	}
	var b strings.Builder
	for end >= 0 {
		b.WriteString(s[:end])
		if s[end] == '"' {
			return b.String(), s[end+1:], nil
		}
		if end+1 == len(s) {
			break
		}
		b.WriteByte(s[end+1])
		s = s[end+2:]
		end = strings.IndexAny(s, `"\`)
	}
	return "", "", errors.New(`a closing " is missing`)
}
