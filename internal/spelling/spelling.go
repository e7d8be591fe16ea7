// Package spelling finds names that are alike.
package spelling

import "strings"

var dashes = strings.NewReplacer("_", "", "-", "")

// Bare returns a name without its underscores and hyphens.
func Bare(name string) string { return dashes.Replace(name) }

// Misspells reports whether a key is perhaps meant for a name. It allows one slip in a
// short name and two in a long one, and any number of underscores and hyphens.
func Misspells(key, name string) bool {
	key, name = Bare(key), Bare(name)
	allowed := 1
	if len(name) >= 8 {
		allowed = 2
	}
	return distance(key, name) <= allowed
}

// distance is the number of insertions, deletions, replacements and swaps of
// neighbours that turn a into b.
func distance(a, b string) int {
	// Three rows of the usual table: the one being filled and the two above.
	above2, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		above2, above, row = above, row, above2
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], above2[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
