//go:build !linux

package dial

import (
	"net"
	"time"
)

// setTCPUserTimeout does nothing: only Linux has TCP_USER_TIMEOUT, and libpq
// does not use the option elsewhere either.
func setTCPUserTimeout(*net.TCPConn, time.Duration) error { return nil }
