package psycovet

import (
	"fmt"
	"go/ast"
	"go/types"

	"golang.org/x/tools/go/types/typeutil"
)

// passesQuery is the fact that a function runs one of its own arguments as a query.
type passesQuery struct {
	Kind  uint8
	Query int
	Args  int // the first argument of the query, -1 if they are not known
}

func (*passesQuery) AFact() {}

func (f *passesQuery) String() string {
	return fmt.Sprintf("runs argument %d with those from %d on", f.Query, f.Args)
}

// wrappers looks for the functions of the package that pass a query on, until no more are
// found: they may call each other.
func (c *checker) wrappers() {
	for found := true; found; {
		found = false
		for obj, decl := range c.bodies {
			fn, ok := obj.(*types.Func)
			if !ok || decl.Body == nil || c.ImportObjectFact(fn, new(passesQuery)) {
				continue
			}
			if _, ok := sites[nameOf(fn)]; ok {
				continue
			}
			if fact, ok := c.passes(fn, decl); ok {
				c.ExportObjectFact(fn, &fact)
				found = true
			}
		}
	}
}

// passes looks for a call that runs a parameter of fn, as it came, as a query.
func (c *checker) passes(fn *types.Func, decl *ast.FuncDecl) (fact passesQuery, found bool) {
	params := fn.Signature().Params()
	parameter := func(e ast.Expr) int {
		v, ok := c.object(e).(*types.Var)
		if !ok || len(c.assigned[v]) > 0 {
			return -1
		}
		for i := range params.Len() {
			if params.At(i) == v {
				return i
			}
		}
		return -1
	}
	ast.Inspect(decl.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || found {
			return !found
		}
		callee := typeutil.StaticCallee(c.TypesInfo, call)
		if callee == nil {
			callee, _ = typeutil.Callee(c.TypesInfo, call).(*types.Func)
		}
		if callee == nil {
			return true
		}
		s, ok := c.site(callee)
		if !ok || s.query < 0 || s.query >= len(call.Args) || s.kind != direct && s.kind != prepares || !c.isPostgres(call) {
			return true
		}
		query := parameter(call.Args[s.query])
		if query < 0 || !isString(params.At(query).Type()) {
			return true
		}
		fact, found = passesQuery{uint8(s.kind), query, -1}, true
		last := params.Len() - 1
		if s.args >= 0 && call.Ellipsis.IsValid() && s.args == len(call.Args)-1 && fn.Signature().Variadic() && parameter(call.Args[s.args]) == last {
			fact.Args = last
		}
		return true
	})
	return fact, found
}
