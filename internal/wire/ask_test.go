package wire

import (
	"encoding/binary"
	"errors"
	"io"
	"testing"
)

var (
	parsed = msg(ParseComplete)
	bound  = msg(BindComplete)
	noData = msg(NoData)
	// The server counts modulo 65,536.
	tooManyParams = msg(ParameterDescription, int16(0), make([]byte, 4*65_536))
	params        = msg(ParameterDescription, int16(1), int32(23))
	parse         = msg(frontParse, "s\x00q\x00", int16(0))
	describe      = msg(frontDescribe, "Ss\x00")
	request       = cat(msg(frontBind, "\x00s\x00", int16(0), int16(0), int16(0)), msg(frontExecute, "\x00", int32(0)), msg(frontSync))
	whole         = cat(parse, describe, request)
	// bindDescribed is request with the portal described.
	bindDescribed = cat(msg(frontBind, "\x00s\x00", int16(0), int16(0), int16(0)), msg(frontDescribe, "P\x00"), msg(frontExecute, "\x00", int32(0)), msg(frontSync))
	// lib/pq's own request for the same statement.
	usual = query("q")
)

// asSimple takes out of an answer what the answer to a simple Query has not.
func asSimple(answer []byte) (simple []byte) {
	for len(answer) >= headerSize {
		typ, size := answer[0], uint64(binary.BigEndian.Uint32(answer[1:]))
		if size < 4 || size > longLimit || size > shortLimit && !mayBeLong(typ) || typ == ReadyForQuery {
			break // what follows cannot be read, or belongs to another request
		}
		end := min(1+int(size), len(answer))
		switch typ {
		case ParseComplete, ParameterDescription, NoData, BindComplete:
		default:
			simple = append(simple, answer[:end]...)
		}
		answer = answer[end:]
	}
	return append(simple, answer...)
}

func TestAsk(t *testing.T) {
	long := row(string(make([]byte, 2*smallBuffer)))
	for _, tt := range []struct {
		name   string
		answer []byte
		taken  bool
		rows   []byte // where it is taken
		tag    string
	}{
		{"no rows", cat(bound, complete("INSERT 0 1"), ready('I')), true, nil, "INSERT 0 1"},
		{"rows", cat(bound, row("1"), row(""), complete("SELECT 2"), ready('I')), true, cat(row("1"), row("")), "SELECT 2"},
		{"rows that look like messages", cat(bound, row(string(ready('I'))), complete("SELECT 1"), ready('I')), true, row(string(ready('I'))), "SELECT 1"},
		{"an error", cat(failure("ERROR", "42P01", "no"), ready('I')), false, nil, ""},
		{"an error after rows", cat(bound, row("1"), failure("ERROR", "22012", "no"), ready('I')), false, nil, ""},
		{"a fatal error", failure("FATAL", "57P01", "bye"), false, nil, ""},
		{"a notice in front", cat(notice("n"), bound, complete("SELECT 0"), ready('I')), false, nil, ""},
		{"a notice in between", cat(bound, row("1"), notice("n"), row("2"), complete("SELECT 2"), ready('I')), false, nil, ""},
		{"a notice before the end", cat(bound, complete("SELECT 0"), notice("n"), ready('I')), false, nil, ""},
		{"a parameter", cat(bound, complete("SELECT 0"), parameter("TimeZone", "GMT"), ready('I')), false, nil, ""},
		{"a transaction begins", cat(bound, complete("CALL"), ready('T')), false, nil, ""},
		{"an empty query", cat(bound, msg(EmptyQueryResponse), ready('I')), false, nil, ""},
		{"more than the buffer holds", cat(bound, long, complete("SELECT 1"), ready('I')), false, nil, ""},
		{"the end of the stream", cat(bound, row("1")), false, nil, ""},
		{"nothing", nil, false, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pieces := cuts(tt.answer)
			if len(tt.answer) > 1000 {
				pieces = [][][]byte{{tt.answer}, {tt.answer[:7], tt.answer[7:]}, {tt.answer[:smallBuffer], tt.answer[smallBuffer:]}}
			}
			for _, p := range pieces {
				c, s := connected(t)
				s.pieces = clonePieces(p)
				check(t, "CanAsk", c.CanAsk(), true)
				rows, ok := c.Ask(request, nil, ColumnsUnknown)
				checkBytes(t, "written", s.written(), request)
				check(t, "taken", ok, tt.taken)
				if tt.taken {
					checkBytes(t, "rows", rows, tt.rows)
					check(t, "tag", c.CommandTag(), tt.tag)
					check(t, "pending", c.Pending(), false)
					check(t, "round trips", c.Stats().RoundTrips, 2) // the startup's is one
					// lib/pq goes on as if nothing had been.
					s.writes, s.pieces = nil, [][]byte{cat(complete("SET"), ready('I'))}
					mustWrite(t, c, query("SET a = b"))
					checkBytes(t, "written next", s.written(), query("SET a = b"))
					checkBytes(t, "delivered next", readAll(t, c, 4096), cat(complete("SET"), ready('I')))
				} else {
					check(t, "CanAsk", c.CanAsk(), false)
					mustWrite(t, c, usual)
					checkBytes(t, "written by both", s.written(), request)
					checkBytes(t, "delivered", readAll(t, c, 4096), asSimple(tt.answer))
				}
				if t.Failed() {
					t.Fatalf("%d pieces", len(p))
				}
			}
		})
	}
}

func TestAskInTransaction(t *testing.T) {
	c, s := connected(t)
	s.pieces = [][]byte{cat(complete("BEGIN"), ready('T'))}
	mustWrite(t, c, query("BEGIN"))
	readAll(t, c, 4096)
	s.pieces = [][]byte{cat(bound, complete("UPDATE 1"), ready('T'))}
	_, ok := c.Ask(request, nil, ColumnsUnknown)
	check(t, "taken", ok, true)
	check(t, "status", c.TxStatus(), 'T')

	// Its end is lib/pq's to know.
	s.pieces = [][]byte{cat(bound, complete("CALL"), ready('I'))}
	_, ok = c.Ask(request, nil, ColumnsUnknown)
	check(t, "taken", ok, false)
	check(t, "status", c.TxStatus(), 'T')
	mustWrite(t, c, usual)
	readAll(t, c, 4096)
	check(t, "status", c.TxStatus(), 'I')
}

func TestAskTakesNoMoreThanItsAnswer(t *testing.T) {
	c, s := connected(t)
	late := notice("late")
	s.pieces = [][]byte{cat(bound, complete("SELECT 0"), ready('I'), late)}
	_, ok := c.Ask(request, nil, ColumnsUnknown)
	check(t, "taken", ok, true)
	check(t, "CanAsk", c.CanAsk(), true)

	// lib/pq reads what has come since with the next answer.
	s.writes, s.pieces = nil, [][]byte{cat(bound, complete("SELECT 0"), ready('I'))}
	_, ok = c.Ask(request, nil, ColumnsUnknown)
	check(t, "taken", ok, false)
	mustWrite(t, c, usual)
	checkBytes(t, "delivered", readAll(t, c, 4096), cat(late, complete("SELECT 0"), ready('I')))
}

func TestAskWriteFails(t *testing.T) {
	cause := errors.New("broken pipe")
	for _, tt := range []struct {
		name    string
		wrote   int
		pending bool
	}{
		{"nothing was sent", 0, false},
		{"a part was sent", 3, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, s := connected(t)
			s.writeErr, s.writeMax = cause, tt.wrote
			_, ok := c.Ask(request, nil, ColumnsUnknown)
			check(t, "taken", ok, false)
			check(t, "pending", c.Pending(), tt.pending)
			s.writeErr = nil // it must not be written later
			n, err := c.Write(usual)
			check(t, "the same error", err, cause)
			check(t, "some was written", n > 0, tt.pending)
			check(t, "writes", len(s.writes), 0)
		})
	}
}

func TestAskReadFails(t *testing.T) {
	c, s := connected(t)
	s.pieces = [][]byte{cat(bound, row("1"))}
	_, ok := c.Ask(request, nil, ColumnsUnknown)
	check(t, "taken", ok, false)
	check(t, "pending", c.Pending(), true)
	mustWrite(t, c, usual)
	var p [100]byte
	n, err := c.Read(p[:])
	checkBytes(t, "what had come", p[:n], row("1"))
	check(t, "error", err, nil)
	_, err = c.Read(p[:])
	check(t, "error", err, io.EOF)
}

func TestDescription(t *testing.T) {
	c, s := connected(t)
	c.SetStatementPrefix("p_")
	for range 2 { // it holds for one statement
		c.CaptureDescription()
		s.pieces = [][]byte{cat(msg(ParseComplete), msg(ParameterDescription, int16(2), int32(23), int32(25)), rowDescription, ready('I'))}
		mustWrite(t, c, prepare("1", "q"))
		readAll(t, c, 4096)
		d := c.Description()
		check(t, "lib/pq's name", d.Statement, "1")
		check(t, "parameters", len(d.Params), 2)
		check(t, "type", d.Params[1], 25)
		check(t, "columns", len(d.Fields), 1)
		check(t, "column", d.Fields[0].Name, "a")

		c.CaptureDescription()
		s.pieces = [][]byte{cat(failure("ERROR", "42601", "no"), ready('I'))}
		mustWrite(t, c, prepare("2", "q"))
		readAll(t, c, 4096)
		d = c.Description()
		check(t, "of a refused statement", len(d.Params)+len(d.Fields), 0)

		c.CaptureDescription()
		s.pieces = [][]byte{cat(msg(ParseComplete), tooManyParams, msg(NoData), ready('I'))}
		mustWrite(t, c, prepare("3", "q"))
		delivered := readAll(t, c, 4096)
		check(t, "strange", c.Description().Strange, true)
		check(t, "is delivered all the same", len(delivered), 5+len(tooManyParams)+5+6)

		// Not armed.
		s.pieces = [][]byte{cat(msg(ParseComplete), msg(ParameterDescription, int16(1), int32(23)), msg(NoData), ready('I'))}
		mustWrite(t, c, prepare("4", "q"))
		readAll(t, c, 4096)
		d = c.Description()
		check(t, "of a statement that nobody asked about", len(d.Params), 0)
		check(t, "its name", d.Statement, "3")
	}
}

// TestNextRow reads an answer partly with NextRow and partly as lib/pq does: no
// message is lost or read twice, whoever reads it.
func TestNextRow(t *testing.T) {
	long := row(string(make([]byte, bulkBuffer)))
	messages := [][]byte{bound, row("1"), row("22"), notice("n"), row("333"), row(""), long, row("4"),
		parameter("TimeZone", "GMT"), row("5"), complete("SELECT 7"), ready('I')}
	for _, size := range []int{1, 5, 100, 4096} { // of the server's packets
		for _, mine := range []int{0, 1, 2, 3} { // rows to take before lib/pq reads one
			c, s := connected(t)
			for all := cat(messages...); len(all) > 0; {
				n := min(size, len(all))
				if len(all) > len(long) && size < 100 { // the long row in larger pieces
					n = min(200, len(all))
				}
				s.pieces = append(s.pieces, all[:n])
				all = all[n:]
			}
			if _, ok := c.Ask(request, nil, ColumnsUnknown); ok {
				t.Fatal("the whole answer was taken")
			}
			check(t, "before TakeRows", c.TakesRows(), false)
			c.TakeRows()
			mustWrite(t, c, usual)
			var got []byte
			for c.Pending() {
				for range mine {
					if payload, ok := c.NextRow(); ok {
						got = append(got, msg(DataRow, payload)...)
					}
				}
				// A message as lib/pq reads it: the header, then the rest.
				var header [headerSize]byte
				if _, err := io.ReadFull(c, header[:]); err != nil {
					t.Fatal(err)
				}
				rest := make([]byte, binary.BigEndian.Uint32(header[1:])-4)
				if _, err := io.ReadFull(c, rest); err != nil {
					t.Fatal(err)
				}
				got = append(append(got, header[:]...), rest...)
			}
			checkBytes(t, "messages", got, asSimple(cat(messages...)))
			check(t, "afterwards", c.TakesRows(), false)
			if t.Failed() {
				t.Fatalf("packets of %d, %d rows at a time", size, mine)
			}
		}
	}
}

// TestTakeRowsIsNotReadAhead has a reader with a large buffer, as lib/pq's is.
func TestTakeRowsIsNotReadAhead(t *testing.T) {
	c, s := connected(t)
	answer := cat(bound, row("1"), notice("n"), row("2"), row("3"), complete("SELECT 3"), ready('I'))
	s.pieces = [][]byte{answer}
	c.Ask(request, nil, ColumnsUnknown)
	c.TakeRows()
	mustWrite(t, c, usual)
	var p [4096]byte
	for _, want := range [][]byte{row("1"), notice("n")} {
		n, err := c.Read(p[:])
		checkBytes(t, "read", p[:n], want)
		check(t, "error", err, nil)
	}
	payload, ok := c.NextRow()
	check(t, "a row", ok, true)
	checkBytes(t, "row", msg(DataRow, payload), row("2"))
	check(t, "the rest", string(readAll(t, c, 4096)), string(cat(row("3"), complete("SELECT 3"), ready('I'))))
}
