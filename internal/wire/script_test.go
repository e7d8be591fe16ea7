package wire

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// script is a server that says what it was told to, in the given pieces, and
// keeps what the client wrote. After the last piece it ends the stream.
type script struct {
	mu       sync.Mutex
	pieces   [][]byte
	readErr  error // after the last piece, in place of io.EOF
	writes   [][]byte
	writeErr error // of every write but the first writeOK, after writeMax bytes of it
	writeOK  int
	writeMax int
	reads    int
	discard  bool // writes are not kept
}

var _ net.Conn = (*script)(nil)

func (s *script) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	for len(s.pieces) > 0 && len(s.pieces[0]) == 0 {
		s.pieces = s.pieces[1:]
	}
	if len(s.pieces) == 0 {
		return 0, cmp.Or(s.readErr, io.EOF)
	}
	n := copy(p, s.pieces[0])
	s.pieces[0] = s.pieces[0][n:]
	return n, nil
}

func (s *script) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writeErr != nil && len(s.writes) >= s.writeOK {
		return s.writeMax, s.writeErr
	}
	if !s.discard {
		s.writes = append(s.writes, bytes.Clone(p))
	}
	return len(p), nil
}

func (s *script) written() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Join(s.writes, nil)
}

func (s *script) Close() error                     { return nil }
func (s *script) LocalAddr() net.Addr              { return nil }
func (s *script) RemoteAddr() net.Addr             { return nil }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// msg is a message of either side; parts are strings, bytes, or integers of the
// width of their type.
func msg(typ byte, parts ...any) []byte {
	b, start := Begin(nil, typ)
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			b = append(b, p...)
		case []byte:
			b = append(b, p...)
		case byte:
			b = append(b, p)
		case int16:
			b = binary.BigEndian.AppendUint16(b, uint16(p))
		case int32:
			b = binary.BigEndian.AppendUint32(b, uint32(p))
		case uint32:
			b = binary.BigEndian.AppendUint32(b, p)
		default:
			panic(p)
		}
	}
	endShort(b, start)
	return b
}

func cat(messages ...[]byte) []byte { return bytes.Join(messages, nil) }

func ready(status byte) []byte     { return msg(ReadyForQuery, status) }
func complete(tag string) []byte   { return msg(CommandComplete, tag, "\x00") }
func row(value string) []byte      { return msg(DataRow, int16(1), int32(len(value)), value) }
func query(sql string) []byte      { return msg(frontQuery, sql, "\x00") }
func notice(text string) []byte    { return msg(backNotice, "SNOTICE\x00M", text, "\x00\x00") }
func parameter(k, v string) []byte { return msg(backParameterStatus, k, "\x00", v, "\x00") }
func failure(severity, code, text string) []byte {
	return msg(ErrorResponse, "S", severity, "\x00V", severity, "\x00C", code, "\x00M", text, "\x00\x00")
}

var (
	startup = cat([]byte{0, 0, 0, 18, 0, 3, 0, 0}, []byte("user\x00me\x00\x00"))
	hello   = cat(msg('R', int32(0)), parameter("server_version", "15.4"), parameter("TimeZone", "UTC"),
		msg(backKeyData, int32(4711), "\x01\x02\x03\x04"), ready('I'))
	rowDescription = msg(RowDescription, int16(1), "a\x00", int32(0), int16(0), int32(25), int16(-1), int32(-1), int16(0))
)

// connected returns a Conn that has done its startup.
func connected(t testing.TB) (*Conn, *script) {
	t.Helper()
	s := &script{pieces: [][]byte{hello}}
	c := New(s)
	mustWrite(t, c, startup)
	if got := readAll(t, c, 4096); !bytes.Equal(got, hello) {
		t.Fatalf("startup delivered %q", got)
	}
	s.writes = nil
	return c, s
}

func mustWrite(t testing.TB, c *Conn, p []byte) {
	t.Helper()
	if n, err := c.Write(p); n != len(p) || err != nil {
		t.Fatalf("Write of %d bytes: %d, %v", len(p), n, err)
	}
}

// readAll reads to the end of the stream in reads of the given size, and checks
// that none of them goes past a ReadyForQuery.
func readAll(t testing.TB, c *Conn, size int) []byte {
	t.Helper()
	var all []byte
	p := make([]byte, size)
	for {
		n, err := c.Read(p)
		all = append(all, p[:n]...)
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("Read after %d bytes: %v", len(all), err)
		}
		if n == 0 {
			t.Fatal("Read returned nothing")
		}
		for i := 0; i < len(all); {
			typ, end, err := frameAt(all, i)
			if err != nil {
				break // plain text, or not all of it yet
			}
			if typ == ReadyForQuery && end < len(all) && end > len(all)-n {
				t.Fatalf("a Read went %d bytes past a ReadyForQuery", len(all)-end)
			}
			i = end
		}
	}
}

// cuts returns ways to cut b into pieces: at every place, into single bytes, and
// not at all.
func cuts(b []byte) [][][]byte {
	all := [][][]byte{{b}}
	single := make([][]byte, 0, len(b))
	for i := range b {
		single = append(single, b[i:i+1])
		all = append(all, [][]byte{b[:i], b[i:]})
	}
	return append(all, single)
}

func clonePieces(p [][]byte) [][]byte { return append([][]byte(nil), p...) }

// eachCut calls f with a connection whose server says answer, for each way to cut
// the answer and some sizes of reads.
func eachCut(t *testing.T, answer []byte, f func(t *testing.T, c *Conn, s *script, size int)) {
	t.Helper()
	for _, size := range []int{1, 6, 4096, 1 << 17} {
		for _, pieces := range cuts(answer) {
			c, s := connected(t)
			s.pieces = clonePieces(pieces)
			f(t, c, s, size)
			if t.Failed() {
				first := 0
				if len(pieces) > 0 {
					first = len(pieces[0])
				}
				t.Fatalf("read size %d, %d pieces, the first of %d bytes", size, len(pieces), first)
			}
		}
	}
}

func check[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func checkBytes(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %s\nwant %s", what, show(got), show(want))
	}
}

// show names the messages in b.
func show(b []byte) string {
	var w strings.Builder
	for i := 0; i < len(b); {
		typ, end, err := frameAt(b, i)
		if err != nil {
			w.WriteString("…")
			break
		}
		w.WriteByte(typ)
		w.WriteString("[")
		payload := b[i+headerSize : end]
		if len(payload) > 60 {
			payload = payload[:60]
		}
		w.Write(payload)
		w.WriteString("] ")
		i = end
	}
	return strings.ReplaceAll(w.String(), "\x00", "·")
}
