//go:build !plan9

package dial

import "syscall"

// errReset is how reading ends when the peer has reset the connection.
var errReset error = syscall.ECONNRESET
