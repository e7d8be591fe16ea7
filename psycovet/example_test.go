package psycovet_test

import (
	"fmt"
	"log"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"

	"github.com/psyco-go/psyco/psycovet"
)

func ExampleAnalyzer() {
	pkgs, err := packages.Load(&packages.Config{Mode: packages.LoadSyntax}, "./testdata/shop")
	if err != nil {
		log.Fatal(err)
	}
	graph, err := checker.Analyze([]*analysis.Analyzer{psycovet.Analyzer}, pkgs, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, action := range graph.Roots {
		for _, d := range action.Diagnostics {
			fmt.Printf("line %d: %.50s\n", action.Package.Fset.Position(d.Pos).Line, d.Message)
		}
	}
	if err := psycovet.Finish(); err != nil { // for analyses with a schema
		log.Fatal(err)
	}
	fmt.Println(psycovet.Seen() > 0)
	// Output:
	// line 17: the placeholder '%s' is inside a literal, where it
	// line 23: query parameter missing: name: did you mean %(full
	// line 8: IN (%s) takes one value, got []int: drop the paren
	// line 15: the query has the parameter $3 but 2 parameters we
	// true
}
