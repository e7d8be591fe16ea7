package wire

import "strings"

// prefix holds what rides in front of packets: small statements, and closing of
// prepared ones.
type prefix struct {
	closes []string // names of statements to close, not sent yet
	leads  []string // statements to run in front of the queue, not sent yet
	queue  []string // statements to run, not sent yet

	closing, running int // answers that are outstanding, in this order
	outcome          PrefixOutcome
}

// PrefixOutcome is what became of the statements of [Conn.Prefix] that were
// sent last.
type PrefixOutcome struct {
	Sent   int  // statements in the packet, those of [Conn.Lead] among them
	Led    int  // how many of them are [Conn.Lead]'s
	Done   int  // statements that the server has completed
	Failed bool // the server refused statement number Done+1, and so all that followed in the packet
}

// Prefix queues a small statement whose rows, if it has any, nobody wants, such as BEGIN or
// SAVEPOINT. It is sent in front of the next packet of lib/pq or [Conn.Ask] that
// begins with Parse or Bind, or of the next exchange, in the extended protocol and without a
// Sync of its own: if it fails, the server skips the rest of the packet, and
// lib/pq gets the ErrorResponse as the answer to its own message. Its other
// answers are swallowed. It stays queued during other packets, since a simple
// Query is not skipped after an error; see [Conn.TakePrefix].
//
// It is the server's unnamed statement that runs it, so that no name stays on the
// server. A Bind of the unnamed statement must not follow.
func (c *Conn) Prefix(sql string) {
	c.prefix.queue = append(c.prefix.queue, sql)
}

// Lead queues a statement in front of all those of Prefix. Who queues it knows what it does
// to the session: it leaves no [Events].
func (c *Conn) Lead(sql string) {
	c.prefix.leads = append(c.prefix.leads, sql)
}

// PrefixClose queues a Close of a prepared statement, which rides along like
// [Conn.Prefix], and in front of a simple Query too: it cannot fail. statement is
// lib/pq's name for it.
func (c *Conn) PrefixClose(statement string) {
	delete(c.columns.of, statement)
	c.prefix.closes = append(c.prefix.closes, c.writer.names+statement)
}

// Closing returns how many statements wait to be closed.
func (c *Conn) Closing() int { return len(c.prefix.closes) }

// Flushed reports whether no statement of [Conn.Prefix] or [Conn.Lead] is queued.
func (c *Conn) Flushed() bool { return len(c.prefix.queue) == 0 && len(c.prefix.leads) == 0 }

// TakePrefix takes the statements of [Conn.Lead] and [Conn.Prefix] off the queue, for sending
// them in a round trip of their own or for forgetting them. Those of [Conn.PrefixClose] stay.
func (c *Conn) TakePrefix() []string {
	taken := append(c.prefix.leads, c.prefix.queue...)
	c.prefix.leads, c.prefix.queue = nil, nil
	return taken
}

// PrefixOutcome returns what became of the statements that were sent last.
func (c *Conn) PrefixOutcome() PrefixOutcome { return c.prefix.outcome }

func (f *prefix) none() bool { return len(f.queue) == 0 && len(f.leads) == 0 && len(f.closes) == 0 }

// leading reports whether the next answer is that of a statement of [Conn.Lead].
func (f *prefix) leading() bool { return f.running > 0 && f.outcome.Done < f.outcome.Led }

// canFollowPrefix reports whether the server skips a packet that begins with this
// message when something in front of it failed, up to the Sync at its end.
func canFollowPrefix(typ byte) bool { return typ == frontParse || typ == frontBind }

// appendPrefix appends all that is queued and expects the answers.
func (c *Conn) appendPrefix(b []byte) ([]byte, error) {
	f := &c.prefix
	b = c.appendCloses(b) // in front: it would be skipped behind a statement that fails
	if len(f.queue) == 0 && len(f.leads) == 0 {
		return b, nil
	}
	var err error
	for _, statements := range [...][]string{f.leads, f.queue} {
		for _, sql := range statements {
			if strings.IndexByte(sql, 0) >= 0 {
				return nil, protocolErrorf("a NUL byte in the statement %q", sql)
			}
			if b, err = AppendParse(b, "", sql, nil); err != nil {
				return nil, err
			}
			if b, err = AppendBind(b, "", "", nil, nil, nil); err != nil {
				return nil, err
			}
			b = AppendExecute(b, "", 0)
		}
	}
	f.running = len(f.leads) + len(f.queue)
	c.phase.riding = f.running
	f.outcome = PrefixOutcome{Sent: f.running, Led: len(f.leads)}
	clear(f.leads)
	clear(f.queue)
	f.leads, f.queue = f.leads[:0], f.queue[:0]
	c.reader.modes |= modePrefix
	return b, nil
}

// appendCloses appends what closes statements.
func (c *Conn) appendCloses(b []byte) []byte {
	f := &c.prefix
	if len(f.closes) == 0 {
		return b
	}
	for _, name := range f.closes {
		b = AppendClose(b, 'S', name)
	}
	f.closing = len(f.closes)
	clear(f.closes)
	f.closes = f.closes[:0]
	c.reader.modes |= modePrefix
	return b
}

// prefixAnswer disposes of an answer to what rode in front.
func (c *Conn) prefixAnswer(typ byte, total int, payload []byte) (verdict, error) {
	f := &c.prefix
	switch {
	case typ == ErrorResponse || typ == ReadyForQuery:
		// The rest of the packet is skipped, the other riders with it.
		f.outcome.Failed = f.running > 0
		c.endPrefix()
		return c.dispose(typ, total, payload)
	case f.closing > 0:
		if typ == CloseComplete {
			f.closing--
		}
	case typ == CommandComplete || typ == EmptyQueryResponse || typ == PortalSuspended:
		f.outcome.Done++
		f.running--
	}
	if f.closing == 0 && f.running == 0 {
		c.endPrefix()
	}
	return c.drop(total)
}

func (c *Conn) endPrefix() {
	c.prefix.closing, c.prefix.running = 0, 0
	c.reader.modes &^= modePrefix
}
