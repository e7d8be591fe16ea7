package psyco

import (
	"database/sql/driver"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/sqllex"
)

// maxParams is how many parameters a Bind message can count.
const maxParams = 65535

// maxListedRows is how long a list of rows may be to become a list of rows in
// SQL, which PostgreSQL turns into nested ORs: it can use an index for them, but
// takes long to plan thousands and fails for ten thousand.
const maxListedRows = 500

// bind brings the arguments into the order of the $n in the SQL that it returns.
// The values are the caller's, not converted; only nil slices behind IN become
// empty ones, because NULL would mean something else. Native queries and
// positional ones without such a slice or row list get args itself back. made is
// where a text with row lists is in q.sql.
func (q *query) bind(args []driver.NamedValue) (sql string, out []driver.NamedValue, made stretches, err error) {
	args, err = q.arrange(args)
	if err != nil {
		return "", nil, nil, err
	}
	sql = q.sql
	if q.rows {
		e := expansion{q: q, args: args, numbers: make([]int, len(args))}
		if sql, err = e.run(); err != nil {
			return "", nil, nil, err
		}
		args, made = e.out, e.made
	}
	if len(args) > maxParams {
		return "", nil, nil, errorAt(q.text, q.slots[len(q.slots)-1].offset,
			"the query has %d parameters, PostgreSQL takes %d: send the rows in several queries, or with psyco.CopyRows", len(args), maxParams)
	}
	return sql, args, made, nil
}

// render returns the SQL of a query with literals instead of $n, native queries
// included. literal appends that of one argument; a value that is part of a row
// list comes with the Ordinal or Name of the argument that it is a part of. made is
// where the text is in q.sql.
func (q *query) render(args []driver.NamedValue, literal func(dst []byte, arg driver.NamedValue) ([]byte, error)) (sql string, made stretches, err error) {
	args, err = q.arrange(args)
	if err != nil {
		return "", nil, err
	}
	e := expansion{q: q, args: args, literal: literal}
	if q.style == styleNative {
		sql, err = e.native()
	} else {
		sql, err = e.run()
	}
	return sql, e.made, err
}

// arrange returns one argument for each $n of q.sql and checks those that belong
// to IN lists.
func (q *query) arrange(args []driver.NamedValue) ([]driver.NamedValue, error) {
	var err error
	switch q.style {
	case stylePositional:
		err = q.checkPositional(args)
	case styleNamed:
		args, err = q.named(args)
	default:
		if len(args) > 0 {
			err = q.misuse
		}
	}
	if err != nil || !q.lists {
		return args, err
	}
	copied := q.style == styleNamed
	for i := range q.slots {
		s := &q.slots[i]
		if s.kind == slotAlone && isPlainList(args[s.arg].Value) {
			// IN (ARRAY[…]) would compare with the array, and often find nothing.
			return nil, errorAt(q.text, s.offset, "IN (%%s) takes one value, got %T: drop the parentheses, IN %%s, to look for its elements, "+
				"or write = %%s to compare with an array", args[s.arg].Value)
		}
		if s.kind != slotList {
			continue
		}
		value, replaced, err := listArgument(args[s.arg].Value)
		if err != nil {
			return nil, errorAt(q.text, s.offset, "%v", err)
		}
		if replaced {
			if !copied {
				args, copied = append([]driver.NamedValue(nil), args...), true
			}
			args[s.arg].Value = value
		}
	}
	return args, nil
}

func (q *query) checkPositional(args []driver.NamedValue) error {
	for i := range args {
		if args[i].Name != "" {
			return errorAt(q.text, q.at(i), "positional placeholders (%%s) require a sequence of parameters, got sql.Named(%q): "+
				"write %%(%[1]s)s, or pass the value alone", args[i].Name)
		}
	}
	if len(args) == len(q.slots) {
		return nil
	}
	if len(args) == 1 && args[0].Value != nil {
		typ := reflect.TypeOf(args[0].Value)
		switch kind := typ.Kind(); {
		case isContainer(typ) && len(q.slots) > 0:
			return errorAt(q.text, q.at(0), "positional placeholders (%%s) require a sequence of parameters, got a single %s: "+
				"write %%(name)s to take values from it by name", typ)
		case kind == reflect.Slice && !isByteList(typ) && len(q.slots) > 1:
			return q.countError(1, fmt.Sprintf("; a %s counts as one, pass its elements as args...", typ))
		}
	}
	return q.countError(len(args), "")
}

// countError has psycopg's words.
func (q *query) countError(n int, advice string) error {
	return errorAt(q.text, q.at(n), "the query has %d placeholders but %d parameters were passed%s", len(q.slots), n, advice)
}

// at returns the offset of a placeholder; of the last, or 0, if there are fewer.
func (q *query) at(i int) int {
	if len(q.slots) == 0 {
		return 0
	}
	return q.slots[min(i, len(q.slots)-1)].offset
}

// named returns the arguments of named placeholders in the order of q.names.
func (q *query) named(args []driver.NamedValue) ([]driver.NamedValue, error) {
	find, err := namedSource(args)
	if err != nil {
		return nil, errorAt(q.text, q.at(0), "%v", err)
	}
	if find == nil {
		got := "several values"
		if len(args) == 1 {
			got = fmt.Sprintf("a single %T", args[0].Value)
		}
		return nil, errorAt(q.text, q.at(0), "named placeholders require a mapping of parameters, got %s: "+
			"pass one map with string keys, one struct, or sql.Named values only", got)
	}
	out := make([]driver.NamedValue, len(q.names))
	var missing []string
	first := 0
	for i, name := range q.names {
		value, ok, err := find(name)
		if err != nil {
			return nil, errorAt(q.text, q.offsetOf(i), "%v", err)
		}
		if !ok {
			if missing == nil {
				first = i
			}
			missing = append(missing, name)
		}
		out[i] = driver.NamedValue{Name: name, Ordinal: i + 1, Value: value}
	}
	if missing != nil {
		advice := ""
		for _, name := range missing {
			if advice = nameAdvice(args, name); advice != "" {
				advice = ": " + advice
				break
			}
		}
		return nil, errorAt(q.text, q.offsetOf(first), "query parameter missing: %s%s", strings.Join(missing, ", "), advice)
	}
	return out, nil
}

// offsetOf returns where an argument's first placeholder is.
func (q *query) offsetOf(arg int) int {
	for i := range q.slots {
		if q.slots[i].arg == arg {
			return q.slots[i].offset
		}
	}
	return 0
}

// listArgument checks the argument of IN %s. It replaces a nil slice, which
// would become NULL, by an empty one of its type.
func listArgument(v any) (value any, replaced bool, err error) {
	switch x := v.(type) {
	case nil:
		return nil, false, fmt.Errorf("IN takes a slice, got nil: an empty list is an empty slice")
	case pq.GenericArray: // what pq.Array makes of types without an array type of its own
		a, replaced, err := listArgument(x.A)
		return pq.GenericArray{A: a}, replaced, err
	}
	rv, typ := reflect.ValueOf(v), reflect.TypeOf(v)
	pointer := typ.Kind() == reflect.Pointer
	if pointer {
		rv, typ = rv.Elem(), typ.Elem()
	}
	_, valuer := v.(driver.Valuer)
	switch kind := typ.Kind(); {
	case isByteList(typ) && (kind == reflect.Array || !valuer):
		return nil, false, fmt.Errorf("IN takes a slice of values, got %T, which is one value: write = for that", v)
	case kind == reflect.Slice && (!rv.IsValid() || rv.IsNil()):
		empty := reflect.New(typ)
		empty.Elem().Set(reflect.MakeSlice(typ, 0, 0))
		if pointer {
			return empty.Interface(), true, nil
		}
		return empty.Elem().Interface(), true, nil
	case kind == reflect.Slice, kind == reflect.Array && rv.IsValid(), valuer:
		return v, false, nil
	}
	return nil, false, fmt.Errorf("IN takes a slice, got %T: for one value write =, or IN (%%s)", v)
}

// isPlainList reports whether a value is a slice or an array that stands for its
// elements.
func isPlainList(v any) bool {
	if v == nil {
		return false
	}
	typ := reflect.TypeOf(v)
	return (typ.Kind() == reflect.Slice || typ.Kind() == reflect.Array) && !isByteList(typ) && !isValue(typ)
}

// expansion writes a query's SQL anew: with row lists in full, or with literals.
type expansion struct {
	q       *query
	args    []driver.NamedValue // one for each $n of q.sql
	literal func(dst []byte, arg driver.NamedValue) ([]byte, error)

	sql     []byte
	out     []driver.NamedValue // one for each $n of sql
	numbers []int               // the $n in sql of each of args, 0 if it has none yet
	made    stretches           // where sql is in q.sql
}

func (e *expansion) run() (string, error) {
	err := e.span(span{0, len(e.q.sql)})
	return string(e.sql), err
}

// span writes a part of q.sql.
func (e *expansion) span(part span) error {
	at := part.start
	first, _ := slices.BinarySearchFunc(e.q.slots, part.start, func(s slot, start int) int { return s.start - start })
	for i := first; i < len(e.q.slots) && e.q.slots[i].start < part.stop; i++ {
		s := &e.q.slots[i]
		e.copy(at, s.start)
		at = s.stop
		e.insert(s.start)
		var err error
		if s.kind == slotRows {
			err = e.rows(s)
		} else {
			err = e.argument(s.arg)
		}
		if err != nil {
			return err
		}
		e.separate(at)
	}
	e.copy(at, part.stop)
	return nil
}

// copy writes a part of q.sql that has no placeholders.
func (e *expansion) copy(start, stop int) {
	e.made.add(stretch{at: len(e.sql), from: start})
	e.sql = append(e.sql, e.q.sql[start:stop]...)
}

// insert says that what comes next stands for what is at an offset of q.sql.
func (e *expansion) insert(offset int) { e.made.add(stretch{len(e.sql), offset, true}) }

// native writes literals in the places of the $n that a native query has.
func (e *expansion) native() (string, error) {
	text, at, last := e.q.text, 0, 0
	scan := sqllex.NewScanner(text)
	for t := scan.Next(); t.Kind != sqllex.End; t = scan.Next() {
		if t.Kind != sqllex.Param {
			continue
		}
		n, err := strconv.Atoi(text[t.Start+1 : t.Stop])
		if err != nil || n < 1 || n > len(e.args) {
			return "", errorAt(text, t.Start, "the query has the parameter %s but %d parameters were passed", t.Text(text), len(e.args))
		}
		e.copy(at, t.Start)
		e.insert(t.Start)
		if err := e.value(e.args[n-1]); err != nil {
			return "", err
		}
		at, last = t.Stop, max(last, n)
		e.separate(at)
	}
	if last < len(e.args) {
		return "", errorAt(text, 0, "the query has %d parameters but %d were passed", last, len(e.args))
	}
	e.copy(at, len(text))
	return string(e.sql), nil
}

// separate keeps a literal from growing together with what stands behind it in
// q.sql, as 'a' and 'b' would.
func (e *expansion) separate(at int) {
	if e.literal != nil && at < len(e.q.sql) && (e.q.sql[at] == '\'' || sqllex.IsIdentPart(e.q.sql[at])) {
		e.sql = append(e.sql, ' ')
	}
}

// argument writes the parameter or literal of a whole argument.
func (e *expansion) argument(arg int) error {
	if e.literal != nil {
		return e.value(e.args[arg])
	}
	if e.numbers[arg] > 0 {
		e.number(e.numbers[arg])
		return nil
	}
	e.numbers[arg] = len(e.out) + 1
	return e.value(e.args[arg])
}

// value writes a parameter or literal that is not written yet.
func (e *expansion) value(arg driver.NamedValue) (err error) {
	if e.literal != nil {
		if n := len(e.sql); n > 0 && strings.IndexByte(" \t\r\n(,=", e.sql[n-1]) < 0 {
			e.sql = append(e.sql, ' ') // U&, 'a' and the like would be a part of it
		}
		e.sql, err = e.literal(e.sql, arg)
		return err
	}
	arg.Ordinal = len(e.out) + 1
	e.out = append(e.out, arg)
	e.number(arg.Ordinal)
	return nil
}

func (e *expansion) number(n int) {
	e.sql = strconv.AppendInt(append(e.sql, '$'), int64(n), 10)
}

// rows writes what stands behind (a, b) IN. Values without a type take that of
// a and b in each of the three forms, as they do in a = $1:
//
//	no rows:   (SELECT a, b LIMIT 0)
//	some rows: (($1, $2), ($3, $4))
//	many rows: (VALUES (CASE WHEN false THEN a ELSE $1 END, …), ($3, $4))
//
// The planner folds the CASE away and hashes the list.
func (e *expansion) rows(s *slot) error {
	arg := e.args[s.arg]
	list, err := rowList(arg.Value, len(s.left))
	if err != nil {
		return errorAt(e.q.text, s.offset, "%v", err)
	}
	if len(list) == 0 {
		e.sql = append(e.sql, "(SELECT "...)
		err := e.span(span{s.left[0].start, s.left[len(s.left)-1].stop})
		e.insert(s.start)
		e.sql = append(e.sql, " LIMIT 0)"...)
		return err
	}
	many := len(list) > maxListedRows
	open := "(("
	if many {
		open = "(VALUES ("
	}
	for i, row := range list {
		e.sql = append(e.sql, open...)
		open = "), ("
		for j, value := range row {
			if j > 0 {
				e.sql = append(e.sql, ", "...)
			}
			typed := many && i == 0
			if typed {
				e.sql = append(e.sql, "CASE WHEN false THEN "...)
				if err := e.span(s.left[j]); err != nil {
					return err
				}
				e.insert(s.start)
				e.sql = append(e.sql, " ELSE "...)
			}
			if err := e.value(driver.NamedValue{Name: arg.Name, Ordinal: arg.Ordinal, Value: value}); err != nil {
				return err
			}
			if typed {
				e.sql = append(e.sql, " END"...)
			}
		}
	}
	e.sql = append(e.sql, "))"...)
	return nil
}

// rowList takes a list of rows apart: a slice of slices, arrays or structs.
func rowList(v any, width int) ([][]any, error) {
	rv := indirect(reflect.ValueOf(v))
	if rv.Kind() != reflect.Slice && rv.Kind() != reflect.Array || isByteList(rv.Type()) {
		return nil, fmt.Errorf("a row IN takes a slice of rows (slices, arrays or structs), got %T", v)
	}
	list := make([][]any, rv.Len())
	for i := range list {
		row := indirect(rv.Index(i))
		switch {
		case !row.IsValid():
			return nil, fmt.Errorf("row %d of the list is nil", i)
		case (row.Kind() == reflect.Slice || row.Kind() == reflect.Array) && !isByteList(row.Type()):
			for j := range row.Len() {
				list[i] = append(list[i], row.Index(j).Interface())
			}
		case row.Kind() == reflect.Struct && isContainer(row.Type()):
			for _, field := range fieldsOf(row.Type()).list {
				value, err := row.FieldByIndexErr(field.index)
				if err != nil {
					return nil, fmt.Errorf("row %d of the list has a nil embedded struct", i)
				}
				list[i] = append(list[i], value.Interface())
			}
		default:
			return nil, fmt.Errorf("row %d of the list is a %s, not a slice, array or struct", i, row.Type())
		}
		if len(list[i]) != width {
			return nil, fmt.Errorf("row %d of the list has %d values, the row before IN has %d", i, len(list[i]), width)
		}
	}
	return list, nil
}

// indirect follows pointers and interfaces to what they hold.
func indirect(rv reflect.Value) reflect.Value {
	for rv.Kind() == reflect.Pointer || rv.Kind() == reflect.Interface {
		rv = rv.Elem()
	}
	return rv
}
