package faultproxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// message builds a protocol message; typ 0 leaves the type byte out.
func message(typ byte, body string) []byte {
	var b []byte
	if typ != 0 {
		b = append(b, typ)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)+4))
	return append(b, body...)
}

var (
	startupPacket = message(0, "\x00\x03\x00\x00user\x00me\x00\x00")
	sslPacket     = message(0, "\x04\xd2\x16\x2f")
	query         = message('Q', "SELECT 1\x00")
	commit        = message('Q', "COMMIT\x00")
	ready         = message('Z', "I")
	complete      = message('C', "SELECT 1\x00")
)

// listenUnix is a server that hands each connection to serve and waits for it.
func listenUnix(t *testing.T, serve func(net.Conn)) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			serve(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	return path
}

func start(t *testing.T, path string) *Proxy {
	t.Helper()
	p, err := New("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second)) // a broken proxy must not hang the test
	return c
}

func send(t *testing.T, w io.Writer, parts ...[]byte) {
	t.Helper()
	if _, err := w.Write(bytes.Join(parts, nil)); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, r io.Reader, parts ...[]byte) {
	t.Helper()
	expected := bytes.Join(parts, nil)
	got := make([]byte, len(expected))
	n, err := io.ReadFull(r, got)
	if err != nil || !bytes.Equal(got, expected) {
		t.Fatalf("got %q, %v; want %q", got[:n], err, expected)
	}
}

// fakeServer answers startup with Z, each Query with C and Z; it appends all
// that it read to log when the connection ends.
func fakeServer(log *[][]byte) func(net.Conn) {
	return func(c net.Conn) {
		var seen []byte
		defer func() { *log = append(*log, seen) }()
		f := framer{dir: ToServer, asked: new(int)}
		buf := make([]byte, 0, 1024)
		for {
			n, err := c.Read(buf[len(buf):cap(buf)])
			seen = append(seen, buf[len(buf):len(buf)+n]...)
			buf = buf[:len(buf)+n]
			for {
				m, ok := f.next(buf)
				if !ok {
					break
				}
				buf = buf[:copy(buf, buf[m.Len:])]
				switch m.Type {
				case StartupMessage:
					c.Write(ready)
				case 'Q':
					c.Write(complete)
					c.Write(ready)
				case 'X':
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
}

// TestTriggers cuts at every byte of a short session and looks at exactly what
// each side has received.
func TestTriggers(t *testing.T) {
	up := bytes.Join([][]byte{startupPacket, query, commit}, nil)
	down := bytes.Join([][]byte{ready, complete, ready, complete, ready}, nil)
	offset := func(stream []byte, parts ...[]byte) int { return len(bytes.Join(parts, nil)) }

	type test struct {
		name     string
		point    func() Point
		up, down int // bytes that arrive; -1: not said
	}
	tests := []test{
		{"before the first Query", func() Point { return Before(Msg(ToServer, "Q")) }, len(startupPacket), len(ready)},
		{"after the first Query", func() Point { return After(Msg(ToServer, "Q")) }, offset(up, startupPacket, query), -1},
		{"inside the second Query", func() Point { return Inside(Nth(2, Msg(ToServer, "Q")), 3) }, offset(up, startupPacket, query) + 3, offset(down, ready, complete, ready)},
		{"before COMMIT", func() Point { return Before(SQL("commit")) }, offset(up, startupPacket, query), offset(down, ready, complete, ready)},
		{"before the Z of COMMIT", func() Point { return Before(Then(SQL("COMMIT"), Msg(ToClient, "Z"))) }, len(up), len(down) - len(ready)},
		{"after the second C", func() Point { return After(Nth(2, Msg(ToClient, "C"))) }, len(up), len(down) - len(ready)},
		{"before a body", func() Point { return Before(Containing(Msg(ToClient, "C"), "SELECT")) }, offset(up, startupPacket, query), len(ready)},
		{"inside, past its end", func() Point { return Inside(Msg(ToServer, "Q"), 1000) }, offset(up, startupPacket, query), -1},
	}
	for i := range up {
		tests = append(tests, test{fmt.Sprintf("to server at byte %d", i), func() Point { return AtByte(ToServer, int64(i)) }, i, -1})
	}
	for i := range down {
		tests = append(tests, test{fmt.Sprintf("to client at byte %d", i), func() Point { return AtByte(ToClient, int64(i)) }, -1, i})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log [][]byte
			closed := make(chan struct{})
			serve := fakeServer(&log)
			path := listenUnix(t, func(c net.Conn) { serve(c); close(closed) })
			p := start(t, path)
			trigger := p.On(tt.point(), (*Link).Cut)
			c := dial(t, p)
			var got []byte
			buf := make([]byte, 256)
			for _, step := range []struct {
				request []byte
				answer  int
			}{{startupPacket, len(ready)}, {query, len(complete) + len(ready)}, {commit, len(complete) + len(ready)}} {
				if _, err := c.Write(step.request); err != nil {
					break
				}
				n, err := io.ReadFull(c, buf[:step.answer])
				got = append(got, buf[:n]...)
				if err != nil {
					break
				}
			}
			<-trigger.Fired()
			<-closed
			if tt.up >= 0 && !bytes.Equal(log[0], up[:tt.up]) {
				t.Errorf("server received %q, want %q", log[0], up[:tt.up])
			}
			if tt.down >= 0 && !bytes.Equal(got, down[:tt.down]) {
				t.Errorf("client received %q, want %q", got, down[:tt.down])
			}
		})
	}
}

func TestCounts(t *testing.T) {
	var log [][]byte
	p := start(t, listenUnix(t, fakeServer(&log)))
	var seen []string
	p.Observe(func(m Message) { seen = append(seen, fmt.Sprintf("%d %v %c %d", m.Conn, m.Dir, m.Type, m.Len)) })
	c := dial(t, p)
	send(t, c, startupPacket)
	want(t, c, ready)
	p.ResetCounts()
	send(t, c, query, query)
	want(t, c, complete, ready, complete, ready)
	send(t, c, commit)
	want(t, c, complete, ready)
	send(t, c, message('X', ""))
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("after Terminate: %d, %v", n, err)
	}
	counts := p.Counts()
	for _, tt := range []struct {
		name      string
		got, want any
	}{
		{"connections since the reset", counts.Connections, 0},
		{"queries", counts.Messages(ToServer, "Q"), 3},
		{"queries to the client", counts.Messages(ToClient, "Q"), 0},
		{"Z and C", counts.Messages(Both, "ZC"), 6},
		{"any", counts.Messages(Both, ""), 10},
		{"round trips", counts.RoundTrips, 2},
		{"bytes to server", counts.Bytes(ToServer), int64(2*len(query) + len(commit) + 5)},
		{"bytes", counts.Bytes(Both), int64(2*len(query) + len(commit) + 5 + 3*(len(complete)+len(ready)))},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, tt.got, tt.want)
		}
	}
	p.Observe(nil)
	if first := seen[0]; first != "1 to server \x01 17" {
		t.Errorf("first message: %q", first)
	}
	if len(seen) != 12 {
		t.Errorf("%d messages were seen: %q", len(seen), seen)
	}
}

func TestTLS(t *testing.T) {
	hello := []byte("\x16\x03\x01\x00\x03abc")
	data := []byte("\x17\x03\x03\x00\x05hello")
	path := listenUnix(t, func(c net.Conn) {
		want(t, c, sslPacket)
		send(t, c, []byte("S"))
		want(t, c, hello)
		send(t, c, hello, data)
		io.Copy(io.Discard, c)
	})
	p := start(t, path)
	trigger := p.On(Inside(Msg(ToClient, string(TLSData)), 6), (*Link).Cut)
	c := dial(t, p)
	send(t, c, sslPacket)
	want(t, c, []byte("S"))
	send(t, c, hello)
	want(t, c, hello, data[:6])
	<-trigger.Fired()
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the cut: %v", err)
	}
	counts := p.Counts()
	if a, b := counts.Messages(ToServer, string([]byte{SSLRequest, TLSHandshake})), counts.Messages(ToClient, string([]byte{EncryptAnswer, TLSHandshake, TLSData})); a != 2 || b != 3 {
		t.Errorf("%d messages to the server, %d to the client", a, b)
	}
	if counts.RoundTrips != 2 {
		t.Errorf("%d round trips", counts.RoundTrips)
	}
}

func TestReset(t *testing.T) {
	var log [][]byte
	p := start(t, listenUnix(t, fakeServer(&log)))
	c := dial(t, p)
	send(t, c, startupPacket)
	want(t, c, ready)
	p.Reset()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

func TestRefuse(t *testing.T) {
	var log [][]byte
	p := start(t, listenUnix(t, fakeServer(&log)))
	p.Refuse(true)
	wantRefused(t, p)
	p.Refuse(false)
	c := dial(t, p)
	send(t, c, startupPacket)
	want(t, c, ready)
	if n := p.Counts().Connections; n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// TestStall stalls the server's answer in the middle and lets it go again.
func TestStall(t *testing.T) {
	var log [][]byte
	p := start(t, listenUnix(t, fakeServer(&log)))
	c := dial(t, p)
	send(t, c, startupPacket)
	want(t, c, ready)
	trigger := p.On(Inside(Msg(ToClient, "C"), 2), func(l *Link) { l.Stall(Both) })
	send(t, c, query)
	want(t, c, complete[:2])
	<-trigger.Fired()
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); n != 0 || !isTimeout(err) {
		t.Fatalf("a stalled link gave %d bytes, %v", n, err)
	}
	c.SetReadDeadline(time.Time{})
	p.Resume(Both)
	want(t, c, complete[2:], ready)

	p.Stall(ToServer) // a new connection stalls, too
	other := dial(t, p)
	send(t, other, startupPacket)
	other.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := other.Read(make([]byte, 1)); n != 0 || !isTimeout(err) {
		t.Fatalf("a stalled proxy gave %d bytes, %v", n, err)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func TestTrickle(t *testing.T) {
	var log [][]byte
	p := start(t, listenUnix(t, fakeServer(&log)))
	c := dial(t, p)
	send(t, c, startupPacket)
	want(t, c, ready)
	p.Trickle(ToClient, 3, time.Millisecond)
	send(t, c, query)
	buf := make([]byte, 100)
	total, reads := 0, 0
	for total < len(complete)+len(ready) {
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		total, reads = total+n, reads+1
	}
	if reads < 2 {
		t.Errorf("%d bytes came in one piece", total)
	}
	p.Trickle(ToClient, 0, 0)
	send(t, c, query)
	want(t, c, complete, ready)
}

func TestDelay(t *testing.T) {
	const delay = 20 * time.Millisecond
	var log [][]byte
	p := start(t, listenUnix(t, fakeServer(&log)))
	c := dial(t, p)
	send(t, c, startupPacket)
	want(t, c, ready)
	p.Delay(Both, delay)
	begin := time.Now()
	send(t, c, query)
	want(t, c, complete, ready)
	if took := time.Since(begin); took < 2*delay {
		t.Errorf("a round trip took %v with %v each way", took, delay)
	}
	// Latency must not add up: all of these are on their way before the first
	// one arrives, or this never ends.
	p.Delay(ToServer, time.Hour)
	p.ResetCounts()
	const messages = 100
	for i := range messages {
		send(t, c, query)
		for p.Counts().Messages(ToServer, "Q") < i+1 {
			time.Sleep(10 * time.Microsecond)
		}
	}
}

// TestLarge pipes more than all buffers hold through both ways.
func TestLarge(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 1<<20) // 16 MiB
	path := listenUnix(t, func(c net.Conn) {
		want(t, c, startupPacket)
		io.Copy(c, c)
	})
	p := start(t, path)
	c := dial(t, p)
	big := message('d', body)
	go func() {
		c.Write(startupPacket)
		c.Write(big)
		c.Write(query)
	}()
	want(t, c, big, query)
	if n := p.Counts().Messages(ToServer, "dQ"); n != 2 {
		t.Errorf("%d messages counted, want 2", n)
	}
}

// TestNoGoroutinesLeft closes proxies in the middle of everything.
func TestNoGoroutinesLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, prepare := range []func(*Proxy){
		func(*Proxy) {},
		func(p *Proxy) { p.Stall(Both) },
		func(p *Proxy) { p.Delay(Both, time.Hour) },
		func(p *Proxy) { p.Trickle(Both, 1, time.Hour) },
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p, err := New("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		prepare(p)
		c, err := net.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		s, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Write(bytes.Repeat(query, 100_000))
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if err := p.Close(); err != nil {
			t.Errorf("the second Close: %v", err)
		}
		c.Close()
		s.Close()
		listener.Close()
	}
	for i := 0; runtime.NumGoroutine() > before; i++ {
		if i == 1000 {
			buf := make([]byte, 1<<16)
			t.Fatalf("goroutines are left:\n%s", buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(time.Millisecond) // goroutines end a moment after their last statement
	}
}

// TestServerGone dials a server that is not there.
func TestServerGone(t *testing.T) {
	wantRefused(t, start(t, filepath.Join(t.TempDir(), "nobody")))
}

// wantRefused allows for a reset that comes before connect has returned.
func wantRefused(t *testing.T, p *Proxy) {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		return
	}
	defer c.Close()
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("a refused connection gave %d bytes", n)
	}
}

// TestRewrite changes messages of the server, drops some, and falls silent.
func TestRewrite(t *testing.T) {
	path := listenUnix(t, func(c net.Conn) {
		io.ReadFull(c, make([]byte, len(startupPacket)))
		for _, b := range bytes.Join([][]byte{ready, complete, message('D', "row"), ready, complete}, nil) {
			c.Write([]byte{b}) // in pieces
		}
	})
	for _, tt := range []struct {
		name string
		do   func(m []byte) Rewrite
		want []byte
	}{
		{"nothing", func(m []byte) Rewrite { return Rewrite{Bytes: m} },
			bytes.Join([][]byte{ready, complete, message('D', "row"), ready, complete}, nil)},
		{"another row", func(m []byte) Rewrite {
			if m[0] == 'D' {
				m = message('D', "changed")
			}
			return Rewrite{Bytes: m}
		}, bytes.Join([][]byte{ready, complete, message('D', "changed"), ready, complete}, nil)},
		{"no row", func(m []byte) Rewrite {
			if m[0] == 'D' {
				m = nil
			}
			return Rewrite{Bytes: m}
		}, bytes.Join([][]byte{ready, complete, ready, complete}, nil)},
		{"cut", func(m []byte) Rewrite { return Rewrite{Bytes: m, Cut: m[0] == 'D'} },
			bytes.Join([][]byte{ready, complete, message('D', "row")}, nil)},
		{"mute", func(m []byte) Rewrite { return Rewrite{Bytes: m[:3], Mute: m[0] == 'D'} },
			bytes.Join([][]byte{ready[:3], complete[:3], message('D', "row")[:3]}, nil)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := New("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			p.Rewrite(func(_ int, m []byte) Rewrite { return tt.do(m) })
			c, err := net.Dial("tcp", p.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.Write(startupPacket)
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, tt.want) {
				t.Errorf("%q, %v, want %q", got, err, tt.want)
			}
		})
	}
}
