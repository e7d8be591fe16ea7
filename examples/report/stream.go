package main

import (
	"context"
	"time"

	"github.com/psyco-go/psyco"
)

// stream reads every sale in the order of time and fills in what depends on that
// order. The rows stay on the server until they are read, a batch at a time: so
// memory holds an hour of sales and a sum for each day, however many there are.
func (s snapshot) stream(ctx context.Context, f *figures, progress func(rows int64)) (n int64, err error) {
	type row struct {
		SoldAt  time.Time
		Revenue money
	}
	var hour window
	var today, highest record
	// endDay asks for the best product of a record day, while the rows are open.
	endDay := func() error {
		if today.Day.Year() != year || today.Revenue <= highest.Revenue {
			return nil
		}
		highest = today
		if err := s.bestProduct(ctx, &highest); err != nil {
			return err
		}
		f.Records = append(f.Records, highest)
		return nil
	}
	for r, err := range psyco.Query[row](ctx, s.tx, `
		SELECT sold_at, (100 * quantity * price)::bigint AS revenue
		  FROM psyco_report.sale
		 WHERE sold_at >= %(before)s AND sold_at < %(to)s
		 ORDER BY sold_at, id`, reported, psyco.ServerSide(0)) {
		if err != nil {
			return n, err
		}
		n++
		progress(1)

		if day := midnight(r.SoldAt); !day.Equal(today.Day) {
			if err := endDay(); err != nil {
				return n, err
			}
			today = record{Day: day}
		}
		today.Revenue += r.Revenue
		f.addRunning(r.SoldAt, r.Revenue)
		if r.SoldAt.Year() == year {
			if count := hour.add(r.SoldAt); count > f.BusySales {
				f.BusyHour, f.BusySales = hour.times[0], count
			}
		}
	}
	return n, endDay()
}

// addRunning adds revenue to the running total of its year.
func (f *figures) addRunning(at time.Time, revenue money) {
	totals := &f.Running[at.Year()-previous]
	for len(*totals) < at.YearDay() {
		var soFar money
		if len(*totals) > 0 {
			soFar = (*totals)[len(*totals)-1]
		}
		*totals = append(*totals, soFar)
	}
	(*totals)[at.YearDay()-1] += revenue
}

func (s snapshot) bestProduct(ctx context.Context, r *record) error {
	return s.tx.QueryRowContext(ctx, `
		SELECT product, (100 * sum(quantity * price))::bigint AS share
		  FROM psyco_report.sale
		 WHERE sold_at >= %s AND sold_at < %s
		 GROUP BY product
		 ORDER BY share DESC, product
		 LIMIT 1`, psyco.DateOf(r.Day), psyco.DateOf(r.Day.AddDate(0, 0, 1)),
	).Scan(&r.Product, &r.Share)
}

func midnight(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, t.Location())
}

// window holds the times of the last 60 minutes.
type window struct{ times []time.Time }

// add adds a time, which is not before the last one, and returns how many there
// are now.
func (w *window) add(t time.Time) int64 {
	old := 0
	for old < len(w.times) && t.Sub(w.times[old]) >= time.Hour {
		old++
	}
	w.times = append(w.times[old:], t)
	return int64(len(w.times))
}
