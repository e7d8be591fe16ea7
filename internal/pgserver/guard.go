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

	mu     sync.Mutex
	exited chan struct{} // closed when the server started last has ended
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
	g := &guard{cmd: cmd, stdin: stdin, answers: make(chan string, 1), exited: make(chan struct{})}
	close(g.exited) // nothing runs yet
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
		if strings.HasPrefix(in.Text(), "exited ") {
			close(g.ended())
			continue
		}
		g.answers <- in.Text()
	}
}

// ended returns the channel that is closed when the server has ended.
func (g *guard) ended() chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.exited
}

// running reports whether the server started last still runs.
func (g *guard) running() bool {
	select {
	case <-g.ended():
		return false
	default:
		return true
	}
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

func (g *guard) command(command, want string) (string, error) {
	if command == "start" {
		g.mu.Lock()
		g.exited = make(chan struct{})
		g.mu.Unlock()
	}
	if _, err := io.WriteString(g.stdin, command+"\n"); err != nil {
		return "", err
	}
	return g.answer(want)
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
