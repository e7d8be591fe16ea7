//go:build unix

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco"
)

const (
	writers = 8
	readers = 8
)

// work is a program with a pool: writers that each write one row after the other under
// keys of their own, and readers who look for what was acknowledged.
type work struct {
	way     string
	db      *sql.DB
	cluster *cluster
	stop    context.CancelFunc
	ended   sync.WaitGroup

	keys atomic.Int64

	mu           sync.Mutex
	acknowledged []int // keys
	committed    []int // keys whose COMMIT got no answer and has happened, as Committed said
	notCommitted []int // keys whose transaction has not happened, as Committed said
	unknown      int   // writes with an error, which may have happened or not
	unresolved   int   // commits in doubt that only another server could be asked about
	resolved     int   // commits in doubt of which Committed knew what became
	stale        []int // acknowledged keys that a reader did not find
	reads        int   // that succeeded
	lastAck      [writers]time.Time
	gap          time.Duration // the longest time without a write in this round
	last         time.Time     // of the last acknowledged write
	gaps         []time.Duration
	settled      bool // no error may come
	outside      []string
	errs         int // in this round
}

func startWork(ctx context.Context, dsn, way string, c *cluster) (*work, error) {
	db, err := sql.Open("psyco", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(writers + readers)
	db.SetMaxIdleConns(writers + readers)
	if _, err := db.ExecContext(ctx, "DROP TABLE IF EXISTS written; CREATE TABLE written (k int, writer int)"); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	w := &work{way: way, db: db, cluster: c, stop: stop, last: time.Now()}
	for i := range writers {
		w.ended.Go(func() { w.write(ctx, i) })
	}
	for range readers {
		w.ended.Go(func() { w.read(ctx) })
	}
	return w, nil
}

// write is a writer: the even ones with statements, the odd ones with transactions.
func (w *work) write(ctx context.Context, writer int) {
	for ctx.Err() == nil {
		key := int(w.keys.Add(1))
		var id int64
		var err error
		if writer%2 == 0 {
			_, err = w.db.ExecContext(ctx, "INSERT INTO written VALUES (%s, %s)", key, writer)
		} else {
			err = psyco.InTx(ctx, w.db, &psyco.TxOptions{MaxRetries: -1}, func(tx *sql.Tx) (err error) {
				if id, err = psyco.TxID(ctx, tx); err != nil {
					return err
				}
				_, err = tx.ExecContext(ctx, "INSERT INTO written VALUES (%s, %s)", key, writer)
				return err
			})
		}
		if ctx.Err() != nil {
			return
		}
		w.wrote(writer, key, err)
		if errors.Is(err, psyco.ErrCommitUnknown) {
			w.resolve(ctx, key, id)
		}
		pause := 2 * time.Millisecond
		if err != nil {
			pause = 20 * time.Millisecond
		}
		time.Sleep(pause)
	}
}

// resolve asks what became of a transaction whose COMMIT got no answer.
func (w *work) resolve(ctx context.Context, key int, id int64) {
	for ctx.Err() == nil {
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		yes, err := psyco.Committed(limited, w.db, id)
		cancel()
		if err == nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.resolved++
			if yes {
				w.committed = append(w.committed, key)
			} else {
				w.notCommitted = append(w.notCommitted, key)
			}
			return
		}
		if strings.Contains(err.Error(), "another server's") || pq.As(err, pqerror.InvalidParameterValue) != nil { // the new primary has no such number yet
			w.mu.Lock()
			defer w.mu.Unlock()
			w.unresolved++
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (w *work) wrote(writer, key int, err error) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.unknown++
		w.failed(fmt.Sprintf("writer %d: %v", writer, err))
		return
	}
	w.acknowledged = append(w.acknowledged, key)
	w.gap = max(w.gap, now.Sub(w.last))
	w.last, w.lastAck[writer] = now, now
}

// failed notes an error. mu is held.
func (w *work) failed(text string) {
	w.errs++
	if w.settled {
		w.outside = append(w.outside, text)
	}
}

// read is a reader, who looks for the newest write that was acknowledged.
func (w *work) read(ctx context.Context) {
	for ctx.Err() == nil {
		time.Sleep(2 * time.Millisecond)
		w.mu.Lock()
		n := len(w.acknowledged)
		key := 0
		if n > 0 {
			key = w.acknowledged[n-1]
		}
		w.mu.Unlock()
		if n == 0 {
			continue
		}
		found, err := psyco.QueryAll[int](ctx, w.db, "SELECT k FROM written WHERE k >= %s AND k = %s", key, key)
		if ctx.Err() != nil {
			return
		}
		w.mu.Lock()
		switch {
		case err != nil:
			w.failed(fmt.Sprint("reader: ", err))
		case len(found) == 0:
			w.stale = append(w.stale, key)
		default:
			w.reads++
		}
		w.mu.Unlock()
		if err != nil {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// round has the leader change in the middle of the work. Before and after that, each
// writer writes, and no error may come.
func (w *work) round(ctx context.Context, name string, change func(context.Context) error) error {
	if err := w.settle(ctx); err != nil {
		return err
	}
	w.mu.Lock()
	w.settled, w.errs, w.gap = false, 0, 0
	w.mu.Unlock()
	if err := change(ctx); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := w.settle(ctx); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gaps = append(w.gaps, w.gap)
	log.Printf("%s: %.1f s without a write, %d errors", name, w.gap.Seconds(), w.errs)
	return nil
}

// settle waits until the cluster is whole and each writer has written since, and then for
// a second of work without an error.
func (w *work) settle(ctx context.Context) error {
	if err := until(ctx, "the standby is in step", w.cluster.inStep); err != nil {
		return err
	}
	from := time.Now()
	err := until(ctx, "each writer has written", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return !slices.ContainsFunc(w.lastAck[:], func(at time.Time) bool { return at.Before(from) })
	})
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.settled = true
	w.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Second):
	}
	return nil
}

// onStandby counts the connections of the pool that lead to a standby.
func onStandby(ctx context.Context, db *sql.DB) (n int, err error) {
	for range writers + readers {
		conn, err := db.Conn(ctx)
		if err != nil {
			return n, err
		}
		defer conn.Close() // so that the next one is another
		standby, err := psyco.QueryOne[bool](ctx, conn, "SELECT pg_is_in_recovery()")
		if err != nil {
			return n, err
		}
		if standby {
			n++
		}
	}
	return n, nil
}

// report ends the work, and says what became of the writes and whether that is what was
// promised.
func (w *work) report(ctx context.Context) (lines []string, ok bool) {
	w.stop()
	w.ended.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	rows, err := psyco.QueryAll[int](ctx, w.db, "SELECT k FROM written")
	if err != nil {
		return []string{err.Error()}, false
	}
	standbys, err := onStandby(ctx, w.db)
	if err != nil {
		return []string{err.Error()}, false
	}
	found := make(map[int]int, len(rows))
	doubled, lost, wrong := 0, 0, 0
	for _, k := range rows {
		if found[k]++; found[k] == 2 {
			doubled++
		}
	}
	for _, k := range w.acknowledged {
		if found[k] == 0 {
			lost++
		}
	}
	for _, k := range w.committed {
		if found[k] == 0 {
			wrong++
		}
	}
	for _, k := range w.notCommitted {
		if found[k] > 0 {
			wrong++
		}
	}
	slices.Sort(w.gaps)
	var sum time.Duration
	for _, g := range w.gaps {
		sum += g
	}
	lines = []string{
		fmt.Sprintf("%s: %d changes of the leader, %d writers, %d readers", w.way, len(w.gaps), writers, readers),
		fmt.Sprintf("  writes acknowledged %d, of these found %d, lost %d; doubled %d", len(w.acknowledged), len(w.acknowledged)-lost, lost, doubled),
		fmt.Sprintf("  writes with an error %d; commits in doubt that Committed has resolved %d, wrongly %d, and could not resolve %d", w.unknown, w.resolved, wrong, w.unresolved),
		fmt.Sprintf("  reads %d, that missed an acknowledged write %d", w.reads, len(w.stale)),
		fmt.Sprintf("  errors outside of the changes %d; connections to a standby afterwards %d", len(w.outside), standbys),
	}
	if len(w.gaps) > 0 {
		lines = append(lines, fmt.Sprintf("  seconds without a write: %.1f at least, %.1f in the middle, %.1f at most",
			w.gaps[0].Seconds(), w.gaps[len(w.gaps)/2].Seconds(), w.gaps[len(w.gaps)-1].Seconds()))
	}
	for _, text := range w.outside[:min(len(w.outside), 10)] {
		lines = append(lines, "  "+text)
	}
	w.db.Close()
	kept := doubled == 0 && wrong == 0 && len(w.outside) == 0 && standbys == 0
	if !w.cluster.async {
		kept = kept && lost == 0 && len(w.stale) == 0
	}
	return lines, kept
}
