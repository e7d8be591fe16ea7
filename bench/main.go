// Command bench measures psyco against lib/pq and pgx on one server, in one
// run: each round gives every contestant a small slice of every workload, in
// rotated order, so that what disturbs the machine disturbs all alike.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"time"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	rounds := flag.Int("rounds", 25, "rounds; each gives every contestant one slice of each workload")
	slice := flag.Duration("slice", 40*time.Millisecond, "length of a slice")
	only := flag.String("only", "", "run only workloads whose `regexp` matches \"transport/name\"")
	base := flag.String("base", "psyco", "the `contestant` that ratios are of")
	out := flag.String("out", "", "write the results to this JSON `file`")
	svg := flag.String("svg", "", "write a chart of the times to this SVG `file`")
	cpuSVG := flag.String("cpu-svg", "", "write a chart of the client's CPU to this SVG `file`")
	from := flag.String("from", "", "measure nothing, show the results of this JSON `file`")
	list := flag.Bool("list", false, "list the workloads and end")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if *rounds < 1 || *slice <= 0 {
		return fmt.Errorf("-rounds and -slice must be positive")
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if *list {
		for _, w := range workloads() {
			for _, t := range w.transports {
				if name := t + "/" + w.name; pattern.MatchString(name) {
					fmt.Println(name)
				}
			}
		}
		return nil
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var report *Report
	if *from != "" {
		report, err = readReport(*from)
	} else {
		report, err = measureAll(ctx, pattern, *rounds, *slice)
	}
	if err != nil {
		return err
	}
	if err := report.print(os.Stdout, *base); err != nil {
		return err
	}
	if *out != "" {
		if err := report.write(*out); err != nil {
			return err
		}
	}
	for _, c := range []struct {
		file string
		of   measured
	}{{*svg, theTime}, {*cpuSVG, theCPU}} {
		if c.file == "" {
			continue
		}
		picture, err := report.chart(c.of)
		if err != nil {
			return err
		}
		if err := os.WriteFile(c.file, picture, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// measureAll runs all workloads that match over all their transports.
func measureAll(ctx context.Context, pattern *regexp.Regexp, rounds int, slice time.Duration) (*Report, error) {
	srv, err := startServer(ctx)
	if err != nil {
		return nil, err
	}
	defer srv.close()
	report := newReport(srv.version, rounds, slice)
	for _, t := range transports {
		dsn, ok := srv.dsn[t]
		if !ok {
			fmt.Fprintf(os.Stderr, "no %s to this server: left out\n", t)
			continue
		}
		for _, w := range workloads() {
			name := t + "/" + w.name
			if !w.over(t) || !pattern.MatchString(name) {
				continue
			}
			fmt.Fprintf(os.Stderr, "%-40s", name)
			begin := time.Now()
			results, err := measure(ctx, srv, w, dsn, rounds, slice)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			fmt.Fprintf(os.Stderr, "%6.1f s\n", time.Since(begin).Seconds())
			for _, r := range results {
				r.Workload, r.Transport = w.name, t
				report.Results = append(report.Results, r)
			}
		}
	}
	if len(report.Results) == 0 {
		return nil, fmt.Errorf("no workload matches %q", pattern)
	}
	return report, nil
}
