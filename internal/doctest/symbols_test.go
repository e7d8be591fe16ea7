package doctest_test

import (
	"go/ast"
	"go/doc"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every [Name] in the comments of the public packages is the name of something, so that
// it is a link.
func TestDocsSymbols(t *testing.T) {
	for _, dir := range []string{".", "psycotest", "psycotel"} {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		fset := token.NewFileSet()
		var files []*ast.File
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
		p, err := doc.NewFromFiles(fset, files, "github.com/psyco-go/psyco/"+dir)
		if err != nil {
			t.Fatal(err)
		}
		check := func(name, text string) {
			for _, plain := range plainTexts(p.Parser().Parse(text).Content) {
				if m := unlinked.FindStringSubmatch(plain); m != nil {
					t.Errorf("%s: in the comment of %s, %s is no link", dir, name, m[1])
				}
			}
		}
		check("the package", p.Doc)
		each := func(prefix string, funcs []*doc.Func) {
			for _, f := range funcs {
				check(prefix+f.Name, f.Doc)
			}
		}
		each("", p.Funcs)
		for _, typ := range p.Types {
			check(typ.Name, typ.Doc)
			each("", typ.Funcs)
			each(typ.Name+".", typ.Methods)
		}
		for _, v := range append(p.Vars, p.Consts...) {
			check(strings.Join(v.Names, ", "), v.Doc)
		}
	}
}

var unlinked = regexp.MustCompile(`(?:^|[^\w.])(\[\*?[A-Z]\w*(?:\.\w+)?\])`)

// plainTexts returns what is in a comment beside its links and code.
func plainTexts(blocks []comment.Block) (texts []string) {
	for _, block := range blocks {
		switch block := block.(type) {
		case *comment.Paragraph:
			for _, part := range block.Text {
				if plain, ok := part.(comment.Plain); ok {
					texts = append(texts, string(plain))
				}
			}
		case *comment.List:
			for _, item := range block.Items {
				texts = append(texts, plainTexts(item.Content)...)
			}
		}
	}
	return texts
}
