package psyco

import (
	"cmp"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/placeholder"
	"github.com/psyco-go/psyco/internal/sqllex"
)

// What the driver does with placeholders: from a query's text and arguments to a
// statement. What a text means is in internal/placeholder.

// query is a text taken apart, with what the driver asks of it at each execution. It does
// not change once made, but for the cache's mark.
type query struct {
	placeholder.Query
	redefines bool        // see sqllex.Redefines
	copies    bool        // strayCopy has something against it
	used      atomic.Bool // found in the cache since the last search for a victim
}

// rewrite takes a text apart. The error is a *sqllex.Error.
func rewrite(text string, styles placeholder.Styles) (*query, error) {
	q, err := placeholder.Rewrite(text, styles)
	if err != nil {
		return nil, err
	}
	return &query{Query: q, redefines: sqllex.Redefines(text), copies: strayCopy(text, nil) != nil}, nil
}

// nativeQuery is a text that the server gets as it is.
func nativeQuery(sql string) *query {
	return &query{Query: placeholder.Query{Text: sql, Style: placeholder.Native, SQL: sql}}
}

// rewriter turns query texts into queries, and remembers them. It is safe for
// concurrent use.
//
// Its cache is an array of small sets, each entry an atomic pointer, so that
// readers never wait and write nothing that other readers use. A set evicts by
// second chance. Two writers in one set may lose each other's entry, which costs
// a rewrite and nothing else.
type rewriter struct {
	styles placeholder.Styles
	seed   maphash.Seed
	sets   [256][4]atomic.Pointer[query]
	hand   atomic.Uint32
}

// As in psycopg 3: texts beyond that are generated, and hardly ever come again.
const (
	maxCachedText  = 4096
	maxCachedSlots = 50
)

// newRewriter returns a rewriter for a value of Config.Placeholders.
func newRewriter(option string) *rewriter {
	r := &rewriter{seed: maphash.MakeSeed()}
	switch option {
	case "native":
		r.styles = placeholder.OnlyNative
	case "psycopg":
		r.styles = placeholder.OnlyPsycopg
	}
	return r
}

// lookup takes a text apart, or finds it among those that it took apart before.
// A text that is found costs no allocation. The error is a *sqllex.Error.
func (r *rewriter) lookup(text string) (*query, error) {
	if len(text) > maxCachedText {
		return rewrite(text, r.styles)
	}
	set := &r.sets[maphash.String(r.seed, text)%uint64(len(r.sets))]
	for i := range set {
		if q := set[i].Load(); q != nil && q.Text == text {
			if !q.used.Load() {
				q.used.Store(true)
			}
			return q, nil
		}
	}
	q, err := rewrite(strings.Clone(text), r.styles) // text may be a piece of something large
	if err == nil && len(q.Placeholders) <= maxCachedSlots {
		r.remember(set, q)
	}
	return q, err
}

// remember puts q in a free place of the set, or in that of the first query not
// used since the last time that a place was looked for.
func (r *rewriter) remember(set *[4]atomic.Pointer[query], q *query) {
	victim := int(r.hand.Add(1) % uint32(len(set)))
	for range set {
		old := set[victim].Load()
		if old == nil || !old.used.Swap(false) {
			break
		}
		victim = (victim + 1) % len(set)
	}
	set[victim].Store(q)
}

// numbered appends what database/sql makes of the arguments of a query.
func numbered(dst []driver.NamedValue, args []any) []driver.NamedValue {
	dst = slices.Grow(dst, len(args))
	for i, arg := range args {
		nv := driver.NamedValue{Ordinal: i + 1, Value: arg}
		if named, ok := arg.(sql.NamedArg); ok {
			nv.Name, nv.Value = named.Name, named.Value
		}
		dst = append(dst, nv)
	}
	return dst
}

// resolve takes a query text and its arguments apart into what is sent.
func (c *conn) resolve(st *statement, text string, args []driver.NamedValue) error {
	st.sql = text
	var q *query
	var err error
	if len(args) > 0 {
		q, err = c.con.rewriter.lookup(text)
	}
	if c.wire != nil && (q == nil || q.copies) {
		if err := strayCopy(text, args); err != nil {
			return err
		}
	}
	if q == nil {
		return err
	}
	return c.build(st, q, args)
}

// build makes st of a query that was taken apart before and its arguments.
func (c *conn) build(st *statement, q *query, args []driver.NamedValue) error {
	err := c.buildFrom(st, q, args)
	if c.wire == nil && err == nil {
		c.baseObserves(q.Text, st.sql)
	}
	return err
}

func (c *conn) buildFrom(st *statement, q *query, args []driver.NamedValue) (err error) {
	if len(args) > 0 && q.Misuse != nil {
		return q.Misuse
	}
	if q.Style == placeholder.Native && !c.clientBinding() {
		st.sql, st.args, st.counted, st.redefines = q.SQL, args, q.Natives == len(args), q.redefines
		return c.nativeValues(q, args)
	}
	if q.Utility || c.clientBinding() {
		return c.buildLiterals(st, q, args)
	}
	st.sql, st.args, st.expanded, err = q.Bind(args)
	if err != nil {
		return err
	}
	st.q = q
	st.counted, st.redefines = true, q.redefines
	return q.orByName(c.adapt(st))
}

func (c *conn) clientBinding() bool { return c.sess.cfg.Binding == "client" }

// adapt converts the arguments of a psycopg-style statement in place.
func (c *conn) adapt(st *statement) error {
	types, fallbacks := c.types[:0], c.fallbacks[:0]
	open := false
	for i := range st.args {
		a := &st.args[i]
		value, oid, fallback, err := c.con.types.convert(a.Value, 0)
		if err != nil {
			return argumentError(a, err)
		}
		types = append(types, oid)
		if oid == 0 {
			open = true
			oid = fallback
		}
		fallbacks = append(fallbacks, oid)
		a.Value = value
	}
	c.types, c.fallbacks = types, fallbacks
	st.types = types
	if open {
		st.fallback = fallbacks
	}
	return nil
}

// valueError is the error of an argument that cannot be sent. Its text may quote
// the value.
type valueError struct {
	where string
	err   error
}

func (e *valueError) Error() string { return e.err.Error() }
func (e *valueError) Unwrap() error { return e.err }

// orByName adds to the error of a map or struct for the only %s that it may have been
// meant to hold values by name.
func (q *query) orByName(err error) error {
	if err == nil || q.Style != placeholder.Positional || len(q.Placeholders) != 1 {
		return err
	}
	var (
		untyped *untypedError
		value   *valueError
	)
	if errors.As(err, &untyped) && placeholder.IsContainer(untyped.typ) && errors.As(err, &value) {
		return &valueError{value.where, fmt.Errorf("%w, or write %%(key)s in the query to take values from it by name", err)}
	}
	return err
}

// argumentError says which argument err is about.
func argumentError(a *driver.NamedValue, err error) error {
	where := "parameter " + strconv.Itoa(a.Ordinal)
	if a.Name != "" {
		where = "parameter " + strconv.Quote(a.Name)
	}
	return &valueError{where, fmt.Errorf("psyco: %s: %w", where, unprefixed(err))}
}

// nativeValues converts the arguments of a native query in place.
func (c *conn) nativeValues(q *query, args []driver.NamedValue) error {
	nameless := q.Nameless(args)
	if nameless != nil && (c.wire != nil || args[0].Name != "") {
		return nameless
	}
	for i := range args { // another driver may take a map
		if err := c.nativeValue(&args[i]); err != nil {
			return cmp.Or(nameless, err)
		}
	}
	return nil
}

// nativeValue converts an argument of a native query exactly as database/sql
// does with lib/pq, errors included.
func (c *conn) nativeValue(nv *driver.NamedValue) error {
	switch nv.Value.(type) {
	case nil, int64, string, bool, float64, []byte, time.Time:
		return nil
	}
	var err error
	if c.wire != nil {
		err = c.base.(driver.NamedValueChecker).CheckNamedValue(nv)
	} else if err = pqArgument(nv); err == nil || err == driver.ErrSkip {
		if checker, ok := c.base.(driver.NamedValueChecker); ok {
			err = checker.CheckNamedValue(nv)
		}
	}
	if err == driver.ErrSkip {
		nv.Value, err = driver.DefaultParameterConverter.ConvertValue(nv.Value)
	}
	if err == nil {
		return nil
	}
	name := "$" + strconv.Itoa(nv.Ordinal)
	if nv.Name != "" {
		name = fmt.Sprintf("with name %q", nv.Name)
	}
	return &valueError{"argument " + name, fmt.Errorf("sql: converting argument %s type: %w", name, err)}
}

// pqArgument is lib/pq's CheckNamedValue for bases that are not lib/pq's
// connections, so that a mock sees the values that a server would.
func pqArgument(nv *driver.NamedValue) error {
	if _, ok := nv.Value.(driver.Valuer); ok {
		return driver.ErrSkip
	}
	v := reflect.ValueOf(nv.Value)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	switch {
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		var err error
		nv.Value, err = pq.Array(v.Interface()).Value()
		return err
	case v.Kind() == reflect.Uint64 && v.Uint() >= math.MaxInt64:
		nv.Value = strconv.FormatUint(v.Uint(), 10)
		return nil
	}
	return driver.ErrSkip
}

// baseArguments makes a statement's arguments fit for a wrapped driver.
func baseArguments(st *statement) []driver.NamedValue {
	args := slices.Clone(st.args)
	for i := range args {
		args[i].Ordinal, args[i].Name = i+1, ""
	}
	return args
}
