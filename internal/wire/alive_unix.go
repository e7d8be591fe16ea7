//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || solaris

package wire

import (
	"io"
	"syscall"
)

const canPeek = true

// peeker looks for bytes in the socket without reading them. It lives in the Conn
// so that a peek allocates nothing.
type peeker struct {
	look func(fd uintptr)
	n    int
	err  error
	buf  [1]byte
}

func (p *peeker) init() {
	p.look = func(fd uintptr) {
		for {
			p.n, _, p.err = syscall.Recvfrom(int(fd), p.buf[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			if p.err != syscall.EINTR {
				return
			}
		}
	}
}

// peek reports whether bytes are waiting in the socket, or its error.
func (c *Conn) peek() (bool, error) {
	if c.raw == nil {
		return c.peekByReading()
	}
	p := &c.peeker
	if p.look == nil {
		p.init()
	}
	if err := c.raw.Control(p.look); err != nil {
		return false, err
	}
	switch {
	case p.err == syscall.EAGAIN || p.err == syscall.EWOULDBLOCK:
		return false, nil
	case p.err != nil:
		return false, p.err
	case p.n == 0:
		return false, io.EOF
	}
	return true, nil
}
