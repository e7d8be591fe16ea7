package wire

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// keepScratch is the largest scratch buffer that is kept, and the longest tail of
// a packet that is copied to save a second write.
const keepScratch = 32 << 10

// writer is the outgoing stream.
type writer struct {
	mu  sync.Mutex // held while a packet is written
	err error      // the stream ended in the middle of a message

	extended bool // the last request was not a simple Query
	scratch  []byte
	names    string   // goes in front of statement names
	types    []uint32 // go into the next Parse
}

// SetStatementPrefix puts p in front of every statement name that lib/pq sends:
// in Parse, Bind, and Describe and Close of statements. The unnamed statement
// stays as it is.
func (c *Conn) SetStatementPrefix(p string) { c.writer.names = p }

// StatementName returns the name by which the server knows a statement of
// lib/pq, for messages that are not lib/pq's.
func (c *Conn) StatementName(name string) string { return c.writer.names + name }

// DeclareTypes writes oids into the next Parse message as the types of its first
// parameters; 0 leaves one to the server. Until then the caller must not change
// oids. An empty list takes a declaration back. At most 65,535 types are possible.
func (c *Conn) DeclareTypes(oids []uint32) { c.writer.types = oids }

// Write implements net.Conn for whole packets: one or more complete messages.
//
// If it returns an error and 0, no byte of the packet has reached the server.
func (c *Conn) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if c.TxStatus() == 0 {
		return c.request(nil, p)
	}
	switch p[0] {
	case msgCopyData, msgCopyDone, msgCopyFail:
		return c.writeCopy(p)
	case frontTerminate:
		return c.terminate(p)
	}
	return c.writeRequest(p)
}

// writeRequest writes a packet that the server answers.
func (c *Conn) writeRequest(p []byte) (int, error) {
	if c.asking.open {
		return c.swallow(p)
	}
	if p[0] == frontParse && c.reader.modes&modeDescribe != 0 && len(p) > headerSize {
		name, _, _ := cutString(p[headerSize:])
		c.described.Statement = string(name)
	}
	c.begin(p[0] != frontQuery)
	if p[0] == frontQuery {
		if x := c.exchange.Load(); x != nil && !x.started.Load() {
			return c.startExchange(x, p)
		}
	}
	if c.session.portal.name != "" && p[0] == frontQuery {
		return c.startFetch(p)
	}
	if p[0] != frontQuery {
		c.phase.given = c.columns.follow(p)
	}
	w := &c.writer
	if w.names == "" && len(w.types) == 0 && c.prefix.none() && parseAlone(p) == 0 {
		return c.request(nil, p)
	}
	at := parseAlone(p)
	if at == 0 {
		at = len(p)
	}
	head, tail, err := c.rewrite(p[:at])
	if err != nil {
		return 0, err
	}
	if at < len(p) {
		head, tail = AppendFlush(append(head, tail...)), nil
	}
	n, err := c.request(head, tail)
	if err == nil && at < len(p) {
		if head, tail, err = c.rewrite(p[at:]); err == nil {
			err = c.afterParse(append(head, tail...))
		}
	}
	if err == nil {
		return len(p), nil
	}
	return min(n, len(p)), err
}

// begin forgets what is known of the last request.
func (c *Conn) begin(extended bool) {
	c.session.tag, c.session.suspended = c.session.tag[:0], false
	c.copying.refused, c.bound = nil, false
	c.writer.extended = extended
	c.phase.given = ColumnsUnknown
	c.reader.release()
}

// request writes head, which is our own memory, and tail as one packet.
func (c *Conn) request(head, tail []byte) (int, error) {
	if len(head) > 0 && len(tail) <= keepScratch {
		head, tail = append(head, tail...), nil
	}
	if cap(head) > 0 && cap(head) <= 2*keepScratch {
		c.writer.scratch = head[:0]
	}
	pending := c.session.pending.Swap(true)
	if c.TxStatus() != 0 {
		c.expect(head, tail)
	}
	c.writer.mu.Lock()
	defer c.writer.mu.Unlock()
	n, err := 0, error(nil)
	if len(head) > 0 {
		n, err = c.send(head)
	}
	if err == nil && len(tail) > 0 {
		var m int
		m, err = c.send(tail)
		n += m
	}
	switch {
	case err == nil:
	case n > 0:
		c.writer.err = err
	case !pending:
		c.session.pending.Store(false)
		c.forget()
	}
	return n, err
}

// send writes to the socket what begins a round trip; writer.mu is held.
func (c *Conn) send(p []byte) (int, error) {
	c.session.counters.wrote.Store(true)
	return c.transmit(p)
}

// transmit writes to the socket; writer.mu is held.
func (c *Conn) transmit(p []byte) (int, error) {
	if err := c.brokenError(); err != nil {
		return 0, err
	}
	if c.writer.err != nil {
		return 0, c.writer.err
	}
	n, err := c.nc.Write(p)
	c.session.counters.sent.Add(uint64(n))
	if err != nil && n > 0 {
		c.writer.err = err
	}
	c.session.failed(err)
	return n, err
}

// terminate writes Terminate, unless another goroutine is stuck in the middle of
// a packet: then the connection is about to be closed anyway.
func (c *Conn) terminate(p []byte) (int, error) {
	if !c.writer.mu.TryLock() {
		return len(p), nil
	}
	defer c.writer.mu.Unlock()
	return c.send(p)
}

// rewrite applies the prefix, the statement names and the declared types to a
// packet. The result is head, which is our own memory, followed by tail, which is
// the rest of p that needs no change.
func (c *Conn) rewrite(p []byte) (head, tail []byte, err error) {
	w := &c.writer
	b := w.scratch[:0]
	switch {
	case canFollowPrefix(p[0]):
		if b, err = c.appendPrefix(b); err != nil {
			return nil, nil, err
		}
	case p[0] == frontQuery:
		b = c.appendCloses(b)
	}
	done := 0 // p[:done] is in b
	for i, end := 0, 0; i < len(p) && (w.names != "" || len(w.types) > 0); i = end {
		var typ byte
		typ, end, err = frameAt(p, i)
		if err != nil {
			return nil, nil, err
		}
		body := p[i+headerSize : end]
		name := -1
		if w.names != "" {
			if name, err = nameOffset(typ, body); err != nil {
				return nil, nil, err
			}
			if name >= 0 && body[name] == 0 {
				name = -1 // the unnamed statement
			}
		}
		var types []uint32
		if typ == frontParse && len(w.types) > 0 {
			if err := checkUntyped(body, len(w.types)); err != nil {
				return nil, nil, err
			}
			types, w.types = w.types, nil
		}
		if name < 0 && types == nil {
			continue
		}
		b = append(b, p[done:i]...)
		size := end - i - 1 + 4*len(types)
		if name >= 0 {
			size += len(w.names)
		}
		b = binary.BigEndian.AppendUint32(append(b, typ), uint32(size))
		done = i + headerSize
		if name >= 0 {
			b = append(append(b, body[:name]...), w.names...)
			done += name
		}
		if types != nil {
			b = append(b, p[done:end-2]...)
			b = appendTypes(b, types)
			done = end
		}
	}
	return b, p[done:], nil
}

// nameOffset returns where the statement name of a message begins, -1 if it has
// none.
func nameOffset(typ byte, body []byte) (int, error) {
	at := 0
	switch typ {
	case frontParse:
	case frontBind:
		_, rest, ok := cutString(body)
		if !ok {
			return 0, protocolErrorf("Bind without portal")
		}
		at = len(body) - len(rest)
	case frontDescribe, frontClose:
		if len(body) == 0 {
			return 0, protocolErrorf("message %q without a name", typ)
		}
		if body[0] != 'S' {
			return -1, nil
		}
		at = 1
	default:
		return -1, nil
	}
	if at >= len(body) {
		return 0, protocolErrorf("message %q without a name", typ)
	}
	return at, nil
}

// checkUntyped makes sure that a Parse declares no types of its own.
func checkUntyped(body []byte, types int) error {
	if types > 0xffff {
		return tooMany(types)
	}
	_, rest, ok := cutString(body)
	_, rest, ok2 := cutString(rest)
	if !ok || !ok2 || string(rest) != "\x00\x00" {
		return protocolErrorf("a Parse message that declares types already")
	}
	return nil
}

// wakeReader lets a goroutine that failed to write make sure that the reader does
// not wait forever for an answer. The server may still say why within grace.
func (c *Conn) wakeReader(grace time.Duration) {
	// An error here means that the connection is closed, which wakes the reader too.
	_ = c.SetReadDeadline(time.Now().Add(grace))
}

func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	t, ok := err.(net.Error)
	return ok && t.Timeout()
}

// sticky returns the errors after which reading again makes no sense.
func sticky(err error) error {
	if err == nil || isTimeout(err) {
		return nil
	}
	return err
}
