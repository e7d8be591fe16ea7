package psyco

import (
	"maps"
	"reflect"
	"sync"
	"sync/atomic"
)

// TypeMap says how Go types that psyco does not know become parameters. It
// holds what [RegisterAdapter] put into it; the zero value is ready to use.
//
// A TypeMap may be shared by connections and goroutines, and adapters may be
// registered while it is in use: statements that start later see them.
type TypeMap struct {
	mu       sync.Mutex // serialises registrations
	adapters atomic.Pointer[adapterSet]
}

// adapterSet is never changed once it is published: registering copies it, so
// that adapting a parameter takes no lock.
type adapterSet struct {
	concrete   map[reflect.Type]adapter
	interfaces []interfaceAdapter
}

type adapter func(any) (value any, oid uint32, err error)

type interfaceAdapter struct {
	typ     reflect.Type
	convert adapter
}

// RegisterAdapter makes m pass values of type T as what adapt returns for them:
// a value that psyco knows how to pass (nil for NULL), and the OID of the type
// to declare the parameter as. With OID 0 the value decides, as if it had been
// passed itself. T may be any type, also one that psyco already knows; if it is
// an interface, adapt is used for the types that implement it and have no
// adapter of their own. Slices of T and pointers to T use the adapter too.
// Registering T again replaces its adapter (psycopg: register_adapter).
//
// Adapters serve the psycopg placeholder styles; $n queries keep lib/pq's
// conversions.
func RegisterAdapter[T any](m *TypeMap, adapt func(T) (value any, oid uint32, err error)) {
	typ := reflect.TypeFor[T]()
	convert := func(v any) (any, uint32, error) { return adapt(v.(T)) }

	m.mu.Lock()
	defer m.mu.Unlock()
	next := &adapterSet{concrete: map[reflect.Type]adapter{}}
	if old := m.adapters.Load(); old != nil {
		maps.Copy(next.concrete, old.concrete)
		next.interfaces = append(next.interfaces, old.interfaces...)
	}
	if typ.Kind() != reflect.Interface {
		next.concrete[typ] = convert
	} else {
		// The latest registration is asked first, so it replaces an earlier one.
		next.interfaces = append([]interfaceAdapter{{typ, convert}}, next.interfaces...)
	}
	m.adapters.Store(next)
}

// lookup returns the adapter for values of typ, or nil. A nil map has none.
func (m *TypeMap) lookup(typ reflect.Type) adapter {
	if m == nil || typ == nil {
		return nil
	}
	set := m.adapters.Load()
	if set == nil {
		return nil
	}
	if convert := set.concrete[typ]; convert != nil {
		return convert
	}
	for _, a := range set.interfaces {
		if typ.Implements(a.typ) {
			return a.convert
		}
	}
	return nil
}
