package psyco

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/psyco-go/psyco/internal/placeholder"
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
// are doubled. A part that is no Composable is a [Literal]. All parts without a
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
		return errors.New("an Identifier without parts is no name")
	}
	for _, part := range id {
		switch {
		case part == "":
			return fmt.Errorf("the Identifier %s has an empty part, which is no name", id)
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
		b := new(binder)
		value, err := b.constant(driver.NamedValue{Value: v})
		if err != nil {
			return err
		}
		if _, err := b.literal(&value, true); err != nil {
			return err
		}
		c.pieces = append(c.pieces, piece{kind: literalPiece, text: "$0", value: value})
		return nil
	})
}

// Join is the parts with SQL between them: Join(", ", Identifier{"a"}, Raw("now()")).
// As in [Compose], a part that is no Composable is a [Literal].
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
