// Package testbrowser shows pages to a real browser, for tests.
package testbrowser

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Chromium runs a browser without a window, and returns what it printed. The test is skipped
// where none is installed.
func Chromium(t *testing.T, args ...string) string {
	t.Helper()
	var program string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Skip("no Chromium is installed")
	}
	args = append([]string{"--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
		"--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--user-data-dir=" + t.TempDir()}, args...)
	if os.Geteuid() == 0 {
		args = append([]string{"--no-sandbox"}, args...) // root's browser has no sandbox
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, errs.String())
	}
	return out.String()
}
