package placeholder

import (
	"database/sql/driver"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/psyco-go/psyco/internal/sqllex"
)

// MaxListedRows is how long a list of rows may be to become a list of rows in
// SQL, which PostgreSQL turns into nested ORs: it can use an index for them, but
// takes long to plan thousands and fails for ten thousand.
const MaxListedRows = 500

// Bind brings the arguments into the order of the $n in the SQL that it returns.
// The values are the caller's, not converted; only nil slices behind IN become
// empty ones, because NULL would mean something else. Native queries and
// positional ones without such a slice or row list get args itself back. made is
// where a text with row lists is in q.SQL.
func (q *Query) Bind(args []driver.NamedValue) (sql string, out []driver.NamedValue, made Stretches, err error) {
	args, err = q.Arrange(args)
	if err != nil {
		return "", nil, nil, err
	}
	sql = q.SQL
	if q.Expands {
		e := expansion{q: q, args: args, numbers: make([]int, len(args))}
		if sql, err = e.run(); err != nil {
			return "", nil, nil, err
		}
		args, made = e.out, e.made
	}
	if len(args) > MaxParams {
		return "", nil, nil, sqllex.ErrorAt(q.Text, q.at(len(args)),
			"the query has %d parameters, PostgreSQL takes %d: send the rows in several queries, or with psyco.CopyRows", len(args), MaxParams)
	}
	return sql, args, made, nil
}

// Render returns the SQL of a query with literals instead of $n, native queries
// included. literal appends that of one argument; a value that is part of a row
// list comes with the Ordinal or Name of the argument that it is a part of. made is
// where the text is in q.SQL.
func (q *Query) Render(args []driver.NamedValue, literal func(dst []byte, arg driver.NamedValue) ([]byte, error)) (sql string, made Stretches, err error) {
	args, err = q.Arrange(args)
	if err != nil {
		return "", nil, err
	}
	e := expansion{q: q, args: args, literal: literal}
	if q.Style == Native {
		sql, err = e.native()
	} else {
		sql, err = e.run()
	}
	return sql, e.made, err
}

// arrange returns one argument for each $n of q.SQL and checks those that belong
// to IN lists.
func (q *Query) Arrange(args []driver.NamedValue) ([]driver.NamedValue, error) {
	var err error
	switch q.Style {
	case Positional:
		err = q.checkPositional(args)
	case Named:
		args, err = q.named(args)
	default:
		if len(args) > 0 {
			err = q.Misuse
		}
	}
	if err != nil || !q.lists {
		return args, err
	}
	copied := q.Style == Named
	for i := range q.Placeholders {
		s := &q.Placeholders[i]
		if s.Kind == Alone && isPlainList(args[s.Arg].Value) {
			// IN (ARRAY[…]) would compare with the array, and often find nothing.
			return nil, sqllex.ErrorAt(q.Text, s.Offset, "IN (%%s) takes one value, got %T: drop the parentheses, IN %%s, to look for its elements, "+
				"or write = %%s to compare with an array", args[s.Arg].Value)
		}
		if s.Kind != List {
			continue
		}
		value, replaced, err := listArgument(args[s.Arg].Value)
		if err != nil {
			return nil, sqllex.ErrorAt(q.Text, s.Offset, "%v", err)
		}
		if replaced {
			if !copied {
				args, copied = append([]driver.NamedValue(nil), args...), true
			}
			args[s.Arg].Value = value
		}
	}
	return args, nil
}

func (q *Query) checkPositional(args []driver.NamedValue) error {
	for i := range args {
		if args[i].Name != "" {
			return sqllex.ErrorAt(q.Text, q.at(i), "positional placeholders (%%s) require a sequence of parameters, got sql.Named(%q): "+
				"write %%(%[1]s)s, or pass the value alone", args[i].Name)
		}
	}
	if len(args) == len(q.Placeholders) {
		return nil
	}
	if len(args) == 1 && args[0].Value != nil {
		typ := reflect.TypeOf(args[0].Value)
		switch kind := typ.Kind(); {
		case IsContainer(typ) && len(q.Placeholders) > 0:
			return sqllex.ErrorAt(q.Text, q.at(0), "positional placeholders (%%s) require a sequence of parameters, got a single %s: "+
				"write %%(name)s to take values from it by name", typ)
		case kind == reflect.Slice && !IsByteList(typ) && len(q.Placeholders) > 1:
			return q.countError(1, fmt.Sprintf("; a %s counts as one, pass its elements as args...", typ))
		}
	}
	return q.countError(len(args), "")
}

// countError has psycopg's words.
func (q *Query) countError(n int, advice string) error {
	return sqllex.ErrorAt(q.Text, q.at(n), "the query has %d placeholders but %d parameters were passed%s", len(q.Placeholders), n, advice)
}

// at returns the offset of a placeholder; of the last, or 0, if there are fewer.
func (q *Query) at(i int) int {
	if len(q.Placeholders) == 0 {
		return 0
	}
	return q.Placeholders[min(i, len(q.Placeholders)-1)].Offset
}

// named returns the arguments of named placeholders in the order of q.Names.
func (q *Query) named(args []driver.NamedValue) ([]driver.NamedValue, error) {
	find, err := namedSource(args)
	if err != nil {
		return nil, sqllex.ErrorAt(q.Text, q.at(0), "%v", err)
	}
	if find == nil {
		got := "several values"
		if len(args) == 1 {
			got = fmt.Sprintf("a single %T", args[0].Value)
		}
		return nil, sqllex.ErrorAt(q.Text, q.at(0), "named placeholders require a mapping of parameters, got %s: "+
			"pass one map with string keys, one struct, or sql.Named values only", got)
	}
	out := make([]driver.NamedValue, len(q.Names))
	var missing []string
	first := 0
	for i, name := range q.Names {
		value, ok, err := find(name)
		if err != nil {
			return nil, sqllex.ErrorAt(q.Text, q.offsetOf(i), "%v", err)
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
		return nil, sqllex.ErrorAt(q.Text, q.offsetOf(first), "query parameter missing: %s%s", strings.Join(missing, ", "), advice)
	}
	return out, nil
}

// offsetOf returns where an argument's first placeholder is.
func (q *Query) offsetOf(arg int) int {
	for i := range q.Placeholders {
		if q.Placeholders[i].Arg == arg {
			return q.Placeholders[i].Offset
		}
	}
	return 0
}

// listArgument checks the argument of IN %s. It replaces a nil slice, which
// would become NULL, by an empty one of its type.
func listArgument(v any) (value any, replaced bool, err error) {
	if v == nil {
		return nil, false, fmt.Errorf("IN takes a slice, got nil: an empty list is an empty slice")
	}
	rv, typ := reflect.ValueOf(v), reflect.TypeOf(v)
	if isGenericArray(typ) {
		list, replaced, err := listArgument(rv.FieldByName("A").Interface())
		if !replaced {
			return v, false, err
		}
		array := reflect.New(typ).Elem()
		array.FieldByName("A").Set(reflect.ValueOf(list))
		return array.Interface(), true, nil
	}
	pointer := typ.Kind() == reflect.Pointer
	if pointer {
		rv, typ = rv.Elem(), typ.Elem()
	}
	_, valuer := v.(driver.Valuer)
	switch kind := typ.Kind(); {
	case IsByteList(typ) && (kind == reflect.Array || !valuer):
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

// isGenericArray reports whether typ is what pq.Array makes of slices without an array
// type of their own, by its name: this package does not link lib/pq.
func isGenericArray(typ reflect.Type) bool {
	return typ.Name() == "GenericArray" && typ.PkgPath() == "github.com/lib/pq"
}

// isPlainList reports whether a value is a slice or an array that stands for its
// elements.
func isPlainList(v any) bool {
	if v == nil {
		return false
	}
	typ := reflect.TypeOf(v)
	return (typ.Kind() == reflect.Slice || typ.Kind() == reflect.Array) && !IsByteList(typ) && !isValue(typ)
}

// expansion writes a query's SQL anew: with row lists in full, or with literals.
type expansion struct {
	q       *Query
	args    []driver.NamedValue // one for each $n of q.SQL
	literal func(dst []byte, arg driver.NamedValue) ([]byte, error)

	sql     []byte
	out     []driver.NamedValue // one for each $n of sql
	numbers []int               // the $n in sql of each of args, 0 if it has none yet
	made    Stretches           // where sql is in q.SQL
}

func (e *expansion) run() (string, error) {
	err := e.span(Span{0, len(e.q.SQL)})
	return string(e.sql), err
}

// span writes a part of q.SQL.
func (e *expansion) span(part Span) error {
	at := part.Start
	first, _ := slices.BinarySearchFunc(e.q.Placeholders, part.Start, func(s Placeholder, start int) int { return s.Start - start })
	for i := first; i < len(e.q.Placeholders) && e.q.Placeholders[i].Start < part.Stop; i++ {
		s := &e.q.Placeholders[i]
		e.copy(at, s.Start)
		at = s.Stop
		e.insert(s.Start)
		var err error
		if s.Kind == Rows {
			err = e.rows(s)
		} else {
			err = e.argument(s.Arg)
		}
		if err != nil {
			return err
		}
		e.separate(at)
	}
	e.copy(at, part.Stop)
	return nil
}

// copy writes a part of q.SQL that has no placeholders.
func (e *expansion) copy(start, stop int) {
	e.made.Add(Stretch{At: len(e.sql), From: start})
	e.sql = append(e.sql, e.q.SQL[start:stop]...)
}

// insert says that what comes next stands for what is at an offset of q.SQL.
func (e *expansion) insert(offset int) { e.made.Add(Stretch{len(e.sql), offset, true}) }

// native writes literals in the places of the $n that a native query has.
func (e *expansion) native() (string, error) {
	text, at, last := e.q.Text, 0, 0
	scan := sqllex.NewScanner(text)
	for t := scan.Next(); t.Kind != sqllex.End; t = scan.Next() {
		if t.Kind != sqllex.Param {
			continue
		}
		n, err := strconv.Atoi(text[t.Start+1 : t.Stop])
		if err != nil || n < 1 || n > len(e.args) {
			return "", missingNative(text, Span{t.Start, t.Stop}, len(e.args))
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
		return "", extraNative(text, last, len(e.args))
	}
	e.copy(at, len(text))
	return string(e.sql), nil
}

// separate keeps a literal from growing together with what stands behind it in
// q.SQL, as 'a' and 'b' would.
func (e *expansion) separate(at int) {
	if e.literal != nil && at < len(e.q.SQL) && (e.q.SQL[at] == '\'' || sqllex.IsIdentPart(e.q.SQL[at])) {
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
func (e *expansion) rows(s *Placeholder) error {
	arg := e.args[s.Arg]
	list, err := rowList(arg.Value, len(s.left))
	if err != nil {
		return sqllex.ErrorAt(e.q.Text, s.Offset, "%v", err)
	}
	if len(list) == 0 {
		e.sql = append(e.sql, "(SELECT "...)
		err := e.span(Span{s.left[0].Start, s.left[len(s.left)-1].Stop})
		e.insert(s.Start)
		e.sql = append(e.sql, " LIMIT 0)"...)
		return err
	}
	many := len(list) > MaxListedRows
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
				e.insert(s.Start)
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
	if rv.Kind() != reflect.Slice && rv.Kind() != reflect.Array || IsByteList(rv.Type()) {
		return nil, fmt.Errorf("a row IN takes a slice of rows (slices, arrays or structs), got %T", v)
	}
	list := make([][]any, rv.Len())
	for i := range list {
		row := indirect(rv.Index(i))
		switch {
		case !row.IsValid():
			return nil, fmt.Errorf("row %d of the list is nil", i)
		case (row.Kind() == reflect.Slice || row.Kind() == reflect.Array) && !IsByteList(row.Type()):
			for j := range row.Len() {
				list[i] = append(list[i], row.Index(j).Interface())
			}
		case row.Kind() == reflect.Struct && IsContainer(row.Type()):
			for _, field := range FieldsOf(row.Type()).List {
				value, err := row.FieldByIndexErr(field.Index)
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
