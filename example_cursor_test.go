package psyco_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/psyco-go/psyco"
)

// A result of any size is read in constant memory, while other statements run
// in the same transaction.
func ExampleServerSide() {
	db, done := exampleDB()
	defer done()

	tx, err := db.Begin()
	if err != nil {
		log.Fatal(err)
	}
	defer tx.Rollback()
	rows, err := tx.Query("SELECT id, name FROM clients WHERE id >= %s ORDER BY id", 2, psyco.ServerSide(0))
	if err != nil {
		log.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int
		var name string
		if err := rows.Scan(&id, &name); err != nil {
			log.Fatal(err)
		}
		if _, err := tx.Exec("UPDATE clients SET total = total + %s WHERE id = %s", 10, id); err != nil {
			log.Fatal(err)
		}
		fmt.Println(name)
	}
	if err := rows.Err(); err != nil {
		log.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// Globex
	// Initech
}

// exampleCursor declares a cursor over the numbers from 1 to 9.
func exampleCursor() (cur *psyco.Cursor, done func()) {
	db, drop := exampleDB()
	tx, err := db.Begin()
	if err != nil {
		log.Fatal(err)
	}
	cur, err = psyco.DeclareCursor(context.Background(), tx, "numbers", &psyco.CursorOptions{Scroll: true},
		"SELECT i::text FROM generate_series(1, %s) i", 9)
	if err != nil {
		log.Fatal(err)
	}
	return cur, func() { tx.Rollback(); drop() }
}

func ExampleDeclareCursor() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()

	err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
		cur, err := psyco.DeclareCursor(ctx, tx, "by name", nil, "SELECT name FROM clients WHERE id > %s ORDER BY name", 0)
		if err != nil {
			return err
		}
		defer cur.Close(ctx)
		rows, err := cur.Fetch(ctx, 2)
		if err != nil {
			return err
		}
		printNames(rows)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// ACME Corp.
	// Globex
}

// A cursor that is WITH HOLD needs no transaction.
func ExampleCursorOptions() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()

	conn, err := db.Conn(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	cur, err := psyco.DeclareCursor(ctx, conn, "all", &psyco.CursorOptions{Hold: true, NoScroll: true}, "SELECT name FROM clients ORDER BY id")
	if err != nil {
		log.Fatal(err)
	}
	defer cur.Close(ctx)
	if _, err := conn.ExecContext(ctx, "DELETE FROM clients"); err != nil {
		log.Fatal(err)
	}
	rows, err := cur.FetchAll(ctx)
	if err != nil {
		log.Fatal(err)
	}
	printNames(rows)
	// Output:
	// ACME Corp.
	// Globex
	// Initech
}

// A function opens a cursor, and the program reads from it.
func ExampleAdoptCursor() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()

	if _, err := db.Exec(`CREATE FUNCTION clients_since(day date) RETURNS refcursor LANGUAGE plpgsql AS $$
		DECLARE c refcursor;
		BEGIN
			OPEN c FOR SELECT name FROM clients WHERE since >= day ORDER BY since;
			RETURN c;
		END $$`); err != nil {
		log.Fatal(err)
	}
	err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
		var name string
		if err := tx.QueryRow("SELECT clients_since(%s)", "2021-01-01").Scan(&name); err != nil {
			return err
		}
		rows, err := psyco.AdoptCursor(tx, name).FetchAll(ctx)
		if err != nil {
			return err
		}
		printNames(rows)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// Globex
	// Initech
}

func ExampleCursor() {
	cur, done := exampleCursor()
	defer done()
	ctx := context.Background()

	if _, err := cur.Move(ctx, 4); err != nil {
		log.Fatal(err)
	}
	rows, err := cur.Fetch(ctx, 2)
	if err != nil {
		log.Fatal(err)
	}
	printNames(rows)
	// Output:
	// 5
	// 6
}

func ExampleCursor_Name() {
	cur, done := exampleCursor()
	defer done()

	fmt.Println(cur.Name())
	// Output: numbers
}

// Negative numbers go backward.
func ExampleCursor_Fetch() {
	cur, done := exampleCursor()
	defer done()
	ctx := context.Background()

	for _, n := range []int{3, -2} {
		rows, err := cur.Fetch(ctx, n)
		if err != nil {
			log.Fatal(err)
		}
		printNames(rows)
	}
	// Output:
	// 1
	// 2
	// 3
	// 2
	// 1
}

func ExampleCursor_FetchAll() {
	cur, done := exampleCursor()
	defer done()
	ctx := context.Background()

	if _, err := cur.Scroll(ctx, -3, psyco.ScrollAbsolute); err != nil {
		log.Fatal(err)
	}
	rows, err := cur.FetchAll(ctx)
	if err != nil {
		log.Fatal(err)
	}
	printNames(rows)
	// Output:
	// 8
	// 9
}

// The rows come from the server four at a time.
func ExampleCursor_Rows() {
	cur, done := exampleCursor()
	defer done()

	rows, err := cur.Rows(context.Background(), 4)
	if err != nil {
		log.Fatal(err)
	}
	defer rows.Close()
	sum := 0
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			log.Fatal(err)
		}
		sum += n
	}
	if err := rows.Err(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(sum)
	// Output: 45
}

func ExampleCursor_Move() {
	cur, done := exampleCursor()
	defer done()

	n, err := cur.Move(context.Background(), 100)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, "rows")
	// Output: 9 rows
}

func ExampleCursor_Scroll() {
	cur, done := exampleCursor()
	defer done()
	ctx := context.Background()

	for _, n := range []int{5, 100} {
		there, err := cur.Scroll(ctx, n, psyco.ScrollAbsolute)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("row %d: %v\n", n, there)
	}
	// Output:
	// row 5: true
	// row 100: false
}

func ExampleScrollMode() {
	cur, done := exampleCursor()
	defer done()
	ctx := context.Background()

	cur.Scroll(ctx, 6, psyco.ScrollAbsolute)
	cur.Scroll(ctx, -2, psyco.ScrollRelative)
	rows, err := cur.Fetch(ctx, 0) // the current row
	if err != nil {
		log.Fatal(err)
	}
	printNames(rows)
	// Output: 4
}

// Close may be called at any time, also when the transaction is over.
func ExampleCursor_Close() {
	cur, done := exampleCursor()
	done()

	fmt.Println(cur.Close(context.Background()))
	// Output: <nil>
}
