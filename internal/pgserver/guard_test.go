//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package pgserver

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What a process leaves behind that is killed while it has a server: nothing.
func TestNothingOutlivesItsOwner(t *testing.T) {
	users := []bool{false}
	if os.Geteuid() == 0 {
		users = []bool{true, false}
	}
	for _, asRoot := range users {
		for name, c := range map[string]struct {
			helper string
			kill   func(pid int) error
		}{
			"kill -9":               {"installed", func(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }},
			"Ctrl-C":                {"installed", func(pid int) error { return syscall.Kill(-pid, syscall.SIGINT) }},
			"kill -9 during initdb": {"initdb", func(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }},
			"kill -9 with pg_ctl's": {"pg_ctl", func(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) }},
			"kill -9 of both":       {"installed", killWithPostmaster(t)},
		} {
			t.Run(name+map[bool]string{true: " as root", false: " as an ordinary user"}[asRoot], func(t *testing.T) {
				t.Parallel()
				cmd, dataDir := startHelper(t, c.helper, asRoot)
				dir := filepath.Dir(dataDir)
				if _, err := os.Stat(dir); err != nil {
					t.Fatalf("the helper says %q: %v", dataDir, err)
				}
				family := descendants(t, cmd.Process.Pid)
				if len(family) == 0 {
					t.Fatal("the helper has no children")
				}
				if pid, err := os.ReadFile(filepath.Join(dataDir, "postmaster.pid")); err == nil {
					first, _, _ := strings.Cut(string(pid), "\n")
					postmaster, err := strconv.Atoi(first)
					if err != nil {
						t.Fatal(err)
					}
					family = append(family, postmaster)
				}
				if err := c.kill(cmd.Process.Pid); err != nil {
					t.Fatal(err)
				}
				if err := cmd.Wait(); err == nil {
					t.Error("the helper ended by itself")
				}
				eventually(t, dir+" is removed", func() bool {
					_, err := os.Stat(dir)
					return errors.Is(err, fs.ErrNotExist)
				})
				eventually(t, "the processes end", func() bool {
					running := processes(t)
					for _, pid := range family {
						if _, ok := running[pid]; ok {
							return false
						}
					}
					return true
				})
			})
		}
	}
}

// killWithPostmaster kills the server by SIGKILL and then its owner, so that
// the server can clean up nothing itself.
func killWithPostmaster(t *testing.T) func(pid int) error {
	return func(pid int) error {
		running := processes(t)
		for _, child := range descendants(t, pid) {
			// The postmaster is the one whose parent's parent is the guard.
			if running[running[running[child]]] == pid {
				if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
					return err
				}
			}
		}
		return syscall.Kill(pid, syscall.SIGKILL)
	}
}

// eventually waits until a condition holds; how long is up to go test.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for !condition() {
		if deadline, ok := t.Deadline(); ok && time.Until(deadline) < time.Second {
			t.Fatalf("in vain: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// processes returns the parent of every process that has not ended. A zombie
// has: it only waits for its parent.
func processes(t *testing.T) map[int]int {
	t.Helper()
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,stat=").Output()
	if err != nil {
		t.Fatal(err)
	}
	parents := map[int]int{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		pid, pidErr := strconv.Atoi(f[0])
		parent, parentErr := strconv.Atoi(f[1])
		if pidErr != nil || parentErr != nil {
			t.Fatalf("ps says %q", line)
		}
		if !strings.HasPrefix(f[2], "Z") {
			parents[pid] = parent
		}
	}
	return parents
}

// descendants returns the children of a process, theirs and so on.
func descendants(t *testing.T, pid int) []int {
	t.Helper()
	parents := processes(t)
	var found []int
	for child := range parents {
		for p := parents[child]; p > 1; p = parents[p] {
			if p == pid {
				found = append(found, child)
				break
			}
		}
	}
	return found
}
