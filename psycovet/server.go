package psycovet

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"reflect"
	"strings"

	"github.com/lib/pq/oid"
	"golang.org/x/tools/go/ast/inspector"
	"golang.org/x/tools/go/types/typeutil"

	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/placeholder"
	"github.com/psyco-go/psyco/internal/sqllex"
	"github.com/psyco-go/psyco/internal/wire"
)

// onServer reports what the server has against a query and its arguments, and what the
// program cannot do with its rows. It returns the columns, nil if they are not known.
func (c *checker) onServer(call *ast.CallExpr, query text, args arguments) []wire.Field {
	if c.schema == nil || c.defines(call) {
		return nil
	}
	written := query.String()
	q, err := placeholder.Rewrite(written, placeholder.Auto)
	if err != nil {
		return nil
	}
	if args.known && len(args.list) == 0 {
		q = placeholder.Query{Text: written, SQL: written, Style: placeholder.Native} // sent as it is
	}
	if q.Utility || q.Expands || !sqllex.IsQuery(q.SQL) || sqllex.Count(q.SQL, 2) != 1 {
		return nil
	}
	native := q.Style == placeholder.Native
	row, lax := c.rowType(call, &args)
	a, ok := c.ask(call, query, question{sql: q.SQL, row: row, lax: lax})
	switch {
	case !ok:
		return nil
	case a.Error != nil:
		if !depends(a.Error.Code, native) {
			c.refuse(call, query, &q, a.Error)
		}
		return nil
	case a.Misfit != "":
		message := strings.TrimPrefix(a.Misfit, "psyco: ")
		if t := c.typeArgument(call); t != nil {
			message = strings.ReplaceAll(message, " .", " "+types.TypeString(t, (*types.Package).Name)+".")
		}
		c.report(call, query.pos(0), token.NoPos, args.rename(message))
	}
	if !args.known || len(args.list) == 0 {
		return a.Columns
	}
	if native {
		c.unfit(call, a.Params, args)
		return a.Columns
	}
	list, err := q.Arrange(args.list)
	if err != nil {
		return a.Columns
	}
	list = declared(list)
	if b, ok := c.ask(call, query, question{sql: q.SQL, args: list}); ok && b.Error != nil && !depends(b.Error.Code, false) {
		c.refuse(call, query, &q, b.Error)
	}
	return a.Columns
}

// definers finds the functions that make or change tables: a migration, or one that fills
// a temporary table. Their queries are for another schema than the one that is there.
func (c *checker) definers(in *inspector.Inspector) {
	in.WithStack([]ast.Node{(*ast.CallExpr)(nil)}, func(n ast.Node, push bool, stack []ast.Node) bool {
		call := n.(*ast.CallExpr)
		fn, ok := typeutil.Callee(c.TypesInfo, call).(*types.Func)
		if !push || !ok {
			return true
		}
		s, ok := c.site(fn)
		if !ok || s.kind != direct || s.query >= len(call.Args) {
			return true
		}
		query, ok := c.text(call.Args[s.query])
		if !ok {
			return true
		}
		switch sqllex.Keyword(query.String()) {
		case "CREATE", "ALTER", "DROP":
		default:
			return true
		}
		for i := len(stack) - 1; i >= 0; i-- {
			switch stack[i].(type) {
			case *ast.FuncDecl, *ast.FuncLit:
				c.definer = append(c.definer, stack[i])
				return true
			}
		}
		return true
	})
}

// defines reports whether a call stands in a function that makes or changes tables.
func (c *checker) defines(call *ast.CallExpr) bool {
	for _, f := range c.definer {
		if f.Pos() <= call.Pos() && call.End() <= f.End() {
			return true
		}
	}
	return false
}

// depends reports whether an error may come from a type that psyco declares in its second
// attempt, or that is not known here.
func depends(code string, native bool) bool {
	switch code {
	case "42P18", "42725", "42501": // indeterminate_datatype, ambiguous_function, insufficient_privilege
		return true
	case "42P08": // ambiguous_parameter: a name of psyco's may have several types
		return !native
	}
	return false
}

// declared replaces values whose types do not say all about what is declared: what is not
// known, and lists.
func declared(list []driver.NamedValue) []driver.NamedValue {
	out := make([]driver.NamedValue, len(list))
	for i, a := range list {
		out[i] = driver.NamedValue{Ordinal: i + 1, Value: placeholder.Unknown{}}
		if a.Value == nil {
			continue
		}
		switch reflect.TypeOf(a.Value).Kind() {
		case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Float32, reflect.Float64:
			out[i].Value = a.Value
		case reflect.Struct:
			if !placeholder.IsContainer(reflect.TypeOf(a.Value)) {
				out[i].Value = a.Value
			}
		}
	}
	return out
}

// ask asks the schema, and reports a query that a recording has nothing about.
func (c *checker) ask(call *ast.CallExpr, query text, q question) (answer, bool) {
	a, err := c.schema.ask(q)
	switch {
	case errors.Is(err, errNotRecorded):
		c.report(call, query.pos(0), token.NoPos, fmt.Sprintf("%s has nothing about this query: %s", source.offline, renew()))
		return a, false
	case err != nil:
		c.failed = errors.Join(c.failed, err)
		return a, false
	}
	return a, true
}

// refuse reports an error of the server.
func (c *checker) refuse(call *ast.CallExpr, query text, q *placeholder.Query, e *serverError) {
	at, hint := 0, e.Hint
	if e.Position > 0 {
		at = len(string([]rune(q.SQL)[:min(e.Position-1, len([]rune(q.SQL)))]))
		if hint == "" && e.Code == "42601" {
			hint = q.SyntaxHint(at)
		}
		if q.Style != placeholder.Native {
			at = q.Stretches().Source(at)
		}
	}
	message := e.Message
	if hint != "" {
		message += ": " + hint
	}
	c.report(call, query.pos(at), token.NoPos, message)
}

// typeArgument returns T of a call of Query[T], nil for another function.
func (c *checker) typeArgument(call *ast.CallExpr) types.Type {
	fun := ast.Unparen(call.Fun)
	if index, ok := fun.(*ast.IndexExpr); ok {
		fun = ast.Unparen(index.X)
	}
	var id *ast.Ident
	switch f := fun.(type) {
	case *ast.Ident:
		id = f
	case *ast.SelectorExpr:
		id = f.Sel
	default:
		return nil
	}
	fn, ok := c.TypesInfo.Uses[id].(*types.Func)
	if !ok || fn.Pkg() == nil || fn.Pkg().Path() != psycoPath || !strings.HasPrefix(fn.Name(), "Query") {
		return nil
	}
	if in, ok := c.TypesInfo.Instances[id]; ok && in.TypeArgs.Len() == 1 {
		return in.TypeArgs.At(0)
	}
	return nil
}

// rowType returns a type with the fields of T, nil if there is none or not all is known.
func (c *checker) rowType(call *ast.CallExpr, args *arguments) (row reflect.Type, lax bool) {
	t := c.typeArgument(call)
	if t == nil {
		return nil, false
	}
	for _, e := range call.Args[min(3, len(call.Args)):] {
		if fn, _ := c.callee(e); fn == psycoPath+".Lax" {
			lax = true
		} else if isOption(c.TypesInfo.TypeOf(e)) {
			return nil, false
		}
	}
	if call.Ellipsis.IsValid() {
		return nil, false
	}
	if _, ok := t.(*types.TypeParam); ok || types.IsInterface(t) {
		return nil, false
	}
	if scans(t) {
		return anyType, lax // one value
	}
	if args.names == nil {
		args.names = make(map[string]string)
	}
	args.open = true
	row = args.reflected(t, 0)
	args.open = false
	if row == unknownType || row == anyType {
		return nil, false
	}
	args.call(row, t)
	return row, lax
}

// scans reports whether a type says itself what Query stores in it.
func scans(t types.Type) bool { return hasAny(t, "Scan", "UnmarshalText") }

// class is a kind of Go values or of PostgreSQL types, as far as their texts are alike.
type class uint8

const (
	anything class = iota
	boolean
	integer
	fraction
	instant
	list
	texts
	identifier // uuid
	document   // json
	bytes
)

// classOf is for Go types.
func classOf(t types.Type) class {
	if types.TypeString(t, nil) == "time.Time" {
		return instant
	}
	if isValue(t) {
		return anything
	}
	switch u := t.Underlying().(type) {
	case *types.Pointer:
		return classOf(u.Elem())
	case *types.Basic:
		switch info := u.Info(); {
		case info&types.IsBoolean != 0:
			return boolean
		case info&types.IsInteger != 0:
			return integer
		case info&types.IsFloat != 0:
			return fraction
		}
	case *types.Slice:
		if b, ok := u.Elem().Underlying().(*types.Basic); ok && b.Kind() == types.Uint8 {
			return bytes
		}
		return list
	}
	return anything
}

// classOfOID is for PostgreSQL types.
func classOfOID(id uint32) class {
	if pgform.IsArrayOID(id) {
		return list
	}
	switch id {
	case pgform.OIDBool:
		return boolean
	case pgform.OIDInt2, pgform.OIDInt4, pgform.OIDInt8, pgform.OIDOID:
		return integer
	case pgform.OIDFloat4, pgform.OIDFloat8, pgform.OIDNumeric:
		return fraction
	case pgform.OIDDate, pgform.OIDTimestamp, pgform.OIDTimestamptz:
		return instant
	case pgform.OIDUUID:
		return identifier
	case pgform.OIDJSON, pgform.OIDJSONB:
		return document
	case pgform.OIDText, pgform.OIDVarchar, pgform.OIDBpchar, pgform.OIDName:
		return texts
	case pgform.OIDBytea:
		return bytes
	}
	return anything
}

// unfit reports arguments of $1 and so on whose text can never be one of the parameter's type.
func (c *checker) unfit(call *ast.CallExpr, params []uint32, args arguments) {
	for i, e := range args.exprs {
		if i >= len(params) {
			return
		}
		t := c.TypesInfo.TypeOf(e)
		from, to := classOf(t), classOfOID(params[i])
		if never(from, to) {
			c.report(call, e.Pos(), e.End(), fmt.Sprintf("$%d is %s, which no %s can be", i+1, typeName(params[i]), types.TypeString(t, (*types.Package).Name)))
		}
	}
}

// never reports whether no value of a Go type has a text that the server takes.
func never(from, to class) bool {
	switch from {
	case boolean:
		return to == integer || to == fraction || to == instant || to == identifier || to == list
	case integer:
		return to == identifier || to == list
	case fraction:
		return to == boolean || to == identifier || to == list
	case instant:
		return to == boolean || to == integer || to == fraction || to == identifier || to == list || to == document
	case list:
		return to == boolean || to == integer || to == fraction || to == instant || to == identifier
	}
	return false
}

func typeName(id uint32) string {
	if name := oid.TypeName[oid.Oid(id)]; name != "" {
		if elem, ok := strings.CutPrefix(name, "_"); ok {
			name = elem + "[]"
		}
		return strings.ToLower(name)
	}
	return fmt.Sprintf("of type %d", id)
}

// scan checks a call of Scan against the columns of the query whose rows it reads.
func (c *checker) scan(call *ast.CallExpr) {
	sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr)
	if !ok || c.schema == nil || call.Ellipsis.IsValid() {
		return
	}
	from := ast.Unparen(sel.X)
	if _, ok := from.(*ast.CallExpr); !ok {
		a, ok := c.only(c.object(from))
		if !ok || a.result != 0 {
			return
		}
		from = ast.Unparen(a.value)
	}
	asked, ok := from.(*ast.CallExpr)
	if !ok {
		return
	}
	columns, ok := c.columns[asked]
	if !ok {
		c.call(asked) // it stands behind in the order of the file
		columns = c.columns[asked]
	}
	if columns == nil {
		return
	}
	if len(columns) != len(call.Args) {
		c.report(call, call.Rparen, token.NoPos, fmt.Sprintf("the query has %d columns, Scan gets %d", len(columns), len(call.Args)))
		return
	}
	for i, e := range call.Args {
		t := c.TypesInfo.TypeOf(e)
		p, ok := t.Underlying().(*types.Pointer)
		if !ok || hasAny(t, "Scan") || types.IsInterface(p.Elem()) {
			continue
		}
		if advice := c.unscannable(p.Elem(), columns[i].TypeOID); advice != "" {
			c.report(call, e.Pos(), e.End(), fmt.Sprintf("the column %s is %s, %s", columns[i].Name, typeName(columns[i].TypeOID), advice))
		}
	}
}

// unscannable says what to do where database/sql cannot store a column in a Go type.
func (c *checker) unscannable(t types.Type, id uint32) string {
	if p, ok := t.Underlying().(*types.Pointer); ok && !hasAny(p, "Scan") {
		t = p.Elem()
	}
	name := types.TypeString(t, (*types.Package).Name)
	column := classOfOID(id)
	if types.TypeString(t, nil) == "time.Time" {
		switch column {
		case boolean, integer, fraction, list, texts, identifier, document, bytes:
			return "which Scan cannot store in a " + name
		}
		return ""
	}
	switch u := t.Underlying().(type) {
	case *types.Slice:
		if b, ok := u.Elem().Underlying().(*types.Basic); ok && b.Kind() == types.Uint8 {
			return ""
		}
		return "which Scan cannot store in a " + name + ": write psyco.Into(&…)"
	case *types.Struct, *types.Map:
		return "which Scan cannot store in a " + name + ": write psyco.Into(&…), for json psyco.JSON"
	case *types.Basic:
		numeric := u.Info()&(types.IsInteger|types.IsFloat) != 0
		switch {
		case numeric && (column == boolean || column == instant || column == identifier || column == document || column == list || column == bytes):
			return "which Scan does not make a number (" + name + ") of"
		case u.Info()&types.IsBoolean != 0 && (column == instant || column == identifier || column == document || column == list):
			return "which Scan does not make a bool of"
		}
	}
	return ""
}
