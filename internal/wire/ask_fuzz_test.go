package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// FuzzAsk answers the same request, sent by lib/pq and with Ask, in the same pieces. The
// answer must be taken exactly, or handed over as if there were no Ask, and what
// is known of the session must be the same; also where rows are taken with NextRow.
func FuzzAsk(f *testing.F) {
	// Input is either the stream itself or chooses messages for it.
	choice := [][]byte{bound, row("x"), row(""), row(strings.Repeat("x", 1500)), complete("SELECT 1"), ready('I'), ready('T'), ready('E'),
		notice("n"), parameter("a", "b"), failure("ERROR", "22012", "x"), failure("FATAL", "57P01", "x"), complete("DISCARD ALL"),
		msg(EmptyQueryResponse), msg('A', int32(1), "c\x00\x00"), msg('G', byte(0), int16(0)), msg('H', byte(0), int16(0)), msg('s'), msg('C'), msg('D'),
		row(strings.Repeat("x", 70_000)), msg('Z', "?"), msg('T', int16(0)), parsed, params, rowDescription, noData,
		msg(ParameterDescription, int16(0), int32(23)), msg('d', "x"), msg('c')}
	f.Add([]byte("\x17\x18\x1a\x00\x04\x05"), true, 3, 7)
	f.Add([]byte("\x17\x18\x19\x00\x01\x02\x04\x05\x08\x0b"), true, 5000, 4096)
	f.Add([]byte("\x17\x18\x19\x00\x03\x03\x03\x04\x05"), true, 4000, 4096)
	f.Add([]byte("\x17\x18\x19\x00\x01\x0a\x05\x00\x04\x05"), true, 100, 1)
	f.Add([]byte("\x00\x12\x05"), true, 100, 100)
	f.Add([]byte("\x08\x17\x18\x1a\x00\x04\x05"), true, 1, 100)
	f.Add([]byte("\x17\x18\x1a\x00\x04\x06"), true, 1, 100)
	f.Add([]byte("\x17\x18\x19\x00\x14\x04\x05"), true, 9000, 100)
	f.Add([]byte("\x17\x18\x19\x00\x01\x04\x05"), true, 100, 100)
	f.Add([]byte("\x17\x00\x19\x01\x04\x05"), true, 7, 100)
	f.Add([]byte("\x17\x18\x1a\x00\x04\x05"), true, 100, 7)
	f.Add([]byte("\x17\x1b\x19\x00\x01\x09\x05"), true, 100, 7)
	f.Add([]byte("\x17\x18\x1a\x00\x10\x1c\x1c\x1d\x04\x05"), true, 9, 7)
	f.Add(cat(parsed, params, rowDescription, bound, row("1"), complete("SELECT 1"), ready('I')), false, 1, 4096)
	f.Add([]byte("2\x00\x00\x00\x04D\xff\xff\xff\xff"), false, 1, 4096)
	f.Add([]byte("2\x00\x00\x00\x03"), false, 1, 4096)
	f.Fuzz(func(t *testing.T, stream []byte, choose bool, piece, size int) {
		if choose {
			chosen := stream[:min(len(stream), 60)]
			stream = nil
			for _, b := range chosen {
				stream = append(stream, choice[int(b)%len(choice)]...)
			}
		}
		if piece < 1 || size < 1 || size > 1<<20 {
			return
		}
		pieces := func(rest []byte) (p [][]byte) {
			for len(rest) > 0 {
				n := min(piece, len(rest))
				p = append(p, bytes.Clone(rest[:n]))
				rest = rest[n:]
			}
			return p
		}
		read := func(c *Conn, all []byte) ([]byte, error) {
			p := make([]byte, size)
			for {
				n, err := c.Read(p)
				all = append(all, p[:n]...)
				if err != nil {
					return all, err
				}
			}
		}

		theirs, s := connected(t)
		s.pieces = pieces(stream)
		mustWrite(t, theirs, whole)
		want, wantErr := read(theirs, nil)
		want = asSimple(want)

		events := theirs.TakeEvents()
		for _, share := range []bool{false, true} {
			ours, s := connected(t)
			s.pieces = pieces(stream)
			rows, taken := ours.Ask(whole, nil, ColumnsUnknown)
			var got []byte
			switch {
			case taken:
				check(t, "pending when taken", ours.Pending(), false)
				check(t, "can ask when taken", ours.CanAsk(), true)
				if columns := ours.Description().Fields; columns != nil {
					got = AppendRowDescription(got, columns)
				}
				got = cat(got, rows, complete(ours.CommandTag()), ready('I'))
				for i := 0; i < len(rows); {
					typ, end, err := frameAt(rows, i)
					if typ != DataRow || err != nil {
						t.Fatalf("rows with %q, %v", typ, err)
					}
					i = end
				}
			case share:
				ours.TakeRows()
				fallthrough
			default:
				mustWrite(t, ours, usual)
			}
			checkBytes(t, "written", s.written(), whole)
			var gotErr error
			if share {
				got, gotErr = readShared(ours, got, size, rand.New(rand.NewPCG(uint64(piece), uint64(size))))
			} else {
				got, gotErr = read(ours, got)
			}
			if errors.Is(gotErr, ErrProtocol) { // it may be found inside of a long row
				got, want = undivided(got), undivided(want)
			}
			checkBytes(t, "delivered", got, want)
			check(t, "malformed", errors.Is(gotErr, ErrProtocol), errors.Is(wantErr, ErrProtocol))
			if !errors.Is(gotErr, ErrProtocol) { // of two mistakes, which is found first depends on the pieces
				check(t, "error", fmt.Sprint(gotErr), fmt.Sprint(wantErr))
			}
			check(t, "status", ours.TxStatus(), theirs.TxStatus())
			check(t, "tag", ours.CommandTag(), theirs.CommandTag())
			check(t, "fatal", ours.Fatal() != nil, theirs.Fatal() != nil)
			check(t, "pending", ours.Pending(), theirs.Pending())
			check(t, "events", ours.TakeEvents(), events)
			check(t, "parameters", fmt.Sprint(ours.Parameters()), fmt.Sprint(theirs.Parameters()))
		}
	})
}

// undivided leaves out a message of which only a part is there.
func undivided(b []byte) []byte {
	i := 0
	for {
		_, end, err := frameAt(b, i)
		if err != nil {
			return b[:i]
		}
		i = end
	}
}

// readShared reads like lib/pq, but takes some rows in between. The Conn itself
// must know when it is in the middle of a message.
func readShared(c *Conn, all []byte, size int, r *rand.Rand) ([]byte, error) {
	p := make([]byte, size)
	for {
		for r.IntN(3) > 0 {
			if payload, ok := c.NextRow(); ok {
				all = append(all, msg(DataRow, payload)...)
			}
		}
		n, err := c.Read(p)
		all = append(all, p[:n]...)
		if err != nil {
			return all, err
		}
	}
}
