package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
)

func TestStartupState(t *testing.T) {
	key := strings.Repeat("k", 256)
	stream := cat(msg('v', int32(0), int32(0)), msg('R', int32(5), "salt"), msg('R', int32(0)), parameter("TimeZone", "UTC"),
		notice("welcome"), msg(backKeyData, int32(-2), key), ready('I'))
	for _, pieces := range cuts(stream) {
		s := &script{pieces: clonePieces(pieces)}
		c := New(s)
		check(t, "pending", c.Pending(), false)
		check(t, "status", c.TxStatus(), 0)
		mustWrite(t, c, startup)
		check(t, "pending", c.Pending(), true)
		mustWrite(t, c, msg('p', "md5…\x00"))
		checkBytes(t, "delivered", readAll(t, c, 100), stream)
		checkBytes(t, "written", s.written(), cat(startup, msg('p', "md5…\x00")))
		check(t, "pending", c.Pending(), false)
		check(t, "status", c.TxStatus(), 'I')
		check(t, "pid", c.PID(), 0xfffffffe)
		check(t, "key", string(c.CancelKey()), key)
		zone, ok := c.Parameter("TimeZone")
		check(t, "TimeZone", zone, "UTC")
		check(t, "ok", ok, true)
		check(t, "parameters", len(c.Parameters()), 1)
		check(t, "events", c.TakeEvents(), 0)
	}
}

func TestPlainTextError(t *testing.T) {
	text := []byte("Ecould not fork new process for connection: Cannot allocate memory\n\x00")
	for _, pieces := range cuts(text) {
		c := New(&script{pieces: clonePieces(pieces)})
		mustWrite(t, c, startup)
		checkBytes(t, "delivered", readAll(t, c, 4096), text)
		check(t, "fatal", c.Fatal(), nil)
	}
}

func TestSimpleQuery(t *testing.T) {
	answer := cat(parameter("TimeZone", "Europe/Vienna"), rowDescription, row("x"), notice("n"), row(strings.Repeat("long", 300)),
		complete("SELECT 2"), msg(backNotification, int32(1), "ch\x00\x00"), complete("DISCARD ALL"), complete("INSERT 0 3"), ready('T'))
	eachCut(t, answer, func(t *testing.T, c *Conn, s *script, size int) {
		mustWrite(t, c, query("SELECT"))
		check(t, "pending", c.Pending(), true)
		checkBytes(t, "delivered", readAll(t, c, size), answer)
		checkBytes(t, "written", s.written(), query("SELECT"))
		check(t, "pending", c.Pending(), false)
		check(t, "status", c.TxStatus(), 'T')
		check(t, "tag", c.CommandTag(), "INSERT 0 3")
		check(t, "events", c.TakeEvents(), EventDiscardAll|EventParameter)
		check(t, "events", c.TakeEvents(), 0)
		zone, _ := c.Parameter("TimeZone")
		check(t, "TimeZone", zone, "Europe/Vienna")
		check(t, "round trips", c.Stats().RoundTrips, 2)
		check(t, "received", c.Stats().BytesReceived, uint64(len(hello)+len(answer)))
		check(t, "sent", c.Stats().BytesSent, uint64(len(startup)+len(query("SELECT"))))
		mustWrite(t, c, query("x"))
		check(t, "tag", c.CommandTag(), "")
	})
}

func TestHeldAfterReady(t *testing.T) {
	// What follows a ReadyForQuery at once belongs to the next answer.
	first, second := cat(complete("A"), ready('I')), cat(notice("idle"), complete("B"), ready('I'))
	eachCut(t, cat(first, second), func(t *testing.T, c *Conn, _ *script, size int) {
		mustWrite(t, c, query("a"))
		var got []byte
		p := make([]byte, size)
		for len(got) < len(first) {
			n, err := c.Read(p)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, p[:n]...)
		}
		checkBytes(t, "first", got, first)
		check(t, "tag", c.CommandTag(), "A")
		mustWrite(t, c, query("b"))
		checkBytes(t, "second", readAll(t, c, size), second)
		check(t, "tag", c.CommandTag(), "B")
	})
}

func TestFatal(t *testing.T) {
	answer := failure("FATAL", "57P01", "terminating connection due to administrator command")
	eachCut(t, answer, func(t *testing.T, c *Conn, _ *script, size int) {
		mustWrite(t, c, query("x"))
		checkBytes(t, "delivered", readAll(t, c, size), answer)
		e := c.Fatal()
		if e == nil {
			t.Fatal("no fatal error")
		}
		check(t, "code", e.Code, "57P01")
		check(t, "text", e.Error(), "psyco: terminating connection due to administrator command (57P01)")
		check(t, "pending", c.Pending(), true)
	})
}

func TestLongError(t *testing.T) {
	for _, size := range []int{29_000, 30_001, 100_000, 2_000_000} {
		long := msg(ErrorResponse, "SERROR\x00VERROR\x00CP0001\x00M", strings.Repeat("ä", size/2), "\x00Ddetail\x00\x00")
		c, s := connected(t)
		s.pieces = [][]byte{cat(long, ready('E'))}
		mustWrite(t, c, query("x"))
		got := readAll(t, c, 4096)
		typ, end, err := frameAt(got, 0)
		if err != nil || typ != ErrorResponse {
			t.Fatalf("%c %v", typ, err)
		}
		if end-headerSize > shortLimit {
			t.Errorf("lib/pq can't read an ErrorResponse of %d bytes", end-headerSize)
		}
		checkBytes(t, "rest", got[end:], ready('E'))
		e, err := ParseError(got[headerSize:end])
		if err != nil {
			t.Fatal(err)
		}
		check(t, "code", e.Code, "P0001")
		check(t, "detail", e.Detail, "detail")
		if !strings.HasPrefix(e.Message, "ääää") || strings.Trim(e.Message, "ä") != "" {
			t.Errorf("message: %.20q…", e.Message)
		}
	}
}

func TestMalformed(t *testing.T) {
	header := func(typ byte, size uint32) []byte { return binary.BigEndian.AppendUint32([]byte{typ}, size) }
	for name, b := range map[string][]byte{
		"length below 4":           header('T', 3),
		"length 0":                 header('D', 0),
		"over 1 GiB":               header('D', 0x40000001),
		"4 GiB":                    header('D', 0xffffffff),
		"long ReadyForQuery":       header('Z', 40_000),
		"ReadyForQuery of 2 bytes": msg('Z', "II"),
		"ReadyForQuery status":     msg('Z', "X"),
		"CommandComplete":          msg('C', "SELECT 1"),
		"ErrorResponse":            msg('E', "SERROR"),
		"ErrorResponse empty":      msg('E'),
		"ErrorResponse of 1 byte":  msg('E', "\x00"),
		"ParameterStatus":          msg('S', "TimeZone\x00UTC"),
		"BackendKeyData":           msg('K', "abc"),
	} {
		t.Run(name, func(t *testing.T) {
			eachCut(t, cat(rowDescription, b, ready('I')), func(t *testing.T, c *Conn, _ *script, size int) {
				mustWrite(t, c, query("x"))
				got, err := io.ReadAll(c)
				checkBytes(t, "delivered", got, rowDescription)
				var p *protocolError
				if !errors.As(err, &p) {
					t.Fatalf("error %v", err)
				}
				if n, err := c.Write(query("y")); n != 0 || !errors.As(err, &p) {
					t.Errorf("Write: %d, %v", n, err)
				}
				if err := c.Alive(); !errors.As(err, &p) {
					t.Errorf("Alive: %v", err)
				}
			})
		})
	}
}

func TestLargeResultNeedsFewReads(t *testing.T) {
	answer := []byte(rowDescription)
	for range 20_000 {
		answer = append(answer, row("some value of a row")...)
	}
	answer = cat(answer, complete("SELECT 20000"), ready('I'))
	c, s := connected(t)
	s.pieces = [][]byte{answer}
	s.reads = 0
	mustWrite(t, c, query("x"))
	checkBytes(t, "delivered", readAllFast(t, c, 4096), answer)
	if limit := len(answer)/bulkBuffer + 4; s.reads > limit {
		t.Errorf("%d reads of the socket, want at most %d", s.reads, limit)
	}
}

func TestHugeRowSkipsTheBuffer(t *testing.T) {
	huge := row(strings.Repeat("x", 10<<20))
	answer := cat(rowDescription, huge, complete("SELECT 1"), ready('I'))
	c, s := connected(t)
	s.pieces = [][]byte{answer}
	mustWrite(t, c, query("x"))
	checkBytes(t, "delivered", readAllFast(t, c, 20<<20), answer)
	if n := len(c.reader.buf); n > bulkBuffer {
		t.Errorf("the buffer has grown to %d bytes", n)
	}
}

func TestOversizedBufferIsReleased(t *testing.T) {
	c, s := connected(t)
	s.pieces = [][]byte{cat(failure("ERROR", "P0001", strings.Repeat("x", 1<<20)), ready('I'))}
	mustWrite(t, c, query("x"))
	readAllFast(t, c, 4096)
	if n := len(c.reader.buf); n <= bulkBuffer {
		t.Fatalf("a buffer of %d bytes can't have held the error", n)
	}
	mustWrite(t, c, query("x"))
	check(t, "buffer", len(c.reader.buf), bulkBuffer)
}

func TestSkipRows(t *testing.T) {
	answer := cat(rowDescription, row("1"), row("2"), row("3"), notice("n"), complete("SELECT 3"), ready('I'))
	eachCut(t, answer, func(t *testing.T, c *Conn, s *script, size int) {
		mustWrite(t, c, query("x"))
		first := cat(rowDescription, row("1"))
		got := make([]byte, len(first))
		if _, err := io.ReadFull(c, got); err != nil {
			t.Fatal(err)
		}
		c.SkipRows()
		got = append(got, readAll(t, c, size)...)
		checkBytes(t, "delivered", got, cat(first, notice("n"), complete("SELECT 3"), ready('I')))
		s.pieces = [][]byte{answer}
		c.SkipRows() // nothing is pending: no effect on the next answer
		mustWrite(t, c, query("x"))
		checkBytes(t, "next answer", readAll(t, c, size), answer)
	})
}

func readAllFast(t testing.TB, c *Conn, size int) []byte {
	t.Helper()
	var all bytes.Buffer
	p := make([]byte, size)
	for {
		n, err := c.Read(p)
		all.Write(p[:n])
		if err == io.EOF {
			return all.Bytes()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestWarmRequestAllocatesNothing(t *testing.T) {
	c, s := connected(t)
	answer := cat(msg('2'), row("1"), complete("SELECT 1"), ready('I'))
	parsedAnswer := cat(msg('1'), ready('I'))
	packet := cat(msg(frontBind, "\x00", "1\x00", int16(0), int16(0), int16(0)), msg(frontExecute, "\x00", int32(0)), msg(frontSync))
	parse := cat(msg(frontParse, "1\x00SELECT\x00", int16(0)), msg(frontSync))
	prefixed := cat(msg('1'), msg('2'), complete("BEGIN"), answer)
	p := make([]byte, 4096)
	s.discard = true
	pieces := make([][]byte, 1)
	types := []uint32{23, 25}
	for name, prepare := range map[string]func() (request, answer []byte){
		"plain": func() (_, _ []byte) { return packet, answer },
		"names": func() (_, _ []byte) {
			c.SetStatementPrefix("psyco_")
			return packet, answer
		},
		"types": func() (_, _ []byte) {
			c.DeclareTypes(types)
			return parse, parsedAnswer
		},
		"prefix": func() (_, _ []byte) {
			c.Prefix("BEGIN")
			return packet, prefixed
		},
	} {
		n := testing.AllocsPerRun(100, func() {
			var request []byte
			request, pieces[0] = prepare()
			s.pieces = pieces
			if _, err := c.Write(request); err != nil {
				t.Fatal(err)
			}
			for c.Pending() {
				if _, err := c.Read(p); err != nil {
					t.Fatal(err)
				}
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations per request", name, n)
		}
	}
}

func FuzzRead(f *testing.F) {
	// Input is either the stream itself or chooses messages for it.
	choice := [][]byte{rowDescription, row("x"), row(strings.Repeat("x", 9000)), complete("SELECT 1"), complete("COPY 1"), notice("n"),
		parameter("a", "b"), failure("ERROR", "22012", "x"), failure("FATAL", "57P01", "x"), msg('G', byte(0), int16(0)), msg('H', byte(0), int16(0)), msg('d', "data"), msg('c'),
		msg('I'), msg('1'), msg('2'), msg('3'), ready('I'), ready('T'), ready('E'), msg('A', int32(1), "c\x00\x00"), msg('Z', "?")}
	f.Add([]byte("\x00\x01\x01\x03\x11\x05"), true, 3, 4096)
	f.Add([]byte("\x0a\x0b\x0b\x05\x0c\x04\x00\x01\x03\x11"), true, 100, 7)
	f.Add([]byte("\x0a\x0b\x07\x13\x09\x07\x11\x08"), true, 1, 1)
	f.Add(cat(rowDescription, row("x"), complete("SELECT 1"), ready('I')), false, 3, 4096)
	f.Add(cat(failure("FATAL", "57P01", "x"), ready('I'), notice("y")), false, 1, 1)
	f.Add(cat(msg('H', byte(0), int16(0)), msg('d', "x"), msg('c'), complete("COPY 1"), ready('T')), false, 7, 100)
	f.Add([]byte("Ecould not fork"), false, 2, 5)
	f.Add(cat(hello, parameter("a", "b")), false, 2, 5)
	f.Fuzz(func(t *testing.T, stream []byte, choose bool, piece, size int) {
		if choose {
			chosen := stream[:min(len(stream), 100)]
			stream = nil
			for _, b := range chosen {
				stream = append(stream, choice[int(b)%len(choice)]...)
			}
		}
		if piece < 1 || size < 1 || size > 1<<20 || !choose && len(stream) > shortLimit {
			return
		}
		c, s := connected(t)
		for rest := stream; len(rest) > 0; {
			n := min(piece, len(rest))
			s.pieces = append(s.pieces, rest[:n])
			rest = rest[n:]
		}
		mustWrite(t, c, query("x"))
		var got []byte
		p := make([]byte, size)
		var err error
		for err == nil {
			var n int
			n, err = c.Read(p)
			got = append(got, p[:n]...)
		}
		want := reference(stream)
		// Of a message cut short by the end of the stream any part may be missing.
		if !bytes.HasPrefix(want.delivered, got) || len(got) < want.whole {
			t.Fatalf("delivered %s\nof %s", show(got), show(want.delivered))
		}
		if (err == io.EOF) == want.bad {
			t.Fatalf("error %v, malformed: %v", err, want.bad)
		}
		if want.tx != 0 {
			check(t, "status", c.TxStatus(), want.tx)
		}
		check(t, "tag", c.CommandTag(), want.tag)
		check(t, "fatal", c.Fatal() != nil, want.fatal)
		check(t, "pending", c.Pending(), want.tx == 0)
	})
}

type expectation struct {
	delivered  []byte // of complete messages and a last incomplete one
	whole      int    // bytes of complete messages
	bad, fatal bool
	tx         byte
	tag        string
}

// viable matches what the types of messages, without those that may come at any
// time, can be in the answer to a Query, from its beginning on. O is the outcome of
// something else than COPY.
var viable = regexp.MustCompile(`^(TD*[CO]|[CO]|I|GC|Hd*cC)*(TD*|G|Hd*c?)?(E+Z?)?E*$|^(TD*[CO]|[CO]|I|GC|Hd*cC)+ZE*$`)

// reference follows a stream in the simplest way: all of it at once.
func reference(b []byte) (e expectation) {
	refusing, discarding := false, false
	types, columns := "", 0
	for len(b) > 0 && !e.bad {
		if len(b) < 5 {
			return e
		}
		typ, size := b[0], uint64(binary.BigEndian.Uint32(b[1:]))
		short := strings.IndexByte("TDdVENAt", typ) < 0
		if size < 4 || size > longLimit || short && size > shortLimit {
			e.bad = true
			return e
		}
		async := strings.IndexByte("NAS", typ) >= 0
		end, complete := int(size)+1, true
		if end > len(b) {
			end, complete = len(b), false
		}
		m, payload := b[:end], b[5:end]
		b = b[end:]
		switch {
		case typ == 'C' && complete && !bytes.HasPrefix(payload, []byte("COPY")):
			types += "O"
		case !async:
			types += string(typ)
		}
		if !viable.MatchString(types) && (complete || typ != 'Z') || complete && checkShape(typ, payload, columns) != nil {
			e.bad = true
			return e
		}
		if !complete && typ != 'd' {
			if typ == 'D' && !discarding {
				e.delivered = append(e.delivered, m...)
			}
			return e
		}
		pass := async || !discarding
		refuse := func() {
			refusing, discarding, pass = false, true, false
			e.delivered = append(e.delivered, appendError(nil, "0A000", ErrNoCopyWriter.Error())...)
			e.whole = len(e.delivered)
		}
		switch typ {
		case 'T':
			columns = countOf(payload)
		case 'Z':
			e.tx, pass, refusing, discarding = payload[0], true, false, false
		case 'C':
			e.tag = string(payload[:len(payload)-1])
			if refusing {
				refuse()
			}
		case 'E':
			switch err, _ := ParseError(payload); {
			case err.Fatal():
				e.fatal, pass = true, true
			case refusing:
				refuse()
			}
		case 'G':
			pass = false
		case 'H':
			pass, refusing = false, true
		case 'd', 'c':
			pass = pass && !refusing
		}
		if pass {
			e.delivered = append(e.delivered, m...)
			e.whole = len(e.delivered)
		}
	}
	return e
}
