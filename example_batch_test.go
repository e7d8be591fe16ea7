package psyco_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"log"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
)

// fruitDB has an empty table of fruit: (name text PRIMARY KEY, price int).
func fruitDB() *sql.DB {
	_, db := exampleServer()
	db.SetMaxOpenConns(1) // the table lives as long as the connection
	if _, err := db.Exec("CREATE TEMP TABLE fruit (name text PRIMARY KEY, price int)"); err != nil {
		log.Fatal(err)
	}
	return db
}

// fruit are rows for the table.
func fruit(rows ...[]any) iter.Seq2[[]any, error] {
	return func(yield func([]any, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}

func ExampleExecMany() {
	db := fruitDB()
	defer db.Close()

	n, err := psyco.ExecMany(context.Background(), db, "INSERT INTO fruit VALUES (%s, %s)", func(yield func([]any, error) bool) {
		for i := range 10_000 {
			if !yield([]any{fmt.Sprintf("apple %d", i), i % 100}, nil) {
				return
			}
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, "rows")
	// Output: 10000 rows
}

// The row that the server refused, and what it said.
func ExampleRowError() {
	db := fruitDB()
	defer db.Close()

	_, err := psyco.ExecMany(context.Background(), db, "INSERT INTO fruit VALUES (%(name)s, %(price)s)", fruit(
		[]any{map[string]any{"name": "apple", "price": 3}},
		[]any{map[string]any{"name": "apple", "price": 4}},
	))
	var row *psyco.RowError
	var server *pq.Error
	if errors.As(err, &row) && errors.As(err, &server) {
		fmt.Println("row", row.Row, "breaks", server.Constraint)
	}
	// Output: row 2 breaks fruit_pkey
}

func ExampleExecValues() {
	db := fruitDB()
	defer db.Close()

	n, err := psyco.ExecValues(context.Background(), db, "INSERT INTO fruit (name, price) VALUES %s ON CONFLICT DO NOTHING",
		fruit([]any{"apple", 3}, []any{"pear", nil}, []any{"apple", 5}), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, "rows")
	// Output: 2 rows
}

// Rows that are mappings, an expression for each, and what comes back.
func ExampleValuesOptions() {
	db := fruitDB()
	defer db.Close()

	type item struct {
		Name  string
		Cents int
	}
	_, err := psyco.ExecValues(context.Background(), db, "INSERT INTO fruit (name, price) VALUES %s RETURNING name, price",
		fruit([]any{item{"apple", 250}}, []any{item{"pear", 320}}), &psyco.ValuesOptions{
			Template: "(upper(%(name)s), %(cents)s / 100)",
			PageSize: 500,
			Each: func(row *sql.Rows) error {
				var name string
				var price int
				if err := row.Scan(&name, &price); err != nil {
					return err
				}
				fmt.Println(name, price)
				return nil
			},
		})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// APPLE 2
	// PEAR 3
}

func ExampleBatch() {
	db := fruitDB()
	defer db.Close()

	var b psyco.Batch
	b.Queue("INSERT INTO fruit VALUES (%s, %s), (%s, %s)", "apple", 3, "pear", 4)
	b.Queue("UPDATE fruit SET price = price + %s", 1)
	b.Queue("SELECT name, price FROM fruit ORDER BY name").Each(func(row *sql.Rows) error {
		var name string
		var price int
		if err := row.Scan(&name, &price); err != nil {
			return err
		}
		fmt.Println(name, price)
		return nil
	})
	if err := b.Run(context.Background(), db); err != nil {
		log.Fatal(err)
	}
	// Output:
	// apple 4
	// pear 5
}

func ExampleBatch_Queue() {
	var b psyco.Batch
	b.Queue("DELETE FROM fruit WHERE price > %s", 10)
	b.Queue("UPDATE fruit SET price = %(price)s WHERE name = %(name)s", map[string]any{"name": "pear", "price": 5})
	fmt.Println(b.Len(), "statements")
	// Output: 2 statements
}

func ExampleBatch_Len() {
	var b psyco.Batch
	for b.Len() < 3 {
		b.Queue("SELECT %s", b.Len())
	}
	fmt.Println(b.Len())
	// Output: 3
}

// In a transaction a batch is a part of it.
func ExampleBatch_Run() {
	db := fruitDB()
	defer db.Close()

	ctx := context.Background()
	err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
		var b psyco.Batch
		b.Queue("INSERT INTO fruit VALUES (%s, %s)", "apple", 3)
		b.Queue("INSERT INTO fruit VALUES (%s, %s)", "pear", 4)
		if err := b.Run(ctx, tx); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT count(*) FROM fruit").Scan(new(int))
	})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleBatchStatement() {
	db := fruitDB()
	defer db.Close()

	var b psyco.Batch
	statements := []*psyco.BatchStatement{
		b.Queue("INSERT INTO fruit VALUES (%s, %s)", "apple", 3),
		b.Queue("INSERT INTO fruit VALUES (%s, %s)", "apple", 4),
		b.Queue("INSERT INTO fruit VALUES (%s, %s)", "pear", 5),
	}
	fmt.Println(b.Run(context.Background(), db) != nil)
	for _, s := range statements {
		_, err := s.RowsAffected()
		fmt.Println(pq.As(err) != nil, errors.Is(err, psyco.ErrPipelineAborted))
	}
	// Output:
	// true
	// false false
	// true false
	// false true
}

func ExampleBatchStatement_Each() {
	db := fruitDB()
	defer db.Close()

	names := []string{}
	var b psyco.Batch
	b.Queue("INSERT INTO fruit VALUES (%s, 1), (%s, 2) RETURNING name", "apple", "pear").Each(func(row *sql.Rows) error {
		var name string
		err := row.Scan(&name)
		names = append(names, name)
		return err
	})
	if err := b.Run(context.Background(), db); err != nil {
		log.Fatal(err)
	}
	fmt.Println(names)
	// Output: [apple pear]
}

func ExampleBatchStatement_RowsAffected() {
	db := fruitDB()
	defer db.Close()

	var b psyco.Batch
	insert := b.Queue("INSERT INTO fruit VALUES (%s, 1), (%s, 2)", "apple", "pear")
	remove := b.Queue("DELETE FROM fruit WHERE price > %s", 1)
	if err := b.Run(context.Background(), db); err != nil {
		log.Fatal(err)
	}
	inserted, _ := insert.RowsAffected()
	removed, _ := remove.RowsAffected()
	fmt.Println(inserted, removed)
	// Output: 2 1
}

func ExampleBatchError() {
	db := fruitDB()
	defer db.Close()

	var b psyco.Batch
	b.Queue("INSERT INTO fruit VALUES (%s, %s)", "apple", 3)
	b.Queue("SELECT price / %s FROM fruit", 0)
	err := b.Run(context.Background(), db)
	var failed *psyco.BatchError
	if errors.As(err, &failed) {
		fmt.Println(failed.Statement, failed.Query)
		fmt.Println(err)
	}
	// Output:
	// 2 SELECT price / %s FROM fruit
	// psyco: statement 2 of the batch: pq: division by zero (22012)
}
