package psycovet

import (
	"go/types"
	"slices"
	"strings"
)

// site says where a function takes a query, and how it uses it.
type site struct {
	kind  kind
	query int // which argument
	args  int // the first of the query's own, -1 if they are not known
}

type kind uint8

const (
	direct    kind = iota
	prepares       // the result takes the arguments
	statement      // the receiver was prepared
	template       // of Compose
	many           // rows of arguments
	values         // one %s for a list of rows
	named          // sqlx's :name, with one argument that has the values
)

const psycoPath = "github.com/psyco-go/psyco"

// sites are functions by "path.Type.Method" or "path.Function".
var sites = func() map[string]site {
	m := map[string]site{
		psycoPath + ".Query":         {direct, 2, 3},
		psycoPath + ".QueryAll":      {direct, 2, 3},
		psycoPath + ".QueryOne":      {direct, 2, 3},
		psycoPath + ".CopyFrom":      {direct, 2, 4},
		psycoPath + ".CopyTo":        {direct, 3, 4},
		psycoPath + ".DeclareCursor": {direct, 4, 5},
		psycoPath + ".Mogrify":       {direct, 0, 1},
		psycoPath + ".Batch.Queue":   {direct, 0, 1},
		psycoPath + ".ExecMany":      {many, 2, 3},
		psycoPath + ".ExecValues":    {values, 2, 4},
		psycoPath + ".Compose":       {template, 0, 1},
		psycoPath + ".Raw.Format":    {template, -1, 0},
	}
	// add is for methods, or functions with a handle as an argument in front of the others.
	add := func(path string, types, names []string, s site) {
		for _, typ := range types {
			for _, name := range names {
				m[path+"."+typ+"."+name] = s
				if s.query >= 0 {
					s := s
					s.query++
					if s.args >= 0 {
						s.args++
					}
					m[path+"."+typ+"."+name+"Context"] = s
				} else {
					m[path+"."+typ+"."+name+"Context"] = site{s.kind, s.query, s.args + 1}
				}
			}
		}
	}
	handles := []string{"DB", "Conn", "Tx"}
	add("database/sql", handles, []string{"Exec", "Query", "QueryRow"}, site{direct, 0, 1})
	add("database/sql", handles, []string{"Prepare"}, site{prepares, 0, -1})
	add("database/sql", []string{"Stmt"}, []string{"Exec", "Query", "QueryRow"}, site{statement, -1, 0})
	const sqlx = "github.com/jmoiron/sqlx"
	handles = append(handles, "Ext", "Queryer", "Execer", "ExtContext", "QueryerContext", "ExecerContext")
	add(sqlx, handles, []string{"Exec", "Query", "Queryx", "QueryRowx", "MustExec"}, site{direct, 0, 1})
	add(sqlx, handles, []string{"Get", "Select"}, site{direct, 1, 2})
	add(sqlx, handles, []string{"Preparex"}, site{prepares, 0, -1})
	add(sqlx, []string{"Stmt"}, []string{"Queryx", "QueryRowx", "MustExec"}, site{statement, -1, 0})
	add(sqlx, []string{"Stmt"}, []string{"Get", "Select"}, site{statement, -1, 1})
	for _, name := range []string{"Get", "Select"} {
		m[sqlx+"."+name] = site{direct, 2, 3}
		m[sqlx+"."+name+"Context"] = site{direct, 3, 4}
	}
	add(sqlx, handles, []string{"NamedExec"}, site{named, 0, 1})
	for _, typ := range []string{"DB", "Tx"} { // NamedQueryContext is DB's alone
		m[sqlx+"."+typ+".NamedQuery"] = site{named, 0, 1}
	}
	m[sqlx+".DB.NamedQueryContext"] = site{named, 1, 2}
	m[sqlx+".Named"] = site{named, 0, 1}
	for _, name := range []string{"NamedExec", "NamedQuery"} {
		m[sqlx+"."+name] = site{named, 1, 2}
		m[sqlx+"."+name+"Context"] = site{named, 2, 3}
	}
	m[sqlx+".MustExec"] = site{direct, 1, 2}
	m[sqlx+".MustExecContext"] = site{direct, 2, 3}
	m[sqlx+".Preparex"] = site{prepares, 1, -1}
	m[sqlx+".PreparexContext"] = site{prepares, 2, -1}
	return m
}()

// nameOf returns a function's name in sites.
func nameOf(fn *types.Func) string {
	if fn.Pkg() == nil {
		return ""
	}
	recv := fn.Signature().Recv()
	if recv == nil {
		return fn.Pkg().Path() + "." + fn.Name()
	}
	typ := recv.Type()
	if p, ok := typ.(*types.Pointer); ok {
		typ = p.Elem()
	}
	named, ok := types.Unalias(typ).(*types.Named)
	if !ok {
		return ""
	}
	return fn.Pkg().Path() + "." + named.Obj().Name() + "." + fn.Name()
}

// site returns how a function takes a query: one of the table, a wrapper that a fact is
// known of, or a method of an interface that looks like one of *sql.DB.
func (c *checker) site(fn *types.Func) (site, bool) {
	fn = fn.Origin()
	if s, ok := sites[nameOf(fn)]; ok {
		return s, true
	}
	var fact passesQuery
	if c.ImportObjectFact(fn, &fact) {
		return site{kind(fact.Kind), fact.Query, fact.Args}, true
	}
	if recv := fn.Signature().Recv(); recv == nil || !types.IsInterface(recv.Type()) || fn.Pkg() == nil || isBuilder(fn.Pkg().Path()) {
		return site{}, false
	}
	s, ok := sites["database/sql.DB."+fn.Name()]
	return s, ok && likeSQL(fn.Signature(), s)
}

// likeSQL reports whether a signature is one of those of *sql.DB.
func likeSQL(sig *types.Signature, s site) bool {
	params := sig.Params()
	want := s.query + 1
	if s.kind == direct {
		want++
	}
	if params.Len() != want || !isString(params.At(s.query).Type()) || sig.Variadic() != (s.kind == direct) || sig.Results().Len() == 0 {
		return false
	}
	result := types.TypeString(sig.Results().At(0).Type(), nil)
	return slices.Contains([]string{"*database/sql.Rows", "*database/sql.Row", "database/sql.Result", "*database/sql.Stmt"}, result)
}

// isBuilder reports whether a path is that of a library that reads ? and the like itself
// before it hands a query to database/sql.
func isBuilder(path string) bool {
	for _, p := range []string{"github.com/uptrace/bun", "gorm.io/", "xorm.io/", "entgo.io/", "github.com/go-pg/", "github.com/gocraft/dbr", "github.com/go-gorp", "github.com/upper/db"} {
		if strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}

func isString(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&types.IsString != 0
}
