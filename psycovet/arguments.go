package psycovet

import (
	"database/sql/driver"
	"go/ast"
	"go/constant"
	"go/types"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/psyco-go/psyco/internal/placeholder"
)

// arguments are those of a query, as far as the source tells: values that have the types of
// the program's, or nearly, with what to call them.
type arguments struct {
	list  []driver.NamedValue
	exprs []ast.Expr
	names map[string]string // what a stand-in's type is called → what the program calls it
	known bool              // how many there are, and which are named

	open   bool // what is not known may be anything, in reflected
	copies bool // the query is a COPY: a reader or writer is not for a placeholder
}

// arguments looks at the arguments of a call from number first on.
func (c *checker) arguments(call *ast.CallExpr, first int, named, copies bool) arguments {
	if first < 0 || first > len(call.Args) {
		return arguments{}
	}
	list := call.Args[first:]
	if call.Ellipsis.IsValid() {
		if len(list) == 0 {
			return arguments{}
		}
		last := c.literal(list[len(list)-1])
		if last == nil {
			return arguments{}
		}
		list = append(slices.Clone(list[:len(list)-1]), last.Elts...)
	}
	return c.valuesOf(list, named, copies)
}

// literal returns the []any{…} that an expression is.
func (c *checker) literal(e ast.Expr) *ast.CompositeLit {
	e = ast.Unparen(e)
	if obj, ok := c.object(e).(*types.Var); ok {
		a, ok := c.only(obj)
		if !ok || a.result != 0 {
			return nil
		}
		e = ast.Unparen(a.value)
	}
	lit, ok := e.(*ast.CompositeLit)
	if !ok {
		return nil
	}
	if _, ok := c.TypesInfo.TypeOf(lit).Underlying().(*types.Slice); !ok {
		return nil
	}
	for _, e := range lit.Elts {
		if _, ok := e.(*ast.KeyValueExpr); ok {
			return nil
		}
	}
	return lit
}

func (c *checker) valuesOf(list []ast.Expr, named, copies bool) arguments {
	a := arguments{names: make(map[string]string), known: true, copies: copies}
	for _, e := range list {
		nv := driver.NamedValue{Ordinal: len(a.list) + 1}
		typ := c.TypesInfo.TypeOf(e)
		fn, call := c.callee(e)
		switch {
		case typ == nil:
			return arguments{}
		case fn == psycoPath+".ServerSide" || fn == psycoPath+".Lax" || types.TypeString(typ, nil) == psycoPath+".CopyOption":
			continue
		case fn == "database/sql.Named" && len(call.Args) == 2:
			name := c.TypesInfo.Types[call.Args[0]].Value
			if name == nil {
				return arguments{}
			}
			nv.Name = constant.StringVal(name)
			nv.Value = a.standIn(c, call.Args[1], named)
		case isOption(typ):
			return arguments{}
		case a.copies && isStream(typ):
			continue
		default:
			nv.Value = a.standIn(c, e, named)
		}
		a.list, a.exprs = append(a.list, nv), append(a.exprs, e)
	}
	return a
}

// callee returns the name of the function that an expression calls.
func (c *checker) callee(e ast.Expr) (string, *ast.CallExpr) {
	call, ok := ast.Unparen(e).(*ast.CallExpr)
	if !ok {
		return "", nil
	}
	if obj, ok := c.object(call.Fun).(*types.Func); ok {
		return nameOf(obj), call
	}
	return "", call
}

// isOption reports whether an argument of the type may be no value but say something
// about the query.
func isOption(t types.Type) bool {
	s := types.TypeString(t, nil)
	return s == "database/sql.NamedArg" || s == "database/sql/driver.Valuer" || s == "database/sql.Out" || s == psycoPath+".RowOption" ||
		strings.HasPrefix(s, "github.com/jackc/pgx/")
}

// isStream reports whether a type has a Read or a Write method.
func isStream(t types.Type) bool { return hasAny(t, "Read", "Write") }

// hasAny reports whether a type, or a pointer to it, has a method with one of the names.
func hasAny(t types.Type, names ...string) bool {
	for _, name := range names {
		if obj, _, _ := types.LookupFieldOrMethod(t, true, nil, name); obj != nil {
			return true
		}
	}
	return false
}

// standIn returns a value for an expression. named says that the query looks for names.
func (a *arguments) standIn(c *checker, e ast.Expr, named bool) any {
	e = ast.Unparen(e)
	tv := c.TypesInfo.Types[e]
	if tv.IsNil() {
		return nil
	}
	typ := c.TypesInfo.TypeOf(e)
	if m, ok := typ.Underlying().(*types.Map); ok && !isValue(typ) && isString(m.Key()) {
		lit, ok := e.(*ast.CompositeLit)
		if !ok && named {
			return placeholder.Unknown{}
		}
		values := make(map[string]any)
		if ok {
			for _, elt := range lit.Elts {
				kv, ok := elt.(*ast.KeyValueExpr)
				if !ok {
					return placeholder.Unknown{}
				}
				key := c.TypesInfo.Types[kv.Key].Value
				if key == nil {
					return placeholder.Unknown{}
				}
				values[constant.StringVal(key)] = a.standIn(c, kv.Value, false)
			}
		}
		a.call(reflect.TypeOf(values), typ)
		return values
	}
	rt := a.reflected(typ, 0)
	if rt == unknownType {
		return placeholder.Unknown{}
	}
	a.call(rt, typ)
	v := reflect.New(rt).Elem()
	point(v)
	return v.Interface()
}

// point makes the pointers in a value that lead to parameters point to something.
func point(v reflect.Value) {
	for ; v.Kind() == reflect.Pointer; v = v.Elem() {
		v.Set(reflect.New(v.Type().Elem()))
	}
	if v.Kind() != reflect.Struct {
		return
	}
	for i := range v.NumField() {
		if v.Type().Field(i).Anonymous {
			point(v.Field(i))
		}
	}
}

// call remembers what the program calls a type.
func (a *arguments) call(rt reflect.Type, t types.Type) {
	name := types.TypeString(t, (*types.Package).Name)
	if s := rt.String(); s != name {
		a.names[s] = name
	}
}

// rename puts the program's names of types into a message.
func (a *arguments) rename(message string) string {
	standIns := make([]string, 0, len(a.names))
	for s := range a.names {
		standIns = append(standIns, s)
	}
	slices.SortFunc(standIns, func(x, y string) int { return len(y) - len(x) })
	for _, s := range standIns {
		message = strings.ReplaceAll(message, s, a.names[s])
	}
	return message
}

var (
	unknownType = reflect.TypeFor[placeholder.Unknown]()
	anyType     = reflect.TypeFor[any]()
	basicTypes  = map[types.BasicKind]reflect.Type{
		types.Bool: reflect.TypeFor[bool](), types.String: reflect.TypeFor[string](),
		types.Int: reflect.TypeFor[int](), types.Int8: reflect.TypeFor[int8](), types.Int16: reflect.TypeFor[int16](),
		types.Int32: reflect.TypeFor[int32](), types.Int64: reflect.TypeFor[int64](),
		types.Uint: reflect.TypeFor[uint](), types.Uint8: reflect.TypeFor[uint8](), types.Uint16: reflect.TypeFor[uint16](),
		types.Uint32: reflect.TypeFor[uint32](), types.Uint64: reflect.TypeFor[uint64](), types.Uintptr: reflect.TypeFor[uintptr](),
		types.Float32: reflect.TypeFor[float32](), types.Float64: reflect.TypeFor[float64](),
		types.UntypedBool: reflect.TypeFor[bool](), types.UntypedInt: reflect.TypeFor[int](), types.UntypedRune: reflect.TypeFor[rune](),
		types.UntypedFloat: reflect.TypeFor[float64](), types.UntypedString: reflect.TypeFor[string](),
	}
)

// reflected returns a type like t: the same but for names, methods, and what is not known
// of it.
func (a *arguments) reflected(t types.Type, depth int) reflect.Type {
	t = types.Unalias(t)
	if types.TypeString(t, nil) == "time.Time" {
		return reflect.TypeFor[time.Time]()
	}
	if a.open && depth > 0 && (scans(t) || isValue(t)) {
		return anyType
	}
	if depth > 8 || isValue(t) {
		return unknownType
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		if rt := basicTypes[u.Kind()]; rt != nil {
			return rt
		}
	case *types.Slice:
		return reflect.SliceOf(a.element(u.Elem(), depth))
	case *types.Array:
		if n := u.Len(); n >= 0 && n <= 1<<16 {
			return reflect.ArrayOf(int(n), a.element(u.Elem(), depth))
		}
	case *types.Map:
		if isString(u.Key()) {
			return reflect.MapOf(reflect.TypeFor[string](), a.element(u.Elem(), depth))
		}
	case *types.Pointer:
		if rt := a.reflected(u.Elem(), depth+1); rt != unknownType {
			if rt != anyType {
				a.call(rt, u.Elem())
			}
			return reflect.PointerTo(rt)
		}
	case *types.Struct:
		return a.structure(u, depth)
	}
	if a.open && depth > 0 {
		return anyType
	}
	return unknownType
}

// element is a type inside another one.
func (a *arguments) element(t types.Type, depth int) reflect.Type {
	if types.IsInterface(t) {
		return anyType
	}
	return a.reflected(t, depth+1)
}

func (a *arguments) structure(s *types.Struct, depth int) reflect.Type {
	fields := make([]reflect.StructField, 0, s.NumFields())
	taken := make(map[string]bool)
	for i := range s.NumFields() {
		f := s.Field(i)
		if f.Name() == "_" || taken[f.Name()] {
			continue
		}
		taken[f.Name()] = true
		field := reflect.StructField{Name: f.Name(), Tag: reflect.StructTag(s.Tag(i)), Type: a.element(f.Type(), depth)}
		inner := field.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case f.Embedded() && inner.Kind() == reflect.Struct && inner != unknownType && inner != reflect.TypeFor[time.Time]():
			// Under a name that no other field has: only its fields count.
			field.Anonymous = true
			field.Name = "Embedded_" + f.Name()
		case !f.Exported():
			field.PkgPath = "psyco"
		}
		fields = append(fields, field)
	}
	return reflect.StructOf(fields)
}

// isValue reports whether a type says itself what single value it stands for, as
// placeholder.IsContainer asks.
func isValue(t types.Type) bool {
	if _, ok := t.Underlying().(*types.Interface); ok {
		return false
	}
	for _, method := range []string{"Value", "MarshalText"} {
		if hasMethod(t, method) {
			return true
		}
		if _, ok := t.Underlying().(*types.Struct); ok && hasMethod(types.NewPointer(t), method) {
			return true
		}
	}
	if s, ok := t.Underlying().(*types.Struct); ok && s.NumFields() == 3 && s.Field(0).Name() == "wall" {
		return true // a time.Time by another name
	}
	return false
}

// hasMethod reports whether a type has Value() (T, error) or MarshalText() ([]byte, error).
func hasMethod(t types.Type, name string) bool {
	obj, _, _ := types.LookupFieldOrMethod(t, false, nil, name)
	fn, ok := obj.(*types.Func)
	if !ok {
		return false
	}
	if _, ok := t.(*types.Pointer); !ok {
		if _, ok := fn.Signature().Recv().Type().(*types.Pointer); ok {
			return false
		}
	}
	sig := fn.Signature()
	if sig.Params().Len() != 0 || sig.Results().Len() != 2 || types.TypeString(sig.Results().At(1).Type(), nil) != "error" {
		return false
	}
	result := types.TypeString(sig.Results().At(0).Type(), nil)
	if name == "MarshalText" {
		return result == "[]byte"
	}
	return result == "database/sql/driver.Value"
}
