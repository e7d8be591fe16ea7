package wire

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
)

// messages is a Next that gives one message at a time.
func messages(list ...[]byte) func([]byte) ([]byte, bool) {
	return func(buf []byte) ([]byte, bool) {
		if len(list) == 0 {
			return buf, false
		}
		buf = append(buf, list[0]...)
		list = list[1:]
		return buf, len(list) > 0
	}
}

// seen is a Handle that keeps what it gets.
type seen []string

func (s *seen) handle(typ byte, payload []byte) error {
	*s = append(*s, fmt.Sprintf("%c%.20q", typ, payload))
	return nil
}

var marker = query("marker")

func TestExchangeStream(t *testing.T) {
	bind := execute("1", "v")[:len(execute("1", "v"))-5] // without its Sync
	sync := msg(frontSync)
	e := failure("ERROR", "23505", "duplicate")
	fatal := failure("FATAL", "57P01", "bye")
	for _, tt := range []struct {
		name    string
		next    func([]byte) ([]byte, bool)
		prefix  string
		written []byte
		answer  []byte
		seen    []string
		want    []byte
	}{
		{"two rows, a Sync is added", messages(bind, bind), "", cat(bind, bind, sync),
			cat(msg('2'), row("a"), complete("INSERT 0 1"), msg('2'), complete("INSERT 0 2"), ready('T')),
			[]string{`2""`, fmt.Sprintf("D%.20q", row("a")[5:]), `C"INSERT 0 1\x00"`, `2""`, `C"INSERT 0 2\x00"`, `Z"T"`},
			cat(msg('I'), ready('T'))},
		{"Syncs in between", messages(bind, sync, query("q"), bind, sync), "", cat(bind, sync, query("q"), bind, sync),
			cat(msg('2'), complete("A"), ready('I'), complete("Q"), ready('I'), msg('2'), complete("B"), ready('I')),
			[]string{`2""`, `C"A\x00"`, `Z"I"`, `C"Q\x00"`, `Z"I"`, `2""`, `C"B\x00"`, `Z"I"`}, cat(msg('I'), ready('I'))},
		{"nothing", messages(), "", sync, ready('I'), []string{`Z"I"`}, cat(msg('I'), ready('I'))},
		{"error", messages(bind, bind), "", cat(bind, bind, sync), cat(msg('2'), e, ready('E')),
			[]string{`2""`, fmt.Sprintf("E%.20q", e[5:]), `Z"E"`}, cat(msg('I'), ready('E'))},
		{"asynchronous messages pass", messages(bind), "", cat(bind, sync),
			cat(notice("n"), msg('2'), parameter("a", "b"), complete("A"), msg(backNotification, int32(1), "c\x00\x00"), ready('I')),
			[]string{`2""`, `C"A\x00"`, `Z"I"`},
			cat(notice("n"), parameter("a", "b"), msg(backNotification, int32(1), "c\x00\x00"), msg('I'), ready('I'))},
		{"fatal", messages(bind), "", cat(bind, sync), cat(msg('2'), fatal), []string{`2""`}, fatal},
		{"prefix", messages(bind), "BEGIN", cat(ridden("BEGIN"), bind, sync), cat(answered("BEGIN"), msg('2'), complete("A"), ready('T')),
			[]string{`2""`, `C"A\x00"`, `Z"T"`}, cat(msg('I'), ready('T'))},
		{"prefix fails", messages(bind), "BEGIN", cat(ridden("BEGIN"), bind, sync), cat(msg('1'), e, ready('I')),
			[]string{fmt.Sprintf("E%.20q", e[5:]), `Z"I"`}, cat(msg('I'), ready('I'))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var all []byte
			for more := true; more; {
				all, more = tt.next(all)
			}
			eachCut(t, tt.answer, func(t *testing.T, c *Conn, s *script, size int) {
				var got seen
				c.SetStatementPrefix("not applied")
				if tt.prefix != "" {
					c.Prefix(tt.prefix)
				}
				c.Exchange(Exchange{Next: replay(all), Handle: got.handle})
				mustWrite(t, c, marker)
				checkBytes(t, "written", s.written(), tt.written)
				check(t, "writes", len(s.writes), 1)
				checkBytes(t, "delivered", readAll(t, c, size), tt.want)
				if !slices.Equal(got, tt.seen) {
					t.Errorf("handled %q, want %q", got, tt.seen)
				}
				check(t, "pending", c.Pending(), c.Fatal() != nil)
				check(t, "err", c.ExchangeDone(), nil)
				if c.Fatal() != nil {
					return
				}
				s.pieces, s.writes = [][]byte{cat(complete("SET"), ready('I'))}, nil
				mustWrite(t, c, query("q"))
				checkBytes(t, "written later", s.written(), query("q"))
				checkBytes(t, "delivered later", readAll(t, c, size), cat(complete("SET"), ready('I')))
			})
		})
	}
}

func TestExchangeWaitsForQuery(t *testing.T) {
	c, s := connected(t)
	c.Exchange(Exchange{Next: messages(msg(frontSync)), Handle: new(seen).handle})
	mustWrite(t, c, execute("", "v"))
	checkBytes(t, "written", s.written(), execute("", "v"))
	check(t, "err", c.ExchangeDone(), nil)
	s.writes = nil
	mustWrite(t, c, query("q"))
	checkBytes(t, "written", s.written(), query("q"))
}

func TestExchangeHandleFails(t *testing.T) {
	failed := errors.New("scan failed")
	c, s := connected(t)
	calls := 0
	c.Exchange(Exchange{Next: messages(query("a"), query("b")), Handle: func(byte, []byte) error {
		calls++
		return failed
	}})
	s.pieces = [][]byte{cat(complete("A"), ready('I'), complete("B"), ready('I'))}
	mustWrite(t, c, marker)
	checkBytes(t, "delivered", readAll(t, c, 4096), cat(msg('I'), ready('I')))
	check(t, "calls", calls, 1)
	check(t, "err", c.ExchangeDone(), failed)
	check(t, "err", c.ExchangeDone(), nil)
}

func TestExchangeRefuses(t *testing.T) {
	t.Run("broken messages", func(t *testing.T) {
		c, s := connected(t)
		c.Exchange(Exchange{Next: messages([]byte("junk that is not a message")), Handle: new(seen).handle})
		if n, err := c.Write(marker); n != 0 || err == nil {
			t.Errorf("Write: %d, %v", n, err)
		}
		check(t, "written", len(s.writes), 0)
		check(t, "err", c.ExchangeDone(), nil)
	})
	t.Run("COPY FROM STDIN", func(t *testing.T) {
		c, s := connected(t)
		c.Exchange(Exchange{Next: messages(query("COPY t FROM STDIN")), Handle: new(seen).handle})
		s.pieces = [][]byte{copyInResponse}
		mustWrite(t, c, marker)
		if _, err := c.Read(make([]byte, 10)); err == nil || !strings.Contains(err.Error(), "pipeline") {
			t.Errorf("Read: %v", err)
		}
	})
	t.Run("abandoned", func(t *testing.T) {
		c, s := connected(t)
		c.Exchange(Exchange{Next: messages(query("a")), Handle: new(seen).handle})
		s.pieces = [][]byte{complete("A")}
		mustWrite(t, c, marker)
		readAll(t, c, 4096)
		check(t, "err", c.ExchangeDone(), nil)
		s.pieces = [][]byte{ready('I')}
		if _, err := c.Read(make([]byte, 10)); err == nil || !strings.Contains(err.Error(), "abandoned") {
			t.Errorf("Read: %v", err)
		}
	})
}

func TestExchangeNextPanics(t *testing.T) {
	for _, size := range []int{0, exchangePacket} {
		c := serve(t, func(nc net.Conn) {
			for range size / exchangePacket {
				receive(t, nc)
			}
		})
		calls := 0
		c.Exchange(Exchange{Handle: new(seen).handle, Next: func(b []byte) ([]byte, bool) {
			if calls++; calls > 1 || size == 0 {
				panic("oops")
			}
			return append(b, query(strings.Repeat("x", size))...), true
		}})
		_, err := c.Write(marker)
		if size > 0 {
			_, err = c.Read(make([]byte, 10))
		}
		if err == nil {
			t.Error("no error")
		}
		func() {
			defer func() { check(t, "panic", recover(), any("oops")) }()
			check(t, "err", c.ExchangeDone(), nil) // panics
		}()
	}
}

// TestExchangeCannotDeadlock has a server that answers each message with as many
// bytes, over a pipe without any buffer, and doesn't read on before they are read.
func TestExchangeCannotDeadlock(t *testing.T) {
	const count, size = 500, 5000
	c := serve(t, func(nc net.Conn) {
		for range count {
			typ, payload := receive(t, nc)
			check(t, "type", typ, 'E')
			check(t, "size", len(payload), size)
			send(t, nc, cat(row(string(payload)), complete("SELECT 1")))
		}
		typ, _ := receive(t, nc)
		check(t, "type", typ, 'S')
		send(t, nc, ready('I'))
	})
	sent, rows := 0, 0
	c.Exchange(Exchange{
		Next: func(b []byte) ([]byte, bool) {
			sent++ // seen by Handle without a lock
			return append(b, msg(frontExecute, strings.Repeat("x", size))...), sent < count
		},
		Handle: func(typ byte, payload []byte) error {
			switch typ {
			case DataRow:
				rows++
				if len(payload) != 2+4+size {
					return fmt.Errorf("%d bytes", len(payload))
				}
			case ReadyForQuery:
				if sent != count {
					return fmt.Errorf("%d sent", sent)
				}
			}
			return nil
		},
	})
	mustWrite(t, c, marker)
	checkBytes(t, "delivered", readPending(t, c), cat(msg('I'), ready('I')))
	check(t, "err", c.ExchangeDone(), nil)
	check(t, "rows", rows, count)
}

// replay is a Next that gives b in one piece.
func replay(b []byte) func([]byte) ([]byte, bool) {
	return func(buf []byte) ([]byte, bool) { return append(buf, b...), false }
}
