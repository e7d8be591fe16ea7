// Command migrate-from-libpq runs one day of a shop three times: with a store
// written for lib/pq, with the same store after one word was changed, and with
// one that uses what psyco adds. It prints what came out, and what each of them
// cost:
//
//	go run ./examples/migrate-from-libpq
//	go run ./examples/migrate-from-libpq -delay 5ms
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	after "github.com/psyco-go/psyco/examples/migrate-from-libpq/after"
	before "github.com/psyco-go/psyco/examples/migrate-from-libpq/before"
	oneword "github.com/psyco-go/psyco/examples/migrate-from-libpq/oneword"
	"github.com/psyco-go/psyco/examples/migrate-from-libpq/shop"
	"github.com/psyco-go/psyco/psycotest"
)

// versions are the stores, in the order of the migration.
var versions = []struct {
	name string
	open func(dsn string) (shop.Store, error)
}{
	{"lib/pq", func(dsn string) (shop.Store, error) { return before.Open(dsn) }},
	{"one word", func(dsn string) (shop.Store, error) { return oneword.Open(dsn) }},
	{"rewritten", func(dsn string) (shop.Store, error) { return after.Open(dsn) }},
}

func main() {
	log.SetFlags(0)
	if err := run(context.Background(), os.Stdout, os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, w io.Writer, args []string) error {
	flags := flag.NewFlagSet("migrate-from-libpq", flag.ContinueOnError)
	delay := flags.Duration("delay", 500*time.Microsecond, "what the network takes, each way")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	}
	server, err := psycotest.Open(ctx)
	if err != nil {
		return err
	}
	defer server.Close()

	var days []day
	for _, v := range versions {
		d, err := live(ctx, server, *delay, v.open)
		if err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
		days = append(days, d)
	}
	return report(w, *delay, days)
}

// report prints the days side by side, and an error if they are not the same.
func report(w io.Writer, delay time.Duration, days []day) error {
	fmt.Fprintf(w, "Round trips and time, with %v of network each way:\n\n", delay)
	fmt.Fprintf(w, "%24s", "")
	for _, v := range versions {
		fmt.Fprintf(w, "%16s", v.name)
	}
	fmt.Fprintln(w)
	for i, s := range steps {
		fmt.Fprintf(w, "%-24s", s.name)
		for _, d := range days {
			fmt.Fprintf(w, "%8d%5d ms", d[i].roundTrips, d[i].took.Milliseconds())
		}
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, "\nWhat all three found:\n\n")
	for i, s := range steps {
		for j, d := range days {
			if d[i].found != days[0][i].found {
				return fmt.Errorf("%s: %s found %q, %s %q", s.name, versions[0].name, days[0][i].found, versions[j].name, d[i].found)
			}
		}
		fmt.Fprintf(w, "  %s: %s\n", s.name, days[0][i].found)
	}
	return nil
}
