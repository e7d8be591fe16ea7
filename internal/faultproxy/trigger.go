package faultproxy

import (
	"bytes"
	"strings"
	"sync"
)

// Match reports whether a message is the one that is waited for. It is asked
// about every message of both directions, in the order in which the proxy read
// them, until it says yes; it may keep state. It must not call the proxy.
type Match func(Message) bool

// Msg matches messages of a direction whose type is one of those in types; with
// types "" it matches any.
func Msg(dir Direction, types string) Match {
	return func(m Message) bool {
		return m.Dir&dir != 0 && (types == "" || strings.IndexByte(types, m.Type) >= 0)
	}
}

// SQL matches Query and Parse messages whose text contains part. Case is
// ignored.
func SQL(part string) Match {
	part = strings.ToLower(part)
	return func(m Message) bool {
		text := m.SQL()
		return text != "" && strings.Contains(strings.ToLower(text), part)
	}
}

// Containing matches what match does, if part is in the message's body (its
// first 4 KiB).
func Containing(match Match, part string) Match {
	return func(m Message) bool { return match(m) && bytes.Contains(m.Body, []byte(part)) }
}

// Nth matches the nth message (from 1) that match matches.
func Nth(n int, match Match) Match {
	return func(m Message) bool {
		if match(m) {
			n--
			return n == 0
		}
		return false
	}
}

// Then matches the first message that next matches after the one that first
// matches: Then(SQL("COMMIT"), Msg(ToClient, "Z")).
func Then(first, next Match) Match {
	seen := false
	return func(m Message) bool {
		if !seen {
			seen = first(m)
			return false
		}
		return next(m)
	}
}

// Point is a place in the stream of bytes.
type Point struct {
	match  Match
	offset int // bytes of the matched message before the point; negative: from its end

	dir Direction // for AtByte
	n   int64
}

// Before is the point before the first byte of the first message matched.
func Before(match Match) Point { return Point{match: match} }

// After is the point behind the last byte of the first message matched.
func After(match Match) Point { return Point{match: match, offset: -1} }

// Inside is the point behind the first n bytes of the first message matched, at
// the latest behind its last byte. The header is 5 bytes long.
func Inside(match Match, n int) Point { return Point{match: match, offset: max(n, 0)} }

// AtByte is the point at which n more bytes have gone in a direction, on all
// connections together. With n = 0 it is the point before the next byte.
func AtByte(dir Direction, n int64) Point { return Point{dir: dir, n: n} }

// Trigger is something that happens once, at a Point.
type Trigger struct {
	point Point
	do    func(*Link)
	fired chan struct{}
	once  sync.Once
}

// Fired is closed when the trigger's action has been carried out.
func (t *Trigger) Fired() <-chan struct{} { return t.fired }

func (t *Trigger) fire(l *Link) {
	t.once.Do(func() {
		t.do(l)
		close(t.fired)
	})
}

// due is a trigger that fires on a link when left more bytes have gone.
type due struct {
	left int
	*Trigger
}

// at says how many bytes of the message are forwarded first.
func (t *Trigger) at(m Message) int {
	if t.point.offset < 0 {
		return m.Len
	}
	return min(t.point.offset, m.Len)
}
