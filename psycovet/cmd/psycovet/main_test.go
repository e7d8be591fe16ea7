package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestExitCodes(t *testing.T) {
	tests := []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"nothing to report", []string{"../../testdata/right"}, 0, "", ""},
		{"reports", []string{"../../testdata/sqlxs"}, 1, "the query has 1 placeholders but 2 parameters were passed", ""},
		{"as JSON", []string{"-json", "../../testdata/sqlxs"}, 0, `"message": "the query has 1 placeholders`, ""},
		{"no such package", []string{"../../testdata/missing"}, 2, "", "testdata/missing"},
		{"no such flag", []string{"-missing"}, 2, "", "-missing"},
		{"help", []string{"-help"}, 0, "", "-drivers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			code := run(tt.args, &stdout, &stderr)
			if code != tt.code || !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("code %d, output %q, errors %q", code, stdout.String(), stderr.String())
			}
			if tt.name == "as JSON" && !json.Valid([]byte(stdout.String())) {
				t.Error("the output is not JSON")
			}
		})
	}
}

// With -fix the files have the right text afterwards, and what is left is reported.
func TestFix(t *testing.T) {
	dir, err := os.MkdirTemp("../../testdata", "fix")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	source, err := os.ReadFile("../../testdata/fixes/fixes.go")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "fixes.go")
	if err := os.WriteFile(file, source, 0o644); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	if code := run([]string{"-fix", dir}, &stdout, &stderr); code != 1 || strings.Count(stdout.String(), "\n") != 3 {
		t.Errorf("code %d, output %q, errors %q", code, stdout.String(), stderr.String())
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../testdata/fixes/fixes.go.golden")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("the file is now\n%s", got)
	}
}

func TestVetTool(t *testing.T) {
	tool := filepath.Join(t.TempDir(), "psycovet.exe")
	if out, err := exec.Command("go", "build", "-o", tool, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	vet := func(pkg string) (string, error) {
		out, err := exec.Command("go", "vet", "-vettool="+tool, "../../testdata/"+pkg).CombinedOutput()
		return string(out), err
	}
	if out, err := vet("wrappers"); err == nil || !strings.Contains(out, "wrappers.go:19") || !strings.Contains(out, "the query has 1 placeholders but 2 parameters were passed") {
		t.Errorf("error %v, output %s", err, out)
	}
	if out, err := vet("right"); err != nil {
		t.Errorf("error %v, output %s", err, out)
	}
}

// lockedBuilder may be written and read at the same time.
type lockedBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuilder) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuilder) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestProgress(t *testing.T) {
	var out lockedBuilder
	done, ended := make(chan struct{}), make(chan struct{})
	go func() { progress(&out, done, time.Millisecond, time.Millisecond); close(ended) }()
	for strings.Count(out.String(), "\n") < 2 {
		time.Sleep(time.Millisecond)
	}
	close(done)
	<-ended
	if !strings.Contains(out.String(), "psycovet: ") {
		t.Errorf("output %q", out.String())
	}
}
