package bulk_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/faultproxy"
	"github.com/psyco-go/psyco/internal/testsize"
)

// TestCopyCanceled ends the context of a COPY that would never end by itself.
func TestCopyCanceled(t *testing.T) {
	db, same := copyConn(t)
	admin := open(t, sameDatabase(t, db))
	mustExec(t, db, "CREATE TABLE t (id int)")
	ids := []string{"id"}
	for _, tt := range []struct {
		name string
		run  func(ctx context.Context, cancel func(), h psyco.Handle) error
	}{
		{"a reader that is held up", func(ctx context.Context, cancel func(), h psyco.Handle) error {
			r, w := io.Pipe()
			defer w.Close() // lets go of the Read that CopyFrom leaves behind
			go func() {
				io.WriteString(w, "1\n")
				cancel()
			}()
			_, err := psyco.CopyFrom(ctx, h, "COPY t FROM STDIN", r)
			return err
		}},
		{"a reader without end", func(ctx context.Context, cancel func(), h psyco.Handle) error {
			calls := 0
			_, err := psyco.CopyFrom(ctx, h, "COPY t FROM STDIN", readerFunc(func(p []byte) (int, error) {
				if calls++; calls == 100 {
					cancel()
				}
				return copy(p, "1\n"), nil
			}))
			return err
		}},
		{"rows that are held up", func(ctx context.Context, cancel func(), h psyco.Handle) error {
			hold := make(chan struct{})
			defer close(hold)
			_, err := psyco.CopyRows(ctx, h, psyco.Identifier{"t"}, ids, func(yield func([]any, error) bool) {
				yield([]any{1}, nil)
				cancel()
				<-hold
			})
			return err
		}},
		{"rows without end", func(ctx context.Context, cancel func(), h psyco.Handle) error {
			_, err := psyco.CopyRows(ctx, h, psyco.Identifier{"t"}, ids, func(yield func([]any, error) bool) {
				for i := 0; yield([]any{i}, nil); i++ {
					if i == 100_000 {
						cancel()
					}
				}
			})
			return err
		}},
		{"out", func(ctx context.Context, cancel func(), h psyco.Handle) error {
			writes := 0
			_, err := psyco.CopyTo(ctx, h, writerFunc(func(p []byte) (int, error) {
				if writes++; writes == 3 {
					cancel()
				}
				return len(p), nil
			}), "COPY (SELECT generate_series(1, 1000000000)) TO STDOUT")
			return err
		}},
		{"out before the first row", func(ctx context.Context, cancel func(), h psyco.Handle) error {
			whenWaiting(t, admin, "pg_sleep", cancel)
			_, err := psyco.CopyTo(ctx, h, io.Discard, "COPY (SELECT pg_sleep(600)) TO STDOUT")
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			check := func(ctx context.Context, err error) {
				t.Helper()
				if !errors.Is(err, context.Canceled) || pq.As(err, "57014") == nil {
					t.Errorf("got %v", err)
				}
			}
			ctx, cancel := context.WithCancel(context.Background())
			check(ctx, tt.run(ctx, cancel, db))
			same()
			ctx, cancel = context.WithCancel(context.Background())
			defer cancel()
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			check(ctx, tt.run(ctx, cancel, tx))
			if err := tx.Commit(); !errors.Is(err, pq.ErrInFailedTransaction) {
				t.Errorf("Commit: %v", err)
			}
			same()
			equalRows(t, all(t, db, "SELECT count(*) FROM t"), "0")
		})
	}
}

// TestCopyCanceledBeforeBegin ends the context while the server still waits for
// a lock, before it asks for data.
func TestCopyCanceledBeforeBegin(t *testing.T) {
	db := testDB(t)
	mustExec(t, db, "CREATE TABLE t (id int)")
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	mustExec(t, tx, "LOCK TABLE t")
	ctx, cancel := context.WithCancel(context.Background())
	whenWaiting(t, db, "COPY t", cancel)
	reads := 0
	_, err = psyco.CopyFrom(ctx, db, "COPY t FROM STDIN", readerFunc(func([]byte) (int, error) {
		reads++
		return 0, io.EOF
	}))
	if !errors.Is(err, context.Canceled) || reads != 0 {
		t.Errorf("%d reads, %v", reads, err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err = psyco.CopyFrom(ended, db, "COPY t FROM STDIN", strings.NewReader("")); err != context.Canceled {
		t.Errorf("with a context that has ended: %v", err)
	}
}

// TestCopyCutAnywhere cuts the network at every boundary between two messages:
// all of the rows are there or none, and no error means all.
func TestCopyCutAnywhere(t *testing.T) {
	testsize.Slow(t)
	const rows = 5_000
	ctx := context.Background()
	lines := func(key int) string { return strings.Repeat(fmt.Sprintf("%d\t%020d\n", key, 0), rows) }
	loads := []struct {
		name string
		load func(db *sql.DB, key int) error
	}{
		{"CopyFrom", func(db *sql.DB, key int) error {
			_, err := psyco.CopyFrom(ctx, db, "COPY t FROM STDIN", strings.NewReader(lines(key)))
			return err
		}},
		{"Exec", func(db *sql.DB, key int) error {
			_, err := db.Exec("COPY t FROM STDIN", strings.NewReader(lines(key)))
			return err
		}},
		{"CopyRows", func(db *sql.DB, key int) error {
			_, err := psyco.CopyRows(ctx, db, psyco.Identifier{"t"}, []string{"k", "v"}, func(yield func([]any, error) bool) {
				for i := 0; i < rows && yield([]any{key, "some text"}, nil); i++ {
				}
			})
			return err
		}},
		{"CopyRows in a transaction", func(db *sql.DB, key int) error {
			return psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
				_, err := psyco.CopyRows(ctx, tx, psyco.Identifier{"t"}, []string{"k", "v"}, func(yield func([]any, error) bool) {
					for i := 0; i < rows && yield([]any{key, "some text"}, nil); i++ {
					}
				})
				return err
			})
		}},
		{"CopyTo", func(db *sql.DB, key int) error {
			n, err := psyco.CopyTo(ctx, db, io.Discard, "COPY (SELECT %s, repeat('x', 1000) FROM generate_series(1, 20)) TO STDOUT", key)
			if err == nil && n != 20 {
				return fmt.Errorf("%d rows without an error", n)
			}
			return err
		}},
	}
	for _, l := range loads {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			p, db, direct := faulty(t, "")
			mustExec(t, direct, "CREATE TABLE t (k int, v text)")
			failed := 0
			eachCut(t, p, db, l.load, func(where string, key int, err error) {
				got := len(rowsWithKey(t, direct, key))
				if l.name == "CopyTo" {
					got = rows
				}
				switch {
				case got != 0 && got != rows:
					t.Fatalf("%s: %d of %d rows; %v", where, got, rows, err)
				case err == nil && got == 0:
					t.Fatalf("%s: no error, and no rows", where)
				case err != nil:
					failed++
				}
			})
			if failed == 0 {
				t.Error("no cut was noticed")
			}
		})
	}
}

// TestCopyStalledNetwork checks that a caller with a deadline comes back although
// nothing gets through.
func TestCopyStalledNetwork(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  func(ctx context.Context, db *sql.DB, stall func()) error
	}{
		{"CopyFrom", func(ctx context.Context, db *sql.DB, stall func()) error {
			_, err := psyco.CopyFrom(ctx, db, "COPY t FROM STDIN", readerFunc(func(p []byte) (int, error) {
				stall()
				return copy(p, "1\n"), nil
			}))
			return err
		}},
		{"CopyTo", func(ctx context.Context, db *sql.DB, stall func()) error {
			_, err := psyco.CopyTo(ctx, db, writerFunc(func(p []byte) (int, error) {
				stall()
				return len(p), nil
			}), "COPY (SELECT generate_series(1, 1000000000)) TO STDOUT")
			return err
		}},
		{"CopyRows", func(ctx context.Context, db *sql.DB, stall func()) error {
			_, err := psyco.CopyRows(ctx, db, psyco.Identifier{"t"}, []string{"id"}, func(yield func([]any, error) bool) {
				for yield([]any{1}, nil) {
					stall()
				}
			})
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, db, direct := faulty(t, "", psyco.WithCancelGrace(100*time.Millisecond))
			mustExec(t, direct, "CREATE TABLE t (id int)")
			ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
			defer cancel()
			if err := tt.run(ctx, db, func() { p.Stall(faultproxy.Both) }); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			p.Resume(faultproxy.Both)
			terminateOthers(t, direct)
			equalRows(t, all(t, direct, "SELECT count(*) FROM t"), "0")
		})
	}
}
