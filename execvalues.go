package psyco

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/placeholder"
	"github.com/psyco-go/psyco/internal/sqllex"
)

// ValuesOptions are the choices that [ExecValues] leaves.
type ValuesOptions struct {
	// Template is what a row becomes in the list, with placeholders for its
	// values: "(%s, %s::date, now())", or "(%(id)s, lower(%(name)s))" for rows that
	// are one map or struct each. The default is (%s, %s, …), as wide as the
	// first row.
	Template string

	// PageSize is how many rows a statement has at most; 0 is 1,000. The limit of
	// 65,535 parameters to a statement makes pages of wide rows shorter.
	PageSize int

	// Each is called for each row that the statements return, in their order,
	// after the last of them has run and outside a transaction has been
	// committed. The rows are in memory by then, and the connection is given back, so
	// that Each may use the handle; the context plays no part any more. It may use
	// Columns, ColumnTypes and Scan of row. Its first error ends the calls and is that
	// of [ExecValues].
	Each func(row *sql.Rows) error
}

// ExecValues runs a statement with a list of rows in place of its only %s, and
// returns how many rows of the database it has affected in total (psycopg2:
// execute_values):
//
//	INSERT INTO t (a, b) VALUES %s ON CONFLICT DO NOTHING RETURNING id
//	UPDATE t SET b = v.b FROM (VALUES %s) AS v (a, b) WHERE t.a = v.a
//
// The rows are sent as pages, each of which is one statement; unlike psycopg2's
// count, the total is that of all pages. In INSERT the columns decide on the
// types of the values; in other places strings and NULLs are text unless the
// Template has casts. A nil opts is the zero [ValuesOptions]. Without rows nothing
// is sent.
//
// It is all or nothing in the same way as [ExecMany]: in a transaction the pages are
// part of that, else they are a transaction of their own. What is said there
// about errors, the iterator and connections without pipelines holds here too;
// an error of the server is about the rows of a page.
func ExecValues(ctx context.Context, h Handle, query string, rows iter.Seq2[[]any, error], opts *ValuesOptions) (int64, error) {
	if opts == nil {
		opts = &ValuesOptions{}
	}
	v, err := newValuesQuery(query, opts.Template)
	if err != nil {
		return 0, err
	}
	src, err := newRowSource(rows)
	if err != nil {
		return 0, err
	}
	defer src.stop()
	if !src.more {
		return 0, nil
	}
	if err := v.setWidth(len(src.ahead)); err != nil {
		return 0, src.error(0, 1, err)
	}
	v.each = opts.Each != nil
	page := min(max(1, cmp.Or(opts.PageSize, defaultPage)), max(1, placeholder.MaxParams/v.width))
	limit := page * max(1, chunkRows/page)
	if err := src.fill(limit); err != nil {
		return 0, err
	}
	var total int64
	_, err = do(ctx, h, "ExecValues", func(ctx context.Context, c *conn) (driver.Result, error) {
		m := many{c: c, src: src, page: page, limit: limit}
		m.run = func(ctx context.Context) error { return v.execute(ctx, &m) }
		v.reset()
		err := m.all(c.announce(ctx, query))
		total = m.total
		return memoryResult{driver.RowsAffected(total), len(v.set.rows)}, err
	})
	if err == nil && v.each {
		err = handOut([]eachRow{{v.set, opts.Each}})
	}
	if err != nil {
		return 0, err
	}
	return total, nil
}

// defaultPage is psycopg2's page size times ten: the pages are parsed once.
const defaultPage = 1000

// valuesQuery is the query of ExecValues, taken apart.
type valuesQuery struct {
	whole         *query // as the program wrote it
	before, after string
	template      *query
	width         int // parameters of a row
	each          bool

	query *query   // of the last page
	rows  int      // in it
	types []uint32 // of the columns, as far as they are known
	set   resultSet
}

func newValuesQuery(text, template string) (*valuesQuery, error) {
	q, err := rewrite(text, placeholder.OnlyPsycopg)
	if err != nil {
		return nil, err
	}
	if q.Style != placeholder.Positional || len(q.Placeholders) != 1 || q.Placeholders[0].Kind != placeholder.Value {
		at := 0
		if len(q.Placeholders) > 0 {
			at = q.Placeholders[len(q.Placeholders)-1].Offset
		}
		return nil, sqllex.ErrorAt(text, at, "ExecValues takes a query with one %%s, where the list of rows goes, as in INSERT INTO t VALUES %%s; this one has %d placeholders", len(q.Placeholders))
	}
	at := q.Placeholders[0].Span
	v := &valuesQuery{whole: q, before: percents(q.SQL[:at.Start]), after: percents(q.SQL[at.Stop:])}
	if template == "" {
		return v, nil
	}
	if v.template, err = rewrite(template, placeholder.OnlyPsycopg); err != nil {
		return nil, err
	}
	v.width = len(v.template.Placeholders)
	if v.width == 0 {
		return nil, sqllex.ErrorAt(template, 0, "the template has no placeholder")
	}
	return v, nil
}

// percents writes SQL as a query with placeholders that means it.
func percents(sql string) string { return strings.ReplaceAll(sql, "%", "%%") }

// setWidth makes the default template for rows of n values.
func (v *valuesQuery) setWidth(n int) (err error) {
	switch {
	case v.template != nil:
		return nil
	case n == 0:
		return errors.New("the row has no values")
	case n > placeholder.MaxParams:
		return fmt.Errorf("the row has %d values, PostgreSQL takes %d parameters", n, placeholder.MaxParams)
	}
	v.width = n
	v.template, err = rewrite("("+strings.Repeat("%s, ", n-1)+"%s)", placeholder.OnlyPsycopg)
	return err
}

func (v *valuesQuery) reset() { v.types, v.set = make([]uint32, v.width), resultSet{} }

// page returns the query for n rows.
func (v *valuesQuery) page(n int) (*query, error) {
	if n == v.rows {
		return v.query, nil
	}
	row := new(strings.Builder)
	at := 0
	for _, s := range v.template.Placeholders {
		row.WriteString(percents(v.template.SQL[at:s.Start]))
		row.WriteString("%s")
		at = s.Stop
	}
	row.WriteString(percents(v.template.SQL[at:]))
	text := v.before + row.String() + strings.Repeat(", "+row.String(), n-1) + v.after
	q, err := rewrite(text, placeholder.OnlyPsycopg)
	if err != nil {
		return nil, err
	}
	v.query, v.rows = q, n
	return q, nil
}

// build makes st of rows [i, i+n) of the chunk.
func (v *valuesQuery) build(m *many, st *statement, i, n int) error {
	q, err := v.page(n)
	if err != nil {
		return err
	}
	args := make([]driver.NamedValue, 0, n*v.width)
	for r := i; r < i+n; r++ {
		row, err := v.template.Arrange(m.src.arguments(r))
		if err != nil {
			return m.src.error(r, 1, err)
		}
		for _, s := range v.template.Placeholders {
			args = append(args, driver.NamedValue{Ordinal: s.Arg + 1, Value: row[s.Arg].Value})
		}
	}
	if err := m.c.build(st, q, args); err != nil {
		return v.blame(m, i, n, err)
	}
	st.outer = func(offset int) (string, int) { return v.locate(len(q.Text), offset) }
	v.unify(st)
	return nil
}

// locate returns the program's query, and where in it is what stands at an offset of
// a page, whose text has size bytes. The rows are its placeholder.
func (v *valuesQuery) locate(size, offset int) (text string, in int) {
	list := &v.whole.Placeholders[0]
	part, start := v.before, 0
	if after := size - len(v.after); offset >= after {
		offset -= after
		part, start = v.after, list.Stop
	} else if offset >= len(v.before) {
		return v.whole.Text, list.Offset
	}
	offset -= (strings.Count(part[:offset], "%") + 1) / 2 // they are written twice, see percents
	return v.whole.Text, v.whole.Stretches().Source(start + offset)
}

// blame finds the row that err is about, an error of converting a value.
func (v *valuesQuery) blame(m *many, i, n int, err error) error {
	for r := i; r < i+n; r++ {
		row, rowErr := v.template.Arrange(m.src.arguments(r))
		for a := 0; a < len(row) && rowErr == nil; a++ {
			if _, _, _, rowErr = m.c.con.types.convert(row[a].Value, 0); rowErr != nil {
				rowErr = argumentError(&row[a], rowErr)
			}
		}
		if rowErr != nil {
			return m.src.error(r, 1, rowErr)
		}
	}
	return m.src.error(i, n, err)
}

// unify declares the values of a column as one type where they agree: NULL is
// of the type of the others, and int4 goes with int8, as they would in the list
// of VALUES. It makes pages alike, so that they share a plan.
func (v *valuesQuery) unify(st *statement) {
	if len(st.args) != len(st.types) || len(st.types) != v.rows*v.width {
		return
	}
	for col := range v.width {
		typ := v.types[col]
		seen, mixed := typ != 0, false
		for i := col; i < len(st.types); i += v.width {
			switch t := st.types[i]; {
			case t == 0 && st.args[i].Value == nil:
			case !seen, typ == pgform.OIDInt4 && t == pgform.OIDInt8:
				typ, seen = t, true
			case t == typ, typ == pgform.OIDInt8 && t == pgform.OIDInt4:
			default:
				mixed = true
			}
		}
		if mixed || typ == 0 {
			continue
		}
		v.types[col] = typ
		for i := col; i < len(st.types); i += v.width {
			st.types[i] = typ
			if st.fallback != nil {
				st.fallback[i] = typ
			}
		}
	}
}

// execute runs the rows of the chunk.
func (v *valuesQuery) execute(ctx context.Context, m *many) error {
	if m.pipe == nil {
		return v.oneByOne(ctx, m)
	}
	p := m.pipe
	p.reset()
	var pages []statement
	var plans []*plan
	for i := 0; i < m.src.len(); i += m.page {
		var st statement
		if err := v.build(m, &st, i, min(m.page, m.src.len()-i)); err != nil {
			return err
		}
		plans = append(plans, p.find(&st))
		pages = append(pages, statement{sql: st.sql, args: st.args, types: slices.Clone(st.types), fallback: slices.Clone(st.fallback), origin: st.origin})
	}
	if refused, err := p.prepare(ctx); err != nil {
		i := slices.Index(plans, refused)
		return v.failed(m, i, m.c.explainPart(pages, i, err))
	}
	for i := range pages {
		if err := p.add(&pages[i], plans[i], v.each); err != nil {
			return v.failed(m, i, err)
		}
	}
	if err := p.send(ctx); err != nil {
		return v.failed(m, p.answered, m.c.explainPart(pages, p.answered, err))
	}
	m.ran = true
	for _, n := range p.affected {
		m.total += n
	}
	for _, set := range p.sets {
		v.collect(set)
	}
	return nil
}

func (v *valuesQuery) oneByOne(ctx context.Context, m *many) error {
	for i := 0; i < m.src.len(); i += m.page {
		var st statement
		n := min(m.page, m.src.len()-i)
		if err := v.build(m, &st, i, n); err != nil {
			return err
		}
		affected, set, err := m.c.once(ctx, &st, v.each)
		if err != nil {
			return m.failed(i, n, err)
		}
		m.ran = true
		m.total += affected
		v.collect(set)
	}
	return nil
}

// failed is many.failed for a page of the chunk.
func (v *valuesQuery) failed(m *many, page int, err error) error {
	i := page * m.page
	return m.failed(i, min(m.page, m.src.len()-i), err)
}

func (v *valuesQuery) collect(set resultSet) {
	if v.set.header == nil {
		v.set.header = set.header
	}
	if v.set.err == nil {
		v.set.rows = append(v.set.rows, set.rows...)
		v.set.err = set.err
	}
}
