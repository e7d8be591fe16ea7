//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package pgserver

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// helpers are what this test binary does when a test runs it as a process of
// its own. They write one line when they are ready and then wait to be killed.
var helpers = map[string]func() (line string, err error){
	"installed": func() (string, error) {
		s, err := Start(context.Background(), Options{})
		if err != nil {
			return "", err
		}
		return s.DataDir(), nil
	},
	"initdb": func() (string, error) {
		bin, err := placesFromEnvironment().find()
		if err != nil {
			return "", err
		}
		user, err := serverAccount()
		if err != nil {
			return "", err
		}
		g, err := startGuard(bin, user.tempDir(), user, []string{"--no-sync"})
		if err != nil {
			return "", err
		}
		_, err = g.start("initdb")
		return filepath.Join(g.dir, "data"), err
	},
	// A server in the guard's directory that is not the guard's child.
	"pg_ctl": func() (string, error) {
		bin, err := placesFromEnvironment().find()
		if err != nil {
			return "", err
		}
		user, err := serverAccount()
		if err != nil {
			return "", err
		}
		g, err := startGuard(bin, user.tempDir(), user, []string{"--no-sync"})
		if err != nil {
			return "", err
		}
		initdb, err := g.start("initdb")
		if err != nil {
			return "", err
		}
		<-initdb.exited
		data := filepath.Join(g.dir, "data")
		cmd := exec.Command(filepath.Join(bin, "pg_ctl"), "start", "-D", data, "-l", filepath.Join(g.dir, "log"), "-o", "-c listen_addresses='' -k "+g.dir)
		user.apply(cmd)
		return data, cmd.Run()
	},
	// Databases on a server that others use too.
	"existing": func() (string, error) {
		s, err := existing(os.Getenv("PGSERVER_TEST_DSN"))
		if err != nil {
			return "", err
		}
		_, used, _, err := s.createDatabase(context.Background(), "template0")
		if err != nil {
			return "", err
		}
		template, err := s.CreateTemplate(context.Background(), func(string) error { return nil })
		if err != nil {
			return "", err
		}
		return used + " " + template.name, nil
	},
	"download": func() (string, error) {
		w := waysFromEnvironment()
		w.dsn, w.places, w.cache = "", places{}, os.Getenv("PGSERVER_TEST_CACHE")
		s, err := w.find(context.Background())
		if err != nil {
			return "", err
		}
		return s.BinDir() + "\t" + s.DSN(), nil
	},
}

func TestMain(m *testing.M) {
	helper, ok := helpers[os.Getenv("PGSERVER_TEST_HELPER")]
	if !ok {
		os.Exit(m.Run())
	}
	line, err := helper()
	if err != nil {
		fmt.Println("error:", strings.ReplaceAll(err.Error(), "\n", "; "))
		os.Exit(1)
	}
	fmt.Println(line)
	select {}
}

// startHelper runs a helper in a process group of its own, as nobody if this
// process is root and asRoot is false, and returns the line that it writes.
func startHelper(t *testing.T, name string, asRoot bool, env ...string) (*exec.Cmd, string) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	attr := &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 && !asRoot {
		program = copyFor(t, program)
		attr.Credential = nobody(t)
	}
	cmd := exec.Command(program)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), append(env, "PGSERVER_TEST_HELPER="+name)...)
	cmd.Stderr = t.Output()
	cmd.SysProcAttr = attr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line := bufio.NewScanner(stdout)
	line.Scan()
	return cmd, line.Text()
}

// copyFor copies a program to where every user can run it.
func copyFor(t *testing.T, program string) string {
	t.Helper()
	dir := publicDir(t)
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(dir, "helper")
	// A child that is forked meanwhile would have the file open for writing until
	// it executes something, and a program that is open for writing is "busy".
	syscall.ForkLock.RLock()
	err = os.WriteFile(program, content, 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// publicDir is a t.TempDir that every user may use.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "pgserver-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Guards of helpers that were killed may still be at work in it.
		eventually(t, dir+" is removed", func() bool { return os.RemoveAll(dir) == nil })
	})
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

func nobody(t *testing.T) *syscall.Credential {
	t.Helper()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
	if uidErr != nil || gidErr != nil {
		t.Fatal(uidErr, gidErr)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
