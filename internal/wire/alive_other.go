//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || solaris)

package wire

const canPeek = false

type peeker struct{}

// peek reports whether to look for bytes by reading.
func (c *Conn) peek() (bool, error) { return c.peekByReading() }
