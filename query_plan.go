package psyco

import (
	"encoding/json"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"github.com/psyco-go/psyco/internal/placeholder"
	"github.com/psyco-go/psyco/internal/wire"
)

// rowColumn is what a plan is made from. oid is 0 for types without a fixed one.
type rowColumn struct {
	name string
	oid  uint32
}

// rowColumns are the columns of the server's description.
func rowColumns(fields []wire.Field) []rowColumn {
	columns := make([]rowColumn, len(fields))
	for i, f := range fields {
		columns[i] = rowColumn{f.Name, f.TypeOID}
	}
	return columns
}

// rowPlan says where the columns of a result go in a T. It is made once for each T and
// list of columns, and never changed.
type rowPlan struct {
	shape   rowShape
	typ     reflect.Type // T, or the struct that it points to
	pointer bool         // it does
	columns []rowTarget
	groups  []rowGroup // 0: the row itself
	names   []string

	directly func() *directPlan // see query_direct.go
}

type rowShape uint8

const (
	shapeStruct rowShape = iota
	shapeValue           // one column
	shapeList            // []any
	shapeMap             // map[string]any
)

// rowTarget is where the values of a column go.
type rowTarget struct {
	name   string
	field  string       // as errors name it, "" for none
	typ    reflect.Type // nil: nowhere
	offset uintptr      // in its group
	group  int
	json   bool // the column holds json for a field that does not say so itself
	oid    uint32
}

// rowGroup is a struct behind a pointer, made when one of its columns is not NULL.
type rowGroup struct {
	typ    reflect.Type
	parent int
	offset uintptr // of the pointer, in the parent
}

var anyType = reflect.TypeFor[any]()

// planCache keeps plans, and forgets them all when they are many: the columns of some
// programs have ever new names.
var planCache struct {
	sync.RWMutex
	plans map[planKey]*rowPlan
}

type planKey struct {
	typ     reflect.Type
	columns string
	lax     bool
}

const maxPlans = 1000

// planOf finds or makes the plan for values of a type.
func planOf(typ reflect.Type, columns []rowColumn, lax bool) (*rowPlan, error) {
	var b []byte
	for _, c := range columns {
		b = strconv.AppendUint(append(append(b, c.name...), 0), uint64(c.oid), 10)
		b = append(b, 0)
	}
	key := planKey{typ, string(b), lax}
	planCache.RLock()
	plan := planCache.plans[key]
	planCache.RUnlock()
	if plan != nil {
		return plan, nil
	}
	plan, err := newPlan(typ, columns, lax)
	if err != nil {
		return nil, err
	}
	plan.directly = sync.OnceValue(func() *directPlan { return newDirectPlan(plan, typ, lax) })
	planCache.Lock()
	if len(planCache.plans) >= maxPlans || planCache.plans == nil {
		planCache.plans = make(map[planKey]*rowPlan)
	}
	planCache.plans[key] = plan
	planCache.Unlock()
	return plan, nil
}

func newPlan(typ reflect.Type, columns []rowColumn, lax bool) (*rowPlan, error) {
	plan := &rowPlan{typ: typ, columns: make([]rowTarget, len(columns)), groups: make([]rowGroup, 1)}
	for i, c := range columns {
		plan.columns[i] = rowTarget{name: c.name, typ: anyType, offset: uintptr(i) * anyType.Size(), oid: c.oid}
		plan.names = append(plan.names, c.name)
	}
	switch {
	case typ.Kind() == reflect.Slice && typ.Elem() == anyType && isPlain(typ):
		plan.shape = shapeList
		return plan, nil
	case typ.Kind() == reflect.Map && typ.Elem() == anyType && typ.Key().Kind() == reflect.String && isPlain(typ):
		plan.shape = shapeMap
		return plan, plan.checkNames()
	case typ.Kind() == reflect.Pointer && isRowStruct(typ.Elem()):
		plan.typ, plan.pointer = typ.Elem(), true
	case !isRowStruct(typ):
		plan.shape = shapeValue
		if len(columns) != 1 {
			return nil, fmt.Errorf("psyco: the query has %d columns, and %s takes one: select one, or use a struct, []any or map[string]any", len(columns), typ)
		}
		plan.columns[0].typ = typ
		return plan, nil
	}
	if err := plan.checkNames(); err != nil {
		return nil, err
	}
	p := rowPlanner{plan: plan}
	p.fields(plan.typ, fieldPlace{prefixes: []string{""}, path: plan.typ.Name()})
	return plan, p.assign(lax)
}

// checkNames refuses two columns with one name, of which one would get lost.
func (plan *rowPlan) checkNames() error {
	for i, name := range plan.names {
		if j := slices.Index(plan.names, name); j < i {
			return fmt.Errorf("psyco: the columns %d and %d of the query are both called %q: give one of them another name with AS", j+1, i+1, name)
		}
	}
	return nil
}

// isPlain reports whether a type has no say in what is stored in it.
func isPlain(typ reflect.Type) bool {
	return !isScanner(typ) && !reflect.PointerTo(typ).Implements(textUnmarshalerType)
}

// isRowStruct reports whether a type is a struct with fields for columns, and not one
// that stands for a single value.
func isRowStruct(typ reflect.Type) bool {
	return typ.Kind() == reflect.Struct && isPlain(typ) && !timeType.ConvertibleTo(typ) && typ != reflect.TypeFor[net.IPNet]()
}

// rowPlanner finds the fields for the columns.
type rowPlanner struct {
	plan   *rowPlan
	found  []fieldTarget
	misfit []string // what does not fit
	lacks  []string // fields that are structs, and have no columns
}

// fieldTarget is a field that may take a column.
type fieldTarget struct {
	rowTarget
	names    []string // that the column may have
	nesting  int      // how many structs are around it
	depth    int      // and how many of them are embedded
	optional bool
	taken    bool
}

// fieldPlace is where the fields of a struct are.
type fieldPlace struct {
	prefixes       []string // of the names of the columns
	path           string   // for errors
	group          int
	offset         uintptr
	nesting, depth int
	optional       bool
	outer          []reflect.Type
}

// fields collects the fields of typ.
func (p *rowPlanner) fields(typ reflect.Type, at fieldPlace) {
	at.outer = append(slices.Clip(at.outer), typ)
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("db"), ",")
		if name == "-" {
			continue
		}
		path := at.path + "." + f.Name
		embedded := f.Anonymous && name == ""
		if !f.IsExported() && !f.Anonymous {
			if name != "" {
				p.misfit = append(p.misfit, fmt.Sprintf("the field %s has a tag but is not exported: begin its name with a capital letter", path))
			}
			continue
		}
		if name == "" {
			name = placeholder.SnakeCase(f.Name)
		}
		t := fieldTarget{
			rowTarget: rowTarget{field: path, typ: f.Type, offset: at.offset + f.Offset, group: at.group, json: hasOption(options, "json")},
			nesting:   at.nesting,
			depth:     at.depth,
			optional:  at.optional || hasOption(options, "optional"),
		}
		for _, prefix := range at.prefixes {
			t.names = append(t.names, prefix+name)
		}
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if t.json || !isRowStruct(inner) || !embedded && p.hasColumn(t.names) {
			if f.IsExported() {
				p.found = append(p.found, t)
			}
			continue
		}
		again := slices.Contains(at.outer, inner)
		next := at
		next.path, next.optional = path, t.optional
		if embedded {
			if again {
				continue
			}
			next.depth++
		} else {
			next.nesting++
			next.prefixes = nestedPrefixes(t.names)
			if !p.hasPrefix(next.prefixes) {
				if !t.optional && !again {
					p.lacks = append(p.lacks, fmt.Sprintf("the field %s has no columns (%s…)", path, next.prefixes[0]))
				}
				continue
			}
		}
		if next.offset = t.offset; f.Type != inner {
			next.group, next.offset = len(p.plan.groups), 0
			p.plan.groups = append(p.plan.groups, rowGroup{inner, at.group, t.offset})
		}
		p.fields(inner, next)
	}
}

// nestedPrefixes are what may stand in front of the columns of a struct: its name and
// one of two separators, the same at all depths.
func nestedPrefixes(names []string) []string {
	last := len(names) - 1
	return []string{names[0] + "_", names[last] + "."}
}

func hasOption(options, name string) bool {
	for option := range strings.SplitSeq(options, ",") {
		if strings.TrimSpace(option) == name {
			return true
		}
	}
	return false
}

func (p *rowPlanner) hasColumn(names []string) bool {
	return slices.ContainsFunc(p.plan.names, func(name string) bool { return slices.Contains(names, name) })
}

func (p *rowPlanner) hasPrefix(prefixes []string) bool {
	return slices.ContainsFunc(p.plan.names, func(name string) bool {
		return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
	})
}

// assign gives each column its field: of several with its name that with the fewest structs
// around it, as in Go.
func (p *rowPlanner) assign(lax bool) error {
	for i := range p.plan.columns {
		c := &p.plan.columns[i]
		var best *fieldTarget
		var tie string
		for j := range p.found {
			f := &p.found[j]
			if !slices.Contains(f.names, c.name) {
				continue
			}
			switch {
			case best == nil, f.nesting < best.nesting, f.nesting == best.nesting && f.depth < best.depth:
				best, tie = f, ""
			case f.nesting == best.nesting && f.depth == best.depth:
				tie = f.field
			}
		}
		switch {
		case best == nil:
			if !lax {
				p.misfit = append(p.misfit, fmt.Sprintf("the column %q has no field: add one (db:%[1]q), or select less", c.name))
			}
			*c = rowTarget{name: c.name}
			continue
		case tie != "":
			p.misfit = append(p.misfit, fmt.Sprintf("the column %q fits the fields %s and %s: give one of them a db tag", c.name, best.field, tie))
		}
		best.taken = true
		best.name, best.oid = c.name, c.oid
		*c = best.rowTarget
	}
	if !lax {
		p.misfit = append(p.misfit, p.lacks...)
		for _, f := range p.found {
			if !f.taken && !f.optional && !p.hidden(f) {
				p.misfit = append(p.misfit, fmt.Sprintf("the field %s has no column %q: select it, or tag the field db:\",optional\"", f.field, f.names[0]))
			}
		}
	}
	if len(p.misfit) == 0 {
		return nil
	}
	return fmt.Errorf("psyco: %s does not fit the query: %s", p.plan.typ, strings.Join(p.misfit, "; "))
}

// hidden reports whether a field with f's name is less deeply embedded.
func (p *rowPlanner) hidden(f fieldTarget) bool {
	return slices.ContainsFunc(p.found, func(g fieldTarget) bool {
		return g.nesting == f.nesting && g.depth < f.depth && slices.Equal(g.names, f.names)
	})
}

// filler puts values into one T after the other.
type filler struct {
	plan   *rowPlan
	row    int              // counted from 1
	dest   unsafe.Pointer   // the T
	places []unsafe.Pointer // of the groups; nil as long as there is none
	first  [1]unsafe.Pointer
	nulls  []int // columns that were NULL before their group was there
	list   []any // the values of a []any or map[string]any
	err    error
}

// begin starts the next row, in the T at dest, which is zero.
func (f *filler) begin() {
	plan := f.plan
	f.row++
	switch {
	case f.places == nil && len(plan.groups) == 1:
		f.places = f.first[:]
	case f.places == nil:
		f.places = make([]unsafe.Pointer, len(plan.groups))
	case len(f.places) > 1:
		clear(f.places)
		f.nulls = f.nulls[:0]
	}
	switch {
	case plan.shape == shapeList || plan.shape == shapeMap:
		if plan.shape == shapeList || f.list == nil {
			f.list = make([]any, len(plan.columns))
		}
		f.places[0] = unsafe.Pointer(unsafe.SliceData(f.list))
	case plan.pointer:
		p := reflect.New(plan.typ).UnsafePointer()
		*(*unsafe.Pointer)(f.dest) = p
		f.places[0] = p
	default:
		f.places[0] = f.dest
	}
}

// place returns where the value of column i goes, or nil if it goes nowhere.
func (f *filler) place(i int, null bool) unsafe.Pointer {
	t := &f.plan.columns[i]
	if t.typ == nil {
		return nil
	}
	base := f.places[t.group]
	if base == nil {
		if null {
			f.nulls = append(f.nulls, i)
			return nil
		}
		base = f.make(t.group)
	}
	return unsafe.Add(base, t.offset)
}

// make makes the struct of a group, and those around it.
func (f *filler) make(i int) unsafe.Pointer {
	if f.places[i] == nil {
		g := &f.plan.groups[i]
		p := reflect.New(g.typ).UnsafePointer()
		*(*unsafe.Pointer)(unsafe.Add(f.make(g.parent), g.offset)) = p
		f.places[i] = p
	}
	return f.places[i]
}

// put stores what a driver delivers in the T's place for column i.
func (f *filler) put(i int, src any) error {
	p := f.place(i, src == nil)
	if p == nil {
		return nil
	}
	if err := f.plan.columns[i].set(p, src); err != nil {
		return f.wrap(i, err)
	}
	return nil
}

// wrap says where an error is.
func (f *filler) wrap(i int, err error) error {
	t := &f.plan.columns[i]
	if t.field == "" {
		return fmt.Errorf("psyco: row %d, column %q: %w", f.row, t.name, unprefixed(err))
	}
	return fmt.Errorf("psyco: row %d, column %q, field %s: %w", f.row, t.name, t.field, unprefixed(err))
}

// end finishes the row.
func (f *filler) end() error {
	if f.err != nil {
		return f.err
	}
	for _, i := range f.nulls { // whose group came to be later
		t := &f.plan.columns[i]
		if base := f.places[t.group]; base != nil {
			if err := t.set(unsafe.Add(base, t.offset), nil); err != nil {
				return f.wrap(i, err)
			}
		}
	}
	switch f.plan.shape {
	case shapeList:
		*(*[]any)(f.dest) = f.list
	case shapeMap:
		m := reflect.MakeMapWithSize(f.plan.typ, len(f.list))
		key := reflect.New(f.plan.typ.Key()).Elem()
		for i := range f.list {
			key.SetString(f.plan.names[i])
			m.SetMapIndex(key, reflect.ValueOf(&f.list[i]).Elem())
		}
		reflect.NewAt(f.plan.typ, f.dest).Elem().Set(m)
		clear(f.list)
	}
	return nil
}

// set stores what a driver delivers at p.
func (t *rowTarget) set(p unsafe.Pointer, src any) error {
	switch {
	case t.typ == anyType:
		v, err := usable(src, t.oid)
		*(*any)(p) = v
		return err
	case t.json:
		return setJSON(reflect.NewAt(t.typ, p).Elem(), src)
	}
	return setValue(reflect.NewAt(t.typ, p).Elem(), src)
}

// setJSON decodes a document into dst.
func setJSON(dst reflect.Value, src any) error {
	var document []byte
	switch x := src.(type) {
	case nil:
		return setNull(dst)
	case string:
		document = []byte(x)
	case []byte:
		document = x
	default:
		return fmt.Errorf("a %T is not JSON", src)
	}
	if err := json.Unmarshal(document, dst.Addr().Interface()); err != nil {
		return fmt.Errorf("cannot read %.60q as %s: %w", document, dst.Type(), err)
	}
	return nil
}
