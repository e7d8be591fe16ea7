package wire

import (
	"encoding/binary"
	"io"
	"time"
)

const (
	smallBuffer = 4 << 10  // enough for most answers
	bulkBuffer  = 32 << 10 // once an answer fills the small one
	directRead  = 16 << 10 // from this size on, payloads skip the buffer
)

// reader is the incoming stream. Bytes in buf have been read from the socket but
// not been looked at, except that the current message may be partly delivered.
type reader struct {
	buf  []byte
	r, w int // buf[r:w] is what is left
	need int // bytes that must be in buf[r:w] before anything can happen

	pass   int    // bytes of the current message still to be delivered
	drop   int    // bytes of the current message still to be kept from lib/pq
	toSink bool   // drop goes to the writer of COPY TO STDOUT
	end    bool   // the current message is the ReadyForQuery of a request
	row    bool   // it is a row
	inject []byte // delivered before anything else

	plain bool    // the server speaks no protocol: a fork failure as plain text
	text  int     // how much of that was delivered
	walk  rowWalk // along a row of which a part was delivered
	modes mode
	err   error         // of the socket
	ended chan struct{} // closed when the socket has failed
	over  bool          // ended is closed
	last  time.Time     // of the last ReadyForQuery, where the socket can't be peeked
}

// mode says what keeps messages of the current answer from lib/pq. The zero mode
// is the hot path: every message is delivered.
type mode uint16

const (
	modePrefix   mode = 1 << iota // answers of statements that rode in front
	modeExchange                  // an exchange has the floor
	modeCopyOut                   // COPY TO STDOUT is going to a writer
	modeRefuse                    // COPY TO STDOUT that nobody asked for
	modeDiscard                   // lib/pq was given an error: nothing until ReadyForQuery
	modeSkipRows                  // nobody wants the rest of the rows
	modeDescribe                  // the description of a statement is wanted
	modeRows                      // rows may be taken with NextRow
	modeText                      // those of a simple query
	modeAsked                     // the answer is to look like that to a simple Query

	// modeRowsKept are those in which rows are not delivered.
	modeRowsKept = modePrefix | modeExchange | modeDiscard | modeSkipRows
)

// Read implements net.Conn. It never delivers bytes past a ReadyForQuery, so that
// whatever the server says while the connection is idle stays in the Conn.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	rd := &c.reader
	for {
		n, err := c.deliver(p)
		if n > 0 {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
		if n := min(len(p), rd.pass); n >= directRead && rd.r == rd.w {
			return c.direct(p[:n])
		}
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
}

// deliver looks at what is in the buffer and copies what lib/pq should see.
func (c *Conn) deliver(p []byte) (n int, err error) {
	rd := &c.reader
	if len(rd.inject) > 0 {
		return c.deliverInjected(p), nil
	}
	if err := c.brokenError(); err != nil {
		return 0, err
	}
	start := rd.r // buf[start:r] is to be delivered
	for err == nil {
		if rd.pass > 0 {
			k := min(rd.pass, rd.w-rd.r, len(p)-n-(rd.r-start))
			if rd.walk.active {
				if err = c.walkRow(rd.buf[rd.r : rd.r+k]); err != nil {
					break
				}
			}
			rd.r += k
			rd.pass -= k
			if rd.pass > 0 {
				rd.need = 1
				break
			}
			if rd.end || rd.modes&modeRows != 0 && (rd.row || rd.modes&modeText == 0) {
				rd.end = false
				break
			}
		}
		if rd.drop > 0 {
			n += copy(p[n:], rd.buf[start:rd.r])
			c.discard()
			start = rd.r
			if rd.drop > 0 {
				rd.need = 1
				break
			}
		}
		if n+rd.r-start == len(p) {
			break
		}
		if rd.w-rd.r < headerSize && !rd.plain {
			rd.need = headerSize
			break
		}
		if c.phase.rows && rd.modes == 0 {
			rd.r += wholeRows(rd.buf[rd.r:min(rd.w, rd.r+len(p)-n-(rd.r-start))], c.phase.width())
			if rd.w-rd.r < headerSize || n+rd.r-start == len(p) {
				continue
			}
		}
		message := rd.r
		var v verdict
		v, err = c.next()
		if v == verdictPass {
			continue
		}
		n += copy(p[n:], rd.buf[start:message])
		start = rd.r
		if v != verdictDrop {
			break
		}
	}
	n += copy(p[n:], rd.buf[start:rd.r])
	if n == 0 && len(rd.inject) > 0 {
		n = c.deliverInjected(p)
	}
	return n, err
}

func (c *Conn) deliverInjected(p []byte) int {
	rd := &c.reader
	n := copy(p, rd.inject)
	rd.inject = rd.inject[n:]
	return n
}

// discard drops bytes of the current message, or gives them to the COPY writer.
func (c *Conn) discard() {
	rd := &c.reader
	k := min(rd.drop, rd.w-rd.r)
	piece := rd.buf[rd.r : rd.r+k]
	rd.r += k
	rd.drop -= k
	if rd.toSink {
		c.copying.out.write(piece, rd.drop == 0)
	}
}

// verdict is what happens to a message.
type verdict uint8

const (
	verdictPass  verdict = iota // pass is set
	verdictDrop                 // drop is set, or the message is consumed
	verdictStop                 // the message is consumed and something injected
	verdictAwait                // need is set: the message must be in the buffer as a whole
)

// next looks at the message that starts at buf[r].
func (c *Conn) next() (verdict, error) {
	rd := &c.reader
	if rd.plain {
		rd.pass = rd.w - rd.r
		if rd.pass == 0 {
			rd.need = 1
			return verdictAwait, nil
		}
		if rd.text += rd.pass; rd.text > shortLimit {
			rd.pass = 0
			return verdictAwait, c.fail(protocolErrorf("the server sent an error message without an end"))
		}
		return verdictPass, nil
	}
	header := rd.buf[rd.r : rd.r+headerSize]
	typ, size := header[0], uint64(binary.BigEndian.Uint32(header[1:]))
	if typ == ErrorResponse && c.TxStatus() == 0 && (size < 8 || size > shortLimit+4) {
		rd.plain = true
		return c.next()
	}
	if !c.phase.acceptable(typ, size) {
		return verdictAwait, c.fail(protocolErrorf("the server sent a message %q of %d bytes", typ, size))
	}
	total := int(size) + 1
	rd.row = typ == DataRow && c.phase.rows && rd.modes&modeRowsKept == 0
	if rd.row {
		return c.row(total)
	}
	if typ == msgCopyData && rd.modes&modeExchange == 0 {
		if !c.mayCome(typ) {
			return verdictAwait, c.fail(c.outOfTurn(typ))
		}
		return c.dispose(typ, total, nil)
	}
	if rd.w-rd.r < total {
		if !c.mayCome(typ) {
			return verdictAwait, c.fail(c.outOfTurn(typ))
		}
		rd.need = total
		return verdictAwait, nil
	}
	payload := rd.buf[rd.r+headerSize : rd.r+total]
	if err := c.accept(typ, payload); err != nil {
		return verdictAwait, err
	}
	return c.dispose(typ, total, payload)
}

const (
	// heldRow is the longest row that is checked before any of it is delivered.
	heldRow = bulkBuffer
	// promised is the longest row of which lib/pq may know the length, and make room
	// for it, before an equal part of it has arrived.
	promised = 8 << 20
	// promisedPart is of how many parts the first must have arrived.
	promisedPart = 16
)

// row looks at a row that is about to be delivered.
func (c *Conn) row(total int) (verdict, error) {
	rd, columns := &c.reader, c.phase.width()
	have := rd.w - rd.r
	switch {
	case have >= total:
		if payload := rd.buf[rd.r+headerSize : rd.r+total]; !rowFits(payload, columns) {
			return verdictAwait, c.fail(rowError(payload, columns))
		}
	case total <= heldRow:
		rd.need = total
		return verdictAwait, nil
	case total > promised && have < total/promisedPart:
		rd.need = total / promisedPart
		return verdictAwait, nil
	default:
		rd.walk = rowWalk{active: true, columns: columns, skip: headerSize}
	}
	return c.pass(total)
}

// walkRow checks the next piece of a row that does not fit into the buffer. lib/pq
// looks at a row when it has all of it.
func (c *Conn) walkRow(piece []byte) error {
	rd := &c.reader
	w := &rd.walk
	if last := len(piece) == rd.pass; !w.next(piece) || last && !w.complete() {
		return c.fail(protocolErrorf("a row whose bytes are not what its lengths say, or not of %d columns", c.phase.width()))
	} else if last {
		w.active = false
	}
	return nil
}

// pass lets the whole message through to lib/pq.
func (c *Conn) pass(total int) (verdict, error) {
	c.reader.pass = total
	return verdictPass, nil
}

// drop keeps the whole message from lib/pq.
func (c *Conn) drop(total int) (verdict, error) {
	c.reader.drop, c.reader.toSink = total, false
	return verdictDrop, nil
}

// replace delivers b instead of the message, which is in the buffer as a whole.
func (c *Conn) replace(total int, b []byte) (verdict, error) {
	c.reader.r += total
	c.reader.inject = b
	return verdictStop, nil
}

// fill reads from the socket until at least one more byte is in the buffer.
func (c *Conn) fill() error {
	rd := &c.reader
	if rd.err != nil {
		return rd.err
	}
	switch {
	case rd.r == rd.w:
		if rd.w == len(rd.buf) && len(rd.buf) < bulkBuffer {
			rd.buf = make([]byte, bulkBuffer)
		}
		rd.r, rd.w = 0, 0
	case len(rd.buf)-rd.r < rd.need || rd.w == len(rd.buf):
		// Grow by what has arrived, not by what a header promises.
		room := rd.buf
		if rd.w-rd.r == len(rd.buf) || rd.w == len(rd.buf) && len(rd.buf) < bulkBuffer {
			room = make([]byte, max(2*len(rd.buf), bulkBuffer))
		}
		rd.w = copy(room, rd.buf[rd.r:rd.w])
		rd.r, rd.buf = 0, room
	}
	n, err := c.receive(rd.buf[rd.w:])
	rd.w += n
	if n > 0 {
		rd.err = sticky(err)
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// direct reads a part of a long message to where lib/pq wants it.
func (c *Conn) direct(p []byte) (int, error) {
	if c.reader.err != nil {
		return 0, c.reader.err
	}
	c.reader.release()
	n, err := c.receive(p)
	if c.reader.walk.active {
		if bad := c.walkRow(p[:n]); bad != nil {
			return 0, bad
		}
	}
	c.reader.pass -= n
	return n, err
}

// receive reads from the socket.
func (c *Conn) receive(p []byte) (int, error) {
	read := c.nc.Read
	if c.session.counters.wrote.Load() { // else it is the rest of an answer, or what comes by itself
		read = c.readAnswer
	}
	n, err := read(p)
	c.session.counters.read(n)
	if err != nil && isTimeout(err) {
		if cause := c.backgroundError(); cause != nil {
			err = cause
		} else if !c.Pending() {
			return n, err // nobody waits for an answer: the connection is as good as before
		}
	}
	c.session.failed(err)
	if sticky(err) != nil && !c.reader.over {
		c.reader.over = true
		close(c.reader.ended)
	}
	return n, err
}

// release gives an oversized buffer back once nothing is in it.
func (rd *reader) release() {
	if len(rd.buf) > bulkBuffer && rd.r == rd.w {
		rd.buf = make([]byte, bulkBuffer)
		rd.r, rd.w = 0, 0
	}
}
