package pgserver

import (
	"fmt"
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

// findBinaries returns the directory that holds initdb and postgres: of those
// on the given PATH the first, else the newest version in dirs.
func findBinaries(path string, dirs []string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		if dir, ok := serverBinaries(dir); ok {
			return dir, nil
		}
	}
	var found []string
	for _, pattern := range dirs {
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
		return "", fmt.Errorf("no initdb and postgres on PATH or in %s", strings.Join(dirs, ", "))
	}
	return slices.MaxFunc(found, func(a, b string) int { return slices.Compare(version(a), version(b)) }), nil
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

// version returns the numbers in a path: what tells /usr/lib/postgresql/9.6/bin
// from /usr/lib/postgresql/17/bin.
func version(path string) []int {
	var numbers []int
	for _, digits := range strings.FieldsFunc(path, func(r rune) bool { return r < '0' || r > '9' }) {
		if n, err := strconv.Atoi(digits); err == nil {
			numbers = append(numbers, n)
		}
	}
	return numbers
}
