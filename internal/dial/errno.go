//go:build !plan9

package dial

import "syscall"

// How systems say that an address cannot be reached.
var (
	refused     = []error{syscall.ECONNREFUSED}
	timedOut    = []error{syscall.ETIMEDOUT}
	unreachable = []error{syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EADDRNOTAVAIL}
)
