package pgserver

import (
	"strings"
	"testing"
)

func TestServerInMemory(t *testing.T) {
	if isMemory(t.TempDir()+"/missing") || isMemory("/proc") {
		t.Error("takes anything for memory")
	}
	temp := publicDir(t)
	t.Setenv("TMPDIR", temp)
	if s := start(t, Options{}); !strings.HasPrefix(s.DataDir(), temp+"/") {
		t.Errorf("with TMPDIR=%s, the server is in %s", temp, s.DataDir())
	}
	t.Setenv("TMPDIR", "")
	if s := start(t, Options{}); strings.HasPrefix(s.DataDir(), sharedMemory+"/") != isMemory(sharedMemory) {
		t.Errorf("the server is in %s", s.DataDir())
	}
}
