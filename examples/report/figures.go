package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/psyco-go/psyco"
)

// figures is what the report says.
type figures struct {
	All       int64 // sales of both years
	Sales     int64
	Units     int64
	Revenue   comparison
	Basket    comparison     // the average sale
	Months    [12]comparison // revenue
	Products  []line
	Regions   []line
	Running   [2][]money // revenue since New Year by day: of the year before, of the year
	Records   []record
	BusyHour  time.Time // when the 60 minutes with the most sales began
	BusySales int64
}

// comparison is an amount of the year and that of the year before.
type comparison struct{ Year, Before money }

// Change is how much more it is, such as "+12.3 %".
func (c comparison) Change() string {
	if c.Before == 0 {
		return "new"
	}
	return fmt.Sprintf("%+.1f %%", 100*(float64(c.Year)/float64(c.Before)-1))
}

func (c comparison) Fell() bool { return c.Year < c.Before }

// line is one of a table's, for a product or a region.
type line struct {
	Name    string
	Units   int64
	Revenue comparison
}

// record is a day with more revenue than any day of the year before it, and
// what contributed most.
type record struct {
	Day     time.Time
	Revenue money
	Product string
	Share   money
}

// aggregate fills in what the server adds up.
func (s snapshot) aggregate(ctx context.Context, f *figures) error {
	var before int64
	if err := s.tx.QueryRowContext(ctx, `
		SELECT count(*),
		       count(*) FILTER (WHERE sold_at >= %(from)s),
		       coalesce(sum(quantity) FILTER (WHERE sold_at >= %(from)s), 0),
		       count(*) FILTER (WHERE sold_at < %(from)s)
		  FROM psyco_report.sale
		 WHERE sold_at >= %(before)s AND sold_at < %(to)s`, reported,
	).Scan(&f.All, &f.Sales, &f.Units, &before); err != nil {
		return err
	}
	if err := s.months(ctx, f); err != nil {
		return err
	}
	for _, m := range f.Months {
		f.Revenue.Year += m.Year
		f.Revenue.Before += m.Before
	}
	f.Basket = comparison{f.Revenue.Year / money(max(1, f.Sales)), f.Revenue.Before / money(max(1, before))}
	var err error
	if f.Products, err = s.lines(ctx, "product"); err != nil {
		return err
	}
	f.Regions, err = s.lines(ctx, "region")
	return err
}

func (s snapshot) months(ctx context.Context, f *figures) error {
	type row struct {
		Month    int
		ThisYear bool
		Revenue  money
	}
	for r, err := range psyco.Query[row](ctx, s.tx, `
		SELECT extract(month FROM sold_at)::int AS month,
		       sold_at >= %(from)s AS this_year,
		       (100 * sum(quantity * price))::bigint AS revenue
		  FROM psyco_report.sale
		 WHERE sold_at >= %(before)s AND sold_at < %(to)s
		 GROUP BY 1, 2`, reported) {
		if err != nil {
			return err
		}
		if r.ThisYear {
			f.Months[r.Month-1].Year = r.Revenue
		} else {
			f.Months[r.Month-1].Before = r.Revenue
		}
	}
	return nil
}

// lines returns the revenue for each value of a column, the largest first.
func (s snapshot) lines(ctx context.Context, column string) ([]line, error) {
	query, err := psyco.Compose(`
		SELECT {column} AS name,
		       coalesce(sum(quantity) FILTER (WHERE sold_at >= %(from)s), 0) AS units,
		       coalesce((100 * sum(quantity * price) FILTER (WHERE sold_at >= %(from)s))::bigint, 0) AS revenue_year,
		       coalesce((100 * sum(quantity * price) FILTER (WHERE sold_at < %(from)s))::bigint, 0) AS revenue_before
		  FROM psyco_report.sale
		 WHERE sold_at >= %(before)s AND sold_at < %(to)s
		 GROUP BY {column}
		 ORDER BY revenue_year DESC, {column}`, sql.Named("column", psyco.Identifier{column}))
	if err != nil {
		return nil, err
	}
	return psyco.QueryAll[line](ctx, s.tx, query, reported)
}
