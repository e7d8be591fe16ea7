package psyco

import (
	"hash/maphash"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/psyco-go/psyco/internal/sqllex"
)

// style is how a query writes its parameters.
type style uint8

const (
	styleVerbatim   style = iota // no arguments were given: sent as written
	styleNative                  // $1, as lib/pq takes it: sent as written
	stylePositional              // %s
	styleNamed                   // %(name)s
)

// query is a text taken apart: what the server gets for it and where the
// arguments go. It does not change once made, but for the cache's mark.
type query struct {
	text  string // as the user wrote it
	style style  // native, positional or named: what holds when arguments are given
	sql   string // what the server gets, unless a row list makes that depend on the arguments

	// utility says that the arguments must be put into the text as literals:
	// the statement is of a kind that takes no parameters, or there are several
	// statements, which the extended protocol refuses.
	utility bool

	redefines bool // see redefines

	params  int      // how many distinct $n sql has; 0 for native queries
	natives int      // of a native query: see countNative
	slots   []slot   // the placeholders in the order of the text
	names   []string // styleNamed: names[i] is $i+1
	lists   bool     // a placeholder stands behind IN, or alone in the parentheses behind it
	rows    bool     // one of those takes a list of rows

	// misuse is for a native query without any $n: what arguments would be
	// told, if there is something that was perhaps meant as a placeholder.
	misuse error

	nativeOnly bool // placeholders=native: there are no others to advise

	used atomic.Bool // found in the cache since the last search for a victim
}

// slot is the place of one placeholder.
type slot struct {
	span       // of its $n in query.sql
	offset int // of the placeholder in query.text
	arg    int // which argument: $arg+1
	kind   slotKind
	left   []span // slotRows: the elements of the row before IN, in query.sql
}

type slotKind uint8

const (
	slotValue slotKind = iota
	slotList           // IN %s
	slotRows           // (a, b) IN %s
	slotAlone          // IN (%s)
)

type span struct{ start, stop int }

// rewriter turns query texts into queries, and remembers them. It is safe for
// concurrent use.
//
// Its cache is an array of small sets, each entry an atomic pointer, so that
// readers never wait and write nothing that other readers use. A set evicts by
// second chance. Two writers in one set may lose each other's entry, which costs
// a rewrite and nothing else.
type rewriter struct {
	mode placeholders
	seed maphash.Seed
	sets [256][4]atomic.Pointer[query]
	hand atomic.Uint32
}

// placeholders is Config.Placeholders: which styles a text may be taken for.
type placeholders uint8

const (
	placeholdersAuto placeholders = iota
	placeholdersNative
	placeholdersPsycopg
)

// As in psycopg 3: texts beyond that are generated, and hardly ever come again.
const (
	maxCachedText  = 4096
	maxCachedSlots = 50
)

func newRewriter(mode string) *rewriter {
	r := &rewriter{seed: maphash.MakeSeed()}
	switch mode {
	case "native":
		r.mode = placeholdersNative
	case "psycopg":
		r.mode = placeholdersPsycopg
	}
	return r
}

// lookup takes a text apart, or finds it among those that it took apart before.
// A text that is found costs no allocation. The error is a *queryError.
func (r *rewriter) lookup(text string) (*query, error) {
	if len(text) > maxCachedText {
		return rewrite(text, r.mode)
	}
	set := &r.sets[maphash.String(r.seed, text)%uint64(len(r.sets))]
	for i := range set {
		if q := set[i].Load(); q != nil && q.text == text {
			if !q.used.Load() {
				q.used.Store(true)
			}
			return q, nil
		}
	}
	q, err := rewrite(strings.Clone(text), r.mode) // text may be a piece of something large
	if err == nil && len(q.slots) <= maxCachedSlots {
		r.remember(set, q)
	}
	return q, err
}

// remember puts q in a free place of the set, or in that of the first query not
// used since the last time that a place was looked for.
func (r *rewriter) remember(set *[4]atomic.Pointer[query], q *query) {
	victim := int(r.hand.Add(1) % uint32(len(set)))
	for range set {
		old := set[victim].Load()
		if old == nil || !old.used.Swap(false) {
			break
		}
		victim = (victim + 1) % len(set)
	}
	set[victim].Store(q)
}

// clientBound reports whether a psycopg-style query's arguments must become
// literals. PostgreSQL takes parameters only in what its parser analyses
// (transformStmt in src/backend/parser/analyze.c), and in EXPLAIN of such.
func clientBound(sql string) bool {
	keyword := sqllex.Keyword(sql)
	switch {
	case keyword == "": // is no statement; let the server say so
		return false
	case !takesParameters(keyword):
		return true
	case keyword == "EXPLAIN" && explainsUtility(sql):
		return true
	}
	return sqllex.Count(sql, 2) > 1
}

// takesParameters reports whether statements that begin with a word take parameters.
func takesParameters(keyword string) bool {
	switch keyword {
	case "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "VALUES", "TABLE", "DECLARE", "CALL", "EXPLAIN":
		return true
	}
	return false
}

// countNative returns the highest n of a $n, or -1 if the statement is of a kind
// whose parameters the server does not see. It numbers a parameter that is
// missing in between too.
func countNative(text string) (count int) {
	if strings.IndexByte(text, '$') < 0 {
		return 0
	}
	if keyword := sqllex.Keyword(text); keyword != "" && !takesParameters(keyword) {
		return -1
	}
	s := sqllex.NewScanner(text)
	for t := s.Next(); t.Kind != sqllex.End; t = s.Next() {
		if t.Kind == sqllex.Param {
			if n, err := strconv.Atoi(t.Text(text)[1:]); err == nil {
				count = max(count, n)
			}
		}
	}
	return count
}

// explainsUtility reports whether what EXPLAIN explains takes no parameters:
// EXECUTE, CREATE MATERIALIZED VIEW, REFRESH. The options may be in parentheses.
func explainsUtility(sql string) bool {
	depth := 0
	s := sqllex.NewScanner(sql)
	for t := s.Next(); t.Kind != sqllex.End; t = s.Next() {
		switch word := t.Text(sql); {
		case word == "(":
			depth++
		case word == ")":
			depth--
		case t.Kind == sqllex.Word && depth == 0:
			switch sqllex.Upper(word) {
			case "EXPLAIN", "ANALYZE", "ANALYSE", "VERBOSE":
				continue
			case "EXECUTE", "CREATE", "REFRESH":
				return true
			}
			return false
		}
	}
	return false
}
