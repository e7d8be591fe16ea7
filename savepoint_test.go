package psyco_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/psyco-go/psyco"
)

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
