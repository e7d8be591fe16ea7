package doctest_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every Python block of the documents stands in a function of the program in
// examples/migrate-from-psycopg, whose test compares what it prints with what
// the same program in Go does.
func TestDocsPython(t *testing.T) {
	script := filepath.Join("examples", "migrate-from-psycopg", "before.py")
	var functions [][]string
	for _, f := range strings.Split(read(t, script), "\ndef ")[1:] {
		functions = append(functions, trimmed(f))
	}
	for _, doc := range documents(t) {
		for _, b := range codeBlocks(t, doc, "python") {
			t.Run(b.where, func(t *testing.T) {
				var lines []string
				for _, line := range b.lines {
					if line != "" {
						lines = append(lines, connectLiteral.ReplaceAllString(line, "connect(dsn)"))
					}
				}
				longest := 0
				for _, f := range functions {
					longest = max(longest, inOrder(lines, f))
				}
				if longest < len(lines) {
					t.Errorf("no function of %s has this block; the best has all up to this line:\n\t%s", script, lines[longest])
				}
			})
		}
	}
}

var connectLiteral = regexp.MustCompile(`connect\("[^"]*"\)`)
