package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/faultproxy"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testdb"
	"github.com/psyco-go/psyco/internal/testsize"
)

// TestPromote kills the primary under a workload and promotes its synchronous
// standby: what was acknowledged is there, once.
func TestPromote(t *testing.T) {
	testsize.Slow(t)
	prime, stand := pgserver.TestPair(t)
	admin := open(t, prime.DSN())
	mustExec(t, admin, "CREATE TABLE t (k int, writer text)")
	mustExec(t, admin, "ALTER SYSTEM SET synchronous_standby_names = '*'")
	mustExec(t, admin, "SELECT pg_reload_conf()")
	for !slices.Equal(all(t, admin, "SELECT sync_state FROM pg_stat_replication"), []string{"sync"}) {
		time.Sleep(time.Millisecond)
	}

	db := open(t, fmt.Sprintf("host=127.0.0.1,127.0.0.1 port=%d,%d user=postgres dbname=postgres target_session_attrs=read-write",
		stand.Port(), prime.Port()))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	writers := map[string]func(key int) error{
		"statement": func(key int) error {
			_, err := db.Exec("INSERT INTO t VALUES (%s, %s)", key, "statement")
			return err
		},
		"simple": func(key int) error {
			_, err := db.Exec(fmt.Sprintf("INSERT INTO t VALUES (%d, 'simple')", key))
			return err
		},
		"InTx": func(key int) error {
			return psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
				_, err := tx.Exec("INSERT INTO t VALUES (%s, %s)", key, "InTx")
				return err
			})
		},
		"prepared": func(key int) error {
			stmt, err := db.Prepare("INSERT INTO t VALUES ($1, 'prepared')")
			if err != nil {
				return err
			}
			defer stmt.Close()
			_, err = stmt.Exec(key)
			return err
		},
	}
	type write struct {
		key    int
		writer string
	}
	var (
		keys, failures atomic.Int64
		mu             sync.Mutex
		acknowledged   []write
		wg             sync.WaitGroup
	)
	// awaitWrites waits until each writer has written n more.
	awaitWrites := func(n int) {
		mu.Lock()
		from := len(acknowledged)
		mu.Unlock()
		for {
			mu.Lock()
			count := map[string]int{}
			for _, w := range acknowledged[from:] {
				count[w.writer]++
			}
			mu.Unlock()
			enough := true
			for name := range writers {
				enough = enough && count[name] >= n
			}
			if enough {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	for name, insert := range writers {
		for range 2 {
			wg.Go(func() {
				for ctx.Err() == nil {
					key := int(keys.Add(1))
					if err := insert(key); err != nil {
						failures.Add(1)
						time.Sleep(time.Millisecond)
						continue
					}
					mu.Lock()
					acknowledged = append(acknowledged, write{key, name})
					mu.Unlock()
				}
			})
		}
	}
	awaitWrites(50)
	if err := prime.Kill(); err != nil {
		t.Fatal(err)
	}
	failed := failures.Load()
	for failures.Load() < failed+20 { // nobody takes writes
		time.Sleep(time.Millisecond)
	}
	after := open(t, stand.DSN())
	if got := all(t, after, "SELECT pg_promote()"); got[0] != "true" {
		t.Fatalf("pg_promote: %s", got[0])
	}
	awaitWrites(50)
	stop()
	wg.Wait()

	rows := map[string]int{}
	for _, row := range all(t, after, "SELECT k, writer FROM t") {
		if rows[row]++; rows[row] > 1 {
			t.Errorf("%s was written twice", row)
		}
	}
	for _, w := range acknowledged {
		if rows[fmt.Sprintf("%d,%s", w.key, w.writer)] == 0 {
			t.Errorf("%d by %s was acknowledged and is lost", w.key, w.writer)
		}
	}
	t.Logf("%d writes acknowledged, %d failed, %d rows", len(acknowledged), failures.Load(), len(rows))
}

// TestCommittedAsksTheSameServer loses the answer to COMMIT, and lets another server
// answer what became of it: its transaction of the same number is another one.
func TestCommittedAsksTheSameServer(t *testing.T) {
	testsize.Slow(t)
	first, second := pgserver.TestPair(t) // any two
	admin := open(t, second.DSN())
	mustExec(t, admin, "SELECT pg_promote()")
	p := testdb.ProxyOf(t, first)
	var at atomic.Value
	at.Store(p.Addr())
	db := open(t, "host=127.0.0.1 user=postgres dbname=postgres sslmode=disable", psyco.WithDialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, at.Load().(string))
	}))
	ctx := t.Context()
	mustExec(t, db, "CREATE TABLE t (k int)")
	p.On(faultproxy.Before(faultproxy.Then(faultproxy.SQL("COMMIT"), faultproxy.Msg(faultproxy.ToClient, "C"))), (*faultproxy.Link).Cut)
	var id int64
	err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) (err error) {
		if id, err = psyco.TxID(ctx, tx); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO t VALUES (%s)", 1)
		return err
	})
	p.Disarm()
	if !errors.Is(err, psyco.ErrCommitUnknown) {
		t.Fatal(err)
	}
	if yes, err := psyco.Committed(ctx, db, id); !yes || err != nil {
		t.Errorf("the same server: %t, %v", yes, err)
	}
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := first.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if yes, err := psyco.Committed(ctx, db, id); !yes || err != nil {
		t.Errorf("the same server, after a crash: %t, %v", yes, err)
	}
	at.Store(second.Addr())
	p.Cut()
	for next := 0; next <= int(id); { // until the number is given to another transaction
		if err := admin.QueryRow("SELECT txid_current()").Scan(&next); err != nil {
			t.Fatal(err)
		}
	}
	if yes, err := psyco.Committed(ctx, db, id); err == nil || !strings.Contains(err.Error(), "another server's") {
		t.Errorf("another server: %t, %v", yes, err)
	}
}

// TestSerializableOnStandby: the standby refuses BEGIN, and nothing that was to
// run in the transaction runs without it.
func TestSerializableOnStandby(t *testing.T) {
	testsize.Slow(t)
	_, stand := pgserver.TestPair(t)
	ctx := context.Background()
	for _, tt := range []struct {
		name string
		run  func(tx *sql.Tx) error
	}{
		{"simple", func(tx *sql.Tx) error {
			_, err := tx.Exec("SELECT pg_advisory_lock(1)")
			return err
		}},
		{"native", func(tx *sql.Tx) error {
			_, err := tx.Exec("SELECT pg_advisory_lock($1)", 1)
			return err
		}},
		{"psycopg", func(tx *sql.Tx) error {
			_, err := tx.Exec("SELECT pg_advisory_lock(%s)", 1)
			return err
		}},
		{"rows", func(tx *sql.Tx) error {
			return tx.QueryRow("SELECT pg_advisory_lock(%s)", 1).Scan(new(any))
		}},
		{"prepared", func(tx *sql.Tx) error {
			stmt, err := tx.Prepare("SELECT pg_advisory_lock($1)")
			if err != nil {
				return err
			}
			defer stmt.Close()
			_, err = stmt.Exec(1)
			return err
		}},
		{"savepoint", func(tx *sql.Tx) error {
			return psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
				_, err := tx.Exec("SELECT pg_advisory_lock(%s)", 1)
				return err
			})
		}},
	} {
		for _, mode := range []string{"", "prepare_threshold=1", "statement_cache_capacity=0", "binary_parameters=yes", "binding=client"} {
			t.Run(tt.name+"/"+mode, func(t *testing.T) {
				conn, err := open(t, stand.DSN()+" "+mode).Conn(ctx)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				for range 3 { // the later ones with a statement that is in the cache
					tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
					if err != nil {
						t.Fatal(err)
					}
					var pe *pq.Error
					if err := tt.run(tx); !errors.As(err, &pe) || pe.Code != "0A000" || !strings.Contains(pe.Message, "hot standby") {
						t.Errorf("the first statement: %v", err)
					}
					if err := tt.run(tx); err == nil {
						t.Error("the second statement ran")
					}
					if err := tx.Commit(); err == nil {
						t.Error("no error from Commit")
					}
					if locks := all(t, conn, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"); locks[0] != "0" {
						t.Fatalf("%s locks: a statement ran outside of its transaction", locks[0])
					}
					// The connection is good for what a standby can do.
					tx, err = conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
					if err != nil {
						t.Fatal(err)
					}
					mustExec(t, tx, "SELECT pg_advisory_xact_lock(%s)", 2)
					if err := tx.Commit(); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}
