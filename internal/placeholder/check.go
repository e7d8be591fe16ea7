package placeholder

import (
	"database/sql/driver"
	"errors"

	"github.com/psyco-go/psyco/internal/sqllex"
)

// What can be said of a query before it runs, of its text and the types of its arguments.
// psycovet asks for it; the words are those that a program would see when it runs.

// Unknown stands for an argument of which nothing is known but that it is there.
type Unknown struct{}

// Value makes Unknown one that is right wherever a single value is.
func (Unknown) Value() (driver.Value, error) { return nil, errors.New("psyco: the value is not known") }

// Check returns what is wrong with a query that gets these arguments, or nil. Only their
// types, names and keys count, and the lengths of lists of rows.
func (q *Query) Check(args []driver.NamedValue) error {
	if len(args) == 0 {
		return nil // the text is sent as it is, see Forgotten
	}
	if q.Style == Native {
		return q.checkNative(args)
	}
	if q.Style == Named {
		for i := range args {
			if args[i].Value == (Unknown{}) && args[i].Name == "" {
				return nil // it may hold any name
			}
		}
	}
	args, err := q.Arrange(args)
	if err != nil {
		return err
	}
	for i := range q.Placeholders {
		p := &q.Placeholders[i]
		if value := args[p.Arg].Value; p.Kind == Rows && value != (Unknown{}) {
			if _, err := rowList(value, p.Width()); err != nil {
				return sqllex.ErrorAt(q.Text, p.Offset, "%v", err)
			}
		}
	}
	return nil
}

func (q *Query) checkNative(args []driver.NamedValue) error {
	if q.Misuse != nil {
		return q.Misuse
	}
	if err := q.Nameless(args); err != nil {
		return err
	}
	if q.Natives < 0 || q.Natives == len(args) {
		return nil
	}
	for _, spot := range Spots(q.Text) {
		if spot.Arg >= len(args) {
			return missingNative(q.Text, spot.Span, len(args))
		}
	}
	return extraNative(q.Text, q.Natives, len(args))
}

func missingNative(text string, spot Span, passed int) error {
	return sqllex.ErrorAt(text, spot.Start, "the query has the parameter %s but %d parameters were passed", text[spot.Start:spot.Stop], passed)
}

func extraNative(text string, has, passed int) error {
	return sqllex.ErrorAt(text, 0, "the query has %d parameters but %d were passed", has, passed)
}

// Forgotten returns what is wrong with a text that gets no arguments although it has
// places for some, or nil. Without arguments a text is sent as it is, so that only what
// the server cannot take for something else counts: no %s behind an operand, where % is an
// operator, and no $1 of a statement whose parameters the server does not look at.
func Forgotten(text string, styles Styles) error {
	p := newParser(text)
	p.run()
	switch {
	case p.question >= 0 && styles != OnlyNative:
		return sqllex.ErrorAt(text, p.question, questionAdvice)
	case p.style != Native && !p.operators && styles != OnlyNative:
		at := p.found[0].Offset
		return sqllex.ErrorAt(text, at, "no arguments were given for %s, so the query is sent as it is", text[at:placeholderEnd(text, at)])
	case p.native >= 0 && countNative(text) > 0 && sqllex.Count(text, 2) == 1:
		spot := Spots(text)
		if len(spot) > 0 {
			return missingNative(text, spot[0].Span, 0)
		}
	}
	return nil
}
