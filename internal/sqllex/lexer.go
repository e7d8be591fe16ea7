// Package sqllex splits SQL text into the lexical elements PostgreSQL's own
// scanner (src/backend/parser/scan.l) sees: it is the one place that knows
// where literals, quoted identifiers, dollar quotes and comments begin and end.
//
// It never fails: an element that is not closed extends to the end of the text
// and is marked as such, and bytes that PostgreSQL would reject are symbols.
//
// Two settings of the server change what its scanner sees. The text is taken to
// be UTF-8 (lib/pq always asks for that client_encoding), and
// standard_conforming_strings to be on, its default since PostgreSQL 9.1: with
// it off, a backslash in a plain '…' literal would escape what follows, which
// this package does not follow. Write E'…' for escapes; it means the same under
// both values.
package sqllex

import "strings"

// Kind is the kind of a lexical element.
type Kind uint8

const (
	End          Kind = iota // the end of the text
	Space                    // a run of white space
	LineComment              // -- to the end of the line, which it does not include
	BlockComment             // /* … */, nested ones included
	Word                     // an identifier or a keyword without quotes
	Ident                    // "…" or U&"…"
	String                   // '…', N'…' or U&'…'
	EscapeString             // E'…', with backslash escapes
	BitString                // B'…' or X'…'
	DollarString             // $$…$$ or $tag$…$tag$
	Number                   // 1, 1.5, 1e9
	Param                    // $1
	Symbol                   // any other single byte: punctuation, a part of an operator
)

// IsSpace reports whether k separates elements and means nothing itself.
func (k Kind) IsSpace() bool { return k == Space || k == LineComment || k == BlockComment }

// IsString reports whether k is a literal in quotes of any form.
func (k Kind) IsString() bool { return k >= String && k <= DollarString }

// Token is one lexical element: the bytes from Start to before Stop.
type Token struct {
	Kind        Kind
	Open        bool // not closed: the text ends inside it
	Start, Stop int
}

// Text returns the element's bytes out of the text it was read from.
func (t Token) Text(sql string) string { return sql[t.Start:t.Stop] }

// Scanner reads a text element by element, without allocating. The elements
// follow each other without gaps. Its zero value reads an empty text.
type Scanner struct {
	sql string
	pos int

	// Literals on different lines are parts of one, of the first one's kind:
	// E'a' newline 'b\'' is a single E literal.
	last    Kind // of the literal that could go on here, else End
	newline bool // a line ended since
}

// NewScanner returns a Scanner at the start of sql.
func NewScanner(sql string) Scanner { return Scanner{sql: sql} }

// Pos returns where the next element starts.
func (s *Scanner) Pos() int { return s.pos }

// Seek makes the Scanner go on at an offset of its caller's choice, as if
// something that is not part of a literal had ended there.
func (s *Scanner) Seek(pos int) {
	s.pos = min(max(pos, 0), len(s.sql))
	s.last = End
}

// Next returns the next element. At the end of the text its Kind is End.
func (s *Scanner) Next() Token {
	t := Token{Start: s.pos}
	if s.pos >= len(s.sql) {
		t.Stop = s.pos
		return t
	}
	last := s.last
	t.Kind, t.Stop, t.Open = s.scan()
	s.pos = t.Stop
	switch {
	case t.Kind == String || t.Kind == EscapeString || t.Kind == BitString:
		s.last, s.newline = t.Kind, false
	case t.Kind == Space && last != End:
		s.newline = s.newline || strings.ContainsAny(t.Text(s.sql), "\n\r")
	case t.Kind != LineComment:
		s.last = End
	}
	return t
}

func (s *Scanner) scan() (kind Kind, stop int, open bool) {
	sql, i := s.sql, s.pos
	c := sql[i]
	switch class := classes[c]; {
	case class&space != 0:
		return Space, skip(sql, i+1, space), false
	case class&identStart != 0:
		return s.scanWord()
	case class&digit != 0:
		return Number, skipNumber(sql, i), false
	}
	switch next := peek(sql, i+1); {
	case c == '\'':
		kind = String
		if s.last != End && s.newline {
			kind = s.last
		}
		stop, open = skipLiteral(sql, i+1, kind)
		return kind, stop, open
	case c == '"':
		stop, open = skipQuoted(sql, i+1, '"')
		return Ident, stop, open
	case c == '-' && next == '-':
		if n := strings.IndexAny(sql[i:], "\n\r"); n >= 0 {
			return LineComment, i + n, false
		}
		return LineComment, len(sql), false
	case c == '/' && next == '*':
		stop, open = skipComment(sql, i+2)
		return BlockComment, stop, open
	case c == '$' && classes[next]&digit != 0:
		return Param, skip(sql, i+1, digit), false
	case c == '$':
		return scanDollar(sql, i)
	}
	return Symbol, i + 1, false
}

// scanWord reads an identifier, or a literal that starts with a letter. The
// letter must be the whole word: in fooE'…' it is not, and the literal is plain.
func (s *Scanner) scanWord() (kind Kind, stop int, open bool) {
	sql, i := s.sql, s.pos
	next := peek(sql, i+1)
	switch c := sql[i] | 0x20; {
	case next == '\'' && (c == 'e' || c == 'n' || c == 'b' || c == 'x'):
		kind = String
		switch c {
		case 'e':
			kind = EscapeString
		case 'b', 'x':
			kind = BitString
		}
		stop, open = skipLiteral(sql, i+2, kind)
		return kind, stop, open
	case c == 'u' && next == '&' && peek(sql, i+2) == '\'':
		stop, open = skipQuoted(sql, i+3, '\'')
		return String, stop, open
	case c == 'u' && next == '&' && peek(sql, i+2) == '"':
		stop, open = skipQuoted(sql, i+3, '"')
		return Ident, stop, open
	}
	return Word, skip(sql, i+1, identPart), false
}

// scanDollar reads a dollar-quoted string. A $ that starts none is a symbol.
func scanDollar(sql string, i int) (kind Kind, stop int, open bool) {
	tag := i + 1
	if classes[peek(sql, tag)]&identStart != 0 {
		// A tag is an identifier without $.
		for tag++; tag < len(sql) && sql[tag] != '$' && classes[sql[tag]]&identPart != 0; {
			tag++
		}
	}
	if peek(sql, tag) != '$' {
		return Symbol, i + 1, false
	}
	delim, body := sql[i:tag+1], tag+1
	if n := strings.Index(sql[body:], delim); n >= 0 {
		return DollarString, body + n + len(delim), false
	}
	return DollarString, len(sql), true
}

// skipLiteral returns the end of a literal whose first inner byte is at i.
func skipLiteral(sql string, i int, kind Kind) (stop int, open bool) {
	switch kind {
	case EscapeString:
		for i < len(sql) {
			switch {
			case sql[i] == '\\':
				i += 2
			case sql[i] != '\'':
				i++
			case peek(sql, i+1) == '\'':
				i += 2
			default:
				return i + 1, false
			}
		}
		return len(sql), true
	case BitString: // here a doubled quote is two literals side by side
		if n := strings.IndexByte(sql[i:], '\''); n >= 0 {
			return i + n + 1, false
		}
		return len(sql), true
	}
	return skipQuoted(sql, i, '\'')
}

// skipQuoted returns the end of a quoted text in which the doubled quote stands
// for itself.
func skipQuoted(sql string, i int, quote byte) (stop int, open bool) {
	for {
		n := strings.IndexByte(sql[i:], quote)
		if n < 0 {
			return len(sql), true
		}
		i += n + 1
		if peek(sql, i) != quote {
			return i, false
		}
		i++
	}
}

func skipComment(sql string, i int) (stop int, open bool) {
	for depth := 1; i+1 < len(sql); {
		switch {
		case sql[i] == '*' && sql[i+1] == '/':
			i += 2
			if depth--; depth == 0 {
				return i, false
			}
		case sql[i] == '/' && sql[i+1] == '*':
			i += 2
			depth++
		default:
			i++
		}
	}
	return len(sql), true
}

// skipNumber reads a decimal number. An exponent needs a digit: 1E'…' is a
// number and a literal to servers before 15, and an error to later ones.
func skipNumber(sql string, i int) int {
	i = skip(sql, i, digit)
	if peek(sql, i) == '.' {
		i = skip(sql, i+1, digit)
	}
	if peek(sql, i)|0x20 == 'e' {
		exp := i + 1
		if c := peek(sql, exp); c == '+' || c == '-' {
			exp++
		}
		if classes[peek(sql, exp)]&digit != 0 {
			return skip(sql, exp, digit)
		}
	}
	return i
}

// Byte classes.
const (
	space      = 1 << iota
	digit      // 0-9
	identStart // letters, _ and everything outside ASCII
	identPart  // identStart, digits, $
	operator   // what operators are made of
)

var classes = func() (t [256]uint8) {
	set := func(chars string, class uint8) {
		for i := range len(chars) {
			t[chars[i]] |= class
		}
	}
	set(" \t\n\r\f\v", space) // \v: since PostgreSQL 16
	set("0123456789", digit|identPart)
	set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_", identStart|identPart)
	set("$", identPart)
	set("~!@#^&|`?+-*/%<>=", operator)
	for c := 0x80; c < len(t); c++ {
		t[c] |= identStart | identPart
	}
	return t
}()

// IsIdentStart reports whether a byte can begin an identifier without quotes.
func IsIdentStart(c byte) bool { return classes[c]&identStart != 0 }

// IsIdentPart reports whether a byte can go on an identifier without quotes.
func IsIdentPart(c byte) bool { return classes[c]&identPart != 0 }

// IsOperator reports whether a byte can be part of an operator.
func IsOperator(c byte) bool { return classes[c]&operator != 0 }

func skip(sql string, i int, class uint8) int {
	for i < len(sql) && classes[sql[i]]&class != 0 {
		i++
	}
	return i
}

// peek returns the byte at i, or 0 past the end.
func peek(sql string, i int) byte {
	if i < len(sql) {
		return sql[i]
	}
	return 0
}
