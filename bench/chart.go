package main

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// charted is what the chart shows, as far as it was measured, two in a row.
var charted = []struct{ transport, workload, title string }{
	{unixSocket, "point select", "Point select, Unix socket"},
	{delayed, "point select", "Point select, 1 ms network"},
	{unixSocket, "insert", "Insert, Unix socket"},
	{delayed, "transaction of 3 updates", "Transaction of 3 updates, 1 ms network"},
	{unixSocket, "point select, 8 goroutines", "Point select, 8 goroutines"},
	{unixSocket, "10,000 rows", "Select 10,000 rows"},
	{unixSocket, "10,000 rows as structs", "10,000 rows as structs"},
	{unixSocket, "one row as a struct", "One row as a struct"},
	{unixSocket, "COPY in 100,000 rows", "COPY in 100,000 rows"},
	{unixSocket, "1,000 inserts", "1,000 inserts in a transaction"},
}

// Sizes in pixels, and colours that can be read on white and on black: a picture
// in a README cannot know which of the two it will stand on.
const (
	chartWidth  = 840
	chartMargin = 16
	chartHead   = 52
	cellGap     = 40
	cellWidth   = (chartWidth - 2*chartMargin - cellGap) / 2
	cellTitle   = 26
	cellFoot    = 22
	barStep     = 20
	barHeight   = 13
	nameWidth   = 112
	valueWidth  = 62

	textColour  = "#717a84"
	ownColour   = "#2f81f7"
	otherColour = "#8b949e"
)

// measured is what a chart shows.
type measured struct {
	title string
	of    func(Result) []float64
}

var (
	theTime = measured{"Time", func(r Result) []float64 { return r.Rounds }}
	theCPU  = measured{"Client CPU", func(r Result) []float64 { return r.CPU }}
)

// chart draws horizontal bars, shorter is better. Each workload has a scale of
// its own, on which its slowest contestant is full.
func (r *Report) chart(m measured) ([]byte, error) {
	var cells [][]Result
	var titles []string
	for _, c := range charted {
		for _, group := range r.groups() {
			if group[0].Transport == c.transport && group[0].Workload == c.workload && !slices.ContainsFunc(group, func(r Result) bool { return len(m.of(r)) == 0 }) {
				cells = append(cells, slices.DeleteFunc(slices.Clone(group), hidden))
				titles = append(titles, c.title)
			}
		}
	}
	if len(cells) == 0 {
		return nil, fmt.Errorf("nothing that the chart shows was measured")
	}
	var b strings.Builder
	y := chartHead
	for i := 0; i < len(cells); i += 2 {
		row := cells[i:min(i+2, len(cells))]
		bars := 0
		for k, cell := range row {
			drawCell(&b, chartMargin+k*(cellWidth+cellGap), y, titles[i+k], cell, m)
			bars = max(bars, len(cell))
		}
		y += cellTitle + bars*barStep + cellFoot
	}
	subtitle := fmt.Sprintf("shorter is better; medians of %d interleaved rounds, PostgreSQL %s, lib/pq %s, pgx %s",
		r.Rounds, firstWord(r.Server), r.Modules["github.com/lib/pq"], r.Modules["github.com/jackc/pgx/v5"])
	head := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s per operation of psyco, lib/pq and pgx" font-family="system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif" font-size="12" fill="%s">
<text x="%d" y="22" font-size="16" font-weight="600">%s per operation</text>
<text x="%d" y="40">%s</text>
`, chartWidth, y, chartWidth, y, m.title, textColour, chartMargin, m.title, chartMargin, html.EscapeString(subtitle))
	return []byte(head + b.String() + "</svg>\n"), nil
}

// hidden is left out of the chart: what programs seldom do, or the same again.
func hidden(r Result) bool {
	return strings.Contains(r.Contestant, "%s") || strings.Contains(r.Contestant, "prepared")
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

func drawCell(b *strings.Builder, x, y int, title string, cell []Result, m measured) {
	fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" font-size=\"13\" font-weight=\"600\">%s</text>\n", x, y+14, html.EscapeString(title))
	slowest := 0.0
	for _, result := range cell {
		slowest = max(slowest, median(m.of(result)))
	}
	const room = cellWidth - nameWidth - valueWidth
	for i, result := range cell {
		top := y + cellTitle + i*barStep
		time := median(m.of(result))
		width := max(1, room*time/slowest)
		colour, weight := otherColour, ""
		if firstWord(result.Contestant) == "psyco" {
			colour, weight = ownColour, ` font-weight="600"`
		}
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\"%s>%s</text>", x+nameWidth-8, top+11, weight, html.EscapeString(result.Contestant))
		fmt.Fprintf(b, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"2\" fill=\"%s\"/>", x+nameWidth, top, width, barHeight, colour)
		fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%d\"%s>%s</text>\n", float64(x+nameWidth)+width+6, top+11, weight, duration(time))
	}
}
