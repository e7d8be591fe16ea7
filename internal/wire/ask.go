package wire

import (
	"bytes"
	"encoding/binary"
)

// asking is a request that was sent in lib/pq's place.
type asking struct {
	open bool // lib/pq has not sent its own
	err  error
	sent bool // some of it, where err is not nil
}

// Description is what the server says of a statement that is being prepared.
type Description struct {
	Statement string   // lib/pq's name for it, if lib/pq prepared it
	Params    []uint32 // the types of its parameters; nil if the server did not tell
	Fields    []Field
	Strange   bool // the server told something that cannot be read
}

// CanAsk reports whether [Conn.Ask] is possible: nothing is left of an earlier
// answer.
func (c *Conn) CanAsk() bool {
	rd := &c.reader
	return rd.modes == 0 && rd.pass == 0 && rd.drop == 0 && len(rd.inject) == 0 && !rd.plain &&
		c.session.portal.name == "" && c.exchange.Load() == nil && !c.asking.open
}

// Ask sends request, the packet for one statement: Bind, Execute and Sync,
// perhaps behind a Parse and with a Describe, and waits for the answer.
// Statements of [Conn.Prefix] go in front.
//
// If nothing rides in front, and the answer is plain and fits into the buffer,
// then lib/pq need not know of it. It is plain if it consists of what belongs to
// these messages, rows, CommandComplete and a ReadyForQuery with the transaction
// status of before. Ask returns the DataRow messages, which are valid until the
// next call of any method, and true. [Conn.CommandTag] has the tag and
// [Conn.Description] what was described.
//
// In any other case, errors included, nothing of the answer is taken, and lib/pq
// must send the statement's text as a simple Query. That is not sent, and the
// answer to this request is made to look like one to it: what belongs to Parse and
// Bind is left out, and where the request describes no columns, RowDescription is
// columns, if they are not nil. width is how many columns the rows have in that case,
// or [ColumnsUnknown].
func (c *Conn) Ask(request []byte, columns []Field, width int) (rows []byte, ok bool) {
	if riding, err := c.ask(request, width); err == nil && !riding {
		rows, ok = c.awaitPlain()
	}
	if !ok {
		c.describeTo(columns)
	}
	return rows, ok
}

// AskFor is Ask for a request whose answer is lib/pq's in any case.
func (c *Conn) AskFor(request []byte, columns []Field, width int) {
	_, _ = c.ask(request, width) // lib/pq meets the error
	c.describeTo(columns)
}

func (c *Conn) describeTo(columns []Field) {
	if c.asking.err == nil && columns != nil {
		c.reader.inject = AppendRowDescription(nil, columns)
	}
}

// ask sends a request, and reports whether something rides in front of it.
func (c *Conn) ask(request []byte, width int) (riding bool, err error) {
	c.begin(true)
	c.phase.given = width
	c.described = Description{}
	riding = !c.prefix.none()
	head, err := c.appendPrefix(c.writer.scratch[:0])
	n := 0
	if err == nil {
		if at := parseAlone(request); at > 0 {
			if n, err = c.request(AppendFlush(append(head, request[:at]...)), nil); err == nil {
				err = c.afterParse(request[at:])
			}
		} else {
			n, err = c.request(head, request)
		}
	}
	c.asking = asking{open: true, err: err, sent: n > 0}
	if err == nil {
		c.reader.modes |= modeAsked | modeDescribe
	}
	return riding, err
}

// plain is how far an answer is known to be the one that Ask is for. Places are
// counted from where it begins in the buffer.
type plain struct {
	phase       phase
	at          int // of the next message
	first, last int // the rows
	params      [2]int
	columns     [2]int
	tag         [2]int
}

// awaitPlain waits until the answer is complete or known not to be plain.
func (c *Conn) awaitPlain() (rows []byte, ok bool) {
	c.load()
	a := plain{phase: c.phase}
	for {
		complete, known := c.plainAnswer(&a)
		if complete {
			c.asking.open = false
			return c.takePlain(&a), true
		}
		rd := &c.reader
		if !known || rd.w == len(rd.buf) && rd.r == 0 {
			return nil, false
		}
		rd.need = 1
		if c.fill() != nil {
			return nil, false // lib/pq meets it again
		}
	}
}

// plainAnswer goes on through what has arrived. known says that the answer may
// become one that Ask takes.
func (c *Conn) plainAnswer(a *plain) (complete, known bool) {
	rd := &c.reader
	answer := rd.buf[rd.r:rd.w]
	for len(answer)-a.at >= headerSize {
		typ, size := answer[a.at], uint64(binary.BigEndian.Uint32(answer[a.at+1:]))
		if !plainType(typ) || !a.phase.acceptable(typ, size) {
			return false, false
		}
		start, end := a.at+headerSize, a.at+1+int(size)
		if end > len(answer) {
			return false, true
		}
		payload := answer[start:end]
		if typ == DataRow {
			if !a.phase.rows || !rowFits(payload, a.phase.width()) {
				return false, false
			}
			a.at = end
			continue
		}
		if checkShape(typ, payload, 0) != nil || !a.phase.step(typ, payload) {
			return false, false // lib/pq is told
		}
		switch typ {
		case ParameterDescription:
			if len(payload) > 2+4*countOf(payload) {
				return false, false // more than can be counted: lib/pq is to tell
			}
			a.params = [2]int{start, end}
		case RowDescription, NoData:
			if a.columns[1] > 0 {
				return false, false // of the statement and of the portal
			}
			a.columns, a.first = [2]int{start, end}, end
		case BindComplete:
			a.first = end
		case CommandComplete:
			a.last, a.tag = a.at, [2]int{start, end}
		case ReadyForQuery:
			a.at = end
			return payload[0] == c.TxStatus(), false
		}
		a.at = end
	}
	return false, true
}

// takePlain takes an answer that is complete and returns its rows.
func (c *Conn) takePlain(a *plain) (rows []byte) {
	rd := &c.reader
	answer := rd.buf[rd.r:rd.w]
	part := func(p [2]int) []byte { return answer[p[0]:p[1]] }
	if a.params[1] > 0 {
		c.capture(ParameterDescription, part(a.params))
	}
	if p := part(a.columns); len(p) > 0 {
		c.capture(RowDescription, p)
	}
	_ = c.track(CommandComplete, part(a.tag)) // it has been checked
	c.phase = a.phase
	c.finish()
	rd.r += a.at
	return answer[a.first:a.last]
}

// plainType reports whether messages of a type may be part of a plain answer.
func plainType(typ byte) bool {
	switch typ {
	case ParseComplete, ParameterDescription, RowDescription, NoData, BindComplete, DataRow, CommandComplete, ReadyForQuery:
		return true
	}
	return false
}

// TakeRows lets the rest of the answer that lib/pq must read be shared with it:
// lib/pq is given no more than it asks for, message by message, so that in between
// [Conn.NextRow] can take rows without it. Call it after [Conn.Ask] has
// returned false; it ends with the answer.
func (c *Conn) TakeRows() { c.reader.modes |= modeRows }

// TakeTextRows is TakeRows for the simple query that lib/pq sends next. If the query fails,
// end it with [Conn.LeaveRows].
func (c *Conn) TakeTextRows() {
	c.described, c.textColumns = Description{}, c.textColumns[:0]
	c.reader.modes |= modeRows | modeText
}

// LeaveRows undoes [Conn.TakeTextRows].
func (c *Conn) LeaveRows() { c.reader.modes &^= modeRows | modeText }

// TextColumns describes the row that [Conn.NextRow] has taken after [Conn.TakeTextRows].
func (c *Conn) TextColumns() ([]Field, error) { return ParseRowDescription([]Field{}, c.textColumns) }

// keepColumns keeps the columns of a result set for TextColumns. Most results have one row
// only, and then nobody asks. Rows of a binary cursor are lib/pq's.
func (c *Conn) keepColumns(description []byte) {
	c.textColumns = append(c.textColumns[:0], description...)
	for n, rest := countOf(description), description[2:]; n > 0; n-- {
		end := bytes.IndexByte(rest, 0) + 1 + fieldSize
		if format := rest[end-2 : end]; format[0]|format[1] != 0 {
			c.LeaveRows()
			return
		}
		rest = rest[end:]
	}
}

// NextRow takes the next message of an answer after [Conn.TakeRows] if that is a
// DataRow, and returns its payload, which is valid until more is read. Of
// everything else, and of very long rows, it takes nothing: lib/pq must go on.
func (c *Conn) NextRow() (payload []byte, ok bool) {
	rd := &c.reader
	for c.TakesRows() && rd.pass == 0 && len(rd.inject) == 0 && c.brokenError() == nil {
		rd.need = headerSize
		if have := rd.w - rd.r; have >= headerSize {
			size := binary.BigEndian.Uint32(rd.buf[rd.r+1:])
			if rd.buf[rd.r] != DataRow || size < 4 || size >= bulkBuffer {
				break
			}
			rd.need = int(size) + 1
			if have >= rd.need {
				payload = rd.buf[rd.r+headerSize : rd.r+rd.need]
				if !c.phase.rows || !rowFits(payload, c.phase.width()) {
					return nil, false // lib/pq is told
				}
				rd.r += rd.need
				return payload, true
			}
		}
		if c.fill() != nil {
			break // lib/pq meets it again
		}
	}
	return nil, false
}

// KeepRow leaves the memory of the last row of NextRow to whoever has it: what is read
// from now on goes elsewhere.
func (c *Conn) KeepRow() {
	rd := &c.reader
	buf := make([]byte, len(rd.buf))
	rd.r, rd.w = 0, copy(buf, rd.buf[rd.r:rd.w])
	rd.buf = buf
}

// TakesRows reports whether [Conn.NextRow] may find something.
func (c *Conn) TakesRows() bool {
	return c.reader.modes&^(modeAsked|modeDescribe|modeText) == modeRows && !c.described.Strange
}

// Bound reports whether the server has accepted a Bind of the last request, so that
// some of a statement may have run.
func (c *Conn) Bound() bool { return c.bound }

// swallow takes lib/pq's request for the statement that Ask has sent already.
func (c *Conn) swallow(p []byte) (int, error) {
	a := c.asking
	c.asking = asking{}
	switch {
	case a.err == nil:
		return len(p), nil
	case a.sent:
		return 1, a.err
	}
	return 0, a.err
}

// CaptureDescription keeps what lib/pq and the server say of the statement that
// lib/pq prepares next, for [Conn.Description].
func (c *Conn) CaptureDescription() {
	c.described = Description{}
	c.reader.modes |= modeDescribe
}

// Description returns what is known of the statement that was prepared after
// [Conn.CaptureDescription], or asked for with [Conn.Ask] since. More is not captured.
func (c *Conn) Description() Description {
	c.reader.modes &^= modeDescribe
	return c.described
}

// capture keeps a ParameterDescription or RowDescription. The server counts more
// than 65,535 parameters modulo 65,536; lib/pq says what is wrong with them.
func (c *Conn) capture(typ byte, payload []byte) {
	d := &c.described
	var err error
	if typ == ParameterDescription {
		d.Params, err = ParseParameterDescription([]uint32{}, payload)
	} else {
		d.Fields, err = ParseRowDescription([]Field{}, payload)
	}
	d.Strange = d.Strange || err != nil
}
