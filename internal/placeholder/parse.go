package placeholder

import (
	"slices"
	"strconv"
	"strings"

	"github.com/psyco-go/psyco/internal/sqllex"
)

// Rewrite takes a text apart. The error is a [sqllex.Error].
func Rewrite(text string, styles Styles) (Query, error) {
	q := Query{Text: text, SQL: text, onlyNative: styles == OnlyNative}
	if styles == OnlyNative || styles == Auto && !strings.ContainsAny(text, "%?") {
		q.Natives = countNative(text)
		return q, nil
	}
	p := newParser(text)
	p.run()
	if styles == Auto {
		switch {
		case p.style == Native:
			if p.question >= 0 {
				p.fail(p.question, questionAdvice)
			}
			if p.native < 0 && p.err != nil {
				q.Misuse = p.err
			}
			q.Natives = countNative(text)
			return q, nil
		case p.native >= 0 && p.operators:
			q.Natives = countNative(text)
			return q, nil
		}
	}
	if p.native >= 0 {
		return Query{}, p.mixed()
	}
	if p.err != nil {
		return Query{}, p.err
	}
	if i := strings.IndexByte(text, 0); i >= 0 {
		return Query{}, sqllex.ErrorAt(text, i, "a query cannot have a NUL byte")
	}
	q.Style = max(p.style, Positional)
	q.SQL = string(p.out)
	q.Placeholders, q.Names = p.found, p.names
	q.Params = len(p.found)
	if q.Style == Named {
		q.Params = len(p.names)
	}
	for i := range q.Placeholders {
		kind := q.Placeholders[i].Kind
		q.lists = q.lists || kind == List || kind == Alone
		q.Expands = q.Expands || kind == Rows
	}
	q.Utility = clientBound(q.SQL)
	return q, nil
}

const questionAdvice = "PostgreSQL does not know '?' as a placeholder: write %%s, or $1, $2 and so on; sqlx does it after sqlx.BindDriver(\"psyco\", sqlx.DOLLAR)"

// parser reads a text once, as if it had psycopg's placeholders. Whether it has
// is known at the end only, so that the first mistake is kept until then.
type parser struct {
	text string
	scan sqllex.Scanner

	out  []byte // the rewritten text, as far as it is known
	done int    // text[:done] is in out

	style   Style // of the placeholders, Native without any
	found   []Placeholder
	names   []string
	numbers map[string]int // the argument of each name
	formats []byte         // the letter of each name's first placeholder
	native  int            // where the first $n is, or -1
	closing Span           // see placeholderAt
	err     *sqllex.Error
	made    *Stretches // where out came from; nil if that does not matter

	question int // where the first ? is that stands in the place of an operand, or -1

	// operators says that every placeholder stands right behind an operand, where
	// only an operator can stand: a %s was rather meant as a % s.
	operators bool

	// What IN %s must know about what is on its left.
	prev   [3]syntax // the last elements, the latest first
	groups []group   // the open parentheses and brackets
	commas []int     // the commas in them, at their places in out
	row    []Span    // the elements of the row that the last closed parenthesis ended
}

// syntax is an element of the text that is not white space, at its place in out.
type syntax struct {
	Span
	kind   sqllex.Kind
	symbol byte // of a Symbol
	dot    bool // stands behind a dot
	row    bool // a closing parenthesis that ended a row of several elements
	text   Span // its place in the text
}

// group is an open parenthesis or bracket.
type group struct {
	start    int  // behind it, in out
	commas   int  // len(parser.commas) at that place
	row      bool // not the arguments of a function, an index or a subquery
	position bool // position(… IN …), where IN does not compare
}

func newParser(text string) parser {
	return parser{text: text, scan: sqllex.NewScanner(text), native: -1, question: -1, operators: true}
}

func (p *parser) run() {
	for {
		t := p.scan.Next()
		switch {
		case t.Kind == sqllex.End:
			p.copy(len(p.text))
			return
		case t.Kind.IsSpace():
			continue
		case t.Kind.IsString() || t.Kind == sqllex.Ident:
			p.quoted(t)
		case t.Kind == sqllex.Param && p.native < 0:
			p.native = t.Start
		case t.Kind == sqllex.Symbol && p.text[t.Start] == '%':
			if p.percent(t.Start) {
				continue
			}
		case t.Kind == sqllex.Symbol && p.text[t.Start] == '?' && p.question < 0 && p.foreign(t):
			p.question = t.Start
		}
		p.note(t)
	}
}

// copy brings the text before stop into out.
func (p *parser) copy(stop int) {
	p.made.Add(Stretch{At: len(p.out), From: p.done})
	p.out = append(p.out, p.text[p.done:stop]...)
	p.done = stop
}

// insert says that what comes next stands for what is at an offset.
func (p *parser) insert(offset int) { p.made.Add(Stretch{len(p.out), offset, true}) }

// place returns where an offset that is not copied yet will be in out.
func (p *parser) place(offset int) int { return len(p.out) + offset - p.done }

// fail keeps the first mistake.
func (p *parser) fail(offset int, format string, args ...any) {
	if p.err == nil {
		p.err = sqllex.ErrorAt(p.text, offset, format, args...)
	}
}

// percent handles a % in plain text and reports whether it was a placeholder.
// One that is not goes to the server.
func (p *parser) percent(at int) bool {
	ph, ok := placeholderAt(p.text, at, len(p.text), &p.closing)
	switch {
	case ok:
		p.placeholder(ph)
		return true
	case ph.Stop == at+1: // an operator
	case p.text[at+1] == '%':
		p.copy(at + 1)
		p.done = ph.Stop
		p.scan.Seek(ph.Stop)
	case p.text[at+1] == '(' && ph.name == "":
		p.fail(at, "incomplete placeholder: '%s'; it is written %%(name)s, and %% as an operator as %%%%", firstField(p.text[at:]))
	case p.err == nil:
		right := "%s"
		if ph.name != "" {
			right = "%(" + ph.name + ")s"
		}
		for ph.Stop < len(p.text) && sqllex.IsIdentPart(p.text[ph.Stop]) {
			ph.Stop++
		}
		p.fail(at, "only '%%s', '%%b', '%%t' are allowed as placeholders, got '%s'; %% as an operator needs a space after it, or is written %%%%; "+
			"a placeholder for a value of any type is %s", p.text[at:ph.Stop], right)
	}
	return false
}

// foreign reports whether a ? can be nothing but another database's
// placeholder: it does not stand between operands, as an operator does, and is not part of
// ?|, ?- or @?. (a=? is what programs for other databases write.)
func (p *parser) foreign(t sqllex.Token) bool {
	return !p.operand(&p.prev[0]) && (t.Stop == len(p.text) || !sqllex.IsOperator(p.text[t.Stop])) && (t.Start == 0 || p.text[t.Start-1] != '@')
}

// quoted handles the %s inside a literal or a quoted identifier.
func (p *parser) quoted(t sqllex.Token) {
	if t.Kind == sqllex.DollarString && !t.Open { // the tag behind is not a part of a placeholder
		t.Stop -= strings.IndexByte(p.text[t.Start+1:], '$') + 2
	}
	for i := t.Start; ; {
		n := strings.IndexByte(p.text[i:t.Stop], '%')
		if n < 0 {
			return
		}
		i += n
		ph, ok := placeholderAt(p.text, i, t.Stop, &p.closing)
		switch {
		case ok && t.Kind == sqllex.Ident:
			p.fail(i, "the placeholder '%[1]s' is inside a quoted identifier, and names cannot be parameters: build the query with psyco.Compose and psyco.Identifier, "+
				"or write %%%[1]s if the name has a percent sign", p.text[i:ph.Stop])
		case ok && t.Kind == sqllex.DollarString:
			p.fail(i, "the placeholder '%[1]s' is inside a literal, and a $$ body takes no parameters: put the value into the body with psyco.Compose, "+
				"and pass the whole as one parameter, as in DO %%s; or write %%%[1]s if a percent sign is meant", p.text[i:ph.Stop])
		case ok:
			p.fail(i, "the placeholder '%[1]s' is inside a literal, where it is text: drop the quotes around it, "+
				"or write %%%[1]s if a percent sign is meant", p.text[i:ph.Stop])
		case i+1 < t.Stop && p.text[i+1] == '%':
			p.copy(i + 1)
			p.done = i + 2
			ph.Stop = i + 2
		default:
			ph.Stop = i + 1
		}
		i = ph.Stop
	}
}

// written is a placeholder as it stands in a text.
type written struct {
	Span
	name   string // "" for a positional one
	format byte   // s, b or t; another letter is a mistake
}

// placeholderAt looks at the % at text[at] and no further than stop. What it
// finds is a placeholder (true), or %%, an operator (just the %), or the beginning of a
// mistake: %d, %(name), %(.
//
// A placeholder's letter must not be followed by what would make it a longer
// word: a %size is not a placeholder, and $1 must not become $10.
//
// closing remembers where the last parenthesis was found that closes a name, and from where
// on there is no other, so that no text is searched twice.
func placeholderAt(text string, at, stop int, closing *Span) (ph written, ok bool) {
	ph.Span = Span{at, at + 1}
	if ph.Stop >= stop {
		return ph, false
	}
	switch c := text[ph.Stop]; {
	case c == '%':
		ph.Stop++
		return ph, false
	case c == '(':
		if ph.Stop < closing.Start || ph.Stop > closing.Stop {
			n := strings.IndexByte(text[ph.Stop:], ')')
			if n < 0 {
				n = len(text) - ph.Stop
			}
			*closing = Span{ph.Stop, ph.Stop + n}
		}
		if closing.Stop >= stop || closing.Stop == ph.Stop+1 {
			ph.Stop++
			return ph, false
		}
		ph.name = text[ph.Stop+1 : closing.Stop]
		ph.Stop = closing.Stop + 1
	case !sqllex.IsIdentStart(c):
		return ph, false
	}
	if ph.Stop >= stop || !sqllex.IsIdentPart(text[ph.Stop]) {
		return ph, false
	}
	ph.format = text[ph.Stop]
	ph.Stop++
	return ph, strings.IndexByte("sbt", ph.format) >= 0 && (ph.Stop == stop || !sqllex.IsIdentPart(text[ph.Stop]))
}

// firstField returns what psycopg shows of an incomplete placeholder.
func firstField(text string) string {
	text, _, _ = strings.Cut(text[:min(len(text), 40)], "\n")
	if i := strings.IndexAny(text, " \t\r"); i > 0 {
		return text[:i]
	}
	return strings.ToValidUTF8(text, "")
}

// placeholder puts $n in the place of a placeholder.
func (p *parser) placeholder(ph written) {
	p.operators = p.operators && p.operand(&p.prev[0])
	style := Positional
	if ph.name != "" {
		style = Named
	}
	if p.style != Native && p.style != style {
		p.fail(ph.Start, "positional and named placeholders cannot be mixed")
	}
	p.style = max(p.style, style)

	p.copy(ph.Start)
	s := Placeholder{Offset: ph.Start, Arg: p.argument(ph)}
	open := p.behindIn(&s)
	if p.prev[0].symbol == '(' && p.isWord(&p.prev[1], "IN") && strings.HasPrefix(strings.TrimLeft(p.text[ph.Stop:], " \t\r\n"), ")") {
		s.Kind = Alone
	}
	p.insert(ph.Start)
	if open {
		p.out = append(p.out, '(')
	} else if n := len(p.out); n > 0 && sqllex.IsIdentPart(p.out[n-1]) {
		p.out = append(p.out, ' ') // LIMIT%s
	}
	s.Start = len(p.out)
	p.out = append(p.out, '$')
	p.out = strconv.AppendInt(p.out, int64(s.Arg)+1, 10)
	s.Stop = len(p.out)
	if open {
		p.out = append(p.out, ')')
	}
	p.found = append(p.found, s)

	p.done = ph.Stop
	p.scan.Seek(ph.Stop)
	p.shift(syntax{Span: s.Span, kind: sqllex.Param})
}

// argument returns which argument a placeholder takes.
func (p *parser) argument(ph written) int {
	if ph.name == "" {
		return len(p.found)
	}
	n, known := p.numbers[ph.name]
	switch {
	case !known:
		if p.numbers == nil {
			p.numbers = make(map[string]int)
		}
		n = len(p.names)
		p.numbers[ph.name] = n
		p.names = append(p.names, ph.name)
		p.formats = append(p.formats, ph.format)
	case p.formats[n] != ph.format:
		p.fail(ph.Start, "placeholder '%s' cannot have different formats", ph.name)
	}
	return n
}

// behindIn handles a placeholder behind IN or NOT IN. With a row on the left it
// takes rows; else IN becomes = ANY and NOT IN <> ALL, with the white space and
// comments between kept, and the placeholder belongs into parentheses.
func (p *parser) behindIn(s *Placeholder) (open bool) {
	in, not := &p.prev[0], &p.prev[1]
	if !p.isWord(in, "IN") || len(p.groups) > 0 && p.groups[len(p.groups)-1].position {
		return false
	}
	left, negated := not, p.isWord(not, "NOT")
	if negated {
		left = &p.prev[2]
	}
	if left.row {
		s.Kind, s.left = Rows, slices.Clone(p.row)
		return false
	}
	s.Kind = List
	between, gap := "", string(p.out[in.Stop:])
	first := in
	if negated {
		first, between = not, string(p.out[not.Stop:in.Start])
	}
	start := first.Start
	p.out = p.out[:start]
	p.insert(first.text.Start)
	if start > 0 && sqllex.IsOperator(p.out[start-1]) {
		p.out = append(p.out, ' ') // t.*IN %s
	}
	if negated {
		p.out = append(append(append(p.out, "<>"...), between...), "ALL"...)
	} else {
		p.out = append(p.out, "= ANY"...)
	}
	if strings.Trim(gap, " \t\r\n\f\v") != "" {
		p.out = append(p.out, gap...)
	}
	return true
}

// mixed is the error for a text with both $n and psycopg's placeholders.
func (p *parser) mixed() *sqllex.Error {
	if len(p.found) == 0 {
		return sqllex.ErrorAt(p.text, p.native, "the query has a $n parameter, but placeholders=psycopg takes %%s and %%(name)s only")
	}
	at := p.found[0].Offset
	return sqllex.ErrorAt(p.text, at, "the query mixes $n parameters with the placeholder '%s': use one kind only, "+
		"or write the operator %% with a space after it (a %% b), or set placeholders=native", p.text[at:placeholderEnd(p.text, at)])
}

func placeholderEnd(text string, at int) int {
	ph, _ := placeholderAt(text, at, len(text), new(Span))
	return ph.Stop
}

// note remembers an element for behindIn, which asks words, commas and
// parentheses for their places.
func (p *parser) note(t sqllex.Token) {
	e := syntax{
		Span: Span{p.place(t.Start), p.place(t.Stop)},
		kind: t.Kind,
		dot:  p.prev[0].symbol == '.',
		text: Span{t.Start, t.Stop},
	}
	if n := len(p.groups); n > 0 && p.prev[0].Stop == p.groups[n-1].start && p.startsQuery(&e) {
		p.groups[n-1].row = false
	}
	if e.kind == sqllex.Symbol {
		e.symbol = p.text[t.Start]
		switch e.symbol {
		case '(', '[':
			p.groups = append(p.groups, group{
				start:    e.Stop,
				commas:   len(p.commas),
				row:      e.symbol == '(' && p.beforeRow(&p.prev[0]),
				position: p.isWord(&p.prev[0], "POSITION"),
			})
		case ',':
			if len(p.groups) > 0 {
				p.commas = append(p.commas, e.Start)
			}
		case ')', ']':
			e.row = p.closeGroup(e.Start)
		}
	}
	p.shift(e)
}

func (p *parser) shift(e syntax) { p.prev[2], p.prev[1], p.prev[0] = p.prev[1], p.prev[0], e }

// closeGroup ends the innermost group and reports whether that is a row of
// several elements, which are then in p.row.
func (p *parser) closeGroup(stop int) bool {
	n := len(p.groups) - 1
	if n < 0 {
		return false
	}
	g := p.groups[n]
	p.groups = p.groups[:n]
	commas := p.commas[g.commas:]
	p.commas = p.commas[:g.commas]
	if !g.row || len(commas) == 0 {
		return false
	}
	p.row = p.row[:0]
	start := g.start
	for _, comma := range commas {
		p.row = append(p.row, Span{start, comma})
		start = comma + 1
	}
	p.row = append(p.row, Span{start, stop})
	return true
}

func (p *parser) word(e *syntax) string { return p.text[e.text.Start:e.text.Stop] }

func (p *parser) isWord(e *syntax, word string) bool {
	return e.kind == sqllex.Word && e.text.Stop-e.text.Start == len(word) && strings.EqualFold(p.word(e), word)
}

// operand reports whether an expression can end with e.
func (p *parser) operand(e *syntax) bool {
	return sqllex.EndsOperand(e.kind, p.word(e), e.dot)
}

// beforeRow reports whether a parenthesis behind e is one of an expression,
// and not one of a function's arguments.
func (p *parser) beforeRow(e *syntax) bool {
	switch e.kind {
	case sqllex.Word:
		return !e.dot && (sqllex.Reserved(p.word(e)) || p.isWord(e, "ROW") || p.isWord(e, "BY"))
	case sqllex.Ident:
		return false
	}
	return true
}

// startsQuery reports whether an opening parenthesis before e is that of a
// subquery, or of an aggregate's WITHIN GROUP (ORDER BY …).
func (p *parser) startsQuery(e *syntax) bool {
	if e.kind != sqllex.Word {
		return false
	}
	switch sqllex.Upper(p.word(e)) {
	case "SELECT", "WITH", "VALUES", "TABLE", "ORDER":
		return true
	}
	return false
}
