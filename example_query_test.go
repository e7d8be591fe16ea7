package psyco_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/psyco-go/psyco"
)

// A product is a row of the examples' queries.
type product struct {
	ID    int64
	Name  string
	Price psyco.Numeric
	Note  *string   // may be NULL
	Added time.Time `db:"created_at"`
}

const products = `WITH products (id, name, price, note, created_at) AS (VALUES
	(1, 'tea', 3.50, NULL, '2024-02-29'::timestamp), (2, 'cake', 4.20, 'sweet', '2024-03-01')) `

func ExampleQuery() {
	ctx := context.Background()
	db, done := exampleDB()
	defer done()

	for p, err := range psyco.Query[product](ctx, db, products+"SELECT * FROM products WHERE id IN %s ORDER BY id", []int{1, 2}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(p.ID, p.Name, p.Price, p.Note != nil, p.Added.Format(time.DateOnly))
	}
	// Output:
	// 1 tea 3.50 false 2024-02-29
	// 2 cake 4.20 true 2024-03-01
}

func ExampleQueryAll() {
	ctx := context.Background()
	db, done := exampleDB()
	defer done()

	names, err := psyco.QueryAll[string](ctx, db, products+"SELECT name FROM products ORDER BY name")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(names)

	// A struct in a struct takes the columns with its name in front; behind a
	// pointer it is nil if they are all NULL.
	type review struct {
		Stars int
		Text  string
	}
	type reviewed struct {
		Name   string
		Review *review
	}
	list, err := psyco.QueryAll[reviewed](ctx, db, products+`SELECT name, r.stars AS review_stars, r.text AS review_text
		FROM products p LEFT JOIN (VALUES (2, 5, 'good')) r (product, stars, text) ON r.product = p.id ORDER BY id`)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(list[0].Name, list[0].Review, list[1].Name, *list[1].Review)
	// Output:
	// [cake tea]
	// tea <nil> cake {5 good}
}

func ExampleQueryOne() {
	ctx := context.Background()
	db, done := exampleDB()
	defer done()

	row, err := psyco.QueryOne[map[string]any](ctx, db, products+"SELECT id, price, ARRAY[name] AS tags FROM products WHERE id = %s", 1)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%T %[1]v, %T %[2]v, %T %[3]v\n", row["id"], row["price"], row["tags"])

	_, err = psyco.QueryOne[product](ctx, db, products+"SELECT * FROM products WHERE id = %s", 3)
	fmt.Println(errors.Is(err, sql.ErrNoRows))
	_, err = psyco.QueryOne[product](ctx, db, products+"SELECT * FROM products")
	fmt.Println(errors.Is(err, psyco.ErrTooManyRows))
	// Output:
	// int64 1, psyco.Numeric 3.50, []string [tea]
	// true
	// true
}

func ExampleScanRows() {
	ctx := context.Background()
	db, done := exampleDB()
	defer done()

	rows, err := db.QueryContext(ctx, "SELECT 1; SELECT 'a' AS name, 2 AS n")
	if err != nil {
		log.Fatal(err)
	}
	defer rows.Close()
	for n, err := range psyco.ScanRows[int](rows) {
		fmt.Println(n, err)
	}
	rows.NextResultSet()
	for row, err := range psyco.ScanRows[[]any](rows) {
		fmt.Println(row, err)
	}
	// Output:
	// 1 <nil>
	// [a 2] <nil>
}

func ExampleLax() {
	ctx := context.Background()
	db, done := exampleDB()
	defer done()

	p, err := psyco.QueryOne[product](ctx, db, products+"SELECT id, name, price * 2 AS double FROM products WHERE id = %s", 1, psyco.Lax())
	fmt.Println(p.ID, p.Name, p.Price == "", err)
	// Output: 1 tea true <nil>
}

func ExampleQueryAll_rowFactories() {
	ctx := context.Background()
	db, done := exampleDB()
	defer done()

	type client struct {
		ID    int
		Name  string
		Email *string // may be NULL
	}
	const query = "SELECT id, name, email FROM clients WHERE id IN %s ORDER BY id"

	clients, err := psyco.QueryAll[client](ctx, db, query, []int{1, 2})
	if err != nil {
		log.Fatal(err)
	}
	rows, err := psyco.QueryAll[map[string]any](ctx, db, query, []int{1, 2})
	if err != nil {
		log.Fatal(err)
	}
	names, err := psyco.QueryAll[string](ctx, db, "SELECT name FROM clients ORDER BY id")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(clients[0].Name, rows[1]["name"], names)
	// Output: ACME Corp. Globex [ACME Corp. Globex Initech]
}
