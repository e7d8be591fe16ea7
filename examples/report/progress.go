package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// step is something that the program has done.
type step struct {
	What string
	Rows int64
	Took time.Duration
}

// Rate is the number of rows per second.
func (s step) Rate() int64 { return int64(float64(s.Rows) / max(s.Took, time.Microsecond).Seconds()) }

// steps runs the program's steps and tells of them: on a terminal with a bar
// that moves, elsewhere in plain lines.
type steps struct {
	w        io.Writer
	terminal bool
	done     []step
}

func newSteps(w io.Writer) *steps {
	f, ok := w.(*os.File)
	return &steps{w: w, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// run runs a step that calls progress with how much it got on, out of total;
// total is -1 if nobody knows. The step returns the number of its rows.
func (s *steps) run(what string, total int64, f func(progress func(int64)) (rows int64, err error)) error {
	progress, end := s.lines(what, total)
	if s.terminal {
		progress, end = s.bar(what, total)
	}
	start := time.Now()
	rows, err := f(progress)
	took := time.Since(start)
	end()
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	done := step{What: what, Rows: rows, Took: took}
	s.done = append(s.done, done)
	fmt.Fprintf(s.w, "  %-36s %10s rows %7.2f s %10s rows/s\n", what, thousands(rows), took.Seconds(), thousands(done.Rate()))
	return nil
}

func (s *steps) bar(what string, total int64) (progress func(int64), end func()) {
	indent := "  "
	if total < 0 {
		indent = "" // the spinner is there
	}
	bar := progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(s.w),
		progressbar.OptionSetDescription(fmt.Sprintf("%s%-36s", indent, what)),
		progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(50*time.Millisecond),
		progressbar.OptionSetRenderBlankState(true),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSpinnerType(14),
		progressbar.OptionSetElapsedTime(false),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerPadding: "░"}),
	)
	// A bar that cannot be drawn is no reason to stop.
	var got int64
	return func(n int64) {
			// The bar takes a lock and looks at the clock, so not for every row.
			if got += n; got >= total/1000 {
				_ = bar.Add64(got)
				got = 0
			}
		}, func() {
			_ = bar.Finish()
			_ = bar.Clear()
		}
}

// lines writes one at every quarter.
func (s *steps) lines(what string, total int64) (progress func(int64), end func()) {
	var got int64
	quarter := int64(1)
	return func(n int64) {
		for got += n; quarter < 4 && total > 0 && got >= total*quarter/4; quarter++ {
			fmt.Fprintf(s.w, "  %-36s %9d %%\n", what, 25*quarter)
		}
	}, func() {}
}

// countingReader tells progress how many bytes were read.
type countingReader struct {
	io.Reader
	progress func(int64)
}

func (r countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.progress(int64(n))
	return n, err
}
