//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || solaris

package wire

import (
	"cmp"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// pollReader reads from the socket without waiting. It lives in the Conn so that
// reading allocates nothing.
type pollReader struct {
	read func(fd uintptr) bool
	p    []byte
	n    int
	err  error
}

func (r *pollReader) init() {
	r.read = func(fd uintptr) bool {
		for {
			r.n, r.err = syscall.Read(int(fd), r.p)
			if r.err != syscall.EINTR {
				return true
			}
		}
	}
}

// readNow reads what has arrived. Without a byte or an error there is nothing yet.
func (c *Conn) readNow(p []byte) (int, error) {
	r := &c.poller.reader
	if r.read == nil {
		r.init()
	}
	r.p = p
	err := c.raw.Read(r.read)
	r.p = nil
	switch {
	case err != nil: // of a deadline, or of a connection that was closed
		return 0, c.readError(cmp.Or(errors.Unwrap(err), err))
	case r.err == syscall.EAGAIN || r.err == syscall.EWOULDBLOCK:
		return 0, nil
	case r.err != nil:
		return 0, c.readError(os.NewSyscallError("read", r.err))
	case r.n == 0:
		return 0, io.EOF
	}
	return r.n, nil
}

// readError is what reading from the connection gives for a cause.
func (c *Conn) readError(cause error) error {
	err := &net.OpError{Op: "read", Source: c.nc.LocalAddr(), Addr: c.nc.RemoteAddr(), Err: cause}
	if err.Source != nil { // the system may not tell once the connection is reset
		err.Net = err.Source.Network()
	}
	return err
}
