package psycovet_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	_ "github.com/jmoiron/sqlx" // of the packages in testdata
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/analysistest"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"

	"github.com/psyco-go/psyco/psycovet"
)

// check runs the analyzer over packages of testdata: in each line all reports must match
// those that a comment wants, in their order. It does what analysistest does but for facts,
// without reading the sources of the standard library again each time.
func check(t *testing.T, names ...string) {
	t.Helper()
	for _, act := range run(t, names...) {
		if act.Err != nil {
			t.Fatal(act.Err)
		}
		fset := act.Package.Fset
		got := make(map[string][]string) // of a file's line
		for _, d := range act.Diagnostics {
			got[line(fset, d.Pos, 0)] = append(got[line(fset, d.Pos, 0)], d.Message)
		}
		for _, file := range act.Package.Syntax {
			for where, want := range wanted(t, fset, file) {
				messages := got[where]
				delete(got, where)
				if len(messages) != len(want) {
					t.Errorf("%s: reports %q, want %q", where, messages, want)
					continue
				}
				for i, m := range messages {
					if !regexp.MustCompile(want[i]).MatchString(m) {
						t.Errorf("%s: report %q, want %q", where, m, want[i])
					}
				}
			}
		}
		for where, messages := range got {
			t.Errorf("%s: reports %q, want none", where, messages)
		}
	}
}

func line(fset *token.FileSet, pos token.Pos, offset int) string {
	p := fset.Position(pos)
	return fmt.Sprintf("%s:%d", p.Filename, p.Line+offset)
}

// wanted returns what the comments of a file want in which lines: // want `…`, or
// // want +1 `…` for the next line.
func wanted(t *testing.T, fset *token.FileSet, file *ast.File) map[string][]string {
	t.Helper()
	all := make(map[string][]string)
	for _, group := range file.Comments {
		for _, c := range group.List {
			rest, ok := strings.CutPrefix(c.Text, "// want ")
			if !ok {
				continue
			}
			offset := 0
			if after, ok := strings.CutPrefix(rest, "+1 "); ok {
				rest, offset = after, 1
			}
			pattern, err := strconv.Unquote(rest)
			if err != nil {
				t.Fatalf("%s: %s: %v", line(fset, c.Pos(), 0), rest, err)
			}
			where := line(fset, c.Pos(), offset)
			all[where] = append(all[where], pattern)
		}
	}
	return all
}

// run runs the analyzer over packages of testdata.
func run(t *testing.T, names ...string) []*checker.Action {
	t.Helper()
	return load(t, nil, names...).Roots
}

// load runs the analyzer over packages of testdata, with the sources of overlay in the place
// of files, and returns what it has found. The packages must compile.
func load(t *testing.T, overlay map[string][]byte, names ...string) *checker.Graph {
	t.Helper()
	for i := range names {
		names[i] = "./testdata/" + names[i]
	}
	pkgs, err := packages.Load(&packages.Config{Mode: packages.LoadSyntax, Overlay: overlay}, names...)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pkgs {
		for _, err := range p.Errors {
			t.Fatal(err)
		}
	}
	graph, err := checker.Analyze([]*analysis.Analyzer{psycovet.Analyzer}, pkgs, nil)
	if err != nil {
		t.Fatal(err)
	}
	return graph
}

func TestWrongQueries(t *testing.T) { check(t, "wrong") }
func TestRightQueries(t *testing.T) { check(t, "right") }
func TestSqlx(t *testing.T)         { check(t, "sqlxs") }
func TestAllow(t *testing.T)        { check(t, "allow") }
func TestFixable(t *testing.T)      { check(t, "fixes") }

// A package for another database, as its name says.
func TestOtherDatabasesPackage(t *testing.T) { check(t, "sqlite") }

// Facts about wrappers and about functions that open databases reach other packages.
func TestFacts(t *testing.T) {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	analysistest.Run(t, dir, psycovet.Analyzer, "./testdata/wrappers/...", "./testdata/handles")
}

// With -known, the queries of a database are left alone of which nothing is known.
func TestOnlyKnownDatabases(t *testing.T) {
	if err := psycovet.Analyzer.Flags.Set("known", "true"); err != nil {
		t.Fatal(err)
	}
	defer psycovet.Analyzer.Flags.Set("known", "false")
	check(t, "known")
}
