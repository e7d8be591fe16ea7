package psyco_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco"
)

func ExampleConn_PID() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()

	db.SetMaxOpenConns(1)
	var asked uint32
	if err := db.QueryRow("SELECT pg_backend_pid()").Scan(&asked); err != nil {
		log.Fatal(err)
	}
	err := psyco.WithConn(ctx, db, func(c *psyco.Conn) error {
		fmt.Println(c.PID() == asked) // without a round trip
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: true
}

func ExampleConn_ServerVersion() {
	db, done := exampleDB()
	defer done()

	pick := "min(name)"
	err := psyco.WithConn(context.Background(), db, func(c *psyco.Conn) error {
		if c.ServerVersion() >= 160000 { // where it came
			pick = "any_value(name)"
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	var name string
	if err := db.QueryRow("SELECT " + pick + " FROM (VALUES ('Ada')) AS people (name)").Scan(&name); err != nil {
		log.Fatal(err)
	}
	fmt.Println(name)
	// Output: Ada
}

func ExampleConn_Parameter() {
	db, done := exampleDB()
	defer done()

	err := psyco.WithConn(context.Background(), db, func(c *psyco.Conn) error {
		encoding, ok := c.Parameter("client_encoding")
		fmt.Println(encoding, ok)
		_, ok = c.Parameter("work_mem") // not one that servers report
		fmt.Println(ok)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// UTF8 true
	// false
}

func ExampleConn_TxStatus() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()

	status := func(h psyco.Handle) {
		err := psyco.WithConn(ctx, h, func(c *psyco.Conn) error {
			fmt.Printf("%c\n", c.TxStatus())
			return nil
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	tx, err := db.Begin()
	if err != nil {
		log.Fatal(err)
	}
	defer tx.Rollback()
	status(tx) // BEGIN goes with the first statement
	tx.Exec("SELECT %s", 1)
	status(tx)
	tx.Exec("SELECT 1/0")
	status(tx)
	// Output:
	// I
	// T
	// E
}

func ExampleConn_Stats() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()

	db.SetMaxOpenConns(1)
	roundTrips := func() (n uint64) {
		psyco.WithConn(ctx, db, func(c *psyco.Conn) error { n = c.Stats().RoundTrips; return nil })
		return n
	}
	before := roundTrips()
	rows, err := db.Query("SELECT name FROM clients")
	if err != nil {
		log.Fatal(err)
	}
	printNames(rows)
	fmt.Println(roundTrips() - before)
	// Output:
	// ACME Corp.
	// Globex
	// Initech
	// 1
}

// A transfer that other transactions get in the way of.
func ExampleInTx() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()

	attempt := 0
	err := psyco.InTx(ctx, db, &psyco.TxOptions{Isolation: sql.LevelSerializable}, func(tx *sql.Tx) error {
		if attempt++; attempt == 1 {
			return &pq.Error{Code: pqerror.TRSerializationFailure} // as the server reports it
		}
		_, err := tx.Exec("UPDATE clients SET total = total + %(sum)s WHERE id = %(id)s", map[string]any{"sum": 10, "id": 1})
		return err
	})
	fmt.Println(attempt, err)
	// Output: 2 <nil>
}

// An insert that may fail without the whole transaction failing.
func ExampleSavepoint() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()

	err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
		for _, email := range []string{"new@client.example", "info@acme.co"} {
			err := psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
				_, err := tx.Exec("INSERT INTO clients (email) VALUES (%s)", email)
				return err
			})
			switch {
			case pq.As(err, pqerror.UniqueViolation) != nil:
				fmt.Println(email, "is a client already")
			case err != nil:
				return err
			}
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	var clients int
	if err := db.QueryRow("SELECT count(*) FROM clients").Scan(&clients); err != nil {
		log.Fatal(err)
	}
	fmt.Println(clients)
	// Output:
	// info@acme.co is a client already
	// 4
}

// Both a pool and one of its connections open transactions.
func ExampleBeginner() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()

	conn, err := db.Conn(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	for _, b := range []psyco.Beginner{db, conn} {
		fmt.Println(psyco.InTx(ctx, b, nil, func(tx *sql.Tx) error {
			_, err := tx.Exec("UPDATE clients SET total = %s", 0)
			return err
		}))
	}
	// Output:
	// <nil>
	// <nil>
}

// What to do when nobody can know whether a transaction was committed.
func ExampleErrCommitUnknown() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()

	var id string
	err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
		// A marker that can be looked for later.
		return tx.QueryRow("UPDATE clients SET total = %s RETURNING txid_current()", 0).Scan(&id)
	})
	if errors.Is(err, psyco.ErrCommitUnknown) {
		fmt.Println("the connection was lost, look for", id)
	}
	var status string
	if err := db.QueryRow("SELECT txid_status(%s)", id).Scan(&status); err != nil {
		log.Fatal(err)
	}
	fmt.Println(status)
	// Output: committed
}
