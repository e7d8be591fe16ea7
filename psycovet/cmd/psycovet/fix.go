package main

import (
	"cmp"
	"fmt"
	"go/format"
	"io"
	"os"
	"slices"

	"golang.org/x/tools/go/analysis/checker"
)

// replacement is a change of a file.
type replacement struct {
	start, end int
	text       []byte
}

// applyFixes writes the first suggested fix of each report into the files, prints the
// other reports, and returns how many those are.
func applyFixes(graph *checker.Graph, w io.Writer) (left int, err error) {
	files := make(map[string][]replacement)
	told := make(map[string]bool) // a file is in a package and in that with its tests
	for _, act := range graph.Roots {
		for _, d := range act.Diagnostics {
			position := act.Package.Fset.Position(d.Pos)
			line := fmt.Sprintf("%s: %s", position, d.Message)
			if told[line] {
				continue
			}
			told[line] = true
			if len(d.SuggestedFixes) == 0 {
				left++
				fmt.Fprintln(w, line)
				continue
			}
			for _, e := range d.SuggestedFixes[0].TextEdits {
				start, end := act.Package.Fset.Position(e.Pos), act.Package.Fset.Position(e.End)
				files[start.Filename] = append(files[start.Filename], replacement{start.Offset, end.Offset, e.NewText})
			}
		}
	}
	for name, list := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			return left, err
		}
		slices.SortFunc(list, func(a, b replacement) int { return cmp.Compare(a.start, b.start) })
		var out []byte
		at := 0
		for _, r := range list {
			if r.start < at { // two reports about one place
				left++
				continue
			}
			out = append(append(out, source[at:r.start]...), r.text...)
			at = r.end
		}
		out = append(out, source[at:]...)
		if out, err = format.Source(out); err != nil {
			return left, fmt.Errorf("%s: %w", name, err)
		}
		if err := os.WriteFile(name, out, 0o644); err != nil {
			return left, err
		}
	}
	return left, nil
}
