// Command migrate-from-psycopg runs a program that was written for psycopg2,
// before.py, and the same program in Go, after*.go, and prints what they read
// side by side. Without a connection string it starts a PostgreSQL server of its
// own and stops it at the end:
//
//	go run ./examples/migrate-from-psycopg
//	go run ./examples/migrate-from-psycopg 'dbname=test user=alice password=secret host=localhost'
package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/psyco-go/psyco/psycotest"
)

func main() {
	log.SetFlags(0)
	if err := run(context.Background(), os.Stdout, os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, w io.Writer, args []string) error {
	var dsn string
	if len(args) > 0 {
		dsn = args[0]
	} else {
		server, err := psycotest.Open(ctx)
		if err != nil {
			return err
		}
		defer server.Close()
		dsn = server.DSN()
	}
	python, err := findPython(ctx)
	if err != nil {
		return err
	}
	old := recording
	if python != "" {
		if old, err = before(ctx, python, dsn); err != nil {
			return err
		}
	}
	now, err := after(ctx, dsn)
	if err != nil {
		return err
	}
	if python == "" {
		fmt.Fprintln(w, "psycopg2 is not installed here: its half is what it printed elsewhere.")
	}
	return sideBySide(w, lines(old), lines(now))
}

// sideBySide prints the lines of both programs, and an error if they differ.
func sideBySide(w io.Writer, old, now []string) error {
	const width = 44
	fmt.Fprintf(w, "\n  %-*s  %s\n", width, "before.py, with psycopg2", "after*.go, with psyco")
	different := 0
	for i := range max(len(old), len(now)) {
		var left, right string
		if i < len(old) {
			left = old[i]
		}
		if i < len(now) {
			right = now[i]
		}
		mark := " "
		if left != right || i >= len(old) || i >= len(now) {
			mark = "!"
			different++
		}
		if name, ok := strings.CutPrefix(cmp.Or(left, right), "# "); ok && mark == " " {
			fmt.Fprintf(w, "\n  %s\n", name)
			continue
		}
		fmt.Fprintf(w, "%s   %-*s  %s\n", mark, width-2, left, right)
	}
	if different > 0 {
		return fmt.Errorf("%d lines differ", different)
	}
	fmt.Fprintf(w, "\nAll %d lines are the same.\n", len(old))
	return nil
}

func lines(s string) []string { return strings.Split(strings.TrimSuffix(s, "\n"), "\n") }
