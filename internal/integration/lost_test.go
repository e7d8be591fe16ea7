package integration_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
)

// TestWhatTheServerSaidBeforeItHungUp ends sessions that are idle. Their next statement
// tells why, wherever database/sql cannot take another connection for it.
func TestWhatTheServerSaidBeforeItHungUp(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		if wrapped(t) {
			return // lib/pq's errors
		}
		ctx := context.Background()
		admin := open(t, sameDatabase(t, db))
		mustExec(t, admin, "CREATE TABLE t (a int)")
		rows := psyco.SliceRows([][]any{{1}, {2}})
		statements := []struct {
			name string
			run  func(h psyco.Handle) error
		}{
			{"simple", func(h psyco.Handle) error { return second(h.ExecContext(ctx, "SELECT 1")) }},
			{"arguments", func(h psyco.Handle) error { return second(h.ExecContext(ctx, "SELECT %s", 1)) }},
			{"query", func(h psyco.Handle) error { return second(h.QueryContext(ctx, "SELECT $1::int", 1)) }},
			{"ServerSide", func(h psyco.Handle) error { return second(h.QueryContext(ctx, "SELECT 1", psyco.ServerSide(1))) }},
			{"ExecMany", func(h psyco.Handle) error { return second(psyco.ExecMany(ctx, h, "INSERT INTO t VALUES (%s)", rows)) }},
			{"CopyRows", func(h psyco.Handle) error {
				return second(psyco.CopyRows(ctx, h, psyco.Identifier{"t"}, []string{"a"}, rows))
			}},
			{"CopyFrom", func(h psyco.Handle) error {
				return second(psyco.CopyFrom(ctx, h, "COPY t FROM STDIN", strings.NewReader("1\n")))
			}},
			{"Batch", func(h psyco.Handle) error {
				var b psyco.Batch
				b.Queue("INSERT INTO t VALUES (%s)", 1)
				b.Queue("SELECT 1").Each(func(*sql.Rows) error { return nil })
				return b.Run(ctx, h)
			}},
			{"Ping", func(h psyco.Handle) error {
				if c, ok := h.(*sql.Conn); ok {
					return c.PingContext(ctx)
				}
				return second(h.ExecContext(ctx, ""))
			}},
		}
		for _, end := range []struct {
			code   string
			since  int
			settle func(h psyco.Handle) // until when the session ends by itself, or does not
		}{
			{"25P03", 0, func(h psyco.Handle) { mustExec(t, h, "SET idle_in_transaction_session_timeout = 1") }},
			{"57P05", 140000, func(h psyco.Handle) { mustExec(t, h, "SET idle_session_timeout = 1") }},
			{"57P01", 0, func(h psyco.Handle) {}},
		} {
			inTx := end.code != "57P05"
			// idle returns a handle whose session the server has ended.
			idle := func(t *testing.T, tx bool) (psyco.Handle, *sql.Tx) {
				t.Helper()
				conn := mustConn(t, db)
				var h psyco.Handle = conn
				var open *sql.Tx
				if tx {
					open = mustBegin(t, conn)
					h = open
				}
				pid := all(t, h, "SELECT pg_backend_pid()")[0]
				end.settle(h)
				if end.code == "57P01" {
					mustExec(t, admin, "SELECT pg_terminate_backend($1)", pid)
				}
				gone(t, admin, pid)
				return h, open
			}
			check := func(where string, err error) {
				t.Helper()
				if code(err) != end.code || strings.Contains(err.Error(), driver.ErrBadConn.Error()) && !strings.Contains(where, "Ping") {
					t.Errorf("%s, %s: %v", end.code, where, err)
				}
				if strings.Contains(err.Error(), "may or may not") {
					t.Errorf("%s, %s: in doubt: %v", end.code, where, err)
				}
			}
			if all(t, admin, "SELECT current_setting('server_version_num')::int >= "+fmt.Sprint(end.since))[0] != "true" {
				continue
			}
			for _, s := range statements {
				if end.code != "25P03" {
					h, _ := idle(t, false)
					check(s.name, s.run(h))
				}
				if !inTx {
					continue
				}
				h, tx := idle(t, true)
				check(s.name+" in a transaction", s.run(h))
				check(s.name+" after that", s.run(h))
				if err := tx.Rollback(); err != nil {
					t.Errorf("%s: Rollback: %v", end.code, err)
				}
			}
			if inTx {
				_, tx := idle(t, true)
				err := tx.Commit()
				check("Commit", err)
				// Of a COMMIT that was written before the socket was closed, it depends.
				unknown := end.code == "57P01" && errors.Is(err, psyco.ErrCommitUnknown)
				if !unknown && !strings.Contains(err.Error(), "the server undoes all of it") || errors.Is(err, driver.ErrBadConn) {
					t.Errorf("%s, Commit: %v", end.code, err)
				}
			}
		}
		// Of the pool's, another connection does it.
		for _, s := range statements {
			if strings.Contains(t.Name(), "cache") && s.name == "CopyFrom" {
				terminateOthers(t, admin)
			}
			if err := s.run(db); err != nil {
				t.Errorf("%s on the pool: %v", s.name, err)
			}
		}
	})
}

// gone waits until the server has ended a session.
func gone(t *testing.T, admin *sql.DB, pid string) {
	t.Helper()
	for all(t, admin, "SELECT count(*) FROM pg_stat_activity WHERE pid = $1", pid)[0] != "0" {
		time.Sleep(time.Millisecond)
	}
}

// TestInTxIsNotRepeatedWhenItsFunctionIdles: the next attempt would idle as well.
func TestInTxIsNotRepeatedWhenItsFunctionIdles(t *testing.T) {
	db, admin := testDB(t), (*sql.DB)(nil)
	admin = open(t, sameDatabase(t, db))
	calls := 0
	err := psyco.InTx(t.Context(), db, nil, func(tx *sql.Tx) error {
		calls++
		pid := all(t, tx, "SELECT pg_backend_pid()")[0]
		mustExec(t, tx, "SET LOCAL idle_in_transaction_session_timeout = 1")
		gone(t, admin, pid)
		return second(tx.ExecContext(t.Context(), "SELECT 1"))
	})
	if code(err) != "25P03" || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

// TestTerminatedCopySaysSo ends sessions in the middle of a COPY, whichever of the two
// sides notices first.
func TestTerminatedCopySaysSo(t *testing.T) {
	db := testDB(t)
	admin := open(t, sameDatabase(t, db))
	mustExec(t, admin, "CREATE TABLE t (a text)")
	row := strings.Repeat("x", 10_000)
	for i := range 40 {
		tx := mustBegin(t, db)
		pid := all(t, tx, "SELECT pg_backend_pid()")[0]
		//lint:ignore SA1019 programs use it
		stmt, err := tx.PrepareContext(t.Context(), pq.CopyIn("t", "a"))
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			mustExec(t, admin, "SELECT pg_terminate_backend($1)", pid)
		} else {
			go admin.Exec("SELECT pg_terminate_backend($1)", pid)
		}
		for err == nil {
			_, err = stmt.ExecContext(t.Context(), row)
		}
		if code(err) != "57P01" {
			t.Errorf("Exec: %v", err)
		}
		if _, err := stmt.ExecContext(t.Context()); err == nil {
			t.Error("the last Exec says nothing")
		}
		tx.Rollback()
	}
}

// TestAQueryDuringAnOpenCopyIsRefused, and the COPY goes on.
func TestAQueryDuringAnOpenCopyIsRefused(t *testing.T) {
	db := testDB(t)
	tx := mustBegin(t, db)
	mustExec(t, tx, "CREATE TABLE t (a int)")
	//lint:ignore SA1019 programs use it
	stmt, err := tx.Prepare(pq.CopyIn("t", "a"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := stmt.Exec(i); err != nil {
			t.Fatal(err)
		}
		const want = "psyco: a COPY statement is open on this connection: close it, or call its Exec without arguments, before the next statement"
		for _, err := range []error{second(tx.Exec("SELECT 1")), second(tx.Query("SELECT $1::int", 1)), second(tx.Prepare("SELECT 1"))} {
			if err == nil || err.Error() != want {
				t.Errorf("got %v", err)
			}
		}
	}
	if _, err := stmt.Exec(); err != nil {
		t.Fatal(err)
	}
	if got := all(t, tx, "SELECT count(*) FROM t"); got[0] != "3" {
		t.Errorf("%s rows", got[0])
	}
}
