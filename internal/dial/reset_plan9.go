package dial

import "syscall"

// errReset is how reading ends when the peer has reset the connection: Plan 9's TCP says
// so of every reset.
var errReset error = syscall.ErrorString("connection refused")
