// Command report makes a report on a million sales: it loads them from a CSV
// file, lets PostgreSQL add them up, reads them all in the order of time, and
// writes a part of them as CSV and the report as one HTML file. Without a
// connection string it starts a PostgreSQL server of its own and stops it at the
// end; on a server of yours it works in a schema psyco_report, which it makes
// and drops:
//
//	cd examples/report
//	go run .
//	go run . -rows 100000 -out /tmp/report 'dbname=test user=alice password=secret host=localhost'
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/psyco-go/psyco/psycotest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, os.Stdout, os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		fmt.Fprintln(os.Stderr, "\nstopped:", err)
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

const minRows = 1000 // of fewer there is nothing to report

func run(ctx context.Context, w io.Writer, args []string) (err error) {
	flags := flag.NewFlagSet("report", flag.ContinueOnError)
	n := flags.Int64("rows", 1_000_000, "the number of sales to generate")
	out := flags.String("out", "out", "the `directory` for the files")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *n < minRows || flags.NArg() > 1 {
		return fmt.Errorf("need at least %d -rows, and at most one connection string, after the flags", minRows)
	}
	if err := os.MkdirAll(*out, 0o777); err != nil {
		return err
	}

	dsn, whose := flags.Arg(0), "yours"
	if dsn == "" {
		fmt.Fprintln(w, "Starting a PostgreSQL server of our own")
		server, err := psycotest.Open(ctx)
		if err != nil {
			return err
		}
		defer server.Close()
		dsn, whose = server.DSN(), "ours, gone when this ends"
	}
	db, err := sql.Open("psyco", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	r := report{store: store{db}, steps: newSteps(w), dir: *out}
	if r.version, err = r.store.version(ctx); err != nil {
		return err
	}
	fmt.Fprintf(w, "PostgreSQL %s (%s)\n\n", r.version, whose)
	if err := r.make(ctx, *n); err != nil {
		return err
	}
	return r.tell(w)
}
