package psyco_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/psyco-go/psyco"
)

// Every Go block of the documents stands in a function that go test compiles and
// runs: a test, or an example whose output is checked. The function may hold
// more, such as preparations and the handling of errors, but it has all lines
// of the block in the same order. A line "// …" stands for anything, and where
// a block opens a database with a connection string, the function has dsn.
func TestDocsCode(t *testing.T) {
	functions, imports := testedCode(t)
	for _, doc := range documents(t) {
		for _, b := range codeBlocks(t, doc, "go") {
			t.Run(b.where, func(t *testing.T) {
				lines := checkImports(t, b.lines, imports)
				for i, line := range lines {
					lines[i] = openLiteral.ReplaceAllStringFunc(line, func(call string) string {
						m := openLiteral.FindStringSubmatch(call)
						if _, err := psyco.ParseDSN(m[2]); err != nil {
							t.Errorf("the connection string: %v", err)
						}
						return m[1] + "dsn"
					})
				}
				longest := 0
				for _, f := range functions {
					n := inOrder(lines, f)
					if n == len(lines) {
						return
					}
					longest = max(longest, n)
				}
				t.Errorf("no test or example runs this block; the best has all up to this line:\n\t%s", lines[longest])
			})
		}
	}
}

var openLiteral = regexp.MustCompile(`\b((?:sql\.Open\("psyco", |psyco\.NewConnector\())"([^"]*)"`)

// inOrder returns how many of the lines stand in f, in the same order.
func inOrder(lines, f []string) (n int) {
	for _, line := range f {
		if n < len(lines) && lines[n] == line {
			n++
		}
	}
	return n
}

// checkImports takes the import declaration off a block and looks whether
// what it names exists.
func checkImports(t *testing.T, lines []string, known map[string]bool) (rest []string) {
	t.Helper()
	within := false
	for _, line := range lines {
		switch {
		case line == "" || line == "// …":
		case strings.HasPrefix(line, "import "), within:
			within = line != ")" && (within || line == "import (")
			if path := importPath.FindString(line); path != "" && !known[path] {
				t.Errorf("nothing here imports %s", path)
			}
		default:
			rest = append(rest, line)
		}
	}
	return rest
}

var importPath = regexp.MustCompile(`"[^"]+"`)

// testedCode returns the lines of every test and example of the module, and
// every path that is imported.
func testedCode(t *testing.T) (functions [][]string, imports map[string]bool) {
	imports = map[string]bool{}
	for _, name := range files(t, ".go") {
		source := read(t, name)
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, source, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, spec := range file.Imports {
			imports[spec.Path.Value] = true
		}
		if !strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil {
				continue
			}
			body := source[fset.Position(f.Pos()).Offset:fset.Position(f.End()).Offset]
			if strings.HasPrefix(f.Name.Name, "Test") ||
				strings.HasPrefix(f.Name.Name, "Example") && exampleOutput.MatchString(body) {
				functions = append(functions, trimmed(body))
			}
		}
	}
	return functions, imports
}

var exampleOutput = regexp.MustCompile(`(?m)^\s*// (Output|Unordered output):`)

// Every relative link leads somewhere, to a heading too if it names one, and so
// does every directory of an example that a command names.
func TestDocsLinks(t *testing.T) {
	for _, doc := range documents(t) {
		for i, line := range strings.Split(read(t, doc), "\n") {
			where := doc + ":" + strconv.Itoa(i+1)
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				target, heading, _ := strings.Cut(m[1], "#")
				if strings.Contains(target, "://") {
					continue
				}
				path := doc
				if target != "" {
					path = filepath.Join(filepath.Dir(doc), target)
				}
				if _, err := os.Stat(path); err != nil {
					t.Errorf("%s: the link %s leads nowhere: %v", where, m[1], err)
				} else if heading != "" && !slices.Contains(headings(t, path), heading) {
					t.Errorf("%s: %s has no heading #%s", where, path, heading)
				}
			}
			for _, dir := range exampleDir.FindAllString(line, -1) {
				if found, _ := filepath.Glob(filepath.Join(dir, "*.go")); len(found) == 0 {
					t.Errorf("%s: there is no program in %s", where, dir)
				}
			}
		}
	}
}

var (
	link       = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	exampleDir = regexp.MustCompile(`\./examples/[a-z-]+`)
	heading    = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notInSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// headings returns a document's headings as GitHub names them in links.
func headings(t *testing.T, doc string) (slugs []string) {
	for _, m := range heading.FindAllStringSubmatch(read(t, doc), -1) {
		slug := notInSlug.ReplaceAllString(strings.ToLower(m[1]), "")
		slugs = append(slugs, strings.ReplaceAll(slug, " ", "-"))
	}
	return slugs
}

// block is a fenced piece of code.
type block struct {
	where string
	lines []string // without indentation
}

func codeBlocks(t *testing.T, doc, language string) (blocks []block) {
	t.Helper()
	var open *block
	skip := false // inside a block of another language
	for i, line := range strings.Split(read(t, doc), "\n") {
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && open != nil:
			blocks = append(blocks, *open)
			open = nil
		case isFence && skip:
			skip = false
		case isFence && fence == language:
			open = &block{where: doc + ":" + strconv.Itoa(i+1)}
		case isFence:
			skip = true
		case open != nil:
			open.lines = append(open.lines, strings.TrimSpace(line))
		}
	}
	if open != nil || skip {
		t.Errorf("%s: a code block is not closed", doc)
	}
	return blocks
}

func documents(t *testing.T) []string {
	docs := files(t, ".md")
	for _, must := range []string{"README.md", "docs/psycopg.md", "examples/quickstart/README.md"} {
		if !slices.Contains(docs, must) {
			t.Errorf("%s was not found", must)
		}
	}
	return docs
}

// files returns the module's files with an extension.
func files(t *testing.T, extension string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !d.IsDir() && filepath.Ext(path) == extension {
			names = append(names, filepath.ToSlash(path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func trimmed(source string) []string {
	lines := strings.Split(source, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}
