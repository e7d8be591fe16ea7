package pgserver

import (
	"fmt"
	"io"
	"os"
	"testing"
	"time"
)

// An Announcer says what is about to take long. done ends the step.
type Announcer func(format string, args ...any) (done func())

// testPatience is how long a step in a test may take before it is announced.
const testPatience = 3 * time.Second

// announceOn announces on w. Who runs a program waits for each step and is told at
// once; the output of a test names a step only after patience, which most do not take.
// The arguments are formatted when something is said.
func announceOn(w io.Writer, patience time.Duration) Announcer {
	return func(format string, args ...any) (done func()) {
		say := func() { fmt.Fprintf(w, "psycotest: "+format+"\n", args...) }
		if patience == 0 {
			say()
			return func() {}
		}
		timer := time.AfterFunc(patience, say)
		return func() { timer.Stop() }
	}
}

// announce announces on standard error.
func announce(format string, args ...any) (done func()) {
	patience := testPatience
	if !testing.Testing() {
		patience = 0
	}
	return announceOn(os.Stderr, patience)(format, args...)
}
