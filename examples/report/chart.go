package main

import (
	"fmt"
	"html/template"
	"strconv"
	"time"

	"github.com/go-analyze/charts"
)

const (
	chartWidth  = 1000
	chartHeight = 300
	million     = 100_000_000 // cents
)

// look is what differs between the light and the dark page.
type look struct{ text, grid, year, before string }

var (
	light = look{text: "#666b85", grid: "#e4e6f0", year: "#4f5bd5", before: "#c3c8ee"}
	dark  = look{text: "#9a9fb8", grid: "#2b2e40", year: "#8d97ff", before: "#454c85"}
)

func (l look) theme() charts.ColorPalette {
	text, grid := charts.ColorFromHex(l.text), charts.ColorFromHex(l.grid)
	return charts.MakeTheme(charts.ThemeOption{
		AxisStrokeColor: grid, AxisSplitLineColor: grid, BackgroundColor: charts.ColorTransparent,
		TextColor: text, TextColorLegend: text, TextColorXAxis: text, TextColorYAxis: text,
		SeriesColors: []charts.Color{charts.ColorFromHex(l.before), charts.ColorFromHex(l.year)},
	})
}

// monthly draws the revenue of each month as SVG, beside that of the year before.
func (f *figures) monthly(l look) (template.HTML, error) {
	values := make([][]float64, 2)
	for _, m := range f.Months {
		values[0] = append(values[0], float64(m.Before)/million)
		values[1] = append(values[1], float64(m.Year)/million)
	}
	opt := charts.NewBarChartOptionWithData(values)
	opt.Theme, opt.Padding = l.theme(), charts.NewBox(0, 0, 10, 8)
	opt.CategoryAxis.Labels = monthNames()
	opt.Legend = legend()
	opt.ValueFormatter = millions
	opt.ValueAxis = []charts.ValueAxisOption{{Min: charts.Ptr(0.0)}}
	return l.draw(func(p *charts.Painter) error { return p.BarChart(opt) })
}

// running draws the revenue since New Year as SVG, day by day.
func (f *figures) running(l look) (template.HTML, error) {
	values := make([][]float64, 2)
	for i, totals := range f.Running {
		for day := range 365 { // the last day of a leap year has no counterpart
			value := charts.GetNullValue()
			if day < len(totals) {
				value = float64(totals[day]) / million
			}
			values[i] = append(values[i], value)
		}
	}
	// The axis puts its labels at equal distances: each names the month whose
	// beginning is nearest.
	labels := make([]string, 365)
	for day := range 350 {
		labels[day] = time.Date(year, 1, 1+day+15, 0, 0, 0, 0, time.UTC).Format("Jan")
	}
	opt := charts.NewLineChartOptionWithData(values)
	opt.Theme, opt.Padding = l.theme(), charts.NewBox(0, 0, 10, 8)
	opt.XAxis.Labels = labels
	opt.XAxis.LabelCount = 13
	opt.XAxis.BoundaryGap = charts.Ptr(false)
	opt.Legend = legend()
	opt.LineStrokeWidth = 2.5
	opt.Symbol = charts.Symbol{Shape: charts.SymbolNone}
	opt.ValueFormatter = millions
	opt.YAxis = []charts.YAxisOption{{Min: charts.Ptr(0.0)}}
	return l.draw(func(p *charts.Painter) error { return p.LineChart(opt) })
}

func legend() charts.LegendOption {
	return charts.LegendOption{
		SeriesNames: []string{strconv.Itoa(previous), strconv.Itoa(year)},
		Offset:      charts.OffsetRight,
		Symbol:      charts.SymbolSquare,
	}
}

func (l look) draw(chart func(*charts.Painter) error) (template.HTML, error) {
	p := charts.NewPainter(charts.PainterOptions{
		OutputFormat: charts.ChartOutputSVG, Width: chartWidth, Height: chartHeight,
	})
	if err := chart(p); err != nil {
		return "", fmt.Errorf("the chart: %w", err)
	}
	svg, err := p.Bytes()
	return template.HTML(svg), err
}

func millions(v float64) string { return fmt.Sprintf("$%.3g M", v) }

func monthNames() []string {
	var names []string
	for m := time.January; m <= time.December; m++ {
		names = append(names, m.String()[:3])
	}
	return names
}
