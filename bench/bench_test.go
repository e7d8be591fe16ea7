package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values []float64
		want   float64
	}{
		{"one", []float64{7}, 7},
		{"odd", []float64{9, 1, 5}, 5},
		{"even", []float64{4, 1, 100, 2}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			given := slices.Clone(tt.values)
			if got := median(tt.values); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if !slices.Equal(given, tt.values) {
				t.Errorf("the rounds are now in the order %v", tt.values)
			}
		})
	}
}

// TestRatio has a machine that was slow in one round: a ratio of each round is
// not disturbed by it.
func TestRatio(t *testing.T) {
	a := Result{Rounds: []float64{10, 100, 10}}
	b := Result{Rounds: []float64{20, 200, 40}}
	if got := ratio(a.Rounds, b.Rounds); got != 0.5 {
		t.Errorf("got %v, want 0.5", got)
	}
}

func TestNumbers(t *testing.T) {
	for ns, want := range map[float64]string{
		432: "0.43 µs", 43_210: "43.2 µs", 110_400: "110 µs", 5_250_000: "5.25 ms", 99_960_000: "100 ms", 2.5e9: "2.50 s",
	} {
		if got := duration(ns); got != want {
			t.Errorf("duration(%v) = %q, want %q", ns, got, want)
		}
	}
}

func TestText(t *testing.T) {
	s := session{contestant: contestant{percent: true}}
	if got, want := s.text(updateOne), "UPDATE balance SET balance = balance + %s WHERE id = %s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func result(transport, workload, contestant string, rounds ...float64) Result {
	r := Result{Transport: transport, Workload: workload, Contestant: contestant, Rounds: rounds, Ops: 1}
	for _, ns := range rounds { // a part of it is waiting, with psyco a larger one
		if contestant == "psyco" {
			ns /= 2
		}
		r.CPU = append(r.CPU, ns/2)
	}
	return r
}

var sample = &Report{
	Server: "15.20 (<Debian> & more)", Rounds: 2, SliceNS: 40 * time.Millisecond,
	Modules: map[string]string{"github.com/lib/pq": "v1", "github.com/jackc/pgx/v5": "v5"},
	Results: []Result{
		result(unixSocket, "point select", "psyco", 40e3, 42e3),
		result(unixSocket, "point select", "psyco %s", 40e3, 42e3),
		result(unixSocket, "point select", "lib/pq", 100e3, 84e3),
		result(tcp, "point select", "psyco", 60e3, 60e3),
		result(unixSocket, "1,000 inserts", "psyco loop", 9e6, 9e6),
		result(unixSocket, "1,000 inserts", "psyco ExecMany", 1e6, 1e6),
		result(unixSocket, "1,000 inserts", "lib/pq <loop>", 8e6, 8e6),
	},
}

func TestPrint(t *testing.T) {
	var b bytes.Buffer
	if err := sample.print(&b, "psyco"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`unix/point select +time +psyco ÷ it +client CPU +psyco ÷ it`,
		`lib/pq +92\.0 µs +0\.45 +46\.0 µs +0\.23 `,
		`unix/1,000 inserts +time +psyco ExecMany ÷ it`,
		`lib/pq <loop> +8\.00 ms +0\.12 `,
	} {
		if !regexp.MustCompile(want).Match(b.Bytes()) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestReadReport(t *testing.T) {
	file := t.TempDir() + "/r.json"
	if err := sample.write(file); err != nil {
		t.Fatal(err)
	}
	r, err := readReport(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Results) != len(sample.Results) || r.Results[2].Contestant != "lib/pq" || r.Results[2].Rounds[1] != 84e3 {
		t.Errorf("read back: %+v", r)
	}
	broken := *sample
	broken.Results = []Result{result(tcp, "insert", "psyco")}
	if err := broken.write(file); err != nil {
		t.Fatal(err)
	}
	if _, err := readReport(file); err == nil {
		t.Error("a result without rounds was accepted")
	}
}

// TestChart wants well-formed XML with a bar for each contestant shown and
// nothing outside the picture.
func TestChart(t *testing.T) {
	picture, err := sample.chart(theTime)
	if err != nil {
		t.Fatal(err)
	}
	bars := 0
	for d := xml.NewDecoder(bytes.NewReader(picture)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, picture)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			bars++
		}
	}
	if bars != 5 { // two contestants and three; not the "%s" one, not TCP
		t.Errorf("%d bars, want 5", bars)
	}
	if s := string(picture); !strings.Contains(s, "lib/pq &lt;loop&gt;") || !strings.Contains(s, "92.0 µs") {
		t.Errorf("labels are missing:\n%s", s)
	}
	if _, err := new(Report).chart(theTime); err == nil {
		t.Error("a chart of nothing was drawn")
	}
	if picture, err = sample.chart(theCPU); err != nil || !strings.Contains(string(picture), "46.0 µs") || !strings.Contains(string(picture), "Client CPU per operation") {
		t.Errorf("the chart of the CPU is\n%s\n%v", picture, err)
	}
}

// TestWorkloads does each workload once by each contestant.
func TestWorkloads(t *testing.T) {
	srv, err := startServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.close(); err != nil {
			t.Error(err)
		}
	})
	for _, w := range workloads() {
		t.Run(w.name, func(t *testing.T) {
			for _, transport := range w.transports {
				dsn, ok := srv.dsn[transport]
				if !ok {
					continue
				}
				results, err := measure(t.Context(), srv, w, dsn, 1, time.Microsecond)
				if err != nil {
					t.Fatalf("over %s: %v", transport, err)
				}
				if len(results) != len(w.ways) {
					t.Errorf("over %s: %d results of %d contestants", transport, len(results), len(w.ways))
				}
				for _, r := range results {
					if len(r.Rounds) != 1 || r.Rounds[0] <= 0 || r.Ops < 1 {
						t.Errorf("over %s: %+v", transport, r)
					}
				}
			}
		})
	}
}
