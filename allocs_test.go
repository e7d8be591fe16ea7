package psyco_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
)

// TestAllocations compares a warm query with a statement that was prepared by
// hand on lib/pq's own connection.
func TestAllocations(t *testing.T) {
	dsn := pgserver.TestDSN(t)
	db := open(t, dsn)
	base, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	mustExec(t, db, "CREATE TABLE t (a int PRIMARY KEY, b text); INSERT INTO t SELECT i, 'x' FROM generate_series(1, 1000) i")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
	}{{"without a context", context.Background()}, {"with a context", ctx}} {
		for _, q := range []struct{ name, pq, psyco string }{
			{"select", "SELECT b FROM t WHERE a = $1", "SELECT b FROM t WHERE a = $1"},
			{"select, psycopg", "SELECT b FROM t WHERE a = $1", "SELECT b FROM t WHERE a = %s"},
		} {
			t.Run(q.name+" "+tt.name, func(t *testing.T) {
				stmt, err := base.Prepare(q.pq)
				if err != nil {
					t.Fatal(err)
				}
				defer stmt.Close()
				var s string
				prepared := testing.AllocsPerRun(200, func() {
					if err := stmt.QueryRowContext(tt.ctx, 500).Scan(&s); err != nil {
						t.Fatal(err)
					}
				})
				ours := testing.AllocsPerRun(200, func() {
					if err := db.QueryRowContext(tt.ctx, q.psyco, 500).Scan(&s); err != nil {
						t.Fatal(err)
					}
				})
				t.Logf("prepared by hand: %v, psyco: %v", prepared, ours)
				if ours >= prepared {
					t.Errorf("a warm query costs %v allocations, a statement prepared by hand %v", ours, prepared)
				}
			})
		}
	}
	t.Run("exec", func(t *testing.T) {
		stmt, err := base.Prepare("UPDATE t SET b = $2 WHERE a = $1")
		if err != nil {
			t.Fatal(err)
		}
		defer stmt.Close()
		prepared := testing.AllocsPerRun(200, func() { stmt.Exec(500, "y") })
		ours := testing.AllocsPerRun(200, func() { db.Exec("UPDATE t SET b = %s WHERE a = %s", "y", 500) })
		t.Logf("prepared by hand: %v, psyco: %v", prepared, ours)
		if ours >= prepared {
			t.Errorf("a warm statement costs %v allocations, one prepared by hand %v", ours, prepared)
		}
		if ours > 3 { // database/sql's
			t.Errorf("a warm statement costs %v allocations", ours)
		}
	})
	t.Run("ExecMany", func(t *testing.T) {
		mustExec(t, db, "CREATE TABLE u (a int, b text)")
		few, many := make([][]any, 100), make([][]any, 1100)
		for i := range many {
			many[i] = []any{i, "x"}
		}
		copy(few, many)
		count := func(rows [][]any) float64 {
			return testing.AllocsPerRun(20, func() {
				if _, err := psyco.ExecMany(ctx, db, "INSERT INTO u VALUES (%s, %s)", psyco.SliceRows(rows)); err != nil {
					t.Fatal(err)
				}
			})
		}
		// A row costs what its int costs as a driver.Value, and nothing else.
		if each := (count(many) - count(few)) / float64(len(many)-len(few)); each > 1.01 {
			t.Errorf("a row costs %v allocations", each)
		}
	})
}
