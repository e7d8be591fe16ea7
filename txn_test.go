package psyco_test

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
)

func TestTransactionsCostNothingExtra(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	mustExec(t, conn, "CREATE TABLE t (a int)")
	for range 3 {
		mustExec(t, conn, "INSERT INTO t VALUES (%s)", 0)
	}
	begin := func() *sql.Tx {
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	for _, tt := range []struct {
		name string
		want uint64
		run  func()
	}{
		{"empty, committed", 0, func() { begin().Commit() }},
		{"empty, rolled back", 0, func() { begin().Rollback() }},
		{"three statements", 4, func() {
			tx := begin()
			for i := range 3 {
				mustExec(t, tx, "INSERT INTO t VALUES (%s)", i)
			}
			tx.Commit()
		}},
		{"savepoints", 4, func() {
			tx := begin()
			mustExec(t, tx, "INSERT INTO t VALUES (%s)", 1)
			psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error { return nil })
			psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
				mustExec(t, tx, "INSERT INTO t VALUES (%s)", 2)
				return nil
			})
			mustExec(t, tx, "INSERT INTO t VALUES (%s)", 3)
			tx.Commit()
		}},
		{"a statement without arguments", 3, func() {
			tx := begin()
			mustExec(t, tx, "INSERT INTO t VALUES (1)")
			tx.Commit()
		}},
	} {
		if got := roundTrips(t, conn, tt.run); got != tt.want {
			t.Errorf("%s: %d round trips, want %d", tt.name, got, tt.want)
		}
	}
}

func TestTransactions(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		mustExec(t, db, "CREATE TABLE t (a int PRIMARY KEY)")
		rows := func() string { return strings.Join(all(t, db, "SELECT a FROM t ORDER BY a"), " ") }
		begin := func() *sql.Tx {
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			return tx
		}

		tx := begin()
		mustExec(t, tx, "INSERT INTO t VALUES (%s)", 1)
		if err := tx.Commit(); err != nil || rows() != "1" {
			t.Fatalf("commit: %v, rows %s", err, rows())
		}

		tx = begin()
		mustExec(t, tx, "INSERT INTO t VALUES (%s)", 2)
		if err := tx.Rollback(); err != nil || rows() != "1" {
			t.Fatalf("rollback: %v, rows %s", err, rows())
		}

		tx = begin()
		mustExec(t, tx, "INSERT INTO t VALUES (%s)", 3)
		if _, err := tx.Exec("INSERT INTO t VALUES (%s)", 1); err == nil {
			t.Fatal("no error for a duplicate key")
		}
		if _, err := tx.Exec("SELECT %s", 1); err == nil || err.(*pq.Error).Code != "25P02" {
			t.Fatalf("in a failed transaction: %v", err)
		}
		if err := tx.Commit(); err != pq.ErrInFailedTransaction || rows() != "1" {
			t.Fatalf("commit of a failed transaction: %v, rows %s", err, rows())
		}
	})
}

// TestFirstStatementIsLong commits a transaction whose first statement returns
// more rows than fit into any buffer, so that the server's word that it is open
// comes late.
func TestFirstStatementIsLong(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		mustExec(t, db, "CREATE TABLE t (a int)")
		for _, args := range [][]any{nil, {1}, {1}, {1}} {
			mustExec(t, db, "TRUNCATE t")
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			query := "INSERT INTO t SELECT generate_series(1, 10000) RETURNING a"
			if args != nil {
				query += ", %s"
			}
			if got := all(t, tx, query, args...); len(got) != 10000 {
				t.Fatalf("%d rows", len(got))
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			if got := all(t, db, "SELECT count(*) FROM t"); got[0] != "10000" {
				t.Fatalf("%s rows after Commit", got[0])
			}
		}
	})
}

func TestTxOptions(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	for _, tt := range []struct {
		name string
		opts *psyco.TxOptions
		want string
	}{
		{"server's defaults", nil, "read committed,off,off"},
		{"serializable, read only, deferrable", &psyco.TxOptions{Isolation: sql.LevelSerializable, ReadOnly: true, Deferrable: true}, "serializable,on,on"},
		{"repeatable read", &psyco.TxOptions{Isolation: sql.LevelRepeatableRead}, "repeatable read,off,off"},
		{"deferrable", &psyco.TxOptions{Deferrable: true}, "read committed,off,on"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tx, err := psyco.BeginTx(ctx, db, tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			got := all(t, tx, `SELECT current_setting('transaction_isolation'),
				current_setting('transaction_read_only'), current_setting('transaction_deferrable'), %s IS NULL`, nil)
			if got[0] != tt.want+",true" {
				t.Fatalf("got %s, want %s", got[0], tt.want)
			}
		})
	}
	t.Run("default_transaction_read_only stays in force", func(t *testing.T) {
		conn, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		mustExec(t, conn, "SET default_transaction_read_only = on")
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if got := all(t, tx, "SHOW transaction_read_only"); got[0] != "on" {
			t.Fatalf("read only is %s", got[0])
		}
	})
	t.Run("unknown isolation level", func(t *testing.T) {
		_, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelLinearizable})
		if err == nil || !strings.HasPrefix(err.Error(), "psyco: isolation level not supported") {
			t.Fatalf("got %v", err)
		}
	})
}

// TestBeginFails makes BEGIN, which goes with the first statement, fail: the
// statement must not run outside of a transaction in its place.
func TestBeginFails(t *testing.T) {
	ctx := context.Background()
	conn, err := testDB(t).Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	mustExec(t, conn, "CREATE TABLE t (a int)")
	// A BEGIN that the server refuses while the statement alone would run: the
	// options of psyco's own are all valid, so one is made invalid behind its back.
	for _, statement := range []string{"INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (%s)"} {
		for range 3 {
			tx, err := psyco.BeginBroken(ctx, conn)
			if err != nil {
				t.Fatal(err)
			}
			var args []any
			if strings.Contains(statement, "%") {
				args = []any{1}
			}
			_, first := tx.Exec(statement, args...)
			_, second := tx.Exec(statement, args...)
			if first == nil || second == nil {
				t.Fatalf("%s ran without its transaction: %v, %v", statement, first, second)
			}
			if err := tx.Commit(); err == nil {
				t.Fatal("no error from Commit")
			}
		}
	}
	if got := all(t, conn, "SELECT count(*) FROM t"); got[0] != "0" {
		t.Fatalf("%s rows were written outside of a transaction", got[0])
	}
}

func TestInTx(t *testing.T) {
	ctx := context.Background()
	inModes(t, func(t *testing.T, db *sql.DB) {
		mustExec(t, db, "CREATE TABLE t (a int)")
		count := func() string { return all(t, db, "SELECT count(*) FROM t")[0] }
		insert := func(tx *sql.Tx) error {
			_, err := tx.Exec("INSERT INTO t VALUES (%s)", 1)
			return err
		}
		if err := psyco.InTx(ctx, db, nil, insert); err != nil || count() != "1" {
			t.Fatalf("commit: %v, %s rows", err, count())
		}
		mine := errors.New("mine")
		err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error { insert(tx); return mine })
		if err != mine || count() != "1" {
			t.Fatalf("error: %v, %s rows", err, count())
		}
		func() {
			defer func() {
				if p := recover(); p != "boom" {
					t.Fatalf("recovered %v", p)
				}
			}()
			psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error { insert(tx); panic("boom") })
		}()
		if count() != "1" {
			t.Fatalf("panic: %s rows", count())
		}
	})
}

func TestInTxRetries(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	mustExec(t, db, "CREATE TABLE t (a int); INSERT INTO t VALUES (0)")
	fail := func(code string) string {
		return "DO $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '" + code + "'; END $$"
	}
	for _, tt := range []struct {
		name, code string
		opts       *psyco.TxOptions
		failures   int
		runs       int
		wantErr    bool
	}{
		{"serialization failure", "40001", nil, 3, 4, false},
		{"deadlock", "40P01", nil, 1, 2, false},
		{"another error", "23505", nil, 1, 1, true},
		{"too many", "40001", &psyco.TxOptions{MaxRetries: 2}, 5, 3, true},
		{"never", "40001", &psyco.TxOptions{MaxRetries: -1}, 1, 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			runs := 0
			err := psyco.InTx(ctx, db, tt.opts, func(tx *sql.Tx) error {
				runs++
				if _, err := tx.Exec("UPDATE t SET a = a + %s", 1); err != nil {
					return err
				}
				if runs <= tt.failures {
					_, err := tx.Exec(fail(tt.code))
					return err
				}
				return nil
			})
			if runs != tt.runs || (err != nil) != tt.wantErr {
				t.Fatalf("%d runs, error %v", runs, err)
			}
		})
	}
	if got := all(t, db, "SELECT a FROM t"); got[0] != "2" {
		t.Fatalf("a = %s, want 2", got[0])
	}
}

// TestInTxRetriesWithRowsOpen loses the connection while a result is open: what a
// statement then returns must make InTx run the function again.
func TestInTxRetriesWithRowsOpen(t *testing.T) {
	db := testDB(t)
	admin := open(t, sameDatabase(t, db))
	runs := 0
	err := psyco.InTx(t.Context(), db, nil, func(tx *sql.Tx) error {
		if runs++; runs > 1 {
			return nil
		}
		pid := all(t, tx, "SELECT pg_backend_pid()")[0]
		rows, err := tx.Query("SELECT i FROM generate_series(1, $1::int) i", 3)
		if err != nil {
			return err
		}
		defer rows.Close()
		if !rows.Next() {
			return rows.Err()
		}
		mustExec(t, admin, "SELECT pg_terminate_backend($1, 60000)", pid)
		if _, err := tx.Exec("SELECT $1::int", 1); err == nil {
			t.Error("no error")
		}
		_, err = tx.Exec("SELECT $1::int", 1) // is not sent
		return err
	})
	if err != nil || runs != 2 {
		t.Errorf("%d runs, %v", runs, err)
	}
}

func TestSavepoint(t *testing.T) {
	ctx := context.Background()
	inModes(t, func(t *testing.T, db *sql.DB) {
		mustExec(t, db, "CREATE TABLE t (a int PRIMARY KEY)")
		err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
			mustExec(t, tx, "INSERT INTO t VALUES (%s)", 1)
			mine := errors.New("mine")
			if err := psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
				mustExec(t, tx, "INSERT INTO t VALUES (%s)", 2)
				return mine
			}); err != mine {
				t.Errorf("got %v", err)
			}
			if err := psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
				_, err := tx.Exec("INSERT INTO t VALUES (%s)", 1)
				return err
			}); err == nil {
				t.Error("no error for a duplicate key")
			}
			if err := psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
				mustExec(t, tx, "INSERT INTO t VALUES (3)")
				if err := psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
					mustExec(t, tx, "INSERT INTO t VALUES (%s)", 4)
					return nil
				}); err != nil {
					return err
				}
				psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
					mustExec(t, tx, "INSERT INTO t VALUES (%s)", 5)
					return mine
				})
				return nil
			}); err != nil {
				t.Error(err)
			}
			if err := psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
				tx.Exec("SELECT 1/%s", 0)
				return nil // the error is swallowed
			}); err != pq.ErrInFailedTransaction && !strings.Contains(t.Name(), "wrapped") {
				t.Errorf("swallowed error: got %v", err)
			}
			return nil
		})
		if strings.Contains(t.Name(), "wrapped") {
			return // without the transaction's status the swallowed error fails it all
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := all(t, db, "SELECT a FROM t ORDER BY a"); !slices.Equal(got, []string{"1", "3", "4"}) {
			t.Fatalf("got %q", got)
		}
	})
}
