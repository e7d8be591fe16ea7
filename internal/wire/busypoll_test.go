//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || solaris

package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func overTCP(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

// useCPUs makes a test independent of the machine.
func useCPUs(t *testing.T, n int) {
	before := runtime.GOMAXPROCS(n)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// overSockets runs f with connections that poll.
func overSockets(t *testing.T, f func(t *testing.T, p pair)) {
	useCPUs(t, 2)
	for name, open := range map[string]func(*testing.T) (client, server net.Conn){"unix": overSocket, "tcp": overTCP} {
		t.Run(name, func(t *testing.T) {
			client, server := open(t)
			p := handshake(t, client, server)
			check(t, "polls", p.poller.possible, true)
			p.poller.backoff, p.poller.unpolled = 0, 0 // whatever the handshake took
			f(t, p)
		})
	}
}

// answered lets the answer to a request arrive before anybody reads it.
func (p pair) answered(t *testing.T) {
	t.Helper()
	answer := cat(complete("SET"), ready('I'))
	mustWrite(t, p.Conn, query("q"))
	receive(t, p.server)
	send(t, p.server, answer)
	for arrived := false; !arrived; {
		var err error
		if arrived, err = p.peek(); err != nil {
			t.Fatal(err)
		}
	}
	checkBytes(t, "delivered", readPending(t, p.Conn), answer)
}

// TestBusyPollFinds wants answers that are there to be found by polling: nothing else
// resets the backoff.
func TestBusyPollFinds(t *testing.T) {
	overSockets(t, func(t *testing.T, p pair) {
		for range 3 {
			p.poller.backoff = 8
			before := p.Stats().RoundTrips
			p.answered(t)
			check(t, "backoff", p.poller.backoff, 0)
			check(t, "unpolled", p.poller.unpolled, 0)
			check(t, "round trips", p.Stats().RoundTrips-before, 1)
			check(t, "waiting", waiting.Load(), 0)
		}
		got := make([]byte, 10)
		n := testing.AllocsPerRun(100, func() {
			if n, err := p.readNow(got); n != 0 || err != nil {
				t.Errorf("read %d bytes, %v", n, err)
			}
		})
		check(t, "allocations", n, 0)
	})
}

// TestBusyPollBacksOff counts the answers that are not polled for after polling was
// in vain: ever more, up to a limit, until one is found.
func TestBusyPollBacksOff(t *testing.T) {
	overSockets(t, func(t *testing.T, p pair) {
		waiting.Add(1) // another connection's
		for _, want := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 256} {
			p.answered(t)
			check(t, "unpolled", p.poller.unpolled, want)
			for left := want - 1; left >= 0; left-- {
				p.answered(t)
				check(t, "unpolled", p.poller.unpolled, left)
			}
		}
		waiting.Add(-1)
		p.answered(t)
		check(t, "backoff when no other waits", p.poller.backoff, 0)
	})
}

// polled polls as readAnswer does.
func (p pair) polled() (int, error) {
	waiting.Add(1)
	defer waiting.Add(-1)
	return p.busyPoll(make([]byte, 100))
}

// TestBusyPollEnds has a server that says nothing. With the clock of a bubble, which
// stands still, only the number of reads ends polling.
func TestBusyPollEnds(t *testing.T) {
	overSockets(t, func(t *testing.T, p pair) {
		begin := time.Now()
		if n, err := p.polled(); n != 0 || err != nil {
			t.Errorf("polled %d bytes, %v", n, err)
		}
		if d := time.Since(begin); d < busyPollTime {
			t.Errorf("ended after %v", d)
		}
	})
	useCPUs(t, 2)
	synctest.Test(t, func(t *testing.T) {
		client, server := overTCP(t)
		defer client.Close()
		defer server.Close()
		c := New(client)
		if n, err := (pair{c, server}).polled(); n != 0 || err != nil {
			t.Errorf("in a bubble: %d bytes, %v", n, err)
		}
	})
}

// TestBusyPollErrors wants from polling the errors that reading gives.
func TestBusyPollErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(p pair) error
		want error
	}{
		{"deadline", func(p pair) error { return p.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		{"own end closed", func(p pair) error { return p.nc.Close() }, net.ErrClosed},
		{"end of stream", func(p pair) error { return p.server.Close() }, io.EOF},
		{"reset", func(p pair) error {
			tcp, ok := p.server.(*net.TCPConn)
			if !ok {
				p.poller.reader.read = func(uintptr) bool { p.poller.reader.err = syscall.ECONNRESET; return true }
				return nil // not every system resets a Unix socket
			}
			return errors.Join(tcp.SetLinger(0), tcp.Close())
		}, syscall.ECONNRESET},
	} {
		t.Run(tt.name, func(t *testing.T) {
			overSockets(t, func(t *testing.T, p pair) {
				check(t, "err", tt.do(p), nil)
				var err error
				for err == nil {
					_, err = p.polled()
				}
				if !errors.Is(err, tt.want) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
				if tt.want == io.EOF {
					return
				}
				op, ok := err.(*net.OpError)
				if !ok || op.Op != "read" || op.Net != p.nc.LocalAddr().Network() || op.Addr == nil || op.Source == nil {
					t.Errorf("not an error of net: %#v", err)
				}
			})
		})
	}
}

// TestBusyPollReadError has the socket fail while an answer is waited for.
func TestBusyPollReadError(t *testing.T) {
	overSockets(t, func(t *testing.T, p pair) {
		mustWrite(t, p.Conn, query("q"))
		check(t, "err", p.nc.Close(), nil)
		_, err := p.Read(make([]byte, 100))
		if !errors.Is(err, net.ErrClosed) || p.Err() != err {
			t.Errorf("error %v, Err %v", err, p.Err())
		}
		check(t, "waiting", waiting.Load(), 0)
	})
}

// embedding is a net.Conn that has a socket inside and does more than it.
type embedding struct{ *net.UnixConn }

// TestBusyPollKeepsOut wants no polling below what has a Read of its own, nor on one CPU.
func TestBusyPollKeepsOut(t *testing.T) {
	useCPUs(t, 2)
	socket, _ := overSocket(t)
	layer, _, _ := overTLS(t)
	for _, nc := range []net.Conn{layer, hidden{socket}, embedding{socket.(*net.UnixConn)}} {
		if New(nc).poller.possible {
			t.Errorf("polls below %T", nc)
		}
	}
	check(t, "polls", New(socket).poller.possible, true)
	useCPUs(t, 1)
	check(t, "polls on one CPU", New(socket).poller.possible, false)
}
