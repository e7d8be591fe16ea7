package psyco_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"iter"
	"log"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
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

// copyDB is the database of the examples, on one connection that keeps its
// temporary tables.
var copyDB = sync.OnceValue(func() *sql.DB {
	server, err := pgserver.Shared(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	db, err := sql.Open("psyco", server.DSN())
	if err != nil {
		log.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	return db
})

// newTable makes an empty temporary table for an example.
func newTable(name, columns string) *sql.DB {
	db := copyDB()
	if _, err := db.Exec("DROP TABLE IF EXISTS " + name + "; CREATE TEMP TABLE " + name + " (" + columns + ")"); err != nil {
		log.Fatal(err)
	}
	return db
}

func ExampleCopyFrom() {
	db := newTable("fruit", "name text, price numeric")
	csv := strings.NewReader("name,price\napple,1.20\npear,\n")
	n, err := psyco.CopyFrom(context.Background(), db, "COPY fruit FROM STDIN (FORMAT csv, HEADER)", csv)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, "rows")
	// Output: 2 rows
}

func ExampleCopyOutRows() {
	type reading struct {
		ID    int
		Value float64
	}
	sum := 0.0
	for r, err := range psyco.CopyOutRows[reading](context.Background(), copyDB(),
		"COPY (SELECT i AS id, i / 2.0::float8 AS value FROM generate_series(1, %s) i) TO STDOUT", 100_000) {
		if err != nil {
			log.Fatal(err)
		}
		sum += r.Value
	}
	fmt.Println(sum)
	// Output: 2.500025e+09
}

func ExampleCopyTo() {
	n, err := psyco.CopyTo(context.Background(), copyDB(), os.Stdout,
		"COPY (SELECT i, i * i AS square FROM generate_series(1, 9) i WHERE i > %s) TO STDOUT (FORMAT csv, HEADER)", 7)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, "rows")
	// Output:
	// i,square
	// 8,64
	// 9,81
	// 2 rows
}

// A reader or writer can also be the last argument of a plain Exec.
func ExampleCopyTo_exec() {
	db := newTable("fruit", "name text, price numeric")
	if _, err := db.Exec("COPY fruit FROM STDIN", strings.NewReader("apple\t1.20\n")); err != nil {
		log.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := db.Exec("COPY fruit TO STDOUT (FORMAT csv)", &out); err != nil {
		log.Fatal(err)
	}
	fmt.Print(out.String())
	// Output: apple,1.20
}

func ExampleCopyRows() {
	db := newTable("reading", "sensor int, at timestamptz, value float8")
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

	// The rows are made while they are sent.
	readings := func(yield func([]any, error) bool) {
		for i := range 100_000 {
			if !yield([]any{i % 10, start.Add(time.Duration(i) * time.Second), float64(i) / 2}, nil) {
				return
			}
		}
	}
	n, err := psyco.CopyRows(context.Background(), db, psyco.Identifier{"reading"}, []string{"sensor", "at", "value"}, readings)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, "rows")
	// Output: 100000 rows
}

func ExampleCopyProgress() {
	db := newTable("fruit", "name text, price numeric")
	_, err := psyco.CopyRows(context.Background(), db, psyco.Identifier{"fruit"}, []string{"name"},
		psyco.SliceRows([][]any{{"apple"}, {"pear"}}),
		psyco.CopyProgress(func(rows, bytes int64) { fmt.Println(rows, "rows,", bytes, "bytes") }))
	if err != nil {
		log.Fatal(err)
	}
	// Output: 2 rows, 42 bytes
}

// How far the loading of a file is.
func ExampleCopyProgress_file() {
	db := newTable("fruit", "name text, price numeric")
	file := strings.NewReader(strings.Repeat("apple,1.20\n", 20_000))
	size := file.Size()

	n, err := psyco.CopyFrom(context.Background(), db, "COPY fruit FROM STDIN (FORMAT csv)", file,
		psyco.CopyProgress(func(_, bytes int64) { fmt.Printf("%d %%\n", 100*bytes/size) }))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, "rows")
	// Output:
	// 29 %
	// 59 %
	// 89 %
	// 100 %
	// 20000 rows
}

// From one server to another, without a file in between.
func ExampleCopyTo_between() {
	ctx := context.Background()
	source, done := exampleDB()
	defer done()
	target, dropTarget := exampleDB()
	defer dropTarget()
	if _, err := target.Exec("TRUNCATE clients"); err != nil {
		log.Fatal(err)
	}

	r, w := io.Pipe()
	var reading sync.WaitGroup
	reading.Go(func() {
		_, err := psyco.CopyTo(ctx, source, w, "COPY clients TO STDOUT (FORMAT binary)")
		w.CloseWithError(err) // without an error, the end of the data
	})
	n, err := psyco.CopyFrom(ctx, target, "COPY clients FROM STDIN (FORMAT binary)", r)
	r.CloseWithError(err) // CopyTo ends, too
	reading.Wait()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, "rows")
	// Output: 3 rows
}

func ExampleCopyTextFormat() {
	db := newTable("visit", "day date")
	_, err := psyco.CopyRows(context.Background(), db, psyco.Identifier{"visit"}, []string{"day"},
		psyco.SliceRows([][]any{{"January 8, 1999"}}), psyco.CopyTextFormat())
	if err != nil {
		log.Fatal(err)
	}
	var day psyco.Date
	if err := db.QueryRow("SELECT day FROM visit").Scan(&day); err != nil {
		log.Fatal(err)
	}
	fmt.Println(day)
	// Output: 1999-01-08
}

func ExampleSliceRows() {
	db := newTable("fruit", "name text, price numeric")
	rows := [][]any{{"apple", "1.20"}, {"pear", nil}}
	n, err := psyco.CopyRows(context.Background(), db, psyco.Identifier{"fruit"}, []string{"name", "price"}, psyco.SliceRows(rows))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, "rows")
	// Output: 2 rows
}

func ExampleStructRows() {
	db := newTable("fruit", "name text, unit_price numeric")
	type fruit struct {
		Name  string
		Price psyco.Numeric `db:"unit_price"`
	}
	fruits := []fruit{{"apple", "1.20"}, {"pear", "0.95"}}
	columns := psyco.StructColumns[fruit]()
	n, err := psyco.CopyRows(context.Background(), db, psyco.Identifier{"fruit"}, columns, psyco.StructRows(columns, slices.Values(fruits)))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, "rows")
	// Output: 2 rows
}

func ExampleStructColumns() {
	type fruit struct {
		ID    int
		Name  string
		Price psyco.Numeric `db:"unit_price"`
		Notes string        `db:"-"`
	}
	fmt.Println(psyco.StructColumns[fruit]())
	// Output: [id name unit_price]
}
