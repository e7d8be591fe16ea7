package doctest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// withoutExample are the names that need no example of their own.
var withoutExample = map[string]string{
	// Methods that make a type fit for others: the type's example shows them
	// at work.
	"Scan": "sql.Scanner", "Value": "driver.Valuer",
	"Error": "error", "Unwrap": "errors",
	"String": "fmt.Stringer", "GoString": "fmt.GoStringer",
	"MarshalJSON": "encoding/json", "UnmarshalJSON": "encoding/json",
	"MarshalText": "encoding", "UnmarshalText": "encoding",
	"Format": "fmt.Formatter", "LogValue": "slog.LogValuer",
	"TraceStart": "Tracer", "TraceEnd": "Tracer",
	"Connect": "driver.Connector", "Driver": "driver.Connector",
	"Open": "driver.Driver", "OpenConnector": "driver.DriverContext",
	// Old names.
	"Xid": "deprecated", "ParseXid": "deprecated", "Oid": "deprecated",
	// Types of parameters that nobody has to name.
	"Option": "the functions that return one", "MockOption": "the functions that return one",
	"CopyOption": "the functions that return one", "OpenOption": "the functions that return one", "RowOption": "the functions that return one",
	"ClusterOption": "the functions that return one", "DialFunc": "WithDialer", "Beginner": "InTx, BeginTx",
}

// Every exported function, type and method of the public packages has an
// example: Example<Name> or Example<Type>_<Method>. A method may also be shown
// in an example of its type, a variable in any.
func TestDocsExamples(t *testing.T) {
	for _, dir := range []string{".", "psycotest", "psycotel"} {
		exported, examples, shown := publicNames(t, dir)
		for _, name := range slices.Sorted(maps.Keys(exported)) {
			typ, method, isMethod := strings.Cut(name, ".")
			switch {
			case !isMethod && (examples[name] || withoutExample[name] != "" || exported[name] == token.VAR && shown[""][name]):
			case isMethod && (examples[typ+"_"+method] || withoutExample[method] != "" || shown[typ][method]):
			default:
				t.Errorf("%s: %s has no example", dir, name)
			}
		}
	}
}

// publicNames returns what a package exports (methods as Type.Method), what
// it has examples for, and the names that the examples of each type mention; ""
// are the examples of all.
func publicNames(t *testing.T, dir string) (exported map[string]token.Token, examples map[string]bool, shown map[string]map[string]bool) {
	exported, examples, shown = map[string]token.Token{}, map[string]bool{}, map[string]map[string]bool{"": {}}
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			f, isFunc := decl.(*ast.FuncDecl)
			switch {
			case !strings.HasSuffix(name, "_test.go") && isFunc:
				export(exported, f)
			case !strings.HasSuffix(name, "_test.go"):
				if decl := decl.(*ast.GenDecl); decl.Tok != token.CONST {
					for _, spec := range decl.Specs {
						export(exported, spec)
					}
				}
			case isFunc && strings.HasPrefix(f.Name.Name, "Example"):
				of := strings.TrimPrefix(f.Name.Name, "Example")
				examples[of] = true
				typ, _, _ := strings.Cut(of, "_")
				if shown[typ] == nil {
					shown[typ] = map[string]bool{}
				}
				ast.Inspect(f.Body, func(n ast.Node) bool {
					if sel, ok := n.(*ast.SelectorExpr); ok {
						shown[typ][sel.Sel.Name] = true
						shown[""][sel.Sel.Name] = true
					}
					return true
				})
				if base, suffix, ok := strings.Cut(of, "_"); ok && suffix != "" && !ast.IsExported(suffix) {
					examples[base] = true
				}
			}
		}
	}
	return exported, examples, shown
}

func export(exported map[string]token.Token, n ast.Node) {
	switch n := n.(type) {
	case *ast.FuncDecl:
		if !n.Name.IsExported() {
			return
		}
		name := n.Name.Name
		if n.Recv != nil {
			receiver := receiverName(n.Recv.List[0].Type)
			if !ast.IsExported(receiver) {
				return
			}
			name = receiver + "." + name
		}
		exported[name] = token.FUNC
	case *ast.TypeSpec:
		if n.Name.IsExported() {
			exported[n.Name.Name] = token.TYPE
		}
	case *ast.ValueSpec:
		for _, id := range n.Names {
			if id.IsExported() {
				exported[id.Name] = token.VAR
			}
		}
	}
}

func receiverName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiverName(e.X)
	case *ast.IndexExpr:
		return receiverName(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
