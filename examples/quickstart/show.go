package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// printer writes what the program does: numbered steps with their results.
type printer struct {
	w     io.Writer
	steps int
}

func (p *printer) step(what string) {
	p.steps++
	fmt.Fprintf(p.w, "\n%d. %s\n", p.steps, what)
}

func (p *printer) print(s string) {
	fmt.Fprintln(p.w, "   "+strings.ReplaceAll(s, "\n", "\n   "))
}

// show runs a query and prints its rows as a table.
func (p *printer) show(ctx context.Context, db *sql.DB, query string, args ...any) error {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "   "+strings.Join(names, "\t"))
	values := make([]any, len(names))
	for i := range values {
		values[i] = new(any)
	}
	for rows.Next() {
		if err := rows.Scan(values...); err != nil {
			return err
		}
		cells := make([]string, len(values))
		for i, v := range values {
			cells[i] = cell(*v.(*any))
		}
		fmt.Fprintln(w, "   "+strings.Join(cells, "\t"))
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return w.Flush()
}

func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case []byte:
		return string(v)
	case time.Time:
		return v.Format("2006-01-02 15:04:05")
	}
	return fmt.Sprint(v)
}
