package psyco

import (
	"cmp"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/literal"
	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/placeholder"
	"github.com/psyco-go/psyco/internal/sqllex"
)

// literals is a query whose arguments are to be written into it. They are
// converted once, and written as often as it takes.
type literals struct {
	writer literal.Writer
	text   string                // with a $1 in the place of each literal
	made   placeholder.Stretches // of text: where it is in the query's sql
	values []constant            // for the places, in their order
}

// sql returns the query's text, and where its literals are. types, if not nil, are
// what they have a cast to.
func (l *literals) sql(types []uint32) (text string, spots []placeholder.Spot, err error) {
	w, values := l.writer, l.values
	w.Placed = func(start, stop int) {
		spots = append(spots, placeholder.Spot{Span: placeholder.Span{Start: start, Stop: stop}, Arg: len(spots)})
	}
	var last constant
	text, err = w.Write(l.text, func(sqllex.Token) *literal.Value {
		if len(values) == 0 {
			return nil
		}
		last = values[0]
		switch {
		case last.isBytea:
			last.Type = pgform.OIDBytea
		case types != nil:
			last.Type = types[len(l.values)-len(values)]
		}
		values = values[1:]
		return &last.Value
	})
	if refused, ok := err.(*literal.ValueError); ok {
		err = argumentError(&last.arg, refused.Err)
	}
	return text, spots, err
}

// trial is a statement with literals of which it is not known whether the
// server can infer their types, or what they are to be.
type trial struct {
	statement        // what the outcome is remembered for
	before    string // as in the statement's origin
	literals  *literals
	unclear   bool // see constant.unclear
}

// buildLiterals makes st of the text of a query that takes parameters, but has
// literals instead.
func (c *conn) buildLiterals(st *statement, q *query, args []driver.NamedValue) error {
	l, err := c.literals(q, args)
	if err != nil {
		return err
	}
	var types []uint32
	t := &trial{statement: statement{sql: q.SQL}, literals: l}
	t.unclear = !q.Utility && q.Natives >= 0 && slices.ContainsFunc(l.values, func(k constant) bool { return k.unclear() })
	if t.unclear {
		st.trial = t
	}
	if !l.writer.Native && !q.Utility {
		for _, v := range l.values {
			t.types = append(t.types, v.declared)
			if v.declared == 0 {
				v.declared = v.fallback
			}
			t.fallback = append(t.fallback, v.declared)
		}
		if slices.Contains(t.types, 0) || t.storesFloats() {
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
// the server cannot infer them. The server refuses the statement before it runs anything. In a
// transaction there is a savepoint around the attempts.
func runTrial[R any](c *conn, m mode[R], st *statement) (R, error) {
	var zero R
	t := st.trial
	if t.unclear {
		if err := c.clear(t.literals); err != nil {
			return zero, err
		}
	}
	s := c.search(&t.statement)
	guard := c.guardParse(!s.known)
	for {
		text, spots, err := t.literals.sql(s.types)
		if err != nil {
			return zero, err
		}
		for i := range spots {
			spots[i].Start += len(t.before)
			spots[i].Stop += len(t.before)
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

// clear asks the server which of the bytes that are unclear go into a bytea, as lib/pq does
// of parameters. Nothing is learned from a query that can have literals, but no parameters.
func (c *conn) clear(l *literals) error {
	var text strings.Builder
	st := &statement{}
	scan := sqllex.NewScanner(l.text)
	for t := scan.Next(); t.Kind != sqllex.End; t = scan.Next() {
		if t.Kind != sqllex.Param {
			text.WriteString(t.Text(l.text))
			continue
		}
		k := &l.values[len(st.types)]
		st.types = append(st.types, k.declared)
		st.fallback = append(st.fallback, cmp.Or(k.declared, k.fallback, pgform.OIDText))
		fmt.Fprintf(&text, "$%d", len(st.types))
	}
	st.sql = text.String()
	params, _, err := tryTypes(c, st, func(sql string, types []uint32) (params, _ []uint32, err error) {
		params, err = c.analyze(sql, types)
		return params, params, err
	}, func([]uint32) {})
	if pq.As(err) != nil && c.lost == nil {
		if c.wire.TxStatus() == 'E' && (parseGuard{c}).undo() != nil {
			return err
		}
		return nil
	}
	if err != nil {
		return err
	}
	for i := range min(len(params), len(l.values)) {
		if k := &l.values[i]; k.unclear() {
			if k.isBytea = params[i] == pgform.OIDBytea; !k.isBytea {
				k.V = string(k.V.([]byte))
			}
		}
	}
	return nil
}
