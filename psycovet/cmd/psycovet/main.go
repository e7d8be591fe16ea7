// Command psycovet finds wrong queries in Go programs before they run.
//
//	psycovet [flags] [packages]
//	go vet -vettool=$(which psycovet) [packages]
//
// It exits with 0 if it has nothing to report, with 1 if it has, and with 2 if it could not
// look. With -json the reports go to the standard output and the exit code says only
// whether it could look.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/analysis/unitchecker"
	"golang.org/x/tools/go/packages"

	"github.com/psyco-go/psyco/psycovet"
)

func main() {
	if isVetTool(os.Args[1:]) {
		unitchecker.Main(vetAnalyzer())
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// isVetTool reports whether go vet has started the program: it asks for the version and the
// flags, and then gives it one package after the other.
func isVetTool(args []string) bool {
	return slices.ContainsFunc(args, func(a string) bool {
		return a == "-V=full" || a == "-flags" || strings.HasSuffix(a, ".cfg")
	})
}

// vetAnalyzer returns the analyzer without the flags about a schema: go vet keeps what it has
// found for as long as a package stays the same, whatever becomes of the schema.
func vetAnalyzer() *analysis.Analyzer {
	a := *psycovet.Analyzer
	a.Flags = flag.FlagSet{}
	for _, name := range []string{"drivers", "known"} {
		f := psycovet.Analyzer.Flags.Lookup(name)
		a.Flags.Var(f.Value, f.Name, f.Usage)
	}
	return &a
}

func run(args []string, stdout, stderr io.Writer) (code int) {
	flags := flag.NewFlagSet("psycovet", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintf(stderr, "usage: psycovet [flags] [packages]\n\n%s\n\n", psycovet.Analyzer.Doc)
		flags.PrintDefaults()
	}
	asJSON := flags.Bool("json", false, "write the reports as JSON")
	fix := flags.Bool("fix", false, "write the right text into the files where it is certain")
	tests := flags.Bool("test", true, "look at tests too")
	psycovet.Analyzer.Flags.VisitAll(func(f *flag.Flag) { flags.Var(f.Value, f.Name, f.Usage) })
	switch err := flags.Parse(args); {
	case err == flag.ErrHelp:
		return 0
	case err != nil:
		return 2
	}

	start, done := time.Now(), make(chan struct{})
	go progress(stderr, done, patience, interval)
	defer func() {
		close(done)
		if time.Since(start) > patience {
			fmt.Fprintf(stderr, "psycovet: %d queries checked\n", psycovet.Seen())
		}
	}()

	patterns := flags.Args()
	if len(patterns) == 0 {
		patterns = []string{"."}
	}
	pkgs, err := packages.Load(&packages.Config{Mode: packages.LoadSyntax | packages.NeedModule, Tests: *tests}, patterns...)
	if err == nil && len(pkgs) == 0 {
		err = fmt.Errorf("no packages match %s", strings.Join(patterns, " "))
	}
	if err != nil {
		fmt.Fprintln(stderr, "psycovet:", err)
		return 2
	}
	broken := false
	for _, p := range pkgs {
		for _, err := range p.Errors {
			broken = true
			fmt.Fprintln(stderr, "psycovet:", err)
		}
	}
	pkgs = slices.DeleteFunc(pkgs, func(p *packages.Package) bool { return len(p.Errors) > 0 })
	defer func() {
		if err := psycovet.Finish(); err != nil {
			fmt.Fprintln(stderr, "psycovet:", err)
			code = 2
		}
	}()
	graph, err := checker.Analyze([]*analysis.Analyzer{psycovet.Analyzer}, pkgs, nil)
	if err != nil {
		fmt.Fprintln(stderr, "psycovet:", err)
		return 2
	}
	reports := 0
	for _, act := range graph.Roots {
		broken = broken || act.Err != nil // PrintText and PrintJSON say why
		reports += len(act.Diagnostics)
	}
	switch {
	case *fix:
		if reports, err = applyFixes(graph, stdout); err != nil {
			fmt.Fprintln(stderr, "psycovet:", err)
			return 2
		}
	case *asJSON:
		err = graph.PrintJSON(stdout)
		reports = 0
	default:
		err = graph.PrintText(stdout, -1)
	}
	switch {
	case err != nil:
		fmt.Fprintln(stderr, "psycovet:", err)
		return 2
	case broken:
		return 2
	case reports > 0:
		return 1
	}
	return 0
}

// How long psycovet works without a word, at first and then.
const (
	patience = 2 * time.Second
	interval = 10 * time.Second
)

// progress says from time to time how far the work is, for the first time after patience.
func progress(w io.Writer, done <-chan struct{}, patience, interval time.Duration) {
	tick := time.NewTimer(patience)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			tick.Reset(interval)
			if n := psycovet.Seen(); n > 0 {
				fmt.Fprintf(w, "psycovet: %d queries checked so far\n", n)
			} else {
				fmt.Fprintln(w, "psycovet: loading packages")
			}
		}
	}
}
