package psyco

import (
	"bytes"
	"cmp"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/wire"
)

// lib/pq asks the server for the types of the parameters before it sends any, and
// so needs two round trips for a statement that is not prepared. It needs the types
// for one thing only: what goes into a bytea is written in another way. Where that
// makes no difference psyco sends Parse, Bind and Execute in one packet.

// appendWhole appends the packet that prepares and runs a statement, if both may go
// in one. For the unnamed statement, "", it describes the columns of the result; for
// one that is to stay, the parameters too.
func (c *conn) appendWhole(b []byte, name string, st *statement, types []uint32, columns bool) (_ []byte, ok bool) {
	if !st.counted || name != "" && hasInfinity() || strings.IndexByte(st.sql, 0) >= 0 {
		return b, false
	}
	if len(types) == 0 {
		types = c.untyped(len(st.args))
	}
	asked := false
	for i := range st.args {
		if types[i] != 0 || c.sameAsBytea(st.args[i].Value, st.literal()) {
			continue
		}
		if st.params == nil {
			return b, false
		}
		if !asked {
			types, asked = slices.Clone(types), true
		}
		types[i] = st.params[i]
	}
	b, err := wire.AppendParse(b, name, st.sql, types)
	if err != nil {
		return b, false // lib/pq says what is wrong
	}
	if name != "" {
		b = wire.AppendDescribe(b, 'S', name)
	}
	b, err = appendBind(b, name, types, st.args, textResults, st.literal())
	if err != nil || len(b) > maxDescribed && name != "" {
		return b, false
	}
	if name == "" && columns {
		b = wire.AppendDescribe(b, 'P', "")
	}
	return wire.AppendSync(wire.AppendExecute(b, "", 0)), true
}

// maxDescribed is how long a packet may be that has more to come behind a Describe.
// The server might write a long description before it reads on, and would wait
// for ever for a client that does not read before it has written all.
const maxDescribed = 8 << 10

// textResults is the end of a Bind that wants all results as text.
var textResults = []byte{0, 0}

// untyped returns a list of n types that are left to the server.
func (c *conn) untyped(n int) []uint32 {
	if cap(c.noTypes) < n {
		c.noTypes = make([]uint32, n)
	}
	return c.noTypes[:n]
}

// sameAsBytea reports whether a value is sent in the same way if its type turns out
// to be bytea. In a bytea's text only the backslash is special, but text is
// converted to the server's encoding. A string of psycopg's is text in any case.
func (c *conn) sameAsBytea(value any, literal bool) bool {
	switch x := value.(type) {
	case string:
		return literal || strings.IndexByte(x, '\\') < 0 && strings.IndexByte(x, 0) < 0 &&
			(isASCII(x) || utf8.ValidString(x) && c.isUTF8())
	case []byte:
		return bytes.IndexByte(x, '\\') < 0 && bytes.IndexByte(x, 0) < 0 &&
			(isASCII(x) || utf8.Valid(x) && c.isUTF8())
	}
	return true
}

// literalBytea returns args with the bytes that the texts of a bytea stand for.
func literalBytea(types []uint32, args []driver.NamedValue) ([]driver.NamedValue, error) {
	args = slices.Clone(args)
	for i := range min(len(types), len(args)) {
		if x, ok := args[i].Value.(string); ok && types[i] == pgform.OIDBytea {
			raw, err := pgform.ParseBytea(x)
			if err != nil {
				return nil, argumentError(&args[i], fmt.Errorf("%.40q is not the text of a bytea: %w", x, err))
			}
			args[i].Value = raw
		}
	}
	return args, nil
}

func isASCII[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// isUTF8 reports whether text reaches the database as it is.
func (c *conn) isUTF8() bool {
	server, _ := c.wire.Parameter("server_encoding")
	client, _ := c.wire.Parameter("client_encoding")
	return server == "UTF8" && client == "UTF8"
}

// runUnnamed runs a statement by way of the server's unnamed one. What riding along
// needs is done in here.
func runUnnamed[R any](c *conn, m mode[R], st *statement, types []uint32) (res R, err error) {
	if c.binary || strings.IndexByte(st.sql, 0) >= 0 { // the server refuses a NUL
		c.ride()
		c.declare(types)
		res, err = m.text(c, st.sql, st.args)
		c.rode(err)
		return res, err
	}
	request, ok := c.appendWhole(c.request[:0], "", st, types, m.hasRows())
	if !ok {
		if request, err = c.askTypes(st, types, m.hasRows()); err != nil {
			return res, err
		}
	}
	c.ride()
	res, err = ask(c, m, st.sql, request, nil)
	c.rode(err)
	return res, err
}

// askTypes makes the request of appendWhole with the help of the server. It could not
// be sent as one packet with what lib/pq knows either: Parse goes first, and Bind may
// meet another server behind a pooler.
func (c *conn) askTypes(st *statement, types []uint32, columns bool) (request []byte, err error) {
	if st.params == nil {
		if st.params, err = c.analyze(st.sql, types); err != nil {
			return nil, err
		}
	}
	if len(st.params) != len(st.args) {
		return nil, fmt.Errorf("pq: got %d parameters but the statement requires %d", len(st.args), len(st.params))
	}
	st.counted = true
	request, ok := c.appendWhole(c.request[:0], "", st, types, columns)
	if ok {
		return request, nil
	}
	_, tooLong := wire.AppendParse(nil, "", st.sql, types)
	_, err = appendBind(nil, "", c.untyped(len(st.args)), st.args, textResults, st.literal())
	return nil, cmp.Or(tooLong, err, errUnsendable)
}

var errUnsendable = errors.New("psyco: the statement cannot be sent")
