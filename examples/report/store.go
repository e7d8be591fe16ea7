package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco"
)

// store keeps the sales in a schema of its own, so that it meets no table that
// was there before.
type store struct{ db *sql.DB }

// period is the parameters of the queries: the report's year and the one before.
type period struct{ Before, From, To psyco.Date }

var reported = period{
	Before: psyco.Date{Year: previous, Month: time.January, Day: 1},
	From:   psyco.Date{Year: year, Month: time.January, Day: 1},
	To:     psyco.Date{Year: year + 1, Month: time.January, Day: 1},
}

// version is the server's, such as 17.2.
func (s store) version(ctx context.Context) (string, error) {
	var version string
	err := s.db.QueryRowContext(ctx, "SHOW server_version").Scan(&version)
	version, _, _ = strings.Cut(version, " ") // after it, who built the package
	return version, err
}

// once is for transactions that tell of their progress, which must not begin
// again from the start unseen. A run that fails can simply be repeated.
const once = -1

// load makes the schema and fills its table from a CSV file, all or nothing.
func (s store) load(ctx context.Context, file string, progress func(bytes int64)) (rows int64, err error) {
	err = psyco.InTx(ctx, s.db, &psyco.TxOptions{MaxRetries: once}, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `
			CREATE SCHEMA psyco_report;
			CREATE TABLE psyco_report.sale (
				id bigint NOT NULL,
				sold_at timestamp NOT NULL,
				region text NOT NULL,
				product text NOT NULL,
				quantity int NOT NULL,
				price numeric(10,2) NOT NULL)`); err != nil {
			if pq.As(err, pqerror.DuplicateSchema) != nil {
				return errors.New("the schema psyco_report exists already: wait for the run that uses it, " +
					"or if there is none, remove what it left with DROP SCHEMA psyco_report CASCADE")
			}
			return err
		}
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		// FREEZE spares a later visit of each row, and asks for a table that is
		// made in the same transaction.
		rows, err = psyco.CopyFrom(ctx, tx,
			"COPY psyco_report.sale FROM STDIN (FORMAT csv, HEADER, FREEZE)",
			countingReader{f, progress})
		return err
	})
	return rows, err
}

// index is for what follows: sales by time, and a planner that knows the table.
func (s store) index(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, `
		ALTER TABLE psyco_report.sale ADD PRIMARY KEY (id);
		CREATE INDEX ON psyco_report.sale (sold_at, id);
		ANALYZE psyco_report.sale`)
	return err
}

// drop removes everything that load and index made, also when ctx has ended.
func (s store) drop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	_, err := s.db.ExecContext(ctx, "DROP SCHEMA psyco_report CASCADE")
	return err
}

// snapshot runs f in a transaction that changes nothing, all of whose queries
// see the same state of the database.
func (s store) snapshot(ctx context.Context, f func(snapshot) error) error {
	opts := &psyco.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true, MaxRetries: once}
	return psyco.InTx(ctx, s.db, opts, func(tx *sql.Tx) error { return f(snapshot{tx}) })
}

type snapshot struct{ tx *sql.Tx }

// export writes the year's sales as CSV, with their revenue.
func (s snapshot) export(ctx context.Context, w io.Writer) (rows int64, err error) {
	return psyco.CopyTo(ctx, s.tx, w, `
		COPY (SELECT id, sold_at, region, product, quantity, price, quantity * price AS revenue
		        FROM psyco_report.sale
		       WHERE sold_at >= %(from)s AND sold_at < %(to)s
		       ORDER BY sold_at, id)
		TO STDOUT (FORMAT csv, HEADER)`, reported)
}

// writeFile makes a file with what write writes, or none if that fails.
func writeFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Close())
	if err != nil {
		return errors.Join(fmt.Errorf("%s was not written: %w", name, err), os.Remove(name))
	}
	return nil
}
