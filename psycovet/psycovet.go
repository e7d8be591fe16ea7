// Package psycovet finds mistakes in the queries of a program before they run: placeholders
// that psyco or PostgreSQL would refuse, arguments that are missing or too many, names that
// no map or struct has, values put into the text of a query.
//
// [Analyzer] is for drivers of golang.org/x/tools/go/analysis; the command is in
// cmd/psycovet. What it says is what psyco says when the query runs, at the place in the
// Go source where the mistake is. A query of which something is not known is taken to be right.
package psycovet

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"strings"
	"sync/atomic"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/inspect"
	"golang.org/x/tools/go/ast/inspector"
	"golang.org/x/tools/go/types/typeutil"

	"github.com/psyco-go/psyco/internal/wire"
)

// Analyzer checks the queries of a package.
var Analyzer = &analysis.Analyzer{
	Name:      "psycovet",
	Doc:       "find wrong queries of database/sql, sqlx and psyco before they run\n\nThe words are those of psyco's errors, the place is that in the Go source. A comment //psyco:allow with a reason silences a line.",
	URL:       "https://github.com/psyco-go/psyco/blob/main/docs/vet.md",
	Requires:  []*analysis.Analyzer{inspect.Analyzer},
	FactTypes: []analysis.Fact{new(passesQuery), new(opensDatabase)},
	Run:       run,
}

var (
	drivers = "psyco,postgres,pgx"
	known   bool
)

func init() {
	Analyzer.Flags.StringVar(&drivers, "drivers", drivers, "names, given to sql.Open, of the drivers for PostgreSQL; the queries of databases opened with other names are left alone")
	Analyzer.Flags.BoolVar(&known, "known", known, "leave alone the queries of databases of which it is not known that a driver for PostgreSQL opened them")
}

// seen counts the constant queries of the process.
var seen atomic.Int64

// Seen returns how many constant queries have been checked so far.
func Seen() int64 { return seen.Load() }

// checker is the analysis of one package.
type checker struct {
	*analysis.Pass
	assigned map[types.Object][]assignment
	consts   map[types.Object]ast.Expr
	bodies   map[types.Object]*ast.FuncDecl
	allowed  map[*token.File]map[int]bool // lines
	foreign  map[string]bool              // files of other databases, by name
	mixed    bool                         // the package is one of another database
	reported map[string]bool

	schema  *schema // nil without one
	definer []ast.Node
	called  map[*ast.CallExpr]bool
	columns map[*ast.CallExpr][]wire.Field
	failed  error // of the schema
}

func run(pass *analysis.Pass) (any, error) {
	if pass.TypesInfo == nil || len(pass.Files) == 0 || !concerned(pass.Pkg) {
		return nil, nil
	}
	c := &checker{
		Pass:     pass,
		assigned: make(map[types.Object][]assignment),
		consts:   make(map[types.Object]ast.Expr),
		bodies:   make(map[types.Object]*ast.FuncDecl),
		allowed:  make(map[*token.File]map[int]bool),
		reported: make(map[string]bool),
		called:   make(map[*ast.CallExpr]bool),
		columns:  make(map[*ast.CallExpr][]wire.Field),
	}
	var err error
	if c.schema, err = theSchema(); err != nil {
		return nil, err
	}
	c.index()
	c.openers()
	c.wrappers()
	in := pass.ResultOf[inspect.Analyzer].(*inspector.Inspector)
	if c.schema != nil {
		c.definers(in)
	}
	in.Preorder([]ast.Node{(*ast.CallExpr)(nil)}, func(n ast.Node) { c.call(n.(*ast.CallExpr)) })
	return nil, c.failed
}

// concerned reports whether a package can have queries: whether database/sql is among
// what it imports, at first or second hand.
func concerned(pkg *types.Package) bool {
	if strings.HasPrefix(pkg.Path(), "database/sql") {
		return false
	}
	for _, p := range pkg.Imports() {
		if p.Path() == "database/sql" {
			return true
		}
		for _, q := range p.Imports() {
			if q.Path() == "database/sql" {
				return true
			}
		}
	}
	return false
}

// call checks a call, if it has a query.
func (c *checker) call(call *ast.CallExpr) {
	if c.called[call] {
		return
	}
	c.called[call] = true
	fn := typeutil.StaticCallee(c.TypesInfo, call)
	if fn == nil {
		fn, _ = typeutil.Callee(c.TypesInfo, call).(*types.Func) // of an interface
	}
	if fn == nil {
		return
	}
	if name := nameOf(fn); name == "database/sql.Row.Scan" || name == "database/sql.Rows.Scan" {
		c.scan(call)
		return
	}
	s, ok := c.site(fn)
	if !ok || !c.isPostgres(call) {
		return
	}
	switch {
	case s.kind == statement:
		c.statement(call, s)
		return
	case s.query >= len(call.Args):
		return
	}
	written := c.queryOf(call, s)
	if written == nil {
		return
	}
	query, ok := c.text(written)
	if !ok {
		return
	}
	if !query.constant() {
		c.inserted(call, query)
		return
	}
	if strings.TrimSpace(query.String()) == "" {
		return
	}
	seen.Add(1)
	switch s.kind {
	case direct:
		c.direct(call, query, s.args)
	case prepares:
		c.prepared(call, query)
	case template:
		c.template(call, query, s.args)
	case many:
		c.many(call, query, s.args)
	case values:
		c.values(call, query, s.args)
	case named:
		c.named(call, query, s.args)
	}
}

// queryOf returns the argument that is the query, or the receiver of psyco.Raw(…).Format.
func (c *checker) queryOf(call *ast.CallExpr, s site) ast.Expr {
	if s.query >= 0 {
		return call.Args[s.query]
	}
	if sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr); ok {
		return sel.X
	}
	return nil
}

// report says what is wrong with a text, at the place in the Go source.
func (c *checker) report(call *ast.CallExpr, pos, end token.Pos, message string, fixes ...analysis.SuggestedFix) {
	if c.isAllowed(pos) || c.isAllowed(call.Pos()) || c.isAllowed(call.End()) {
		return
	}
	key := fmt.Sprint(pos, message)
	if c.reported[key] { // a constant that several calls use
		return
	}
	c.reported[key] = true
	d := analysis.Diagnostic{Pos: pos, End: end, Message: message, SuggestedFixes: fixes}
	if pos < call.Pos() || pos > call.End() {
		d.Related = []analysis.RelatedInformation{{Pos: call.Pos(), End: call.End(), Message: "the query runs here"}}
	}
	c.Report(d)
}
