package dial

import "syscall"

// How the system says that an address cannot be reached: others have no value of their own.
var (
	refused     []error
	timedOut    = []error{syscall.ETIMEDOUT}
	unreachable []error
)
