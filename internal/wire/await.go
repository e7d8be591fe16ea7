package wire

import "encoding/binary"

// Notification is a NotificationResponse.
type Notification struct {
	PID     uint32 // of the backend that sent it
	Channel string
	Payload string
}

// Incoming takes what the server says by itself while a connection is idle. Its
// functions may be nil.
type Incoming struct {
	Notification func(Notification)
	Notice       func(*Error)
}

// Await waits until the server says something by itself and hands it to in;
// lib/pq does not see it. It returns after at least one message, be it one that
// in has no function for. A read deadline ends the wait with a timeout, after
// which the connection is as good as before: setting one from another goroutine
// is the way to interrupt Await. Every other error means that the connection is
// lost; if the server said why, it is [Conn.Fatal]'s.
func (c *Conn) Await(in Incoming) error {
	for {
		if err := c.brokenError(); err != nil {
			return err
		}
		some, err := c.take(in)
		if some || err != nil {
			return err
		}
		switch err := c.fill(); {
		case err == nil:
		case isTimeout(err):
			return err
		default:
			return lost(err)
		}
	}
}

// take consumes the messages that have arrived in full on an idle connection and
// reports whether there were any.
func (c *Conn) take(in Incoming) (some bool, err error) {
	rd := &c.reader
	for rd.need = headerSize; rd.w-rd.r >= headerSize; rd.need = headerSize {
		typ, size := rd.buf[rd.r], uint64(binary.BigEndian.Uint32(rd.buf[rd.r+1:]))
		switch {
		case !c.phase.acceptable(typ, size):
			return some, c.fail(protocolErrorf("the server sent a message %q of %d bytes", typ, size))
		case !asynchronous(typ) && typ != ErrorResponse:
			return some, c.fail(protocolErrorf("message %q while the connection was idle", typ))
		}
		total := int(size) + 1
		if rd.w-rd.r < total {
			rd.need = total
			break
		}
		payload := rd.buf[rd.r+headerSize : rd.r+total]
		if err := checkShape(typ, payload, 0); err != nil {
			return some, c.fail(err.(*protocolError))
		}
		switch typ {
		case backNotification:
			n := parseNotification(payload)
			if in.Notification != nil {
				in.Notification(n)
			}
		case backNotice:
			e, err := ParseError(payload)
			if err != nil {
				return some, err
			}
			if in.Notice != nil {
				in.Notice(e)
			}
		case backParameterStatus:
			if err := c.track(typ, payload); err != nil {
				return some, err
			}
		case ErrorResponse:
			if err := c.track(typ, payload); err != nil {
				return some, err
			}
			if fatal := c.Fatal(); fatal != nil {
				return some, fatal
			}
			return some, c.fail(protocolErrorf("message %q while the connection was idle", typ))
		}
		rd.r += total
		some = true
	}
	return some, nil
}

// parseNotification reads a NotificationResponse that checkShape has found to be right.
func parseNotification(payload []byte) Notification {
	channel, rest, _ := cutString(payload[4:])
	return Notification{binary.BigEndian.Uint32(payload), string(channel), string(rest[:len(rest)-1])}
}
