package psyco_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
)

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
