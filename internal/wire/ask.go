package wire

import "encoding/binary"

// asking is a request that was sent in lib/pq's place.
type asking struct {
	open bool // lib/pq has not sent its own
	err  error
	sent bool // some of it, where err is not nil
}

// Description is what is known of a statement that lib/pq prepared.
type Description struct {
	Statement string   // lib/pq's name for it
	Params    []uint32 // the types of its parameters
	Fields    []Field
	Strange   bool // the server told something that cannot be read
}

// binding is lib/pq's next Bind, if that is of interest.
type binding struct {
	wanted  bool
	formats []byte
}

// CanAsk reports whether [Conn.Ask] is possible: nothing is queued that must ride
// in front, and nothing is left of an earlier answer.
func (c *Conn) CanAsk() bool {
	rd := &c.reader
	return c.prefix.none() && rd.modes == 0 && rd.pass == 0 && rd.drop == 0 && len(rd.inject) == 0 && !rd.plain &&
		c.session.portal.name == "" && c.exchange.Load() == nil && !c.asking.open
}

// Ask sends the Bind, Execute and Sync of a prepared statement, in text format or
// not, and waits for the answer. If that consists of rows, CommandComplete and a
// ReadyForQuery with the transaction status of before, and fits into the buffer,
// then lib/pq need not know of it: Ask returns the DataRow messages, which are
// valid until the next call of any method, and true. [Conn.CommandTag] has the tag.
//
// In any other case, errors included, nothing of the answer is taken, and lib/pq
// must execute the same statement: what it writes is not sent, and it reads the
// answer to this request.
func (c *Conn) Ask(request []byte) (rows []byte, ok bool) {
	c.begin(true)
	n, err := c.request(nil, request)
	c.asking = asking{open: true, err: err, sent: n > 0}
	if err != nil {
		return nil, false
	}
	for {
		rows, complete, known := c.plainAnswer()
		if complete {
			c.asking.open = false
			return rows, true
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

// plainAnswer looks for the answer that Ask is for at the beginning of what has
// arrived, and takes it if it is complete. known says that it may become so.
func (c *Conn) plainAnswer() (rows []byte, complete, known bool) {
	rd := &c.reader
	var first, last int // the rows
	var tag []byte
	expected := byte(BindComplete)
	for i := rd.r; rd.w-i >= headerSize; {
		typ, size := rd.buf[i], uint64(binary.BigEndian.Uint32(rd.buf[i+1:]))
		end := uint64(i) + 1 + size
		if typ == DataRow && expected == CommandComplete {
			typ = expected
		}
		if typ != expected || size < 4 {
			return nil, false, false
		}
		if end > uint64(rd.w) {
			return nil, false, true
		}
		payload := rd.buf[i+headerSize : end]
		switch {
		case typ == BindComplete:
			expected = CommandComplete
			first = int(end)
		case rd.buf[i] == DataRow:
		case typ == CommandComplete:
			if _, err := commandTag(payload); err != nil {
				return nil, false, false
			}
			expected = ReadyForQuery
			last, tag = i, payload
		default:
			if len(payload) != 1 || payload[0] != c.TxStatus() || c.track(CommandComplete, tag) != nil {
				return nil, false, false
			}
			c.finish()
			rd.r = int(end)
			return rd.buf[first:last], true, true
		}
		i = int(end)
	}
	return nil, false, true
}

// TakeRows lets the rest of the answer that lib/pq must read be shared with it:
// lib/pq is given no more than it asks for, message by message, so that in between
// [Conn.NextRow] can take rows without it. Call it after [Conn.Ask] has
// returned false; it ends with the answer.
func (c *Conn) TakeRows() { c.reader.modes |= modeRows }

// NextRow takes the next message of an answer after [Conn.TakeRows] if that is a
// DataRow, and returns its payload, which is valid until more is read. Of
// everything else, and of very long rows, it takes nothing: lib/pq must go on.
func (c *Conn) NextRow() (payload []byte, ok bool) {
	rd := &c.reader
	for rd.modes == modeRows && rd.pass == 0 && len(rd.inject) == 0 && c.brokenError() == nil {
		rd.need = headerSize
		if have := rd.w - rd.r; have >= headerSize {
			size := binary.BigEndian.Uint32(rd.buf[rd.r+1:])
			if rd.buf[rd.r] != DataRow || size < 4 || size >= bulkBuffer {
				break
			}
			rd.need = int(size) + 1
			if have >= rd.need {
				payload = rd.buf[rd.r+headerSize : rd.r+rd.need]
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

// TakesRows reports whether [Conn.NextRow] may find something.
func (c *Conn) TakesRows() bool { return c.reader.modes&modeRows != 0 }

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
// [Conn.CaptureDescription]. It has no name if lib/pq sent no Parse.
func (c *Conn) Description() Description { return c.described }

// CaptureFormats keeps the result formats that lib/pq asks for in its next Bind,
// for [Conn.Formats].
func (c *Conn) CaptureFormats() {
	c.binding = binding{wanted: true}
}

// Formats returns the end of the last Bind since [Conn.CaptureFormats]: the number
// of the result formats and these, as the protocol has them. It is nil if there
// was none.
func (c *Conn) Formats() []byte {
	c.binding.wanted = false
	return c.binding.formats
}

// resultFormats returns the end of a Bind message, which is the first of p.
func resultFormats(p []byte) []byte {
	_, end, err := frameAt(p, 0)
	if err != nil {
		return nil
	}
	_, rest, ok := cutString(p[headerSize:end])
	_, rest, ok2 := cutString(rest)
	if !ok || !ok2 {
		return nil
	}
	n, rest, err := cutCount(rest, "Bind")
	if err != nil || len(rest) < 2*n {
		return nil
	}
	n, rest, err = cutCount(rest[2*n:], "Bind")
	for ; n > 0 && err == nil; n-- {
		if len(rest) < 4 {
			return nil
		}
		size := int32(binary.BigEndian.Uint32(rest))
		if rest = rest[4:]; int64(size) > int64(len(rest)) {
			return nil
		}
		rest = rest[max(0, size):]
	}
	if err != nil {
		return nil
	}
	return append([]byte(nil), rest...)
}

// capture keeps a ParameterDescription or RowDescription. The server counts more
// than 65,535 parameters modulo 65,536; lib/pq says what is wrong with them.
func (c *Conn) capture(typ byte, payload []byte) {
	d := &c.described
	var err error
	if typ == ParameterDescription {
		d.Params, err = ParseParameterDescription(nil, payload)
	} else {
		d.Fields, err = ParseRowDescription(nil, payload)
	}
	d.Strange = d.Strange || err != nil
}
