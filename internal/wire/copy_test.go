package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

var (
	copyInResponse  = msg('G', byte(0), int16(1), int16(0))
	copyOutResponse = msg('H', byte(0), int16(1), int16(0))
)

func TestCopyOutStream(t *testing.T) {
	data := cat(msg('d', "one\n"), notice("n"), msg('d', ""), msg('d', "two\n"))
	for _, tt := range []struct {
		name         string
		answer, want []byte
	}{
		{"complete", cat(copyOutResponse, data, msg('c'), complete("COPY 2"), ready('I')),
			cat(notice("n"), complete("COPY 2"), ready('I'))},
		{"with more", cat(complete("SET"), copyOutResponse, data, msg('c'), complete("COPY 2"), rowDescription, row("x"), complete("SELECT 1"), ready('T')),
			cat(complete("SET"), notice("n"), complete("COPY 2"), rowDescription, row("x"), complete("SELECT 1"), ready('T'))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachCut(t, tt.answer, func(t *testing.T, c *Conn, _ *script, size int) {
				var got bytes.Buffer
				c.CopyOut(&got, func() { t.Error("aborted") })
				check(t, "used", c.CopyUsed(), false)
				mustWrite(t, c, query("COPY"))
				checkBytes(t, "delivered", readAll(t, c, size), tt.want)
				check(t, "used", c.CopyUsed(), true)
				n, err := c.CopyDone()
				check(t, "bytes", n, 8)
				check(t, "err", err, nil)
				check(t, "data", got.String(), "one\ntwo\n")
			})
		})
	}
}

func TestCopyOutFailsStream(t *testing.T) {
	e := failure("ERROR", "57014", "canceled")
	answer := cat(copyOutResponse, msg('d', strings.Repeat("x", sinkFlush)), msg('d', "two\n"), e, ready('E'))
	full := errors.New("full")
	c, s := connected(t)
	s.pieces = [][]byte{answer}
	aborts := 0
	c.CopyOut(failingWriter{full}, func() { aborts++ })
	mustWrite(t, c, query("COPY"))
	checkBytes(t, "delivered", readAll(t, c, 4096), cat(e, ready('E')))
	n, err := c.CopyDone()
	check(t, "bytes", n, 0)
	check(t, "err", err, full)
	check(t, "aborts", aborts, 1)
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestCopyOutWrites(t *testing.T) {
	// Rows are gathered, but neither split nor copied without need.
	line := strings.Repeat("x", 999) + "\n"
	var answer []byte
	for range 1000 {
		answer = append(answer, msg('d', line)...)
	}
	answer = cat(copyOutResponse, answer, msg('c'), complete("COPY 1000"), ready('I'))
	c, s := connected(t)
	s.pieces = [][]byte{answer}
	var sizes []int
	c.CopyOut(writerFunc(func(p []byte) (int, error) {
		sizes = append(sizes, len(p))
		return len(p), nil
	}), nil)
	mustWrite(t, c, query("COPY"))
	readAll(t, c, 4096)
	for i, n := range sizes {
		if n%1000 != 0 || n < sinkFlush && i < len(sizes)-1 {
			t.Errorf("write %d of %d bytes", i, n)
		}
	}
	n, err := c.CopyDone()
	check(t, "bytes", n, 1000*1000)
	check(t, "err", err, nil)
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestCopyRefused(t *testing.T) {
	refusal := appendError(nil, "0A000", ErrNoCopyWriter.Error())
	e := failure("ERROR", "22012", "division by zero")
	fatal := failure("FATAL", "57P01", "bye")
	for _, tt := range []struct {
		name                  string
		answer, want, written []byte
		err                   error
	}{
		{"out", cat(copyOutResponse, msg('d', "x\n"), notice("n"), msg('c'), complete("COPY 1"), ready('T')),
			cat(notice("n"), refusal, ready('T')), nil, ErrNoCopyWriter},
		{"out with more", cat(copyOutResponse, msg('c'), complete("COPY 0"), rowDescription, row("x"), notice("n"), complete("SELECT 1"),
			copyOutResponse, msg('d', "x\n"), msg('c'), complete("COPY 1"), ready('I')), cat(refusal, notice("n"), ready('I')), nil, ErrNoCopyWriter},
		{"out fails", cat(copyOutResponse, msg('d', "x\n"), e, ready('E')), cat(refusal, ready('E')), nil, ErrNoCopyWriter},
		{"out, then an error", cat(copyOutResponse, msg('c'), complete("COPY 0"), e, ready('E')), cat(refusal, ready('E')), nil, ErrNoCopyWriter},
		{"out dies", cat(copyOutResponse, msg('d', "x\n"), fatal), fatal, nil, ErrNoCopyWriter},
		{"in", cat(copyInResponse, e, ready('I')), cat(e, ready('I')), appendCopyFail(nil, ErrNoCopyReader.Error()), ErrNoCopyReader},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachCut(t, tt.answer, func(t *testing.T, c *Conn, s *script, size int) {
				aborts := 0
				c.SetCopyAbort(func() { aborts++ })
				mustWrite(t, c, query("COPY"))
				checkBytes(t, "delivered", readAll(t, c, size), tt.want)
				checkBytes(t, "written", s.written(), cat(query("COPY"), tt.written))
				if (aborts > 0) != (tt.err == ErrNoCopyWriter) {
					t.Errorf("%d aborts", aborts)
				}
				_, err := c.CopyDone()
				check(t, "err", err, tt.err)
				_, err = c.CopyDone()
				check(t, "err", err, nil)
			})
		})
	}
}

func TestCopyAbandoned(t *testing.T) {
	c, s := connected(t)
	s.pieces = [][]byte{cat(copyOutResponse, msg('d', "one\n"))}
	c.CopyOut(io.Discard, nil)
	mustWrite(t, c, query("COPY"))
	readAll(t, c, 4096)
	if _, err := c.CopyDone(); err != nil {
		t.Fatal(err)
	}
	// The writer is not used any more, whatever still comes.
	s.pieces = [][]byte{cat(msg('d', strings.Repeat("x", sinkBuffer+1)), msg('c'), complete("COPY 1"), ready('I'))}
	checkBytes(t, "delivered", readAll(t, c, 4096), cat(complete("COPY 1"), ready('I')))
}

// serve runs a server at the other end of a pipe: it reads the packet of the
// startup, says hello and goes on with f.
func serve(t *testing.T, f func(nc net.Conn)) *Conn {
	t.Helper()
	client, server := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := io.ReadFull(server, make([]byte, len(startup))); err != nil {
			t.Error(err)
			return
		}
		if _, err := server.Write(hello); err != nil {
			t.Error(err)
			return
		}
		f(server)
	}()
	c := New(client)
	t.Cleanup(func() {
		_ = c.Close() // closed by some tests already
		<-done
		_ = server.Close()
	})
	mustWrite(t, c, startup)
	for c.Pending() {
		if _, err := c.Read(make([]byte, 4096)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// receive reads one message.
func receive(t *testing.T, r io.Reader) (typ byte, payload []byte) {
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(r, header); err != nil {
		t.Error(err)
		return 0, nil
	}
	payload = make([]byte, binary.BigEndian.Uint32(header[1:])-4)
	if _, err := io.ReadFull(r, payload); err != nil {
		t.Error(err)
		return 0, nil
	}
	return header[0], payload
}

func send(t *testing.T, w io.Writer, messages ...[]byte) {
	if _, err := w.Write(cat(messages...)); err != nil {
		t.Error(err)
	}
}

func readPending(t *testing.T, c *Conn) []byte {
	t.Helper()
	var got []byte
	for p := make([]byte, 4096); c.Pending(); {
		n, err := c.Read(p)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p[:n]...)
	}
	return got
}

func TestCopyInFrames(t *testing.T) {
	data := strings.Repeat("0123456789abcde\n", 10_000)
	c := serve(t, func(nc net.Conn) {
		receive(t, nc)
		send(t, nc, copyInResponse)
		for left := len(data); left > 0; {
			typ, payload := receive(t, nc)
			check(t, "type", typ, 'd')
			check(t, "size", len(payload), min(left, copyFrame))
			check(t, "data", string(payload), data[len(data)-left:][:len(payload)])
			left -= len(payload)
		}
		typ, payload := receive(t, nc)
		check(t, "type", typ, 'c')
		check(t, "size", len(payload), 0)
		send(t, nc, complete("COPY 10000"), ready('I'))
	})
	c.CopyIn(strings.NewReader(data))
	mustWrite(t, c, query("COPY"))
	checkBytes(t, "delivered", readPending(t, c), cat(complete("COPY 10000"), ready('I')))
	n, err := c.CopyDone()
	check(t, "bytes", n, int64(len(data)))
	check(t, "err", err, nil)
	check(t, "tag", c.CommandTag(), "COPY 10000")
}

func TestCopyInStopsAtError(t *testing.T) {
	// The pump is between two frames when the error comes: it must not write again.
	e := failure("ERROR", "22P02", "no")
	next := make(chan struct{})
	c := serve(t, func(nc net.Conn) {
		receive(t, nc)
		send(t, nc, copyInResponse)
		typ, _ := receive(t, nc)
		check(t, "type", typ, 'd')
		send(t, nc, e, ready('I'))
		typ, payload := receive(t, nc)
		check(t, "type", typ, 'Q')
		check(t, "query", string(payload), "next\x00")
		send(t, nc, complete("SET"), ready('I'))
	})
	c.CopyIn(io.MultiReader(strings.NewReader(strings.Repeat("x", copyFrame)), readerFunc(func(p []byte) (int, error) {
		<-next
		return len(p), nil
	})))
	mustWrite(t, c, query("COPY"))
	checkBytes(t, "delivered", readPending(t, c), cat(e, ready('I')))
	pump := c.copying.pump
	n, err := c.CopyDone()
	check(t, "bytes", n, copyFrame)
	check(t, "err", err, nil)
	close(next)
	<-pump.done
	mustWrite(t, c, query("next"))
	checkBytes(t, "delivered", readPending(t, c), cat(complete("SET"), ready('I')))
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestCopyInBadReaders(t *testing.T) {
	failed := errors.New("broken\x00 pipe \xff")
	for _, tt := range []struct {
		name   string
		r      io.Reader
		reason string
		err    error
	}{
		{"error", readerFunc(func([]byte) (int, error) { return 0, failed }), "broken pipe ", failed},
		{"error with data", readerFunc(func(p []byte) (int, error) { return copy(p, "x"), failed }), "broken pipe ", failed},
		{"no progress", readerFunc(func([]byte) (int, error) { return 0, nil }), io.ErrNoProgress.Error(), io.ErrNoProgress},
		{"count too high", readerFunc(func(p []byte) (int, error) { return len(p) + 1, nil }), "psyco: the reader returned an impossible count: 65537", nil},
		{"count negative", readerFunc(func([]byte) (int, error) { return -1, nil }), "psyco: the reader returned an impossible count: -1", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := failure("ERROR", "57014", "COPY from stdin failed")
			c := serve(t, func(nc net.Conn) {
				receive(t, nc)
				send(t, nc, copyInResponse)
				typ, payload := receive(t, nc)
				if typ == 'd' {
					check(t, "data", string(payload), "x")
					typ, payload = receive(t, nc)
				}
				check(t, "type", typ, 'f')
				check(t, "reason", string(payload), tt.reason+"\x00")
				send(t, nc, e, ready('I'))
			})
			c.CopyIn(tt.r)
			mustWrite(t, c, query("COPY"))
			checkBytes(t, "delivered", readPending(t, c), cat(e, ready('I')))
			_, err := c.CopyDone()
			if err == nil || tt.err != nil && err != tt.err {
				t.Errorf("CopyDone: %v", err)
			}
		})
	}
}

func TestCopyInConnectionLost(t *testing.T) {
	c := serve(t, func(nc net.Conn) {
		receive(t, nc)
		send(t, nc, copyInResponse)
		receive(t, nc)
		if err := nc.Close(); err != nil {
			t.Error(err)
		}
	})
	c.CopyIn(readerFunc(func(p []byte) (int, error) { return len(p), nil }))
	mustWrite(t, c, query("COPY"))
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("the end of the stream: %v", err)
	}
	pump := c.copying.pump
	n, err := c.CopyDone()
	if n < copyFrame || err != nil {
		t.Errorf("CopyDone: %d, %v", n, err)
	}
	<-pump.done
	check(t, "pending", c.Pending(), true)
}

// TestPqCopyInHearsNotices: lib/pq takes everything else that a server says by itself
// for the end of the connection while its goroutine reads.
func TestPqCopyInHearsNotices(t *testing.T) {
	c, s := connected(t)
	c.AllowCopyIn(true)
	s.pieces = [][]byte{copyInResponse}
	mustWrite(t, c, query("COPY"))
	readAll(t, c, 4096)
	mustWrite(t, c, msg('c'))
	s.pieces = [][]byte{cat(msg(backNotification, int32(1), "c\x00\x00"), notice("n"), parameter("a", "b"), complete("COPY 0"), ready('T'))}
	checkBytes(t, "delivered", readAll(t, c, 4096), cat(notice("n"), complete("COPY 0"), ready('T')))
	value, _ := c.Parameter("a")
	check(t, "the parameter", value, "b")
}

func TestPqCopyInFramesAreDroppedAfterError(t *testing.T) {
	e := failure("ERROR", "22P02", "no")
	c, s := connected(t)
	c.AllowCopyIn(true)
	s.pieces = [][]byte{copyInResponse}
	mustWrite(t, c, query("COPY"))
	checkBytes(t, "delivered", readAll(t, c, 4096), copyInResponse)
	mustWrite(t, c, msg('d', "1\n"))
	s.pieces = [][]byte{cat(e, ready('E'))}
	checkBytes(t, "delivered", readAll(t, c, 4096), cat(e, ready('E')))
	mustWrite(t, c, msg('d', "2\n"))
	mustWrite(t, c, msg('c'))
	check(t, "pending", c.Pending(), false)
	checkBytes(t, "written", s.written(), cat(query("COPY"), msg('d', "1\n")))

	s.pieces, s.writes = [][]byte{copyInResponse}, nil
	mustWrite(t, c, query("COPY"))
	readAll(t, c, 4096)
	check(t, "FailCopy", c.FailCopy("why"), nil)
	mustWrite(t, c, msg('c'))
	checkBytes(t, "written", s.written(), cat(query("COPY"), msg('f', "why\x00")))
}
