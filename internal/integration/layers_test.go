package integration_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/psyco-go/psyco"

// room is a package and where it stands.
type room struct {
	pkg   string // without the module's path
	floor int
	job   string
}

// floors are the packages that the driver is made of, from the roof down. Each may
// import what stands below it, and nothing else of the module.
var floors = []room{
	{"", 4, "the driver: what database/sql and programs see"},
	{"internal/dial", 3, "hosts, sockets, TLS negotiation, authentication, cancel requests"},
	{"internal/literal", 2, "values as constants in the text of a query"},
	{"internal/placeholder", 2, "placeholder styles, rewriting to $n, binding of arguments"},
	{"internal/tlsconf", 2, "sslmode and the other options about TLS"},
	{"internal/conninfo", 1, "connection strings, environment, service file, passfile"},
	{"internal/pemkey", 1, "private keys, encrypted ones too"},
	{"internal/pgform", 1, "OIDs; text and binary forms of values"},
	{"internal/replica", 1, "how far standbys are, and which of them may serve a read"},
	{"internal/saslprep", 1, "passwords as SCRAM wants them"},
	{"internal/scram", 1, "SCRAM-SHA-256 and its verifiers"},
	{"internal/sqllex", 1, "quotes, comments, keywords, kinds of statements"},
	{"internal/stmtcache", 1, "which texts were prepared, the oldest forgotten"},
	{"internal/wire", 1, "the connection's bytes: messages, COPY, pipelines"},
	{"internal/spelling", 0, "which names are alike"},
}

// TestImportsOnlyGoDown: no package of the driver imports one above it, and all that
// the driver links is in the list.
func TestImportsOnlyGoDown(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module).Output()
	if err != nil {
		t.Fatal(err)
	}
	name := func(path string) (string, bool) {
		rest, ok := strings.CutPrefix(path, module)
		return strings.TrimPrefix(rest, "/"), ok
	}
	linked := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		from, ours := name(fields[0])
		if !ours {
			continue
		}
		linked[from] = true
		i := slices.IndexFunc(floors, func(r room) bool { return r.pkg == from })
		if i < 0 {
			t.Errorf("%s is linked, but on no floor: add it to the list, and to docs/architecture.md", fields[0])
			continue
		}
		for _, path := range fields[1:] {
			to, ours := name(path)
			if !ours {
				continue
			}
			for _, f := range floors {
				if f.pkg == to && f.floor >= floors[i].floor {
					t.Errorf("%s imports %s, which does not stand below it", fields[0], path)
				}
			}
		}
	}
	for _, r := range floors {
		if !linked[r.pkg] {
			t.Errorf("%s is in the list, but not linked", r.pkg)
		}
	}
}

var update = flag.Bool("update", false, "draw the picture in docs/architecture.md anew")

// TestArchitecturePicture: docs/architecture.md shows the packages and what each imports.
func TestArchitecturePicture(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module).Output()
	if err != nil {
		t.Fatal(err)
	}
	imports := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		for _, path := range fields[1:] {
			if to, ours := strings.CutPrefix(path, module+"/internal/"); ours {
				imports[fields[0]] = append(imports[fields[0]], to)
			}
		}
	}
	var b strings.Builder
	for _, r := range floors {
		name, floor := path.Base(path.Join(module, r.pkg)), strconv.Itoa(r.floor)
		line := fmt.Sprintf("%s  %-12s %s", floor, name, r.job)
		if to := imports[path.Join(module, r.pkg)]; len(to) > 0 {
			line = fmt.Sprintf("%-80s → %s", line, strings.Join(slices.Sorted(slices.Values(to)), " "))
		}
		b.WriteString(line + "\n")
	}
	file := filepath.Join("..", "..", "docs", "architecture.md")
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(doc), "```\n")
	picture, after, ok := strings.Cut(rest, "```\n")
	if !ok {
		t.Fatal("docs/architecture.md has no picture")
	}
	if picture == b.String() {
		return
	}
	if !*update {
		t.Fatalf("draw the picture anew with go test ./internal/integration -run ArchitecturePicture -update; it is\n%s", b.String())
	}
	if err := os.WriteFile(file, []byte(before+"```\n"+b.String()+"```\n"+after), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestArchitectureModules: the table of modules in docs/architecture.md is what go list says, and nothing in
// go.mod is in none of its rows.
func TestArchitectureModules(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(doc), "## What a program gets with it")
	if !ok {
		t.Fatal("docs/architecture.md has no table of modules")
	}
	named := regexp.MustCompile("`(github.com/[^`]+)`")
	for _, row := range []struct {
		pkg  string
		some bool // the row names only some
	}{{"psyco", false}, {"psyco/psycotest", false}, {"psyco/psycotest/dockerpg", true}} {
		_, text, ok := strings.Cut(table, "| `"+row.pkg+"` | ")
		if !ok {
			t.Fatalf("no row for %s", row.pkg)
		}
		text, _, _ = strings.Cut(text, "\n")
		out, err := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "github.com/psyco-go/"+row.pkg).Output()
		if err != nil {
			t.Fatal(err)
		}
		linked := slices.Compact(slices.Sorted(slices.Values(strings.Fields(strings.ReplaceAll(string(out), module+"\n", "")))))
		var got []string
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			got = append(got, m[1])
		}
		slices.Sort(got)
		if !row.some && !slices.Equal(got, linked) {
			t.Errorf("%s: the table has %q, and go list %q", row.pkg, got, linked)
		}
		for _, name := range got {
			if !slices.Contains(linked, name) {
				t.Errorf("%s: %s is not linked", row.pkg, name)
			}
		}
	}
	direct, err := exec.Command("go", "list", "-m", "-f", "{{if not (or .Indirect .Main)}}{{.Path}}{{end}}", "all").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(string(direct)) {
		if !strings.Contains(table, "`"+name+"`") {
			t.Errorf("the table does not have %s, which go.mod requires", name)
		}
	}
}

// TestArchitectureNamesFiles: what docs/architecture.md calls a file is one.
func TestArchitectureNamesFiles(t *testing.T) {
	root := filepath.Join("..", "..")
	doc, err := os.ReadFile(filepath.Join(root, "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`[\w/*]+\.go\b|\binternal/[\w/]+`).FindAllString(string(doc), -1)
	if len(names) < 50 {
		t.Errorf("%d names", len(names))
	}
	for _, name := range names {
		if found, _ := filepath.Glob(filepath.Join(root, name)); len(found) == 0 {
			t.Errorf("there is no %s", name)
		}
	}
}
