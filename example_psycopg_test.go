package psyco_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco"
)

// The Go halves of docs/psycopg.md.

// must ends an example that went wrong.
func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func Example_parameters() {
	ctx := context.Background()
	db, done := exampleDB()
	defer done()
	var (
		email, name string
		count       int
		err         error
	)

	_, err = db.ExecContext(ctx, "INSERT INTO clients (name, email) VALUES (%s, %s)", "Hooli", "hi@hooli.example")
	must(err)
	row := db.QueryRowContext(ctx, "SELECT email FROM clients WHERE name = %(name)s", map[string]any{"name": "Hooli"})
	err = row.Scan(&email)
	must(err)
	rows, err := db.QueryContext(ctx, "SELECT name FROM clients WHERE id IN %s ORDER BY id", []int{1, 2, 3})
	must(err)
	defer rows.Close()
	for rows.Next() {
		err = rows.Scan(&name)
		must(err)
		fmt.Println(name)
	}
	must(rows.Err())
	err = db.QueryRowContext(ctx, "SELECT count(*) FROM clients WHERE email LIKE '%%.example' AND id > %s", 1).Scan(&count)
	must(err)
	fmt.Println(email, count)
	// Output:
	// ACME Corp.
	// Globex
	// Initech
	// hi@hooli.example 3
}

func Example_lists() {
	ctx := context.Background()
	db, done := exampleDB()
	defer done()
	var (
		day            psyco.Date
		count, product int
		name           string
		err            error
	)

	err = db.QueryRowContext(ctx, "SELECT cardinality(%s::int[])", []any{3, 4}).Scan(&count)
	must(err)
	err = db.QueryRowContext(ctx, "SELECT %s * %s", []any{3, 4}...).Scan(&product)
	must(err)
	fmt.Println(count, product)
	var rows *sql.Rows
	rows, err = db.QueryContext(ctx, "SELECT date_trunc(%(unit)s, since)::date, count(*) FROM clients "+
		"WHERE since IS NOT NULL GROUP BY date_trunc(%(unit)s, since) ORDER BY 1", map[string]any{"unit": "year"})
	must(err)
	for rows.Next() {
		must(rows.Scan(&day, &count))
		fmt.Println(day.Year, count)
	}
	must(rows.Err())
	rows, err = db.QueryContext(ctx, "SELECT %s; SELECT name FROM clients WHERE id = %s", 7, 2)
	must(err)
	defer rows.Close()
	more := rows.NextResultSet()
	rows.Next()
	must(rows.Scan(&name))
	fmt.Println(more, name)
	// Output:
	// 2 12
	// 2020 1
	// 2021 1
	// 2022 1
	// true Globex
}

func Example_compose() {
	ctx := context.Background()
	db, done := exampleDB()
	defer done()
	var name string
	const schema = "public"

	query, err := psyco.Compose("SELECT {} FROM {} WHERE id = %s", psyco.Identifier{"name"}, psyco.Identifier{schema, "clients"})
	must(err)
	err = db.QueryRowContext(ctx, query, 2).Scan(&name)
	must(err)
	text, err := psyco.Mogrify("SELECT %s, %s", 7, "it's")
	must(err)
	fmt.Println(name)
	fmt.Println(text)
	// Output:
	// Globex
	// SELECT 7, 'it''s'
}

func Example_adaptation() {
	ctx := context.Background()
	db, done := exampleDB()
	defer done()
	var (
		numbers []int
		wait    time.Duration
		price   psyco.Numeric
		size    int
		nothing *string
		yes     bool
		number  int
		half    float64
		data    []byte
		err     error
	)

	row := db.QueryRowContext(ctx, "SELECT %s, %s, %s, %s * 2", nil, true, 14, 1.25)
	err = row.Scan(&nothing, &yes, &number, &half)
	must(err)
	fmt.Println(nothing == nil, yes, number, half)
	row = db.QueryRowContext(ctx, "SELECT %s::int[], %s::interval, %s", []int{1, 2}, 36*time.Hour, psyco.Numeric("1.50"))
	err = row.Scan(psyco.Into(&numbers), psyco.Into(&wait), &price)
	must(err)
	err = db.QueryRowContext(ctx, "SELECT %s::bytea", []byte("\x00\xff")).Scan(&data)
	must(err)
	err = db.QueryRowContext(ctx, "SELECT %s::jsonb -> 'size'", psyco.JSON[any]{V: map[string]any{"size": 14}}).Scan(&size)
	must(err)
	fmt.Println(numbers, wait, price, data, size)
	// Output:
	// true true 14 2.5
	// [1 2] 36h0m0s 1.50 [0 255] 14
}

func Example_dates() {
	ctx := context.Background()
	db, done := exampleDB()
	defer done()
	var (
		since        psyco.Date
		later, naive time.Time
		err          error
	)

	row := db.QueryRowContext(ctx, "INSERT INTO clients (name, since) VALUES (%s, %s) RETURNING since",
		"Wonka", psyco.Date{Year: 1971, Month: time.June, Day: 30})
	err = row.Scan(&since)
	must(err)
	noon := time.Date(2024, time.February, 29, 12, 0, 0, 0, time.UTC)
	err = db.QueryRowContext(ctx, "SELECT %s + %s", noon, 90*time.Minute).Scan(&later)
	must(err)
	err = db.QueryRowContext(ctx, "SELECT %s::timestamp", psyco.Timestamp{Time: noon}).Scan(&naive)
	must(err)
	fmt.Println(since, later.Sub(noon), naive.Format(time.DateTime))
	// Output: 1971-06-30 1h30m0s 2024-02-29 12:00:00
}

func Example_copy() {
	ctx := context.Background()
	db, done := exampleDB()
	defer done()
	file := strings.NewReader("name,email\nStark,tony@stark.example\nWayne,\n")
	report := os.Stdout

	loaded, err := psyco.CopyFrom(ctx, db, "COPY clients (name, email) FROM STDIN (FORMAT csv, HEADER)", file)
	must(err)
	written, err := psyco.CopyTo(ctx, db, report, "COPY (SELECT name, email FROM clients WHERE id > %s ORDER BY id) TO STDOUT (FORMAT csv)", 3)
	must(err)
	fmt.Println(loaded, written)

	rows := psyco.SliceRows([][]any{{"Hooli", "2020-01-01"}, {"Umbrella", nil}})
	n, err := psyco.CopyRows(ctx, db, psyco.Identifier{"clients"}, []string{"name", "since"}, rows)
	must(err)
	fmt.Println(n)

	type client struct {
		ID   int
		Name string
	}
	for c, err := range psyco.CopyOutRows[client](ctx, db, "COPY (SELECT id, name FROM clients WHERE id > %s) TO STDOUT", 3) {
		must(err)
		fmt.Println(c.ID, c.Name)
	}
	// Output:
	// Stark,tony@stark.example
	// Wayne,
	// 2 2
	// 2
	// 4 Stark
	// 5 Wayne
	// 6 Hooli
	// 7 Umbrella
}

func Example_manyRows() {
	ctx := context.Background()
	db, done := exampleDB()
	defer done()
	var name string

	n, err := psyco.ExecMany(ctx, db, "UPDATE clients SET total = %s WHERE id = %s", psyco.SliceRows([][]any{{10, 1}, {20, 2}}))
	must(err)
	fmt.Println(n)
	n, err = psyco.ExecValues(ctx, db, "INSERT INTO clients (name, email) VALUES %s",
		psyco.SliceRows([][]any{{"Hooli", nil}, {"Umbrella", nil}}), nil)
	must(err)
	fmt.Println(n)

	var b psyco.Batch
	b.Queue("UPDATE clients SET total = %s WHERE id = %s", 30, 3)
	b.Queue("SELECT name FROM clients WHERE total > %s ORDER BY id", 15).Each(func(row *sql.Rows) error {
		defer func() { fmt.Println(name) }()
		return row.Scan(&name)
	})
	err = b.Run(ctx, db)
	must(err)
	// Output:
	// 2
	// 2
	// Globex
	// Initech
}

func Example_transactions() {
	ctx := context.Background()
	db, done := exampleDB()
	defer done()

	_, err := db.Exec("UPDATE clients SET total = 100")
	must(err)
	err = psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE clients SET total = total - %s WHERE id = %s", 50, 1); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE clients SET total = total + %s WHERE id = %s", 50, 2)
		return err
	})
	must(err)
	err = psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
		err := psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO clients (email) VALUES (%s)", "info@acme.co")
			return err
		})
		if err != nil && pq.As(err, pqerror.UniqueViolation) == nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE clients SET total = 0 WHERE id = %s", 3)
		return err
	})
	must(err)

	tx, err := psyco.BeginTx(ctx, db, &psyco.TxOptions{Isolation: sql.LevelSerializable, ReadOnly: true, Deferrable: true})
	must(err)
	defer tx.Rollback()
	rows, err := tx.Query("SELECT name || ' ' || total FROM clients ORDER BY id")
	must(err)
	printNames(rows)
	// Output:
	// ACME Corp. 50
	// Globex 150
	// Initech 0
}

func Example_transactionsByHand() {
	ctx := context.Background()
	db, done := exampleDB()
	defer done()

	tx, err := db.BeginTx(ctx, nil)
	must(err)
	_, err = tx.ExecContext(ctx, "UPDATE clients SET total = 0")
	must(err)
	err = tx.Rollback()
	must(err)
	tx, err = db.BeginTx(ctx, nil)
	must(err)
	_, err = tx.ExecContext(ctx, "INSERT INTO clients (name) VALUES (%s)", "Hooli")
	must(err)
	err = tx.Commit()
	must(err)
	_, err = db.ExecContext(ctx, "VACUUM clients")
	must(err)
	rows, err := db.Query("SELECT name FROM clients WHERE id > %s", 3)
	must(err)
	printNames(rows)
	// Output: Hooli
}

func Example_goroutines() {
	ctx := context.Background()
	db, done := exampleDB()
	defer done()
	var wg sync.WaitGroup
	names, errs := make([]string, 3), make([]error, 3)

	for i := range names {
		wg.Go(func() {
			errs[i] = db.QueryRowContext(ctx, "SELECT name FROM clients WHERE id = %s", i+1).Scan(&names[i])
		})
	}
	wg.Wait()
	fmt.Println(names, errors.Join(errs...))
	// Output: [ACME Corp. Globex Initech] <nil>
}

func Example_serverSideCursors() {
	ctx := context.Background()
	db, done := exampleDB()
	defer done()
	var i, total int

	tx, err := db.Begin()
	must(err)
	defer tx.Rollback()
	rows, err := tx.QueryContext(ctx, "SELECT i FROM generate_series(1, %s) i", 5000, psyco.ServerSide(1000))
	must(err)
	defer rows.Close()
	for rows.Next() {
		err = rows.Scan(&i)
		must(err)
		total += i
	}
	must(rows.Err())
	fmt.Println(total)

	cur, err := psyco.DeclareCursor(ctx, tx, "big", &psyco.CursorOptions{Scroll: true}, "SELECT i FROM generate_series(1, %s) i", 5000)
	must(err)
	_, err = cur.Scroll(ctx, 99, psyco.ScrollRelative)
	must(err)
	rows, err = cur.Fetch(ctx, 1)
	must(err)
	printNames(rows)
	_, err = cur.Scroll(ctx, 0, psyco.ScrollAbsolute)
	must(err)
	rows, err = cur.Fetch(ctx, 3)
	must(err)
	printNames(rows)
	err = cur.Close(ctx)
	must(err)

	_, err = tx.ExecContext(ctx, "DECLARE theirs CURSOR FOR SELECT i * i FROM generate_series(3, 9) i")
	must(err)
	theirs := psyco.AdoptCursor(tx, "theirs")
	rows, err = theirs.Fetch(ctx, 1)
	must(err)
	printNames(rows)
	// Output:
	// 12502500
	// 100
	// 1
	// 2
	// 3
	// 9
}

func Example_largeObjects() {
	ctx := context.Background()
	inExample(func(tx *sql.Tx) error {
		store := psyco.LargeObjects(tx)
		lob, err := store.Open(ctx, 0, psyco.LargeObjectReadWrite)
		must(err)
		_, err = lob.Write([]byte("hello, world"))
		must(err)
		_, err = lob.Seek(7, io.SeekStart)
		must(err)
		rest, err := io.ReadAll(lob)
		must(err)
		fmt.Printf("%s\n", rest)
		err = lob.Truncate(5)
		must(err)
		err = lob.Close()
		must(err)
		err = store.Unlink(ctx, lob.OID())
		must(err)

		file, target := strings.NewReader("a logo"), os.Stdout
		oid, err := store.Import(ctx, file)
		must(err)
		n, err := store.Export(ctx, oid, target)
		must(err)
		fmt.Printf(": %d bytes\n", n)
		return nil
	})
	// Output:
	// world
	// a logo: 6 bytes
}

func Example_twoPhase() {
	ctx := context.Background()
	db, done := exampleDB()
	defer done()

	order := fmt.Sprintf("order-%d", os.Getpid()) // prepared transactions belong to the whole server
	xid := psyco.XID{FormatID: 42, GTRID: order, BQual: "warehouse"}
	tx, err := db.BeginTx(ctx, nil)
	must(err)
	_, err = tx.ExecContext(ctx, "UPDATE clients SET total = total + %s WHERE id = %s", 1, 1)
	must(err)
	err = psyco.PrepareTx(ctx, tx, xid)
	must(err)
	waiting, err := psyco.RecoverPrepared(ctx, db)
	must(err)
	for _, p := range waiting {
		if p.Xid == xid {
			fmt.Println(p.BQual, "waits")
		}
	}
	err = psyco.CommitPrepared(ctx, db, xid)
	must(err)
	rows, err := db.Query("SELECT total FROM clients WHERE id = %s", 1)
	must(err)
	printNames(rows)
	// Output:
	// warehouse waits
	// 1
}

func Example_notifications() {
	dsn, drop := exampleDSN()
	defer drop()

	work := func(ctx context.Context, connector *psyco.Connector) error {
		db := sql.OpenDB(connector)
		defer db.Close()
		var err error

		l := psyco.NewListener(connector, nil)
		defer l.Close()
		err = l.Listen(ctx, "jobs")
		must(err)
		must(psyco.Notify(ctx, db, "jobs", "wash the dishes"))
		for n, err := range l.Notifications(ctx) {
			if err != nil && !errors.Is(err, psyco.ErrNotificationsMissed) {
				return err
			}
			fmt.Println(n.Channel, n.Payload)
			return nil
		}
		return nil
	}
	connector, err := psyco.NewConnector(dsn)
	must(err)
	must(work(context.Background(), connector))
	// Output: jobs wash the dishes
}

func Example_notices() {
	ctx := context.Background()
	dsn, drop := exampleDSN()
	defer drop()

	connector, err := psyco.NewConnector(dsn, psyco.WithNoticeHandler(func(n *pq.Error) {
		fmt.Println(n.Severity, n.Message)
	}))
	must(err)
	db := sql.OpenDB(connector)
	defer db.Close()
	_, err = db.ExecContext(ctx, "DO $$ BEGIN RAISE NOTICE 'hello'; END $$")
	must(err)
	// Output: NOTICE hello
}

func Example_errors() {
	ctx := context.Background()
	db, done := exampleDB()
	defer done()

	var err error
	_, err = db.ExecContext(ctx, "INSERT INTO clients (email) VALUES (%s)", "info@acme.co")
	if e := pq.As(err, pqerror.UniqueViolation); e != nil {
		fmt.Println(e.Code, e.Constraint)
	}
	// Output: 23505 clients_email_key
}

// ORDER BY takes no parameter for a column: that is for Compose, or for
// psycopg 2's way of binding.
func Example_clientBinding() {
	dsn, drop := exampleDSN()
	defer drop()

	for _, binding := range []string{"server", "client"} {
		db, err := sql.Open("psyco", dsn+" binding="+binding)
		must(err)
		defer db.Close()
		var first, wait string
		must(db.QueryRow("SELECT b FROM (VALUES (2, 'b'), (1, 'a'), (3, 'c')) AS t (a, b) ORDER BY %s DESC LIMIT 1", 1).Scan(&first))
		//psyco:allow the error is what is wanted
		err = db.QueryRow("SELECT INTERVAL %s", "2 days").Scan(&wait)
		fmt.Println(binding, first, wait, err)
	}
	// Output:
	// server b  pq: syntax error at or near "$1" at column 17 (42601)
	// client c 2 days <nil>
}

// What psycopg2's and psycopg 3's pools have, in database/sql's words.
func Example_pool() {
	dsn, drop := exampleDSN()
	defer drop()
	ctx := context.Background()

	connector, err := psyco.NewConnector(dsn,
		psyco.WithOnConnect(func(ctx context.Context, c *psyco.Conn) error { // configure
			if c.ServerVersion() < 130000 {
				return errors.New("the server is too old")
			}
			return nil
		}),
		psyco.WithOnReset(psyco.CleanSession), // reset
	)
	must(err)
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(10)                  // maxconn, max_size
	db.SetMaxIdleConns(4)                   // minconn, min_size
	db.SetConnMaxLifetime(time.Hour)        // max_lifetime
	db.SetConnMaxIdleTime(10 * time.Minute) // max_idle
	err = psyco.WarmUp(ctx, db, 4)          // wait
	must(err)
	conn, err := db.Conn(ctx) // getconn
	must(err)
	err = conn.Close() // putconn
	must(err)
	fmt.Println(db.Stats().OpenConnections) // get_stats
	err = db.Close()                        // closeall, close
	must(err)
	// Output: 4
}
