package wire

import (
	"bytes"
	"errors"
	"fmt"
)

// Error is an ErrorResponse or NoticeResponse with every field the protocol
// knows. The names are those of pq.Error.
type Error struct {
	Severity         string // may be translated, see SeverityUnlocalized
	Code             string // SQLSTATE
	Message          string
	Detail           string
	Hint             string
	Position         string
	InternalPosition string
	InternalQuery    string
	Where            string
	Schema           string
	Table            string
	Column           string
	DataTypeName     string
	Constraint       string
	File             string
	Line             string
	Routine          string
	// SeverityUnlocalized is never translated. Servers before 9.6 don't send it.
	SeverityUnlocalized string
}

var _ error = (*Error)(nil)

func (e *Error) Error() string {
	if e.Code == "" {
		return "psyco: " + e.Message
	}
	return "psyco: " + e.Message + " (" + e.Code + ")"
}

// Fatal reports whether the server ended the session: severity FATAL or PANIC.
func (e *Error) Fatal() bool {
	s := e.SeverityUnlocalized
	if s == "" {
		s = e.Severity
	}
	return s == "FATAL" || s == "PANIC"
}

// field returns where the field of a given type goes, nil for unknown types.
func (e *Error) field(typ byte) *string {
	switch typ {
	case 'S':
		return &e.Severity
	case 'V':
		return &e.SeverityUnlocalized
	case 'C':
		return &e.Code
	case 'M':
		return &e.Message
	case 'D':
		return &e.Detail
	case 'H':
		return &e.Hint
	case 'P':
		return &e.Position
	case 'p':
		return &e.InternalPosition
	case 'q':
		return &e.InternalQuery
	case 'W':
		return &e.Where
	case 's':
		return &e.Schema
	case 't':
		return &e.Table
	case 'c':
		return &e.Column
	case 'd':
		return &e.DataTypeName
	case 'n':
		return &e.Constraint
	case 'F':
		return &e.File
	case 'L':
		return &e.Line
	case 'R':
		return &e.Routine
	}
	return nil
}

// ParseError parses the payload of an ErrorResponse or NoticeResponse.
func ParseError(payload []byte) (*Error, error) {
	e := new(Error)
	_, err := errorFields(payload, func(typ byte, value []byte) {
		if f := e.field(typ); f != nil {
			*f = string(value)
		}
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// errorFields calls f with each field of an ErrorResponse, and returns what comes
// after them.
func errorFields(payload []byte, f func(typ byte, value []byte)) (rest []byte, err error) {
	for {
		if len(payload) == 0 {
			return nil, protocolErrorf("ErrorResponse without terminator")
		}
		typ := payload[0]
		if typ == 0 {
			return payload[1:], nil
		}
		value, rest, ok := cutString(payload[1:])
		if !ok {
			return nil, protocolErrorf("ErrorResponse field %q without terminator", typ)
		}
		f(typ, value)
		payload = rest
	}
}

// isFatal reports whether the severity of an ErrorResponse is FATAL or PANIC, without an allocation.
func isFatal(payload []byte) (bool, error) {
	fatal, unlocalized := false, false
	_, err := errorFields(payload, func(typ byte, value []byte) {
		switch {
		case typ == 'V':
			unlocalized = true
		case typ != 'S' || unlocalized:
			return
		}
		fatal = string(value) == "FATAL" || string(value) == "PANIC"
	})
	return fatal, err
}

// appendError appends an ErrorResponse with the fields lib/pq needs.
func appendError(b []byte, code, message string) []byte {
	b, start := Begin(b, ErrorResponse)
	b = append(b, "SERROR\x00VERROR\x00C"...)
	b = append(b, code...)
	b = append(b, "\x00M"...)
	b = append(b, message...)
	b = append(b, 0, 0)
	endShort(b, start)
	return b
}

// appendShortened appends an ErrorResponse whose fields are cut so that it stays
// within shortLimit: lib/pq takes longer ones for plain text and then loses its
// place in the stream.
func appendShortened(b, payload []byte) ([]byte, error) {
	const longestField = 6000
	b, start := Begin(b, ErrorResponse)
	room := shortLimit - headerSize
	_, err := errorFields(payload, func(typ byte, value []byte) {
		if len(value) > longestField {
			value = bytes.ToValidUTF8(value[:longestField], nil)
		}
		if len(value)+2 > room {
			return
		}
		room -= len(value) + 2
		b = append(append(append(b, typ), value...), 0)
	})
	b = append(b, 0)
	endShort(b, start)
	return b, err
}

// ErrProtocol is in the chain of every error about bytes that are not the protocol.
var ErrProtocol = errors.New("protocol error")

// protocolError is a stream that is not the PostgreSQL protocol. The connection
// is unusable from there on.
type protocolError struct {
	text  string
	cause error
}

var _ error = (*protocolError)(nil)

func protocolErrorf(format string, args ...any) *protocolError {
	return &protocolError{text: "psyco: protocol error: " + fmt.Sprintf(format, args...), cause: ErrProtocol}
}

func (e *protocolError) Error() string { return e.text }
func (e *protocolError) Unwrap() error { return e.cause }

// cutString cuts a NUL-terminated string off b.
func cutString(b []byte) (value, rest []byte, ok bool) {
	return bytes.Cut(b, []byte{0})
}
