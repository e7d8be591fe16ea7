package pgform

import (
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// MaxDims is the server's limit on an array's dimensions (PostgreSQL: MAXDIM).
const MaxDims = 6

// Element is what an array, record, range or hstore is made of: text, or NULL.
type Element struct {
	Text string
	Null bool
}

// AppendElement writes a value as an element of an array in text: in quotes, if it is
// not a number or a boolean.
func AppendElement(b []byte, value any) ([]byte, error) {
	switch x := value.(type) {
	case string:
		return AppendQuoted(b, x), nil
	case []byte:
		if x != nil { // the backslash in front needs another one
			return append(AppendBytea(append(b, '"', '\\'), x), '"'), nil
		}
	case time.Time:
		return append(AppendTimestamp(append(b, '"'), x), '"'), nil
	}
	b, null, err := AppendText(b, value)
	if null {
		b = append(b, "NULL"...)
	}
	return b, err
}

// AppendQuoted writes text in quotes, as arrays and hstores have it.
func AppendQuoted(b []byte, text string) []byte {
	b = append(b, '"')
	at := len(b)
	return append(Escape(append(b, text...), at), '"')
}

// Escape puts a backslash in front of what has a meaning inside quotes, in b[at:].
func Escape(b []byte, at int) []byte {
	extra := 0
	for _, c := range b[at:] {
		if c == '"' || c == '\\' {
			extra++
		}
	}
	if extra == 0 {
		return b
	}
	from := len(b) - 1
	b = append(b, make([]byte, extra)...)
	for to := len(b) - 1; to > from; from-- { // backwards, as it moves behind itself
		c := b[from]
		b[to] = c
		if to--; c == '"' || c == '\\' {
			b[to] = '\\'
			to--
		}
	}
	return b
}

// AppendArrayHead writes what stands in front of the elements of an array in binary
// (PostgreSQL: array_recv). Without dimensions the array is empty.
func AppendArrayHead(b []byte, elem uint32, dims []int) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(dims)))
	b = binary.BigEndian.AppendUint32(b, 1) // there may be NULLs
	b = binary.BigEndian.AppendUint32(b, elem)
	for _, n := range dims {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
		b = binary.BigEndian.AppendUint32(b, 1) // the lower bound
	}
	return b
}

// Delimiter is what stands between the elements of an array: a semicolon in a box[], whose
// elements have commas in them and no quotes, and which no other of the server's own types
// does; else a comma. Each element must be a box, so that no text[] is taken for one.
func Delimiter(text string) byte {
	if i := strings.IndexByte(text, '('); i > 0 && (text[i-1] == '{' || text[i-1] == ';') && boxArray.MatchString(text) {
		return ';'
	}
	return ','
}

var boxArray = func() *regexp.Regexp {
	const number = `(?:-?[0-9][0-9.e+-]*|-?Infinity|NaN)`
	const box = `(?:NULL|\(` + number + `,` + number + `\),\(` + number + `,` + number + `\))`
	return regexp.MustCompile(`\A(?:[0-9:\[\]-]+=)?\{+` + box + `(?:\}*;\{*` + box + `)*\}+\z`)
}()

// ParseArray reads an array's text form into its elements, in order, and the
// lengths of its dimensions: none for the empty array (PostgreSQL: array_out).
func ParseArray(text string, delimiter byte) (elements []Element, dims []int, err error) {
	p := arrayParser{rest: text, delimiter: delimiter}
	if err := p.parse(); err != nil {
		return nil, nil, fmt.Errorf("%.60q is not an array: %w", text, err)
	}
	return p.elements, p.dims, nil
}

type arrayParser struct {
	rest      string
	delimiter byte
	elements  []Element
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
	if depth > MaxDims {
		return fmt.Errorf("it has more than %d dimensions", MaxDims)
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
		p.elements = append(p.elements, Element{Text: text})
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
	p.elements = append(p.elements, Element{Text: text, Null: text == "NULL"})
	if text == "NULL" {
		p.elements[len(p.elements)-1].Text = ""
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
