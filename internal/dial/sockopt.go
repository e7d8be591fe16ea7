package dial

import (
	"fmt"
	"net"
	"time"
)

// SocketOptions are for TCP connections. What is 0 stays as the system has it.
type SocketOptions struct {
	Keepalives     bool
	Idle, Interval time.Duration
	Count          int
	UserTimeout    time.Duration
}

// apply sets keepalives*, and tcp_user_timeout where there is
// such a thing, on a TCP connection; other connections are left alone. What is
// 0 stays as the system has it, so the dialer must not have set keepalives of
// its own (net.Dialer.KeepAlive: -1).
func (o *SocketOptions) apply(nc net.Conn) error {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	keep := net.KeepAliveConfig{
		Enable:   o.Keepalives,
		Idle:     systemIfZero(o.Idle),
		Interval: systemIfZero(o.Interval),
		Count:    systemIfZero(o.Count),
	}
	if err := tcp.SetKeepAliveConfig(keep); err != nil {
		return fmt.Errorf("psyco: could not set the keepalives options: %w", err)
	}
	if o.UserTimeout > 0 {
		if err := setTCPUserTimeout(tcp, o.UserTimeout); err != nil {
			return fmt.Errorf("psyco: could not set tcp_user_timeout: %w", err)
		}
	}
	return nil
}

// systemIfZero maps 0 to -1: package net reads 0 as a default of its own and
// leaves the socket as it is for negative values.
func systemIfZero[T int | time.Duration](v T) T {
	if v == 0 {
		return -1
	}
	return v
}
