package pgform

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"
)

// TestAppendText: each place has its own word for NULL, and the same text for the rest.
func TestAppendText(t *testing.T) {
	at := time.Date(-43, 3, 15, 12, 0, 0, 500_000_000, time.FixedZone("", -30))
	for _, tt := range []struct {
		name    string
		value   any
		want    string
		element string // of an array, "" for want
		null    bool
	}{
		{name: "nil", null: true, element: "NULL"},
		{name: "nil bytes", value: []byte(nil), null: true, element: "NULL"},
		{name: "int", value: int64(-5), want: "-5"},
		{name: "large float", value: 1e21, want: "1000000000000000000000"},
		{name: "infinite float", value: math.Inf(-1), want: "-Infinity"},
		{name: "no number", value: math.NaN(), want: "NaN"},
		{name: "bool", value: true, want: "true"},
		{name: "string", value: `a"b\c`, want: `a"b\c`, element: `"a\"b\\c"`},
		{name: "empty string", value: "", want: "", element: `""`},
		{name: "string NULL", value: "NULL", want: "NULL", element: `"NULL"`},
		{name: "bytes", value: []byte{1, 255}, want: `\x01ff`, element: `"\\x01ff"`},
		{name: "empty bytes", value: []byte{}, want: `\x`, element: `"\\x"`},
		{name: "time", value: at, want: "0044-03-15 12:00:00.5-00:00:30 BC", element: `"0044-03-15 12:00:00.5-00:00:30 BC"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, null, err := AppendText([]byte("<"), tt.value)
			if err != nil || null != tt.null || string(got) != "<"+tt.want {
				t.Errorf("got %s, %v, %v, want %s", got, null, err, tt.want)
			}
			want := tt.element
			if want == "" {
				want = tt.want
			}
			if got, err := AppendElement([]byte("{"), tt.value); err != nil || string(got) != "{"+want {
				t.Errorf("in an array: got %s, %v, want %s", got, err, want)
			}
		})
	}
	for _, value := range []any{5, struct{}{}, []string{"a"}} {
		if _, _, err := AppendText(nil, value); err == nil || !strings.Contains(err.Error(), "has no text form") {
			t.Errorf("%T: %v", value, err)
		}
		if _, err := AppendElement(nil, value); err == nil {
			t.Errorf("%T became an element", value)
		}
	}
}

// FuzzEscape checks that what is between quotes comes back, and that what stands in front
// of it is left alone.
func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", `"`, `\`, `a"b\\c`, `\\\\`, "plain"} {
		f.Add("x", s)
	}
	f.Fuzz(func(t *testing.T, before, text string) {
		b := append([]byte(before), text...)
		got := Escape(b, len(before))
		if !bytes.HasPrefix(got, []byte(before)) {
			t.Fatalf("%q became %q", before, got)
		}
		again, rest, err := cutQuoted(`"` + string(got[len(before):]) + `"!`)
		if err != nil || again != text || rest != "!" {
			t.Fatalf("%q became %q, %q, %v", text, again, rest, err)
		}
		if quoted := AppendQuoted([]byte(before), text); string(quoted) != before+`"`+string(got[len(before):])+`"` {
			t.Fatalf("%q became %q", text, quoted)
		}
	})
}

// TestArrayHead checks what stands in front of an array's elements in binary.
func TestArrayHead(t *testing.T) {
	for _, tt := range []struct {
		name string
		dims []int
		want string
	}{
		{"empty", nil, "\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x17"},
		{"list", []int{3}, "\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x17\x00\x00\x00\x03\x00\x00\x00\x01"},
		{"two dimensions", []int{2, 1}, "\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x17\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01"},
	} {
		if got := string(AppendArrayHead(nil, OIDInt4, tt.dims)); got != tt.want {
			t.Errorf("%s: %x", tt.name, got)
		}
	}
}

// TestArrayOIDs: each array has one element type, and each element type one array.
func TestArrayOIDs(t *testing.T) {
	for elem, array := range arrayOIDs {
		if ElementOID(array) != elem || !IsArrayOID(array) || IsArrayOID(elem) || ArrayOID(elem) != array {
			t.Errorf("%d and its array %d", elem, array)
		}
	}
}
