// Package placeholder knows how queries write their parameters: $1 as the server does,
// %s and %(name)s as psycopg does. [Rewrite] turns a text with placeholders into one for
// the server, [Query.Bind] and [Query.Render] put a program's arguments in their places,
// and the hints say what to write instead where neither psyco nor the server takes what
// was written. It knows nothing of connections, and of values only which of them are lists
// and which hold others by name.
//
// An error about a text or its arguments is a [sqllex.Error], with the place in the
// text that the program wrote.
package placeholder

import (
	"strconv"
	"strings"

	"github.com/psyco-go/psyco/internal/sqllex"
)

// MaxParams is how many parameters a Bind message can count.
const MaxParams = 65535

// Style is how a query writes its parameters.
type Style uint8

const (
	Native     Style = iota // $1, as lib/pq takes it: sent as written
	Positional              // %s
	Named                   // %(name)s
)

// Styles are those that a text may be taken for.
type Styles uint8

const (
	Auto Styles = iota // decided by the text: one without psycopg's placeholders is native
	OnlyNative
	OnlyPsycopg // Positional or Named
)

// Query is a text taken apart: what the server gets for it and where the arguments go.
// It does not change once made.
type Query struct {
	Text  string // as the program wrote it
	SQL   string // what the server gets, unless the query expands
	Style Style  // what holds when arguments are given

	// Utility says that the arguments must be put into the text as literals:
	// the statement is of a kind that takes no parameters, or there are several
	// statements, which the extended protocol refuses.
	Utility bool

	Expands    bool // a placeholder takes a list of rows: what is sent depends on it
	lists      bool // a placeholder stands behind IN, or alone in the parentheses behind it
	onlyNative bool // there are no other styles to advise

	Params       int           // how many distinct $n SQL has; 0 for native queries
	Natives      int           // of a native query: see countNative
	Placeholders []Placeholder // in the order of the text; none for native queries, see Spots
	Names        []string      // Named: Names[i] is $i+1

	// Misuse is for a native query without any $n: what arguments are told, if there is
	// something that was perhaps meant as a placeholder.
	Misuse error
}

// Placeholder is one that was found in a text.
type Placeholder struct {
	Span        // of its $n in Query.SQL
	Offset int  // of what was written for it in Query.Text
	Arg    int  // which argument: $Arg+1
	Kind   Kind // what it stands for
	left   []Span
}

// Width returns how many elements the row has that stands before IN, for a placeholder
// of the kind Rows.
func (p *Placeholder) Width() int { return len(p.left) }

// Written returns what stands in the text for a placeholder.
func (q *Query) Written(p *Placeholder) string {
	return q.Text[p.Offset:placeholderEnd(q.Text, p.Offset)]
}

// Kind is what a placeholder stands for.
type Kind uint8

const (
	Value Kind = iota // one value
	List              // IN %s
	Rows              // (a, b) IN %s
	Alone             // IN (%s)
)

// Span is a part of a text.
type Span struct{ Start, Stop int }

// Spot is where a text has a parameter of the server, or its literal.
type Spot struct {
	Span
	Arg int // $Arg+1
}

// Spots returns where $1, $2 and so on are.
func Spots(sql string) (spots []Spot) {
	scan := sqllex.NewScanner(sql)
	for t := scan.Next(); t.Kind != sqllex.End; t = scan.Next() {
		if t.Kind == sqllex.Param {
			if n, err := strconv.Atoi(sql[t.Start+1 : t.Stop]); err == nil && n > 0 {
				spots = append(spots, Spot{Span{t.Start, t.Stop}, n - 1})
			}
		}
	}
	return spots
}

// clientBound reports whether a psycopg-style query's arguments must become
// literals: that of a statement that takes no parameters, or of several.
func clientBound(sql string) bool {
	keyword := sqllex.Keyword(sql)
	switch {
	case keyword == "": // not a statement: the server says so
		return false
	case !sqllex.TakesParameters(keyword):
		return true
	case keyword == "EXPLAIN" && sqllex.ExplainsUtility(sql):
		return true
	}
	return sqllex.Several(sql)
}

// countNative returns the highest n of a $n, or -1 if the statement is of a kind
// whose parameters the server does not see. It numbers a parameter that is
// missing in between too.
func countNative(text string) (count int) {
	if strings.IndexByte(text, '$') < 0 {
		return 0
	}
	if keyword := sqllex.Keyword(text); keyword != "" && !sqllex.TakesParameters(keyword) {
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
