package psycovet_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What docs/vet.md calls wrong is reported with the words that it names, and what it calls
// right is not.
func TestDocsExamples(t *testing.T) {
	doc, err := os.ReadFile("../docs/vet.md")
	if err != nil {
		t.Fatal(err)
	}
	static, withSchema, ok := strings.Cut(string(doc), "\n## With a schema\n")
	if !ok {
		t.Fatal("there is no section about a schema")
	}
	withSchema, rest, _ := strings.Cut(withSchema, "\n## ")
	t.Run("static", func(t *testing.T) { checkExamples(t, static+rest, 24) })
	t.Run("with a schema", func(t *testing.T) {
		setFlags(t, "migrations", "testdata/schema/db/*.sql")
		checkExamples(t, withSchema, 8)
	})
}

// checkExamples checks the rows of the tables in a part of the document.
func checkExamples(t *testing.T, doc string, atLeast int) {
	type example struct{ code, says string }
	var examples []example
	for _, row := range regexp.MustCompile("(?m)^\\| (`+)(.+?)(`+) \\| `+(.+?)`+ \\| (.+) \\|$").FindAllStringSubmatch(doc, -1) {
		if strings.Contains(row[2], "(") {
			examples = append(examples, example{row[2], row[5]}, example{row[4], ""})
		}
	}
	if len(examples) < 2*atLeast {
		t.Fatalf("only %d examples were found", len(examples))
	}
	var source strings.Builder
	source.WriteString(`package doc

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"time"

	"github.com/psyco-go/psyco"
)

var (
	_ = fmt.Sprint
	_ = psyco.Compose
)

type client struct {
	ID   int
	Name string ` + "`db:\"full_name\"`" + `
}

func examples(ctx context.Context, db *sql.DB, ids []int, name string, c client, rows iter.Seq2[[]any, error],
	when time.Time, id int, tags []string) {
`)
	first := strings.Count(source.String(), "\n") + 1
	for _, e := range examples {
		fmt.Fprintf(&source, "\t%s\n", e.code)
	}
	source.WriteString("}\n")

	reports := analyze(t, "doc", source.String())
	for i, e := range examples {
		got := reports[first+i]
		switch {
		case e.says == "" && len(got) > 0:
			t.Errorf("%s is called right, but %q is reported", e.code, got)
		case e.says != "" && (len(got) != 1 || !strings.Contains(got[0], e.says)):
			t.Errorf("%s: reports %q, want one with %q", e.code, got, e.says)
		}
	}
}

// analyze returns the messages for each line of a source that takes the place of the
// package testdata/name.
func analyze(t *testing.T, name, source string) map[int][]string {
	t.Helper()
	file, err := filepath.Abs(filepath.Join("testdata", name, name+".go"))
	if err != nil {
		t.Fatal(err)
	}
	reports := make(map[int][]string)
	for _, act := range load(t, map[string][]byte{file: []byte(source)}, name).Roots {
		if act.Err != nil {
			t.Fatal(act.Err)
		}
		for _, d := range act.Diagnostics {
			line := act.Package.Fset.Position(d.Pos).Line
			reports[line] = append(reports[line], d.Message)
		}
	}
	return reports
}

// The reports that the README and docs/vet.md show are those of the package testdata/shop.
func TestDocsReports(t *testing.T) {
	var reports strings.Builder
	if err := load(t, nil, "shop").PrintText(&reports, -1); err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`(?m)^.*/`).ReplaceAllStringFunc(reports.String(), func(string) string { return "    " })
	for _, name := range []string{"../README.md", "../docs/vet.md"} {
		doc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(doc), want) {
			t.Errorf("%s does not show\n%s", name, want)
		}
	}
}
