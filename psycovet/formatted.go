package psycovet

import (
	"go/ast"
	"go/types"
	"strconv"
	"strings"

	"github.com/psyco-go/psyco/internal/sqllex"
)

// sprintf returns what a call of fmt.Sprintf with a constant format makes: its constant
// arguments are a part of that.
func (c *checker) sprintf(call *ast.CallExpr, depth int) (text, bool) {
	if fn, _ := c.callee(call); fn != "fmt.Sprintf" || call.Ellipsis.IsValid() || len(call.Args) == 0 {
		return nil, false
	}
	format := c.pieces(call.Args[0], depth+1)
	if !format.constant() {
		return nil, false
	}
	s := format.String()
	var out text
	next, at := 1, 0
	add := func(start, stop int, value string) {
		if start >= stop {
			return
		}
		if pos, end, ok := format.span(start, stop); ok && value == "" {
			// A literal of its own for each stretch, so that places are found in it.
			if p := literalPiece(format, start, stop); p != nil && end > pos {
				out = append(out, *p)
				return
			}
		}
		if value == "" {
			value = s[start:stop]
		}
		out = append(out, piece{value: value, from: call})
	}
	for i := 0; i < len(s); {
		if s[i] != '%' {
			i++
			continue
		}
		add(at, i, "")
		j := i + 1
		for j < len(s) && strings.IndexByte("+-# 0123456789.", s[j]) >= 0 {
			j++
		}
		if j >= len(s) || s[j] == '[' || s[j] == '*' {
			return nil, false
		}
		verb := s[j]
		if verb == '%' {
			add(i, j+1, "%")
		} else {
			if next >= len(call.Args) {
				return nil, false
			}
			arg := call.Args[next]
			next++
			if inner := c.pieces(arg, depth+1); inner.constant() && (verb == 's' || verb == 'v') && j == i+1 {
				out = append(out, inner...)
			} else {
				out = append(out, piece{from: arg, hole: true})
			}
		}
		i, at = j+1, j+1
	}
	add(at, len(s), "")
	return out, true
}

// literalPiece returns the part of a text that is written in one literal, as a piece whose
// places are those in the literal.
func literalPiece(t text, start, stop int) *piece {
	for i := range t {
		p := &t[i]
		if start < len(p.value) {
			if p.lit == nil || stop > len(p.value) {
				return nil
			}
			return &piece{value: p.value[start:stop], lit: p.lit, from: p.from, skip: p.skip + start}
		}
		start, stop = start-len(p.value), stop-len(p.value)
	}
	return nil
}

// inserted reports values that are put between the quotes of a text.
func (c *checker) inserted(call *ast.CallExpr, t text) {
	const mark = "psycovet_"
	var b strings.Builder
	for i := range t {
		if t[i].hole {
			b.WriteString(mark + strconv.Itoa(i) + "_")
		} else {
			b.WriteString(t[i].value)
		}
	}
	sql := b.String()
	scan := sqllex.NewScanner(sql)
	for tok := scan.Next(); tok.Kind != sqllex.End; tok = scan.Next() {
		if !tok.Kind.IsString() && tok.Kind != sqllex.Ident || tok.Kind == sqllex.DollarString || tok.Open {
			continue
		}
		rest := tok.Text(sql)
		for {
			_, after, found := strings.Cut(rest, mark)
			if !found {
				break
			}
			number, tail, _ := strings.Cut(after, "_")
			rest = tail
			i, err := strconv.Atoi(number)
			if err != nil || i >= len(t) || !c.mayQuote(t[i].from) {
				continue
			}
			message := "the value is put between quotes of the query, and ends them if it has one: write %s there without quotes and pass the value as an argument"
			if tok.Kind == sqllex.Ident {
				message = "the name is put between quotes of the query, and ends them if it has one: build the query with psyco.Compose and psyco.Identifier"
			} else if strings.Trim(rest, "'") != "" || !strings.HasPrefix(tok.Text(sql), "'"+mark) {
				message = "the value is put between quotes of the query, and ends them if it has one: write %s for the whole and pass it as an argument, or build the query with psyco.Compose"
			}
			c.report(call, t[i].from.Pos(), t[i].from.End(), message)
		}
	}
}

// mayQuote reports whether the text of a value can have a quote: that of a number, or of
// what was quoted before, has none.
func (c *checker) mayQuote(e ast.Expr) bool {
	if fn, call := c.callee(e); call != nil {
		name := strings.ToLower(fn)
		for _, word := range []string{"quote", "escape", "strings.replace", "strconv.", "uuid", "hex.", "base64", ".format", "time."} {
			if strings.Contains(name, word) {
				return false
			}
		}
	}
	t := c.TypesInfo.TypeOf(e)
	if t == nil {
		return false
	}
	if strings.Contains(strings.ToLower(types.TypeString(t, nil)), "uuid") {
		return false
	}
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&types.IsString != 0
}
