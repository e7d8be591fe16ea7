package psyco

import (
	"cmp"
	"database/sql/driver"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/lib/pq"
)

// resolve takes a query text and its arguments apart into what is sent.
func (c *conn) resolve(st *statement, text string, args []driver.NamedValue) error {
	st.sql = text
	if c.wire != nil {
		if err := strayCopy(text, args); err != nil {
			return err
		}
	}
	if len(args) == 0 {
		return nil
	}
	q, err := c.con.rewriter.lookup(text)
	if err != nil {
		return err
	}
	return c.bind(st, q, args)
}

// bind fills st with the arguments of a query that was taken apart before.
func (c *conn) bind(st *statement, q *query, args []driver.NamedValue) error {
	err := c.bindTo(st, q, args)
	if c.wire == nil && err == nil {
		c.baseObserves(q.text, st.sql)
	}
	return err
}

func (c *conn) bindTo(st *statement, q *query, args []driver.NamedValue) (err error) {
	if len(args) > 0 && q.misuse != nil {
		return q.misuse
	}
	if q.style == styleNative && !c.clientBinding() {
		st.sql, st.args, st.counted, st.redefines = q.sql, args, q.natives == len(args), q.redefines
		return c.nativeValues(q, args)
	}
	if q.utility || c.clientBinding() {
		return c.bindLiterals(st, q, args)
	}
	st.sql, st.args, st.expanded, err = q.bind(args)
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
	types, open := c.types[:0], c.openTypes[:0]
	isOpen := false
	for i := range st.args {
		a := &st.args[i]
		value, oid, fallback, err := c.con.types.convert(a.Value, 0)
		if err != nil {
			return argumentError(a, err)
		}
		types = append(types, oid)
		if oid == 0 {
			isOpen = true
			oid = fallback
		}
		open = append(open, oid)
		a.Value = value
	}
	c.types, c.openTypes = types, open
	st.types = types
	if isOpen {
		st.open = open
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
	nameless := q.nameless(args)
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
