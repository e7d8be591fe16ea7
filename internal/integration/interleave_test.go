package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/testsize"
)

// openResult is a result that is being read while other statements run, and
// what it must still give.
type openResult struct {
	rows     *sql.Rows
	stmt     *sql.Stmt
	next, to int
}

func (r *openResult) close() {
	r.rows.Close()
	if r.stmt != nil {
		r.stmt.Close()
	}
}

// TestInterleaving runs random statements in a transaction while rows of
// others are open, and compares with what each gives alone.
func TestInterleaving(t *testing.T) {
	ctx := context.Background()
	inModes(t, func(t *testing.T, db *sql.DB) {
		if t.Name() == "TestInterleaving/wrapped" {
			t.Log("behind Wrap the base's own behaviour holds")
			return
		}
		mustExec(t, db, "CREATE TABLE t (a int)")
		rnd := rand.New(rand.NewPCG(7, 11))
		steps := testsize.Cases(500, 10_000)
		for steps > 0 {
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			var open []*openResult
			inserted, failed := 0, false
			count := func(h psyco.Handle) {
				if got := all(t, h, "SELECT count(*) FROM t WHERE a >= %s", 0); got[0] != fmt.Sprint(inserted) {
					t.Fatalf("%s rows, want %d", got[0], inserted)
				}
			}
			for range 50 {
				steps--
				switch op := rnd.IntN(200); {
				case op < 50: // a new result, small or larger than lib/pq's buffer
					r := &openResult{next: rnd.IntN(100)}
					r.to = r.next + rnd.IntN(1+rnd.IntN(3000))
					switch rnd.IntN(5) {
					case 0:
						r.rows, err = tx.Query(fmt.Sprintf("SELECT i, repeat('x', i %% 50) FROM generate_series(%d, %d) i", r.next, r.to))
					case 1:
						r.rows, err = tx.Query("SELECT i, repeat('x', i % 50) FROM generate_series($1::int, $2::int) i", r.next, r.to)
					case 2:
						r.rows, err = tx.Query("SELECT i, repeat('x', i %% 50) FROM generate_series(%s::int, %s::int) i", r.next, r.to)
					case 3:
						r.rows, err = tx.Query("SELECT i, repeat('x', i %% 50) FROM generate_series(%s::int, %s::int) i", r.next, r.to, psyco.ServerSide(rnd.IntN(500)))
					case 4:
						if r.stmt, err = tx.Prepare("SELECT i, repeat('x', i %% 50) FROM generate_series(%s::int, %s::int) i"); err == nil {
							r.rows, err = r.stmt.Query(r.next, r.to)
						}
					}
					if err != nil {
						t.Fatal(err)
					}
					open = append(open, r)
				case op < 130 && len(open) > 0: // read some of a result
					i := rnd.IntN(len(open))
					r := open[i]
					for range 1 + rnd.IntN(200) {
						if !r.rows.Next() {
							if err := r.rows.Err(); err != nil || r.next != r.to+1 {
								t.Fatalf("ended before %d instead of behind %d: %v", r.next, r.to, err)
							}
							r.close()
							open = append(open[:i], open[i+1:]...)
							break
						}
						var n int
						var s string
						if err := r.rows.Scan(&n, &s); err != nil || n != r.next || len(s) != n%50 {
							t.Fatalf("got %d %q, want %d; %v", n, s, r.next, err)
						}
						r.next++
					}
				case op < 146 && len(open) > 0: // close one early, or abandon it
					i := rnd.IntN(len(open))
					if rnd.IntN(2) == 0 {
						open[i].close()
						open = append(open[:i], open[i+1:]...)
					}
				case op < 162:
					res := mustExec(t, tx, "INSERT INTO t VALUES (%s), (%s)", rnd.IntN(100), rnd.IntN(100))
					if n, err := res.RowsAffected(); n != 2 || err != nil {
						t.Fatalf("%d rows inserted, %v", n, err)
					}
					inserted += 2
				case op < 178:
					count(tx)
				case op < 198:
					mine := errors.New("mine")
					err := psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
						mustExec(t, tx, "INSERT INTO t VALUES ($1)", 1)
						if rnd.IntN(2) == 0 {
							return mine
						}
						inserted++
						return nil
					})
					if err != nil && err != mine {
						t.Fatal(err)
					}
				default: // a statement that is cancelled
					err := psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
						short, cancel := context.WithTimeout(ctx, time.Millisecond)
						defer cancel()
						_, err := tx.ExecContext(short, "SELECT pg_sleep(%s)", 60)
						return err
					})
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Fatalf("got %v", err)
					}
					// SAVEPOINT went in front of the statement, and may have
					// been what was cancelled: that fails the transaction.
					failed = txStatus(t, tx) == 'E'
				}
				if failed {
					break
				}
			}
			if !failed {
				count(tx)
			}
			commit := rnd.IntN(2) == 0 && !failed
			if commit {
				err = tx.Commit()
			} else {
				err = tx.Rollback()
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range open {
				r.close()
			}
			if commit {
				count(db)
			}
			mustExec(t, db, "TRUNCATE t")
		}
	})
}
