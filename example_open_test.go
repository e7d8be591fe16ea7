package psyco_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"strings"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco"
)

func ExampleNewConnector() {
	dsn, drop := exampleDSN()
	defer drop()

	connector, err := psyco.NewConnector(dsn,
		psyco.WithOnConnect(func(ctx context.Context, c *psyco.Conn) error {
			encoding, _ := c.Parameter("client_encoding")
			fmt.Println("a new connection, in", encoding)
			return nil
		}))
	if err != nil {
		log.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	fmt.Println(db.Ping())
	// Output:
	// a new connection, in UTF8
	// <nil>
}

// A pool for a service: sizes, a password that changes, slow statements in the log, health,
// figures for a dashboard, and an end that waits for what is running.
func Example_production() {
	dsn, drop := exampleDSN()
	defer drop()
	ctx := context.Background()
	logger := slog.New(slog.DiscardHandler)
	vault := func(ctx context.Context) (string, error) { return "secret", ctx.Err() }

	connector, err := psyco.NewConnector(dsn,
		psyco.WithPassword(func(ctx context.Context, cfg *psyco.Config, host psyco.Host) (string, error) {
			return vault(ctx) // asked at each new connection
		}),
		psyco.WithTracer(&psyco.SlogTracer{Logger: logger, SlowerThan: 200 * time.Millisecond}))
	if err != nil {
		log.Fatal(err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(20)
	db.SetMaxIdleConns(20)
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(time.Hour)

	if err := psyco.WarmUp(ctx, db, 5); err != nil { // before the first request
		log.Fatal(err)
	}

	healthy := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return db.PingContext(ctx)
	}
	fmt.Println("healthy:", healthy(ctx))

	s := db.Stats()
	fmt.Println("in use:", s.InUse, "waited:", s.WaitCount)

	// When the program ends, after its HTTP server's Shutdown:
	if err := db.Close(); err != nil {
		log.Print(err)
	}
	// Output:
	// healthy: <nil>
	// in use: 0 waited: 0
}

func ExampleWarmUp() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()
	db.SetMaxIdleConns(4)

	if err := psyco.WarmUp(ctx, db, 4); err != nil {
		log.Fatal(err)
	}
	fmt.Println(db.Stats().Idle, "connections wait for requests")
	// Output: 4 connections wait for requests
}

// A connection string, changed before it is used.
func ExampleNewConnectorConfig() {
	dsn, drop := exampleDSN()
	defer drop()

	cfg, err := psyco.ParseDSN(dsn)
	if err != nil {
		log.Fatal(err)
	}
	cfg.ApplicationName = "report"
	connector, err := psyco.NewConnectorConfig(cfg)
	if err != nil {
		log.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	var name string
	if err := db.QueryRow("SHOW application_name").Scan(&name); err != nil {
		log.Fatal(err)
	}
	fmt.Println(name)
	// Output: report
}

func ExampleConnector() {
	connector, err := psyco.NewConnector("host=db1,db2 user=app password=secret connect_timeout=5")
	if err != nil {
		log.Fatal(err)
	}
	cfg := connector.Config()
	fmt.Println(cfg.Hosts, cfg.ConnectTimeout)
	// Output: [db1:5432 db2:5432] 5s
}

// psycopg's placeholders on lib/pq's own connections.
func ExampleWrap() {
	dsn, drop := exampleDSN()
	defer drop()

	base, err := pq.NewConnector(dsn)
	if err != nil {
		log.Fatal(err)
	}
	db := sql.OpenDB(psyco.Wrap(base))
	defer db.Close()
	var words string
	if err := db.QueryRow("SELECT array_to_string(%s::text[], ' ')", []string{"hello", "world"}).Scan(&words); err != nil {
		log.Fatal(err)
	}
	fmt.Println(words)
	// Output: hello world
}

// A program that takes a *sql.DB can ask whose it is.
func ExampleDriver() {
	db, err := sql.Open("psyco", "dbname=shop")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	_, ok := db.Driver().(*psyco.Driver)
	fmt.Println(ok)
	// Output: true
}

// insertClient runs in a transaction or without one.
func insertClient(ctx context.Context, h psyco.Handle, name string) error {
	_, err := h.ExecContext(ctx, "INSERT INTO clients (name) VALUES (%s)", name)
	return err
}

func ExampleHandle() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()

	fmt.Println(insertClient(ctx, db, "Hooli"))
	fmt.Println(psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
		return insertClient(ctx, tx, "Umbrella")
	}))
	rows, err := db.Query("SELECT name FROM clients WHERE id > %s ORDER BY id", 3)
	if err != nil {
		log.Fatal(err)
	}
	printNames(rows)
	// Output:
	// <nil>
	// <nil>
	// Hooli
	// Umbrella
}

func ExampleConn() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()

	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer tx.Rollback()
	var pid uint32
	if err := tx.QueryRow("SELECT pg_backend_pid()").Scan(&pid); err != nil {
		log.Fatal(err)
	}
	err = psyco.WithConn(ctx, tx, func(c *psyco.Conn) error {
		strings, _ := c.Parameter("standard_conforming_strings")
		fmt.Println(c.PID() == pid, c.ServerVersion() >= 90000, c.Stats().RoundTrips > 0, strings)
		fmt.Printf("%c\n", c.TxStatus())
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// true true true on
	// T
}

// A handler for one connection, while somebody has it.
func ExampleConn_SetNotificationHandler() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()

	conn, err := db.Conn(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	err = psyco.WithConn(ctx, conn, func(c *psyco.Conn) error {
		c.SetNotificationHandler(func(n *pq.Notification) { fmt.Println(n.Channel, n.Extra) })
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := conn.ExecContext(ctx, "LISTEN jobs; NOTIFY jobs, 'wash the dishes'"); err != nil {
		log.Fatal(err)
	}
	// Output: jobs wash the dishes
}

// How often a statement makes the client wait.
func ExampleWithConn() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()

	conn, err := db.Conn(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	roundTrips := func() (n uint64) {
		if err := psyco.WithConn(ctx, conn, func(c *psyco.Conn) error {
			n = c.Stats().RoundTrips
			return nil
		}); err != nil {
			log.Fatal(err)
		}
		return n
	}
	for range 3 {
		before := roundTrips()
		if _, err := conn.ExecContext(ctx, "UPDATE clients SET total = total + 1 WHERE id = %s", 1); err != nil {
			log.Fatal(err)
		}
		fmt.Println(roundTrips() - before)
	}
	// Output:
	// 1
	// 1
	// 1
}

func ExampleStats() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()

	conn, err := db.Conn(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	for id := range 10 {
		if _, err := conn.ExecContext(ctx, "UPDATE clients SET total = 0 WHERE id = %s", id); err != nil {
			log.Fatal(err)
		}
	}
	err = psyco.WithConn(ctx, conn, func(c *psyco.Conn) error {
		s := c.Stats() // a psyco.Stats
		fmt.Println(s.Prepared, "prepared,", s.CacheHits, "in one round trip,", s.CacheMisses, "in more")
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: 1 prepared, 8 in one round trip, 1 in more
}

// A report that sees one moment of the database, waits for one that no
// concurrent transaction can upset, and then never fails.
func ExampleBeginTx() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()

	tx, err := psyco.BeginTx(ctx, db, &psyco.TxOptions{Isolation: sql.LevelSerializable, ReadOnly: true, Deferrable: true})
	if err != nil {
		log.Fatal(err)
	}
	defer tx.Rollback()
	var settings string
	if err := tx.QueryRow(`SELECT concat_ws(', ', current_setting('transaction_isolation'),
		current_setting('transaction_read_only'), current_setting('transaction_deferrable'))`).Scan(&settings); err != nil {
		log.Fatal(err)
	}
	fmt.Println(settings)
	// Output: serializable, on, on
}

// A transaction that gives up after the third conflict with others.
func ExampleTxOptions() {
	db, done := exampleDB()
	defer done()

	attempts := 0
	err := psyco.InTx(context.Background(), db, &psyco.TxOptions{Isolation: sql.LevelSerializable, MaxRetries: 2}, func(tx *sql.Tx) error {
		attempts++
		_, err := tx.Exec("DO $$ BEGIN RAISE serialization_failure; END $$")
		return err
	})
	fmt.Println(attempts, err)
	// Output: 3 pq: serialization_failure (40001)
}

// money is an amount in cents.
type money int64

func ExampleRegisterAdapter() {
	var types psyco.TypeMap
	psyco.RegisterAdapter(&types, func(m money) (any, uint32, error) {
		return psyco.Numeric(fmt.Sprintf("%d.%02d", m/100, m%100)), 0, nil
	})
	db, done := exampleDB(psyco.WithTypeMap(&types))
	defer done()

	var sum string
	if err := db.QueryRow("SELECT sum(x) FROM unnest(%s::numeric[]) x", []money{1999, 501}).Scan(&sum); err != nil {
		log.Fatal(err)
	}
	fmt.Println(sum)
	// Output: 25.00
}

// An adapter may also declare the type of the parameter, here json (OID 114).
func ExampleTypeMap() {
	types := new(psyco.TypeMap)
	psyco.RegisterAdapter(types, func(tags map[string]bool) (any, uint32, error) {
		var set []string
		for tag, on := range tags {
			if on {
				set = append(set, fmt.Sprintf("%q", tag))
			}
		}
		return "[" + strings.Join(set, ",") + "]", 114, nil
	})
	db, done := exampleDB(psyco.WithTypeMap(types))
	defer done()

	var typ, first string
	query := "SELECT pg_typeof(%(tags)s)::text, %(tags)s ->> 0"
	if err := db.QueryRow(query, map[string]any{"tags": map[string]bool{"new": true, "red": false}}).Scan(&typ, &first); err != nil {
		log.Fatal(err)
	}
	fmt.Println(typ, first)
	// Output: json new
}

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
