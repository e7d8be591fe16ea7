package wire

import (
	"cmp"
	"slices"
	"strings"
)

// prefixStatement is the name under which the statements of Prefix are prepared.
// It is closed before each use, so it need not be known whether it exists.
const prefixStatement = "psyco_prefix"

// prefix holds the small statements that ride in front of lib/pq's packets.
type prefix struct {
	queue   []rider // not sent yet
	sent    []rider // answers of sent[at:] are outstanding
	at      int
	outcome PrefixOutcome
}

// rider is a statement to execute, or one to close.
type rider struct {
	sql   string
	close string
}

// PrefixOutcome tells what became of the statements of [Conn.Prefix] that were
// sent last.
type PrefixOutcome struct {
	Sent   int  // statements in the packet
	Done   int  // statements that the server has completed
	Failed bool // the server refused statement number Done+1, and so all that followed in the packet
}

// Prefix queues a small statement that returns no rows, such as BEGIN or
// SAVEPOINT. It is sent in front of the next packet of lib/pq or [Conn.Ask] that
// begins with Parse or Bind, or of the next exchange, in the extended protocol and without a
// Sync of its own: if it fails, the server skips the rest of the packet, and
// lib/pq gets the ErrorResponse as the answer to its own message. Its other
// answers are swallowed. It stays queued during other packets, since a simple
// Query is not skipped after an error; see [Conn.TakePrefix].
func (c *Conn) Prefix(sql string) {
	c.prefix.queue = append(c.prefix.queue, rider{sql: sql})
}

// PrefixClose queues a Close of a prepared statement that rides along like
// [Conn.Prefix]. statement is lib/pq's name for it.
func (c *Conn) PrefixClose(statement string) {
	c.prefix.queue = append(c.prefix.queue, rider{close: statement})
}

// Flushed reports whether no statement of [Conn.Prefix] is queued.
func (c *Conn) Flushed() bool {
	for _, r := range c.prefix.queue {
		if r.close == "" {
			return false
		}
	}
	return true
}

// TakePrefix takes the statements of [Conn.Prefix] off the queue, for sending them
// in a round trip of their own or for forgetting them. Those of [Conn.PrefixClose] stay.
func (c *Conn) TakePrefix() []string {
	var taken []string
	rest := c.prefix.queue[:0]
	for _, r := range c.prefix.queue {
		if r.close == "" {
			taken = append(taken, r.sql)
		} else {
			rest = append(rest, r)
		}
	}
	c.prefix.queue = rest
	return taken
}

// PrefixOutcome tells what became of the statements that were sent last.
func (c *Conn) PrefixOutcome() PrefixOutcome { return c.prefix.outcome }

func (f *prefix) none() bool { return len(f.queue) == 0 }

// canFollowPrefix reports whether the server skips a packet that begins with this
// message when something in front of it failed, up to the Sync at its end.
func canFollowPrefix(typ byte) bool { return typ == frontParse || typ == frontBind }

// appendPrefix appends the queued statements and expects their answers.
func (c *Conn) appendPrefix(b []byte) ([]byte, error) {
	f := &c.prefix
	if len(f.queue) == 0 {
		return b, nil
	}
	outcome := PrefixOutcome{}
	var err error
	// Close cannot fail, but would be skipped behind a statement that does.
	slices.SortStableFunc(f.queue, func(a, b rider) int { return cmp.Compare(b.close, a.close) })
	for _, r := range f.queue {
		if strings.IndexByte(r.sql, 0) >= 0 {
			return nil, protocolErrorf("a NUL byte in the statement %q", r.sql)
		}
		if r.close != "" {
			b = AppendClose(b, 'S', c.writer.names+r.close)
			continue
		}
		b = AppendClose(b, 'S', prefixStatement)
		if b, err = AppendParse(b, prefixStatement, r.sql, nil); err != nil {
			return nil, err
		}
		if b, err = AppendBind(b, "", prefixStatement, nil, nil, nil); err != nil {
			return nil, err
		}
		b = AppendExecute(b, "", 0)
		outcome.Sent++
	}
	if outcome.Sent > 0 {
		f.outcome = outcome
	}
	f.queue, f.sent, f.at = f.sent[:0], f.queue, 0
	c.reader.modes |= modePrefix
	return b, nil
}

// prefixAnswer disposes of an answer to a statement that rode in front.
func (c *Conn) prefixAnswer(typ byte, total int, payload []byte) (verdict, error) {
	f := &c.prefix
	first := f.sent[f.at]
	switch typ {
	case ErrorResponse, ReadyForQuery:
		// The rest of the packet is skipped, the other riders with it.
		f.outcome.Failed = f.outcome.Done < f.outcome.Sent
		c.endPrefix()
		return c.dispose(typ, total, payload)
	case CloseComplete:
		if first.close != "" {
			c.prefixDone()
		}
	case CommandComplete, EmptyQueryResponse, PortalSuspended:
		f.outcome.Done++
		c.prefixDone()
	}
	return c.drop(total)
}

func (c *Conn) prefixDone() {
	if c.prefix.at++; c.prefix.at == len(c.prefix.sent) {
		c.endPrefix()
	}
}

func (c *Conn) endPrefix() {
	clear(c.prefix.sent)
	c.prefix.sent = c.prefix.sent[:0]
	c.reader.modes &^= modePrefix
}
