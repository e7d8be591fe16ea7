package pgserver

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// serverDirs are the places of packages that do not put the server on PATH.
var serverDirs = []string{
	"/usr/lib/postgresql/*/bin",                          // Debian, Ubuntu
	"/usr/pgsql-*/bin",                                   // PostgreSQL's RPMs
	"/opt/homebrew/opt/postgresql@*/bin",                 // Homebrew, Apple silicon
	"/usr/local/opt/postgresql@*/bin",                    // Homebrew, Intel
	"/Applications/Postgres.app/Contents/Versions/*/bin", // Postgres.app
	"/Library/PostgreSQL/*/bin",                          // EDB's installer
	"/opt/local/lib/postgresql*/bin",                     // MacPorts
}

// places are where server programs may be installed.
type places struct {
	bin  string   // a directory that somebody has named: no other counts then
	path string   // as in $PATH
	dirs []string // patterns, for what is not on path
}

func placesFromEnvironment() places {
	return places{bin: os.Getenv(EnvBin), path: os.Getenv("PATH"), dirs: serverDirs}
}

// find returns the directory that holds initdb and postgres: the one that was named,
// else of those on the path the first, else the newest version in dirs.
func (p places) find() (string, error) {
	if p.bin != "" {
		if dir, ok := serverBinaries(p.bin); ok {
			return dir, nil
		}
		return "", fmt.Errorf("%s is %s, which must be the absolute name of a directory with the programs initdb and postgres", EnvBin, p.bin)
	}
	for _, dir := range filepath.SplitList(p.path) {
		if dir, ok := serverBinaries(dir); ok {
			return dir, nil
		}
	}
	var found []string
	for _, pattern := range p.dirs {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		for _, dir := range matches {
			if _, ok := serverBinaries(dir); ok {
				found = append(found, dir)
			}
		}
	}
	if len(found) == 0 {
		return "", fmt.Errorf("no initdb and postgres on PATH or in %s", strings.Join(p.dirs, ", "))
	}
	return slices.MaxFunc(found, func(a, b string) int { return slices.Compare(numbers(a), numbers(b)) }), nil
}

// serverBinaries reports whether dir has a server's programs. PATH often has a
// link to one of them, which finds the others where it points to.
func serverBinaries(dir string) (string, bool) {
	initdb, err := filepath.EvalSymlinks(filepath.Join(dir, "initdb"))
	if err != nil {
		return "", false
	}
	dir = filepath.Dir(initdb)
	for _, program := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(dir, program)); err != nil {
			return "", false
		}
	}
	return dir, filepath.IsAbs(dir)
}

// numbers returns the numbers in a path: what tells /usr/lib/postgresql/9.6/bin
// from /usr/lib/postgresql/17/bin.
func numbers(path string) []int {
	var numbers []int
	for _, digits := range strings.FieldsFunc(path, func(r rune) bool { return r < '0' || r > '9' }) {
		if n, err := strconv.Atoi(digits); err == nil {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// programs is a directory of server programs, and prints as what they are and where.
type programs string

func (p programs) String() string {
	// "postgres (PostgreSQL) 17.2 (Debian 17.2-1)"
	version := ""
	if said, err := exec.Command(filepath.Join(string(p), "postgres"), "--version").Output(); err == nil {
		if words := strings.Fields(string(said)); len(words) >= 3 {
			version = words[2] + " "
		}
	}
	return "PostgreSQL " + version + "of " + string(p)
}
