package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestParseError(t *testing.T) {
	var b []byte
	for _, typ := range []byte("SVCMDHPpqWstcdnFLR") {
		b = append(append(b, typ), "field "+string(typ)+"\x00"...)
	}
	b = append(b, "?unknown\x00\x00"...)
	e, err := ParseError(b)
	if err != nil {
		t.Fatal(err)
	}
	want := Error{"field S", "field C", "field M", "field D", "field H", "field P", "field p", "field q", "field W", "field s",
		"field t", "field c", "field d", "field n", "field F", "field L", "field R", "field V"}
	check(t, "error", *e, want)
	for _, tt := range []struct {
		fields string
		fatal  bool
	}{
		{"SFATAL\x00", true}, {"SPANIC\x00", true}, {"SERROR\x00", false}, {"SFATAL\x00VERROR\x00", false},
		{"VFATAL\x00SFATALE\x00", true}, {"SFATALE\x00VFATAL\x00", true}, {"", false},
	} {
		payload := []byte(tt.fields + "\x00")
		e, err := ParseError(payload)
		if err != nil {
			t.Fatal(err)
		}
		check(t, tt.fields, e.Fatal(), tt.fatal)
		fatal, err := isFatal(payload)
		check(t, tt.fields, fatal, tt.fatal)
		check(t, "err", err, nil)
	}
}

func TestParsers(t *testing.T) {
	fields, err := ParseRowDescription(nil, msg(0, int16(2), "a\x00", int32(16384), int16(3), int32(23), int16(4), int32(-1), int16(1),
		"b c\x00", int32(0), int16(0), int32(1043), int16(-1), int32(14), int16(0))[headerSize:])
	check(t, "err", err, nil)
	if want := []Field{{"a", 16384, 3, 23, 4, -1, 1}, {"b c", 0, 0, 1043, -1, 14, 0}}; !slices.Equal(fields, want) {
		t.Errorf("fields %v", fields)
	}
	values, err := ParseDataRow(nil, msg(0, int16(3), int32(1), "x", int32(-1), int32(0))[headerSize:])
	check(t, "err", err, nil)
	if len(values) != 3 || string(values[0]) != "x" || values[1] != nil || values[2] == nil || len(values[2]) != 0 {
		t.Errorf("values %q", values)
	}
	types, err := ParseParameterDescription([]uint32{1}, msg(0, int16(2), int32(23), uint32(math.MaxUint32))[headerSize:])
	check(t, "err", err, nil)
	if !slices.Equal(types, []uint32{1, 23, math.MaxUint32}) {
		t.Errorf("types %v", types)
	}
	tag, err := ParseCommandComplete([]byte("COPY 3\x00"))
	check(t, "err", err, nil)
	check(t, "tag", tag, "COPY 3")
}

func TestRowsAffected(t *testing.T) {
	for tag, want := range map[string]int64{"INSERT 0 3": 3, "UPDATE 0": 0, "COPY 9223372036854775807": math.MaxInt64, "SELECT 12": 12,
		"BEGIN": -1, "": -1, "DROP TABLE": -1, "SELECT -1": -1, "SELECT 9223372036854775808": -1, "SELECT ": -1} {
		n, ok := RowsAffected(tag)
		if !ok {
			n = -1
		}
		check(t, tag, n, want)
	}
}

func TestFrontendLimits(t *testing.T) {
	if _, err := AppendParse(nil, "", "", make([]uint32, 1<<16)); err == nil {
		t.Error("65536 types")
	}
	if _, err := AppendBind(nil, "", "", nil, make([][]byte, 1<<16), nil); err == nil {
		t.Error("65536 parameters")
	}
	b, err := AppendBind(nil, "", "", []int16{1}, make([][]byte, math.MaxUint16), []int16{0, 1})
	check(t, "err", err, nil)
	typ, end, err := frameAt(b, 0)
	check(t, "err", err, nil)
	check(t, "type", typ, 'B')
	check(t, "end", end, len(b))
	check(t, "size", len(b), headerSize+2+4+2+4*math.MaxUint16+6)
}

// FuzzParsers checks that what the parsers accept is exactly what was meant: the
// same values encoded again give the same bytes.
// FuzzCopyRow cuts the data of a binary COPY in two at any place: the rows are the same.
func FuzzCopyRow(f *testing.F) {
	row := AppendColumn(AppendColumn([]byte{0, 2}, []byte("one")), nil)
	whole := append(append(append(AppendCopyHeader(nil), row...), row...), 0xff, 0xff)
	f.Add(whole, 7)
	f.Add(whole, 24)
	f.Add(append(whole[:len(whole)-2:len(whole)-2], 0, 1, 0xff, 0xff, 0xff, 0xfe), 3)
	f.Add(append(AppendCopyHeader(nil)[:15], 0, 0, 0, 3, 1, 2, 3, 0, 0), 20)
	f.Add([]byte("PGCOPY\n\xff\r\n\x00\x00\x01\x00\x00\x00\x00\x00\x00"), 2)
	cut := func(pieces ...[]byte) (rows []string, left string, err error) {
		var data []byte
		begun := false
		for _, piece := range pieces {
			data = append(data, piece...)
			if !begun {
				if data, begun, err = CutCopyHeader(data); err != nil || !begun {
					if err != nil {
						return nil, "", err
					}
					continue
				}
			}
			for {
				columns, rest, n, err := CutCopyRow(data)
				if err != nil {
					return rows, "", err
				}
				data = rest
				if columns == nil && n != -1 {
					break
				}
				for i := range n {
					column, after, ok := CutColumn(columns)
					if !ok {
						f.Fatalf("column %d of a whole row cannot be cut", i)
					}
					columns = after
					rows = append(rows, fmt.Sprintf("%q %v", column, column == nil))
				}
				if len(columns) > 0 {
					f.Fatalf("%q is left of a row", columns)
				}
				rows = append(rows, fmt.Sprint(n))
			}
		}
		return rows, string(data), nil
	}
	f.Fuzz(func(t *testing.T, data []byte, at int) {
		at = min(max(at, 0), len(data))
		rows, left, err := cut(data)
		again, leftAgain, errAgain := cut(data[:at:at], data[at:])
		if !slices.Equal(rows, again) || left != leftAgain || (err == nil) != (errAgain == nil) {
			t.Errorf("at once %q, %q, %v; in two pieces %q, %q, %v", rows, left, err, again, leftAgain, errAgain)
		}
	})
}

func FuzzParsers(f *testing.F) {
	f.Add(row("x")[headerSize:])
	f.Add(rowDescription[headerSize:])
	f.Add(msg('t', int16(1), int32(23))[headerSize:])
	f.Add(failure("ERROR", "22012", "x")[headerSize:])
	f.Fuzz(func(t *testing.T, payload []byte) {
		if values, err := ParseDataRow(nil, payload); !malformed(t, err) {
			b := binary.BigEndian.AppendUint16(nil, uint16(len(values)))
			for _, v := range values {
				if v == nil {
					b = binary.BigEndian.AppendUint32(b, math.MaxUint32)
					continue
				}
				b = append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
			}
			checkBytes(t, "DataRow", b, payload)
		}
		if fields, err := ParseRowDescription(nil, payload); !malformed(t, err) {
			parts := []any{int16(len(fields))}
			for _, f := range fields {
				parts = append(parts, f.Name+"\x00", f.TableOID, int16(f.Column), f.TypeOID, f.TypeSize, f.TypeMod, f.Format)
			}
			checkBytes(t, "RowDescription", msg(0, parts...)[headerSize:], payload)
		}
		if types, err := ParseParameterDescription(nil, payload); !malformed(t, err) {
			checkBytes(t, "ParameterDescription", appendTypes(nil, types), payload)
		}
		e, err := ParseError(payload)
		if !malformed(t, err) {
			fatal, err := isFatal(payload)
			if err != nil || fatal != e.Fatal() {
				t.Errorf("fatal %v, %v", fatal, err)
			}
			if short, err := appendShortened(nil, payload); err != nil || len(short)-headerSize > shortLimit {
				t.Errorf("shortened to %d bytes, %v", len(short), err)
			}
		}
		if tag, err := ParseCommandComplete(payload); !malformed(t, err) {
			check(t, "tag", tag+"\x00", string(payload))
			if n, ok := RowsAffected(tag); ok && (n < 0 || !strings.Contains(tag, " ")) {
				t.Errorf("%q: %d rows", tag, n)
			}
		}
	})
}

// malformed reports whether a parser refused its input, as a protocol error.
func malformed(t *testing.T, err error) bool {
	var p *protocolError
	if err != nil && !errors.As(err, &p) {
		t.Errorf("error %T: %v", err, err)
	}
	return err != nil
}
