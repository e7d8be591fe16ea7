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
	inject []byte // delivered before anything else

	plain bool // the server speaks no protocol: a fork failure as plain text
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
	modeAsked                     // the answer is to look like that to a simple Query
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
			rd.r += k
			rd.pass -= k
			if rd.pass > 0 {
				rd.need = 1
				break
			}
			if rd.end || rd.modes&modeRows != 0 {
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
		return verdictPass, nil
	}
	header := rd.buf[rd.r : rd.r+headerSize]
	typ, size := header[0], uint64(binary.BigEndian.Uint32(header[1:]))
	if typ == ErrorResponse && c.TxStatus() == 0 && (size < 8 || size > shortLimit+4) {
		rd.plain = true
		return c.next()
	}
	if size < 4 || size > longLimit || size > shortLimit && !mayBeLong(typ) {
		return verdictAwait, c.fail(protocolErrorf("the server sent a message %q of %d bytes", typ, size))
	}
	total := int(size) + 1
	if typ == DataRow && rd.modes == 0 {
		rd.pass = total
		return verdictPass, nil
	}
	if !c.wanted(typ) {
		return c.dispose(typ, total, nil)
	}
	if rd.w-rd.r < total {
		rd.need = total
		return verdictAwait, nil
	}
	payload := rd.buf[rd.r+headerSize : rd.r+total]
	if err := c.track(typ, payload); err != nil {
		return verdictAwait, err
	}
	return c.dispose(typ, total, payload)
}

// wanted reports whether the payload of a message must be seen as a whole.
func (c *Conn) wanted(typ byte) bool {
	switch typ {
	case ReadyForQuery, CommandComplete, ErrorResponse, backParameterStatus, backKeyData:
		return true
	case ParameterDescription, RowDescription:
		if c.reader.modes&modeDescribe != 0 {
			return true
		}
	}
	return c.reader.modes&modeExchange != 0 && c.reader.modes&modePrefix == 0 && !asynchronous(typ)
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
		if rd.w-rd.r == len(rd.buf) {
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
	n, err := c.receive(p)
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
