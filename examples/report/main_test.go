package main

import (
	"context"
	"database/sql"
	"encoding/csv"
	"errors"
	"html"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/psyco-go/psyco/psycotest"
)

const testRows = 5000

// testReport makes a report in a directory of its own.
func testReport(t *testing.T, db *sql.DB, n int64) *report {
	t.Helper()
	r := &report{store: store{db}, steps: newSteps(io.Discard), dir: t.TempDir()}
	var err error
	if r.version, err = r.store.version(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.make(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return r
}

// open opens an empty database with a session that is set up in an unusual way.
func open(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("psyco", psycotest.DSN(t)+" timezone=Asia/Tokyo search_path=pg_catalog")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// wantSchema looks whether the schema is there.
func wantSchema(t *testing.T, db *sql.DB, want bool) {
	t.Helper()
	var there bool
	if err := db.QueryRow("SELECT to_regnamespace('psyco_report') IS NOT NULL").Scan(&there); err != nil {
		t.Fatal(err)
	}
	if there != want {
		t.Errorf("the schema psyco_report is there: %t, want %t", there, want)
	}
}

// The figures are those of the generated sales, added up here in another way.
func TestFigures(t *testing.T) {
	db := open(t)
	r := testReport(t, db, testRows)
	wantSchema(t, db, false)
	f := r.figures

	want := figures{All: testRows}
	var both [2]int64
	product, region := map[string]line{}, map[string]line{}
	day := map[time.Time]money{}
	dayProduct := map[time.Time]map[string]money{}
	var times []time.Time
	add := func(to map[string]line, name string, s sale) {
		l := to[name]
		l.Name = name
		if s.at.Year() == year {
			l.Units += s.quantity
			l.Revenue.Year += s.revenue()
		} else {
			l.Revenue.Before += s.revenue()
		}
		to[name] = l
	}
	for s := range sales(testRows) {
		add(product, s.product, s)
		add(region, s.region, s)
		month := &want.Months[s.at.Month()-1]
		both[s.at.Year()-previous]++
		if s.at.Year() != year {
			month.Before += s.revenue()
			want.Revenue.Before += s.revenue()
			continue
		}
		month.Year += s.revenue()
		want.Revenue.Year += s.revenue()
		want.Units += s.quantity
		d := midnight(s.at)
		if dayProduct[d] == nil {
			dayProduct[d] = map[string]money{}
		}
		day[d] += s.revenue()
		dayProduct[d][s.product] += s.revenue()
		times = append(times, s.at)
	}
	want.Sales = both[1]
	want.Basket = comparison{want.Revenue.Year / money(both[1]), want.Revenue.Before / money(both[0])}

	if f.All != want.All || f.Sales != want.Sales || f.Units != want.Units || f.Revenue != want.Revenue || f.Basket != want.Basket {
		t.Errorf("got %+v, want %+v", f, want)
	}
	if f.Months != want.Months {
		t.Errorf("months: got %v, want %v", f.Months, want.Months)
	}
	for what, c := range map[string]struct {
		got  []line
		want map[string]line
	}{"products": {f.Products, product}, "regions": {f.Regions, region}} {
		if len(c.got) != len(c.want) {
			t.Errorf("%s: got %d, want %d", what, len(c.got), len(c.want))
		}
		for _, l := range c.got {
			if l != c.want[l.Name] {
				t.Errorf("%s: got %+v, want %+v", what, l, c.want[l.Name])
			}
		}
		if !slices.IsSortedFunc(c.got, func(a, b line) int { return int(b.Revenue.Year - a.Revenue.Year) }) {
			t.Errorf("%s are not in order: %v", what, c.got)
		}
	}

	var highest money
	var records []record
	for i := range 365 {
		d := time.Date(year, 1, 1+i, 0, 0, 0, 0, time.UTC)
		if day[d] > highest {
			highest = day[d]
			best := record{Day: d, Revenue: highest}
			for name, share := range dayProduct[d] {
				if share > best.Share || share == best.Share && name < best.Product {
					best.Product, best.Share = name, share
				}
			}
			records = append(records, best)
		}
	}
	if !slices.EqualFunc(f.Records, records, func(a, b record) bool {
		return a.Day.Equal(b.Day) && a.Revenue == b.Revenue && a.Product == b.Product && a.Share == b.Share
	}) || len(records) < 2 {
		t.Errorf("records: got %v, want %v", f.Records, records)
	}

	busiest, most := time.Time{}, 0
	for i, begin := range times {
		n := 0
		for i+n < len(times) && times[i+n].Before(begin.Add(time.Hour)) {
			n++
		}
		if n > most {
			busiest, most = begin, n
		}
	}
	if !f.BusyHour.Equal(busiest) || f.BusySales != int64(most) {
		t.Errorf("busiest hour: got %d from %s, want %d from %s", f.BusySales, f.BusyHour, most, busiest)
	}

	for i, total := range []money{want.Revenue.Before, want.Revenue.Year} {
		running := f.Running[i]
		if !slices.IsSorted(running) || running[len(running)-1] != total {
			t.Errorf("running totals of %d: got %v, want them to grow to %d", previous+i, running, total)
		}
	}
	if january := f.Running[1][30]; january != want.Months[0].Year {
		t.Errorf("running total at the end of January: got %d, want %d", january, want.Months[0].Year)
	}
}

func TestExport(t *testing.T) {
	r := testReport(t, open(t), testRows)
	file, err := os.Open(r.path(exportFile))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	got, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"id", "sold_at", "region", "product", "quantity", "price", "revenue"}}
	for s := range sales(testRows) {
		if s.at.Year() == year {
			want = append(want, []string{
				strconv.FormatInt(s.id, 10), s.at.Format("2006-01-02 15:04:05"), s.region, s.product,
				strconv.FormatInt(s.quantity, 10), s.price.decimal(), s.revenue().decimal(),
			})
		}
	}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %d rows, want %d; the first ones are\n%q\n%q", len(got), len(want), got[:3], want[:3])
	}
}

func TestPage(t *testing.T) {
	r := testReport(t, open(t), testRows)
	source, err := os.ReadFile(r.path(pageFile))
	if err != nil {
		t.Fatal(err)
	}
	text := html.UnescapeString(string(source))
	f := r.figures
	for _, want := range []string{
		`<b id="revenue">` + f.Revenue.Year.String() + `</b>`, f.Revenue.Change(), f.Basket.Year.String(),
		thousands(f.BusySales) + " sales", f.Products[0].Name, f.Regions[5].Revenue.Year.String(),
		f.Records[len(f.Records)-1].Revenue.String(), "load it (CopyFrom)", "PostgreSQL " + r.version,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if n := strings.Count(text, "<svg "); n != 4 {
		t.Errorf("the page has %d charts, want 2 for light and 2 for dark", n)
	}
	// A name of XML is all that looks like an address.
	left := strings.ReplaceAll(text, `xmlns="http://www.w3.org/2000/svg"`, "")
	left = strings.ReplaceAll(left, `xmlns:xlink="http://www.w3.org/1999/xlink"`, "")
	if found := regexp.MustCompile(`(?i).{0,40}(//|url\(|@import|\b(src|href)=).{0,40}`).FindString(left); found != "" {
		t.Errorf("the page refers to something outside: %s", found)
	}
}

func TestSales(t *testing.T) {
	for _, n := range []int64{minRows, testRows} {
		first := slices.Collect(sales(n))
		if int64(len(first)) != n {
			t.Errorf("got %d sales, want %d", len(first), n)
		}
		for i, s := range first {
			if s.id != int64(i+1) || s.quantity < 1 || s.price <= 0 || s.at.Year() < previous || s.at.Year() > year {
				t.Fatalf("got %+v", s)
			}
			if i > 0 && s.at.Before(first[i-1].at) {
				t.Fatalf("%+v comes after %+v", s, first[i-1])
			}
		}
		if !slices.Equal(first, slices.Collect(sales(n))) {
			t.Error("the second time, other sales were generated")
		}
	}
}

var told = regexp.MustCompile(`(?s)^PostgreSQL [0-9.]+ \(yours\)

  write sales.csv                             25 %
  write sales.csv                             50 %
  write sales.csv                             75 %
  write sales.csv +5,000 rows +[0-9.]+ s +[0-9,]+ rows/s
.*  load it \(CopyFrom\) +5,000 rows +[0-9.]+ s +[0-9,]+ rows/s
.*  write sales-2025.csv \(CopyTo\) .* rows/s

Revenue in 2025: \$[0-9,]+ \([+-][0-9.]+ %\)

In (.*):
  report.html      the report; open file://(.*)/report.html in a browser
  sales-2025.csv   the [0-9,]+ sales of 2025, with their revenue
  sales.csv        all 5,000 sales, as they were loaded
$`)

func TestRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "of", "mine")
	dsn := psycotest.DSN(t)
	for range 2 { // it leaves nothing behind that would stop a second run
		var out strings.Builder
		if err := run(t.Context(), &out, []string{"-rows", "5000", "-out", dir, dsn}); err != nil {
			t.Fatal(err)
		}
		if m := told.FindStringSubmatch(out.String()); m == nil || m[1] != dir || m[2] != dir {
			t.Errorf("got:\n%s", out.String())
		}
	}
}

func TestRunWithItsOwnServer(t *testing.T) {
	dir := t.TempDir()
	var out strings.Builder
	if err := run(t.Context(), &out, []string{"-rows", "1000", "-out", dir}); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "Starting a PostgreSQL server of our own\nPostgreSQL ") {
		t.Errorf("got:\n%s", out.String())
	}
	if _, err := os.Stat(filepath.Join(dir, pageFile)); err != nil {
		t.Error(err)
	}
}

func TestRunRefuses(t *testing.T) {
	for _, args := range [][]string{{"-rows", "999"}, {"-rows", "many"}, {"dbname=a", "dbname=b"}} {
		if err := run(t.Context(), io.Discard, append([]string{"-out", t.TempDir()}, args...)); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

// A schema that was there before is not the program's to drop.
func TestRunKeepsAnExistingSchema(t *testing.T) {
	dsn := psycotest.DSN(t)
	db, err := sql.Open("psyco", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE SCHEMA psyco_report"); err != nil {
		t.Fatal(err)
	}
	err = run(t.Context(), io.Discard, []string{"-rows", "1000", "-out", t.TempDir(), dsn})
	if err == nil || !strings.Contains(err.Error(), "psyco_report exists already") {
		t.Errorf("got %v", err)
	}
	wantSchema(t, db, true)
}

// stopper calls stop as soon as it is told of a step.
type stopper struct {
	step string
	stop context.CancelFunc
}

func (s stopper) Write(p []byte) (int, error) {
	if strings.Contains(string(p), s.step) {
		s.stop()
	}
	return len(p), nil
}

// When it is stopped, the server is as before, and no half of a file is left.
func TestStop(t *testing.T) {
	for _, step := range []string{"write sales.csv", "load it", "index it", "add up", "read in order"} {
		t.Run(step, func(t *testing.T) {
			db := open(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			r := report{store: store{db}, steps: newSteps(stopper{step, cancel}), dir: t.TempDir()}
			if err := r.make(ctx, testRows); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			wantSchema(t, db, false)
			for _, file := range []string{exportFile, pageFile} {
				if _, err := os.Stat(r.path(file)); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s: got %v", file, err)
				}
			}
		})
	}
}

func TestBar(t *testing.T) {
	for name, total := range map[string]int64{"known": 1000, "unknown": -1} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			s := steps{w: &out, terminal: true}
			if err := s.run("count", total, func(progress func(int64)) (int64, error) {
				for range 1000 {
					progress(1)
				}
				return 1000, nil
			}); err != nil {
				t.Fatal(err)
			}
			if got := out.String(); !strings.Contains(got, "count") || strings.Contains(got, "░") != (total > 0) ||
				!strings.Contains(got, "1,000 rows ") {
				t.Errorf("got %q", got)
			}
			if len(s.done) != 1 || s.done[0].Rows != 1000 || s.done[0].Rate() <= 0 {
				t.Errorf("got %+v", s.done)
			}
		})
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", -123: "-123"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}
