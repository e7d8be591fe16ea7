package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

const (
	// aliveWait is how long Alive waits for bytes that the system says are there:
	// they may be the beginning of a TLS record whose rest is on its way.
	aliveWait = 5 * time.Millisecond
	// aliveIdle is how long a connection must have been idle before Alive waits for
	// bytes that may or may not be there, where the system can't be asked.
	aliveIdle = time.Second
	// aliveHeld is how much may have arrived on an idle connection before Alive
	// stops looking at it.
	aliveHeld = 1 << 20
)

// Alive reports whether an idle connection is still usable, without waiting for
// the server. It returns an error if the server has closed it, in which case
// [Conn.Fatal] may know why, or sent something that it must not send to an idle
// client. Notices, notifications and parameter changes that have arrived are kept
// for lib/pq.
//
// Bytes that TLS has taken from the socket together with the last answer are not
// seen; they are rare, and the next request finds them.
//
// After a request has failed, Alive picks up the reason that the server may have
// sent, for [Conn.Fatal].
func (c *Conn) Alive() error {
	for {
		if err := c.brokenError(); err != nil {
			return err
		}
		if err := c.reader.err; err != nil {
			return lost(err)
		}
		if err := c.examine(); err != nil {
			return err
		}
		if c.reader.w-c.reader.r > aliveHeld {
			return nil
		}
		waiting, err := c.peek()
		if err != nil {
			return lost(err)
		}
		if !waiting {
			return nil
		}
		err = c.fillNow()
		switch {
		case err == nil:
		case isTimeout(err):
			return nil
		default:
			return lost(err)
		}
	}
}

// LastWords looks for what the server said before it closed the connection, after a
// request has failed: a write finds out that the connection is closed before anybody has
// read why. It returns the server's *Error, which [Conn.Fatal] has too, the alert of
// the peer's TLS, or nil. It does not wait for more than a moment, and for nothing if a
// deadline has passed.
func (c *Conn) LastWords() error {
	if fatal := c.Fatal(); fatal != nil {
		return fatal
	}
	if err := c.Err(); err == nil || isTimeout(err) || c.brokenError() != nil {
		return nil // where the stream is not the protocol, no words can be found
	}
	if c.copying.foreign.Load() { // lib/pq's goroutine reads to the end
		t := time.NewTimer(lastWords)
		defer t.Stop()
		select {
		case <-c.reader.ended:
		case <-t.C:
		}
	} else if err := c.readLastWords(); err != nil {
		return err
	}
	if fatal := c.Fatal(); fatal != nil {
		return fatal
	}
	return nil
}

// readLastWords reads to the end of the stream, and returns the alert that ends it.
func (c *Conn) readLastWords() error {
	s := &c.session
	s.counters.wrote.Store(false) // what was not sent is not a round trip
	s.deadlines.Lock()
	if s.readDeadline.IsZero() {
		s.readDeadline = time.Now().Add(lastWords)
		// An error means that the connection is closed, which reading reports too.
		_ = c.nc.SetReadDeadline(s.readDeadline)
	}
	s.deadlines.Unlock()
	for c.reader.w-c.reader.r <= aliveHeld {
		_ = c.examine() // what it finds is the server's Fatal, or of no interest
		if c.Fatal() != nil {
			return nil
		}
		c.reader.need = c.reader.w - c.reader.r + 1
		if err := c.fill(); err != nil {
			if alert := (*net.OpError)(nil); errors.As(err, &alert) && alert.Op == "remote error" {
				return err
			}
			return nil
		}
	}
	return nil
}

func lost(err error) error {
	if err == io.EOF {
		return fmt.Errorf("psyco: the server has closed the connection: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("psyco: the connection is lost: %w", err)
}

// examine looks at the messages that have arrived and not been delivered.
func (c *Conn) examine() error {
	rd := &c.reader
	var unexpected error
	for i := rd.r + rd.pass + rd.drop; rd.w-i >= headerSize; {
		typ, size := rd.buf[i], uint64(binary.BigEndian.Uint32(rd.buf[i+1:]))
		if !c.phase.acceptable(typ, size) {
			return c.fail(protocolErrorf("the server sent a message %q of %d bytes", typ, size))
		}
		end := i + 1 + int(size)
		if typ == ErrorResponse && end <= rd.w {
			payload := rd.buf[i+headerSize : end]
			fatal, err := isFatal(payload)
			if err == nil && fatal {
				err = c.trackFatal(payload)
			}
			if err != nil {
				return err
			}
			if fatal {
				return c.Fatal()
			}
		}
		if !asynchronous(typ) && unexpected == nil && !c.Pending() {
			unexpected = protocolErrorf("message %q while the connection was idle", typ)
		}
		i = end
	}
	return unexpected
}

// fillNow reads what has arrived.
func (c *Conn) fillNow() error {
	s := &c.session
	s.deadlines.Lock()
	defer s.deadlines.Unlock()
	if err := c.nc.SetReadDeadline(time.Now().Add(aliveWait)); err != nil {
		return err
	}
	c.reader.need = 1
	err := c.fill()
	if reset := c.nc.SetReadDeadline(s.readDeadline); err == nil {
		err = reset
	}
	return err
}

// peekByReading is peek where the system can't be asked.
func (c *Conn) peekByReading() (bool, error) {
	idle := time.Since(c.reader.last) >= aliveIdle
	if idle {
		c.reader.last = time.Now()
	}
	return idle, nil
}
