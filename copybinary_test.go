package psyco

import (
	"testing"
)

func TestEscapeText(t *testing.T) {
	for in, want := range map[string]string{"": "", "plain": "plain", "a\tb\nc\rd\\e": `a\tb\nc\rd\\e`, "\x01\b\v": "\x01\b\v"} {
		if got := string(escapeText([]byte("x\t"+in), 2)); got != "x\t"+want {
			t.Errorf("%q became %q", in, got)
		}
	}
}
