//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || solaris)

package wire

type pollReader struct{}

// readNow is not called where sockets cannot be read without waiting.
func (c *Conn) readNow([]byte) (int, error) { return 0, nil }
