package integration_test

import (
	"os"
	"strconv"
	"syscall"
	"testing"

	"github.com/psyco-go/psyco/internal/pgserver"
)

// TestKeepalivesOfConnection reads the options of the socket that a connection
// runs on.
func TestKeepalivesOfConnection(t *testing.T) {
	bareEnvironment(t)
	s, err := pgserver.Shared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const userTimeout = 0x12 // TCP_USER_TIMEOUT
	system := func(name string) int {
		text, err := os.ReadFile("/proc/sys/net/ipv4/" + name)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(string(text[:len(text)-1]))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	idle, interval, count := system("tcp_keepalive_time"), system("tcp_keepalive_intvl"), system("tcp_keepalive_probes")
	type values struct{ on, idle, interval, count, userTimeout int }
	for _, tt := range []struct {
		name, dsn string
		want      values
	}{
		{"default", "", values{1, idle, interval, count, 0}},
		{"all", "keepalives=1 keepalives_idle=41 keepalives_interval=7 keepalives_count=3 tcp_user_timeout=1234", values{1, 41, 7, 3, 1234}},
		{"some", "keepalives_interval=7", values{1, idle, 7, count, 0}},
		{"zero is the system's", "keepalives_idle=0 keepalives_interval=0 keepalives_count=0 tcp_user_timeout=0", values{1, idle, interval, count, 0}},
		{"negative is the system's", "keepalives_idle=-1 tcp_user_timeout=-5", values{1, idle, interval, count, 0}},
		{"one", "keepalives_count=2", values{1, idle, interval, 2, 0}},
		{"off", "keepalives=0 tcp_user_timeout=99", values{0, idle, interval, count, 99}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := open(t, s.DSN()+" host=127.0.0.1 "+tt.dsn).Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			port, err := strconv.Atoi(all(t, conn, "SELECT inet_client_port()")[0])
			if err != nil {
				t.Fatal(err)
			}
			fd := socketWithPort(t, port)
			get := func(level, option int) int {
				v, err := syscall.GetsockoptInt(fd, level, option)
				if err != nil {
					t.Fatal(err)
				}
				return v
			}
			got := values{
				on:          get(syscall.SOL_SOCKET, syscall.SO_KEEPALIVE),
				idle:        get(syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE),
				interval:    get(syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL),
				count:       get(syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT),
				userTimeout: get(syscall.IPPROTO_TCP, userTimeout),
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// socketWithPort finds this process's IPv4 socket by its own port.
func socketWithPort(t *testing.T, port int) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		fd, err := strconv.Atoi(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		name, err := syscall.Getsockname(fd)
		if addr, ok := name.(*syscall.SockaddrInet4); err == nil && ok && addr.Port == port {
			return fd
		}
	}
	t.Fatalf("no socket has port %d", port)
	return -1
}
