package psyco

import (
	"database/sql/driver"
	"errors"
)

// mogrify puts literals in place of the placeholders.
func (c *conn) mogrify(*query, []driver.NamedValue) (string, error) {
	return "", errors.New("psyco: this statement takes no parameters on the server: write its values into the text")
}
