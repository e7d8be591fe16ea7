package wire

import (
	"bytes"
	"testing"
)

// TestAskWhole asks with Parse and Describe in the packet.
func TestAskWhole(t *testing.T) {
	begin := cat(parsed, params)
	type outcome struct {
		taken   bool
		rows    []byte // where it is taken
		parsed  bool   // the parameters are described
		columns int    // -1: none are described
	}
	for _, tt := range []struct {
		name    string
		request []byte // nil: whole
		answer  []byte
		want    outcome
	}{
		{"rows", nil, cat(begin, rowDescription, bound, row("1"), complete("SELECT 1"), ready('I')), outcome{true, row("1"), true, 1}},
		{"no rows", nil, cat(begin, noData, bound, complete("INSERT 0 1"), ready('I')), outcome{true, nil, true, -1}},
		{"no columns", nil, cat(begin, msg(RowDescription, int16(0)), bound, msg(DataRow, int16(0)), complete("SELECT 1"), ready('I')),
			outcome{true, msg(DataRow, int16(0)), true, 0}},
		{"not described", cat(parse, request), cat(parsed, bound, row("1"), complete("SELECT 1"), ready('I')), outcome{true, row("1"), false, -1}},
		{"the portal described", cat(parse, bindDescribed), cat(parsed, bound, rowDescription, row("1"), complete("SELECT 1"), ready('I')), outcome{true, row("1"), false, 1}},
		{"Parse fails", nil, cat(failure("ERROR", "42601", "no"), ready('I')), outcome{columns: -1}},
		{"Bind fails", nil, cat(begin, rowDescription, failure("ERROR", "22P02", "no"), ready('I')), outcome{parsed: true, columns: 1}},
		{"Execute fails", nil, cat(begin, noData, bound, failure("ERROR", "23505", "no"), ready('I')), outcome{parsed: true, columns: -1}},
		{"an error after rows", nil, cat(begin, rowDescription, bound, row("1"), failure("ERROR", "22012", "no"), ready('I')), outcome{parsed: true, columns: 1}},
		{"a fatal error", nil, cat(begin, failure("FATAL", "57P01", "bye")), outcome{parsed: true, columns: -1}},
		{"notices", nil, cat(notice("0"), parsed, notice("1"), params, notice("2"), rowDescription, notice("3"), bound, notice("4"), row("1"),
			complete("SELECT 1"), ready('I')), outcome{parsed: true, columns: 1}},
		{"a transaction begins", nil, cat(begin, noData, bound, complete("CALL"), ready('T')), outcome{parsed: true, columns: -1}},
		{"two descriptions", cat(parse, describe, bindDescribed), cat(begin, noData, bound, rowDescription, complete("SELECT 0"), ready('I')), outcome{parsed: true, columns: 1}},
		{"nothing", nil, nil, outcome{columns: -1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.request == nil {
				tt.request = whole
			}
			for _, p := range cuts(tt.answer) {
				c, s := connected(t)
				s.pieces = clonePieces(p)
				rows, ok := c.Ask(tt.request, nil, ColumnsUnknown)
				checkBytes(t, "written", s.written(), tt.request)
				check(t, "taken", ok, tt.want.taken)
				if ok {
					checkBytes(t, "rows", rows, tt.want.rows)
				} else {
					mustWrite(t, c, usual)
					checkBytes(t, "written by both", s.written(), tt.request)
					checkBytes(t, "delivered", readAll(t, c, 4096), asSimple(tt.answer))
				}
				d := c.Description()
				check(t, "parameters", d.Params != nil, tt.want.parsed)
				check(t, "described", d.Fields != nil, tt.want.columns >= 0)
				check(t, "columns", len(d.Fields), max(0, tt.want.columns))
				if t.Failed() {
					t.Fatalf("%d pieces", len(p))
				}
			}
		})
	}
}

// TestAskStrange has a description that cannot be read: lib/pq is to tell.
func TestAskStrange(t *testing.T) {
	for _, answer := range [][]byte{
		cat(parsed, tooManyParams, noData, bound, complete("SELECT 0"), ready('I')),
		cat(parsed, tooManyParams, rowDescription, bound, complete("SELECT 0"), ready('I')),
	} {
		c, s := connected(t)
		s.pieces = [][]byte{answer}
		_, ok := c.Ask(whole, nil, ColumnsUnknown)
		check(t, "taken", ok, false)
		c.TakeRows()
		mustWrite(t, c, usual)
		checkBytes(t, "delivered", readAll(t, c, 4096), asSimple(answer))
		check(t, "strange", c.Description().Strange, true)
		check(t, "takes rows", c.TakesRows(), false)
	}
}

// TestAskColumns gives lib/pq the description of a statement that was prepared
// before.
func TestAskColumns(t *testing.T) {
	columns := []Field{{Name: "a", TableOID: 1, Column: 2, TypeOID: 23, TypeSize: -1, TypeMod: 5, Format: 1}, {Name: "ü"}}
	for _, rest := range [][]byte{
		cat(row("1"), notice("n"), row("2"), complete("SELECT 2"), ready('I')),
		cat(failure("ERROR", "22012", "no"), ready('I')),
	} {
		answer := cat(bound, rest)
		for _, p := range cuts(answer) {
			c, s := connected(t)
			s.pieces = clonePieces(p)
			_, ok := c.Ask(request, columns, ColumnsUnknown)
			check(t, "taken", ok, false)
			mustWrite(t, c, usual)
			got := readAll(t, c, 4096)
			_, end, err := frameAt(got, 0)
			check(t, "frame", err, nil)
			fields, err := ParseRowDescription(nil, got[headerSize:end])
			check(t, "description", err, nil)
			check(t, "columns", len(fields), 2)
			check(t, "first", fields[0], columns[0])
			check(t, "second", fields[1], columns[1])
			checkBytes(t, "the rest", got[end:], rest)
			check(t, "CanAsk", c.CanAsk(), true)
			if t.Failed() {
				t.Fatalf("%d pieces", len(p))
			}
		}
	}
}

// TestAskBehindOthers has statements ride in front.
func TestAskBehindOthers(t *testing.T) {
	began := cat(parsed, bound, complete("BEGIN"))
	for _, tt := range []struct {
		name           string
		answer, handed []byte
		done           int
	}{
		{"both run", cat(began, parsed, params, rowDescription, bound, row("1"), complete("SELECT 1"), ready('T')),
			cat(rowDescription, row("1"), complete("SELECT 1"), ready('T')), 1},
		{"the second fails", cat(began, parsed, failure("ERROR", "22P02", "no"), ready('E')),
			cat(failure("ERROR", "22P02", "no"), ready('E')), 1},
		{"the first fails", cat(parsed, bound, failure("ERROR", "0A000", "no"), ready('I')),
			cat(failure("ERROR", "0A000", "no"), ready('I')), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, p := range cuts(tt.answer) {
				c, s := connected(t)
				s.pieces = clonePieces(p)
				c.Prefix("BEGIN")
				_, ok := c.Ask(whole, nil, ColumnsUnknown)
				check(t, "taken", ok, false)
				written := s.written()
				check(t, "packets", len(s.writes), 1)
				check(t, "at the end", bytes.HasSuffix(written, whole), true)
				mustWrite(t, c, usual)
				checkBytes(t, "delivered", readAll(t, c, 4096), tt.handed)
				check(t, "riders done", c.PrefixOutcome().Done, tt.done)
				if t.Failed() {
					t.Fatalf("%d pieces", len(p))
				}
			}
		})
	}
}
