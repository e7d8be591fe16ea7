package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pair returns a Conn and the server's end of it, both connected and said hello.
type pair struct {
	*Conn
	server net.Conn
}

func handshake(t *testing.T, client, server net.Conn) pair {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := io.ReadFull(server, make([]byte, len(startup))); err != nil {
			t.Error(err)
		}
		send(t, server, hello)
	}()
	c := New(client)
	t.Cleanup(func() {
		_ = c.Close() // closed by some tests already
		_ = server.Close()
	})
	mustWrite(t, c, startup)
	readPending(t, c)
	<-done
	return pair{c, server}
}

func overSocket(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	accepted := make(chan net.Conn, 1)
	go func() {
		nc, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- nc
	}()
	client, err = net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return client, <-accepted
}

// tap is the server's socket below TLS. It can keep what is written to it.
type tap struct {
	net.Conn
	keep bool
	kept []byte
}

func (c *tap) Write(p []byte) (int, error) {
	if c.keep {
		c.kept = append(c.kept, p...)
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func overTLS(t *testing.T) (client, server net.Conn, socket *tap) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"server"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(cert)
	a, b := overSocket(t)
	c := tls.Client(a, &tls.Config{RootCAs: roots, ServerName: "server"})
	socket = &tap{Conn: b}
	s := tls.Server(socket, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	done := make(chan error, 1)
	go func() { done <- s.Handshake() }()
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return c, s, socket
}

// connections are the kinds of net.Conn that Alive must deal with.
func connections(t *testing.T, f func(t *testing.T, open func(t *testing.T) pair)) {
	t.Run("socket", func(t *testing.T) {
		f(t, func(t *testing.T) pair {
			client, server := overSocket(t)
			return handshake(t, client, server)
		})
	})
	t.Run("TLS", func(t *testing.T) {
		f(t, func(t *testing.T) pair {
			client, server, _ := overTLS(t)
			return handshake(t, client, server)
		})
	})
	t.Run("not a socket", func(t *testing.T) {
		f(t, func(t *testing.T) pair {
			client, server := overSocket(t)
			p := handshake(t, hidden{client}, server)
			if p.raw != nil {
				t.Fatal("the socket was found")
			}
			return p
		})
	})
}

// hidden is a connection whose socket can't be reached.
type hidden struct{ net.Conn }

// alive calls Alive as after a long time.
func (p pair) alive() error {
	p.reader.last = time.Time{}
	return p.Alive()
}

// untilDead calls Alive until it says no.
func (p pair) untilDead() error {
	for {
		if err := p.alive(); err != nil {
			return err
		}
	}
}

func TestAlive(t *testing.T) {
	connections(t, func(t *testing.T, open func(t *testing.T) pair) {
		t.Run("nothing happens", func(t *testing.T) {
			p := open(t)
			for range 3 {
				check(t, "err", p.alive(), nil)
			}
			if n := testing.AllocsPerRun(100, func() { _ = p.Alive() }); n != 0 {
				t.Errorf("%v allocations", n)
			}
			p.goesOn(t, nil)
		})
		t.Run("closed", func(t *testing.T) {
			p := open(t)
			if err := p.server.Close(); err != nil {
				t.Fatal(err)
			}
			if err := p.untilDead(); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("error %v", err)
			}
			check(t, "fatal", p.Fatal(), nil)
		})
		t.Run("terminated", func(t *testing.T) {
			p := open(t)
			send(t, p.server, notice("n"), failure("FATAL", "57P01", "bye"))
			if err := p.server.Close(); err != nil {
				t.Fatal(err)
			}
			err := p.untilDead()
			var e *Error
			if !errors.As(err, &e) || e.Code != "57P01" || p.Fatal() != e {
				t.Errorf("error %v, fatal %v", err, p.Fatal())
			}
		})
		t.Run("asynchronous messages", func(t *testing.T) {
			p := open(t)
			async := cat(notice("n"), msg(backNotification, int32(1), "c\x00\x00"), parameter("a", "b"))
			for i := range async {
				send(t, p.server, async[i:i+1])
				received := p.Stats().BytesReceived
				for p.Stats().BytesReceived == received {
					check(t, "err", p.alive(), nil)
				}
			}
			p.goesOn(t, async)
			v, _ := p.Parameter("a")
			check(t, "parameter", v, "b")
		})
		t.Run("unexpected message", func(t *testing.T) {
			p := open(t)
			send(t, p.server, row("x"))
			if err := p.untilDead(); err == nil {
				t.Error("no error")
			}
		})
		t.Run("no protocol", func(t *testing.T) {
			p := open(t)
			send(t, p.server, []byte("E\x00\x00\x00\x00nonsense"))
			if err := p.untilDead(); err == nil {
				t.Error("no error")
			}
		})
		t.Run("deadline stays", func(t *testing.T) {
			p := open(t)
			send(t, p.server, notice("n"))
			if err := p.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
				t.Fatal(err)
			}
			received := p.Stats().BytesReceived
			for p.Stats().BytesReceived == received {
				check(t, "err", p.alive(), nil)
			}
			mustWrite(t, p.Conn, query("q"))
			got := make([]byte, 100)
			n, err := p.Read(got)
			checkBytes(t, "held", got[:n], notice("n"))
			check(t, "err", err, nil)
			if _, err := p.Read(got); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read: %v", err)
			}
		})
		t.Run("after a failed request", func(t *testing.T) {
			p := open(t)
			mustWrite(t, p.Conn, query("q"))
			send(t, p.server, rowDescription, failure("FATAL", "57P01", "bye"))
			if err := p.untilDead(); p.Fatal() == nil {
				t.Errorf("error %v, but nothing fatal", err)
			}
		})
		t.Run("own end closed", func(t *testing.T) {
			p := open(t)
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			if err := p.Alive(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("error %v", err)
			}
		})
	})
}

// goesOn checks that a request works and that held is delivered before its answer.
func (p pair) goesOn(t *testing.T, held []byte) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		typ, _ := receive(t, p.server)
		check(t, "type", typ, 'Q')
		send(t, p.server, complete("SET"), ready('I'))
	}()
	mustWrite(t, p.Conn, query("q"))
	checkBytes(t, "delivered", readPending(t, p.Conn), cat(held, complete("SET"), ready('I')))
	<-done
}

// TestAlivePartOfTLSRecord has half a TLS record arrive before Alive and the other
// half after it: the record must not be lost.
func TestAlivePartOfTLSRecord(t *testing.T) {
	client, server, socket := overTLS(t)
	p := handshake(t, client, server)
	socket.keep = true
	send(t, server, notice("n"))
	socket.keep = false
	send(t, socket, socket.kept[:10])
	check(t, "err", p.Alive(), nil)
	check(t, "err", p.Alive(), nil)
	send(t, socket, socket.kept[10:])
	p.goesOn(t, notice("n"))
}

// TestLastWords has a server that has closed the connection when a request is written: what
// it said first is found, and nothing else is waited for.
func TestLastWords(t *testing.T) {
	fatal := failure("FATAL", "57P01", "terminating connection")
	alert := &net.OpError{Op: "remote error", Err: errors.New("tls: unknown certificate authority")}
	for _, tt := range []struct {
		name     string
		said     [][]byte
		readErr  error // at the end
		writeErr error
		want     string
		unread   bool
	}{
		{name: "a reason", said: [][]byte{fatal}, writeErr: syscall.EPIPE, want: "psyco: terminating connection (57P01)"},
		{name: "in pieces", said: [][]byte{fatal[:3], fatal[3:9], fatal[9:]}, writeErr: syscall.ECONNRESET, want: "psyco: terminating connection (57P01)"},
		{name: "behind notices", said: [][]byte{notice("a"), cat(parameter("TimeZone", "UTC"), fatal)}, writeErr: syscall.EPIPE, want: "psyco: terminating connection (57P01)"},
		{name: "none", writeErr: syscall.EPIPE, want: "<nil>"},
		{name: "a part of one", said: [][]byte{fatal[:9]}, writeErr: syscall.EPIPE, want: "<nil>"},
		{name: "an ordinary error", said: [][]byte{failure("ERROR", "42601", "syntax error")}, writeErr: syscall.EPIPE, want: "<nil>"},
		{name: "TLS's", readErr: alert, writeErr: syscall.EPIPE, want: "remote error: tls: unknown certificate authority"},
		{name: "reset", readErr: syscall.ECONNRESET, writeErr: syscall.EPIPE, want: "<nil>"},
		{name: "a deadline has passed", said: [][]byte{fatal}, writeErr: os.ErrDeadlineExceeded, want: "<nil>", unread: true},
		{name: "nothing has failed", said: [][]byte{fatal}, want: "<nil>", unread: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &script{pieces: [][]byte{hello}}
			c := New(s)
			mustWrite(t, c, startup)
			if _, err := io.ReadFull(c, make([]byte, len(hello))); err != nil { // and not to the end
				t.Fatal(err)
			}
			s.pieces, s.readErr = clonePieces(tt.said), tt.readErr
			s.writes, s.writeErr = nil, tt.writeErr
			if tt.writeErr != nil {
				if _, err := c.Write(query("SELECT 1")); err == nil {
					t.Fatal("the write has not failed")
				}
			}
			reads := s.reads
			check(t, "last words", fmt.Sprint(c.LastWords()), tt.want)
			check(t, "again", fmt.Sprint(c.LastWords()), tt.want)
			check(t, "unread", s.reads == reads, tt.unread)
			if strings.Contains(tt.want, "57P01") && c.Fatal() == nil {
				t.Error("Fatal does not know")
			}
		})
	}
}
