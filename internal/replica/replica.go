// Package replica keeps what is known of a primary and its standbys: who is there, how far each
// has replayed the write-ahead log, how old the data of each is, and so which standby may
// serve a read. It knows nothing of connections: who looks at the servers tells it what it saw.
package replica

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Position is a place in the write-ahead log. A server that is promoted begins a new timeline.
type Position struct {
	Timeline uint32 // 0: not known
	Offset   uint64
}

// Never is a position that no standby reaches.
const Never = math.MaxUint64

// Reached reports whether a server at p has all that was written up to want. Servers of an
// older timeline may be ones that went another way: what they have at
// the same offset may be something else.
func (p Position) Reached(want Position) bool {
	return p.Offset >= want.Offset && p.Timeline >= want.Timeline && want.Offset != Never
}

// Both is a position of which to have reached it means to have reached p and q.
func (p Position) Both(q Position) Position {
	return Position{max(p.Timeline, q.Timeline), max(p.Offset, q.Offset)}
}

func (p Position) String() string {
	text := fmt.Sprintf("%X/%X", p.Offset>>32, uint32(p.Offset))
	if p.Timeline != 0 {
		text += "@" + strconv.FormatUint(uint64(p.Timeline), 10)
	}
	return text
}

// Parse reads what String writes; without a timeline it is what the server calls a pg_lsn.
func Parse(text string) (p Position, err error) {
	offset, timeline, known := strings.Cut(text, "@")
	high, low, ok := strings.Cut(offset, "/")
	h, herr := strconv.ParseUint(high, 16, 32)
	l, lerr := strconv.ParseUint(low, 16, 32)
	t, terr := uint64(0), error(nil)
	if known {
		t, terr = strconv.ParseUint(timeline, 10, 32)
	}
	if !ok || herr != nil || lerr != nil || terr != nil {
		return p, fmt.Errorf("%.40q is not a position in the write-ahead log, such as 16/B374D848 or, with its timeline, 16/B374D848@2", text)
	}
	return Position{uint32(t), h<<32 | l}, nil
}

// Sizes of the log, the smallest that a server may be built with, and of the headers that pages
// and files begin with.
const (
	pageSize   = 8 << 10 // the usual one, which divides the larger ones
	fileSize   = 1 << 20
	pageHeader = 24
	fileHeader = 40
)

// Inserted is where a standby will be that has replayed everything up to p, the place where
// a primary writes next. If the last record has filled a page, the primary says
// where the next one begins, behind the header of a page that it has not written: a standby
// gets there only with that record. Where a page of the server's is larger, p may be the
// end of a record all the same, and what is returned lies within it: a standby
// is never there without having replayed all of it.
func Inserted(p Position) Position {
	if p.Offset%pageSize == pageHeader {
		p.Offset -= pageHeader
	} else if p.Offset%fileSize == fileHeader {
		p.Offset -= fileHeader
	}
	return p
}

// A Look is what a server said of itself.
type Look struct {
	Standby bool
	At      Position // replayed by a standby, inserted by a primary
	Flushed uint64   // by a primary, up to where: standbys get no more
	System  string   // the identifier that a primary shares with its standbys
}

// Set is what is known of the servers. It is safe for concurrent use.
type Set struct {
	maxLag time.Duration // 0: no limit

	mu      sync.Mutex
	servers []server
	at      int       // which of them is the primary, or was the last one
	system  string    // of the primary
	primary Position  // how far it was
	seen    time.Time // when somebody was there last who is on its timeline
	first   Position  // up to where it had flushed its log when it was first seen
	record  uint64    // the end of a record that it has not flushed yet, 0 for none
	samples []sample
	changed chan struct{} // closed when something has
}

type server struct {
	weight   int
	looked   bool
	err      error // why nothing is known of it
	look     Look
	promised Position // what it was picked for
}

// sample says up to where the primary had flushed its log. A standby that has got there has all that was
// committed before.
type sample struct {
	at       time.Time
	position Position
}

// maxSamples is how many are kept. Beyond that the older ones get fewer.
const maxSamples = 512

// New returns a Set of servers with weights. Those that are behind by more than maxLag are not
// picked, nor are those of weight 0.
func New(weights []int, maxLag time.Duration) *Set {
	s := &Set{maxLag: maxLag, servers: make([]server, len(weights)), changed: make(chan struct{})}
	for i, w := range weights {
		s.servers[i].weight = w
	}
	return s
}

// Saw notes what server i has said at a time. It reports whether that is the first of a
// primary's log: how old standbys are is known when they are looked at again.
func (s *Set) Saw(i int, now time.Time, look Look) (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sv := &s.servers[i]
	if look.At.Timeline > max(sv.look.At.Timeline, sv.promised.Timeline) {
		sv.promised = Position{} // what the new timeline lacks is lost
	}
	sv.looked, sv.err, sv.look = true, nil, look
	if look.System == s.system && look.At.Timeline >= s.primary.Timeline {
		s.seen = now
	}
	if !look.Standby && s.isPrimary(i, now, look) {
		first = look.System != s.system
		s.sawPrimary(now, look)
		s.at = i
	}
	s.change()
	return first
}

// isPrimary reports whether a server that can write is the primary. Of several it is the one with the
// highest timeline, unless nobody who is on that has been there for long: then it is given up. Of several
// clusters it is that of the one in the primary's place, or with more servers.
func (s *Set) isPrimary(i int, now time.Time, look Look) bool {
	if look.System == s.system {
		return look.At.Timeline >= s.primary.Timeline || now.Sub(s.seen) > givenUp
	}
	more := 0
	for _, sv := range s.servers {
		switch {
		case sv.err != nil:
		case sv.look.System == look.System:
			more++
		case sv.look.System == s.system:
			more--
		}
	}
	return s.system == "" || i == s.at || more > 0 || more == 0 && i < s.at
}

func (s *Set) sawPrimary(now time.Time, look Look) {
	first := Position{look.At.Timeline, min(look.Flushed, look.At.Offset)}
	if look.System != s.system {
		s.first = first
	}
	if look.System != s.system || look.At.Timeline != s.primary.Timeline {
		s.samples, s.record = s.samples[:0], 0 // of a log that has ended
		s.first = Position{min(s.first.Timeline, first.Timeline), min(s.first.Offset, first.Offset)}
	}
	if look.System != s.system || look.At.Timeline < s.primary.Timeline {
		for i := range s.servers {
			s.servers[i].promised = Position{}
		}
	}
	s.system, s.primary, s.seen = look.System, look.At, now
	// What is flushed may end in the middle of a record, and no standby gets there. Where records
	// end is where the primary inserts, now or when it was looked at before.
	end := look.At.Offset
	if end > look.Flushed {
		if end = s.record; end > look.Flushed {
			return
		}
		s.record = look.At.Offset
	}
	if n := len(s.samples); end == 0 || n > 0 && end <= s.samples[n-1].position.Offset {
		return
	}
	if len(s.samples) == maxSamples {
		kept := s.samples[:0]
		for i, old := range s.samples {
			if i%2 == 0 || i > maxSamples/2 {
				kept = append(kept, old)
			}
		}
		s.samples = kept
	}
	s.samples = append(s.samples, sample{now, Position{look.At.Timeline, end}})
}

// Lost notes that server i could not be asked.
func (s *Set) Lost(i int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.servers[i].looked, s.servers[i].err = true, err
	s.change()
}

func (s *Set) change() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// MayServe reports whether server i is one that Pick may choose for some read, now or when it has caught up.
func (s *Set) MayServe(i int, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mayServe(&s.servers[i], now)
}

func (s *Set) mayServe(sv *server, now time.Time) bool {
	err := s.unfit(sv, now)
	_, behind := err.(*lagError)
	return err == nil || err == errBehind || behind
}

// Ranks of servers where a primary is looked for.
const (
	RankPrimary = iota
	RankThere
	RankUnknown
	RankLost
)

// Rank is how soon to try server i where a primary is looked for.
func (s *Set) Rank(i int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch sv := &s.servers[i]; {
	case !sv.looked:
		return RankUnknown
	case sv.err != nil:
		return RankLost
	case !sv.look.Standby && sv.look.System == s.system && sv.look.At.Timeline == s.primary.Timeline:
		return RankPrimary
	}
	return RankThere
}

// Outdone returns why server i is not written to although it may be able to, nil if it is not known to be
// one of these.
func (s *Set) Outdone(i int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.unfit(&s.servers[i], time.Time{}); err == errDeposed || err == errForeign {
		return err
	}
	return nil
}

// Changed returns a channel that is closed when something has changed since.
func (s *Set) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Begun reports whether a primary has been seen, so that it is known what is old, or nobody is left to look
// for one at.
func (s *Set) Begun() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.system != "" || s.complete()
}

// Complete reports whether something is known of every server, if only that it is not there.
func (s *Set) Complete() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.complete()
}

func (s *Set) complete() bool {
	return !slices.ContainsFunc(s.servers, func(sv server) bool { return !sv.looked })
}

// Pick chooses a standby, by weight, that may serve a read which has to see want. random returns
// a number from 0 to below n.
func (s *Set) Pick(now time.Time, want Position, random func(n int) int) (i int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fits := func(sv *server) bool { return sv.look.At.Reached(want) && s.unfit(sv, now) == nil }
	total := 0
	for i := range s.servers {
		if sv := &s.servers[i]; fits(sv) {
			total += sv.weight
		}
	}
	if total == 0 {
		return 0, false
	}
	n := random(total)
	for i := range s.servers {
		sv := &s.servers[i]
		if !fits(sv) {
			continue
		}
		if n -= sv.weight; n < 0 {
			sv.promised = sv.promised.Both(want)
			return i, true
		}
	}
	return 0, false
}

// Promised is what server i must have replayed before new connections to it are used: it may be
// another than it was when it was picked, one that was restarted and has yet to get as far.
func (s *Set) Promised(i int) Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.servers[i].promised
}

// MayReach reports whether a standby may reach want within a time: whether there is one that
// is not known to be further behind than that.
func (s *Set) MayReach(now time.Time, want Position, within time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if want.Offset == Never || want.Timeline < s.primary.Timeline && want.Timeline != 0 && want.Offset > s.primary.Offset {
		return false // or a failover has lost it
	}
	for i := range s.servers {
		if sv := &s.servers[i]; sv.look.At.Timeline >= want.Timeline && s.mayServe(sv, now) && s.lag(sv, now) <= within {
			return true
		}
	}
	return false
}

// Why a server is not read from.
var (
	ErrPrimary = errors.New("psyco: it is the primary")
	errWeight  = errors.New("psyco: its weight is 0")
	errForeign = errors.New("psyco: its system identifier is not that of the primary: it belongs to another cluster")
	errNotSeen = errors.New("psyco: nothing is known of it yet")
	errBehind  = errors.New("psyco: it was restarted and has not got back yet to where it was")
	errDeposed = errors.New("psyco: it was a primary, and another server has been promoted since")
)

// unfit returns why a server is not read from, nil if it may be.
func (s *Set) unfit(sv *server, now time.Time) error {
	switch {
	case !sv.looked:
		return errNotSeen
	case sv.err != nil:
		return sv.err
	case s.system != "" && sv.look.System != s.system:
		return errForeign
	case !sv.look.Standby && sv.look.At.Timeline < s.primary.Timeline:
		return errDeposed
	case !sv.look.Standby:
		return ErrPrimary
	case sv.weight <= 0:
		return errWeight
	case sv.promised.Offset > 0 && !sv.look.At.Reached(sv.promised):
		return errBehind
	}
	limit, older := s.maxLag, sv.look.At.Timeline < s.primary.Timeline
	if older && limit == 0 {
		limit = followTime
	}
	lag, young := s.lag(sv, now), sv.look.At.Reached(s.first)
	if limit > 0 && (lag > limit || !young) {
		return &lagError{lag, limit, young, older, s.primary.Timeline}
	}
	return nil
}

// givenUp is how long nobody may have been there who is on the primary's timeline before a
// primary with an older one, a backup for example, takes its place.
const givenUp = time.Minute

// followTime is how long standbys may take to follow to a new timeline where there is no
// other limit.
const followTime = 10 * time.Second

type lagError struct {
	lag, limit time.Duration
	young      bool   // it had caught up at some time, so that lag is all of it
	older      bool   // its timeline
	timeline   uint32 // of the primary
}

func (e *lagError) Error() string {
	switch {
	case e.older:
		return fmt.Sprintf("psyco: it is not known to have followed the primary to timeline %d", e.timeline)
	case !e.young:
		return "psyco: it has not got yet to where the primary was when that was first seen, and so may be behind by any time"
	}
	return fmt.Sprintf("psyco: it is behind by %v, more than %v", e.lag.Round(time.Millisecond), e.limit)
}

// lag is for how long there has been something on the primary that the server has not.
func (s *Set) lag(sv *server, now time.Time) time.Duration {
	lag := time.Duration(0)
	for i := len(s.samples) - 1; i >= 0 && !sv.look.At.Reached(s.samples[i].position); i-- {
		lag = now.Sub(s.samples[i].at)
	}
	return lag
}

// State is what is known of a server.
type State struct {
	Look
	Known bool // Look says something
	Lag   time.Duration
	Unfit error // why it is not read from
}

// State returns what is known of server i.
func (s *Set) State(i int, now time.Time) State {
	s.mu.Lock()
	defer s.mu.Unlock()
	sv := &s.servers[i]
	st := State{Look: sv.look, Known: sv.looked && sv.err == nil, Unfit: s.unfit(sv, now)}
	if st.Known && sv.look.Standby {
		st.Lag = s.lag(sv, now)
	}
	return st
}
