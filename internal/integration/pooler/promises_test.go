//go:build unix

package pooler_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testdb"
)

// feature is a part of psyco's API, as a row of docs/poolers.md names it.
type feature struct {
	name string
	// use returns an error if the feature does not work through db. direct is the same
	// database without anything in between.
	use func(t *testing.T, dsn string, db, direct *sql.DB) error
}

// want is an error unless got is what is wanted.
func want[T any](got T, err error, want T) error {
	if err == nil && fmt.Sprint(got) != fmt.Sprint(want) {
		err = fmt.Errorf("got %v, want %v", got, want)
	}
	return err
}

// inTx runs statements in one transaction.
func inTx(db *sql.DB, f func(ctx context.Context, tx *sql.Tx) error) error {
	ctx := context.Background()
	return psyco.InTx(ctx, db, &psyco.TxOptions{MaxRetries: -1}, func(tx *sql.Tx) error { return f(ctx, tx) })
}

// later returns the first error of setting something on a connection and of asking for it
// again and again. Before that the pooler has got several servers, all of which wait.
func later(t *testing.T, db, direct *sql.DB, set func(c *sql.Conn) error, ask func(c *sql.Conn) error) error {
	t.Helper()
	const servers = 3
	c := mustConn(t, db)
	lock := mustBegin(t, direct)
	mustExec(t, lock, "SELECT pg_advisory_xact_lock(1)")
	waits := make(chan error, servers)
	for range servers {
		go func() { waits <- do(db, "SELECT pg_advisory_xact_lock_shared(1)") }()
	}
	for all(t, direct, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")[0] != fmt.Sprint(servers) {
		time.Sleep(time.Millisecond)
	}
	err := lock.Rollback()
	for range servers {
		err = errors.Join(err, <-waits)
	}
	if err != nil {
		return err
	}
	if err := set(c); err != nil {
		return err
	}
	for range 4 {
		if err := ask(c); err != nil {
			return err
		}
	}
	return nil
}

func do(h psyco.Handle, query string, args ...any) error {
	_, err := h.ExecContext(context.Background(), query, args...)
	return err
}

func one[T any](h psyco.Handle, query string, args ...any) (v T, err error) {
	rows, err := h.QueryContext(context.Background(), query, args...)
	if err != nil {
		return v, err
	}
	defer rows.Close()
	if !rows.Next() {
		return v, errors.Join(sql.ErrNoRows, rows.Err())
	}
	return v, errors.Join(rows.Scan(&v), rows.Close())
}

var features = []feature{
	{"queries, with and without arguments", func(t *testing.T, _ string, db, _ *sql.DB) error {
		return errors.Join(do(db, "CREATE TABLE q (k int, v text)"), do(db, "INSERT INTO q VALUES (%s, %s)", 1, "a"),
			do(db, "INSERT INTO q VALUES ($1, $2), ($3, $4)", 2, "b", 3, "c"), do(db, "INSERT INTO q VALUES (4, 'd'); INSERT INTO q VALUES (5, 'e')"),
			func() error {
				for range 3 {
					n, err := one[int](db, "SELECT count(*) FROM q WHERE k IN %s", []int{1, 2, 5, 7})
					if err := want(n, err, 3); err != nil {
						return err
					}
				}
				return nil
			}())
	}},
	{"statements of `Prepare`", func(t *testing.T, _ string, db, _ *sql.DB) error {
		stmt, err := db.Prepare("SELECT $1::int + 1")
		if err != nil {
			return err
		}
		defer stmt.Close()
		for i := range 5 {
			var n int
			if err := want(n, stmt.QueryRow(i).Scan(&n), n); err != nil || n != i+1 {
				return fmt.Errorf("%d, %v", n, err)
			}
		}
		return nil
	}},
	{"typed rows", func(t *testing.T, _ string, db, _ *sql.DB) error {
		type row struct {
			K  int
			At time.Time
		}
		for range 3 {
			rows, err := psyco.QueryAll[row](t.Context(), db, "SELECT k, '2024-02-29 12:00Z'::timestamptz AS at FROM generate_series(1, %s) k", 3)
			if err != nil || len(rows) != 3 || rows[2].K != 3 || rows[2].At.Unix() != 1709208000 {
				return fmt.Errorf("%v, %v", rows, err)
			}
		}
		return nil
	}},
	{"transactions, savepoints", func(t *testing.T, _ string, db, _ *sql.DB) error {
		mustExec(t, db, "CREATE TABLE tx (k int)")
		for i := range 3 {
			err := inTx(db, func(ctx context.Context, tx *sql.Tx) error {
				return errors.Join(do(tx, "INSERT INTO tx VALUES (%s)", i),
					psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
						if err := do(tx, "INSERT INTO tx VALUES (%s)", -i-1); err != nil {
							return err
						}
						return psyco.Rollback("")
					}))
			})
			if err != nil {
				return err
			}
		}
		got, err := one[string](db, "SELECT string_agg(k::text, ',' ORDER BY k) FROM tx")
		return want(got, err, "0,1,2")
	}},
	{"transactions with options", func(t *testing.T, _ string, db, _ *sql.DB) error {
		for range 3 {
			tx, err := psyco.BeginTx(t.Context(), db, &psyco.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
			if err != nil {
				return err
			}
			got, err := one[string](tx, "SELECT current_setting('transaction_isolation') || current_setting('transaction_read_only')")
			if err := errors.Join(want(got, err, "repeatable readon"), tx.Rollback()); err != nil {
				return err
			}
		}
		return nil
	}},
	{"the end of a context stops the statement", func(t *testing.T, _ string, db, direct *sql.DB) error {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		testdb.WhenWaiting(t, direct, "pg_sleep(60", cancel)
		began := time.Now()
		_, err := db.ExecContext(ctx, "SELECT pg_sleep(60 + %s)", 1)
		if err == nil || time.Since(began) > 30*time.Second {
			return fmt.Errorf("after %v: %v", time.Since(began), err)
		}
		for testdb.All(t, direct, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_sleep(60%' AND state = 'active' AND pid <> pg_backend_pid()")[0] != "0" {
			if time.Since(began) > 30*time.Second {
				return errors.New("it goes on")
			}
			time.Sleep(time.Millisecond)
		}
		return nil
	}},
	{"`CopyFrom`, `CopyTo`, `CopyRows`", func(t *testing.T, _ string, db, _ *sql.DB) error {
		mustExec(t, db, "CREATE TABLE copied (k int)")
		for range 2 {
			n, err := psyco.CopyFrom(t.Context(), db, "COPY copied FROM STDIN", strings.NewReader("1\n2\n"))
			if err := want(n, err, 2); err != nil {
				return err
			}
			n, err = psyco.CopyRows(t.Context(), db, psyco.Identifier{"copied"}, []string{"k"}, listed([]any{3}))
			if err := want(n, err, 1); err != nil {
				return err
			}
		}
		var b bytes.Buffer
		_, err := psyco.CopyTo(t.Context(), db, &b, "COPY (SELECT k FROM copied ORDER BY k) TO STDOUT")
		return want(b.String(), err, "1\n1\n2\n2\n3\n3\n")
	}},
	{"`ExecMany`, `ExecValues`, `Batch`", func(t *testing.T, _ string, db, _ *sql.DB) error {
		mustExec(t, db, "CREATE TABLE t (k int)")
		for i := range 2 {
			for j, w := range testdb.BulkWrites {
				if err := w.Write(t.Context(), db, i*10+j); err != nil {
					return fmt.Errorf("%s: %w", w.Name, err)
				}
			}
		}
		n, err := one[int](db, "SELECT count(*) FROM t")
		return want(n, err, 2*len(testdb.BulkWrites)*testdb.BulkRows)
	}},
	{"`ServerSide`", func(t *testing.T, _ string, db, _ *sql.DB) error {
		for range 2 {
			n := 0
			for k, err := range psyco.Query[int](t.Context(), db, "SELECT k FROM generate_series(1, %s) k", 500, psyco.ServerSide(100)) {
				if n++; err != nil || k != n {
					return fmt.Errorf("%d, %w", k, err)
				}
			}
			if err := want(n, nil, 500); err != nil {
				return err
			}
		}
		return nil
	}},
	{"cursors in a transaction", func(t *testing.T, _ string, db, _ *sql.DB) error {
		for range 2 {
			err := inTx(db, func(ctx context.Context, tx *sql.Tx) error {
				cur, err := psyco.DeclareCursor(ctx, tx, "c", nil, "SELECT k FROM generate_series(1, %s) k", 5)
				if err != nil {
					return err
				}
				rows, err := cur.Fetch(ctx, 3)
				if err != nil {
					return err
				}
				return errors.Join(want(strings.Join(testdb.ScanAll(t, rows), " "), rows.Close(), "1 2 3"), cur.Close(ctx))
			})
			if err != nil {
				return err
			}
		}
		return nil
	}},
	{"large objects", func(t *testing.T, _ string, db, _ *sql.DB) error {
		return inTx(db, func(ctx context.Context, tx *sql.Tx) error {
			store := psyco.LargeObjects(tx)
			oid, err := store.Create(ctx, 0)
			if err != nil {
				return err
			}
			obj, err := store.Open(ctx, oid, psyco.LargeObjectRead|psyco.LargeObjectWrite)
			if err != nil {
				return err
			}
			_, err = obj.Write([]byte("large"))
			return errors.Join(err, obj.Close(), store.Unlink(ctx, oid))
		})
	}},
	{"`TxID`, `Committed`", func(t *testing.T, _ string, db, _ *sql.DB) error {
		var id int64
		err := inTx(db, func(ctx context.Context, tx *sql.Tx) (err error) {
			id, err = psyco.TxID(ctx, tx)
			return err
		})
		if err != nil {
			return err
		}
		yes, err := psyco.Committed(t.Context(), db, id)
		return want(yes, err, true)
	}},
	{"`ExportSnapshot`", func(t *testing.T, _ string, db, _ *sql.DB) error {
		db.SetMaxIdleConns(0)
		for range 20 { // pgpool-II decides at random for each session which standby it reads from
			err := inTx(db, func(ctx context.Context, tx *sql.Tx) error {
				name, err := psyco.ExportSnapshot(ctx, tx)
				if err != nil {
					return err
				}
				other, err := psyco.BeginTx(ctx, db, &psyco.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true, Snapshot: name})
				if err != nil {
					return err
				}
				n, err := one[int](other, "SELECT %s::int", 1)
				return errors.Join(want(n, err, 1), other.Rollback())
			})
			if err != nil {
				return err
			}
		}
		return nil
	}},
	{"two-phase commit", func(t *testing.T, _ string, db, _ *sql.DB) error {
		xid := psyco.XID{FormatID: 1, GTRID: fmt.Sprintf("%x", time.Now().UnixNano()), BQual: "b"}
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			return err
		}
		return errors.Join(do(tx, "CREATE TABLE twophase (k int)"), psyco.PrepareTx(t.Context(), tx, xid),
			psyco.CommitPrepared(t.Context(), db, xid), do(db, "INSERT INTO twophase VALUES (%s)", 1))
	}},
	{"`SET LOCAL`, locks of a transaction, temporary tables with ON COMMIT DROP", func(t *testing.T, _ string, db, _ *sql.DB) error {
		for range 3 {
			err := inTx(db, func(_ context.Context, tx *sql.Tx) error {
				err := errors.Join(do(tx, "SET LOCAL work_mem = '1234kB'"), do(tx, "SELECT pg_advisory_xact_lock(%s)", 1),
					do(tx, "CREATE TEMP TABLE temporary (k int) ON COMMIT DROP"), do(tx, "INSERT INTO temporary VALUES (%s)", 1))
				if err != nil {
					return err
				}
				got, err := one[string](tx, "SELECT current_setting('work_mem') || k FROM temporary WHERE k = %s", 1)
				return want(got, err, "1234kB1")
			})
			if err != nil {
				return err
			}
		}
		return nil
	}},
	{"`SET` for what follows on a `*sql.Conn`", func(t *testing.T, _ string, db, direct *sql.DB) error {
		return later(t, db, direct, func(c *sql.Conn) error { return do(c, "SET work_mem = '1234kB'") }, func(c *sql.Conn) error {
			got, err := one[string](c, "SHOW work_mem")
			return want(got, err, "1234kB")
		})
	}},
	{"temporary tables", func(t *testing.T, _ string, db, direct *sql.DB) error {
		return later(t, db, direct, func(c *sql.Conn) error { return do(c, "CREATE TEMP TABLE temporary (k int)") },
			func(c *sql.Conn) error { return do(c, "INSERT INTO temporary VALUES (%s)", 1) })
	}},
	{"advisory locks of a session", func(t *testing.T, _ string, db, direct *sql.DB) error {
		return later(t, db, direct, func(c *sql.Conn) error { return do(c, "SELECT pg_advisory_lock(%s)", 77) }, func(c *sql.Conn) error {
			n, err := one[int](c, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND pid = pg_backend_pid()", 77)
			return want(n, err, 1)
		})
	}},
	{"cursors WITH HOLD", func(t *testing.T, _ string, db, direct *sql.DB) error {
		var cur *psyco.Cursor
		return later(t, db, direct, func(c *sql.Conn) (err error) {
			cur, err = psyco.DeclareCursor(t.Context(), c, "held", &psyco.CursorOptions{Hold: true}, "SELECT k FROM generate_series(1, %s) k", 9)
			return err
		}, func(c *sql.Conn) error {
			rows, err := cur.Fetch(t.Context(), 1)
			if err != nil {
				return err
			}
			return rows.Close()
		})
	}},
	{"`Listener`", func(t *testing.T, dsn string, db, direct *sql.DB) error {
		con, err := psyco.NewConnector(dsn)
		if err != nil {
			return err
		}
		l := psyco.NewListener(con, nil)
		defer l.Close()
		if err := l.Listen(t.Context(), "news"); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		mustExec(t, direct, "SELECT pg_notify('news', 'x')")
		for n, err := range l.Notifications(ctx) {
			return want(n.Payload, err, "x")
		}
		return errors.New("nothing came")
	}},
	{"`Notify`", func(t *testing.T, _ string, db, _ *sql.DB) error { return psyco.Notify(t.Context(), db, "news", "x") }},
	{"`application_name`", func(t *testing.T, dsn string, _, _ *sql.DB) error {
		got, err := one[string](open(t, dsn+" application_name=shop"), "SHOW application_name")
		return want(got, err, "shop")
	}},
	{"other settings in the connection string", func(t *testing.T, dsn string, _, _ *sql.DB) error {
		got, err := one[string](open(t, dsn+" statement_timeout=12345"), "SHOW statement_timeout")
		return want(got, err, "12345ms")
	}},
	{"`target_session_attrs=read-write`", func(t *testing.T, dsn string, _, _ *sql.DB) error {
		return do(open(t, dsn+" target_session_attrs=read-write"), "CREATE TABLE writable (k int)")
	}},
	{"`prepare_threshold=1`, `binary_parameters=yes`, `binding=client`", func(t *testing.T, dsn string, _, _ *sql.DB) error {
		for _, mode := range []string{" prepare_threshold=1", " binary_parameters=yes", " binding=client"} {
			db := open(t, dsn+mode)
			for i := range 4 {
				got, err := one[string](db, "SELECT %s::text || %s::int", "a", i)
				if err := want(got, err, fmt.Sprint("a", i)); err != nil {
					return fmt.Errorf("%s: %w", mode, err)
				}
			}
		}
		return nil
	}},
	{"`ChangePassword`", func(t *testing.T, _ string, db, direct *sql.DB) error {
		role := fmt.Sprintf("role_%x", time.Now().UnixNano())
		mustExec(t, direct, "CREATE ROLE "+role)
		defer mustExec(t, direct, "DROP ROLE "+role)
		return psyco.ChangePassword(t.Context(), db, role, "secret")
	}},
	{"`WarmUp`", func(t *testing.T, _ string, db, _ *sql.DB) error {
		db.SetMaxIdleConns(4)
		return psyco.WarmUp(t.Context(), db, 4)
	}},
	{"`WithOnReset`, `CleanSession`", func(t *testing.T, dsn string, _, _ *sql.DB) error {
		db := open(t, dsn, psyco.WithOnReset(psyco.CleanSession))
		db.SetMaxOpenConns(1)
		for i := range 5 {
			n, err := one[int](db, "SELECT %s::int", i)
			if err := want(n, err, i); err != nil {
				return err
			}
			timeout, err := one[string](db, "SHOW statement_timeout")
			if err := errors.Join(want(timeout, err, "0"), do(db, "SET statement_timeout = '1h'")); err != nil {
				return err
			}
			timeout, err = one[string](db, "SELECT current_setting(%s)", "statement_timeout")
			if err := want(timeout, err, "0"); err != nil {
				return err
			}
		}
		return nil
	}},
	{"notices", func(t *testing.T, dsn string, _, _ *sql.DB) error {
		var got []string
		db := open(t, dsn, psyco.WithNoticeHandler(func(e *pq.Error) { got = append(got, e.Message) }))
		err := do(db, "DO $$ BEGIN RAISE NOTICE 'x'; END $$")
		return want(got, err, []string{"x"})
	}},
}

// front is what stands between psyco and the server: a column of docs/poolers.md.
type front struct {
	name string
	// start starts it and returns a function that makes a database behind it.
	start func(t *testing.T) (newDB func(t *testing.T) (dsn, direct string))
}

var fronts = []front{
	{"pgbouncer, session", func(t *testing.T) func(t *testing.T) (string, string) { return behindPgbouncer(t, "session") }},
	{"pgbouncer, transaction", func(t *testing.T) func(t *testing.T) (string, string) { return behindPgbouncer(t, "transaction") }},
	{"pgbouncer, statement", func(t *testing.T) func(t *testing.T) (string, string) { return behindPgbouncer(t, "statement") }},
	{"pgpool-II", behindPgpool},
	{"HAProxy", behindHAProxy},
}

func behindPgbouncer(t *testing.T, mode string) func(t *testing.T) (dsn, direct string) {
	front := startPgbouncer(t, mustParse(t, pgserver.TestDSN(t)), mode)
	return func(t *testing.T) (dsn, direct string) {
		direct = pgserver.TestDSN(t)
		return front + " dbname=" + mustParse(t, direct).Database, direct
	}
}

func behindHAProxy(t *testing.T) func(t *testing.T) (dsn, direct string) {
	server, err := pgserver.Shared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := startHAProxy(t, "option pgsql-check user postgres", "server db "+server.Addr()+" check inter 100ms")
	return func(t *testing.T) (dsn, direct string) {
		direct = pgserver.TestDSN(t)
		return direct + " " + at, direct
	}
}

// behindPgpool has pgpool-II share reading between a primary and a standby that has
// applied what was committed before the commit is over.
func behindPgpool(t *testing.T) func(t *testing.T) (dsn, direct string) {
	programOf(t, "pgpool")
	prime, stand := pgserver.TestPair(t)
	admin := open(t, prime.DSN())
	mustExec(t, admin, "ALTER SYSTEM SET synchronous_standby_names = '*'")
	mustExec(t, admin, "ALTER SYSTEM SET synchronous_commit = remote_apply")
	mustExec(t, admin, "SELECT pg_reload_conf()")
	for !slices.Equal(all(t, admin, "SELECT sync_state FROM pg_stat_replication"), []string{"sync"}) {
		time.Sleep(time.Millisecond)
	}
	front := startPgpool(t, prime, stand)
	count := 0
	return func(t *testing.T) (dsn, direct string) {
		count++
		name := fmt.Sprint("behind_pgpool_", count)
		mustExec(t, admin, "CREATE DATABASE "+name)
		return front + " dbname=" + name, prime.DSN() + " dbname=" + name
	}
}

func mustParse(t *testing.T, dsn string) *psyco.Config {
	t.Helper()
	cfg, err := psyco.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestPromisesBehindPoolers uses each part of psyco behind each pooler: what
// docs/poolers.md says of it is what happens.
func TestPromisesBehindPoolers(t *testing.T) {
	promised := promises(t)
	for _, front := range fronts {
		t.Run(front.name, func(t *testing.T) {
			t.Parallel()
			newDB := front.start(t)
			for _, f := range features {
				dsn, direct := newDB(t)
				t.Run(f.name, func(t *testing.T) {
					err := f.use(t, dsn, open(t, dsn), open(t, direct))
					word, ok := promised[f.name][front.name]
					if word == "refused" && !namesPooler(err) {
						// Poolers make process IDs up, and one in a thousand could be a server's.
						err = f.use(t, dsn, open(t, dsn), open(t, direct))
					}
					switch {
					case !ok:
						t.Errorf("docs/poolers.md does not say whether this works; %v", err)
					case word == "yes" && err != nil:
						t.Errorf("the document promises it: %v", err)
					case word == "no" && err == nil:
						t.Error("the document says that it does not work")
					case word == "refused" && !namesPooler(err):
						t.Errorf("the document says that psyco refuses it: %v", err)
					}
				})
			}
		})
	}
	for name := range promised {
		if !slices.ContainsFunc(features, func(f feature) bool { return f.name == name }) {
			t.Errorf("docs/poolers.md speaks of %s, which no test uses", name)
		}
	}
}

// namesPooler reports whether an error says that a pooler is behind it.
func namesPooler(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	if pe := pq.As(err); pe != nil {
		text += pe.Hint
	}
	return slices.ContainsFunc([]string{"pooler", "pgbouncer", "pgpool-II"}, func(name string) bool { return strings.Contains(text, name) })
}

// promises reads the table of docs/poolers.md: what it says of a feature behind a pooler.
func promises(t *testing.T) map[string]map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/poolers.md")
	if err != nil {
		t.Fatal(err)
	}
	cells := func(line string) (cells []string) {
		for _, cell := range strings.Split(strings.Trim(line, "|\n"), "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		return cells
	}
	promised := make(map[string]map[string]string)
	var columns []string
	for line := range strings.Lines(string(text)) {
		switch {
		case columns == nil && strings.HasPrefix(line, "| feature |"):
			columns = cells(line)
		case columns != nil && line == "\n":
			return promised
		case columns != nil && !strings.HasPrefix(line, "|--"):
			row := cells(line)
			promised[row[0]] = make(map[string]string)
			for i, name := range columns {
				promised[row[0]][name] = row[i]
			}
		}
	}
	t.Fatal("docs/poolers.md has no table of features")
	return nil
}
