package compat

import (
	"database/sql"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
)

// testWrapped runs over a driver that wraps psyco's all that does not travel as
// an ordinary statement with ordinary arguments.
func testWrapped(t *testing.T, db *sql.DB) {
	t.Run("arguments", func(t *testing.T) { wrappedArguments(t, db) })
	t.Run("operations", func(t *testing.T) { wrappedOperations(t, db) })
	t.Run("transactions", func(t *testing.T) { wrappedTransactions(t, db) })
}

func wrappedArguments(t *testing.T, db *sql.DB) {
	for _, tt := range []struct {
		query string
		args  []any
	}{
		{"SELECT count(*) FROM generate_series(1, 9) i WHERE i = ANY($1)", []any{[]int64{1, 2}}},
		{"SELECT count(*) FROM generate_series(1, 9) i WHERE i IN %s", []any{[]int{1, 2}}},
		{"SELECT count(*) FROM generate_series(1, %(n)s::int)", []any{map[string]any{"n": 2}}},
		{"SELECT count(*) FROM generate_series(1, %(n)s::int)", []any{struct{ N int }{2}}},
		{"SELECT count(*) FROM generate_series(1, %(n)s::int)", []any{sql.Named("n", 2)}},
		{"SELECT count(*) FROM generate_series(%(a)s::int, %(b)s::int)", []any{sql.Named("b", 2), sql.Named("a", 1)}},
		{"SELECT 2 WHERE %s = interval '1 h'", []any{time.Hour}},
		{"SELECT 2 WHERE '50%' LIKE '5_%'", nil},
	} {
		if n := one[int](t, db, tt.query, tt.args...); n != 2 {
			t.Errorf("%s: %d", tt.query, n)
		}
		if len(tt.args) == 0 {
			continue
		}
		stmt, err := db.Prepare(tt.query)
		must(t, err)
		var n int
		if err := stmt.QueryRow(tt.args...).Scan(&n); n != 2 {
			t.Errorf("%s, prepared: %d, %v", tt.query, n, err)
		}
		must(t, stmt.Close())
	}
	rows, err := db.Query("SELECT generate_series(1, %s)", psyco.ServerSide(10), 100)
	must(t, err)
	defer rows.Close()
	sum := 0
	for i := 0; rows.Next(); sum += i {
		must(t, rows.Scan(&i))
	}
	if err := rows.Err(); err != nil || sum != 5050 {
		t.Errorf("ServerSide: %d, %v", sum, err)
	}
	err = undone(t, db, func(h psyco.Handle) error {
		_, err := h.ExecContext(ctx, "SELECT 1 / $1", 0)
		return err
	})
	if pe, ok := err.(*pq.Error); !ok || pe.Code != "22012" {
		t.Errorf("got %#v, want a *pq.Error", err)
	}
}

// undone runs what fails in a transaction of its own.
func undone(t *testing.T, db *sql.DB, run func(psyco.Handle) error) error {
	t.Helper()
	tx, err := db.Begin()
	must(t, err)
	defer tx.Rollback()
	return run(tx)
}

func wrappedOperations(t *testing.T, db *sql.DB) {
	_, err := db.Exec("CREATE TABLE t (a int PRIMARY KEY, b text)")
	must(t, err)
	for name, run := range map[string]func(h psyco.Handle) (int64, error){
		"CopyFrom": func(h psyco.Handle) (int64, error) {
			return psyco.CopyFrom(ctx, h, "COPY t FROM STDIN (FORMAT csv)", strings.NewReader("1,a\n2,b\n"))
		},
		"CopyRows": func(h psyco.Handle) (int64, error) {
			return psyco.CopyRows(ctx, h, psyco.Identifier{"t"}, []string{"a", "b"}, psyco.SliceRows([][]any{{1, "a"}, {2, "b"}}))
		},
		"ExecMany": func(h psyco.Handle) (int64, error) {
			return psyco.ExecMany(ctx, h, "INSERT INTO t VALUES (%s, %s)", psyco.SliceRows([][]any{{1, "a"}, {2, "b"}}))
		},
		"ExecValues": func(h psyco.Handle) (int64, error) {
			return psyco.ExecValues(ctx, h, "INSERT INTO t VALUES %s", psyco.SliceRows([][]any{{1, "a"}, {2, "b"}}), nil)
		},
		"Batch": func(h psyco.Handle) (n int64, err error) {
			var b psyco.Batch
			b.Queue("INSERT INTO t VALUES (1, 'a'), (%s, 'b')", 2)
			b.Queue("SELECT count(*) FROM t").Each(func(row *sql.Rows) error { return row.Scan(&n) })
			err = b.Run(ctx, h)
			return n, err
		},
	} {
		if n, err := run(db); n != 2 || err != nil {
			t.Fatalf("%s: %d, %v", name, n, err)
		}
		var pe *pq.Error
		if err := undone(t, db, func(h psyco.Handle) error {
			_, err := run(h)
			return err
		}); !errors.As(err, &pe) || pe.Code != "23505" {
			t.Errorf("%s again: %v, want a unique violation", name, err)
		}
		var b strings.Builder
		if n, err := psyco.CopyTo(ctx, db, &b, "COPY (SELECT * FROM t WHERE a > %s) TO STDOUT", 1); n != 1 || err != nil || b.String() != "2\tb\n" {
			t.Errorf("CopyTo: %q, %d, %v", &b, n, err)
		}
		_, err := db.Exec("TRUNCATE t")
		must(t, err)
	}
	must(t, psyco.WithConn(ctx, db, func(c *psyco.Conn) error {
		if c.PID() == 0 {
			t.Error("WithConn: no process")
		}
		return nil
	}))
	mine := errors.New("mine")
	if err := psyco.WithConn(ctx, db, func(*psyco.Conn) error { return mine }); err != mine {
		t.Errorf("WithConn: %v", err)
	}
}

func wrappedTransactions(t *testing.T, db *sql.DB) {
	_, err := db.Exec("CREATE TABLE u (a int)")
	must(t, err)
	must(t, psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
		must(t, psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
			_, err := psyco.CopyFrom(ctx, tx, "COPY u FROM STDIN", strings.NewReader("1\n2\n"))
			must(t, err)
			return psyco.Rollback("")
		}))
		_, err := tx.Exec("INSERT INTO u VALUES (%s)", 3)
		must(t, err)

		stmt, err := tx.Prepare("COPY u (a) FROM STDIN") // what pq.CopyIn writes
		must(t, err)
		_, err = stmt.Exec(4)
		must(t, err)
		_, err = stmt.Exec()
		must(t, err)
		must(t, stmt.Close())

		c, err := psyco.DeclareCursor(ctx, tx, "c", nil, "SELECT a FROM u ORDER BY a")
		must(t, err)
		rows, err := c.Fetch(ctx, 10)
		must(t, err)
		var got []int
		for rows.Next() {
			got = append(got, 0)
			must(t, rows.Scan(&got[len(got)-1]))
		}
		if !slices.Equal(got, []int{3, 4}) {
			t.Errorf("the cursor has %v", got)
		}
		must(t, rows.Close())
		must(t, c.Close(ctx))

		lo, err := psyco.LargeObjects(tx).Create(ctx, 0)
		must(t, err)
		o, err := psyco.LargeObjects(tx).Open(ctx, lo, psyco.LargeObjectRead|psyco.LargeObjectWrite)
		must(t, err)
		_, err = io.WriteString(o, "large")
		must(t, err)
		return o.Close()
	}))
	if n := one[int](t, db, "SELECT sum(a) FROM u"); n != 7 {
		t.Errorf("the sum is %d", n)
	}
}

// testReset looks whether a connection reaches its next user clean, which a
// driver in between has to pass on: SessionResetter and Validator.
func testReset(t *testing.T, db *sql.DB) {
	db.SetMaxOpenConns(1)
	_, err := db.Exec("BEGIN; CREATE TABLE left_open ()")
	must(t, err)
	if one[*string](t, db, "SELECT to_regclass('left_open')") != nil {
		t.Error("the connection came back in its last user's transaction")
	}
	pid := one[int](t, db, "SELECT pg_backend_pid()")
	other := open(t)
	must(t, other.Ping())
	if !one[bool](t, other, "SELECT pg_terminate_backend(%s, 5000)", pid) {
		t.Fatal("the session did not end")
	}
	if one[int](t, db, "SELECT pg_backend_pid()") == pid {
		t.Error("the session is still there")
	}
}
