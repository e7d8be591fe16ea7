package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/psyco-go/psyco"
)

// The sections of before.py about queries and values, COPY and many rows.

func (p *program) connecting(ctx context.Context) error {
	db, err := sql.Open("psyco", p.dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	answer, err := psyco.QueryOne[int](ctx, db, "SELECT 6 * 7")
	if err != nil {
		return err
	}
	p.print(answer)
	return nil
}

func (p *program) parameters(ctx context.Context) error {
	_, err := p.db.ExecContext(ctx, "INSERT INTO clients (name, email) VALUES (%s, %s)", "Hooli", "hi@hooli.example")
	if err != nil {
		return err
	}
	email, err := psyco.QueryOne[string](ctx, p.db, "SELECT email FROM clients WHERE name = %(name)s", map[string]any{"name": "Hooli"})
	if err != nil {
		return err
	}
	p.print(email)

	for name, err := range psyco.Query[string](ctx, p.db, "SELECT name FROM clients WHERE id IN %s ORDER BY id", []int{1, 2, 3}) {
		if err != nil {
			return err
		}
		p.print(name)
	}

	n, err := psyco.QueryOne[int](ctx, p.db, "SELECT count(*) FROM clients WHERE email LIKE '%%.example' AND id > %s", 1)
	if err != nil {
		return err
	}
	p.print(n)

	question, err := psyco.QueryOne[string](ctx, p.db, "SELECT %(word)s || ' or not ' || %(word)s", map[string]any{"word": "to be"})
	if err != nil {
		return err
	}
	p.print(question)

	bobby := "Robert'); DROP TABLE clients;--"
	bobby, err = psyco.QueryOne[string](ctx, p.db, "INSERT INTO clients (name) VALUES (%s) RETURNING name", bobby)
	if err != nil {
		return err
	}
	p.print(bobby)
	return nil
}

func (p *program) composition(ctx context.Context) error {
	query, err := psyco.Compose("SELECT {} FROM {} WHERE id = %s", psyco.Identifier{"name"}, psyco.Identifier{schema, "clients"})
	if err != nil {
		return err
	}
	name, err := psyco.QueryOne[string](ctx, p.db, query, 2)
	if err != nil {
		return err
	}
	p.print(name)
	text, err := psyco.Mogrify("SELECT %s, %s", 7, "it's")
	if err != nil {
		return err
	}
	p.print(text)
	return nil
}

func (p *program) values(ctx context.Context) error {
	row, err := psyco.QueryOne[[]any](ctx, p.db, "SELECT %s, %s, %s, %s * 2", nil, true, 14, 1.25)
	if err != nil {
		return err
	}
	if err := p.show(row); err != nil {
		return err
	}

	var (
		numbers []int
		wait    time.Duration
		price   psyco.Numeric
	)
	err = p.db.QueryRowContext(ctx, "SELECT %s::int[], %s::interval, %s", []int{1, 2}, 36*time.Hour, psyco.Numeric("1.50")).
		Scan(psyco.Into(&numbers), psyco.Into(&wait), &price)
	if err != nil {
		return err
	}
	if err := p.show([]any{numbers, int(wait.Seconds()), price}); err != nil {
		return err
	}

	its := "it's"
	row, err = psyco.QueryOne[[]any](ctx, p.db, "SELECT %s::text[], %s::int[]", []*string{&its, nil}, [][]int{{1, 2}, {3, 4}})
	if err != nil {
		return err
	}
	if err := p.show(row); err != nil {
		return err
	}

	data, err := psyco.QueryOne[[]byte](ctx, p.db, "SELECT %s::bytea", []byte("\x00\xff"))
	if err != nil {
		return err
	}
	p.print(hex.EncodeToString(data))

	size, err := psyco.QueryOne[int](ctx, p.db, "SELECT %s::jsonb -> 'size'", psyco.JSON[any]{V: map[string]any{"size": 14}})
	if err != nil {
		return err
	}
	p.print(size)

	within, err := psyco.QueryOne[bool](ctx, p.db, "SELECT %s::int4range @> %s", psyco.Range[int32]{Lower: 1, LowerInc: true, Upper: 10}, 9)
	if err != nil {
		return err
	}
	if err := p.show(within); err != nil {
		return err
	}

	name, err := psyco.QueryOne[string](ctx, p.db, "SELECT name FROM clients WHERE (id, name) IN %s", [][]any{{2, "Globex"}, {3, "Globex"}})
	if err != nil {
		return err
	}
	p.print(name)
	return nil
}

func (p *program) dates(ctx context.Context) error {
	since, err := psyco.QueryOne[psyco.Date](ctx, p.db, "INSERT INTO clients (name, since) VALUES (%s, %s) RETURNING since",
		"Wonka", psyco.Date{Year: 1971, Month: time.June, Day: 30})
	if err != nil {
		return err
	}
	p.print(since)

	noon := time.Date(2024, time.February, 29, 12, 0, 0, 0, time.UTC)
	later, err := psyco.QueryOne[time.Time](ctx, p.db, "SELECT %s + %s", noon, 90*time.Minute)
	if err != nil {
		return err
	}
	p.print(later.UTC().Format("2006-01-02T15:04:05-07:00"))

	naive, err := psyco.QueryOne[time.Time](ctx, p.db, "SELECT %s::timestamp", psyco.Timestamp{Time: noon})
	if err != nil {
		return err
	}
	p.print(naive.Format("2006-01-02T15:04:05"))
	return nil
}

func (p *program) copy(ctx context.Context) error {
	name := filepath.Join(p.dir, "clients.csv")
	if err := os.WriteFile(name, []byte("name,email\nStark,tony@stark.example\nWayne,\n"), 0o600); err != nil {
		return err
	}

	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	loaded, err := psyco.CopyFrom(ctx, p.db, "COPY clients (name, email) FROM STDIN (FORMAT csv, HEADER)", file)
	if err != nil {
		return err
	}
	p.print(loaded)
	var report bytes.Buffer
	_, err = psyco.CopyTo(ctx, p.db, &report, "COPY (SELECT name, email FROM clients ORDER BY id) TO STDOUT (FORMAT csv)")
	if err != nil {
		return err
	}
	fmt.Fprint(p.out, &report)

	rows := psyco.SliceRows([][]any{{"Hooli", "2020-01-01"}, {"Umbrella", nil}})
	loaded, err = psyco.CopyRows(ctx, p.db, psyco.Identifier{"clients"}, []string{"name", "since"}, rows)
	if err != nil {
		return err
	}
	p.print(loaded)
	return nil
}

func (p *program) manyRows(ctx context.Context) error {
	_, err := psyco.ExecMany(ctx, p.db, "UPDATE clients SET total = %s WHERE id = %s", psyco.SliceRows([][]any{{10, 1}, {20, 2}}))
	if err != nil {
		return err
	}
	_, err = psyco.ExecValues(ctx, p.db, "INSERT INTO clients (name, email) VALUES %s",
		psyco.SliceRows([][]any{{"Hooli", nil}, {"Umbrella", nil}}), nil)
	if err != nil {
		return err
	}
	var ids []int
	_, err = psyco.ExecValues(ctx, p.db, "INSERT INTO clients (name) VALUES %s RETURNING id",
		psyco.SliceRows([][]any{{"Stark"}, {"Wayne"}}), &psyco.ValuesOptions{Each: func(row *sql.Rows) error {
			var id int
			err := row.Scan(&id)
			ids = append(ids, id)
			return err
		}})
	if err != nil {
		return err
	}
	if err := p.show(ids); err != nil {
		return err
	}

	row, err := psyco.QueryOne[[]any](ctx, p.db, "SELECT sum(total), count(*) FROM clients")
	if err != nil {
		return err
	}
	p.print(row...)
	return nil
}
