package bulk_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/faultproxy"
	"github.com/psyco-go/psyco/internal/testdb"
	"github.com/psyco-go/psyco/internal/testsize"
)

// TestBulkCutAnywhere cuts the network at messages all over the operations:
// they happen once as a whole, or not at all.
func TestBulkCutAnywhere(t *testing.T) {
	testsize.Slow(t)
	ctx := context.Background()
	for _, w := range testdb.BulkWrites {
		t.Run(w.Name, func(t *testing.T) {
			t.Parallel()
			p, db, direct := faulty(t, "")
			db.SetMaxOpenConns(1)
			mustExec(t, direct, "CREATE TABLE t (k int)")
			key := 0
			for _, in := range []string{"alone", "transaction"} {
				write := func(key int) error { return w.Write(ctx, db, key) }
				if in == "transaction" {
					write = func(key int) error {
						tx, err := db.Begin()
						if err != nil {
							return err
						}
						defer tx.Rollback()
						if err := w.Write(ctx, tx, key); err != nil {
							return err
						}
						return tx.Commit()
					}
				}
				if err := write(0); err != nil {
					t.Fatal(err)
				}
				p.ResetCounts()
				if err := write(0); err != nil {
					t.Fatal(err)
				}
				counts := p.Counts()
				messages := counts.Messages(faultproxy.ToServer, "") + counts.Messages(faultproxy.ToClient, "")
				messages += 20 // for preparing on a new connection, after each cut
				unsure := 0
				// The first and last messages one by one, those in between here and there.
				for n := 1; n <= messages; {
					for i := range testsize.Some(1, 2) { // behind a message is nearly before the next
						point := []func(faultproxy.Match) faultproxy.Point{faultproxy.After, faultproxy.Before}[i-1]
						key++
						pingPastCut(t, db, fmt.Sprintf("%s, message %d", in, n))
						p.On(point(faultproxy.Nth(n, func(faultproxy.Message) bool { return true })), (*faultproxy.Link).Cut)
						err := write(key)
						p.Disarm()
						// A server that was cut off may still have the statement before it.
						for others(t, direct) > db.Stats().OpenConnections {
							time.Sleep(time.Millisecond)
						}
						rows := len(rowsWithKey(t, direct, key))
						if rows != 0 && rows != bulkRows {
							t.Fatalf("%s, message %d: %d rows; error: %v", in, n, rows, err)
						}
						if err == nil && rows == 0 {
							t.Fatalf("%s, message %d: no error, and no rows", in, n)
						}
						if err != nil && rows != 0 {
							unsure++
							if errors.Is(err, driver.ErrBadConn) || !errors.Is(err, psyco.ErrCommitUnknown) && !strings.Contains(err.Error(), "may or may not") {
								t.Fatalf("%s, message %d: rows are there, and the error is %v", in, n, err)
							}
						}
						mustExec(t, direct, "DELETE FROM t WHERE k = %s", key)
					}
					switch {
					case n >= messages-28: // the commit is here, in more than one of them
						n += testsize.Cases(2, 1)
					case n <= 20:
						n += testsize.Cases(5, 1)
					default:
						n += min(messages/testsize.Cases(3, 7), messages-28-n)
					}
				}
				if unsure == 0 {
					t.Errorf("%s: the commit was never in doubt: the cuts missed it", in)
				}
			}
		})
	}
}

// TestBulkCanceled ends the context in the middle.
func TestBulkCanceled(t *testing.T) {
	for _, w := range testdb.BulkWrites {
		t.Run(w.Name, func(t *testing.T) {
			t.Parallel()
			db := testDB(t)
			db.SetMaxOpenConns(1)
			mustExec(t, db, `CREATE TABLE t (k int);
				CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END $$;
				CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION slow()`)
			pid := all(t, db, "SELECT pg_backend_pid()")
			ctx, expire := testdb.Deadline(context.Background())
			whenWaiting(t, open(t, sameDatabase(t, db)), "INSERT", expire)
			err := w.Write(ctx, db, 1)
			if !errors.Is(err, context.DeadlineExceeded) || pq.As(err) == nil || pq.As(err).Code != "57014" {
				t.Fatalf("got %v", err)
			}
			if got := all(t, db, "SELECT count(*), pg_backend_pid() FROM t"); got[0] != "0,"+pid[0] {
				t.Errorf("rows and backend are %s", got[0])
			}
		})
	}
}

// TestBulkStalled lets nothing through any more.
func TestBulkStalled(t *testing.T) {
	for _, w := range testdb.BulkWrites {
		t.Run(w.Name, func(t *testing.T) {
			t.Parallel()
			p, db, direct := faulty(t, "", psyco.WithCancelGrace(100*time.Millisecond))
			mustExec(t, direct, "CREATE TABLE t (k int)")
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			seen := faultproxy.Then(faultproxy.Msg(faultproxy.ToServer, "B"), faultproxy.Msg(faultproxy.ToClient, "C"))
			p.On(faultproxy.Before(seen), func(*faultproxy.Link) {
				p.Stall(faultproxy.ToServer | faultproxy.ToClient)
				cancel()
			})
			if err := w.Write(ctx, db, 1); !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v", err)
			}
			for db.Stats().OpenConnections != 0 {
				time.Sleep(time.Millisecond)
			}
		})
	}
}

// TestBulkNotices has the server say something for each row.
func TestBulkNotices(t *testing.T) {
	for _, w := range testdb.BulkWrites {
		t.Run(w.Name, func(t *testing.T) {
			t.Parallel()
			notices := 0
			db := testDB(t, psyco.WithNoticeHandler(func(*pq.Error) { notices++ }))
			mustExec(t, db, `CREATE TABLE t (k int);
				CREATE FUNCTION loud() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '%', repeat('x', 1000); RETURN NEW; END $$;
				CREATE TRIGGER loud BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION loud()`)
			if err := w.Write(context.Background(), db, 1); err != nil {
				t.Fatal(err)
			}
			if notices != bulkRows {
				t.Errorf("%d notices, want %d", notices, bulkRows)
			}
		})
	}
}

// TestExecManyMemory checks that memory does not grow with the number of rows.
func TestExecManyMemory(t *testing.T) {
	db := testDB(t)
	mustExec(t, db, "CREATE UNLOGGED TABLE t (a int, b text)")
	var most uint64
	text := strings.Repeat("x", 100)
	const rows = 100_000
	n, err := psyco.ExecMany(context.Background(), db, "INSERT INTO t VALUES (%s, %s)", argRows(rows, func(i int) []any {
		if i%10_000 == 9_999 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
		return []any{i, text}
	}))
	if err != nil || n != rows {
		t.Fatalf("%d rows, %v", n, err)
	}
	if most > 20<<20 { // the rows are 40 MB in memory
		t.Errorf("%d bytes in use", most)
	}
	if got := all(t, db, "SELECT count(*) FROM t"); got[0] != fmt.Sprint(rows) {
		t.Errorf("%s rows", got[0])
	}
}

// TestExecManyReadsRows has an iterator that uses other connections of the pool.
func TestExecManyReadsRows(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	mustExec(t, db, "CREATE TABLE a AS SELECT i FROM generate_series(1, 10000) i; CREATE TABLE b (i int, s text)")
	n, err := psyco.ExecMany(ctx, db, "INSERT INTO b VALUES (%s, %s)", func(yield func([]any, error) bool) {
		rows, err := db.Query("SELECT i, i::text FROM a")
		if err != nil {
			yield(nil, err)
			return
		}
		defer rows.Close()
		row := make([]any, 2) // used again and again
		var i int
		var s sql.RawBytes
		for rows.Next() {
			if err := rows.Scan(&i, &s); err != nil {
				yield(nil, err)
				return
			}
			row[0], row[1] = i, s
			if !yield(row, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(nil, err)
		}
	})
	if err != nil || n != 10000 {
		t.Fatalf("%d rows, %v", n, err)
	}
	if got := all(t, db, "SELECT count(*), count(DISTINCT i), bool_and(i::text = s) FROM b"); got[0] != "10000,10000,true" {
		t.Errorf("got %s", got[0])
	}
}

// TestBulkPanics has an iterator that panics in the middle.
func TestBulkPanics(t *testing.T) {
	db := testDB(t)
	db.SetMaxOpenConns(1)
	mustExec(t, db, "CREATE TABLE t (k int)")
	func() {
		defer func() {
			if v := recover(); v != "enough" {
				t.Errorf("recovered %v", v)
			}
		}()
		psyco.ExecMany(context.Background(), db, "INSERT INTO t VALUES (%s)", argRows(6000, func(i int) []any {
			if i == 5000 {
				panic("enough")
			}
			return []any{i}
		}))
	}()
	if got := all(t, db, "SELECT count(*) FROM t"); got[0] != "0" {
		t.Errorf("%s rows are left", got[0])
	}
}
