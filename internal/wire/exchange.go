package wire

import (
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
)

type exchange struct {
	Exchange
	background
	started bool

	more  bool // Next has more; the writer's
	last  byte // type of the last message; the writer's
	syncs atomic.Int64
	all   atomic.Bool // syncs will not grow any more

	seen int64 // ReadyForQuery messages; the reader's
	err  error // of Handle
}

// Exchange arms an exchange: the next simple Query that lib/pq sends is replaced
// by the messages of x, and lib/pq gets EmptyQueryResponse and ReadyForQuery as
// its answer once all of x's have been handled. Statements of [Conn.Prefix] go in
// front; if one fails, Handle gets its ErrorResponse. End it with [Conn.ExchangeDone].
func (c *Conn) Exchange(x Exchange) {
	c.exchange = &exchange{Exchange: x, background: newBackground(), more: true}
}

// ExchangeDone ends what [Conn.Exchange] began, after the Query and whatever its
// outcome, and returns the error of Handle. A panic of Next continues here.
func (c *Conn) ExchangeDone() error {
	x := c.exchange
	c.exchange = nil
	if x == nil || !x.started {
		return nil
	}
	if c.reader.modes&modeExchange != 0 {
		_ = c.fail(protocolErrorf("an exchange was abandoned before its end"))
	}
	x.end()
	return x.err
}

func (x *exchange) armed() bool { return x != nil && !x.started }

// startExchange sends the messages of the exchange in place of the Query p.
func (c *Conn) startExchange(p []byte) (int, error) {
	x := c.exchange
	x.started = true
	b, err := c.appendPrefix(c.writer.scratch[:0])
	if err == nil {
		b, err = x.gather(b)
	}
	if err != nil {
		close(x.done)
		return 0, err
	}
	c.reader.modes |= modeExchange
	if !x.all.Load() || len(b) > exchangeInline {
		c.writer.scratch = nil
		c.session.pending.Store(true)
		go c.runExchange(x, b)
		return len(p), nil
	}
	defer close(x.done)
	n, err := c.request(b, nil)
	if err != nil {
		return min(n, len(p)), err
	}
	return len(p), nil
}

func (c *Conn) runExchange(x *exchange, b []byte) {
	defer close(x.done)
	for c.sendBackground(&x.background, b) && !x.all.Load() {
		var err error
		if cap(b) > 4*exchangePacket {
			b = nil
		}
		if b, err = x.gather(b[:0]); err != nil {
			_ = c.fail(&protocolError{text: err.Error(), cause: err})
			c.wakeReader(0)
			return
		}
	}
}

// gather appends about a packet of messages to b and counts their Syncs.
func (x *exchange) gather(b []byte) (_ []byte, err error) {
	start := len(b)
	for x.more && len(b)-start < exchangePacket && !x.stopped.Load() {
		if b, err = x.next(b); err != nil {
			break
		}
	}
	var syncs int64
	for i := start; i < len(b); {
		typ, end, err := frameAt(b, i)
		if err != nil {
			return nil, err
		}
		if awaitsReady(typ) {
			syncs++
		}
		x.last, i = typ, end
	}
	if !x.more && !awaitsReady(x.last) {
		b = AppendSync(b)
		syncs++
	}
	x.syncs.Add(syncs)
	if !x.more {
		x.all.Store(true)
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
	x := c.exchange
	if typ == backCopyInResponse {
		return verdictAwait, c.fail(protocolErrorf("COPY FROM STDIN is not possible in a pipeline"))
	}
	all := x.all.Load() // before syncs, which doesn't grow after it
	syncs := x.syncs.Load()
	if x.err == nil {
		x.err = x.Handle(typ, payload)
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
