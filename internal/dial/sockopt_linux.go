package dial

import (
	"net"
	"os"
	"syscall"
	"time"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of tcp(7), which package syscall lacks.
const tcpUserTimeout = 0x12

func setTCPUserTimeout(tcp *net.TCPConn, d time.Duration) error {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	ms := int((d + time.Millisecond - 1) / time.Millisecond)
	var sockErr error
	err = raw.Control(func(fd uintptr) {
		sockErr = os.NewSyscallError("setsockopt", syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, ms))
	})
	if err != nil {
		return err
	}
	return sockErr
}
