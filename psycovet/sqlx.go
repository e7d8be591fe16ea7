package psycovet

import (
	"go/ast"
	"go/token"
	"go/types"
	"reflect"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/psyco-go/psyco/internal/placeholder"
)

// named checks a query with sqlx's names, by having sqlx look for them.
func (c *checker) named(call *ast.CallExpr, query text, arg int) {
	if arg >= len(call.Args) {
		return
	}
	e := ast.Unparen(call.Args[arg])
	if t := c.TypesInfo.TypeOf(e); t == nil || !namesAreCertain(t) {
		return
	}
	a := arguments{names: make(map[string]string)}
	value := a.standIn(c, e, true)
	if value == nil || value == (placeholder.Unknown{}) {
		return
	}
	_, _, err := sqlx.Named(query.String(), value)
	if err == nil {
		return
	}
	name, ok := strings.CutPrefix(err.Error(), "could not find name ")
	if !ok {
		return
	}
	name, _, _ = strings.Cut(name, " in ")
	if strings.Contains(name, ".") { // what is inside a field may not be known
		return
	}
	pos := query.pos(0)
	if at := strings.Index(query.String(), ":"+name); at >= 0 {
		pos = query.pos(at)
	}
	has := "the map has"
	if _, ok := value.(map[string]any); !ok {
		has = a.rename(reflect.TypeOf(value).String()) + " has"
	}
	c.report(call, pos, token.NoPos, has+" no value for :"+name)
}

// namesAreCertain reports whether a type tells the names of its values, whatever the
// program has told sqlx to make of the names of fields: a map, or a struct in which all
// fields have tags.
func namesAreCertain(t types.Type) bool {
	switch u := t.Underlying().(type) {
	case *types.Map:
		return true
	case *types.Pointer:
		return namesAreCertain(u.Elem())
	case *types.Struct:
		for i := range u.NumFields() {
			f := u.Field(i)
			if f.Embedded() || !f.Exported() {
				if f.Embedded() && !namesAreCertain(f.Type()) {
					return false
				}
				continue
			}
			if reflect.StructTag(u.Tag(i)).Get("db") == "" {
				return false
			}
		}
		return true
	}
	return false
}
