package psyco

import (
	"database/sql/driver"
	"encoding/binary"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/placeholder"
	"github.com/psyco-go/psyco/internal/sqllex"
)

// inferences remembers, for the queries of a connector, which parameter types
// the server accepted, so that each query is tried out only once.
type inferences struct {
	m    sync.Map // inferenceKey → []uint32
	size atomic.Int32
}

type inferenceKey struct{ sql, types string }

// maxInferences bounds the memory; a query that is not remembered costs a
// savepoint at its first use in each connection's cache.
const maxInferences = 4096

// lookup returns the types to declare for st and whether they are known to
// work. A statement that leaves no type open needs no trying out.
func (in *inferences) lookup(st *statement) (types []uint32, known bool) {
	if len(st.fallback) == 0 && !st.storesFloats() {
		return st.types, true
	}
	if v, ok := in.m.Load(key(st)); ok {
		return v.([]uint32), true
	}
	return st.types, false
}

func (in *inferences) store(st *statement, types []uint32) {
	if in.size.Load() >= maxInferences {
		return
	}
	if _, loaded := in.m.LoadOrStore(key(st), append([]uint32(nil), types...)); !loaded {
		in.size.Add(1)
	}
}

// storesFloats reports whether a float may be meant for a column that takes numeric, but no
// float8: money is the one.
func (st *statement) storesFloats() bool {
	return slices.Contains(st.types, pgform.OIDFloat8) && sqllex.StoresValues(sqllex.Keyword(st.sql))
}

// forget drops what is remembered of st.
func (in *inferences) forget(st *statement) {
	if _, loaded := in.m.LoadAndDelete(key(st)); loaded {
		in.size.Add(-1)
	}
}

func key(st *statement) inferenceKey {
	b := make([]byte, 0, 64)
	for _, types := range [...][]uint32{st.types, st.fallback} {
		for _, t := range types {
			b = binary.BigEndian.AppendUint32(b, t)
		}
	}
	return inferenceKey{st.sql, string(b)}
}

// search finds the types to declare for a statement. It begins with those that the
// values have, and gives its fallback to the parameter that the server complains of, and
// to no other: in the place of a date or an enum that would be an error, and in that
// of a citext another comparison. Each attempt is one round trip, once for each query.
//
// A parameter that stands in several places (%(day)s IS NULL OR day = %(day)s) has one type
// for all of them. Where there is none it is split into one for each place, as psycopg2's
// literals are.
type search struct {
	in    *inferences
	of    *statement
	st    *statement // to be sent: of, or what splitUp made of it
	split []int      // see splitUp
	types []uint32   // to declare
	known bool       // the server is known to accept types
	final bool       // nothing can be tried again: a failure fails a transaction
	*attempts
}

// attempts is what a search remembers after its first failure.
type attempts struct {
	first  error  // about the query as the program wrote it; nil if that was accepted
	steps  []step // that have led to types
	tries  int
	reread bool // retryRead has said yes
	open   bool // first was about a type that is not known
}

// step is a complaint of the server, and what is still to be tried against it.
type step struct {
	st        *statement // that was sent
	split     []int
	complaint *pq.Error // nil for a value that does not fit the type that was inferred
	types     []uint32  // that were declared
	untried   bool      // they were not sent yet
	suspects  [][]int   // sets of parameters, the likeliest first
}

// maxTries bounds the attempts.
const maxTries = 16

// search begins one for st. It works on a copy, so that a statement that needs no search
// need not be on the heap.
func (c *conn) search(st *statement) search {
	of := *st
	s := search{in: &c.con.inference, of: &of, st: &of, final: c.inTransaction()}
	s.types, s.known = s.in.lookup(s.of)
	if len(s.types) > len(st.types) {
		s.st, s.split = st.splitUp()
	}
	return s
}

// accepted notes that the server takes a statement with s.types.
func (s *search) accepted() {
	if !s.known {
		s.in.store(s.of, s.types)
	}
}

// retry reports whether a statement that failed should be sent again with s.types,
// which are others now. That is so only if nothing of it has run.
func (s *search) retry(err error) bool {
	return s.retryAs(err, s.st.sql, nil)
}

// retryAs is retry for a statement that was sent as text, with its parameters in spots.
func (s *search) retryAs(err error, text string, spots []placeholder.Spot) bool {
	if err == nil {
		return false
	}
	literals := spots != nil
	complaint := openType(err)
	if s.known {
		if again := s.outdated(err); again || s.known || s.final {
			return again && !s.final
		}
	}
	if s.attempts == nil {
		s.attempts = &attempts{first: err, open: complaint != nil}
		if complaint == nil {
			if n := misreadAt(err, text, spots); n >= 0 {
				return s.misread(n)
			}
			return !literals && clashes(err) && s.splitUp(nil, "") && s.next()
		}
	}
	if complaint == nil || s.repeats(complaint) {
		return s.next()
	}
	if !literals {
		spots = placeholder.Spots(text)
	}
	ambiguous := complaint.Code == pqerror.AmbiguousParameter // has a type in another place
	if !literals && !ambiguous {
		s.splitUp(nil, "")
	}
	s.steps = append(s.steps, step{st: s.st, split: s.split, complaint: complaint, types: s.types, suspects: suspects(complaint, text, spots, s.st)})
	if !literals && ambiguous {
		s.splitUp(complaint, text)
	}
	if complaint.Code == pqerror.DatatypeMismatch {
		s.floats(offsetOf(text, complaint.Position), spots)
	}
	return s.next()
}

// floats adds the steps that declare the float at an offset as numeric, and all of them, as
// the rows of a list of VALUES have the same type.
func (s *search) floats(at int, spots []placeholder.Spot) {
	i := slices.IndexFunc(spots, func(p placeholder.Spot) bool { return p.Start <= at && at < p.Stop })
	if i < 0 || s.types[spots[i].Arg] != pgform.OIDFloat8 {
		return
	}
	one, all := slices.Clone(s.types), slices.Clone(s.types)
	one[spots[i].Arg] = pgform.OIDNumeric
	for n, t := range all {
		if t == pgform.OIDFloat8 {
			all[n] = pgform.OIDNumeric
		}
	}
	if !slices.Equal(all, one) {
		s.steps = append(s.steps, step{st: s.st, split: s.split, types: all, untried: true})
	}
	s.steps = append(s.steps, step{st: s.st, split: s.split, types: one, untried: true})
}

// splitUp adds the step that splits parameters, if some stand in several places. The place
// of the complaint is known to leave the type open.
func (s *search) splitUp(complaint *pq.Error, text string) bool {
	if s.split != nil {
		return false
	}
	st, split := s.of.splitUp()
	if split == nil {
		return false
	}
	types := slices.Clone(st.types)
	if complaint != nil {
		at := offsetOf(text, complaint.Position)
		if i := slices.IndexFunc(placeholder.Spots(text), func(p placeholder.Spot) bool { return p.Start == at }); i >= 0 {
			types[i] = st.fallback[i]
		}
	}
	s.steps = append(s.steps, step{st: st, split: split, types: types, untried: true})
	return true
}

// splitUp returns st with a parameter of its own in each place, and for each of them which
// one of st it was. It returns nil if no parameter of st whose type is open stands in
// several places.
func (st *statement) splitUp() (*statement, []int) {
	spots := placeholder.Spots(st.sql)
	seen, several := make([]bool, len(st.types)), false
	for _, p := range spots {
		if p.Arg >= len(seen) {
			return nil, nil
		}
		several = several || seen[p.Arg] && st.types[p.Arg] == 0
		seen[p.Arg] = true
	}
	if !several || len(spots) > placeholder.MaxParams {
		return nil, nil
	}
	apart := *st
	apart.params, apart.types, apart.fallback = nil, make([]uint32, len(spots)), make([]uint32, len(spots))
	split := make([]int, len(spots))
	var sql []byte
	at := 0
	for i, p := range spots {
		split[i], apart.types[i], apart.fallback[i] = p.Arg, st.types[p.Arg], st.fallback[p.Arg]
		sql = append(sql, st.sql[at:p.Start]...)
		sql = strconv.AppendInt(append(sql, '$'), int64(i+1), 10)
		at = p.Stop
	}
	apart.sql = string(append(sql, st.sql[at:]...))
	if st.args != nil {
		apart.args = spread(st.args, split)
	}
	return &apart, split
}

// spread returns the arguments of a statement for what splitUp made of it.
func spread(args []driver.NamedValue, split []int) []driver.NamedValue {
	if split == nil {
		return args
	}
	all := make([]driver.NamedValue, len(split))
	for i, n := range split {
		all[i] = args[n]
	}
	return all
}

// outdated forgets types that the server does not accept any more, because the schema
// has changed, and reports whether there are others to begin with.
func (s *search) outdated(err error) bool {
	pe := pq.As(err)
	if pe == nil || pe.Where != "" || pe.Code.Class() != "42" || !ofAnalysis(pe) || len(s.of.fallback) == 0 && !s.of.storesFloats() {
		return false
	}
	others := !slices.Equal(s.types, s.of.types)
	if others || openType(err) != nil {
		s.in.forget(s.of)
		s.st, s.split, s.types, s.known = s.of, nil, s.of.types, false
	}
	return others
}

// retryRead is retry for a statement that was prepared: whether a list stands where the
// server has inferred a type of single values, as in percentile_cont($1), which takes
// float8 and float8[]. If no other type is possible either, what was prepared serves
// for the error.
func (s *search) retryRead(params []uint32) bool {
	if s.known || s.attempts != nil && s.reread {
		return false
	}
	for i, t := range params {
		null := i < len(s.st.args) && s.st.args[i].Value == nil
		if i < len(s.st.fallback) && s.types[i] == 0 && !null && isSingle(t) && pgform.IsArrayOID(s.st.fallback[i]) {
			if s.attempts == nil {
				s.attempts = &attempts{}
			}
			s.reread = true
			return s.misread(i)
		}
	}
	return false
}

// misread declares a list as one.
func (s *search) misread(n int) bool {
	if n >= len(s.st.fallback) || !pgform.IsArrayOID(s.st.fallback[n]) {
		return false
	}
	s.steps = append(s.steps, step{st: s.st, split: s.split, types: s.types, suspects: [][]int{{n}}})
	return s.next()
}

// repeats reports whether the last attempt has changed nothing.
func (s *search) repeats(complaint *pq.Error) bool {
	if len(s.steps) == 0 {
		return false
	}
	last := s.steps[len(s.steps)-1].complaint
	return last != nil && last.Message == complaint.Message && last.Position == complaint.Position
}

// next chooses the types for the next attempt.
func (s *search) next() bool {
	if s.tries++; s.tries > maxTries {
		return false
	}
	for len(s.steps) > 0 && s.tries < maxTries {
		last := &s.steps[len(s.steps)-1]
		s.st, s.split, s.types = last.st, last.split, last.types
		if last.untried {
			last.untried = false
			return true
		}
		for len(last.suspects) > 0 {
			types, changed := slices.Clone(last.types), false
			for _, n := range last.suspects[0] {
				changed = changed || types[n] == 0
				types[n] = last.st.fallback[n]
			}
			last.suspects = last.suspects[1:]
			if changed {
				s.types = types
				return true
			}
		}
		s.steps = s.steps[:len(s.steps)-1]
	}
	if !s.open || len(s.of.fallback) == 0 || s.split == nil && slices.Equal(s.types, s.of.fallback) {
		return false
	}
	s.st, s.split, s.types, s.tries = s.of, nil, s.of.fallback, maxTries // as a last resort
	return true
}

// error is the error of a statement after all attempts: the first, which is about the
// query as the program wrote it.
func (s *search) error(err error) error {
	if err != nil && s.attempts != nil && s.first != nil {
		return s.first
	}
	return err
}

// openType returns the error of a server that cannot find the type of a parameter, or nil
// for any other. Then nothing has run.
func openType(err error) *pq.Error {
	pe := pq.As(err, pqerror.IndeterminateDatatype,
		pqerror.AmbiguousParameter, pqerror.AmbiguousFunction, pqerror.DatatypeMismatch)
	if pe == nil || pe.Where != "" || !ofAnalysis(pe) {
		return nil // with a context it is an error of a function, which has run
	}
	return pe
}

// clashes reports whether an error can come from a parameter with two types.
func clashes(err error) bool {
	pe := pq.As(err, pqerror.UndefinedFunction)
	return pe != nil && pe.Where == "" && ofAnalysis(pe)
}

// ofAnalysis reports whether an error comes from where the server looks at a
// statement's text, and so from before anything of it has run. Functions and casts
// give the same codes when they run.
func ofAnalysis(pe *pq.Error) bool {
	file := pe.File[strings.LastIndexByte(pe.File, '/')+1:]
	return strings.HasPrefix(file, "parse_") || file == "analyze.c" || file == "postgres.c"
}

// misreadAt returns which value the server could not read as one of the type that it has
// inferred, or -1. Then nothing has run: it was reading Bind or, if the values are literals
// in spots, the text.
func misreadAt(err error, text string, spots []placeholder.Spot) int {
	pe := pq.As(err, pqerror.InvalidTextRepresentation)
	if pe == nil {
		return -1
	}
	if m := boundParameter.FindStringSubmatch(pe.Where); m != nil {
		n, _ := strconv.Atoi(m[1]) // 0 becomes -1
		return n - 1
	}
	if at := offsetOf(text, pe.Position); at >= 0 && pe.Where == "" {
		if i := slices.IndexFunc(spots, func(p placeholder.Spot) bool { return p.Start <= at && at < p.Stop }); i >= 0 {
			return spots[i].Arg
		}
	}
	return -1
}

// boundParameter is all of the context that the server gives a parameter's value.
var boundParameter = regexp.MustCompile(`\A(?:unnamed portal|portal "[^"\n]*") parameter \$([0-9]{1,5})(?: = '[^\n]*')?\z`)

// isSingle reports whether a type is known to read no array's text.
func isSingle(oid uint32) bool {
	switch oid {
	case pgform.OIDBool, pgform.OIDInt2, pgform.OIDInt4, pgform.OIDInt8, pgform.OIDFloat4, pgform.OIDFloat8, pgform.OIDNumeric, pgform.OIDDate, pgform.OIDTime, pgform.OIDTimestamp, pgform.OIDTimestamptz, pgform.OIDInterval, pgform.OIDUUID:
		return true
	}
	return false
}

// suspects returns the parameters that a complaint may be about, as sets, the
// likeliest first.
//
// It names a parameter, or has the position of a function or an operator, whose
// arguments they then are, or nothing. A function that takes arguments of any type would
// be complained of once for each of them, so they are tried together first.
func suspects(complaint *pq.Error, text string, spots []placeholder.Spot, st *statement) (sets [][]int) {
	calls := argumentsOf(text, spots)
	among := func(belongs func(i int) bool) {
		var set []int
		for i, p := range spots {
			if p.Arg < len(st.types) && st.types[p.Arg] == 0 && belongs(i) && !slices.Contains(set, p.Arg) {
				set = append(set, p.Arg)
			}
		}
		if set != nil {
			sets = append(sets, set)
		}
	}
	if complaint.Code == pqerror.IndeterminateDatatype || complaint.Code == pqerror.AmbiguousParameter {
		if _, number, ok := strings.Cut(complaint.Message, "$"); ok {
			number = number[:len(number)-len(strings.TrimLeft(number, "0123456789"))]
			n, _ := strconv.Atoi(number) // 0 belongs to no parameter
			if i := slices.IndexFunc(spots, func(p placeholder.Spot) bool { return p.Arg == n-1 }); i >= 0 {
				if calls[i] >= 0 {
					among(func(j int) bool { return calls[j] == calls[i] })
				}
				among(func(j int) bool { return spots[j].Arg == n-1 })
				return sets
			}
		}
	}
	if at := offsetOf(text, complaint.Position); at >= 0 {
		if start, stop := callAt(text, at); start >= 0 {
			among(func(i int) bool { return calls[i] == start })
			among(func(i int) bool { return start < spots[i].Start && spots[i].Start < stop })
		} else {
			among(func(i int) bool {
				return spots[i].Stop <= at && strings.Trim(text[spots[i].Stop:at], " \t\r\n()") == "" ||
					spots[i].Start > at && strings.Trim(text[at:spots[i].Start], " \t\r\n()+-*/<>=~!@#%^&|`?") == ""
			})
		}
	}
	if sets == nil { // functions of arrays are complained of without a position
		among(func(i int) bool { return pgform.IsArrayOID(st.fallback[spots[i].Arg]) })
		for i := range spots {
			among(func(j int) bool { return i == j })
		}
	}
	return sets
}

// offsetOf turns the server's position, which counts characters from 1, into an offset,
// or -1 if there is none.
func offsetOf(text, position string) int {
	n, err := strconv.Atoi(position)
	if err != nil || n < 1 {
		return -1
	}
	at := 0
	for ; n > 1 && at < len(text); n-- {
		_, size := utf8.DecodeRuneInString(text[at:])
		at += size
	}
	return at
}

// callAt returns where the parentheses begin and end of a function whose name is at an
// offset, or -1 if there is none.
func callAt(text string, at int) (start, stop int) {
	scan := sqllex.NewScanner(text)
	scan.Seek(at)
	depth := 0
	for t := scan.Next(); t.Kind != sqllex.End; t = scan.Next() {
		switch symbol := text[t.Start]; {
		case t.Kind == sqllex.Symbol && symbol == '(':
			if depth++; depth == 1 {
				start = t.Start
			}
		case t.Kind == sqllex.Symbol && symbol == ')' && depth > 0:
			if depth--; depth == 0 {
				return start, t.Start
			}
		case depth == 0 && !t.Kind.IsSpace() && t.Kind != sqllex.Word && t.Kind != sqllex.Ident && symbol != '.':
			return -1, -1
		}
	}
	return -1, -1
}

// argumentsOf returns for each place where the parenthesis of the call is that it is an
// argument of, as a whole; -1 if it is not an argument.
func argumentsOf(text string, spots []placeholder.Spot) []int {
	calls := slices.Repeat([]int{-1}, len(spots))
	open := []int{-1} // the parentheses around; -1 for those of no call
	var prev sqllex.Token
	next, waiting := 0, -1 // the next place, and one that may be a whole argument
	is := func(t sqllex.Token, symbols string) bool {
		return t.Kind == sqllex.Symbol && strings.IndexByte(symbols, text[t.Start]) >= 0
	}
	scan := sqllex.NewScanner(text)
	for t := scan.Next(); t.Kind != sqllex.End; t = scan.Next() {
		if t.Kind.IsSpace() {
			continue
		}
		if waiting >= 0 && is(t, ",)") {
			calls[waiting] = open[len(open)-1]
		}
		waiting = -1
		switch {
		case next < len(spots) && t.Start == spots[next].Start:
			if is(prev, "(,") {
				waiting = next
			}
			scan.Seek(spots[next].Stop)
			next++
		case is(t, "("):
			name := prev.Kind == sqllex.Ident || prev.Kind == sqllex.Word && !sqllex.Reserved(prev.Text(text))
			if name {
				open = append(open, t.Start)
			} else {
				open = append(open, -1)
			}
		case is(t, ")") && len(open) > 1:
			open = open[:len(open)-1]
		}
		prev = t
	}
	return calls
}
