package psyco

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/psyco-go/psyco/internal/literal"
	"github.com/psyco-go/psyco/internal/placeholder"
	"github.com/psyco-go/psyco/internal/sqllex"
)

// Composable is a part of a query that [Compose] puts together: an [Identifier],
// [Raw] SQL, a [Literal], or the result of [Join] and [Raw.Format].
type Composable interface {
	compose(*composer) error
}

var (
	_ Composable   = Identifier(nil)
	_ Composable   = Raw("")
	_ fmt.Stringer = Identifier(nil)
)

// Compose makes a query out of a template and parts whose number or names are
// known at run time only (psycopg: the psycopg.sql module):
//
//	Compose("SELECT {} FROM {} WHERE id = %s", Identifier{"name"}, Identifier{"public", "users"})
//
// In the template {} takes the next part, {0} the one with that number, {name}
// the one given as [sql.Named]; {{ and }} are single braces. These rules hold
// everywhere in it, also inside SQL literals, so the braces of json or of arrays
// are doubled. A part that is not a [Composable] is a [Literal]. All parts without a
// name must be used.
//
// The result is for Exec and Query, with values for the placeholders that it
// has: if there are any, each % in an identifier or a literal is doubled, because
// there %% stands for it. Names and literals stay what they are whatever they
// contain; inside quotes of the template, where they could not, they are an
// error. As for [Mogrify], client_encoding must not be one of those that only clients
// can have, such as SJIS or GBK.
func Compose(template string, parts ...any) (string, error) {
	var c composer
	if err := c.format(template, parts); err != nil {
		return "", err
	}
	doubled, err := c.query(true)
	if err != nil || !strings.Contains(doubled, "%%") {
		return doubled, err
	}
	if q, err := rewrite(doubled, placeholder.Auto); err == nil && q.Style != placeholder.Native {
		return doubled, nil
	}
	return c.query(false)
}

// Identifier is a name, or the parts of a qualified one: {"schema", "table"}. A
// dot in a part belongs to the name.
type Identifier []string

// String returns the name with each part in double quotes. For a part that
// cannot be a name it shows what is possible; Compose makes that an error.
func (id Identifier) String() string {
	quoted := make([]string, len(id))
	for i, part := range id {
		part = strings.ReplaceAll(part, "\x00", "\uFFFD")
		quoted[i] = `"` + strings.ReplaceAll(part, `"`, `""`) + `"`
	}
	return strings.Join(quoted, ".")
}

// check refuses what PostgreSQL has no way to write.
func (id Identifier) check() error {
	if len(id) == 0 {
		return errors.New("an Identifier without parts is not a name")
	}
	for _, part := range id {
		switch {
		case part == "":
			return fmt.Errorf("the Identifier %s has an empty part, which is not a name", id)
		case strings.IndexByte(part, 0) >= 0:
			return fmt.Errorf("the Identifier %s has a NUL byte", id)
		}
	}
	return nil
}

func (id Identifier) compose(c *composer) error {
	if err := id.check(); err != nil {
		return err
	}
	c.pieces = append(c.pieces, piece{kind: namePiece, text: id.String()})
	return nil
}

// Raw is SQL that is taken as it is. It must not come from outside the program.
type Raw string

func (r Raw) compose(c *composer) error {
	c.pieces = append(c.pieces, piece{text: string(r)})
	return nil
}

// Format is a part with parts of its own: the SQL is a template like that of [Compose].
func (r Raw) Format(parts ...any) Composable {
	return composition(func(c *composer) error { return c.format(string(r), parts) })
}

// Literal is a value written into the query, as [Mogrify] writes it.
func Literal(v any) Composable {
	return composition(func(c *composer) error {
		value, err := (*TypeMap)(nil).constant(driver.NamedValue{Value: v}, false)
		if err != nil {
			return err
		}
		w := newWriter()
		if err := w.Check(&value.Value); err != nil {
			return err
		}
		c.pieces = append(c.pieces, piece{kind: literalPiece, text: "$0", value: value.Value})
		return nil
	})
}

// Join is the parts with SQL between them: Join(", ", Identifier{"a"}, Raw("now()")).
// As in [Compose], a part that is not a [Composable] is a [Literal].
func Join(separator string, parts ...any) Composable {
	return composition(func(c *composer) error {
		for i, part := range parts {
			if i > 0 {
				c.pieces = append(c.pieces, piece{text: separator})
			}
			if err := c.part(part); err != nil {
				return err
			}
		}
		return nil
	})
}

type composition func(*composer) error

func (f composition) compose(c *composer) error { return f(c) }

// composer collects the pieces of a query. They become text when all are known,
// because how a literal is written depends on where it stands.
type composer struct{ pieces []piece }

// piece is a name, a literal ($0 for its value), or SQL.
type piece struct {
	kind  pieceKind
	text  string
	value literal.Value

	template string // what asked for it, and where
	offset   int
}

type pieceKind uint8

const (
	rawPiece pieceKind = iota
	namePiece
	literalPiece
)

// part adds what stands for a field.
func (c *composer) part(v any) error {
	if part, ok := v.(Composable); ok {
		return part.compose(c)
	}
	if typ := reflect.TypeOf(v); typ != nil && typ.Kind() == reflect.Slice && typ.Elem().Implements(reflect.TypeFor[Composable]()) {
		return fmt.Errorf("a %s is several parts: put them together with psyco.Join", typ)
	}
	return Literal(v).compose(c)
}

// format adds a template.
func (c *composer) format(template string, parts []any) error {
	f := fields{template: template, named: make(map[string]any)}
	for _, part := range parts {
		if a, ok := part.(sql.NamedArg); ok {
			f.named[a.Name] = a.Value
		} else {
			f.numbered = append(f.numbered, part)
		}
	}
	f.used = make([]bool, len(f.numbered))
	for at := 0; ; {
		n := strings.IndexAny(template[at:], "{}")
		if n < 0 {
			c.pieces = append(c.pieces, piece{text: template[at:]})
			return f.checkUsed()
		}
		brace := at + n
		if brace+1 < len(template) && template[brace+1] == template[brace] {
			c.pieces = append(c.pieces, piece{text: template[at : brace+1]})
			at = brace + 2
			continue
		}
		c.pieces = append(c.pieces, piece{text: template[at:brace]})
		value, stop, err := f.field(brace)
		if err != nil {
			return err
		}
		first := len(c.pieces)
		if err := c.part(value); err != nil {
			if inner := (*sqllex.Error)(nil); errors.As(err, &inner) {
				return err // of a template in this one
			}
			return sqllex.ErrorAt(template, brace, "%v", err)
		}
		for i := range c.pieces[first:] {
			if p := &c.pieces[first+i]; p.template == "" {
				p.template, p.offset = template, brace
			}
		}
		at = stop
	}
}

// fields finds the parts for the fields of a template.
type fields struct {
	template string
	named    map[string]any
	numbered []any
	used     []bool // which of numbered

	auto, manual int // how many {} and {0} there were
}

// field returns the value for the field that begins at offset, and where it ends.
func (f *fields) field(offset int) (value any, stop int, err error) {
	fail := func(format string, args ...any) (any, int, error) {
		return nil, 0, sqllex.ErrorAt(f.template, offset, format, args...)
	}
	name, _, closed := strings.Cut(f.template[offset+1:], "}")
	if f.template[offset] == '}' || !closed || strings.Contains(name, "{") {
		return fail("single '%c' in the template: a brace that is not a field is written twice", f.template[offset])
	}
	stop = offset + len(name) + len("{}")
	if name != "" && strings.Trim(name, "0123456789") != "" {
		if value, ok := f.named[name]; ok {
			return value, stop, nil
		}
		return fail("the template's field {%s} has no part: pass sql.Named(%q, …), or write {{ and }} for braces", name, name)
	}
	n := f.auto
	if name == "" {
		f.auto++
	} else {
		f.manual++
		if n, err = strconv.Atoi(name); err != nil {
			n = len(f.numbered) // a number that large is of no part
		}
	}
	switch {
	case f.auto > 0 && f.manual > 0:
		return fail("fields with numbers ({0}) and without ({}) cannot be mixed")
	case n >= len(f.numbered):
		return fail("the template's field {%s} has no part: %d were passed without a name", name, len(f.numbered))
	}
	f.used[n] = true
	return f.numbered[n], stop, nil
}

func (f *fields) checkUsed() error {
	for i, used := range f.used {
		if !used {
			return sqllex.ErrorAt(f.template, len(f.template), "no field of the template takes part {%d}: %d were passed without a name", i, len(f.numbered))
		}
	}
	return nil
}

// query writes the whole, with the % in names and literals doubled or not.
func (c *composer) query(double bool) (string, error) {
	text, marks := c.assemble(double)
	if err := c.checkPlain(text, marks); err != nil {
		return "", err
	}
	w := newWriter()
	w.Double = double
	return w.Write(text, func(t sqllex.Token) *literal.Value {
		for len(marks) > 0 && marks[0].offset < t.Start {
			marks = marks[1:]
		}
		if len(marks) == 0 || marks[0].offset != t.Start {
			return nil // a $1 of the template
		}
		return &c.pieces[marks[0].piece].value
	})
}

// mark is where a name or literal is.
type mark struct{ offset, piece int }

// assemble puts the pieces one behind the other, names and literals apart from
// what they would join with: "a""b", U&"a", a$0.
func (c *composer) assemble(double bool) (text string, marks []mark) {
	var b []byte
	inserted := false // the last piece is not SQL
	for i, p := range c.pieces {
		if p.text == "" {
			continue
		}
		isInserted := p.kind != rawPiece
		if n := len(b); n > 0 && (inserted || isInserted) {
			left, right := b[n-1], p.text[0]
			switch {
			case left == '"' && right == '"', isInserted && left == '&',
				sqllex.IsIdentPart(left) && (isInserted || sqllex.IsIdentPart(right)),
				inserted && sqllex.IsIdentPart(right):
				b = append(b, ' ')
			}
		}
		if isInserted {
			marks = append(marks, mark{len(b), i})
		}
		if p.kind == namePiece && double {
			p.text = strings.ReplaceAll(p.text, "%", "%%")
		}
		b = append(b, p.text...)
		inserted = isInserted
	}
	return string(b), marks
}

// checkPlain refuses names and literals inside quotes or comments, where they
// would not be what they are.
func (c *composer) checkPlain(text string, marks []mark) error {
	scan := sqllex.NewScanner(text)
	for t := scan.Next(); len(marks) > 0; t = scan.Next() {
		p := &c.pieces[marks[0].piece]
		switch {
		case t.Stop <= marks[0].offset && t.Kind != sqllex.End:
		case t.Start == marks[0].offset && (t.Kind == sqllex.Ident || t.Kind == sqllex.Param):
			marks = marks[1:]
		default:
			what := "a name"
			if p.kind == literalPiece {
				what = "a literal"
			}
			return sqllex.ErrorAt(p.template, p.offset, "%s inside quotes or a comment of the template: it brings its own quotes, "+
				"drop those around it, or write psyco.Raw for a piece of SQL", what)
		}
	}
	return nil
}
