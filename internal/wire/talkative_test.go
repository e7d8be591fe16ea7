package wire

import (
	"bytes"
	"strings"
	"testing"
)

// TestParseAlone sends long texts in front of long arguments: the arguments must wait for
// the server's answer to the text.
func TestParseAlone(t *testing.T) {
	text := strings.Repeat("q", talkativeText)
	parse := func(text string) []byte { return msg(frontParse, "\x00", text, "\x00", int16(0)) }
	rest := func(n int) []byte {
		return cat(msg(frontBind, "\x00\x00", int16(0), int16(1), int32(n), strings.Repeat("v", n), int16(0)), msg(frontExecute, "\x00", int32(0)), msg(frontSync))
	}
	flush := AppendFlush(nil)
	said := strings.Repeat("n", 3*bulkBuffer)
	good := cat(notice(said), notice("b"), parsed, bound, complete("SELECT 0"), ready('I'))
	bad := cat(notice("a"), failure("ERROR", "42601", "no"), ready('I'))
	for _, tt := range []struct {
		name    string
		queue   func(c *Conn)
		parse   []byte
		rest    []byte
		answer  []byte
		written [][]byte // what is written, in this order
	}{
		{"a long text and long arguments", nil, parse(text), rest(shortRest), good, [][]byte{cat(parse(text), flush), rest(shortRest)}},
		{"behind a rider", func(c *Conn) { c.PrefixClose("7"); c.Prefix("BEGIN") }, parse(text), rest(shortRest),
			cat(msg(CloseComplete), answered("BEGIN"), good),
			[][]byte{cat(msg(frontClose, "S7\x00"), ridden("BEGIN"), parse(text), flush), rest(shortRest)}},
		{"an error", nil, parse(text), rest(shortRest), bad, [][]byte{cat(parse(text), flush), rest(shortRest)}},
		{"an error of a rider", func(c *Conn) { c.Prefix("BEGIN") }, parse(text), rest(shortRest), bad,
			[][]byte{cat(ridden("BEGIN"), parse(text), flush), rest(shortRest)}},
		{"a short text", nil, parse("q"), rest(100 << 10), good, [][]byte{cat(parse("q"), rest(100<<10))}},
		{"short arguments", nil, parse(text), rest(10), good, [][]byte{cat(parse(text), rest(10))}},
	} {
		for _, way := range []string{"Ask", "Write"} {
			t.Run(tt.name+"/"+way, func(t *testing.T) {
				for _, size := range []int{1, 7, 1000, len(tt.answer)} {
					c, s := connected(t)
					for at := 0; at < len(tt.answer); at += size {
						s.pieces = append(s.pieces, tt.answer[at:min(at+size, len(tt.answer))])
					}
					if tt.queue != nil {
						tt.queue(c)
					}
					if way == "Ask" {
						c.AskFor(cat(tt.parse, tt.rest), nil, ColumnsUnknown)
						mustWrite(t, c, usual)
					} else {
						mustWrite(t, c, cat(tt.parse, tt.rest))
					}
					if !bytes.Equal(s.written(), cat(tt.written...)) || len(s.writes) != len(tt.written) {
						t.Errorf("%d pieces in %d writes", size, len(s.writes))
					}
					got := readAll(t, c, 1000)
					check(t, "the notice arrives", bytes.Contains(got, notice("a")) || bytes.Contains(got, notice("b")), true)
					check(t, "the last byte", got[len(got)-1], 'I')
					check(t, "pending", c.Pending(), false)
				}
			})
		}
	}
	t.Run("the end of the stream", func(t *testing.T) {
		c, s := connected(t)
		s.pieces = [][]byte{notice("a")}
		if n, err := c.Write(cat(parse(text), rest(shortRest))); err == nil || n == 0 {
			t.Errorf("Write: %d, %v", n, err)
		}
	})
}

// TestBound tells whether a statement may have run.
func TestBound(t *testing.T) {
	for _, tt := range []struct {
		name   string
		rider  bool
		answer []byte
		want   bool
	}{
		{"refused", false, cat(failure("ERROR", "22P02", "no"), ready('I')), false},
		{"refused behind a rider", true, cat(answered("BEGIN"), failure("ERROR", "22P02", "no"), ready('E')), false},
		{"failed", false, cat(bound, failure("ERROR", "22012", "no"), ready('I')), true},
		{"failed behind a rider", true, cat(answered("BEGIN"), bound, failure("ERROR", "22012", "no"), ready('E')), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachCut(t, tt.answer, func(t *testing.T, c *Conn, s *script, size int) {
				if tt.rider {
					c.Prefix("BEGIN")
				}
				c.Ask(request, nil, ColumnsUnknown)
				mustWrite(t, c, usual)
				readAll(t, c, size)
				check(t, "bound", c.Bound(), tt.want)
				s.pieces = [][]byte{cat(complete("SELECT 0"), ready('I'))}
				mustWrite(t, c, usual)
				check(t, "bound afterwards", c.Bound(), false)
			})
		})
	}
}

// TestTagEvents are the tags that say what prepared statements depend on.
func TestTagEvents(t *testing.T) {
	for tag, want := range map[string]Events{
		"CREATE TABLE": EventDDL, "ALTER TYPE": EventDDL, "DROP SCHEMA": EventDDL, "DO": EventDDL, "DISCARD TEMP": EventDDL,
		"IMPORT FOREIGN SCHEMA": EventDDL, "COMMIT PREPARED": EventDDL, "SET": EventSet, "RESET": EventSet,
		"DISCARD ALL": EventDiscardAll, "DISCARD PLANS": 0, "SELECT 1": 0, "INSERT 0 1": 0, "CREATE": 0, "TRUNCATE TABLE": 0,
	} {
		check(t, tag, tagEvents([]byte(tag)), want)
	}
	c, s := connected(t)
	s.pieces = [][]byte{cat(complete("SELECT 1"), parameter("search_path", "other"), ready('I'))}
	mustWrite(t, c, usual)
	readAll(t, c, 100)
	check(t, "search_path", c.TakeEvents(), EventParameter|EventSearchPath)
}
