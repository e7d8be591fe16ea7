package psyco

import (
	"fmt"
	"time"
)

// scanText gives the text that a driver's value is in, copied. dest names the
// destination's type in errors.
func scanText(src any, dest string) (string, error) {
	switch x := src.(type) {
	case string:
		return x, nil
	case []byte:
		return string(x), nil
	case nil:
		return "", fmt.Errorf("psyco: cannot scan NULL into a psyco.%s: scan into a sql.Null[psyco.%[1]s] or a pointer to a pointer", dest)
	case time.Time:
		return string(appendTimestamp(nil, x)), nil
	}
	return "", fmt.Errorf("psyco: cannot scan a %T into a psyco.%s", src, dest)
}
