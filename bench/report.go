package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is a whole run.
type Report struct {
	Date     time.Time         `json:"date"`
	Go       string            `json:"go"`
	Platform string            `json:"platform"`
	CPUs     int               `json:"cpus"`
	Server   string            `json:"postgresql"`
	Modules  map[string]string `json:"modules"`
	Rounds   int               `json:"rounds"`
	SliceNS  time.Duration     `json:"slice_ns"`
	Results  []Result          `json:"results"`
}

func newReport(server string, rounds int, slice time.Duration) *Report {
	r := &Report{
		Date:     time.Now().UTC().Truncate(time.Second),
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
		CPUs:     runtime.NumCPU(),
		Server:   server,
		Modules:  make(map[string]string),
		Rounds:   rounds,
		SliceNS:  slice,
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			switch m.Path {
			case "github.com/lib/pq", "github.com/jackc/pgx/v5":
				r.Modules[m.Path] = m.Version
			}
		}
	}
	return r
}

func readReport(file string) (*Report, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := new(Report)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, result := range r.Results {
		if len(result.Rounds) == 0 {
			return nil, fmt.Errorf("%s: no rounds of %s/%s by %s", file, result.Transport, result.Workload, result.Contestant)
		}
	}
	return r, nil
}

func (r *Report) write(file string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

// groups are the results by workload and transport, in the order of measuring.
func (r *Report) groups() [][]Result {
	var groups [][]Result
	for _, result := range r.Results {
		if n := len(groups); n > 0 && groups[n-1][0].Workload == result.Workload && groups[n-1][0].Transport == result.Transport {
			groups[n-1] = append(groups[n-1], result)
		} else {
			groups = append(groups, []Result{result})
		}
	}
	return groups
}

// print writes the table. The ratios are base's time and CPU divided by the row's: below
// 1 means that base takes less.
func (r *Report) print(w io.Writer, base string) error {
	fmt.Fprintf(w, "PostgreSQL %s, %s, %s, %d CPUs, lib/pq %s, pgx %s, %d rounds of %v, medians\n", r.Server, r.Go, r.Platform, r.CPUs,
		r.Modules["github.com/lib/pq"], r.Modules["github.com/jackc/pgx/v5"], r.Rounds, r.SliceNS)
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, group := range r.groups() {
		compared := baseOf(group, base)
		column := "ratio"
		if compared != nil {
			column = compared.Contestant + " ÷ it"
		}
		trips := ""
		if group[0].RoundTrips > 0 {
			trips = "round trips"
		}
		fmt.Fprintf(tab, "\n%s/%s\ttime\t%s\tclient CPU\t%[3]s\tallocs\tbytes\t%[4]s\n", group[0].Transport, group[0].Workload, column, end(trips))
		for _, result := range group {
			share, cpu, cpuShare := "-", "-", "-"
			if len(result.CPU) > 0 {
				cpu = duration(median(result.CPU))
			}
			if compared != nil {
				share = fmt.Sprintf("%.2f", ratio(compared.Rounds, result.Rounds))
				if len(result.CPU) > 0 && len(compared.CPU) > 0 {
					cpuShare = fmt.Sprintf("%.2f", ratio(compared.CPU, result.CPU))
				}
			}
			if trips != "" {
				trips = significant(result.RoundTrips)
			}
			fmt.Fprintf(tab, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", result.Contestant, duration(median(result.Rounds)), share, cpu, cpuShare,
				significant(result.Allocs), significant(result.Bytes), end(trips))
		}
	}
	return tab.Flush()
}

// end is the last cell of a line, which not every table has.
func end(cell string) string {
	if cell == "" {
		return ""
	}
	return cell + "\t"
}

// baseOf finds the result that ratios are of: base itself or, where it has
// several interfaces, the last of them.
func baseOf(group []Result, base string) *Result {
	var found *Result
	for i, result := range group {
		if result.Contestant == base {
			return &group[i]
		}
		if strings.HasPrefix(result.Contestant, base+" ") {
			found = &group[i]
		}
	}
	return found
}

// duration writes nanoseconds with three digits.
func duration(ns float64) string {
	switch {
	case ns >= 1e9:
		return significant(ns/1e9) + " s"
	case ns >= 1e6:
		return significant(ns/1e6) + " ms"
	default:
		return significant(ns/1e3) + " µs"
	}
}

// significant writes a number with three digits, and whole from 100 on.
func significant(x float64) string {
	switch {
	case x >= 99.95:
		return fmt.Sprintf("%.0f", x)
	case x >= 9.995:
		return fmt.Sprintf("%.1f", x)
	default:
		return fmt.Sprintf("%.2f", x)
	}
}
