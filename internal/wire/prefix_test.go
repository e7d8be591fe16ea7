package wire

import "testing"

// ridden is how Prefix(sql) is sent.
func ridden(sql string) []byte {
	return cat(msg(frontParse, "\x00", sql, "\x00", int16(0)),
		msg(frontBind, "\x00\x00", int16(0), int16(0), int16(0)), msg(frontExecute, "\x00", int32(0)))
}

func answered(tag string) []byte { return cat(msg('1'), msg('2'), complete(tag)) }

func TestPrefix(t *testing.T) {
	own := cat(msg('2'), row("x"), complete("SELECT 1"), ready('T'))
	simple := cat(rowDescription, row("x"), complete("SELECT 1"), ready('T'))
	for _, tt := range []struct {
		name    string
		queue   func(c *Conn)
		packet  []byte
		written []byte
		answer  []byte
		want    []byte
		outcome PrefixOutcome
		tag     string
		events  Events
	}{
		{"one", func(c *Conn) { c.Prefix("BEGIN") }, execute("1", "v"), cat(ridden("BEGIN"), execute("p_1", "v")),
			cat(answered("BEGIN"), own), own, PrefixOutcome{1, 0, 1, false}, "SELECT 1", EventBegin},
		{"two and a close", func(c *Conn) { c.Prefix("BEGIN"); c.PrefixClose("7"); c.Prefix("SAVEPOINT s") },
			execute("1", "v"), cat(msg(frontClose, "Sp_7\x00"), ridden("BEGIN"), ridden("SAVEPOINT s"), execute("p_1", "v")),
			cat(msg('3'), answered("BEGIN"), answered("SAVEPOINT"), own), own, PrefixOutcome{2, 0, 2, false}, "SELECT 1",
			EventBegin | EventSavepoint},
		{"a close and a query", func(c *Conn) { c.PrefixClose("7"); c.PrefixClose("8") }, query("q"),
			cat(msg(frontClose, "Sp_7\x00"), msg(frontClose, "Sp_8\x00"), query("q")),
			cat(msg('3'), msg('3'), simple), simple, PrefixOutcome{}, "SELECT 1", 0},
		{"only a close", func(c *Conn) { c.PrefixClose("7") }, execute("", "v"), cat(msg(frontClose, "Sp_7\x00"), execute("", "v")),
			cat(msg('3'), own), own, PrefixOutcome{}, "SELECT 1", 0},
		{"asynchronous messages pass", func(c *Conn) { c.Prefix("BEGIN") }, execute("1", "v"), cat(ridden("BEGIN"), execute("p_1", "v")),
			cat(notice("a"), msg('1'), notice("b"), msg('2'), parameter("x", "y"), complete("BEGIN"), notice("c"), own),
			cat(notice("a"), notice("b"), parameter("x", "y"), notice("c"), own), PrefixOutcome{1, 0, 1, false}, "SELECT 1",
			EventBegin | EventParameter},
		{"rows and empty", func(c *Conn) { c.Prefix("SELECT 1"); c.Prefix("") }, execute("1", "v"),
			cat(ridden("SELECT 1"), ridden(""), execute("p_1", "v")),
			cat(msg('1'), msg('2'), row("1"), row("2"), complete("SELECT 2"), msg('1'), msg('2'), msg('I'), own), own,
			PrefixOutcome{2, 0, 2, false}, "SELECT 1", 0},
		{"those that lead", func(c *Conn) { c.Prefix("SAVEPOINT s"); c.Lead("DISCARD TEMP"); c.Lead("RESET ALL") }, execute("1", "v"),
			cat(ridden("DISCARD TEMP"), ridden("RESET ALL"), ridden("SAVEPOINT s"), execute("p_1", "v")),
			cat(answered("DISCARD TEMP"), answered("RESET"), answered("SAVEPOINT"), own), own, PrefixOutcome{3, 2, 3, false}, "SELECT 1", EventSavepoint},
		{"one that leads fails", func(c *Conn) { c.Prefix("BEGIN"); c.Lead("RESET ALL"); c.Lead("SET x") }, execute("1", "v"),
			cat(ridden("RESET ALL"), ridden("SET x"), ridden("BEGIN"), execute("p_1", "v")),
			cat(answered("RESET"), failure("ERROR", "42601", "no"), ready('I')), cat(failure("ERROR", "42601", "no"), ready('I')),
			PrefixOutcome{3, 2, 1, true}, "", EventError},
		{"first fails", func(c *Conn) { c.Prefix("BEGIN"); c.Prefix("SAVEPOINT s") }, execute("1", "v"),
			cat(ridden("BEGIN"), ridden("SAVEPOINT s"), execute("p_1", "v")),
			cat(failure("ERROR", "25001", "no"), ready('I')), cat(failure("ERROR", "25001", "no"), ready('I')),
			PrefixOutcome{2, 0, 0, true}, "", EventError},
		{"second fails", func(c *Conn) { c.Prefix("BEGIN"); c.Prefix("SAVEPOINT s") }, execute("1", "v"),
			cat(ridden("BEGIN"), ridden("SAVEPOINT s"), execute("p_1", "v")),
			cat(answered("BEGIN"), msg('1'), failure("ERROR", "42601", "no"), ready('E')),
			cat(failure("ERROR", "42601", "no"), ready('E')), PrefixOutcome{2, 0, 1, true}, "", EventBegin | EventError},
		{"what follows fails", func(c *Conn) { c.Prefix("BEGIN") }, execute("1", "v"),
			cat(ridden("BEGIN"), execute("p_1", "v")),
			cat(answered("BEGIN"), failure("ERROR", "26000", "no"), ready('E')),
			cat(failure("ERROR", "26000", "no"), ready('E')), PrefixOutcome{1, 0, 1, false}, "", EventBegin | EventError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachCut(t, tt.answer, func(t *testing.T, c *Conn, s *script, size int) {
				c.SetStatementPrefix("p_")
				tt.queue(c)
				mustWrite(t, c, tt.packet)
				check(t, "flushed", c.Flushed(), true)
				checkBytes(t, "written", s.written(), tt.written)
				check(t, "writes", len(s.writes), 1)
				checkBytes(t, "delivered", readAll(t, c, size), tt.want)
				check(t, "outcome", c.PrefixOutcome(), tt.outcome)
				check(t, "tag", c.CommandTag(), tt.tag)
				check(t, "events", c.TakeEvents(), tt.events)

				s.pieces, s.writes = [][]byte{own}, nil
				mustWrite(t, c, execute("", "v"))
				checkBytes(t, "written later", s.written(), execute("", "v"))
				checkBytes(t, "delivered later", readAll(t, c, size), own)
			})
		})
	}
}

func TestPrefixWaits(t *testing.T) {
	closing := msg(frontClose, "S1\x00")
	for _, tt := range []struct {
		name          string
		packet        []byte
		first, second []byte // the Close rides in front of either
	}{
		{"query", query("q"), closing, nil},
		{"sync", msg(frontSync), nil, closing},
		{"close", closing, nil, closing},
		{"terminate", msg(frontTerminate), nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			packet := tt.packet
			c, s := connected(t)
			check(t, "flushed", c.Flushed(), true)
			c.Prefix("BEGIN")
			c.PrefixClose("1")
			mustWrite(t, c, packet)
			checkBytes(t, "written", s.written(), cat(tt.first, packet))
			check(t, "flushed", c.Flushed(), false)
			taken := c.TakePrefix()
			if len(taken) != 1 || taken[0] != "BEGIN" {
				t.Errorf("taken: %q", taken)
			}
			check(t, "flushed", c.Flushed(), true)
			s.writes = nil
			if packet[0] == frontTerminate {
				return
			}
			mustWrite(t, c, execute("", "v"))
			checkBytes(t, "written", s.written(), cat(tt.second, execute("", "v")))
		})
	}
}

func TestPrefixRefusesNUL(t *testing.T) {
	c, s := connected(t)
	c.Prefix("BEGIN\x00")
	if n, err := c.Write(execute("", "v")); n != 0 || err == nil {
		t.Errorf("Write: %d, %v", n, err)
	}
	check(t, "written", len(s.writes), 0)
}
