package wire

import (
	"io"
	"net"
	"time"
)

var _ net.Conn = (*Refusing)(nil)

// Refusing is a server in memory: it accepts a session, and answers each packet of
// it with an error. It is for one goroutine at a time.
type Refusing struct {
	accepted bool
	answer   []byte
}

func (r *Refusing) Write(p []byte) (int, error) {
	if r.accepted {
		r.answer = appendError(r.answer, "XX000", "")
	} else {
		r.answer = append(r.answer, 'R', 0, 0, 0, 8, 0, 0, 0, 0)
		r.accepted = true
	}
	r.answer = append(r.answer, ReadyForQuery, 0, 0, 0, 5, 'I')
	return len(p), nil
}

func (r *Refusing) Read(p []byte) (int, error) {
	if len(r.answer) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.answer)
	r.answer = r.answer[n:]
	return n, nil
}

// Close does nothing.
func (r *Refusing) Close() error { return nil }

// LocalAddr is an address that means nothing.
func (r *Refusing) LocalAddr() net.Addr { return &net.UnixAddr{} }

// RemoteAddr is an address that means nothing.
func (r *Refusing) RemoteAddr() net.Addr { return &net.UnixAddr{} }

// SetDeadline does nothing: no call waits.
func (r *Refusing) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (r *Refusing) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (r *Refusing) SetWriteDeadline(time.Time) error { return nil }
