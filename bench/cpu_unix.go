//go:build unix

package main

import (
	"syscall"
	"time"
)

// cpuTime is what this process has used so far, in its own code and in the system's for it.
func cpuTime() (used time.Duration, told bool) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, false
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), true
}
