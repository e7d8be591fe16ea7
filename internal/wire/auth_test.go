package wire

import (
	"slices"
	"strings"
	"testing"
)

// FuzzSASLMechanisms: a list is read as it was written, or refused.
func FuzzSASLMechanisms(f *testing.F) {
	f.Add([]byte("SCRAM-SHA-256-PLUS\x00SCRAM-SHA-256\x00\x00"))
	f.Add([]byte("\x00"))
	f.Add([]byte("SCRAM-SHA-256"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		names, err := SASLMechanisms(data)
		if err != nil {
			if names != nil || strings.Contains(string(data), "\x00\x00") || len(data) > 0 && data[0] == 0 {
				t.Errorf("%q: %q, %v", data, names, err)
			}
			return
		}
		written := strings.Join(append(names, ""), "\x00") + "\x00"
		if !strings.HasPrefix(string(data), written) || slices.Contains(names, "") {
			t.Errorf("%q: %q", data, names)
		}
	})
}

func TestSASLMessages(t *testing.T) {
	b := AppendSASLInitialResponse([]byte("x"), "SCRAM-SHA-256", []byte("n,,"))
	if want := "xp\x00\x00\x00\x19SCRAM-SHA-256\x00\x00\x00\x00\x03n,,"; string(b) != want {
		t.Errorf("got %q, want %q", b, want)
	}
	if b, want := AppendSASLResponse(nil, []byte("c=biws")), "p\x00\x00\x00\x0ac=biws"; string(b) != want {
		t.Errorf("got %q, want %q", b, want)
	}
}
