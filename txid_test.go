package psyco_test

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/faultproxy"
)

// TestCommitted cuts the network around COMMIT, and finds out what became of it.
func TestCommitted(t *testing.T) {
	ctx := context.Background()
	p, db, direct := faulty(t, "")
	mustExec(t, direct, "CREATE TABLE t (k int)")
	commit := faultproxy.SQL("COMMIT")
	for i, tt := range []struct {
		name  string
		point faultproxy.Point
		want  bool
	}{
		{"before the question", faultproxy.Before(commit), false},
		{"inside of the question", faultproxy.Inside(commit, 7), false},
		{"before the answer", faultproxy.Before(faultproxy.Then(faultproxy.SQL("COMMIT"), faultproxy.Msg(faultproxy.ToClient, ""))), true},
		{"inside of the answer", faultproxy.Inside(faultproxy.Then(faultproxy.SQL("COMMIT"), faultproxy.Msg(faultproxy.ToClient, "Z")), 3), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var id int64
			runs := 0
			err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) (err error) {
				runs++
				if _, err := tx.Exec("INSERT INTO t VALUES (%s)", i); err != nil {
					return err
				}
				if id, err = psyco.TxID(ctx, tx); err != nil {
					return err
				}
				p.On(tt.point, (*faultproxy.Link).Cut)
				return nil
			})
			p.Disarm()
			if !errors.Is(err, psyco.ErrCommitUnknown) || runs != 1 {
				t.Fatalf("%d runs, %v", runs, err)
			}
			got, err := psyco.Committed(ctx, direct, id)
			if err != nil || got != tt.want {
				t.Errorf("Committed: %v, %v", got, err)
			}
			want := "0"
			if got {
				want = "1"
			}
			if n := all(t, direct, "SELECT count(*) FROM t WHERE k = %s", i)[0]; n != want {
				t.Errorf("%s rows", n)
			}
		})
	}
}

func TestCommittedWaits(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		tx := mustBegin(t, db)
		id, err := psyco.TxID(t.Context(), tx)
		if err != nil {
			t.Fatal(err)
		}
		if got := all(t, tx, "SELECT txid_current()")[0]; got != strconv.FormatInt(id, 10) {
			t.Errorf("TxID returned %d, not %s", id, got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		type answer struct {
			committed bool
			err       error
		}
		answers := make(chan answer)
		ask := func(ctx context.Context) {
			committed, err := psyco.Committed(ctx, db, id)
			answers <- answer{committed, err}
		}
		go ask(ctx)
		for db.Stats().InUse != 1 || db.Stats().OpenConnections < 2 { // until it has asked once
			time.Sleep(time.Millisecond)
		}
		cancel()
		if a := <-answers; !errors.Is(a.err, context.Canceled) || a.committed {
			t.Errorf("while it is open: %v", a)
		}
		go ask(t.Context())
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if a := <-answers; a.err != nil || !a.committed {
			t.Errorf("after Commit: %v", a)
		}
		tx = mustBegin(t, db)
		if id, err = psyco.TxID(t.Context(), tx); err != nil {
			t.Fatal(err)
		}
		tx.Rollback()
		if got, err := psyco.Committed(t.Context(), db, id); got || err != nil {
			t.Errorf("after Rollback: %v, %v", got, err)
		}
		if _, err := psyco.Committed(t.Context(), db, id+1_000_000); code(err) != "22023" {
			t.Errorf("in the future: %v", err)
		}
		if _, err := psyco.Committed(t.Context(), db, 0); err == nil || !strings.HasPrefix(err.Error(), "psyco: transaction 0 is too old") {
			t.Errorf("long ago: %v", err)
		}
	})
}
