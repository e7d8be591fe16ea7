package psyco

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// queryError says what is wrong with the placeholders of a query or with the
// arguments given for them, and where.
type queryError struct {
	text   string
	offset int
	msg    string
}

func errorAt(text string, offset int, format string, args ...any) *queryError {
	return &queryError{text: text, offset: offset, msg: fmt.Sprintf(format, args...)}
}

// orNil avoids an error that holds a nil *queryError.
func (e *queryError) orNil() error {
	if e == nil {
		return nil
	}
	return e
}

// Error shows the line with a caret under the place. Lines and columns count
// from 1, columns in characters.
func (e *queryError) Error() string {
	before := e.text[:e.offset]
	line := 1 + strings.Count(before, "\n")
	start := strings.LastIndexByte(before, '\n') + 1
	shown := e.text[start:]
	if n := strings.IndexByte(shown, '\n'); n >= 0 {
		shown = shown[:n]
	}
	column := utf8.RuneCountInString(e.text[start:e.offset])
	shown, caret := excerpt(shown, e.offset-start)
	return fmt.Sprintf("psyco: %s (line %d, column %d)\n\t%s\n\t%s^", e.msg, line, column+1, shown, caret)
}

// Long lines are cut to this many characters on either side of the place.
const excerptWidth = 60

// excerpt returns the part of a line around an offset, and what has to be
// written in front of a caret so that it stands under that offset.
func excerpt(line string, offset int) (shown, indent string) {
	head := []rune(strings.ToValidUTF8(line[:offset], "?"))
	tail := []rune(strings.ToValidUTF8(strings.TrimRight(line[offset:], "\r"), "?"))
	if n := len(head); n > excerptWidth {
		head = append([]rune("…"), head[n-excerptWidth:]...)
	}
	if len(tail) > excerptWidth {
		tail = append(tail[:excerptWidth:excerptWidth], '…')
	}
	indent = strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, string(head))
	return string(head) + string(tail), indent
}
