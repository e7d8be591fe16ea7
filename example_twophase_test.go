package psyco_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"slices"

	"github.com/psyco-go/psyco"
)

// prepareClient adds a client in a transaction that it prepares.
func prepareClient(db *sql.DB, name string, xid psyco.XID) {
	ctx := context.Background()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer tx.Rollback() // does nothing once the transaction is prepared
	if err := insertClient(ctx, tx, name); err != nil {
		log.Fatal(err)
	}
	if err := psyco.PrepareTx(ctx, tx, xid); err != nil {
		log.Fatal(err)
	}
}

// Two databases take part in one transaction: both prepare, then both commit.
func ExamplePrepareTx() {
	ctx := context.Background()
	a, done := exampleDB()
	defer done()
	b, done := exampleDB()
	defer done()

	branches := map[psyco.XID]*sql.DB{
		{FormatID: 1, GTRID: "order 4711", BQual: "stock"}:    a,
		{FormatID: 1, GTRID: "order 4711", BQual: "accounts"}: b,
	}
	for xid, db := range branches {
		prepareClient(db, "Hooli", xid)
	}
	for xid, db := range branches {
		if err := psyco.CommitPrepared(ctx, db, xid); err != nil {
			log.Fatal(err)
		}
		var n int
		if err := db.QueryRow("SELECT count(*) FROM clients").Scan(&n); err != nil {
			log.Fatal(err)
		}
		fmt.Println(n, "clients")
	}
	// Output:
	// 4 clients
	// 4 clients
}

func ExampleCommitPrepared() {
	db, done := exampleDB()
	defer done()
	xid := psyco.XID{FormatID: 2, GTRID: "order 4712"}
	prepareClient(db, "Hooli", xid)

	fmt.Println(psyco.CommitPrepared(context.Background(), db, xid))
	fmt.Println(psyco.CommitPrepared(context.Background(), db, xid))
	// Output:
	// <nil>
	// pq: prepared transaction with identifier "2_b3JkZXIgNDcxMg==_" does not exist (42704)
}

func ExampleRollbackPrepared() {
	db, done := exampleDB()
	defer done()
	xid := psyco.XID{FormatID: 3, GTRID: "order 4713"}
	prepareClient(db, "Hooli", xid)

	if err := psyco.RollbackPrepared(context.Background(), db, xid); err != nil {
		log.Fatal(err)
	}
	var n int
	if err := db.QueryRow("SELECT count(*) FROM clients").Scan(&n); err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, "clients")
	// Output: 3 clients
}

// After a crash, the coordinator ends what it finds, by what its own records say
// of each order.
func ExampleRecoverPrepared() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()
	prepareClient(db, "Hooli", psyco.XID{FormatID: 5, GTRID: "order 4714", BQual: "stock"})

	list, err := psyco.RecoverPrepared(ctx, db)
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range list {
		if p.FormatID != 5 { // someone else's
			continue
		}
		if err := psyco.CommitPrepared(ctx, db, p.Xid); err != nil {
			log.Fatal(err)
		}
		fmt.Println(p.GTRID, p.BQual)
	}
	// Output: order 4714 stock
}

func ExamplePreparedTx() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()
	xid := psyco.XID{FormatID: 6, GTRID: "order 4715"}
	prepareClient(db, "Hooli", xid)
	defer psyco.RollbackPrepared(ctx, db, xid)

	list, err := psyco.RecoverPrepared(ctx, db)
	if err != nil {
		log.Fatal(err)
	}
	i := slices.IndexFunc(list, func(p psyco.PreparedTx) bool { return p.Xid == xid })
	var owner, database string
	if err := db.QueryRow("SELECT current_user, current_database()").Scan(&owner, &database); err != nil {
		log.Fatal(err)
	}
	fmt.Println(list[i].Owner == owner, list[i].Database == database, list[i].Prepared.IsZero())
	// Output: true true false
}

func ExampleXID() {
	fmt.Println(psyco.XID{FormatID: 42, GTRID: "gtrid", BQual: "bqual"})
	// Output: 42_Z3RyaWQ=_YnF1YWw=
}

func ExampleXID_String() {
	fmt.Println(psyco.XID{FormatID: psyco.ForeignXID, GTRID: "made by hand"}.String())
	// Output: made by hand
}

func ExampleParseXID() {
	for _, id := range []string{"42_Z3RyaWQ=_YnF1YWw=", "made by hand"} {
		x := psyco.ParseXID(id)
		fmt.Printf("%d %q %q\n", x.FormatID, x.GTRID, x.BQual)
	}
	// Output:
	// 42 "gtrid" "bqual"
	// -1 "made by hand" ""
}

// The inner function gives up what the outer one did as well, and the
// transaction goes on.
func ExampleRollback() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()

	err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
		err := psyco.NamedSavepoint(ctx, tx, "order", func(tx *sql.Tx) error {
			if err := insertClient(ctx, tx, "Hooli"); err != nil {
				return err
			}
			return psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
				return psyco.Rollback("order")
			})
		})
		if err != nil {
			return err
		}
		return insertClient(ctx, tx, "Umbrella")
	})
	if err != nil {
		log.Fatal(err)
	}
	rows, err := db.Query("SELECT name FROM clients WHERE id > 3")
	if err != nil {
		log.Fatal(err)
	}
	printNames(rows)
	// Output: Umbrella
}

func ExampleRollback_Error() {
	db, done := exampleDB()
	defer done()

	err := psyco.InTx(context.Background(), db, nil, func(tx *sql.Tx) error { return psyco.Rollback("order") })
	fmt.Println(err)
	// Output: psyco: a Rollback to the savepoint "order", and no savepoint of that name is open
}

// A dry run: everything is done, and nothing kept.
func ExampleInTx_rollback() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()

	err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
		if err := insertClient(ctx, tx, "Hooli"); err != nil {
			return err
		}
		return psyco.RollbackTx
	})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleNamedSavepoint() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()

	err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
		return psyco.NamedSavepoint(ctx, tx, "clients", func(tx *sql.Tx) error {
			if err := insertClient(ctx, tx, "Hooli"); err != nil {
				return err
			}
			return psyco.Rollback("clients")
		})
	})
	fmt.Println(err)
	// Output: <nil>
}

// Two connections read the same state of the database.
func ExampleExportSnapshot() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()

	opts := &psyco.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	first, err := psyco.BeginTx(ctx, db, opts)
	if err != nil {
		log.Fatal(err)
	}
	defer first.Rollback()
	if opts.Snapshot, err = psyco.ExportSnapshot(ctx, first); err != nil {
		log.Fatal(err)
	}
	if _, err := db.Exec("DELETE FROM clients"); err != nil {
		log.Fatal(err)
	}
	second, err := psyco.BeginTx(ctx, db, opts)
	if err != nil {
		log.Fatal(err)
	}
	defer second.Rollback()
	var n int
	if err := second.QueryRow("SELECT count(*) FROM clients").Scan(&n); err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, "clients")
	// Output: 3 clients
}

// When the answer to COMMIT is lost, the server is asked what happened.
func ExampleCommitted() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()

	var id int64
	err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) (err error) {
		if err := insertClient(ctx, tx, "Hooli"); err != nil {
			return err
		}
		id, err = psyco.TxID(ctx, tx)
		return err
	})
	if errors.Is(err, psyco.ErrCommitUnknown) {
		committed, cerr := psyco.Committed(ctx, db, id)
		if cerr == nil && committed {
			err = nil
		}
	}
	fmt.Println(err)
	// Output: <nil>
}

func ExampleTxID() {
	db, done := exampleDB()
	defer done()
	ctx := context.Background()

	tx, err := db.Begin()
	if err != nil {
		log.Fatal(err)
	}
	id, err := psyco.TxID(ctx, tx)
	if err != nil {
		log.Fatal(err)
	}
	if err := tx.Rollback(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(psyco.Committed(ctx, db, id))
	// Output: false <nil>
}
