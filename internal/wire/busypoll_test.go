//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || solaris

package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
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

// overSockets runs f with connections that poll, on a machine with one CPU too.
func overSockets(t *testing.T, f func(t *testing.T, p pair)) {
	before := severalCPUs
	severalCPUs = true
	defer func() { severalCPUs = before }()
	for name, open := range map[string]func(*testing.T) (client, server net.Conn){"unix": overSocket, "tcp": overTCP} {
		t.Run(name, func(t *testing.T) {
			client, server := open(t)
			p := handshake(t, client, server)
			p.poller.backoff, p.poller.unpolled = 8, 0 // whatever the handshake took
			f(t, p)
		})
	}
}

// TestBusyPollFinds has answers that are there before anybody reads. Only polling
// that finds something resets the backoff.
func TestBusyPollFinds(t *testing.T) {
	overSockets(t, func(t *testing.T, p pair) {
		for range 3 {
			p.poller.backoff = 8
			before := p.Stats().RoundTrips
			mustWrite(t, p.Conn, query("q"))
			receive(t, p.server)
			answer := cat(complete("SET"), ready('I'))
			send(t, p.server, answer)
			checkBytes(t, "delivered", readPending(t, p.Conn), answer)
			check(t, "backoff", p.poller.backoff, 0)
			check(t, "unpolled", p.poller.unpolled, 0)
			check(t, "round trips", p.Stats().RoundTrips-before, 1)
			check(t, "waiting", waiting.Load(), 0)
		}
		t.Run("and allocates nothing", func(t *testing.T) {
			request, answer, got := query("q"), cat(complete("SET"), ready('I')), make([]byte, 4096)
			n := testing.AllocsPerRun(100, func() {
				mustWrite(t, p.Conn, request)
				if _, err := p.server.Read(got); err != nil {
					t.Fatal(err)
				}
				if _, err := p.server.Write(answer); err != nil {
					t.Fatal(err)
				}
				if _, err := p.Read(got); err != nil {
					t.Fatal(err)
				}
			})
			check(t, "allocations", n, 0)
			check(t, "backoff", p.poller.backoff, 0)
		})
	})
}

// TestBusyPollBacksOff counts the answers that are not polled for after polling was
// in vain: ever more, up to a limit.
func TestBusyPollBacksOff(t *testing.T) {
	overSockets(t, func(t *testing.T, p pair) {
		answered := func() {
			t.Helper()
			mustWrite(t, p.Conn, query("q"))
			p.goesOnAnswer(t)
		}
		p.poller.backoff = 0
		waiting.Add(1) // another connection's
		for _, want := range []int{1, 2, 4, 8, 16, 32, 64, 128, 256, 256} {
			answered()
			check(t, "unpolled", p.poller.unpolled, want)
			for left := want - 1; left >= 0; left-- {
				answered()
				check(t, "unpolled", p.poller.unpolled, left)
			}
		}
		waiting.Add(-1)
		answered() // is polled for and may be found or not
		if b := p.poller; b.backoff != 0 && b.unpolled != maxUnpolled {
			t.Errorf("when the other connection had its answer: %+v", b)
		}
	})
}

// goesOnAnswer answers a request that was written before.
func (p pair) goesOnAnswer(t *testing.T) {
	t.Helper()
	receive(t, p.server)
	send(t, p.server, complete("SET"), ready('I'))
	checkBytes(t, "delivered", readPending(t, p.Conn), cat(complete("SET"), ready('I')))
}

// TestBusyPollInVain polls to the end and then waits as ever.
func TestBusyPollInVain(t *testing.T) {
	overSockets(t, func(t *testing.T, p pair) {
		waiting.Add(1)
		n, err := p.busyPoll(make([]byte, 10))
		waiting.Add(-1)
		if n != 0 || err != nil {
			t.Errorf("polled %d bytes, %v", n, err)
		}
		mustWrite(t, p.Conn, query("q"))
		p.goesOnAnswer(t)
	})
}

// TestBusyPollErrors wants from polling the errors that reading gives.
func TestBusyPollErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, p pair)
		want error
	}{
		{"deadline", func(t *testing.T, p pair) { check(t, "err", p.SetReadDeadline(time.Unix(1, 0)), nil) }, os.ErrDeadlineExceeded},
		{"own end closed", func(t *testing.T, p pair) { check(t, "err", p.nc.Close(), nil) }, net.ErrClosed},
		{"end of stream", func(t *testing.T, p pair) {
			receive(t, p.server) // an unread byte would make it a reset
			check(t, "err", p.server.Close(), nil)
		}, io.EOF},
		{"reset", func(t *testing.T, p pair) { check(t, "err", p.server.Close(), nil) }, syscall.ECONNRESET},
	} {
		t.Run(tt.name, func(t *testing.T) {
			overSockets(t, func(t *testing.T, p pair) {
				mustWrite(t, p.Conn, query("q"))
				tt.do(t, p)
				_, err := p.Read(make([]byte, 100))
				if !errors.Is(err, tt.want) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
				check(t, "found by polling", p.poller.backoff, 0)
				if op := new(net.OpError); tt.want != io.EOF && (!errors.As(err, &op) || op.Op != "read") {
					t.Errorf("not an error of net: %#v", err)
				}
				if tt.want != os.ErrDeadlineExceeded && !errors.Is(p.Err(), tt.want) {
					t.Errorf("Err: %v", p.Err())
				}
			})
		})
	}
}

// embedding is a net.Conn that has a socket inside and does more than it.
type embedding struct{ *net.UnixConn }

// TestBusyPollKeepsOut wants no polling below what has a Read of its own.
func TestBusyPollKeepsOut(t *testing.T) {
	overSockets(t, func(t *testing.T, p pair) { check(t, "polls", p.poller.possible, true) })
	connections(t, func(t *testing.T, open func(t *testing.T) pair) {
		if p := open(t); t.Name() != "TestBusyPollKeepsOut/socket" {
			check(t, "polls", p.poller.possible, false)
		}
	})
	client, server := overSocket(t)
	p := handshake(t, embedding{client.(*net.UnixConn)}, server)
	check(t, "polls", p.poller.possible, false)
}
