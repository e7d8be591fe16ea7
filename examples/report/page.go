package main

import (
	_ "embed"
	"html/template"
	"io"
	"time"
)

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"thousands": thousands,
	"day":       func(t time.Time) string { return t.Format("2 January") },
	"clock":     func(t time.Time) string { return t.Format("2 Jan, 15:04") },
	"seconds":   func(d time.Duration) float64 { return d.Seconds() },
	"latest":    func(r []record) []record { return r[max(0, len(r)-4):] },
	"percent":   func(part, whole money) int64 { return int64(100 * part / max(1, whole)) },
}).Parse(pageSource))

// writePage writes the report: one file that needs nothing beside it, neither
// other files nor a network.
func writePage(w io.Writer, f *figures, server string, done []step) error {
	data := struct {
		*figures
		Year, Previous int
		Charts         map[string]template.HTML
		Server         string
		Steps          []step
	}{f, year, previous, map[string]template.HTML{}, server, done}
	for name, l := range map[string]look{"light": light, "dark": dark} {
		var err error
		if data.Charts["monthly-"+name], err = f.monthly(l); err != nil {
			return err
		}
		if data.Charts["running-"+name], err = f.running(l); err != nil {
			return err
		}
	}
	return page.Execute(w, data)
}
