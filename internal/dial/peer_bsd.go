//go:build darwin || freebsd || dragonfly

package dial

import (
	"encoding/binary"
	"errors"
	"os"
	"syscall"
	"unsafe"
)

const (
	solLocal      = 0 // SOL_LOCAL, SOL_SOCKET's counterpart for sockets of this kind
	localPeercred = 1 // LOCAL_PEERCRED
)

// peerUID reads the start of struct xucred, a version and the user ID, which
// these systems have in common.
func peerUID(fd uintptr) (uint32, error) {
	var cred [256]byte
	size := uint32(len(cred))
	_, _, errno := syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, solLocal, localPeercred,
		uintptr(unsafe.Pointer(&cred)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0, os.NewSyscallError("getsockopt", errno)
	}
	if size < 8 {
		return 0, errors.New("getsockopt: LOCAL_PEERCRED is too short")
	}
	return binary.NativeEndian.Uint32(cred[4:8]), nil
}
