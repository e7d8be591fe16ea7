package placeholder

import (
	"database/sql/driver"
	"fmt"
	"reflect"
	"strings"

	"github.com/psyco-go/psyco/internal/spelling"
	"github.com/psyco-go/psyco/internal/sqllex"
)

// hasNames reports whether arguments are for named placeholders.
func hasNames(args []driver.NamedValue) bool {
	return len(args) > 0 && (args[0].Name != "" || len(args) == 1 && args[0].Value != nil && IsContainer(reflect.TypeOf(args[0].Value)))
}

// Nameless is the error of arguments with names for a query that has no parameters,
// or nil if it has some: psyco does not know the names that other drivers and libraries
// put into queries.
func (q *Query) Nameless(args []driver.NamedValue) error {
	if q.Natives != 0 || q.onlyNative || !hasNames(args) {
		return nil
	}
	at, name := foreignName(q.Text)
	if name == "" {
		return sqllex.ErrorAt(q.Text, 0, "the query has no placeholder for the parameters: write %%(name)s where a value goes")
	}
	word := strings.Trim(name, ":@{}$")
	return sqllex.ErrorAt(q.Text, at, "the query has no %%(name)s placeholder: write %%(%s)s, not %s", word, name)
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
	fields := FieldsOf(rv.Type())
	for _, f := range fields.List {
		known = append(known, f.Name)
	}
	for _, field := range reflect.VisibleFields(rv.Type()) {
		parameter, _, _ := strings.Cut(field.Tag.Get("db"), ",")
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !strings.EqualFold(name, field.Name) && name != tag && name != SnakeCase(field.Name) {
			continue
		}
		if parameter == "" {
			parameter = SnakeCase(field.Name)
		}
		if _, ok := fields.ByName[parameter]; ok {
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
		if strings.EqualFold(name, other) || min(len(name), len(other)) > 2 && spelling.Misspells(low, strings.ToLower(other)) {
			return fmt.Sprintf("did you mean %%(%s)s?", other)
		}
	}
	return ""
}
