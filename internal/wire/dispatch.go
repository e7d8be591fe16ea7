package wire

import (
	"encoding/binary"
	"time"
)

// track updates the state of the session from a message.
func (c *Conn) track(typ byte, payload []byte) error {
	s := &c.session
	switch typ {
	case ReadyForQuery:
		if len(payload) != 1 || payload[0] != 'I' && payload[0] != 'T' && payload[0] != 'E' {
			return c.fail(protocolErrorf("ReadyForQuery with status %q", payload))
		}
		s.tx.Store(uint32(payload[0]))
	case CommandComplete:
		tag, err := commandTag(payload)
		if err != nil {
			return c.fail(err.(*protocolError))
		}
		s.events |= tagEvents(tag)
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
		name, rest, ok := cutString(payload)
		value, _, ok2 := cutString(rest)
		if !ok || !ok2 {
			return c.fail(protocolErrorf("ParameterStatus without terminator"))
		}
		s.setParameter(name, value)
	case ParameterDescription, RowDescription:
		if c.reader.modes&modeDescribe != 0 {
			c.capture(typ, payload)
		}
	case backKeyData:
		if len(payload) < 4 {
			return c.fail(protocolErrorf("BackendKeyData of %d bytes", len(payload)))
		}
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

func (s *session) setParameter(name, value []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.params[string(name)]; ok && old == string(value) {
		return
	}
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
}

// dispose decides what happens to a message. payload is nil unless it was wanted.
func (c *Conn) dispose(typ byte, total int, payload []byte) (verdict, error) {
	modes := c.reader.modes
	if typ == BindComplete && modes&modePrefix == 0 {
		c.bound = true
	}
	switch {
	case asynchronous(typ):
		return c.pass(total)
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
			return c.refuseCopyIn(total) // or the server would wait for ever
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
