package psyco

import (
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"

	"github.com/psyco-go/psyco/internal/pgform"
)

// Numeric is a value of type numeric in its decimal notation, exactly as the
// server has it: every digit, the scale ("1.50"), and NaN, Infinity and -Infinity.
// Calculate with math/big, new(big.Rat).SetString(string(n)), or scan the column into
// a decimal type that implements sql.Scanner.
//
// Money is text in the server's lc_monetary; Numeric refuses to guess what
// "1.234,56 €" means: select price::numeric. For columns that may be NULL use
// sql.Null[psyco.Numeric] or a pointer; scanning NULL into a Numeric is an error.
type Numeric string

var (
	_ sql.Scanner   = (*Numeric)(nil)
	_ driver.Valuer = Numeric("")
	_ parameter     = Numeric("")
	_ textual       = (*Numeric)(nil)

	_ json.Unmarshaler = (*Numeric)(nil)
)

// Value implements [driver.Valuer]. Text that is not a number is an error.
func (n Numeric) Value() (driver.Value, error) {
	if !pgform.IsNumeric(string(n)) {
		return nil, prefixed(fmt.Errorf("Numeric(%.40q) is not a number", string(n)))
	}
	return string(n), nil
}

func (Numeric) parameterOID() (oid, fallback uint32) { return pgform.OIDNumeric, 0 }

// Scan implements [sql.Scanner].
func (n *Numeric) Scan(src any) error {
	switch x := src.(type) {
	case int64:
		*n = Numeric(strconv.FormatInt(x, 10))
		return nil
	case float64:
		*n = Numeric(pgform.AppendFloat(nil, x))
		return nil
	}
	text, err := scanText(src, "Numeric")
	if err != nil {
		return err
	}
	if !pgform.IsNumeric(text) {
		return prefixed(fmt.Errorf("%.40q is not a number: to read a money column, select it as price::numeric", text))
	}
	*n = Numeric(text)
	return nil
}

// bigValue converts the number types of math/big.
func bigValue(v any) (value driver.Value, oid, fallback uint32, err error) {
	if isNilPointer(v) {
		return nil, 0, pgform.OIDNumeric, nil
	}
	switch x := v.(type) {
	case big.Int:
		return bigValue(&x)
	case big.Float:
		return bigValue(&x)
	case big.Rat:
		return bigValue(&x)
	case *big.Int:
		if x.BitLen() <= pgform.MaxNumericBits {
			return x.String(), pgform.OIDNumeric, 0, nil
		}
	case *big.Float:
		switch exponent := x.MantExp(nil); {
		case x.IsInf() && x.Signbit():
			return "-Infinity", pgform.OIDNumeric, 0, nil
		case x.IsInf():
			return "Infinity", pgform.OIDNumeric, 0, nil
		case exponent <= pgform.MaxNumericBits && exponent >= -pgform.MaxNumericBits:
			return x.Text('g', -1), pgform.OIDNumeric, 0, nil
		}
	case *big.Rat:
		digits, finite := x.FloatPrec()
		switch {
		case !finite:
			return nil, 0, 0, fmt.Errorf("the fraction %.60s has no finite decimal form: round it, psyco.Numeric(r.FloatString(20))", x)
		case digits <= pgform.MaxNumericScale && x.Num().BitLen() <= 2*pgform.MaxNumericBits:
			return x.FloatString(digits), pgform.OIDNumeric, 0, nil
		}
	}
	return nil, 0, 0, fmt.Errorf("%T is out of numeric's range, %d digits before the point and %d after it", v, pgform.MaxNumericWhole, pgform.MaxNumericScale)
}

// MarshalText implements [encoding.TextMarshaler], and so encoding/json: a string with every
// digit, because a number would be a float for most readers. Text that is not a number is an error.
func (n Numeric) MarshalText() ([]byte, error) {
	if _, err := n.Value(); err != nil {
		return nil, err
	}
	return []byte(n), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (n *Numeric) UnmarshalText(text []byte) error { return n.Scan(string(text)) }

// UnmarshalJSON implements [json.Unmarshaler]. It reads strings and numbers.
func (n *Numeric) UnmarshalJSON(b []byte) error {
	if b[0] == '"' || b[0] == 'n' {
		var text string
		if err := json.Unmarshal(b, &text); err != nil || b[0] == 'n' {
			return err
		}
		b = []byte(text)
	}
	return n.UnmarshalText(b)
}
