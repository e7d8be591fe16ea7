package psyco_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/faultproxy"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testsize"
)

// TestXid uses identifiers that psycopg2 has written or parsed.
func TestXid(t *testing.T) {
	foreign := func(s string) psyco.XID { return psyco.XID{FormatID: psyco.ForeignXID, GTRID: s} }
	for _, tt := range []struct {
		text string
		want psyco.XID
	}{
		{"42_Z3RyaWQ=_YnF1YWw=", psyco.XID{FormatID: 42, GTRID: "gtrid", BQual: "bqual"}},
		{"0__", psyco.XID{}},
		{"1__Yg==", psyco.XID{FormatID: 1, BQual: "b"}},
		{"2147483647_YQ==_", psyco.XID{FormatID: 2147483647, GTRID: "a"}},
		{"1_w7w=_4oKs", psyco.XID{FormatID: 1, GTRID: "ü", BQual: "€"}},
		// Others, which psycopg leaves alone, and some that it would not give back.
		{"my transaction", foreign("my transaction")},
		{"", foreign("")},
		{"_", foreign("_")},
		{"1_2", foreign("1_2")},
		{"1_YQ==_Yg==_", foreign("1_YQ==_Yg==_")},
		{"a_YQ==_Yg==", foreign("a_YQ==_Yg==")},
		{"-1_YQ==_Yg==", foreign("-1_YQ==_Yg==")},
		{"2147483648_YQ==_Yg==", foreign("2147483648_YQ==_Yg==")},
		{"01_YQ==_Yg==", foreign("01_YQ==_Yg==")},
		{"+1_YQ==_Yg==", foreign("+1_YQ==_Yg==")},
		{"1_YQ_Yg==", foreign("1_YQ_Yg==")},
		{"1_YR==_Yg==", foreign("1_YR==_Yg==")},
		{"1_!_Yg==", foreign("1_!_Yg==")},
		{"1_YQ=\n=_Yg==", foreign("1_YQ=\n=_Yg==")},
		{"1_/w==_Yg==", foreign("1_/w==_Yg==")}, // not UTF-8
		{"1_AA==_Yg==", foreign("1_AA==_Yg==")}, // NUL
	} {
		got := psyco.ParseXID(tt.text)
		if got != tt.want {
			t.Errorf("%q: got %#v, want %#v", tt.text, got, tt.want)
		}
		if got.String() != tt.text {
			t.Errorf("%q comes back as %q", tt.text, got)
		}
	}
}

func FuzzXid(f *testing.F) {
	f.Add("42_Z3RyaWQ=_YnF1YWw=", int32(42), "gtrid", "bqual")
	f.Add("0__", int32(0), "", "")
	f.Add("x_y_z", int32(-1), "x", "")
	f.Fuzz(func(t *testing.T, text string, id int32, gtrid, bqual string) {
		if got := psyco.ParseXID(text).String(); got != text {
			t.Errorf("%q comes back as %q", text, got)
		}
		if id < 0 || !utf8.ValidString(gtrid) || !utf8.ValidString(bqual) || strings.Contains(gtrid+bqual, "\x00") ||
			len(gtrid) > 64 || len(bqual) > 64 {
			return
		}
		x := psyco.XID{FormatID: id, GTRID: gtrid, BQual: bqual}
		if got := psyco.ParseXID(x.String()); got != x {
			t.Errorf("%#v comes back as %#v", x, got)
		}
	})
}

// TestXidAsPsycopg compares with psycopg2, if that is installed.
func TestXidAsPsycopg(t *testing.T) {
	const program = `
import sys
from psycopg2.extensions import Xid
for line in sys.stdin:
    x = Xid.from_string(line[:-1])
    print(x.format_id, x.gtrid, x.bqual, str(x), sep="\t")
`
	python, err := exec.LookPath("/usr/bin/python3")
	if err != nil || exec.Command(python, "-c", "import psycopg2").Run() != nil {
		t.Log("psycopg2 is not installed; TestXid holds what it says")
		return
	}
	ids := []string{"42_Z3RyaWQ=_YnF1YWw=", "0__", "1__Yg==", "2147483647_YQ==_", "my transaction", "1_2", "a_YQ==_Yg=="}
	cmd := exec.Command(python, "-c", program)
	cmd.Stdin = strings.NewReader(strings.Join(ids, "\n") + "\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	for i, id := range ids {
		x := psyco.ParseXID(id)
		ours := fmt.Sprintf("%d\t%s\t%s\t%s", x.FormatID, x.GTRID, x.BQual, x)
		if x.FormatID == psyco.ForeignXID {
			ours = fmt.Sprintf("None\t%s\tNone\t%s", x.GTRID, x)
		}
		if ours != lines[i] {
			t.Errorf("%q: psycopg2 has %q, psyco %q", id, lines[i], ours)
		}
	}
}

func TestXidRefused(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	long := strings.Repeat("x", 65)
	for _, tt := range []struct {
		name string
		xid  psyco.XID
		want string
	}{
		{"format id", psyco.XID{FormatID: -2}, "non-negative 32-bit integer"},
		{"gtrid", psyco.XID{GTRID: long}, "the global transaction id is longer than 64 characters"},
		{"bqual", psyco.XID{BQual: long}, "the branch qualifier is longer than 64 characters"},
		{"NUL", psyco.XID{GTRID: "a\x00b"}, "NUL"},
		{"UTF-8", psyco.XID{BQual: "\xff"}, "UTF-8"},
		{"bytes", psyco.XID{GTRID: strings.Repeat("€", 64)}, "the server accepts 199"},
		{"foreign", psyco.XID{FormatID: psyco.ForeignXID, GTRID: strings.Repeat("x", 200)}, "the server accepts 199"},
		{"foreign and empty", psyco.XID{FormatID: psyco.ForeignXID}, "empty"},
		{"foreign with bqual", psyco.XID{FormatID: psyco.ForeignXID, GTRID: "a", BQual: "b"}, "no branch qualifier"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tx := mustBegin(t, db)
			mustExec(t, tx, "SELECT 1")
			for name, err := range map[string]error{
				"PrepareTx":        psyco.PrepareTx(ctx, tx, tt.xid),
				"CommitPrepared":   psyco.CommitPrepared(ctx, db, tt.xid),
				"RollbackPrepared": psyco.RollbackPrepared(ctx, db, tt.xid),
			} {
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "psyco: transaction id") {
					t.Errorf("%s: %v", name, err)
				}
			}
			if err := tx.Rollback(); err != sql.ErrTxDone {
				t.Errorf("the transaction is not over: %v", err)
			}
		})
	}
	if n := db.Stats().InUse; n != 0 {
		t.Errorf("%d connections are still in use", n)
	}
}

// mine returns the prepared transactions of db.
func mine(t testing.TB, db *sql.DB) []psyco.PreparedTx {
	t.Helper()
	list, err := psyco.RecoverPrepared(context.Background(), db)
	if err != nil {
		t.Fatal(err)
	}
	name := all(t, db, "SELECT current_database()")[0]
	return slices.DeleteFunc(list, func(p psyco.PreparedTx) bool { return p.Database != name })
}

func TestTwoPhase(t *testing.T) {
	ctx := context.Background()
	inModes(t, func(t *testing.T, db *sql.DB) {
		if wrapped(t) {
			tx := mustBegin(t, db)
			err := psyco.PrepareTx(ctx, tx, psyco.XID{})
			if err == nil || !strings.Contains(err.Error(), "behind Wrap") || tx.Rollback() != sql.ErrTxDone {
				t.Fatalf("got %v", err)
			}
			return
		}
		db.SetMaxOpenConns(1)
		mustExec(t, db, "CREATE TABLE t (a int)")
		// Identifiers are unique in the whole server, and so is the database's name.
		name := all(t, db, "SELECT current_database()")[0]
		count := func() string { return all(t, db, "SELECT count(*) FROM t")[0] }
		for i, prepare := range []struct {
			name string
			work func(tx *sql.Tx)
			rows int
		}{
			{"parameters", func(tx *sql.Tx) { mustExec(t, tx, "INSERT INTO t VALUES (%s)", 1) }, 1},
			{"simple", func(tx *sql.Tx) { mustExec(t, tx, "INSERT INTO t VALUES (1)") }, 1},
			{"open rows", func(tx *sql.Tx) {
				rows, err := tx.Query("INSERT INTO t SELECT generate_series(1, %s) RETURNING a", 1000)
				if err != nil || !rows.Next() {
					t.Fatal(err, rows.Err())
				}
			}, 1000},
			{"savepoint", func(tx *sql.Tx) {
				psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
					mustExec(t, tx, "INSERT INTO t VALUES (%s)", 1)
					return nil
				})
			}, 1},
			{"nothing", func(*sql.Tx) {}, 0},
		} {
			for j, finish := range []func(context.Context, psyco.Handle, psyco.XID) error{psyco.CommitPrepared, psyco.RollbackPrepared} {
				mustExec(t, db, "TRUNCATE t")
				xid := psyco.XID{FormatID: int32(10*i + j), GTRID: name, BQual: `it's \ %s "quoted"`}
				tx := mustBegin(t, db)
				prepare.work(tx)
				before := time.Now().Add(-time.Minute)
				if err := psyco.PrepareTx(ctx, tx, xid); err != nil {
					t.Fatalf("%s: %v", prepare.name, err)
				}
				if err := tx.Commit(); err != sql.ErrTxDone {
					t.Errorf("Commit: %v", err)
				}
				if err := tx.Rollback(); err != sql.ErrTxDone {
					t.Errorf("Rollback: %v", err)
				}
				if got := count(); got != "0" {
					t.Errorf("%s: %s rows before the second phase", prepare.name, got)
				}
				list := mine(t, db)
				if len(list) != 1 || list[0].Xid != xid || list[0].Database != name ||
					list[0].Owner != all(t, db, "SELECT current_user")[0] || !list[0].Prepared.After(before) {
					t.Fatalf("%s: RecoverPrepared: %#v", prepare.name, list)
				}
				if err := finish(ctx, db, list[0].Xid); err != nil {
					t.Fatal(err)
				}
				want := "0"
				if j == 0 {
					want = fmt.Sprint(prepare.rows)
				}
				if got := count(); got != want {
					t.Errorf("%s: %s rows after the second phase, want %s", prepare.name, got, want)
				}
				if err := finish(ctx, db, xid); code(err) != "42704" {
					t.Errorf("again: %v", err)
				}
			}
		}
	})
}

func TestTwoPhaseErrors(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	db.SetMaxOpenConns(1)
	mustExec(t, db, "CREATE TABLE t (a int)")
	xid := psyco.XID{FormatID: 1, GTRID: all(t, db, "SELECT current_database()")[0]}
	prepare := func(statements ...string) error {
		tx := mustBegin(t, db)
		for _, s := range statements {
			tx.Exec(s)
		}
		err := psyco.PrepareTx(ctx, tx, xid)
		if again := psyco.PrepareTx(ctx, tx, xid); again != sql.ErrTxDone {
			t.Errorf("a second time: %v", again)
		}
		return err
	}
	if err := prepare("INSERT INTO t VALUES (1)", "SELECT 1/0"); err != pq.ErrInFailedTransaction {
		t.Errorf("a failed transaction: %v", err)
	}
	if err := prepare("INSERT INTO t VALUES (1)", "COMMIT"); err == nil || !strings.Contains(err.Error(), "was ended before") {
		t.Errorf("after COMMIT: %v", err)
	}
	mustExec(t, db, "TRUNCATE t")
	if err := prepare("INSERT INTO t VALUES (1)", "CREATE TEMP TABLE x ()"); code(err) != "0A000" {
		t.Errorf("what cannot be prepared: %v", err)
	}
	if err := prepare("INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	if err := prepare("INSERT INTO t VALUES (1)"); code(err) != "42710" {
		t.Errorf("the same id: %v", err)
	}
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	tx := mustBegin(t, db)
	mustExec(t, tx, "INSERT INTO t VALUES (1)")
	if err := psyco.PrepareTx(canceled, tx, psyco.XID{FormatID: 2, GTRID: xid.GTRID}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	if err := tx.Commit(); err != sql.ErrTxDone {
		t.Errorf("after that: %v", err)
	}
	tx = mustBegin(t, db)
	if err := psyco.CommitPrepared(ctx, tx, xid); code(err) != "25001" {
		t.Errorf("the second phase in a transaction: %v", err)
	}
	tx.Rollback()
	if err := psyco.CommitPrepared(ctx, db, xid); err != nil {
		t.Fatal(err)
	}
	if got := all(t, db, "SELECT a FROM t"); !slices.Equal(got, []string{"1"}) {
		t.Errorf("rows %q", got)
	}
}

// TestPrepareStatement prepares a transaction with a statement of the caller's.
func TestPrepareStatement(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	db.SetMaxOpenConns(1)
	mustExec(t, db, "CREATE TABLE t (a int)")
	pid := all(t, db, "SELECT pg_backend_pid()")[0]
	xid := psyco.XID{FormatID: psyco.ForeignXID, GTRID: "raw " + all(t, db, "SELECT current_database()")[0]}
	for _, end := range []struct {
		name string
		call func(*sql.Tx) error
	}{{"Commit", (*sql.Tx).Commit}, {"Rollback", (*sql.Tx).Rollback}} {
		tx := mustBegin(t, db)
		mustExec(t, tx, "INSERT INTO t VALUES (%s)", 1)
		mustExec(t, tx, "PREPARE TRANSACTION "+pq.QuoteLiteral(xid.GTRID))
		// What follows would run on its own.
		if _, err := tx.Exec("INSERT INTO t VALUES (2)"); err == nil || !strings.Contains(err.Error(), "psyco: the transaction was prepared") {
			t.Errorf("a statement after PREPARE TRANSACTION: %v", err)
		}
		if err := end.call(tx); err == nil || !strings.Contains(err.Error(), "psyco: the transaction was prepared") {
			t.Errorf("%s: %v", end.name, err)
		}
		if err := psyco.CommitPrepared(ctx, db, xid); err != nil {
			t.Fatal(err)
		}
	}
	if got := all(t, db, "SELECT a FROM t"); !slices.Equal(got, []string{"1", "1"}) {
		t.Errorf("rows %q", got)
	}
	if got := all(t, db, "SELECT pg_backend_pid()")[0]; got != pid {
		t.Error("the connection was not used again")
	}
}

// TestPrepareTxCut cuts the network at each message of a PrepareTx. When it
// succeeds the transaction is there, and when the error does not say that the
// outcome is unknown it is not.
func TestPrepareTxCut(t *testing.T) {
	testsize.Slow(t)
	ctx := context.Background()
	p, db, direct := faulty(t, "")
	db.SetMaxOpenConns(1)
	mustExec(t, direct, "CREATE TABLE t (k int)")
	name := all(t, direct, "SELECT current_database()")[0]
	isPrepare := faultproxy.SQL("PREPARE TRANSACTION")
	for i, point := range []faultproxy.Point{
		faultproxy.Before(isPrepare),
		faultproxy.After(isPrepare),
		faultproxy.Before(faultproxy.Then(faultproxy.SQL("PREPARE TRANSACTION"), faultproxy.Msg(faultproxy.ToClient, ""))),
		faultproxy.After(faultproxy.Then(faultproxy.SQL("PREPARE TRANSACTION"), faultproxy.Msg(faultproxy.ToClient, "Z"))),
	} {
		pingPastCut(t, db, fmt.Sprintf("point %d", i))
		tx := mustBegin(t, db)
		mustExec(t, tx, "INSERT INTO t VALUES (%s)", i)
		p.On(point, (*faultproxy.Link).Cut)
		xid := psyco.XID{FormatID: int32(i), GTRID: name}
		err := psyco.PrepareTx(ctx, tx, xid)
		p.Disarm()
		rowsWithKey(t, direct, i) // waits for the server to see the cut
		prepared := slices.ContainsFunc(mine(t, direct), func(p psyco.PreparedTx) bool { return p.Xid == xid })
		switch {
		case err == nil && !prepared:
			t.Errorf("point %d: no error, and not prepared", i)
		case err != nil && !errors.Is(err, psyco.ErrCommitUnknown):
			t.Errorf("point %d: %v", i, err)
		}
		if prepared {
			if err := psyco.RollbackPrepared(ctx, direct, xid); err != nil {
				t.Fatal(err)
			}
		}
		if got := all(t, direct, "SELECT k FROM t"); len(got) > 0 {
			t.Fatalf("rows %q", got)
		}
	}
}

const envCrash = "PSYCO_TEST_CRASH_DSN"

// TestTwoPhaseCrash kills the client between the two phases.
func TestTwoPhaseCrash(t *testing.T) {
	ctx := context.Background()
	if dsn := os.Getenv(envCrash); dsn != "" {
		crash(t, dsn)
	}
	dsn := pgserver.TestDSN(t)
	db := open(t, dsn)
	mustExec(t, db, "CREATE TABLE t (a text)")
	cmd := exec.Command(os.Args[0], "-test.run=^TestTwoPhaseCrash$")
	cmd.Env = append(os.Environ(), envCrash+"="+dsn)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil { // ends with this process
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	cmd.Wait() // the kill is its error
	if err != nil || line != "prepared\n" {
		t.Fatalf("the other process said %q, %v\n%s", line, err, &stderr)
	}
	list := mine(t, db)
	if len(list) != 2 || list[0].GTRID != "keep" || list[1].GTRID != "drop" {
		t.Fatalf("after the crash: %v", list)
	}
	if err := psyco.CommitPrepared(ctx, db, list[0].Xid); err != nil {
		t.Fatal(err)
	}
	if err := psyco.RollbackPrepared(ctx, db, list[1].Xid); err != nil {
		t.Fatal(err)
	}
	if got := all(t, db, "SELECT a FROM t"); !slices.Equal(got, []string{"keep"}) {
		t.Fatalf("rows %q", got)
	}
}

// crash is the process that dies: it prepares two transactions, begins a third
// and waits for its end.
func crash(t *testing.T, dsn string) {
	db := open(t, dsn)
	name := all(t, db, "SELECT current_database()")[0]
	for i, text := range []string{"keep", "drop", "lost"} {
		tx := mustBegin(t, db)
		mustExec(t, tx, "INSERT INTO t VALUES (%s)", text)
		if text == "lost" {
			break
		}
		if err := psyco.PrepareTx(t.Context(), tx, psyco.XID{FormatID: int32(i), GTRID: text, BQual: name}); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Println("prepared")
	io.Copy(io.Discard, os.Stdin) // waits to be killed
}

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
