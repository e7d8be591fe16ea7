package pgform

import "testing"

func TestEscapeCopy(t *testing.T) {
	for in, want := range map[string]string{"": "", "plain": "plain", "a\tb\nc\rd\\e": `a\tb\nc\rd\\e`, "\x01\b\v": "\x01\b\v"} {
		if got := string(EscapeCopy([]byte("x\t"+in), 2)); got != "x\t"+want {
			t.Errorf("%q became %q", in, got)
		}
		if got := string(UnescapeCopy([]byte(want))); got != in {
			t.Errorf("%q was read as %q", want, got)
		}
	}
	if got := string(UnescapeCopy([]byte(`\b\f\v\x\`))); got != "\b\f\vx\\" {
		t.Errorf("read as %q", got)
	}
}
