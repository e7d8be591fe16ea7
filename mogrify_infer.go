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
	values []constant // for the places, in their order
}

// sql returns the query's text. With guess, literals whose type is for the
// server to infer have a cast to the type that it is told when it cannot.
func (l *literals) sql(guess bool) (string, error) {
	b, values := l.binder, l.values
	b.guess = guess
	return b.bind(l.text, func(sqllex.Token) *constant {
		if len(values) == 0 {
			return nil
		}
		value := &values[0]
		values = values[1:]
		return value
	})
}

// trial is a statement with literals of which it is not known whether the
// server can infer their types.
type trial struct {
	statement        // what the outcome is remembered for
	before    string // the text in front of the query
	literals  *literals
}

// bindLiterals fills st with the text of a query that takes parameters, but has
// literals instead.
func (c *conn) bindLiterals(st *statement, q *query, args []driver.NamedValue) error {
	l, err := c.literals(q, args)
	if err != nil {
		return err
	}
	guess := false
	if !l.binder.native && !q.utility {
		t := &trial{statement: statement{sql: q.sql}, literals: l}
		for _, v := range l.values {
			t.types = append(t.types, v.declared)
			t.open = append(t.open, v.wanted(true))
		}
		if slices.Contains(t.types, 0) {
			types, known := c.con.inference.lookup(&t.statement)
			guess = known && !slices.Equal(types, t.types)
			if !known {
				st.trial = t
			}
		}
	}
	st.sql, err = l.sql(guess)
	return err
}

// runTrial runs st as a simple query, and once more with types for its literals
// if the server cannot infer them. It says so before it runs anything. In a
// transaction there is a savepoint around the first attempt.
func runTrial[R any](c *conn, m mode[R], st *statement) (R, error) {
	var zero R
	t := st.trial
	guard := c.guardParse(true)
	if err := c.flush(); err != nil {
		return zero, err
	}
	res, err := m.text(c, st.sql, nil)
	c.observe()
	if err == nil {
		guard.release()
		c.con.inference.store(&t.statement, t.types)
		return res, nil
	}
	if c.fallback(&t.statement, false, err) == nil {
		return zero, err
	}
	text, textErr := t.literals.sql(true)
	if textErr != nil {
		return zero, textErr
	}
	if err := guard.undo(); err != nil {
		return zero, err
	}
	res, err2 := m.text(c, t.before+text, nil)
	c.observe()
	if err2 != nil {
		return zero, err // the first error is about the query as the user wrote it
	}
	c.con.inference.store(&t.statement, t.open)
	return res, nil
}
