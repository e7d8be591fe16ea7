package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
)

// panics are programs whose own code panics while an answer is being read.
var panics = []struct {
	name string
	run  func(ctx context.Context, h psyco.Handle)
}{
	{"writer of CopyTo", func(ctx context.Context, h psyco.Handle) {
		psyco.CopyTo(ctx, h, writerFunc(func([]byte) (int, error) { panic("out of paper") }), "COPY (SELECT generate_series(1, 100000)) TO STDOUT")
	}},
	{"writer of COPY", func(ctx context.Context, h psyco.Handle) {
		var w io.Writer = writerFunc(func([]byte) (int, error) { panic("out of paper") })
		h.ExecContext(ctx, "COPY (SELECT generate_series(1, 100000)) TO STDOUT", w)
	}},
	{"reader of CopyFrom", func(ctx context.Context, h psyco.Handle) {
		psyco.CopyFrom(ctx, h, "COPY t FROM STDIN", readerFunc(func([]byte) (int, error) { panic("out of paper") }))
	}},
	{"rows of CopyRows", func(ctx context.Context, h psyco.Handle) {
		psyco.CopyRows(ctx, h, psyco.Identifier{"t"}, []string{"k"}, panickingRows)
	}},
	{"rows of ExecMany", func(ctx context.Context, h psyco.Handle) {
		psyco.ExecMany(ctx, h, "INSERT INTO t VALUES (%s)", panickingRows)
	}},
	{"notice handler", func(ctx context.Context, h psyco.Handle) {
		h.ExecContext(ctx, "DO $$ BEGIN RAISE NOTICE 'boo'; PERFORM generate_series(1, 1000); END $$")
	}},
}

func panickingRows(yield func([]any, error) bool) {
	yield([]any{1}, nil)
	panic("out of paper")
}

// TestPanicInAnswer: a connection whose answer was not read to its end because the
// program's own code has panicked goes to nobody else, and nothing goes on behind the
// program's back: no transaction stays open, no cancel request is sent forever.
func TestPanicInAnswer(t *testing.T) {
	for _, p := range panics {
		for _, tt := range []struct {
			name string
			run  func(ctx context.Context, db *sql.DB, f func(h psyco.Handle))
		}{
			{"pool", func(_ context.Context, db *sql.DB, f func(h psyco.Handle)) { f(db) }},
			{"connection", func(ctx context.Context, db *sql.DB, f func(h psyco.Handle)) {
				conn := mustConn(t, db)
				f(conn)
				if _, err := conn.ExecContext(ctx, "SELECT %s", 1); err != nil && !errors.Is(err, sql.ErrConnDone) && err.Error() != "driver: bad connection" {
					t.Errorf("the same connection: %v", err)
				}
				conn.Close()
			}},
			{"transaction", func(ctx context.Context, db *sql.DB, f func(h psyco.Handle)) {
				tx := mustBegin(t, db)
				f(tx)
				if err := tx.Commit(); err == nil && p.name == "writer of CopyTo" {
					t.Error("committed")
				}
			}},
		} {
			t.Run(p.name+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				db := testDB(t, psyco.WithNoticeHandler(func(*pq.Error) { panic("out of paper") }))
				db.SetMaxOpenConns(1)
				mustExec(t, db, "CREATE TABLE t (k int)")
				ctx, cancel := context.WithCancel(t.Context())
				tt.run(ctx, db, func(h psyco.Handle) {
					defer func() {
						if recover() == nil {
							t.Error("no panic")
						}
					}()
					p.run(ctx, h)
				})
				cancel()
				next, stop := context.WithTimeout(t.Context(), 10*time.Second)
				defer stop()
				for i := range 3 {
					var n int
					if err := db.QueryRowContext(next, "SELECT %s::int", i).Scan(&n); err != nil || n != i {
						t.Errorf("the next user got %d, %v", n, err)
					}
				}
				if got := fmt.Sprint(all(t, db, "SELECT count(*) FROM t")); got != "[0]" {
					t.Errorf("%s rows", got)
				}
			})
		}
	}
}
