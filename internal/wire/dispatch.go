package wire

import (
	"encoding/binary"
	"time"
)

// accept checks a message that has arrived and goes on by it.
func (c *Conn) accept(typ byte, payload []byte) error {
	if err := checkShape(typ, payload, c.phase.width()); err != nil {
		return c.fail(err.(*protocolError))
	}
	c.load()
	if typ == ReadyForQuery && c.phase.failed {
		c.skipAsked()
	}
	if !c.phase.step(typ, payload) {
		return c.fail(c.outOfTurn(typ))
	}
	return c.track(typ, payload)
}

// track updates the state of the session from a message that is right.
func (c *Conn) track(typ byte, payload []byte) error {
	s := &c.session
	switch typ {
	case ReadyForQuery:
		s.tx.Store(uint32(payload[0]))
	case CommandComplete:
		tag := payload[:len(payload)-1]
		if !c.prefix.leading() {
			s.events |= tagEvents(tag)
		}
		if c.reader.modes&modePrefix == 0 {
			s.tag = append(s.tag[:0], tag...)
		}
	case ErrorResponse:
		if len(payload) < 4 {
			// lib/pq takes it for plain text and waits for more.
			return c.fail(protocolErrorf("ErrorResponse of %d bytes", len(payload)))
		}
		s.events |= EventError
		fatal, err := isFatal(payload)
		if err != nil {
			return c.fail(err.(*protocolError))
		}
		if fatal {
			return c.trackFatal(payload)
		}
	case backParameterStatus:
		name, rest, _ := cutString(payload)
		if !s.setParameter(name, rest[:len(rest)-1]) {
			return c.fail(protocolErrorf("the server reports more than %d bytes of parameters", parameterLimit))
		}
	case NoData:
		c.columns.described(columnsNone)
	case ParameterDescription, RowDescription:
		if typ == RowDescription {
			c.columns.described(countOf(payload))
		}
		if c.reader.modes&modeDescribe != 0 {
			c.capture(typ, payload)
		}
		if c.reader.modes&modeText != 0 && typ == RowDescription {
			c.keepColumns(payload)
		}
	case backKeyData:
		s.key.Store(&backendKey{binary.BigEndian.Uint32(payload), append([]byte(nil), payload[4:]...)})
	}
	return nil
}

func (c *Conn) trackFatal(payload []byte) error {
	e, err := ParseError(payload)
	if err != nil {
		return c.fail(err.(*protocolError))
	}
	c.session.fatal.Store(e)
	return nil
}

// parameterLimit is how much of names and values a server may report. PostgreSQL has
// some 20 of them.
const parameterLimit = 1 << 20

// setParameter reports whether there is room for the parameter.
func (s *session) setParameter(name, value []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, known := s.params[string(name)]
	if known && old == string(value) {
		return true
	}
	size := s.paramBytes + len(value) - len(old)
	if !known {
		size += len(name)
	}
	if size > parameterLimit {
		return false
	}
	s.paramBytes = size
	if s.tx.Load() != 0 {
		s.events |= EventParameter
		if string(name) == "search_path" {
			s.events |= EventSearchPath
		}
	}
	if s.params == nil {
		s.params = make(map[string]string)
	}
	s.params[string(name)] = string(value)
	return true
}

// dispose decides what happens to a message. payload is nil unless it was wanted.
func (c *Conn) dispose(typ byte, total int, payload []byte) (verdict, error) {
	modes := c.reader.modes
	if typ == BindComplete && modes&modePrefix == 0 {
		c.bound = true
	}
	switch {
	case asynchronous(typ):
		if c.copying.foreign.Load() && typ != backNotice {
			return c.drop(total) // pq.CopyIn does not know them, and takes the connection for lost
		}
		return c.pass(total)
	case typ == backAuthentication && c.auth != nil:
		return c.authRequest(total, payload)
	case modes&modePrefix != 0:
		return c.prefixAnswer(typ, total, payload)
	case typ == ErrorResponse:
		return c.errorAnswer(total, payload)
	case modes&modeExchange != 0:
		return c.exchangeAnswer(typ, total, payload)
	case typ == ReadyForQuery:
		c.finish()
		c.reader.end = true
		return c.pass(total)
	case modes&modeDiscard != 0:
		if typ == backCopyInResponse {
			return c.refuseCopyIn(total) // or the server would wait forever
		}
		return c.drop(total)
	case modes&modeAsked != 0 && (typ == ParseComplete || typ == ParameterDescription || typ == NoData || typ == BindComplete):
		return c.drop(total) // the answer to a simple Query has none of these
	case modes&modeSkipRows != 0 && typ == DataRow:
		return c.drop(total)
	case typ == PortalSuspended:
		return c.suspend(total)
	}
	return c.copyAnswer(typ, total)
}

// errorAnswer disposes of an ErrorResponse.
func (c *Conn) errorAnswer(total int, payload []byte) (verdict, error) {
	modes := c.reader.modes
	fatal, err := isFatal(payload)
	switch {
	case err != nil:
		return verdictAwait, err
	case fatal:
	case modes&modeExchange != 0:
		return c.exchangeAnswer(ErrorResponse, total, payload)
	case modes&modeDiscard != 0:
		return c.drop(total)
	case modes&modeRefuse != 0:
		return c.refuse(total)
	}
	c.stopCopy()
	if len(payload) <= shortLimit {
		return c.pass(total)
	}
	b, err := appendShortened(nil, payload)
	if err != nil {
		return verdictAwait, err
	}
	return c.replace(total, b)
}

// finish is called with the ReadyForQuery that ends a request.
func (c *Conn) finish() {
	c.stopCopy()
	c.copying.foreign.Store(false)
	c.reader.modes = 0
	c.session.pending.Store(false)
	if c.raw == nil {
		c.reader.last = time.Now()
	}
}

// SkipRows keeps the rest of the DataRows of the current request from lib/pq,
// which makes closing a large result faster. Call it before rows.Close; it ends
// with the request.
func (c *Conn) SkipRows() {
	if c.Pending() {
		c.reader.modes |= modeSkipRows
	}
}
