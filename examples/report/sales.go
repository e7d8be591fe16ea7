package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// The report is about a year, compared with the one before.
const (
	year     = 2025
	previous = year - 1
)

// sale is one row of the data.
type sale struct {
	id       int64
	at       time.Time // on the shop's clock, in whole seconds
	region   string
	product  string
	quantity int64
	price    money // of one
}

func (s sale) revenue() money { return money(s.quantity) * s.price }

// choice is a product or a region, and how often it is chosen.
type choice struct {
	name   string
	weight float64
	growth float64 // of the weight, from the first day to the last
	price  money
}

var products = []choice{
	{"Anvil, 50 kg", 7, 0.1, 129_00},
	{"Bird seed", 24, 0.2, 9_90},
	{"Boulders, dehydrated", 9, 0.6, 24_50},
	{"Earthquake pills", 11, -0.2, 18_75},
	{"Elastic, 100 m", 8, 0.1, 45_50},
	{"Invisible paint", 10, 0.3, 32_00},
	{"Kite, large", 4, -0.1, 54_00},
	{"Magnet, giant", 6, 0.0, 249_00},
	{"Portable hole", 5, 1.2, 189_00},
	{"Rocket skates", 8, 0.5, 159_95},
	{"Spring shoes", 9, -0.4, 74_90},
	{"Trampoline", 5, 0.2, 219_00},
	{"Tunnel, instant", 6, 0.3, 89_00},
}

var regions = []choice{
	{name: "Africa", weight: 8, growth: 0.9},
	{name: "Asia", weight: 27, growth: 0.5},
	{name: "Europe", weight: 29, growth: 0},
	{name: "North America", weight: 26, growth: -0.1},
	{name: "Oceania", weight: 5, growth: 0.2},
	{name: "South America", weight: 9, growth: 0.3},
}

// sales generates n sales of the two years in the order of their times: the same
// ones whenever it is called.
func sales(n int64) iter.Seq[sale] {
	return func(yield func(sale) bool) {
		random := rand.New(rand.NewPCG(year, uint64(n)))
		begin := time.Date(previous, 1, 1, 0, 0, 0, 0, time.UTC)
		days := int(time.Date(year+1, 1, 1, 0, 0, 0, 0, time.UTC).Sub(begin) / (24 * time.Hour))

		until := make([]float64, days) // the share of the sales that the days up to this one have
		sum := 0.0
		for d := range days {
			sum += demand(begin.AddDate(0, 0, d), float64(d)/float64(days)) * (0.9 + 0.2*random.Float64())
			until[d] = sum
		}
		var id int64
		for d := range days {
			seconds := make([]int, int64(math.Round(until[d]/sum*float64(n)))-id)
			for i := range seconds {
				seconds[i] = int(8*3600 + 12*3600*(random.Float64()+random.Float64())/2) // 8 to 20 h, most at 14 h
			}
			slices.Sort(seconds)
			trend := float64(d) / float64(days)
			for _, s := range seconds {
				id++
				product := pick(random, products, trend)
				next := sale{
					id:       id,
					at:       begin.AddDate(0, 0, d).Add(time.Duration(s) * time.Second),
					region:   pick(random, regions, trend).name,
					product:  product.name,
					quantity: 1 + int64(random.ExpFloat64()*1.2),
					price:    product.price,
				}
				if !yield(next) {
					return
				}
			}
		}
	}
}

// demand is how much is bought on a day: more every year, much before the
// holidays, less in summer and on Sundays.
func demand(day time.Time, trend float64) float64 {
	season := 1 + 0.12*math.Cos(2*math.Pi*float64(day.YearDay())/365)
	if day.Month() == time.November || day.Month() == time.December && day.Day() < 24 {
		season += 0.45
	}
	if day.Weekday() == time.Sunday {
		season *= 0.6
	}
	return season * (1 + 0.3*trend)
}

func pick(random *rand.Rand, from []choice, trend float64) choice {
	sum := 0.0
	for _, c := range from {
		sum += c.weight * (1 + c.growth*trend)
	}
	left := random.Float64() * sum
	for _, c := range from {
		if left -= c.weight * (1 + c.growth*trend); left < 0 {
			return c
		}
	}
	return from[len(from)-1]
}

// writeSales writes n sales as CSV, with a line of column names.
func writeSales(ctx context.Context, w io.Writer, n int64, progress func(rows int64)) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"id", "sold_at", "region", "product", "quantity", "price"}); err != nil {
		return err
	}
	for s := range sales(n) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := out.Write([]string{
			strconv.FormatInt(s.id, 10), s.at.Format(time.DateTime), s.region, s.product,
			strconv.FormatInt(s.quantity, 10), s.price.decimal(),
		}); err != nil {
			return err
		}
		progress(1)
	}
	out.Flush()
	return out.Error()
}

// money is an amount in cents.
type money int64

// decimal is the amount as the server reads and writes it.
func (m money) decimal() string { return fmt.Sprintf("%d.%02d", m/100, m%100) }

// String is the amount for people, in whole units.
func (m money) String() string { return "$" + thousands(int64(m+50)/100) }

// thousands writes 1234567 as 1,234,567.
func thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
