package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/psyco-go/psyco/psycotest"
)

// Every store has the same day, and the README tells what it costs.
func TestDays(t *testing.T) {
	server, err := psycotest.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	readme := read(t, "README.md")
	days := make([]day, len(versions))
	for i, v := range versions {
		if days[i], err = live(t.Context(), server, 0, v.open); err != nil {
			t.Fatalf("%s: %v", v.name, err)
		}
	}
	if err := report(io.Discard, 0, days); err != nil {
		t.Error(err)
	}
	for i, s := range steps {
		row := "| " + s.name + " |"
		for _, d := range days {
			row += fmt.Sprintf(" %d |", d[i].roundTrips)
		}
		if s.name != "4 clerks, 1 client" && !strings.Contains(readme, row) { // those get in each other's way
			t.Errorf("README.md does not have %s", row)
		}
	}
}

func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, []string{"-delay", "0"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"lib/pq", "one word", "rewritten", "client 4 has spent 1781.50", "client 6 has spent 4275.60"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
}

// What differs is reported.
func TestReportOfDifferentDays(t *testing.T) {
	days := make([]day, len(versions))
	for i := range days {
		days[i] = make(day, len(steps))
	}
	days[1][3].found = "something else"
	var out bytes.Buffer
	if err := report(&out, 0, days); err == nil || !strings.Contains(err.Error(), `lib/pq found "", one word "something else"`) {
		t.Errorf("got %v", err)
	}
}

// The first step of the migration is a word and an import.
func TestOneWord(t *testing.T) {
	before, after := lines(t, "before/store.go"), lines(t, "oneword/store.go")
	var removed, added []string
	for len(before) > 0 && len(after) > 0 {
		switch {
		case before[0] == after[0]:
			before, after = before[1:], after[1:]
		case slices.Contains(after, before[0]):
			added, after = append(added, after[0]), after[1:]
		default:
			removed, before = append(removed, before[0]), before[1:]
		}
	}
	removed, added = append(removed, before...), append(added, after...)
	if want := []string{`	db, err := sql.Open("postgres", dsn)`}; !slices.Equal(removed, want) {
		t.Errorf("removed: %q", removed)
	}
	if want := []string{`	_ "github.com/psyco-go/psyco"`, `	db, err := sql.Open("psyco", dsn)`}; !slices.Equal(added, want) {
		t.Errorf("added: %q", added)
	}
}

func lines(t *testing.T, name string) []string { return strings.Split(read(t, name), "\n") }

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
