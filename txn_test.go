package psyco_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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

func TestRollback(t *testing.T) {
	ctx := context.Background()
	mine := errors.New("mine")
	inModes(t, func(t *testing.T, db *sql.DB) {
		mustExec(t, db, "CREATE TABLE t (a text)")
		insert := func(tx *sql.Tx, s string) {
			t.Helper()
			mustExec(t, tx, "INSERT INTO t VALUES (%s)", s)
		}
		// nest runs three savepoints in each other, and returns what the innermost
		// one's function returns through all of them.
		nest := func(tx *sql.Tx, result error) error {
			insert(tx, "before")
			err := psyco.NamedSavepoint(ctx, tx, "outer", func(tx *sql.Tx) error {
				insert(tx, "outer")
				err := psyco.NamedSavepoint(ctx, tx, "middle", func(tx *sql.Tx) error {
					insert(tx, "middle")
					err := psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
						insert(tx, "inner")
						return result
					})
					if err == nil {
						insert(tx, "middle again")
					}
					return err
				})
				if err == nil {
					insert(tx, "outer again")
				}
				return err
			})
			if err == nil {
				insert(tx, "after")
			}
			return err
		}
		for _, tt := range []struct {
			name    string
			result  error
			want    string
			wantErr string
		}{
			{"nil", nil, "before outer middle inner middle again outer again after", ""},
			{"this one", psyco.Rollback(""), "before outer middle middle again outer again after", ""},
			{"the middle one", psyco.Rollback("middle"), "before outer outer again after", ""},
			{"the outer one", psyco.Rollback("outer"), "before after", ""},
			{"all", psyco.RollbackTx, "", ""},
			{"an unknown one", psyco.Rollback("other"), "", `psyco: a Rollback to the savepoint "other"`},
			{"another error", mine, "", "mine"},
			{"wrapped", fmt.Errorf("x: %w", psyco.Rollback("outer")), "", "x: psyco: a Rollback"},
		} {
			mustExec(t, db, "TRUNCATE t")
			err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error { return nest(tx, tt.result) })
			if (err == nil) != (tt.wantErr == "") || err != nil && !strings.HasPrefix(err.Error(), tt.wantErr) {
				t.Errorf("%s: error %v", tt.name, err)
			}
			if got := strings.Join(all(t, db, "SELECT a FROM t"), " "); got != tt.want {
				t.Errorf("%s: rows %q, want %q", tt.name, got, tt.want)
			}
		}
		for _, r := range []psyco.Rollback{"", psyco.RollbackTx} {
			mustExec(t, db, "TRUNCATE t")
			if err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error { insert(tx, "x"); return r }); err != nil {
				t.Errorf("InTx with %q: %v", string(r), err)
			}
			if got := all(t, db, "SELECT a FROM t"); len(got) > 0 {
				t.Errorf("InTx with %q: rows %q", string(r), got)
			}
			tx := mustBegin(t, db)
			if err := psyco.NamedSavepoint(ctx, tx, string(r), nil); err == nil {
				t.Errorf("no error for the name %q", string(r))
			}
			tx.Rollback()
		}
	})
}

// TestSavepointsOfOneName checks that the innermost is meant.
func TestSavepointsOfOneName(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	mustExec(t, db, "CREATE TABLE t (a int)")
	err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
		return psyco.NamedSavepoint(ctx, tx, "s", func(tx *sql.Tx) error {
			mustExec(t, tx, "INSERT INTO t VALUES (1)")
			return psyco.NamedSavepoint(ctx, tx, "s", func(tx *sql.Tx) error {
				mustExec(t, tx, "INSERT INTO t VALUES (2)")
				return psyco.Rollback("s")
			})
		})
	})
	if got := all(t, db, "SELECT a FROM t"); err != nil || !slices.Equal(got, []string{"1"}) {
		t.Fatalf("rows %q, %v", got, err)
	}
}

// TestSavepointsOutOfOrder ends savepoints before those that were begun inside
// of them, as goroutines that share a transaction would.
func TestSavepointsOutOfOrder(t *testing.T) {
	ctx := context.Background()
	mine := errors.New("mine")
	for _, tt := range []struct {
		name         string
		outer, inner error // what their functions return
		wantOuter    string
		wantInner    string
	}{
		{"both keep", nil, nil, "psyco: savepoints out of order: one ended while 1", "<nil>"},
		{"the outer one is undone", mine, nil, "mine\npsyco: savepoints out of order: one was rolled back while 1", "psyco: the savepoint is gone"},
		{"both are undone", mine, mine, "mine\npsyco: savepoints out of order: one was rolled back while 1", "mine\npsyco: the savepoint is gone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := testDB(t)
			mustExec(t, db, "CREATE TABLE t (a int)")
			tx := mustBegin(t, db)
			outerBegan, innerBegan, outerEnded := make(chan bool), make(chan bool), make(chan bool)
			var outer, inner error
			innerEnded := make(chan bool)
			go func() {
				defer close(outerEnded)
				outer = psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
					tx.Exec("INSERT INTO t VALUES (1)")
					close(outerBegan)
					<-innerBegan
					return tt.outer
				})
			}()
			go func() {
				defer close(innerEnded)
				<-outerBegan
				inner = psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
					tx.Exec("INSERT INTO t VALUES (2)")
					close(innerBegan)
					<-outerEnded
					return tt.inner
				})
			}()
			<-innerEnded
			if !strings.HasPrefix(fmt.Sprint(outer), tt.wantOuter) {
				t.Errorf("the outer one: %v", outer)
			}
			if !strings.HasPrefix(fmt.Sprint(inner), tt.wantInner) {
				t.Errorf("the inner one: %v", inner)
			}
			// The connection knows what is open and what is not.
			if err := psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error { return second(tx.Exec("SELECT 1")) }); err != nil {
				t.Errorf("the next savepoint: %v", err)
			}
			if err := tx.Rollback(); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("the transaction ends inside", func(t *testing.T) {
		tx := mustBegin(t, testDB(t))
		mustExec(t, tx, "SELECT 1")
		if err := psyco.Savepoint(ctx, tx, (*sql.Tx).Commit); err != sql.ErrTxDone {
			t.Errorf("got %v", err)
		}
	})
}

func TestSnapshot(t *testing.T) {
	ctx := context.Background()
	inModes(t, func(t *testing.T, db *sql.DB) {
		mustExec(t, db, "CREATE TABLE t AS SELECT 1 AS a")
		// What the server calls a snapshot that is not there.
		gone := all(t, db, "SELECT CASE WHEN current_setting('server_version_num')::int < 170000 THEN '22023' ELSE '42704' END")[0]
		for _, level := range []sql.IsolationLevel{sql.LevelRepeatableRead, sql.LevelSerializable} {
			opts := &psyco.TxOptions{Isolation: level, ReadOnly: true}
			first, err := psyco.BeginTx(ctx, db, opts)
			if err != nil {
				t.Fatal(err)
			}
			defer first.Rollback()
			name, err := psyco.ExportSnapshot(ctx, first)
			if err != nil {
				t.Fatal(err)
			}
			want := all(t, first, "SELECT a FROM t")
			mustExec(t, db, "INSERT INTO t VALUES (2)")
			opts.Snapshot = name
			for _, args := range [][]any{nil, {0}} {
				second, err := psyco.BeginTx(ctx, db, opts)
				if err != nil {
					t.Fatal(err)
				}
				query := "SELECT a FROM t"
				if args != nil {
					query += " WHERE a > %s"
				}
				if got := all(t, second, query, args...); !slices.Equal(got, want) {
					t.Errorf("%s: rows %q, want %q", level, got, want)
				}
				if err := second.Commit(); err != nil {
					t.Error(err)
				}
			}
			first.Rollback()

			// The snapshot is gone, so BeginTx or the first statement returns an error.
			late, err := psyco.BeginTx(ctx, db, opts)
			if err == nil {
				_, err = late.Exec("SELECT %s", 1)
				late.Rollback()
			}
			if code(err) != gone {
				t.Errorf("after its end: %v, want %s", err, gone)
			}
		}
		for _, tt := range []struct {
			name string
			opts psyco.TxOptions
			want string
		}{
			{"isolation", psyco.TxOptions{Snapshot: "00000003-0000001B-1"}, "0A000"},
			{"no such", psyco.TxOptions{Isolation: sql.LevelRepeatableRead, Snapshot: "00000003-0000001B-1"}, gone},
			{"no name", psyco.TxOptions{Isolation: sql.LevelRepeatableRead, Snapshot: "'; DROP"}, "is not the name of a snapshot"},
		} {
			tx, err := psyco.BeginTx(ctx, db, &tt.opts)
			if err == nil {
				_, err = tx.Exec("SELECT 1")
				tx.Rollback()
			}
			if err == nil || !strings.Contains(err.Error()+code(err), tt.want) {
				t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
			}
		}
	})
}
