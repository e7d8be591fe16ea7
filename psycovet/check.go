package psycovet

import (
	"context"
	"database/sql"
	"errors"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/placeholder"
	"github.com/psyco-go/psyco/internal/sqllex"
)

// direct checks a query with its arguments.
func (c *checker) direct(call *ast.CallExpr, query text, first int) {
	written := query.String()
	q, err := placeholder.Rewrite(written, placeholder.Auto)
	args := c.arguments(call, first, err == nil && q.Style == placeholder.Named, sqllex.Keyword(written) == "COPY")
	switch {
	case args.known && len(args.list) == 0:
		err = placeholder.Forgotten(written, placeholder.Auto)
	case err == nil && args.known:
		if err = q.Check(args.list); err == nil {
			err = q.Misplaced()
		}
	case err == nil: // there may be arguments or not
		if err = placeholder.Forgotten(written, placeholder.Auto); !isQuestion(err) {
			err = q.Misplaced()
		}
	case !args.known:
		err = nil
	}
	if err == nil {
		c.columns[call] = c.onServer(call, query, args)
	}
	c.complain(call, query, err, args)
}

// isQuestion reports whether an error is about a ?, which PostgreSQL does not take with or
// without arguments.
func isQuestion(err error) bool {
	var e *sqllex.Error
	return errors.As(err, &e) && e.Offset < len(e.Text) && e.Text[e.Offset] == '?'
}

// prepared checks the text of a statement whose arguments come later.
func (c *checker) prepared(call *ast.CallExpr, query text) {
	q, err := placeholder.Rewrite(query.String(), placeholder.Auto)
	if err == nil {
		if err = placeholder.Forgotten(query.String(), placeholder.Auto); !isQuestion(err) {
			err = q.Misplaced()
		}
	}
	c.complain(call, query, err, arguments{})
}

// statement checks the arguments of a prepared statement, if the source tells what was prepared.
func (c *checker) statement(call *ast.CallExpr, s site) {
	sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	if !ok {
		return
	}
	query, ok := c.preparedBy(sel.X, 0)
	if !ok || !query.constant() {
		return
	}
	q, err := placeholder.Rewrite(query.String(), placeholder.Auto)
	if err != nil || q.Style == placeholder.Native && (q.Natives < 0 || sqllex.Keyword(q.Text) == "COPY") {
		return // the first is reported where it is prepared; pq.CopyIn takes rows
	}
	args := c.arguments(call, s.args, q.Style == placeholder.Named, false)
	if !args.known {
		return
	}
	err = q.Check(args.list)
	if len(args.list) == 0 && q.Style == placeholder.Native {
		err = placeholder.Forgotten(q.Text, placeholder.Auto)
	}
	c.complain(call, query, err, args)
}

// preparedBy returns the text that a statement was prepared from.
func (c *checker) preparedBy(e ast.Expr, depth int) (text, bool) {
	if depth > maxDepth {
		return nil, false
	}
	e = ast.Unparen(e)
	if call, ok := e.(*ast.CallExpr); ok {
		fn, ok := c.object(call.Fun).(*types.Func)
		if !ok {
			return nil, false
		}
		if name := nameOf(fn); name == "database/sql.Tx.Stmt" || name == "database/sql.Tx.StmtContext" || name == "github.com/jmoiron/sqlx.Tx.Stmtx" {
			return c.preparedBy(call.Args[len(call.Args)-1], depth+1)
		}
		s, ok := c.site(fn)
		if !ok || s.kind != prepares || s.query >= len(call.Args) {
			return nil, false
		}
		return c.text(call.Args[s.query])
	}
	a, ok := c.only(c.object(e))
	if !ok || a.result != 0 {
		return nil, false
	}
	return c.preparedBy(a.value, depth+1)
}

// many checks a query that runs once for each row of a literal.
func (c *checker) many(call *ast.CallExpr, query text, rows int) {
	written := query.String()
	q, err := placeholder.Rewrite(written, placeholder.Auto)
	if err == nil {
		err = q.Misuse
	}
	if err == nil {
		err = q.Misplaced()
	}
	if err != nil {
		c.complain(call, query, err, arguments{})
		return
	}
	if rows >= len(call.Args) {
		return
	}
	fn, slice := c.callee(call.Args[rows])
	if fn != psycoPath+".SliceRows" {
		return
	}
	lit := c.literal(slice.Args[0])
	if lit == nil {
		return
	}
	for _, row := range lit.Elts {
		if row, ok := row.(*ast.CompositeLit); ok {
			args := c.valuesOf(row.Elts, q.Style == placeholder.Named, false)
			if args.known {
				if err := q.Check(args.list); err != nil {
					c.complain(call, query, err, args)
					return
				}
			}
		}
	}
}

// values checks a query of ExecValues. Without rows that says what is wrong with the
// text, and does nothing.
func (c *checker) values(call *ast.CallExpr, query text, options int) {
	_, err := psyco.ExecValues(context.Background(), nil, query.String(), psyco.SliceRows(nil), nil)
	c.complain(call, query, err, arguments{})
	if options >= len(call.Args) || err != nil {
		return
	}
	opts := ast.Unparen(call.Args[options])
	if u, ok := opts.(*ast.UnaryExpr); ok && u.Op == token.AND {
		opts = u.X
	}
	lit, ok := opts.(*ast.CompositeLit)
	if !ok {
		return
	}
	for _, elt := range lit.Elts {
		kv, ok := elt.(*ast.KeyValueExpr)
		if !ok || types.ExprString(kv.Key) != "Template" {
			continue
		}
		if template, ok := c.text(kv.Value); ok && template.constant() && template.String() != "" {
			_, err := psyco.ExecValues(context.Background(), nil, query.String(), psyco.SliceRows(nil), &psyco.ValuesOptions{Template: template.String()})
			c.complain(call, template, err, arguments{})
		}
	}
}

// template checks a template of Compose with its parts.
func (c *checker) template(call *ast.CallExpr, query text, first int) {
	if call.Ellipsis.IsValid() {
		return
	}
	var parts []any
	for _, e := range call.Args[first:] {
		fn, named := c.callee(e)
		if fn == "database/sql.Named" && len(named.Args) == 2 {
			name := c.TypesInfo.Types[named.Args[0]].Value
			if name == nil {
				return
			}
			parts = append(parts, sql.Named(constant.StringVal(name), c.part(named.Args[1])))
			continue
		}
		if isOption(c.TypesInfo.TypeOf(e)) {
			return
		}
		parts = append(parts, c.part(e))
	}
	_, err := psyco.Compose(query.String(), parts...)
	c.complain(call, query, err, arguments{})
}

// part returns a part of the same kind as an expression.
func (c *checker) part(e ast.Expr) any {
	typ := c.TypesInfo.TypeOf(e)
	switch name := types.TypeString(typ, nil); {
	case name == psycoPath+".Identifier":
		return psyco.Identifier{"name"}
	case types.IsInterface(typ) || name == psycoPath+".Raw":
		return psyco.Raw(" ")
	}
	return psyco.Literal(0)
}

// complain reports an error of psyco's about a text.
func (c *checker) complain(call *ast.CallExpr, query text, err error, args arguments) {
	if err == nil {
		return
	}
	pos, message := query.pos(0), err.Error()
	var fixes = c.fixes(query, nil, args)
	if e := (*sqllex.Error)(nil); errors.As(err, &e) {
		message = e.Message
		if e.Text == query.String() {
			pos, fixes = query.pos(e.Offset), c.fixes(query, e, args)
		}
	}
	c.report(call, pos, token.NoPos, args.rename(message), fixes...)
}
