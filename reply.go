package psyco

import (
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/wire"
)

// psyco sends the request for a statement with arguments itself, and when the
// answer is a plain one that has arrived as a whole, it reads that too; lib/pq does
// not see either. Errors, notices, long results and whatever else is unusual are
// left to lib/pq, which reads them as the answer to a simple query, see
// wire.Conn.Ask; only of the rows in it, most are taken without lib/pq, see
// wire.Conn.TakeRows.

var (
	_ driver.Rows                           = (*reply)(nil)
	_ driver.RowsColumnTypeScanType         = (*reply)(nil)
	_ driver.RowsColumnTypeDatabaseTypeName = (*reply)(nil)
	_ driver.RowsColumnTypeLength           = (*reply)(nil)
	_ driver.RowsColumnTypePrecisionScale   = (*reply)(nil)
)

// reply is a result that has arrived as a whole and is not decoded yet, or decodes
// the rows of one that lib/pq shares. Its values are those that lib/pq gives.
type reply struct {
	*header
	c      *conn
	fields []wire.Field
	rows   []byte // the DataRow messages that are left
	tag    string
	direct *wireRow // what its rows are instead of values, see query_direct.go
	bytes  bool     // lib/pq sees some of the values as bytes
}

// description is what is known of a prepared statement.
type description struct {
	server string // the server's name for it, "" if lib/pq must run it
	params []uint32
	fields []wire.Field // with the formats in which psyco wants them
	shown  []wire.Field // the same as lib/pq is to read them: as bytes what it does not know
	header *header
	// formats are the same at the end of a Bind.
	formats []byte
	literal bool // see appendBind

	times, zoned bool         // some are times in binary, see conn.readsTimes
	slower       *description // for when they must not be

	direct *directPlan // how its rows are decoded into Ts, nil if they become values
}

// describeStatement makes a description of what the server told of a statement.
func (c *conn) describeStatement(server string, d wire.Description) description {
	if d.Strange {
		return description{params: d.Params}
	}
	if hasInfinity() && slices.ContainsFunc(d.Fields, func(f wire.Field) bool { return scanType(f.TypeOID) == timeType }) {
		return description{params: d.Params}
	}
	description := description{server: server, params: d.Params, fields: slices.Clone(d.Fields), header: describeColumns(d.Fields)}
	description.choose(func(typ uint32) bool {
		return (decodesBinary(typ) || isTimeForm(typ)) && !c.sess.cfg.DisablePreparedBinaryResult
	})
	return description
}

// choose chooses the formats of the columns.
func (d *description) choose(binaryForm func(typ uint32) bool) {
	d.times, d.zoned, d.shown = false, false, d.fields
	d.formats = binary.BigEndian.AppendUint16(nil, uint16(len(d.fields)))
	for i := range d.fields {
		f := &d.fields[i]
		f.Format = 0
		if binaryForm(f.TypeOID) {
			f.Format = 1
			if isTimeForm(f.TypeOID) {
				d.times, d.zoned = true, d.zoned || f.TypeOID == pgform.OIDTimestamptz
			}
		}
		d.formats = binary.BigEndian.AppendUint16(d.formats, uint16(f.Format))
	}
	if d.times {
		d.shown = slices.Clone(d.fields)
		for i := range d.shown {
			if f := &d.shown[i]; f.Format == 1 && isTimeForm(f.TypeOID) {
				f.TypeOID = pgform.OIDBytea
			}
		}
	}
}

// fitting is the description for the session's settings.
func (d *description) fitting(c *conn) *description {
	if !d.times || c.readsTimes(d.zoned) {
		return d
	}
	if d.slower == nil {
		s := *d
		s.fields = slices.Clone(d.fields)
		s.choose(decodesBinary)
		d.slower = &s
	}
	return d.slower
}

// runPrepared runs a prepared statement, whose rows may be wanted as Ts.
func runPrepared[R any](c *conn, m mode[R], p *prepared, w *wanted, sql string, args []driver.NamedValue) (R, error) {
	args = spread(args, p.split)
	if p.server == "" {
		if p.literal && !c.binary {
			var err error
			if args, err = literalBytea(p.params, args); err != nil {
				var zero R
				return zero, err
			}
		}
		return m.prepared(c, p.stmt, args)
	}
	d := p.description.fitting(c)
	if w != nil {
		d = c.describeFor(w, p, d)
	}
	request, err := appendRequest(c.request[:0], d, args)
	if err != nil {
		var zero R
		return zero, err
	}
	res, err := ask(c, m, sql, request, d)
	if c.reply.direct != nil {
		c.reply.direct.by = w
	}
	return res, err
}

// ask sends a request and has its answer read by whoever can: psyco or, as the
// answer to a simple query, lib/pq. d describes the prepared statement that is
// executed; nil is for a request that has the server describe the result.
func ask[R any](c *conn, m mode[R], sql string, request []byte, d *description) (res R, err error) {
	if !c.wire.CanAsk() {
		var zero R
		c.lost = errUnread
		return zero, driver.ErrBadConn
	}
	var columns []wire.Field // for lib/pq
	width := wire.ColumnsUnknown
	if d != nil {
		width = len(d.fields)
		if m.hasRows() {
			columns = d.shown
		}
	}
	if cap(request) <= keptReply {
		c.request = request
	}
	own := d != nil || !hasInfinity() // lib/pq alone reads such times
	var rows []byte
	complete := false
	defer guard(c.wire, &err)
	if own {
		rows, complete = c.wire.Ask(request, columns, width)
	} else {
		c.wire.AskFor(request, columns, width)
	}
	rows = append(c.reply.rows[:0], rows...)
	if !complete {
		if m.hasRows() && own {
			c.wire.TakeRows()
		}
		res, err = m.text(c, sql, nil)
	}
	if d == nil {
		d = &description{fields: c.wire.Description().Fields}
		if complete && m.hasRows() {
			d.header = describeColumns(d.fields)
		}
	}
	c.reply = reply{header: d.header, c: c, fields: d.fields, rows: rows, bytes: d.times && err == nil && m.hasRows()}
	c.values = valueDecoder{c: c}
	if d.direct != nil && err == nil {
		c.reply.direct = c.wireRows(d.direct)
	}
	if !complete {
		return res, err
	}
	c.reply.tag = c.wire.CommandTag()
	return m.replied(c), nil
}

// takeTextRows makes ready for rows that answer a simple query.
func (c *conn) takeTextRows() {
	c.reply = reply{c: c, rows: c.reply.rows[:0]}
	c.values = valueDecoder{c: c}
	c.wire.TakeTextRows()
}

// roundTrip sends a request whose answer has no rows.
func (c *conn) roundTrip(sql string, request []byte) error {
	if !c.wire.CanAsk() {
		c.lost = errUnread
		return driver.ErrBadConn
	}
	c.wire.AskFor(request, nil, wire.ColumnsUnknown)
	_, err := queryMode{}.text(c, sql, nil)
	return err
}

// errUnread: reading was given up in the middle of an answer.
var errUnread = errors.New("psyco: the last answer was not read to its end")

// keptReply is how large a buffer is kept for the next request.
const keptReply = 64 << 10

// Next decodes the next row. Values of type []byte are valid until the next
// request on the connection.
func (r *reply) Next(dest []driver.Value) error {
	if len(r.rows) == 0 {
		return io.EOF
	}
	var row []byte
	row, r.rows = wire.CutRow(r.rows)
	return r.decode(row, dest)
}

// decode decodes the payload of a DataRow.
func (r *reply) decode(payload []byte, dest []driver.Value) error {
	row := wire.Columns(payload)
	if r.direct != nil {
		return r.direct.deliver(row, dest)
	}
	for i := range dest[:min(len(dest), len(r.fields))] {
		column, rest, ok := wire.CutColumn(row)
		if !ok {
			return errShortRow
		}
		row = rest
		if column == nil {
			dest[i] = nil
			continue
		}
		v, err := r.c.values.value(column, &r.fields[i])
		if err != nil {
			return err
		}
		dest[i] = v
	}
	return nil
}

// convert makes the values of a row that lib/pq has read of the bytes that it has seen.
func (r *reply) convert(dest []driver.Value) (err error) {
	for i := range dest[:min(len(dest), len(r.fields))] {
		f := &r.fields[i]
		if b, ok := dest[i].([]byte); ok && f.Format == 1 && isTimeForm(f.TypeOID) {
			if dest[i], err = r.c.values.value(b, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close drops the rows that are left.
func (r *reply) Close() error {
	r.rows = nil
	return nil
}

// Result has the count of the command tag, 0 if there is none.
func (r *reply) Result() driver.Result {
	n, _ := wire.RowsAffected(r.tag)
	return driver.RowsAffected(n)
}

// Tag is the command tag without its numbers, as lib/pq's rows give it.
func (r *reply) Tag() string { return tagWord(r.tag) }

// tagWord returns a command tag without its numbers.
func tagWord(tag string) string {
	if _, counts := wire.RowsAffected(tag); counts {
		tag, _, _ = strings.Cut(tag, " ")
	}
	return tag
}

// counted gives lib/pq's result of Exec the count of a tag that lib/pq does not know
// to have one.
func (c *conn) counted(res driver.Result, err error) (driver.Result, error) {
	if err == nil && res == driver.Result(driver.RowsAffected(0)) {
		if n, ok := wire.RowsAffected(c.wire.CommandTag()); ok {
			return driver.RowsAffected(n), nil
		}
	}
	return res, err
}
