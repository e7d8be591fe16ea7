// Package doctest holds the documents of the module, and the examples of its packages,
// to what runs.
package doctest_test

import (
	"go/ast"
	"go/doc/comment"
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

// TestMain goes to the root of the module, where names of documents begin.
func TestMain(m *testing.M) {
	if err := os.Chdir(filepath.Join("..", "..")); err != nil {
		panic(err)
	}
	m.Run()
}

// Every Go block of the documents stands in a function that go test compiles and
// runs: a test, an example whose output is checked, or what the tests of a
// program in examples/ call; or among the variables of a file of tests. The function may hold more, such as preparations and the handling of errors, but it has all lines
// of the block in the same order. A line "// …" stands for anything, and where
// a block opens a database with a connection string, the function has dsn.
func TestDocsCode(t *testing.T) {
	functions, imports := testedCode(t)
	blocks := packageBlocks(t, "doc.go")
	for _, doc := range documents(t) {
		blocks = append(blocks, codeBlocks(t, doc, "go")...)
	}
	for _, b := range blocks {
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

// testedCode returns the lines of every test and example of the module and of
// the functions that programs in examples/ are tested by, and every path that
// is imported.
func testedCode(t *testing.T) (functions [][]string, imports map[string]bool) {
	imports = map[string]bool{}
	programs := map[string]program{}
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
		if dir := strings.Split(name, "/"); dir[0] == "examples" {
			if programs[dir[1]] == nil {
				programs[dir[1]] = program{}
			}
			programs[dir[1]].add(file, func(n ast.Node) string {
				return source[fset.Position(n.Pos()).Offset:fset.Position(n.End()).Offset]
			})
		}
		if !strings.HasSuffix(name, "_test.go") {
			continue
		}
		var variables []string
		for _, decl := range file.Decls {
			body := source[fset.Position(decl.Pos()).Offset:fset.Position(decl.End()).Offset]
			if v, ok := decl.(*ast.GenDecl); ok && v.Tok == token.VAR {
				if v.Doc != nil { // with its //go:embed
					body = source[fset.Position(v.Doc.Pos()).Offset:fset.Position(v.End()).Offset]
				}
				variables = append(variables, trimmed(body)...)
			}
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil {
				continue
			}
			if strings.HasPrefix(f.Name.Name, "Test") ||
				strings.HasPrefix(f.Name.Name, "Example") && exampleOutput.MatchString(body) {
				functions = append(functions, trimmed(body))
			}
		}
		functions = append(functions, variables)
	}
	for _, p := range programs {
		functions = append(functions, p.tested()...)
	}
	return functions, imports
}

// program is what the packages of an example declare, by name.
type program map[string][]declaration

type declaration struct {
	node   ast.Node
	source string
}

func (p program) add(file *ast.File, source func(ast.Node) string) {
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			p[decl.Name.Name] = append(p[decl.Name.Name], declaration{decl, source(decl)})
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok { // it may hold functions
					for _, name := range v.Names {
						p[name.Name] = append(p[name.Name], declaration{v, ""})
					}
				}
			}
		}
	}
}

// tested returns the lines of the functions that are reached from the program's
// tests: everything is that has a name which something reached mentions.
func (p program) tested() (functions [][]string) {
	var names []string
	for name := range p {
		if strings.HasPrefix(name, "Test") {
			names = append(names, name)
		}
	}
	reached := map[string]bool{}
	for len(names) > 0 {
		name := names[0]
		names = names[1:]
		if reached[name] {
			continue
		}
		reached[name] = true
		for _, d := range p[name] {
			functions = append(functions, trimmed(d.source))
			ast.Inspect(d.node, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok && p[id.Name] != nil {
					names = append(names, id.Name)
				}
				return true
			})
		}
	}
	return functions
}

var exampleOutput = regexp.MustCompile(`(?m)^\s*// (Output|Unordered output):`)

// Every block of text in the README is what an example prints, to the letter.
func TestDocsOutput(t *testing.T) {
	var printed []string
	for _, name := range files(t, "_test.go") {
		for _, source := range strings.Split(read(t, name), "\nfunc Example")[1:] {
			if at := exampleOutput.FindStringIndex(source); at != nil {
				source, _, _ = strings.Cut(source[at[0]:], "\n}")
				printed = append(printed, commented.ReplaceAllString(source, ""))
			}
		}
	}
	shown := 0
	for _, part := range strings.Split("\n"+read(t, "README.md"), "\n```text\n")[1:] {
		text, _, _ := strings.Cut(part, "\n```")
		shown++
		if !slices.ContainsFunc(printed, func(output string) bool { return strings.Contains(output+"\n", "\n"+text+"\n") }) {
			t.Errorf("README.md: no example prints\n%s", text)
		}
	}
	if shown == 0 {
		t.Error("README.md shows no output")
	}
}

// commented is what stands in front of a line of an example's output.
var commented = regexp.MustCompile(`(?m)^\t*// ?`)

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

// packageBlocks returns the code in the comment of a package.
func packageBlocks(t *testing.T, name string) (blocks []block) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range new(comment.Parser).Parse(file.Doc.Text()).Content {
		if code, ok := part.(*comment.Code); ok {
			where := name + ":" + strconv.Itoa(len(blocks)+1)
			blocks = append(blocks, block{where, trimmed(code.Text)})
		}
	}
	if len(blocks) == 0 {
		t.Errorf("%s has no code", name)
	}
	return blocks
}

// Code of Go is in fenced blocks, where TestDocsCode sees it.
func TestDocsFences(t *testing.T) {
	for _, doc := range documents(t) {
		fenced := false
		for i, line := range strings.Split(read(t, doc), "\n") {
			text := strings.TrimSpace(line)
			if strings.HasPrefix(text, "```") {
				fenced = !fenced
			}
			if !fenced && strings.HasPrefix(line, "    ") && goLine.MatchString(text) {
				t.Errorf("%s:%d: Go code outside of a block with ```go: %s", doc, i+1, text)
			}
		}
	}
}

var goLine = regexp.MustCompile(`:= |^(import|func|var|type|if|for|return|defer) |^\w+\.\w+\(|err = `)

func documents(t *testing.T) []string {
	docs := files(t, ".md")
	for _, must := range []string{"README.md", "docs/psycopg.md", "examples/quickstart/README.md"} {
		if !slices.Contains(docs, must) {
			t.Errorf("%s was not found", must)
		}
	}
	return docs
}

// files returns the module's files whose names end so.
func files(t *testing.T, extension string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(path, extension) {
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
