package sqllex

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error says what is wrong with a text, and where.
type Error struct {
	Text    string
	Offset  int // of the place in Text
	Message string
}

// ErrorAt returns an Error with a message made as by fmt.Sprintf.
func ErrorAt(text string, offset int, format string, args ...any) *Error {
	return &Error{Text: text, Offset: offset, Message: fmt.Sprintf(format, args...)}
}

// Error shows the line with a caret under the place. Lines and columns count
// from 1, columns in characters.
func (e *Error) Error() string {
	before := e.Text[:e.Offset]
	line := 1 + strings.Count(before, "\n")
	start := strings.LastIndexByte(before, '\n') + 1
	shown := e.Text[start:]
	if n := strings.IndexByte(shown, '\n'); n >= 0 {
		shown = shown[:n]
	}
	column := utf8.RuneCountInString(e.Text[start:e.Offset])
	shown, caret := excerpt(shown, e.Offset-start)
	return fmt.Sprintf("psyco: %s (line %d, column %d)\n\t%s\n\t%s^", e.Message, line, column+1, shown, caret)
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
