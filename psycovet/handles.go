package psycovet

import (
	"go/ast"
	"go/types"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/tools/go/types/typeutil"
)

// origin says which driver opened the database of a handle.
type origin uint8

const (
	unknown origin = iota
	postgres
	other
)

// opensDatabase is the fact that a function returns a handle of a database of that origin.
type opensDatabase struct{ Origin uint8 }

func (*opensDatabase) AFact() {}

func (f *opensDatabase) String() string {
	return [...]string{"opens a database", "opens PostgreSQL", "opens another database"}[f.Origin]
}

// isPostgres reports whether the query of a call is one for PostgreSQL, or may be taken for
// one: see the documentation of the flags.
func (c *checker) isPostgres(call *ast.CallExpr) bool {
	handle, always := c.handle(call)
	if always {
		return true
	}
	switch c.origin(handle, 0) {
	case postgres:
		return true
	case other:
		return false
	}
	return !known && !c.mixed && !c.foreign[c.Fset.File(call.Pos()).Name()]
}

// handle returns the handle that a call runs its query on, or that the query is psyco's
// whatever that is: that of Compose, Mogrify, a Batch.
func (c *checker) handle(call *ast.CallExpr) (_ ast.Expr, always bool) {
	fn := typeutil.StaticCallee(c.TypesInfo, call)
	if fn != nil && fn.Signature().Recv() == nil && fn.Pkg() != nil {
		at := -1
		switch fn.Pkg().Path() {
		case psycoPath:
			at = slices.Index([]string{"CopyFrom", "CopyTo", "DeclareCursor", "ExecMany", "ExecValues", "Query", "QueryAll", "QueryOne"}, fn.Name())
			if at < 0 {
				return nil, true
			}
			at = 1
		case "github.com/jmoiron/sqlx":
			at = 0
			if strings.HasSuffix(fn.Name(), "Context") {
				at = 1
			}
		}
		if at >= 0 && at < len(call.Args) {
			return call.Args[at], false
		}
		return nil, false
	}
	if fn != nil && fn.Pkg() != nil && fn.Pkg().Path() == psycoPath {
		return nil, true
	}
	if sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr); ok {
		return sel.X, false
	}
	return nil, false
}

// origin follows a handle to what opened its database.
func (c *checker) origin(e ast.Expr, depth int) origin {
	if e == nil || depth > 8 {
		return unknown
	}
	e = ast.Unparen(e)
	switch x := e.(type) {
	case *ast.Ident, *ast.SelectorExpr:
		obj, ok := c.object(x).(*types.Var)
		if !ok {
			return unknown
		}
		found := unknown
		for _, a := range c.assigned[obj] {
			o := unknown
			if a.value != nil && a.result == 0 {
				o = c.origin(a.value, depth+1)
			}
			if o == postgres {
				return postgres
			}
			found = max(found, o)
		}
		if sel, ok := x.(*ast.SelectorExpr); ok && found == unknown {
			// A field like sqlx.DB.DB, or one of a struct that was opened as a whole.
			if _, isVar := c.object(sel.X).(*types.Var); isVar {
				return c.origin(sel.X, depth+1)
			}
		}
		return found
	case *ast.UnaryExpr:
		return c.origin(x.X, depth+1)
	case *ast.StarExpr:
		return c.origin(x.X, depth+1)
	case *ast.CallExpr:
		return c.opened(x, depth)
	}
	return unknown
}

// opened returns the origin of what a call returns.
func (c *checker) opened(call *ast.CallExpr, depth int) origin {
	fn := typeutil.StaticCallee(c.TypesInfo, call)
	if fn == nil {
		fn, _ = typeutil.Callee(c.TypesInfo, call).(*types.Func)
	}
	if fn == nil || fn.Pkg() == nil {
		return unknown
	}
	path, recv := fn.Pkg().Path(), fn.Signature().Recv()
	switch {
	case recv == nil && path == psycoPath:
		return postgres
	case recv == nil && path == "database/sql" && fn.Name() == "OpenDB":
		t := types.TypeString(c.TypesInfo.TypeOf(call.Args[0]), nil)
		if strings.Contains(t, psycoPath) || strings.Contains(t, "github.com/lib/pq") {
			return postgres
		}
		return unknown
	case recv == nil && (path == "database/sql" && fn.Name() == "Open" || path == "github.com/jmoiron/sqlx"):
		for i := range fn.Signature().Params().Len() {
			if p := fn.Signature().Params().At(i); p.Name() == "driverName" && i < len(call.Args) {
				return c.driver(call.Args[i])
			}
		}
		return unknown
	case recv != nil && (path == "database/sql" || path == "github.com/jmoiron/sqlx"):
		if sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr); ok {
			return c.origin(sel.X, depth+1)
		}
		return unknown
	}
	var fact opensDatabase
	if c.ImportObjectFact(fn.Origin(), &fact) {
		return origin(fact.Origin)
	}
	return unknown
}

// driver returns the origin that a driver's name stands for.
func (c *checker) driver(name ast.Expr) origin {
	t, ok := c.text(name)
	if !ok || !t.constant() {
		return unknown
	}
	if slices.Contains(strings.Split(drivers, ","), t.String()) {
		return postgres
	}
	return other
}

// openers looks which functions return handles, and whether what is not known of the
// package is likely to be of another database.
func (c *checker) openers() {
	for range 2 { // functions that call each other
		for obj, decl := range c.bodies {
			fn, ok := obj.(*types.Func)
			if !ok || decl.Body == nil || fn.Signature().Results().Len() == 0 || !isHandle(fn.Signature().Results().At(0).Type()) {
				continue
			}
			found := unknown
			ast.Inspect(decl.Body, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncLit:
					return false
				case *ast.ReturnStmt:
					if len(n.Results) > 0 {
						switch o := c.origin(n.Results[0], 0); {
						case o == postgres || found == unknown:
							found = o
						}
					}
				}
				return true
			})
			if found != unknown {
				c.ExportObjectFact(fn, &opensDatabase{uint8(found)})
			}
		}
	}

	c.foreign = make(map[string]bool)
	ours, theirs := false, false
	for _, file := range c.Files {
		name := c.Fset.File(file.FileStart).Name()
		c.foreign[name] = namesOther(strings.TrimSuffix(filepath.Base(name), ".go"))
		for _, spec := range file.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			theirs = theirs || slices.Contains(otherDrivers, path)
			ours = ours || path == psycoPath || path == "github.com/lib/pq" || strings.HasPrefix(path, "github.com/jackc/pgx")
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if fn, _ := c.callee(call); fn == "database/sql.Open" || fn == "github.com/jmoiron/sqlx.Open" || fn == "github.com/jmoiron/sqlx.Connect" {
					o := c.opened(call, 0)
					ours, theirs = ours || o == postgres, theirs || o == other
				}
			}
			return true
		})
	}
	c.mixed = theirs && !ours
	for part := range strings.SplitSeq(c.Pkg.Path(), "/") {
		c.mixed = c.mixed || namesOther(part)
	}
}

func isHandle(t types.Type) bool {
	switch types.TypeString(t, nil) {
	case "*database/sql.DB", "*database/sql.Conn", "*database/sql.Tx", "*github.com/jmoiron/sqlx.DB", "*github.com/jmoiron/sqlx.Tx":
		return true
	}
	return false
}

var otherDrivers = []string{
	"github.com/go-sql-driver/mysql", "github.com/mattn/go-sqlite3", "modernc.org/sqlite", "github.com/glebarez/go-sqlite",
	"github.com/ncruces/go-sqlite3/driver", "github.com/microsoft/go-mssqldb", "github.com/denisenkom/go-mssqldb",
	"github.com/sijms/go-ora/v2", "github.com/godror/godror", "github.com/ClickHouse/clickhouse-go/v2",
	"github.com/snowflakedb/gosnowflake", "github.com/marcboeker/go-duckdb", "github.com/tursodatabase/libsql-client-go/libsql",
}

// namesOther reports whether a name of a file or directory is that of another database.
func namesOther(name string) bool {
	for word := range strings.FieldsFuncSeq(strings.ToLower(name), func(r rune) bool { return r == '_' || r == '-' || r == '.' }) {
		switch word {
		case "mysql", "mariadb", "sqlite", "sqlite3", "mssql", "sqlserver", "oracle", "clickhouse", "snowflake", "duckdb", "libsql", "tidb", "cassandra":
			return true
		}
	}
	return false
}
