package faultproxy

import (
	"bytes"
	"reflect"
	"testing"
)

// frames gives stream to a framer in pieces of n bytes, as a reader would, and
// returns the messages and how many bytes could be forwarded.
func frames(dir Direction, asked int, stream []byte, n int) (seen []Message, forwarded int) {
	f := framer{dir: dir, asked: &asked}
	rest := 0
	for end := 0; end < len(stream); {
		end = min(end+n, len(stream))
		for forwarded < end {
			if f.phase == opaque {
				forwarded = end
				break
			}
			if rest == 0 {
				m, ok := f.next(stream[forwarded:end])
				if !ok {
					break
				}
				if m.Len == 0 {
					continue
				}
				m.Body = nil
				seen = append(seen, m)
				rest = m.Len
			}
			take := min(rest, end-forwarded)
			forwarded += take
			rest -= take
		}
	}
	return seen, forwarded
}

func FuzzFramer(f *testing.F) {
	f.Add(true, 0, bytes.Join([][]byte{sslPacket, startupPacket, query, commit}, nil), 3)
	f.Add(false, 1, bytes.Join([][]byte{[]byte("N"), ready, complete, ready}, nil), 1)
	f.Add(false, 1, []byte("S\x16\x03\x01\x00\x03abc\x17\x03\x03\x00\x00"), 2)
	f.Add(true, 0, []byte("\x16\x03\x01\x00\x03abc"), 4)
	f.Add(true, 0, []byte("\x00\x00\x00\x03\x00\x03\x00\x00 a length that is too small"), 4)
	f.Add(true, 0, append(startupPacket[:len(startupPacket):len(startupPacket)], "Q\xff\xff\xff\xff"...), 7)
	f.Fuzz(func(t *testing.T, up bool, asked int, stream []byte, n int) {
		dir, asked, n := ToClient, max(asked, 0), max(n, 1)
		if up {
			dir = ToServer
		}
		whole, forwarded := frames(dir, asked, stream, len(stream)+1)
		pieces, again := frames(dir, asked, stream, n)
		if !reflect.DeepEqual(whole, pieces) || forwarded != again {
			t.Errorf("in pieces of %d: %v (%d bytes), at once: %v (%d bytes)", n, pieces, again, whole, forwarded)
		}
		if held := len(stream) - forwarded; held >= peekLen {
			t.Errorf("%d bytes are held back", held)
		}
	})
}
