package psyco_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"time"

	"github.com/psyco-go/psyco"
)

// A primary and two standbys, host=db1,db2,db3 (here one server stands for them). Writes go to the
// primary, reads to the standbys, and those that must see a write to one that has it.
func ExampleCluster() {
	dsn, drop := exampleDSN()
	defer drop()
	ctx := context.Background()

	cluster, err := psyco.NewCluster(dsn, psyco.WithMaxLag(5*time.Second), psyco.WithReadWait(50*time.Millisecond),
		psyco.WithPoolSetup(func(db *sql.DB) { db.SetMaxOpenConns(20); db.SetMaxIdleConns(20) }))
	if err != nil {
		log.Fatal(err)
	}
	defer cluster.Close()

	if _, err := cluster.Primary().ExecContext(ctx, "CREATE TABLE orders (id int PRIMARY KEY, item text)"); err != nil {
		log.Fatal(err)
	}
	lsn, err := cluster.InTx(ctx, nil, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO orders VALUES (%s, %s)", 1, "tea")
		return err
	})
	if err != nil {
		log.Fatal(err)
	}

	var item string
	err = cluster.Standby(psyco.ReadAfter(ctx, lsn)).QueryRowContext(ctx, "SELECT item FROM orders WHERE id = %s", 1).Scan(&item)
	fmt.Println(item, err)
	// Output: tea <nil>
}

// exampleCluster is a cluster on the examples' database.
func exampleCluster(opts ...psyco.ClusterOption) (c *psyco.Cluster, done func()) {
	dsn, drop := exampleDSN()
	c, err := psyco.NewCluster(dsn, opts...)
	if err != nil {
		log.Fatal(err)
	}
	return c, func() { c.Close(); drop() }
}

func ExampleNewCluster() {
	dsn, drop := exampleDSN()
	defer drop()

	cluster, err := psyco.NewCluster(dsn, psyco.WithMaxLag(time.Second), psyco.WithCancelGrace(time.Second)) // an Option too
	if err != nil {
		log.Fatal(err)
	}
	defer cluster.Close()
	fmt.Println(cluster.Primary().Ping())
	// Output: <nil>
}

func ExampleNewClusterConfig() {
	dsn, drop := exampleDSN()
	defer drop()

	cfg, err := psyco.ParseDSN(dsn)
	if err != nil {
		log.Fatal(err)
	}
	cfg.ApplicationName = "shop"
	cluster, err := psyco.NewClusterConfig(cfg)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cluster.Close())
	// Output: <nil>
}

// A position for a later request, in a cookie for example.
func ExampleCluster_CommitLSN() {
	cluster, done := exampleCluster()
	defer done()
	ctx := context.Background()

	if _, err := cluster.Primary().ExecContext(ctx, "CREATE TABLE notes (text text)"); err != nil {
		log.Fatal(err)
	}
	lsn, err := cluster.CommitLSN(ctx)
	if err != nil {
		log.Fatal(err)
	}
	cookie := lsn.String() // 16/B374D848@2

	lsn, err = psyco.ParseLSN(cookie)
	if err != nil {
		log.Fatal(err)
	}
	var n int
	err = cluster.Standby(psyco.ReadAfter(ctx, lsn)).QueryRow("SELECT count(*) FROM notes").Scan(&n)
	fmt.Println(n, err)
	// Output: 0 <nil>
}

// A middleware has all that a request reads see what its user has written before.
func ExampleReadAfter() {
	cluster, done := exampleCluster()
	defer done()

	handle := func(ctx context.Context) error {
		return cluster.Standby(ctx).QueryRowContext(ctx, "SELECT 1").Scan(new(int))
	}
	user, err := cluster.CommitLSN(context.Background()) // from the user's session
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(handle(psyco.ReadAfter(context.Background(), user)))
	// Output: <nil>
}

// A report that must not run on the primary waits for a standby.
func ExampleCluster_WaitLSN() {
	cluster, done := exampleCluster()
	defer done()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()

	_, err := cluster.WaitLSN(ctx, psyco.LSN{})
	fmt.Println(err != nil) // there is no standby
	// Output: true
}

// Nothing else changes in what runs in a transaction; a read-only one goes to a standby.
func ExampleCluster_InTx() {
	cluster, done := exampleCluster()
	defer done()
	ctx := context.Background()

	var n int
	_, err := cluster.InTx(ctx, &psyco.TxOptions{ReadOnly: true}, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT %s::int", 7).Scan(&n)
	})
	fmt.Println(n, err)
	// Output: 7 <nil>
}

func ExampleCluster_Reader() {
	cluster, done := exampleCluster()
	defer done()

	numbers, err := psyco.QueryAll[int](context.Background(), cluster.Reader(), "SELECT generate_series(1, %s)", 3)
	fmt.Println(numbers, err)
	// Output: [1 2 3] <nil>
}

// One handle for all reads, for psyco's functions and for libraries.
func ExampleClusterReader() {
	cluster, done := exampleCluster()
	defer done()
	ctx := context.Background()

	reader := cluster.Reader()
	n, err := psyco.QueryOne[int](ctx, reader, "SELECT %s::int", 7)
	fmt.Println(n, err)

	tx, err := reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		log.Fatal(err)
	}
	defer tx.Rollback()
	fmt.Println(tx.QueryRowContext(ctx, "SELECT 8").Scan(&n), n)

	fmt.Println(reader.QueryRowContext(ctx, "SELECT 9").Scan(&n), n)
	rows, err := reader.QueryContext(ctx, "SELECT name FROM (VALUES ('Ada')) v (name)")
	if err != nil {
		log.Fatal(err)
	}
	printNames(rows)
	stmt, err := reader.PrepareContext(ctx, "SELECT $1::int")
	if err != nil {
		log.Fatal(err)
	}
	defer stmt.Close()
	_, err = reader.ExecContext(ctx, "SELECT pg_sleep(0)")
	fmt.Println(err)
	// Output:
	// 7 <nil>
	// <nil> 8
	// <nil> 9
	// Ada
	// <nil>
}

// Figures for a dashboard, and what is wrong with which server.
func ExampleCluster_Stats() {
	cluster, done := exampleCluster()
	defer done()
	cluster.Standby(context.Background()) // waits until something is known of each server

	s := cluster.Stats() // a psyco.ClusterStats
	fmt.Println("reads on standbys:", s.StandbyReads, "on the primary:", s.PrimaryReads)
	for _, server := range s.Servers { // a psyco.ServerStats each
		fmt.Println(server.Role, "lag:", server.Lag, "gets reads:", server.Usable, server.Err)
	}
	// Output:
	// reads on standbys: 0 on the primary: 1
	// primary lag: 0s gets reads: false <nil>
}

func ExampleClusterStats() {
	cluster, done := exampleCluster()
	defer done()

	s := cluster.Stats() // a psyco.ClusterStats
	fmt.Println(len(s.Servers), s.Waits)
	// Output: 1 0
}

func ExampleServerStats() {
	cluster, done := exampleCluster()
	defer done()

	s := cluster.Stats().Servers[0] // a psyco.ServerStats
	fmt.Println(s.Weight, s.Pool.OpenConnections)
	// Output: 1 0
}

func ExampleWithMaxLag() {
	_, done := exampleCluster(psyco.WithMaxLag(2 * time.Second))
	done()
	// Output:
}

func ExampleWithReadWait() {
	_, done := exampleCluster(psyco.WithReadWait(20 * time.Millisecond))
	done()
	// Output:
}

func ExampleWithCheckInterval() {
	_, done := exampleCluster(psyco.WithCheckInterval(200 * time.Millisecond))
	done()
	// Output:
}

// The large server gets three times as many reads; the one that is delayed on purpose none.
func ExampleWithStandbyWeight() {
	_, done := exampleCluster(psyco.WithStandbyWeight(func(host psyco.Host) int {
		switch host.Host {
		case "large.internal":
			return 3
		case "delayed.internal":
			return 0
		}
		return 1
	}))
	done()
	// Output:
}

func ExampleWithPoolSetup() {
	cluster, done := exampleCluster(psyco.WithPoolSetup(func(db *sql.DB) { db.SetMaxOpenConns(20) }))
	defer done()

	fmt.Println(cluster.Primary().Stats().MaxOpenConnections)
	// Output: 20
}

func ExampleParseLSN() {
	lsn, err := psyco.ParseLSN("16/B374D848@2")
	fmt.Println(lsn.Timeline, lsn.Offset, lsn, err)
	_, err = psyco.ParseLSN("yesterday")
	fmt.Println(err)
	// Output:
	// 2 97500059720 16/B374D848@2 <nil>
	// psyco: "yesterday" is not a position in the write-ahead log, such as 16/B374D848 or, with its timeline, 16/B374D848@2
}

// The server's type pg_lsn.
func ExampleLSN() {
	db, done := exampleDB()
	defer done()

	lsn, err := psyco.ParseLSN("16/B374D848")
	if err != nil {
		log.Fatal(err)
	}
	var next psyco.LSN
	err = db.QueryRow("SELECT %s::pg_lsn + 8", lsn).Scan(&next)
	fmt.Println(next, err)
	// Output: 16/B374D850 <nil>
}
