package psycovet

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"strconv"
	"strings"
	"unicode/utf8"
)

// text is the value of a string expression, in pieces that know where they come from.
type text []piece

type piece struct {
	value string
	lit   *ast.BasicLit // where value is written, if it is
	skip  int           // value begins behind so many bytes of lit's
	from  ast.Expr      // what it is the value of
	hole  bool          // it is not known
}

func (t text) constant() bool {
	for i := range t {
		if t[i].hole {
			return false
		}
	}
	return true
}

func (t text) String() string {
	var b strings.Builder
	for i := range t {
		b.WriteString(t[i].value)
	}
	return b.String()
}

// assignment is one value that a variable gets, or the result of a call with that number.
type assignment struct {
	value  ast.Expr // nil if it is not known
	result int
}

// index looks for the declarations of constants and functions, and for everything that
// variables and fields get.
func (c *checker) index() {
	assign := func(to ast.Expr, a assignment) {
		switch to := ast.Unparen(to).(type) {
		case *ast.Ident:
			if obj := c.TypesInfo.ObjectOf(to); obj != nil {
				c.assigned[obj] = append(c.assigned[obj], a)
			}
		case *ast.SelectorExpr:
			if obj := c.TypesInfo.ObjectOf(to.Sel); obj != nil {
				c.assigned[obj] = append(c.assigned[obj], a)
			}
		}
	}
	for _, file := range c.Files {
		c.allow(file)
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				c.bodies[c.TypesInfo.Defs[n.Name]] = n
			case *ast.ValueSpec:
				for i, name := range n.Names {
					obj := c.TypesInfo.Defs[name]
					if _, ok := obj.(*types.Const); ok {
						if i < len(n.Values) {
							c.consts[obj] = n.Values[i]
						}
						continue
					}
					switch {
					case len(n.Values) == len(n.Names):
						assign(name, assignment{value: n.Values[i]})
					case len(n.Values) == 1:
						assign(name, assignment{n.Values[0], i})
					default:
						assign(name, assignment{})
					}
				}
			case *ast.AssignStmt:
				for i, to := range n.Lhs {
					switch {
					case n.Tok != token.ASSIGN && n.Tok != token.DEFINE:
						assign(to, assignment{})
					case len(n.Rhs) == len(n.Lhs):
						assign(to, assignment{value: n.Rhs[i]})
					default:
						assign(to, assignment{n.Rhs[0], i})
					}
				}
			case *ast.RangeStmt:
				for _, to := range []ast.Expr{n.Key, n.Value} {
					if to != nil {
						assign(to, assignment{})
					}
				}
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					assign(n.X, assignment{})
				}
			case *ast.CompositeLit:
				for _, e := range n.Elts {
					if kv, ok := e.(*ast.KeyValueExpr); ok {
						if key, ok := kv.Key.(*ast.Ident); ok {
							if v, ok := c.TypesInfo.Uses[key].(*types.Var); ok && v.IsField() {
								c.assigned[v] = append(c.assigned[v], assignment{value: kv.Value})
							}
						}
					}
				}
			}
			return true
		})
	}
}

// only returns the one value that a variable ever gets, if there is just one: no parameter,
// no field, and nothing that other packages can change.
func (c *checker) only(obj types.Object) (assignment, bool) {
	v, ok := obj.(*types.Var)
	if !ok || v.IsField() || len(c.assigned[obj]) != 1 || obj.Pkg() != c.Pkg || obj.Parent() == c.Pkg.Scope() && obj.Exported() {
		return assignment{}, false
	}
	a := c.assigned[obj][0]
	return a, a.value != nil
}

const maxDepth = 32

// text returns the value of an expression, false if nothing of it is known.
func (c *checker) text(e ast.Expr) (text, bool) {
	t := c.pieces(e, 0)
	known := false
	for i := range t {
		known = known || !t[i].hole
	}
	return t, known
}

func (c *checker) pieces(e ast.Expr, depth int) text {
	e = ast.Unparen(e)
	if depth > maxDepth {
		return text{{from: e, hole: true}}
	}
	switch x := e.(type) {
	case *ast.BasicLit:
		if x.Kind == token.STRING {
			if value, err := strconv.Unquote(x.Value); err == nil {
				return text{{value: value, lit: x, from: x}}
			}
		}
	case *ast.BinaryExpr:
		if x.Op == token.ADD && isString(c.TypesInfo.TypeOf(x)) {
			return append(c.pieces(x.X, depth+1), c.pieces(x.Y, depth+1)...)
		}
	case *ast.Ident, *ast.SelectorExpr:
		obj := c.object(x)
		if value := c.consts[obj]; value != nil && isString(obj.Type()) {
			return c.pieces(value, depth+1)
		}
		if a, ok := c.only(obj); ok && isString(obj.Type()) && a.result == 0 {
			return c.pieces(a.value, depth+1)
		}
	case *ast.CallExpr:
		if tv := c.TypesInfo.Types[x.Fun]; tv.IsType() && len(x.Args) == 1 && isString(tv.Type) && isString(c.TypesInfo.TypeOf(x.Args[0])) {
			return c.pieces(x.Args[0], depth+1)
		}
		if t, ok := c.sprintf(x, depth); ok {
			return t
		}
	}
	if tv := c.TypesInfo.Types[e]; tv.Value != nil && tv.Value.Kind() == constant.String {
		return text{{value: constant.StringVal(tv.Value), from: e}}
	}
	return text{{from: e, hole: true}}
}

// object returns what a name stands for.
func (c *checker) object(e ast.Expr) types.Object {
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		return c.TypesInfo.ObjectOf(e)
	case *ast.SelectorExpr:
		return c.TypesInfo.ObjectOf(e.Sel)
	}
	return nil
}

// pos returns where a byte of the text is in the source. The end of the text is behind the
// last byte.
func (t text) pos(offset int) token.Pos {
	for i := range t {
		p := &t[i]
		if offset < len(p.value) || i == len(t)-1 {
			if p.lit == nil {
				return p.from.Pos()
			}
			return p.lit.Pos() + token.Pos(sourceOffset(p.lit.Value, p.skip+offset))
		}
		offset -= len(p.value)
	}
	return token.NoPos
}

// span returns the place of a part of the text, if that is written in one literal.
func (t text) span(start, stop int) (pos, end token.Pos, ok bool) {
	for i := range t {
		p := &t[i]
		if start < len(p.value) || start == stop && start == len(p.value) {
			if p.lit == nil || stop > len(p.value) {
				return 0, 0, false
			}
			at := func(offset int) token.Pos { return p.lit.Pos() + token.Pos(sourceOffset(p.lit.Value, p.skip+offset)) }
			return at(start), at(stop), true
		}
		start, stop = start-len(p.value), stop-len(p.value)
	}
	return 0, 0, false
}

// sourceOffset returns where a byte of a literal's value is in what is written.
func sourceOffset(lit string, offset int) int {
	at := 1 // behind the quote
	if lit[0] == '`' {
		for ; at < len(lit)-1; at++ {
			if lit[at] == '\r' { // not a part of the value
				continue
			}
			if offset == 0 {
				break
			}
			offset--
		}
		return at
	}
	for offset > 0 && at < len(lit)-1 {
		r, multibyte, tail, err := strconv.UnquoteChar(lit[at:], '"')
		if err != nil {
			return at
		}
		n := 1
		if multibyte {
			n = utf8.RuneLen(r)
		}
		if offset < n {
			return at
		}
		offset -= n
		at = len(lit) - len(tail)
	}
	return at
}
