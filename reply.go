package psyco

import (
	"database/sql/driver"
	"encoding/binary"
	"io"
	"strings"

	"github.com/psyco-go/psyco/internal/wire"
)

// Most answers are short. For a prepared statement psyco sends the request
// itself, and when the answer is a plain one that has arrived as a whole, it
// reads that too; lib/pq does not see either. Errors, notices, long results and
// whatever else is unusual are left to lib/pq, which then reads the answer as if
// it had sent the request, see wire.Conn.Ask; only of the rows in it, most are
// taken without lib/pq, see wire.Conn.TakeRows.

var (
	_ driver.Rows                           = (*reply)(nil)
	_ driver.RowsColumnTypeScanType         = (*reply)(nil)
	_ driver.RowsColumnTypeDatabaseTypeName = (*reply)(nil)
	_ driver.RowsColumnTypeLength           = (*reply)(nil)
	_ driver.RowsColumnTypePrecisionScale   = (*reply)(nil)
)

// reply is a result that has arrived as a whole and is not decoded yet. Its
// values are those that lib/pq gives.
type reply struct {
	*header
	c      *conn
	fields []wire.Field
	rows   []byte // the DataRow messages that are left
	tag    string
}

// description is what is known of a prepared statement.
type description struct {
	server  string // the server's name for it, "" if lib/pq must run it
	params  []uint32
	fields  []wire.Field
	header  *header // of the fields; set with the formats
	formats []byte  // of the results, as lib/pq's Bind has them; nil before the first
}

// describeStatement takes note of the statement that was just prepared.
func (c *conn) describeStatement(d wire.Description) description {
	if c.sess.onePacket || d.Strange {
		return description{}
	}
	for _, f := range d.Fields {
		if scanType(f.TypeOID) == timeType && hasInfinity() {
			return description{}
		}
	}
	return description{server: c.wire.StatementName(d.Statement), params: d.Params, fields: d.Fields}
}

// executePrepared runs a prepared statement. The first time lib/pq does it, which
// shows the formats in which it wants the results.
func executePrepared[R any](c *conn, m mode[R], p *prepared, args []driver.NamedValue) (R, error) {
	if p.formats != nil {
		switch sent, complete := c.ask(p, args); {
		case complete:
			return m.replied(c), nil
		case sent:
			c.wire.TakeRows()
		}
	}
	learn := p.server != "" && p.formats == nil
	if learn {
		c.wire.CaptureFormats()
	}
	res, err := m.prepared(p.stmt, args)
	if learn {
		p.learn(c.wire.Formats())
	}
	return res, err
}

// learn takes note of the result formats of lib/pq's Bind.
func (d *description) learn(formats []byte) {
	if len(formats) < 2 {
		return
	}
	list := formats[2:]
	for i := range d.fields {
		f := &d.fields[i]
		switch {
		case len(list) == 2:
			f.Format = int16(list[1])
		case len(list) > 2*i+1:
			f.Format = int16(list[2*i+1])
		}
		if f.Format != 0 && !decodesBinary(f.TypeOID) {
			d.server = ""
			return
		}
	}
	d.header, d.formats = describeColumns(d.fields), formats
}

// ask sends the request for a prepared statement if that is possible. If the
// answer is complete it is c.reply; else lib/pq must go on.
func (c *conn) ask(p *prepared, args []driver.NamedValue) (sent, complete bool) {
	if !c.wire.CanAsk() {
		return false, false
	}
	request, err := appendRequest(c.request[:0], &p.description, args)
	if cap(request) <= keptReply {
		c.request = request
	}
	if err != nil {
		return false, false // lib/pq says what is wrong
	}
	rows, ok := c.wire.Ask(request)
	c.reply = reply{p.header, c, p.fields, append(c.reply.rows[:0], rows...), c.wire.CommandTag()}
	return true, ok
}

// keptReply is how large a buffer is kept for the next request.
const keptReply = 64 << 10

// Next decodes the next row. Values of type []byte are valid until the next
// request on the connection.
func (r *reply) Next(dest []driver.Value) error {
	if len(r.rows) == 0 {
		return io.EOF
	}
	row := r.rows
	size := int(binary.BigEndian.Uint32(row[1:])) + 1
	r.rows = row[size:]
	return r.decode(row[5:size], dest)
}

// decode decodes the payload of a DataRow.
func (r *reply) decode(payload []byte, dest []driver.Value) error {
	if len(payload) < 2 {
		return errShortRow
	}
	cells := payload[2:]
	for i := range dest[:min(len(dest), len(r.fields))] {
		if len(cells) < 4 {
			return errShortRow
		}
		n := int(int32(binary.BigEndian.Uint32(cells)))
		cells = cells[4:]
		if n < 0 {
			dest[i] = nil
			continue
		}
		if n > len(cells) {
			return errShortRow
		}
		v, err := decodeValue(cells[:n:n], &r.fields[i], r.c.location)
		if err != nil {
			return err
		}
		dest[i], cells = v, cells[n:]
	}
	return nil
}

// Close drops the rows that are left.
func (r *reply) Close() error {
	r.rows = nil
	return nil
}

// Result is that of lib/pq: without a row count for the tags where it has none.
func (r *reply) Result() driver.Result { return result(r.tag) }

// Tag is the command tag without its numbers, as lib/pq's rows give it.
func (r *reply) Tag() string {
	if word, counts := countedTag(r.tag); counts {
		return word
	}
	return r.tag
}

func result(tag string) driver.Result {
	if _, counts := countedTag(tag); counts {
		if n, ok := wire.RowsAffected(tag); ok {
			return driver.RowsAffected(n)
		}
	}
	return driver.RowsAffected(0)
}

// countedTag returns the first word of a tag and whether lib/pq reads a row count
// behind it.
func countedTag(tag string) (word string, counts bool) {
	word, _, more := strings.Cut(tag, " ")
	switch word {
	case "SELECT", "INSERT", "UPDATE", "DELETE", "FETCH", "MOVE", "COPY":
		return word, more
	}
	return word, false
}
