package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
)

// report is what a run makes, and where.
type report struct {
	store   store
	steps   *steps
	dir     string
	version string
	figures figures
}

var (
	salesFile  = "sales.csv"
	exportFile = fmt.Sprintf("sales-%d.csv", year)
	pageFile   = "report.html"
)

func (r *report) path(file string) string { return filepath.Join(r.dir, file) }

// make makes the files, and leaves nothing on the server.
func (r *report) make(ctx context.Context, n int64) (err error) {
	if err := r.steps.run("write "+salesFile, n, func(progress func(int64)) (int64, error) {
		return n, writeFile(r.path(salesFile), func(w io.Writer) error { return writeSales(ctx, w, n, progress) })
	}); err != nil {
		return err
	}
	info, err := os.Stat(r.path(salesFile))
	if err != nil {
		return err
	}
	if err := r.steps.run("load it (CopyFrom)", info.Size(), func(progress func(int64)) (int64, error) {
		return r.store.load(ctx, r.path(salesFile), progress)
	}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.store.drop(ctx)) }()
	if err := r.steps.run("index it", -1, func(func(int64)) (int64, error) {
		return n, r.store.index(ctx)
	}); err != nil {
		return err
	}
	if err := r.store.snapshot(ctx, func(s snapshot) error { return r.query(ctx, s, n) }); err != nil {
		return err
	}
	return writeFile(r.path(pageFile), func(w io.Writer) error {
		return writePage(w, &r.figures, r.version, r.steps.done)
	})
}

// query is everything that reads the table.
func (r *report) query(ctx context.Context, s snapshot, n int64) error {
	if err := r.steps.run("add up (SELECT)", -1, func(func(int64)) (int64, error) {
		return n, s.aggregate(ctx, &r.figures)
	}); err != nil {
		return err
	}
	if err := r.steps.run("read in order (ServerSide)", n, func(progress func(int64)) (int64, error) {
		return s.stream(ctx, &r.figures, progress)
	}); err != nil {
		return err
	}
	return r.steps.run("write "+exportFile+" (CopyTo)", -1, func(progress func(int64)) (rows int64, err error) {
		err = writeFile(r.path(exportFile), func(w io.Writer) error {
			rows, err = s.export(ctx, w)
			return err
		})
		return rows, err
	})
}

// tell says what there is to see, and where.
func (r *report) tell(w io.Writer) error {
	path, err := filepath.Abs(r.path(pageFile))
	if err != nil {
		return err
	}
	address := url.URL{Scheme: "file", Path: filepath.ToSlash(path)}
	f := &r.figures
	fmt.Fprintf(w, "\nRevenue in %d: %s (%s)\n\n", year, f.Revenue.Year, f.Revenue.Change())
	fmt.Fprintf(w, "In %s:\n", filepath.Dir(path))
	fmt.Fprintf(w, "  %-16s the report; open %s in a browser\n", pageFile, address.String())
	fmt.Fprintf(w, "  %-16s the %s sales of %d, with their revenue\n", exportFile, thousands(f.Sales), year)
	fmt.Fprintf(w, "  %-16s all %s sales, as they were loaded\n", salesFile, thousands(f.All))
	return nil
}
