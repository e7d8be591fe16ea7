package dial

import (
	"net"
	"syscall"
	"testing"
	"time"
)

// loopback returns a TCP connection whose keepalives package net did not touch.
func loopback(t *testing.T) *net.TCPConn {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	d := net.Dialer{KeepAlive: -1}
	nc, err := d.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc.(*net.TCPConn)
}

func sockoptInt(t *testing.T, tcp *net.TCPConn, level, opt int) int {
	t.Helper()
	raw, err := tcp.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var v int
	if cerr := raw.Control(func(fd uintptr) { v, err = syscall.GetsockoptInt(int(fd), level, opt) }); cerr != nil {
		t.Fatal(cerr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSocketOptions(t *testing.T) {
	type values struct{ on, idle, interval, count, userTimeout int }
	read := func(tcp *net.TCPConn) values {
		return values{
			on:          sockoptInt(t, tcp, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE),
			idle:        sockoptInt(t, tcp, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE),
			interval:    sockoptInt(t, tcp, syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL),
			count:       sockoptInt(t, tcp, syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT),
			userTimeout: sockoptInt(t, tcp, syscall.IPPROTO_TCP, tcpUserTimeout),
		}
	}
	system := read(loopback(t))
	on := system
	on.on = 1

	tests := []struct {
		name    string
		options SocketOptions
		want    values
	}{
		{"default", SocketOptions{Keepalives: true}, on},
		{"off", SocketOptions{Idle: 5 * time.Second}, system},
		{"all", SocketOptions{true, 41 * time.Second, 7 * time.Second, 3, 1234 * time.Millisecond}, values{1, 41, 7, 3, 1234}},
		{"negative is the system's", SocketOptions{Keepalives: true, Idle: -1, UserTimeout: -5}, on},
		{"one", SocketOptions{Keepalives: true, Count: 2}, values{1, system.idle, system.interval, 2, system.userTimeout}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tcp := loopback(t)
			if err := tt.options.apply(tcp); err != nil {
				t.Fatal(err)
			}
			got := read(tcp)
			if tt.want.on == 0 { // the other values do not matter then
				got.idle, got.interval, got.count = tt.want.idle, tt.want.interval, tt.want.count
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestSocketOptionsRoundUp(t *testing.T) {
	c := &SocketOptions{UserTimeout: 1500 * time.Microsecond}
	tcp := loopback(t)
	if err := c.apply(tcp); err != nil {
		t.Fatal(err)
	}
	if got := sockoptInt(t, tcp, syscall.IPPROTO_TCP, tcpUserTimeout); got != 2 {
		t.Errorf("TCP_USER_TIMEOUT is %d ms, want 2", got)
	}
}

func TestSocketOptionsClosed(t *testing.T) {
	tcp := loopback(t)
	tcp.Close()
	if err := (&SocketOptions{Keepalives: true}).apply(tcp); err == nil {
		t.Error("no error for a closed connection")
	}
}

func TestSocketOptionsOtherConnections(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	c := &SocketOptions{Keepalives: true, Idle: time.Second, UserTimeout: time.Second}
	if err := c.apply(a); err != nil {
		t.Errorf("a pipe: %v", err)
	}
}
