package wire

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// Exchange is a conversation with the server in place of a simple Query.
type Exchange struct {
	// Next appends the next messages to buf, one or some at a time, and returns the
	// result and whether there are more. The messages are sent as they are, in
	// packets of some 32 KiB, and a Sync after the last one unless it is a Sync or
	// a Query itself. Next is called by the writing goroutine, which is another one
	// than that of Handle unless all messages fit into one small packet. COPY FROM
	// STDIN is not possible.
	Next func(buf []byte) (_ []byte, more bool)

	// Handle is called with each message of the server, also with every
	// ReadyForQuery, but not with NoticeResponse, NotificationResponse and
	// ParameterStatus, nor with an ErrorResponse that ends the session: those go
	// to lib/pq. payload is valid during the call. After an error Handle is not
	// called again; the rest of the answers is dropped. What happened in Next
	// before it returned the message that is answered happens before Handle.
	Handle func(typ byte, payload []byte) error
}

const (
	// exchangePacket is how much is gathered before it is sent.
	exchangePacket = 32 << 10
	// exchangeInline is how much fits into the socket buffers of any system while
	// the server isn't reading, so that writing it can't deadlock.
	exchangeInline = 8 << 10
	// abortPortal doesn't exist, so that executing it fails.
	abortPortal = "psyco_aborted"
)

var errAbandoned = protocolErrorf("an exchange was abandoned before its end")

type exchange struct {
	Exchange
	background
	started atomic.Bool

	began  bool  // something was sent; the writer's
	more   bool  // Next has more; the writer's
	last   byte  // type of the last message; the writer's
	gained int64 // Syncs that are gathered but not sent; the writer's

	aborted atomic.Bool
	syncs   atomic.Int64 // of what is sent or about to be
	all     atomic.Bool  // syncs will not grow any more

	seen int64 // ReadyForQuery messages; the reader's
	err  error // of Handle
}

// Exchange arms an exchange: the next simple Query that lib/pq sends is replaced
// by the messages of x, and lib/pq gets EmptyQueryResponse and ReadyForQuery as
// its answer once all of x's have been handled. Statements of [Conn.Prefix] go in
// front; if one fails, Handle gets its ErrorResponse. End it with [Conn.ExchangeDone].
func (c *Conn) Exchange(x Exchange) {
	c.exchange.Store(&exchange{Exchange: x, background: newBackground(), more: true})
}

// ExchangeDone ends what [Conn.Exchange] began, after the Query and whatever its
// outcome, and returns the error of Handle. A panic of Next continues here.
func (c *Conn) ExchangeDone() error {
	x := c.exchange.Swap(nil)
	if x == nil || !x.started.Load() {
		return nil
	}
	if c.reader.modes&modeExchange != 0 && c.Err() == nil {
		_ = c.fail(errAbandoned)
	} // else the connection is lost, and why is known, or what LastWords looks for
	x.end()
	return x.err
}

// AbortExchange makes an exchange fail that is waiting for Next: nothing more of it
// is sent but a message that the server refuses and a Sync, so that nothing since
// the last Sync is committed outside of a transaction block. It may be called from
// any goroutine and doesn't wait: if messages are being written, this comes after
// them. A server that waits for messages heeds no CancelRequest, so this is how to
// cancel. Without an exchange in progress, or when all is sent, it does nothing.
func (c *Conn) AbortExchange() {
	x := c.exchange.Load()
	if x == nil {
		return
	}
	x.aborted.Store(true)
	if c.writer.mu.TryLock() {
		c.sendAbort(x)
		c.writer.mu.Unlock()
	}
}

// sendAbort ends the exchange after AbortExchange; writer.mu is held.
func (c *Conn) sendAbort(x *exchange) {
	if !x.started.Load() || !x.aborted.Load() || x.stopped.Load() || x.all.Load() {
		return
	}
	x.stopped.Store(true)
	x.syncs.Add(1)
	x.all.Store(true)
	b := AppendSync(AppendExecute(nil, abortPortal, 0))
	c.asked.add(b)
	if _, err := c.send(b); err != nil {
		c.failBackground(err)
	}
}

// startExchange sends the messages of the exchange in place of the Query p.
func (c *Conn) startExchange(x *exchange, p []byte) (int, error) {
	b, err := c.appendPrefix(c.writer.scratch[:0])
	if err == nil {
		b, err = x.gather(b)
	}
	if err != nil {
		x.stopped.Store(true)
		x.started.Store(true)
		close(x.done)
		return 0, err
	}
	c.reader.modes |= modeExchange
	x.started.Store(true)
	if x.more || len(b) > exchangeInline {
		c.writer.scratch = nil
		c.session.pending.Store(true)
		go c.runExchange(x, b)
		return len(p), nil
	}
	defer close(x.done)
	x.announce()
	n, err := c.request(b, nil)
	if err != nil {
		return min(n, len(p)), err
	}
	return len(p), nil
}

func (c *Conn) runExchange(x *exchange, b []byte) {
	defer close(x.done)
	for c.sendGathered(x, b) && x.more {
		if cap(b) > 4*exchangePacket {
			b = nil
		}
		var err error
		if b, err = x.gather(b[:0]); err != nil {
			_ = c.fail(&protocolError{text: err.Error(), cause: err})
			c.wakeReader(0)
			return
		}
	}
}

// sendGathered sends a packet and reports whether to go on.
func (c *Conn) sendGathered(x *exchange, b []byte) bool {
	c.writer.mu.Lock()
	if x.stopped.Load() {
		c.writer.mu.Unlock()
		return false
	}
	x.announce()
	c.asked.add(b)
	write := c.send
	if x.began {
		write = c.transmit // nobody has waited in between
	}
	x.began = true
	_, err := write(b)
	c.writer.mu.Unlock()
	if err != nil {
		c.failBackground(err)
		return false
	}
	if x.aborted.Load() { // while the packet was written
		c.writer.mu.Lock()
		defer c.writer.mu.Unlock()
		c.sendAbort(x)
	}
	return true
}

// announce tells the reader which answers to expect of a packet, before it is sent.
func (x *exchange) announce() {
	x.syncs.Add(x.gained)
	x.gained = 0
	if !x.more {
		x.all.Store(true)
	}
}

// gather appends about a packet of messages to b and counts their Syncs.
func (x *exchange) gather(b []byte) ([]byte, error) {
	start := len(b)
	for x.more && len(b)-start < exchangePacket && !x.stopped.Load() {
		var err error
		if b, err = x.next(b); err != nil {
			return nil, err
		}
	}
	for i := start; i < len(b); {
		typ, end, err := frameAt(b, i)
		if err != nil {
			return nil, err
		}
		if awaitsReady(typ) {
			x.gained++
		}
		x.last, i = typ, end
	}
	if !x.more && !awaitsReady(x.last) {
		b = AppendSync(b)
		x.gained++
	}
	return b, nil
}

// next calls Next. After a panic of it the exchange ends with what it has.
func (x *exchange) next(b []byte) (_ []byte, err error) {
	defer func() {
		if v := recover(); v != nil {
			x.panicked = v
			x.more = false
			err = fmt.Errorf("psyco: Next panicked: %v", v)
		}
	}()
	out, more := x.Next(b)
	x.more = more
	return out, nil
}

// awaitsReady reports whether the server answers this message with ReadyForQuery.
func awaitsReady(typ byte) bool {
	return typ == frontSync || typ == frontQuery || typ == frontFunction
}

// exchangeAnswer disposes of an answer to the exchange.
func (c *Conn) exchangeAnswer(typ byte, total int, payload []byte) (verdict, error) {
	x := c.exchange.Load()
	if x == nil {
		return verdictAwait, c.fail(errAbandoned)
	}
	if typ == backCopyInResponse { // the server has ignored Sync, and waits
		return verdictAwait, c.fail(protocolErrorf("COPY FROM STDIN is not possible in a pipeline"))
	}
	all := x.all.Load() // before syncs, which doesn't grow after it
	syncs := x.syncs.Load()
	if x.err == nil {
		if x.err = x.Handle(typ, payload); errors.Is(x.err, ErrProtocol) {
			c.Break(x.err)
			return verdictAwait, c.Err()
		}
	}
	if typ == ReadyForQuery {
		if x.seen++; all && x.seen == syncs {
			answer := append([]byte{EmptyQueryResponse, 0, 0, 0, 4}, c.reader.buf[c.reader.r:c.reader.r+total]...)
			c.finish()
			return c.replace(total, answer)
		}
	}
	return c.drop(total)
}
