package pgform

import (
	"errors"
	"fmt"
	"strings"
)

// Range is a range whose bounds are still text, or NULL where there are none.
type Range struct {
	Lower, Upper       Element
	LowerInc, UpperInc bool
	Empty              bool // no other field counts
}

// AppendText writes the range (PostgreSQL: range_out).
func (r Range) AppendText(b []byte) []byte {
	if r.Empty {
		return append(b, "empty"...)
	}
	if r.LowerInc && !r.Lower.Null {
		b = append(b, '[')
	} else {
		b = append(b, '(')
	}
	if !r.Lower.Null {
		b = AppendComponent(b, r.Lower.Text)
	}
	b = append(b, ',')
	if !r.Upper.Null {
		b = AppendComponent(b, r.Upper.Text)
	}
	if r.UpperInc && !r.Upper.Null {
		return append(b, ']')
	}
	return append(b, ')')
}

// ParseRange reads a range.
func ParseRange(text string) (Range, error) {
	r, rest, err := cutRange(text)
	if err == nil && rest != "" {
		err = fmt.Errorf("%.20q follows it", rest)
	}
	return r, err
}

// ParseMultirange reads a multirange into its ranges.
func ParseMultirange(text string) ([]Range, error) {
	if text == "{}" {
		return nil, nil
	}
	rest, ok := strings.CutPrefix(text, "{")
	if !ok {
		return nil, errors.New("{ is missing")
	}
	var ranges []Range
	for {
		var r Range
		var err error
		if r, rest, err = cutRange(rest); err != nil {
			return nil, err
		}
		ranges = append(ranges, r)
		switch {
		case rest == "}":
			return ranges, nil
		case !strings.HasPrefix(rest, ","):
			return nil, errors.New("} is missing")
		}
		rest = rest[1:]
	}
}

// cutRange reads the range that text starts with.
func cutRange(text string) (r Range, rest string, err error) {
	if rest, ok := strings.CutPrefix(text, "empty"); ok {
		return Range{Empty: true}, rest, nil
	}
	if text == "" || text[0] != '[' && text[0] != '(' {
		return r, "", errors.New("[ or ( is missing")
	}
	r.LowerInc = text[0] == '['
	if r.Lower, rest, err = cutComponent(text[1:], ",)]"); err != nil {
		return r, "", err
	}
	if rest[0] != ',' {
		return r, "", errors.New("it has one bound")
	}
	if r.Upper, rest, err = cutComponent(rest[1:], ",)]"); err != nil {
		return r, "", err
	}
	if rest[0] == ',' {
		return r, "", errors.New("it has three bounds")
	}
	r.UpperInc = rest[0] == ']'
	return r, rest[1:], nil
}
