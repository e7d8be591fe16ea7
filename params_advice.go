package psyco

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/psyco-go/psyco/internal/conninfo"
	"github.com/psyco-go/psyco/internal/sqllex"
)

// hasNames reports whether arguments are for named placeholders.
func hasNames(args []driver.NamedValue) bool {
	return len(args) > 0 && (args[0].Name != "" || len(args) == 1 && args[0].Value != nil && isContainer(reflect.TypeOf(args[0].Value)))
}

// nameless is the error of arguments with names for a query that has no parameters,
// or nil if it has some: psyco does not know the names that other drivers and libraries
// put into queries.
func (q *query) nameless(args []driver.NamedValue) error {
	if q.natives != 0 || q.nativeOnly || !hasNames(args) {
		return nil
	}
	at, name := foreignName(q.text)
	if name == "" {
		return errorAt(q.text, 0, "the query has no placeholder for the parameters: write %%(name)s where a value goes")
	}
	word := strings.Trim(name, ":@{}$")
	return errorAt(q.text, at, "the query has no %%(name)s placeholder: write %%(%s)s, not %s", word, name)
}

// foreignName finds the first :name, @name, {name} or $name.
func foreignName(text string) (at int, name string) {
	scan := sqllex.NewScanner(text)
	for t := scan.Next(); t.Kind != sqllex.End; t = scan.Next() {
		if t.Kind != sqllex.Symbol {
			continue
		}
		rest := scan
		word := rest.Next()
		if word.Kind != sqllex.Word {
			continue
		}
		left := byte(' ')
		if t.Start > 0 {
			left = text[t.Start-1]
		}
		switch text[t.Start] {
		case ':', '@': // no cast, slice of an array or operator
			if left == ':' || sqllex.IsOperator(left) || sqllex.IsIdentPart(left) || strings.IndexByte(`)]"'`, left) >= 0 {
				continue
			}
		case '{':
			if end := rest.Next(); end.Text(text) != "}" {
				continue
			}
			word.Stop++
		case '$':
		default:
			continue
		}
		return t.Start, text[t.Start:word.Stop]
	}
	return 0, ""
}

// orByName adds to the error of a map or struct for the only %s that it may have been
// meant to hold values by name.
func (q *query) orByName(err error) error {
	var (
		untyped *untypedError
		value   *valueError
	)
	if err != nil && q.style == stylePositional && len(q.slots) == 1 && errors.As(err, &untyped) && isContainer(untyped.typ) && errors.As(err, &value) {
		return &valueError{value.where, fmt.Errorf("%w, or write %%(key)s in the query to take values from it by name", err)}
	}
	return err
}

// nameAdvice is what to say of a name that args have no value for: another spelling,
// or a field that holds no parameter; "" if there is nothing alike.
func nameAdvice(args []driver.NamedValue, name string) string {
	var known []string
	if len(args) != 1 || args[0].Name != "" {
		for i := range args {
			known = append(known, args[i].Name)
		}
		return meant(name, known)
	}
	rv := indirect(reflect.ValueOf(args[0].Value))
	if rv.Kind() == reflect.Map {
		for _, key := range rv.MapKeys() {
			known = append(known, key.String())
		}
		return meant(name, known)
	}
	fields := fieldsOf(rv.Type())
	for _, f := range fields.list {
		known = append(known, f.name)
	}
	for _, field := range reflect.VisibleFields(rv.Type()) {
		parameter, _, _ := strings.Cut(field.Tag.Get("db"), ",")
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !strings.EqualFold(name, field.Name) && name != tag && name != snakeCase(field.Name) {
			continue
		}
		if parameter == "" {
			parameter = snakeCase(field.Name)
		}
		if _, ok := fields.byName[parameter]; ok {
			return fmt.Sprintf("did you mean %%(%s)s, the field %s?", parameter, field.Name)
		}
		switch {
		case !field.IsExported():
			return fmt.Sprintf("the field %s of %s is not exported, so it holds no parameter", field.Name, rv.Type())
		case parameter == "-":
			return fmt.Sprintf(`the field %s of %s has the tag db:"-", so it holds no parameter`, field.Name, rv.Type())
		}
	}
	return meant(name, known)
}

// meant finds the name that another one was perhaps meant for.
func meant(name string, known []string) string {
	low := strings.ToLower(name)
	for _, other := range known {
		// In a name of two letters every other one is alike.
		if strings.EqualFold(name, other) || min(len(name), len(other)) > 2 && conninfo.Misspells(low, strings.ToLower(other)) {
			return fmt.Sprintf("did you mean %%(%s)s?", other)
		}
	}
	return ""
}
