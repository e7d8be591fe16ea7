//go:build unix

// Package pooler tests psyco behind pgbouncer, pgpool-II and HAProxy. It uses the public
// API only.
package pooler_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/psyco-go/psyco/internal/testdb"
)

// What the tests of all packages share, by the names of this one.
var (
	open, all, code, stats        = testdb.Open, testdb.All, testdb.Code, testdb.Stats
	listed                        = testdb.RowsOf
	mustExec, mustBegin, mustConn = testdb.MustExec, testdb.MustBegin, testdb.MustConn
)

// TestMain fails if the tests leave a goroutine of the package behind.
func TestMain(m *testing.M) { testdb.Main(m) }

// programOf returns where a program is. The test is skipped if it is not installed.
func programOf(t *testing.T, name string) (path string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	path = "/usr/sbin/" + name
	if info, err := os.Stat(path); err != nil || info.Mode()&0o111 == 0 {
		t.Skip(name + " is not installed")
	}
	return path
}

// openDir makes a directory that another user may write to.
func openDir(t *testing.T) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// write writes a file of a program's settings.
func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// daemon runs a program until the end of the test, and returns when something listens on
// the address. Its log goes to dir.
func daemon(t *testing.T, dir, network, address string, cmd *exec.Cmd) {
	t.Helper()
	asNobody(t, cmd)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		endGroup(cmd)
		<-ended
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("%s said:\n%s", cmd.Path, text[max(0, len(text)-4000):])
		}
	})
	for {
		c, err := net.Dial(network, address)
		if err == nil {
			c.Close()
			return
		}
		select {
		case <-ended:
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("%s ended:\n%s", cmd.Path, text)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// asNobody has a program run as another user, where this one is root: some refuse to be.
func asNobody(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() != 0 {
		return
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// endGroup ends a program and those that it has started.
func endGroup(cmd *exec.Cmd) { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// socketOf is the file of a server's socket.
func socketOf(dir string, port int) string { return fmt.Sprintf("%s/.s.PGSQL.%d", dir, port) }
