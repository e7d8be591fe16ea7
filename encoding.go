package psyco

import (
	"fmt"
	"strings"
)

// checkEncoding refuses to let the meaning of bytes depend on the session's
// client_encoding, where a program has set one of those that only clients may use. In
// them the second byte of a character can be a backslash, a digit or a letter: bytes of
// UTF-8 in a literal, or in COPY's text format, would join with what stands beside them,
// and a value end where its text does not.
func (c *conn) checkEncoding() error {
	if c.wire == nil {
		return nil
	}
	name, reported := c.wire.Parameter("client_encoding")
	if !reported || isServerEncoding(name) {
		return nil
	}
	return fmt.Errorf("psyco: client_encoding is %s, in which values cannot be put into the text of a statement, "+
		"or of COPY, without a change of their meaning: SET client_encoding TO 'UTF8' before", name)
}

// isServerEncoding reports whether name, as the server spells it, is an encoding that
// databases can have: in those no byte of a longer character is ASCII.
func isServerEncoding(name string) bool {
	switch name {
	case "UTF8", "SQL_ASCII", "MULE_INTERNAL":
		return true
	}
	for _, family := range []string{"EUC_", "LATIN", "WIN", "KOI8", "ISO_8859_"} {
		if strings.HasPrefix(name, family) {
			return true
		}
	}
	return false
}
