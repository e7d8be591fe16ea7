package psycotest

import (
	"fmt"
	"io/fs"
	"strings"
)

// glob returns the files that match, sorted by name.
func glob(fsys fs.FS, pattern string) ([]string, error) {
	names, err := fs.Glob(fsys, pattern)
	if err != nil {
		return nil, fmt.Errorf("psycotest: the pattern %q: %w", pattern, err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("psycotest: no file matches %q", pattern)
	}
	return names, nil
}

// readFile reads a text in UTF-8. The byte order mark that some programs put
// in front is not a part of it.
func readFile(fsys fs.FS, name string) (string, error) {
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return "", fmt.Errorf("psycotest: %w", err)
	}
	return strings.TrimPrefix(string(text), "\ufeff"), nil
}
