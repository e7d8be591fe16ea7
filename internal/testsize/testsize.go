// Package testsize says how much tests do: what is enough to notice a mistake,
// or with PSYCO_TEST_LONG=1 all there is to try; less with go test -short.
package testsize

import (
	"iter"
	"os"
	"testing"
)

// EnvLong is the environment variable that asks for everything.
const EnvLong = "PSYCO_TEST_LONG"

// Long reports whether everything is asked for.
func Long() bool { return os.Getenv(EnvLong) == "1" }

// Cases is the number of cases that a test makes up: few of them, or all.
func Cases(few, all int) int {
	if Long() {
		return all
	}
	return few
}

// Some yields the numbers from 1 to n, or few of them: the first, the last and
// some in between.
func Some(few, n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		if few >= n || Long() {
			few = n
		}
		for i := range few {
			at := 1
			if few > 1 {
				at += i * (n - 1) / (few - 1)
			}
			if !yield(at) {
				return
			}
		}
	}
}

// Slow skips a test with -short: one that waits for servers to fail or tries
// faults at every place.
func Slow(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes long: left out with -short")
	}
}
