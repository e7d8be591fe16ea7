package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
)

// TestPhase has a server say what does not belong where it says it. Whoever reads
// gets what came before, and an error.
func TestPhase(t *testing.T) {
	simple := query("q")
	unnamed := cat(msg(frontParse, "\x00q\x00", int16(0)), msg(frontBind, "\x00\x00", int16(0), int16(0), int16(0)),
		msg(frontDescribe, "P\x00"), msg(frontExecute, "\x00", int32(0)), msg(frontSync))
	prepare := cat(msg(frontParse, "s\x00q\x00", int16(0)), msg(frontDescribe, "Ss\x00"), msg(frontSync))
	e, copyOut, copyIn := failure("ERROR", "22012", "x"), msg('H', byte(0), int16(0)), msg('G', byte(0), int16(0))
	data := msg('d', "x")
	for _, tt := range []struct {
		name    string
		request []byte
		right   []byte // what comes before
		wrong   []byte
	}{
		{"no AuthenticationOk", nil, nil, ready('I')},
		{"a key before AuthenticationOk", nil, nil, msg('K', int32(1), "key.")},
		{"a parameter before AuthenticationOk", nil, msg('R', int32(3)), parameter("a", "b")},
		{"a notice before AuthenticationOk", nil, nil, notice("n")},
		{"AuthenticationOk twice", nil, msg('R', int32(0)), msg('R', int32(0))},
		{"two negotiations", nil, msg('v', int32(0), int32(0)), msg('v', int32(0), int32(0))},
		{"two keys", nil, cat(msg('R', int32(0)), msg('K', int32(1), "key.")), msg('K', int32(1), "key.")},
		{"a negotiation after AuthenticationOk", nil, msg('R', int32(0)), msg('v', int32(0), int32(0))},
		{"an answer before the session", nil, msg('R', int32(0)), complete("SELECT 1")},
		{"authentication in a session", simple, nil, msg('R', int32(0))},
		{"a key in a session", simple, nil, msg('K', int32(1), "key.")},
		{"an unknown type", simple, rowDescription, msg('x', row("1")[headerSize:])},
		{"a row without a description", simple, nil, row("1")},
		{"a row behind the end", simple, cat(rowDescription, complete("SELECT 0")), row("1")},
		{"two descriptions", simple, rowDescription, rowDescription},
		{"rows without an end", simple, cat(rowDescription, row("1")), ready('I')},
		{"nothing", simple, nil, ready('I')},
		{"an answer to Parse", simple, nil, parsed},
		{"a part of the rows", simple, cat(rowDescription, row("1")), msg(PortalSuspended)},
		{"rows in the midst of a COPY", simple, cat(copyOut, data), row("1")},
		{"COPY without an end", simple, cat(copyOut, data), complete("COPY 1")},
		{"the outcome of another statement", simple, cat(copyOut, data, msg('c')), complete("COMMIT")},
		{"COPY data without COPY", simple, nil, data},
		{"COPY data behind its end", simple, cat(copyOut, data, msg('c')), data},
		{"the other COPY", simple, copyOut, copyIn},
		{"COPY both ways", simple, nil, msg('W', byte(0), int16(0))},
		{"a function's result", simple, nil, msg('V', int32(-1))},
		{"an outcome behind an error", simple, e, complete("SELECT 0")},
		{"a row behind an error", simple, cat(rowDescription, e), row("1")},
		{"no ParseComplete", unnamed, nil, bound},
		{"no BindComplete", unnamed, parsed, rowDescription},
		{"no description", unnamed, cat(parsed, bound), row("1")},
		{"ParseComplete twice", unnamed, parsed, parsed},
		{"rows where there are none", unnamed, cat(parsed, bound, noData), row("1")},
		{"two outcomes", unnamed, cat(parsed, bound, noData, complete("INSERT 0 1")), complete("INSERT 0 1")},
		{"an empty query with rows", unnamed, cat(parsed, bound, rowDescription, row("1")), msg(EmptyQueryResponse)},
		{"ReadyForQuery before the outcome", unnamed, cat(parsed, bound, noData), ready('I')},
		{"ReadyForQuery twice", unnamed, cat(parsed, bound, noData, complete("A"), ready('I')), ready('I')},
		{"COPY that was not asked for", unnamed, cat(parsed, bound, rowDescription, copyIn), row("1")},
		{"rows of a statement that is prepared", prepare, cat(parsed, params, rowDescription), row("1")},
		{"a description alone", prepare, parsed, rowDescription},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer := cat(tt.right, tt.wrong)
			for _, pieces := range append(cuts(answer), [][]byte{tt.right, tt.wrong[:headerSize]}) {
				s := &script{}
				c := New(s)
				if tt.request == nil {
					mustWrite(t, c, startup)
				} else {
					c, s = connected(t)
					c.AllowCopyIn(true) // or it would be refused
					mustWrite(t, c, tt.request)
				}
				s.pieces = clonePieces(pieces)
				if n := len(pieces); (tt.wrong[0] == ReadyForQuery || tt.wrong[0] == CommandComplete) && n == 2 && len(pieces[1]) == headerSize {
					continue // what is wrong has not come
				}
				_, err := io.ReadAll(c)
				if !errors.Is(err, ErrProtocol) {
					t.Fatalf("error %v", err)
				}
				if c.Err() == nil || !c.Pending() && tt.name != "ReadyForQuery twice" {
					t.Error("the connection can be used again")
				}
			}
		})
	}
}

// TestShape has messages whose contents are not what their type demands.
func TestShape(t *testing.T) {
	long := strings.Repeat("x", 40_000)
	rows := func(b []byte) []byte { return cat(rowDescription, b) }
	for _, tt := range []struct {
		name   string
		answer []byte
	}{
		{"a row with too few columns", rows(msg('D', int16(0)))},
		{"a row with too many columns", rows(msg('D', int16(2), int32(-1), int32(-1)))},
		{"a row with trailing bytes", rows(msg('D', int16(1), int32(1), "ab"))},
		{"a row with another negative length", rows(msg('D', int16(1), int32(-2)))},
		{"a row shorter than its value", rows(msg('D', int16(1), int32(5), "a"))},
		{"a row without a length", rows(msg('D', int16(1)))},
		{"a row without a count", rows(msg('D'))},
		{"a long row with trailing bytes", rows(msg('D', int16(1), int32(len(long)), long, "x"))},
		{"a long row shorter than its value", rows(msg('D', int16(1), int32(len(long)+1), long))},
		{"a long row with too few columns", rows(msg('D', int16(0), long))},
		{"a long row with a negative length", rows(msg('D', int16(1), int32(-3), long))},
		{"a description without its columns", msg('T', int16(1))},
		{"a description of an endless name", msg('T', int16(1), long)},
		{"a description that is cut short", msg('T', rowDescription[headerSize:len(rowDescription)-1])},
		{"a description with too many bytes", msg('T', int16(0), "x")},
		{"a description in an unknown format", msg('T', int16(1), "a\x00", int32(0), int16(0), int32(25), int16(-1), int32(-1), int16(2))},
		{"a tag without a count", complete("SELECT ")},
		{"a tag with a strange count", complete("INSERT 0 x")},
		{"a tag with a part too few", complete("INSERT 3")},
		{"a tag with a count beyond 64 bits", complete("UPDATE 99999999999999999999")},
		{"a tag with NUL", complete("SELECT 1\x00")},
		{"an error without an end", msg('E', "SERROR\x00C22012\x00Mx\x00")},
		{"an error with bytes behind its end", msg('E', "SERROR\x00C22012\x00Mx\x00\x00x")},
		{"an error with half a code", msg('E', "SERROR\x00C2\x00Mx\x00\x00")},
		{"a notice without an end", msg('N', "Mx")},
		{"a notification without a channel", msg('A', int32(1))},
		{"a parameter without a value", msg('S', "a\x00")},
		{"a parameter with two values", msg('S', "a\x00b\x00c\x00")},
		{"a COPY of no columns", msg('G')},
		{"a COPY of more columns than it has", msg('H', byte(0), int16(2), int16(0))},
		{"an empty query with something", msg('I', "x")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, pieces := range [][][]byte{{tt.answer}, {tt.answer[:5], tt.answer[5:]}, {tt.answer[:len(tt.answer)-1], tt.answer[len(tt.answer)-1:]}} {
				for _, size := range []int{7, 4096, 1 << 20} {
					c, s := connected(t)
					s.pieces = clonePieces(append(pieces, ready('I')))
					mustWrite(t, c, query("q"))
					got, err := readTo(c, size)
					if !errors.Is(err, ErrProtocol) {
						t.Fatalf("error %v", err)
					}
					if len(got) >= len(tt.answer) {
						t.Errorf("all of the message was delivered")
					}
				}
			}
		})
	}
}

func readTo(c *Conn, size int) (all []byte, err error) {
	p := make([]byte, size)
	for {
		n, err := c.Read(p)
		all = append(all, p[:n]...)
		if err != nil {
			return all, err
		}
	}
}

// TestAuthenticationShape has requests for authentication that cannot be read.
func TestAuthenticationShape(t *testing.T) {
	for name, b := range map[string][]byte{
		"no code":              msg('R'),
		"half a code":          msg('R', int16(0)),
		"a short salt":         msg('R', int32(5), "sal"),
		"no salt":              msg('R', int32(5)),
		"a long salt":          msg('R', int32(5), "salty"),
		"OK and more":          msg('R', int32(0), "x"),
		"no mechanisms":        msg('R', int32(10)),
		"mechanisms cut short": msg('R', int32(10), "SCRAM-SHA-256\x00"),
		"too long":             msg('R', int32(11), strings.Repeat("x", 2000)),
		"a short negotiation":  msg('v', int32(0)),
		"options too few":      msg('v', int32(0), int32(2), "a\x00"),
		"options too many":     msg('v', int32(0), int32(0), "a\x00"),
		"a negative count":     msg('v', int32(0), int32(-1)),
	} {
		t.Run(name, func(t *testing.T) {
			for _, pieces := range cuts(b) {
				c := New(&script{pieces: clonePieces(pieces)})
				mustWrite(t, c, startup)
				if got, err := readTo(c, 4096); len(got) > 0 || !errors.Is(err, ErrProtocol) {
					t.Fatalf("delivered %q, error %v", got, err)
				}
			}
		})
	}
}

// TestRowsOfStatements: rows that are not described in their answer must be like
// the description of their statement.
func TestRowsOfStatements(t *testing.T) {
	c, s := connected(t)
	s.pieces = [][]byte{cat(parsed, params, rowDescription, ready('I'))}
	mustWrite(t, c, prepare("1", "q"))
	readAll(t, c, 4096)
	answer := cat(bound, row("x"), complete("SELECT 1"), ready('I'))
	s.pieces = [][]byte{answer}
	mustWrite(t, c, execute("1", "v"))
	checkBytes(t, "delivered", readAll(t, c, 4096), answer)
	s.pieces = [][]byte{cat(bound, msg(DataRow, int16(2), int32(-1), int32(-1)))}
	mustWrite(t, c, execute("1", "v"))
	if got, err := readTo(c, 4096); !errors.Is(err, ErrProtocol) || !bytes.Equal(got, bound) {
		t.Errorf("delivered %s, error %v", show(got), err)
	}

	c, s = connected(t)
	s.pieces = [][]byte{cat(bound, row("x"), complete("SELECT 1"), ready('I'))}
	if _, ok := c.Ask(request, nil, 2); ok {
		t.Error("a row of one column was taken where the statement has two")
	}
	mustWrite(t, c, usual)
	if _, err := readTo(c, 4096); !errors.Is(err, ErrProtocol) {
		t.Errorf("error %v", err)
	}
}

// TestPromise has a server promise what does not come: memory grows with what comes.
func TestPromise(t *testing.T) {
	header := func(typ byte, size uint32) []byte { return binary.BigEndian.AppendUint32([]byte{typ}, size) }
	inRows := cat(rowDescription, row("1"))
	for _, tt := range []struct {
		name     string
		before   []byte
		header   []byte
		delivers bool // of the header
	}{
		{"DataRow", inRows, header('D', longLimit), false},
		{"RowDescription", nil, header('T', longLimit), false},
		{"NoticeResponse", nil, header('N', longLimit), false},
		{"NotificationResponse", nil, header('A', longLimit), false},
		{"ErrorResponse", nil, header('E', longLimit), false},
		{"CopyData", nil, header('d', longLimit), false},
		{"of no type", nil, header('x', longLimit), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, s := connected(t)
			s.pieces = [][]byte{cat(tt.before, tt.header), make([]byte, 100_000)}
			mustWrite(t, c, query("q"))
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			start := m.TotalAlloc
			got, _ := readTo(c, 4096)
			checkBytes(t, "delivered", got, tt.before)
			runtime.ReadMemStats(&m)
			if used := m.TotalAlloc - start; used > 1<<20 {
				t.Errorf("%d bytes allocated", used)
			}
		})
	}
}

// TestLongRow delivers a row that is longer than what is promised to lib/pq at once.
func TestLongRow(t *testing.T) {
	for _, size := range []int{heldRow - 11, heldRow - 10, heldRow, promised - 11, promised + 1, 40 << 20} {
		long := strings.Repeat("x", size)
		answer := cat(rowDescription, row(long), row("short"), complete("SELECT 2"), ready('I'))
		c, s := connected(t)
		s.pieces = [][]byte{answer[:100], answer[100:5000], answer[5000:]}
		mustWrite(t, c, query("x"))
		if !bytes.Equal(readAllFast(t, c, 1<<20), answer) {
			t.Errorf("%d bytes: something else was delivered", size)
		}
		if n := len(c.reader.buf); n > bulkBuffer {
			t.Errorf("%d bytes: the buffer has grown to %d bytes", size, n)
		}
	}
}

// TestEndlessText has a server that speaks no protocol and does not stop.
func TestEndlessText(t *testing.T) {
	text := []byte("E" + strings.Repeat("no such thing ", 10_000))
	for _, piece := range []int{1000, len(text)} {
		s := &script{}
		for rest := text; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
			s.pieces = append(s.pieces, rest[:min(piece, len(rest))])
		}
		c := New(s)
		mustWrite(t, c, startup)
		if got, err := readTo(c, 4096); len(got) > shortLimit || !errors.Is(err, ErrProtocol) {
			t.Errorf("%d bytes delivered, error %v", len(got), err)
		}
	}
}

// TestParameterFlood reports parameters without end.
func TestParameterFlood(t *testing.T) {
	c, s := connected(t)
	value := strings.Repeat("v", 20_000)
	for i := range 100 {
		s.pieces = append(s.pieces, parameter(strings.Repeat("p", i+1), value))
	}
	mustWrite(t, c, query("q"))
	if _, err := readTo(c, 4096); !errors.Is(err, ErrProtocol) {
		t.Errorf("error %v", err)
	}
	// The same ones again and again are harmless.
	c, s = connected(t)
	for i := range 1000 {
		s.pieces = append(s.pieces, parameter("p", value[:i]))
	}
	mustWrite(t, c, query("q"))
	if _, err := readTo(c, 4096); !errors.Is(err, io.EOF) {
		t.Errorf("error %v", err)
	}
}

// TestByteByByte: an answer that comes in single bytes is looked at once, not again
// for each of them.
func TestByteByByte(t *testing.T) {
	messages := [][]byte{bound, row("a"), row(""), row("abc"), complete("SELECT 3"), ready('I')}
	c, _ := connected(t)
	c.begin(true)
	c.expect(request, nil)
	c.load()
	rd := &c.reader
	rd.r, rd.w = 0, 0
	a := plain{phase: c.phase}
	for i, m := range messages {
		at := rd.w
		for _, b := range m {
			check(t, "where it goes on", a.at, at)
			rd.buf[rd.w] = b
			rd.w++
			complete, known := c.plainAnswer(&a)
			last := i == len(messages)-1 && rd.w == at+len(m)
			check(t, "complete", complete, last)
			check(t, "known", known, !last)
		}
	}
	checkBytes(t, "rows", c.takePlain(&a), cat(messages[1:4]...))
}

// FuzzShape checks that what checkShape lets pass can be read by whoever reads it.
func FuzzShape(f *testing.F) {
	for _, b := range [][]byte{rowDescription, row("x"), params, complete("INSERT 0 1"), ready('I'), notice("n"), parameter("a", "b"),
		failure("FATAL", "57P01", "x"), msg('A', int32(1), "c\x00\x00"), msg('G', byte(1), int16(1), int16(1)), msg('R', int32(5), "salt"),
		msg('R', int32(10), "SCRAM-SHA-256\x00\x00"), msg('v', int32(0), int32(1), "_pq_.x\x00"), msg('K', int32(1), "key.")} {
		f.Add(b[0], b[headerSize:], 1)
	}
	f.Add(byte('D'), []byte("\x00\x02\xff\xff\xff\xff\x00\x00\x00\x01x"), -1)
	f.Fuzz(func(t *testing.T, typ byte, payload []byte, columns int) {
		right := checkShape(typ, payload, columns) == nil
		switch typ {
		case DataRow:
			cells, err := ParseDataRow(nil, payload)
			check(t, "right", right, err == nil && (len(cells) == columns || columns == ColumnsUnknown))
			checkWalk(t, payload, columns, right)
		case RowDescription:
			fields, err := ParseRowDescription(nil, payload)
			if right && err != nil || right && !bytes.Equal(AppendRowDescription(nil, fields)[headerSize:], payload) {
				t.Errorf("%v", err)
			}
		case ParameterDescription:
			if types, err := ParseParameterDescription(nil, payload); right && err != nil && len(payload) <= 2+4*0xffff {
				t.Errorf("%d types, %v", len(types), err)
			}
		case CommandComplete:
			if tag, err := ParseCommandComplete(payload); right && err != nil {
				t.Errorf("%q, %v", tag, err)
			}
		case ErrorResponse, backNotice:
			e, err := ParseError(payload)
			if right && (err != nil || e.Code != "" && len(e.Code) != 5) {
				t.Errorf("%v, %v", e, err)
			}
		case backNotification:
			if right {
				n := parseNotification(payload)
				if want := msg('A', n.PID, n.Channel, "\x00", n.Payload, "\x00"); !bytes.Equal(want[headerSize:], payload) {
					t.Errorf("%v of %q", n, payload)
				}
			}
		}
	})
}

// checkWalk takes a row in all sizes of pieces.
func checkWalk(t *testing.T, payload []byte, columns int, right bool) {
	t.Helper()
	for _, size := range []int{1, 2, 3, 7, len(payload) + 1} {
		w := rowWalk{active: true, columns: columns}
		ok := true
		for rest := payload; ok && len(rest) > 0; {
			n := min(size, len(rest))
			ok = w.next(rest[:n])
			rest = rest[n:]
		}
		check(t, "in pieces", ok && w.complete(), right)
	}
}
