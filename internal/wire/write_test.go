package wire

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// The packets as lib/pq writes them.
func prepare(name, sql string) []byte {
	return cat(msg(frontParse, name, "\x00", sql, "\x00", int16(0)), msg(frontDescribe, "S", name, "\x00"), msg(frontSync))
}

func execute(name, value string) []byte {
	return cat(msg(frontBind, "\x00", name, "\x00", int16(0), int16(1), int32(len(value)), value, int16(0)),
		msg(frontExecute, "\x00", int32(0)), msg(frontSync))
}

func TestRewrite(t *testing.T) {
	long := strings.Repeat("v", 3*keepScratch)
	binaryMode := cat(msg(frontParse, "\x00", "q\x00", int16(0)), msg(frontBind, "\x00\x00", int16(0), int16(0), int16(0)),
		msg(frontDescribe, "P\x00"), msg(frontExecute, "\x00", int32(0)), msg(frontSync))
	for _, tt := range []struct {
		name   string
		names  string
		types  []uint32
		packet []byte
		want   []byte
		writes int
	}{
		{"nothing to do", "", nil, prepare("1", "q"), prepare("1", "q"), 1},
		{"unnamed", "p_", nil, prepare("", "q"), prepare("", "q"), 1},
		{"named", "p_", nil, prepare("1", "q"), prepare("p_1", "q"), 1},
		{"bind", "p_", nil, execute("12", "v"), execute("p_12", "v"), 1},
		{"bind unnamed", "p_", nil, execute("", "v"), execute("", "v"), 1},
		{"long bind", "p_", nil, execute("12", long), execute("p_12", long), 2},
		{"close", "p_", nil, msg(frontClose, "S1\x00"), msg(frontClose, "Sp_1\x00"), 1},
		{"close portal", "p_", nil, msg(frontClose, "P1\x00"), msg(frontClose, "P1\x00"), 1},
		{"sync", "p_", nil, msg(frontSync), msg(frontSync), 1},
		{"query", "p_", []uint32{23}, query("q"), query("q"), 1},
		{"types", "", []uint32{23, 0, 1 << 31}, prepare("", "q"),
			cat(msg(frontParse, "\x00q\x00", int16(3), uint32(23), uint32(0), uint32(1<<31)), msg(frontDescribe, "S\x00"), msg(frontSync)), 1},
		{"types and name", "p_", []uint32{23}, prepare("1", "q"),
			cat(msg(frontParse, "p_1\x00q\x00", int16(1), uint32(23)), msg(frontDescribe, "Sp_1\x00"), msg(frontSync)), 1},
		{"types before bind", "", []uint32{25}, binaryMode, cat(msg(frontParse, "\x00", "q\x00", int16(1), uint32(25)),
			binaryMode[len(msg(frontParse, "\x00", "q\x00", int16(0))):]), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, s := connected(t)
			c.SetStatementPrefix(tt.names)
			c.DeclareTypes(tt.types)
			mustWrite(t, c, tt.packet)
			checkBytes(t, "written", s.written(), tt.want)
			check(t, "writes", len(s.writes), tt.writes)
			if n := cap(c.writer.scratch); n > 2*keepScratch {
				t.Errorf("a scratch buffer of %d bytes is kept", n)
			}
			if tt.types != nil && tt.packet[0] == frontParse {
				s.writes = nil
				c.SetStatementPrefix("")
				mustWrite(t, c, tt.packet)
				checkBytes(t, "the next packet", s.written(), tt.packet)
			}
		})
	}
}

func TestDeclaredTypesWaitForParse(t *testing.T) {
	c, s := connected(t)
	c.DeclareTypes([]uint32{23})
	mustWrite(t, c, query("q"))
	mustWrite(t, c, execute("1", "v"))
	s.writes = nil
	mustWrite(t, c, msg(frontParse, "\x00q\x00", int16(0)))
	checkBytes(t, "written", s.written(), msg(frontParse, "\x00q\x00", int16(1), uint32(23)))
}

func TestRewriteRefuses(t *testing.T) {
	for name, packet := range map[string][]byte{
		"cut header":         {frontParse, 0, 0},
		"length below 4":     {frontParse, 0, 0, 0, 3, 0},
		"length over packet": {frontParse, 0, 0, 0, 30, 0},
		"types declared":     msg(frontParse, "\x00q\x00", int16(1), int32(5)),
		"no query":           msg(frontParse, "\x00"),
		"empty parse":        msg(frontParse),
		"bind without name":  msg(frontBind, "\x00"),
		"bind unterminated":  msg(frontBind, "abc"),
		"empty close":        msg(frontClose),
		"nameless close":     msg(frontClose, "S"),
	} {
		t.Run(name, func(t *testing.T) {
			c, s := connected(t)
			c.SetStatementPrefix("p_")
			c.DeclareTypes([]uint32{1})
			n, err := c.Write(packet)
			var p *protocolError
			if n != 0 || !errors.As(err, &p) {
				t.Errorf("Write: %d, %v", n, err)
			}
			check(t, "written", len(s.writes), 0)
			check(t, "pending", c.Pending(), false)
		})
	}
	c, _ := connected(t)
	c.DeclareTypes(make([]uint32, 1<<16))
	if n, err := c.Write(prepare("", "q")); n != 0 || err == nil {
		t.Errorf("65536 types: %d, %v", n, err)
	}
}

func TestWriteErrors(t *testing.T) {
	for _, tt := range []struct {
		name    string
		max     int
		packet  []byte
		n       int
		pending bool
	}{
		{"nothing written", 0, query("q"), 0, false},
		{"a part written", 3, query("q"), 3, true},
		{"only of the prefix", 3, prepare("", "q"), 3, true},
		{"more than lib/pq gave", 40, prepare("", "q"), len(prepare("", "q")), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, s := connected(t)
			c.Prefix("BEGIN")
			s.writeErr, s.writeMax = io.ErrClosedPipe, tt.max
			n, err := c.Write(tt.packet)
			check(t, "n", n, tt.n)
			check(t, "err", err, io.ErrClosedPipe)
			check(t, "pending", c.Pending(), tt.pending)
			if tt.max > 0 { // the server is in the middle of a message
				s.writeErr = nil
				if n, err := c.Write(query("q")); n != 0 || err != io.ErrClosedPipe {
					t.Errorf("the next Write: %d, %v", n, err)
				}
			}
		})
	}
}

func TestWriteErrorBetweenParts(t *testing.T) {
	c, s := connected(t)
	c.SetStatementPrefix("p_")
	s.writeErr, s.writeOK = io.ErrClosedPipe, 1
	packet := execute("1", strings.Repeat("v", 3*keepScratch))
	if n, err := c.Write(packet); n == 0 || err != io.ErrClosedPipe {
		t.Errorf("Write: %d, %v", n, err)
	}
	check(t, "pending", c.Pending(), true)
	s.writeErr = nil
	if n, err := c.Write(query("q")); n != 0 || err != io.ErrClosedPipe {
		t.Errorf("the next Write: %d, %v", n, err)
	}
}

func TestPendingStaysWhenNothingIsWritten(t *testing.T) {
	c, s := connected(t)
	mustWrite(t, c, query("q"))
	s.writeErr = io.ErrClosedPipe
	if _, err := c.Write(query("q")); err != io.ErrClosedPipe {
		t.Fatal(err)
	}
	check(t, "pending", c.Pending(), true)
}

func TestTerminateIsNoRequest(t *testing.T) {
	c, s := connected(t)
	mustWrite(t, c, msg(frontTerminate))
	checkBytes(t, "written", s.written(), msg(frontTerminate))
	check(t, "pending", c.Pending(), false)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Write(query("q")); n != 0 || err == nil {
		t.Errorf("Write after Close: %d, %v", n, err)
	}
}

func TestCancelRequest(t *testing.T) {
	s := &script{}
	c := New(s)
	p := AppendCancelRequest(nil, 7, []byte{1, 2, 3, 4})
	mustWrite(t, c, p)
	checkBytes(t, "written", s.written(), []byte{0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 7, 1, 2, 3, 4})
}

func FuzzRewrite(f *testing.F) {
	f.Add(prepare("1", "q"), "p_", true)
	f.Add(execute("1", "v"), "p_", false)
	f.Add(msg(frontClose, "S1\x00"), "x", false)
	f.Fuzz(func(t *testing.T, packet []byte, names string, types bool) {
		if len(packet) == 0 || strings.IndexByte("dcfX", packet[0]) >= 0 || strings.Contains(names, "\x00") {
			return
		}
		c, s := connected(t)
		c.SetStatementPrefix(names)
		if types {
			c.DeclareTypes([]uint32{23})
		}
		if _, err := c.Write(packet); err != nil {
			return
		}
		if names == "" && !types {
			checkBytes(t, "written", s.written(), packet)
			return
		}
		// The same messages come out, each longer by what was put in.
		in, out := packet, s.written()
		for len(in) > 0 && (names != "" || types) {
			typ, end, err := frameAt(in, 0)
			typ2, end2, err2 := frameAt(out, 0)
			if err != nil || err2 != nil || typ != typ2 {
				if names == "" { // looked at only as far as the Parse
					return
				}
				t.Fatalf("%c %c %v %v", typ, typ2, err, err2)
			}
			grown := end2 - end
			if grown != 0 && grown != len(names) && grown != 4 && grown != len(names)+4 {
				t.Fatalf("message %c grew by %d", typ, grown)
			}
			in, out = in[end:], out[end2:]
		}
		check(t, "rest", len(out), len(in))
	})
}
