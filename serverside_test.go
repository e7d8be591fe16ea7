package psyco_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/faultproxy"
	"github.com/psyco-go/psyco/internal/testsize"
)

func TestServerSide(t *testing.T) {
	ctx := context.Background()
	inModes(t, func(t *testing.T, db *sql.DB) {
		mustExec(t, db, "CREATE TABLE t AS SELECT i, repeat('x', i) AS s, i * 1.5 AS n, i % 3 = 0 AS b, decode('00', 'hex') AS y FROM generate_series(1, 20) i")
		conn := mustConn(t, db)
		for _, q := range []struct {
			name  string
			query string
			args  []any
		}{
			{"no arguments", "SELECT * FROM t WHERE i % 20 > 0 ORDER BY i", nil},
			{"native", "SELECT * FROM t WHERE i < $1 ORDER BY i", []any{10}},
			{"positional", "SELECT * FROM t WHERE i BETWEEN %s AND %s ORDER BY i", []any{3, 9}},
			{"named", "SELECT * FROM t WHERE i < %(n)s ORDER BY i", []any{map[string]any{"n": 10}}},
			{"a string of any type", "SELECT * FROM t WHERE i < %s ORDER BY i", []any{"10"}},
			{"a type that the server cannot infer", "SELECT i, %s FROM t ORDER BY i", []any{"a"}},
			{"a list", "SELECT * FROM t WHERE i IN %s ORDER BY i", []any{[]int{3, 5, 6}}},
			{"NULL", "SELECT i, NULL FROM t ORDER BY i", nil},
			{"no rows", "SELECT * FROM t WHERE i > %s", []any{100}},
			{"no columns", "SELECT FROM t", nil},
			{"TABLE", "TABLE t", nil},
			{"VALUES", "VALUES (%s), (2)", []any{1}},
			{"a comment at the end", "SELECT i FROM t ORDER BY i -- %s", nil},
			{"a semicolon at the end", "SELECT i FROM t ORDER BY i;", nil},
		} {
			for _, h := range []struct {
				name string
				psyco.Handle
			}{{"DB", db}, {"Conn", conn}, {"Tx", mustBegin(t, db)}} {
				want, wantTypes := drain(t, h, q.query, q.args...)
				sizes := []int{0, 1, 2, 7, 20, 1000}
				for i := range testsize.Some(3, len(sizes)) {
					n := sizes[i-1]
					for at := range len(q.args) + 1 {
						args := slices.Insert(slices.Clone(q.args), at, any(psyco.ServerSide(n)))
						got, types := drain(t, h, q.query, args...)
						if !slices.Equal(got, want) || !reflect.DeepEqual(types, wantTypes) {
							t.Fatalf("%s on %s, %d at a time:\n got %q %v\nwant %q %v", q.name, h.name, n, got, types, want, wantTypes)
						}
					}
				}
			}
		}
		// Cursors of the results that were read are gone; so are transactions.
		if got := all(t, conn, "SELECT name FROM pg_cursors WHERE name LIKE 'psyco%'"); len(got) > 0 {
			t.Errorf("cursors left open: %q", got)
		}
		var one int
		if err := db.QueryRowContext(ctx, "SELECT i FROM t WHERE i > %s ORDER BY i", 4, psyco.ServerSide(1)).Scan(&one); err != nil || one != 5 {
			t.Errorf("QueryRow: %d, %v", one, err)
		}
	})
}

// drain returns the rows of a query and the types of its columns.
func drain(t testing.TB, h psyco.Handle, query string, args ...any) (rows, types []string) {
	t.Helper()
	r, err := h.QueryContext(context.Background(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer r.Close()
	columns, err := r.ColumnTypes()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range columns {
		types = append(types, fmt.Sprint(c.Name(), c.DatabaseTypeName(), c.ScanType()))
	}
	return scanAll(t, r), types
}

func TestServerSideRoundTrips(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	conn := mustConn(t, db)
	mustExec(t, conn, "CREATE TABLE t AS SELECT generate_series(1, 100) i")
	read := func(h psyco.Handle, query string, args ...any) {
		if got := all(t, h, query, args...); len(got) != 100 {
			t.Errorf("%d rows", len(got))
		}
	}
	inTx := func(f func(tx *sql.Tx)) {
		tx, err := conn.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		f(tx)
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	const query, psycopg = "SELECT i FROM t", "SELECT i FROM t WHERE i > %s"
	for range 3 {
		read(conn, psycopg, 0, psyco.ServerSide(0)) // into the statement cache
	}
	for _, tt := range []struct {
		name string
		want uint64
		run  func()
	}{
		{"one batch", 2, func() { read(conn, query, psyco.ServerSide(0)) }}, // and COMMIT
		{"four batches", 5, func() { read(conn, query, psyco.ServerSide(30)) }},
		{"exactly two", 4, func() { read(conn, query, psyco.ServerSide(50)) }},
		{"with arguments", 6, func() { read(conn, psycopg, 0, psyco.ServerSide(30)) }}, // and DECLARE
		{"in a transaction", 4 + 2, func() {
			inTx(func(tx *sql.Tx) { read(tx, query, psyco.ServerSide(30)) })
		}},
		{"in a transaction, with arguments", 5 + 2, func() {
			inTx(func(tx *sql.Tx) { read(tx, psycopg, 0, psyco.ServerSide(30)) })
		}},
	} {
		if got := roundTrips(t, conn, tt.run); got != tt.want {
			t.Errorf("%s: %d round trips, want %d", tt.name, got, tt.want)
		}
	}
}

// TestServerSideMemory reads a large result while other statements run on the
// connection. What a plain query would hold in memory is several times the limit.
func TestServerSideMemory(t *testing.T) {
	const limit = 8 << 20
	tx := mustBegin(t, testDB(t))
	rows, err := tx.Query("SELECT i, repeat('x', 200) FROM generate_series(1, %s) i", 200_000, psyco.ServerSide(0))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	n := 0
	for rows.Next() {
		var i int
		var s sql.RawBytes
		if err := rows.Scan(&i, &s); err != nil {
			t.Fatal(err)
		}
		if n++; i != n || len(s) != 200 {
			t.Fatalf("row %d: %d, %d bytes", n, i, len(s))
		}
		if n%20_000 == 1 {
			if got := all(t, tx, "SELECT %s", n); got[0] != fmt.Sprint(n) {
				t.Fatalf("got %q", got)
			}
			if now := heap(); now > before+limit {
				t.Fatalf("%d bytes in use at row %d", now-before, n)
			}
		}
	}
	if rows.Err() != nil || n != 200_000 {
		t.Fatalf("%d rows, %v", n, rows.Err())
	}
}

func TestServerSideInTransaction(t *testing.T) {
	ctx := context.Background()
	inModes(t, func(t *testing.T, db *sql.DB) {
		if wrapped(t) {
			return // a plain query there: see TestServerSide
		}
		mustExec(t, db, "CREATE TABLE t AS SELECT generate_series(1, 10) i")
		query := func(tx *sql.Tx, n int) *sql.Rows {
			t.Helper()
			rows, err := tx.Query("SELECT i FROM t WHERE i > %s ORDER BY i", 0, psyco.ServerSide(n))
			if err != nil {
				t.Fatal(err)
			}
			return rows
		}
		read := func(rows *sql.Rows, want int) {
			t.Helper()
			var i int
			if !rows.Next() || rows.Scan(&i) != nil || i != want {
				t.Fatalf("got %d, want %d; %v", i, want, rows.Err())
			}
		}
		ended := func(rows *sql.Rows, want string) {
			t.Helper()
			if rows.Next() || code(rows.Err()) != want {
				t.Fatalf("the end: %v, want %s", rows.Err(), want)
			}
		}

		// Several at once, writing in between; once they are closed the table is free.
		tx := mustBegin(t, db)
		a, b := query(tx, 2), query(tx, 3)
		for i := range 10 {
			read(a, i+1)
			mustExec(t, tx, "INSERT INTO t VALUES (%s)", 100+i)
			read(b, i+1)
			mustExec(t, tx, "INSERT INTO t VALUES (100)")
		}
		ended(a, "<nil>")
		b.Close()
		mustExec(t, tx, "ALTER TABLE t ADD COLUMN x int")
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}

		// Commit with rows open.
		tx = mustBegin(t, db)
		a = query(tx, 2)
		read(a, 1)
		mustExec(t, tx, "INSERT INTO t VALUES (11)")
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if a.Next() {
			t.Fatal("a row after Commit")
		}
		if got := all(t, db, "SELECT count(*) FROM t"); got[0] != "11" {
			t.Fatalf("%s rows", got)
		}

		// A COMMIT statement takes the cursor away.
		tx = mustBegin(t, db)
		a = query(tx, 2)
		read(a, 1)
		mustExec(t, tx, "COMMIT")
		read(a, 2)
		ended(a, "34000")
		tx.Rollback()

		// So does the end of a savepoint that it was declared under.
		tx = mustBegin(t, db)
		mine := errors.New("mine")
		if err := psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
			a = query(tx, 2)
			read(a, 1)
			return mine
		}); err != mine {
			t.Fatal(err)
		}
		read(a, 2)
		ended(a, "34000")
		tx.Rollback()

		// One that is older than the savepoint stays.
		tx = mustBegin(t, db)
		a = query(tx, 2)
		if err := psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
			for i := range 5 {
				read(a, i+1)
			}
			b = query(tx, 1)
			read(b, 1)
			return mine
		}); err != mine {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		for i := 5; i < 11; i++ {
			read(a, i+1)
		}
		ended(a, "<nil>")
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}

		// An error in the middle.
		tx = mustBegin(t, db)
		a, err := tx.Query("SELECT 1 / (5 - i) FROM t", psyco.ServerSide(2))
		if err != nil {
			t.Fatal(err)
		}
		for range 4 {
			if !a.Next() {
				t.Fatal(a.Err())
			}
		}
		ended(a, "22012")
		if _, err := tx.Exec("SELECT 1"); code(err) != "25P02" {
			t.Fatalf("in a failed transaction: %v", err)
		}
		tx.Rollback()
	})
}

// TestServerSideAlone reads outside of a transaction.
func TestServerSideAlone(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		if wrapped(t) {
			return // a plain query there: see TestServerSide
		}
		mustExec(t, db, "CREATE TABLE t AS SELECT generate_series(1, 10) i")
		conn := mustConn(t, db)
		idle := func() {
			t.Helper()
			err := psyco.WithConn(context.Background(), conn, func(c *psyco.Conn) error {
				if s := c.TxStatus(); s != 'I' {
					return fmt.Errorf("the transaction status is %c", s)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := all(t, conn, "SELECT %s", 1); got[0] != "1" {
				t.Fatalf("got %q", got)
			}
		}
		rows, err := conn.QueryContext(t.Context(), "SELECT i FROM t", psyco.ServerSide(2))
		if err != nil {
			t.Fatal(err)
		}
		rows.Next()
		for name, err := range map[string]error{
			"Exec":  second(conn.ExecContext(t.Context(), "INSERT INTO t VALUES (11)")),
			"Query": second(conn.QueryContext(t.Context(), "SELECT %s", 1)),
			"Begin": second(conn.BeginTx(t.Context(), nil)),
			"Ping":  conn.PingContext(t.Context()),
			"Conn":  psyco.WithConn(t.Context(), conn, func(*psyco.Conn) error { return nil }),
		} {
			if err == nil || !strings.HasPrefix(err.Error(), "psyco: the rows of a query with ServerSide are open") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := scanAll(t, rows); len(got) != 9 {
			t.Errorf("%d rows are left", len(got))
		}
		idle()

		// Closed early.
		for range 3 {
			rows, err = conn.QueryContext(t.Context(), "SELECT i FROM t WHERE i > %s", 0, psyco.ServerSide(2))
			if err != nil {
				t.Fatal(err)
			}
			rows.Next()
			if err := rows.Close(); err != nil {
				t.Fatal(err)
			}
			idle()
		}

		// Errors at the beginning and in the middle.
		_, err = conn.QueryContext(t.Context(), "SELECT i FROM missing", psyco.ServerSide(2))
		if code(err) != "42P01" {
			t.Errorf("missing table: %v", err)
		}
		idle()
		_, err = conn.QueryContext(t.Context(), "SELECT i FROM t WHERE %s / 0 = i", 1, psyco.ServerSide(2))
		if code(err) != "22012" {
			t.Errorf("division: %v", err)
		}
		idle()
		rows, err = conn.QueryContext(t.Context(), "SELECT 1 / (5 - i) FROM t", psyco.ServerSide(2))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for rows.Next() {
			n++
		}
		if n != 4 || code(rows.Err()) != "22012" {
			t.Errorf("%d rows, %v", n, rows.Err())
		}
		idle()

		// A context that ends between batches.
		ctx, cancel := context.WithCancel(t.Context())
		rows, err = conn.QueryContext(ctx, "SELECT i FROM t", psyco.ServerSide(2))
		if err != nil {
			t.Fatal(err)
		}
		rows.Next()
		cancel()
		for rows.Next() {
		}
		if err := rows.Err(); !errors.Is(err, context.Canceled) {
			t.Errorf("after cancel: %v", err)
		}
		rows.Close()
		idle()
	})
}

func TestServerSideMisuse(t *testing.T) {
	db := testDB(t)
	mustExec(t, db, "CREATE TABLE t (i int)")
	query := func(q string, args ...any) error {
		rows, err := db.Query(q, args...)
		if err == nil {
			rows.Close()
		}
		return err
	}
	stmt, err := db.Prepare("SELECT %s")
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"negative", query("SELECT 1", psyco.ServerSide(-1)), "need a positive number"},
		{"INSERT", query("INSERT INTO t VALUES (1) RETURNING i", psyco.ServerSide(0)), "not for INSERT"},
		{"two statements", query("SELECT 1; SELECT 2", psyco.ServerSide(0)), "has several"},
		{"no statement", query("", psyco.ServerSide(0)), "not for this query"},
		{"too many arguments", query("SELECT %s", 1, 2, psyco.ServerSide(0)), "the query has 1 placeholders but 2 parameters"},
		//psyco:allow the error is what is wanted
		{"Exec", second(db.Exec("INSERT INTO t VALUES (%s)", psyco.ServerSide(0))), "ServerSide is for Query"},
		//psyco:allow the error is what is wanted
		{"native Exec", second(db.Exec("INSERT INTO t VALUES ($1)", psyco.ServerSide(0))), "ServerSide is for Query"},
		{"a prepared statement", second(stmt.Query(psyco.ServerSide(0))), "ServerSide is for Query"},
	} {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) || !strings.Contains(tt.err.Error(), "psyco: ") {
			t.Errorf("%s: got %v, want %q", tt.name, tt.err, tt.want)
		}
	}
	if got := all(t, db, "SELECT * FROM t"); len(got) > 0 {
		t.Errorf("rows were written: %q", got)
	}
}

// TestServerSideCut cuts the network at each message of a result: the rows that
// came are right, none is missing without an error, and no error makes
// database/sql run half of a query again.
func TestServerSideCut(t *testing.T) {
	p, db, direct := faulty(t, "")
	db.SetMaxOpenConns(1)
	mustExec(t, direct, "CREATE TABLE t AS SELECT generate_series(1, 7) i")
	read := func() (n int, err error) {
		rows, err := db.Query("SELECT i FROM t WHERE i > %s ORDER BY i", 0, psyco.ServerSide(2))
		if err != nil {
			return 0, err
		}
		defer rows.Close()
		for rows.Next() {
			var i int
			if err := rows.Scan(&i); err != nil {
				return n, err
			}
			if n++; i != n {
				t.Fatalf("row %d is %d", n, i)
			}
		}
		return n, rows.Err()
	}
	if n, err := read(); n != 7 || err != nil {
		t.Fatal(n, err)
	}
	p.ResetCounts()
	if n, err := read(); n != 7 || err != nil {
		t.Fatal(n, err)
	}
	counts := p.Counts()
	for _, dir := range []faultproxy.Direction{faultproxy.ToServer, faultproxy.ToClient} {
		for i := range counts.Messages(dir, "") {
			pingPastCut(t, db, fmt.Sprintf("%v message %d", dir, i+1))
			p.On(faultproxy.After(faultproxy.Nth(i+1, faultproxy.Msg(dir, ""))), (*faultproxy.Link).Cut)
			n, err := read()
			p.Disarm()
			if err == nil && n != 7 {
				t.Errorf("%v message %d: %d rows and no error", dir, i+1, n)
			}
			if errors.Is(err, driver.ErrBadConn) {
				t.Errorf("%v message %d: %v", dir, i+1, err)
			}
		}
	}
}

// BenchmarkServerSide reads a million rows, plainly and through a cursor.
func BenchmarkServerSide(b *testing.B) {
	db := testDB(b)
	mustExec(b, db, "CREATE TABLE t AS SELECT i AS id, 'name ' || i AS name, i * 1.5::float8 AS v FROM generate_series(1, 1000000) i")
	mustExec(b, db, "VACUUM ANALYZE t")
	tx := mustBegin(b, db)
	for _, m := range []struct {
		name string
		args []any
	}{
		{"plain", nil},
		{"ServerSide(0)", []any{psyco.ServerSide(0)}},
		{"ServerSide(2000)", []any{psyco.ServerSide(2000)}},
	} {
		b.Run(m.name, func(b *testing.B) {
			for b.Loop() {
				rows, err := tx.Query("SELECT * FROM t", m.args...)
				if err != nil {
					b.Fatal(err)
				}
				var id int
				var name sql.RawBytes
				var v float64
				n := 0
				for rows.Next() {
					if err := rows.Scan(&id, &name, &v); err != nil {
						b.Fatal(err)
					}
					n++
				}
				if rows.Err() != nil || n != 1_000_000 {
					b.Fatalf("%d rows, %v", n, rows.Err())
				}
			}
		})
	}
}
