package psyco

import (
	"database/sql/driver"
	"slices"

	"github.com/psyco-go/psyco/internal/sqllex"
)

// literals is a query whose arguments are to be written into it. They are
// converted once, and written as often as it takes.
type literals struct {
	binder binder
	text   string     // with a $1 in the place of each literal
	made   stretches  // of text: where it is in the query's sql
	values []constant // for the places, in their order
}

// sql returns the query's text, and where its literals are. types, if not nil, are
// what they have a cast to.
func (l *literals) sql(types []uint32) (text string, spots []spot, err error) {
	b, values := l.binder, l.values
	b.placed = func(start, stop int) { spots = append(spots, spot{start, stop, len(spots)}) }
	text, err = b.bind(l.text, func(sqllex.Token) *constant {
		if len(values) == 0 {
			return nil
		}
		value := values[0]
		if types != nil {
			value.typ = types[len(l.values)-len(values)]
		}
		values = values[1:]
		return &value
	})
	return text, spots, err
}

// trial is a statement with literals of which it is not known whether the
// server can infer their types.
type trial struct {
	statement        // what the outcome is remembered for
	before    string // as in the statement's origin
	literals  *literals
}

// bindLiterals fills st with the text of a query that takes parameters, but has
// literals instead.
func (c *conn) bindLiterals(st *statement, q *query, args []driver.NamedValue) error {
	l, err := c.literals(q, args)
	if err != nil {
		return err
	}
	var types []uint32
	if !l.binder.native && !q.utility {
		t := &trial{statement: statement{sql: q.sql}, literals: l}
		for _, v := range l.values {
			t.types = append(t.types, v.declared)
			if v.declared == 0 {
				v.declared = v.fallback
			}
			t.open = append(t.open, v.declared)
		}
		if slices.Contains(t.types, 0) {
			var known bool
			if types, known = c.con.inference.lookup(&t.statement); !known {
				st.trial = t
			}
		}
	}
	st.sql, _, err = l.sql(types)
	st.origin = origin{q: q, expanded: l.made, literals: l, types: types}
	return err
}

// runTrial runs st as a simple query, and again with types for the literals of which
// the server cannot infer them. It says so before it runs anything. In a
// transaction there is a savepoint around the attempts.
func runTrial[R any](c *conn, m mode[R], st *statement) (R, error) {
	var zero R
	t := st.trial
	s := c.search(&t.statement)
	guard := c.guardParse(true)
	for {
		text, spots, err := t.literals.sql(s.types)
		if err != nil {
			return zero, err
		}
		for i := range spots {
			spots[i].start += len(t.before)
			spots[i].stop += len(t.before)
		}
		text = t.before + text
		if err := c.flush(); err != nil {
			return zero, err
		}
		res, err := m.text(c, text, nil)
		c.observe()
		if err == nil {
			guard.release()
			s.accepted()
			return res, nil
		}
		if !s.retryAs(err, text, spots) {
			return zero, s.error(err)
		}
		if err := guard.undo(); err != nil {
			return zero, err
		}
	}
}
