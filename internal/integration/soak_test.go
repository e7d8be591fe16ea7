package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testsize"
)

// soakWrites are ways to write the row of one key, each with another feature.
var soakWrites = []func(ctx context.Context, db *sql.DB, key int) error{
	func(ctx context.Context, db *sql.DB, key int) error {
		_, err := db.ExecContext(ctx, "INSERT INTO w VALUES (%s)", key)
		return err
	},
	func(ctx context.Context, db *sql.DB, key int) error {
		_, err := db.ExecContext(ctx, "INSERT INTO w VALUES ($1)", key)
		return err
	},
	func(ctx context.Context, db *sql.DB, key int) error {
		_, err := db.ExecContext(ctx, fmt.Sprintf("INSERT INTO w VALUES (%d)", key))
		return err
	},
	func(ctx context.Context, db *sql.DB, key int) error {
		return psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
			mine := errors.New("mine")
			err := psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
				if _, err := tx.ExecContext(ctx, "INSERT INTO w VALUES (%s)", -key); err != nil {
					return err
				}
				return mine
			})
			if err != mine {
				return err
			}
			return psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, "INSERT INTO w VALUES (%s)", key)
				return err
			})
		})
	},
	func(ctx context.Context, db *sql.DB, key int) error {
		_, err := psyco.CopyRows(ctx, db, psyco.Identifier{"w"}, []string{"k"}, psyco.SliceRows([][]any{{key}}))
		return err
	},
	func(ctx context.Context, db *sql.DB, key int) error {
		_, err := psyco.ExecMany(ctx, db, "INSERT INTO w VALUES (%s)", psyco.SliceRows([][]any{{key}}))
		return err
	},
	func(ctx context.Context, db *sql.DB, key int) error {
		var b psyco.Batch
		b.Queue("INSERT INTO w VALUES (%s)", key)
		b.Queue("SELECT count(*) FROM w WHERE k = %s", key)
		return b.Run(ctx, db)
	},
	func(ctx context.Context, db *sql.DB, key int) error {
		return psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
			rows, err := tx.QueryContext(ctx, "SELECT i FROM generate_series(1, 300) i", psyco.ServerSide(100))
			if err != nil {
				return err
			}
			defer rows.Close()
			n := 0
			for rows.Next() {
				if n++; n == 150 {
					if _, err := tx.ExecContext(ctx, "INSERT INTO w VALUES (%s)", key); err != nil {
						return err
					}
				}
			}
			if err := rows.Err(); err != nil {
				return err
			}
			if n != 300 {
				return fmt.Errorf("%d rows, and no error", n)
			}
			return nil
		})
	},
	func(ctx context.Context, db *sql.DB, key int) error {
		return psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
			stmt, err := tx.PrepareContext(ctx, pq.CopyIn("w", "k")) //lint:ignore SA1019 existing programs use it
			if err != nil {
				return err
			}
			if _, err := stmt.ExecContext(ctx, key); err != nil {
				return err
			}
			if _, err := stmt.ExecContext(ctx); err != nil {
				return err
			}
			return stmt.Close()
		})
	},
	func(ctx context.Context, db *sql.DB, key int) error {
		// A context that may end at any time.
		ctx, cancel := context.WithTimeout(ctx, rand.N(20*time.Millisecond))
		defer cancel()
		_, err := db.ExecContext(ctx, "INSERT INTO w SELECT %s FROM pg_sleep(0.005)", key)
		return err
	},
}

// soak lets 64 goroutines write rows through a pool of 8 connections, and checks
// that each key is there once if its write returned no error, and at most once
// if it did. calm waits for the end of what disturbs the server.
func soak(t *testing.T, db, direct *sql.DB, each int, calm func()) {
	t.Helper()
	ctx := context.Background()
	mustExec(t, direct, "CREATE TABLE w (k int)")
	db.SetMaxOpenConns(8)
	const goroutines = 64
	written := make([]bool, goroutines*each+1)
	var failed atomic.Int64
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				key := g*each + i + 1
				err := soakWrites[rand.N(len(soakWrites))](ctx, db, key)
				if written[key] = err == nil; err != nil {
					failed.Add(1)
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	calm()
	// Sessions whose clients are gone may still be at work.
	for all(t, direct, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
		AND pid <> pg_backend_pid() AND state <> 'idle'`)[0] != "0" {
		time.Sleep(time.Millisecond)
	}
	rows, err := direct.Query("SELECT k, count(*) FROM w GROUP BY k")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	counts := make(map[int]int)
	for rows.Next() {
		var k, n int
		if err := rows.Scan(&k, &n); err != nil {
			t.Fatal(err)
		}
		counts[k] = n
		if k < 1 || k >= len(written) || n > 1 {
			t.Errorf("key %d is there %d times", k, n)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for key := 1; key < len(written); key++ {
		if written[key] && counts[key] != 1 {
			t.Errorf("key %d was written without an error and is there %d times", key, counts[key])
		}
	}
	t.Logf("%d writes, %d errors, %d rows", goroutines*each, failed.Load(), len(counts))
	if int(failed.Load()) > goroutines*each*9/10 {
		t.Errorf("%d of %d writes failed", failed.Load(), goroutines*each)
	}
}

func TestSoak(t *testing.T) {
	testsize.Slow(t)
	dsn := pgserver.TestDSN(t)
	soak(t, open(t, dsn), open(t, dsn), testsize.Cases(10, 60), func() {})
}

// TestSoakTerminated ends sessions at random meanwhile.
func TestSoakTerminated(t *testing.T) {
	testsize.Slow(t)
	dsn := pgserver.TestDSN(t)
	admin := open(t, dsn)
	stop := make(chan struct{})
	var killer sync.WaitGroup
	killer.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			admin.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
				AND application_name = 'soak' ORDER BY random() LIMIT 2`)
		}
	})
	soak(t, open(t, dsn+" application_name=soak"), open(t, dsn), testsize.Cases(10, 60), func() {
		close(stop)
		killer.Wait()
	})
}

// TestSoakRestarts restarts the server meanwhile.
func TestSoakRestarts(t *testing.T) {
	testsize.Slow(t)
	ctx := context.Background()
	srv, err := pgserver.Start(ctx, pgserver.Options{})
	if err != nil {
		t.Skipf("a server of its own is needed: %v", err)
	}
	defer srv.Close()
	stop := make(chan struct{})
	var restarter sync.WaitGroup
	restarter.Go(func() {
		for range 4 { // the first when the table is there
			select {
			case <-stop:
				return
			case <-time.After(300 * time.Millisecond):
			}
			if err := srv.Restart(ctx); err != nil {
				t.Errorf("restart: %v", err)
				return
			}
		}
	})
	soak(t, open(t, srv.DSN()), open(t, srv.DSN()), 60, func() {
		close(stop)
		restarter.Wait()
	})
}
