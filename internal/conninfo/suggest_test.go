package conninfo

import (
	"strings"
	"testing"
)

func TestInvalidNames(t *testing.T) {
	for _, key := range []string{"", "a b", "a-b", "a=b", "'a'", "a/b", "a\\b"} {
		if err := NewGrammar(nil, nil).checkKey(key); err == nil || strings.Contains(err.Error(), "did you mean") {
			t.Errorf("%q: %v", key, err)
		}
	}
}
