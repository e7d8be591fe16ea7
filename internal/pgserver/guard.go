package pgserver

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
)

//go:embed guard.sh
var guardScript string

// guard is the shell that runs guard.sh: the parent of a server, which takes
// the server and its directory along when this process ends, even by SIGKILL.
type guard struct {
	dir     string
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	answers chan string // all but "exited"; closed when the guard has ended

	mu  sync.Mutex
	run *run // the last one
}

// run is one run of a program that the guard has started.
type run struct {
	pid    string
	exited chan struct{}
	status string // valid when exited is closed
}

func startGuard(binDir, tempDir string, user *account, initdbArgs []string) (*guard, error) {
	// Out of the environment, so that ps shows one short line.
	args := append([]string{"-c", `eval "$PSYCOTEST_GUARD"`, "psycotest-guard", binDir, tempDir}, initdbArgs...)
	cmd := exec.Command("/bin/sh", args...)
	cmd.Dir = "/"
	cmd.Env = append(serverEnv(os.Environ()), "PSYCOTEST_GUARD="+guardScript)
	cmd.SysProcAttr = user.procAttr()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	g := &guard{cmd: cmd, stdin: stdin, answers: make(chan string, 1)}
	go g.read(stdout)
	if g.dir, err = g.answer("dir"); err != nil {
		g.close()
		return nil, fmt.Errorf("cannot make a directory in %s: %w", tempDir, err)
	}
	return g, nil
}

func (g *guard) read(stdout io.Reader) {
	defer close(g.answers)
	for in := bufio.NewScanner(stdout); in.Scan(); {
		if status, ok := strings.CutPrefix(in.Text(), "exited "); ok {
			r := g.current()
			r.status = status
			close(r.exited)
			continue
		}
		g.answers <- in.Text()
	}
}

func (g *guard) current() *run {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.run
}

// answer waits for the answer that begins with the word want and returns what
// follows it.
func (g *guard) answer(want string) (string, error) {
	line, ok := <-g.answers
	if !ok {
		return "", errors.New("the shell that looks after the server has ended")
	}
	word, rest, _ := strings.Cut(line, " ")
	if word != want {
		return "", fmt.Errorf("the shell that looks after the server answered %q instead of %q", line, want)
	}
	return rest, nil
}

// start runs a program, "initdb" or "postgres". None may be running.
func (g *guard) start(program string) (*run, error) {
	r := &run{exited: make(chan struct{})}
	g.mu.Lock()
	g.run = r
	g.mu.Unlock()
	if _, err := io.WriteString(g.stdin, program+"\n"); err != nil {
		return nil, err
	}
	var err error
	r.pid, err = g.answer("started")
	return r, err
}

// stop sends the program that runs a signal and waits for its end.
func (g *guard) stop(signal string) error {
	if _, err := io.WriteString(g.stdin, "stop "+signal+"\n"); err != nil {
		return err
	}
	_, err := g.answer("stopped")
	return err
}

// close stops the server, removes the directory and waits for both.
func (g *guard) close() error {
	g.stdin.Close()
	for range g.answers {
	}
	return g.cmd.Wait()
}

// serverEnv is the environment without what would steer PostgreSQL's programs.
func serverEnv(env []string) []string {
	kept := []string{"LC_ALL=C"}
	for _, v := range env {
		if !strings.HasPrefix(v, "PG") && !strings.HasPrefix(v, "LC_") && !strings.HasPrefix(v, "LANG") {
			kept = append(kept, v)
		}
	}
	return kept
}
