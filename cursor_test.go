package psyco_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
)

// fetched returns the rows of a Fetch and its like, joined with spaces.
func fetched(t testing.TB, rows *sql.Rows, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	return strings.Join(scanAll(t, rows), " ")
}

func mustDeclare(t testing.TB, h psyco.Handle, name string, opts *psyco.CursorOptions, query string, args ...any) *psyco.Cursor {
	t.Helper()
	cur, err := psyco.DeclareCursor(context.Background(), h, name, opts, query, args...)
	if err != nil {
		t.Fatalf("cursor %q: %v", name, err)
	}
	return cur
}

func TestCursor(t *testing.T) {
	ctx := context.Background()
	inModes(t, func(t *testing.T, db *sql.DB) {
		tx := mustBegin(t, db)
		for _, q := range []struct {
			name  string
			query string
			args  []any
		}{
			{"no arguments", "SELECT i FROM generate_series(1, 10) i", nil},
			{"a percent sign", "SELECT i FROM generate_series(1, 10) i WHERE i % 20 > 0", nil},
			{"native", "SELECT i FROM generate_series(1, $1::int) i", []any{10}},
			{"positional", "SELECT i FROM generate_series(1, %s) i WHERE i %% 20 > 0", []any{10}},
			{"named", "SELECT i FROM generate_series(%(from)s::int, %(to)s) i", []any{map[string]any{"from": 1, "to": 10}}},
			{"sql.Named", "SELECT i FROM generate_series(1, %(to)s) i", []any{sql.Named("to", 10)}},
			{"a list", "SELECT i FROM generate_series(1, 99) i WHERE i IN %s", []any{[]int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}},
			{"WITH", "WITH s AS (SELECT i FROM generate_series(1, %s) i) SELECT * FROM s", []any{10}},
			{"VALUES", "VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (%s)", []any{10}},
		} {
			cur := mustDeclare(t, tx, q.name, &psyco.CursorOptions{Scroll: true}, q.query, q.args...)
			step := func(what, got, want string) {
				t.Helper()
				if got != want {
					t.Fatalf("%s: %s: got %q, want %q", q.name, what, got, want)
				}
			}
			fetch := func(n int) string {
				rows, err := cur.Fetch(ctx, n)
				return fetched(t, rows, err)
			}
			move := func(n int) string {
				moved, err := cur.Move(ctx, n)
				return fmt.Sprint(moved, err)
			}
			scroll := func(n int, mode psyco.ScrollMode) string {
				ok, err := cur.Scroll(ctx, n, mode)
				return fmt.Sprint(ok, err)
			}
			step("fetch", fetch(3), "1 2 3")
			step("the current row", fetch(0), "3")
			step("back", fetch(-2), "2 1")
			step("before the first", fetch(-1), "")
			step("move", move(4), "4 <nil>")
			step("fetch", fetch(1), "5")
			step("move back", move(-2), "2 <nil>")
			step("fetch", fetch(1), "4")
			step("absolute", scroll(9, psyco.ScrollAbsolute), "true <nil>")
			step("fetch", fetch(0), "9")
			step("from the end", scroll(-3, psyco.ScrollAbsolute), "true <nil>")
			step("fetch", fetch(0), "8")
			step("relative", scroll(-3, psyco.ScrollRelative), "true <nil>")
			step("fetch", fetch(0), "5")
			step("behind the end", scroll(50, psyco.ScrollRelative), "false <nil>")
			step("fetch", fetch(-1), "10")
			step("to the beginning", scroll(0, psyco.ScrollAbsolute), "false <nil>")
			step("too far", move(99), "10 <nil>")
			step("to the beginning", scroll(0, psyco.ScrollAbsolute), "false <nil>")
			step("fetch", fetch(2), "1 2")
			rows, err := cur.Rows(ctx, 3)
			step("rows", fetched(t, rows, err), "3 4 5 6 7 8 9 10")
			rows, err = cur.Rows(ctx, 0)
			step("no more rows", fetched(t, rows, err), "")
			step("back again", move(-99), "10 <nil>")
			rows, err = cur.FetchAll(ctx)
			step("all", fetched(t, rows, err), "1 2 3 4 5 6 7 8 9 10")
			if err := cur.Close(ctx); err != nil {
				t.Fatalf("%s: close: %v", q.name, err)
			}
			step("name", cur.Name(), q.name)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestCursorNames(t *testing.T) {
	ctx := context.Background()
	inModes(t, func(t *testing.T, db *sql.DB) {
		tx := mustBegin(t, db)
		for _, name := range []string{
			"c", "C", "with space", `quo"te`, "select", "%s", "%(a)s", "100%", "%%", "$1", "a;b", "ünïcode", "'", `\`, "--", "/*",
			strings.Repeat("x", 63),
		} {
			for _, args := range [][]any{nil, {1}} {
				query := "SELECT 1"
				if args != nil {
					query = "SELECT %s"
				}
				cur := mustDeclare(t, tx, name, nil, query, args...)
				if got := all(t, tx, "SELECT name FROM pg_cursors WHERE name = $1", name); !slices.Equal(got, []string{name}) {
					t.Errorf("%q: the server has %q", name, got)
				}
				rows, err := cur.Rows(ctx, 0)
				if got := fetched(t, rows, err); got != "1" {
					t.Errorf("%q: got %q", name, got)
				}
				if err := cur.Close(ctx); err != nil {
					t.Errorf("%q: %v", name, err)
				}
			}
		}
		if got := all(t, tx, "SELECT name FROM pg_cursors WHERE name <> ''"); len(got) > 0 {
			t.Errorf("cursors left open: %q", got)
		}
		for _, name := range []string{"", "a\x00b", strings.Repeat("x", 64), strings.Repeat("ü", 32)} {
			if _, err := psyco.DeclareCursor(ctx, tx, name, nil, "SELECT 1"); err == nil || !strings.Contains(err.Error(), "name") {
				t.Errorf("%q: got %v", name, err)
			}
			if _, err := psyco.AdoptCursor(tx, name).Rows(ctx, 0); err == nil || !strings.HasPrefix(err.Error(), "psyco: ") {
				t.Errorf("rows of %q: got %v", name, err)
			}
			adopted := psyco.AdoptCursor(tx, name)
			for what, err := range map[string]error{
				"fetch": second(adopted.Fetch(ctx, 1)), "all": second(adopted.FetchAll(ctx)), "move": second(adopted.Move(ctx, 1)), "scroll": second(adopted.Scroll(ctx, 1, 0)),
			} {
				if err == nil || !strings.HasPrefix(err.Error(), "psyco: cursor ") {
					t.Errorf("%s of %q: got %v", what, name, err)
				}
			}
			if err := psyco.AdoptCursor(tx, name).Close(ctx); err == nil || !strings.HasPrefix(err.Error(), "psyco: ") {
				t.Errorf("close of %q: got %v", name, err)
			}
		}
	})
}

func TestCursorMisuse(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	conn := mustConn(t, db)
	for _, tt := range []struct {
		name  string
		h     psyco.Handle
		opts  *psyco.CursorOptions
		query string
		args  []any
		want  string
	}{
		{"a pool", db, &psyco.CursorOptions{Hold: true}, "SELECT 1", nil, "may run on another connection"},
		{"no transaction", conn, nil, "SELECT 1", nil, "25P01"},
		{"scroll and no scroll", conn, &psyco.CursorOptions{Scroll: true, NoScroll: true}, "SELECT 1", nil, "exclude each other"},
		{"INSERT", conn, nil, "INSERT INTO t VALUES (1) RETURNING 1", nil, "not for INSERT"},
		{"nothing", conn, nil, "", nil, "not for this query"},
		{"two statements", conn, nil, "SELECT 1; DROP TABLE t", nil, "has several"},
		{"NUL", conn, nil, "SELECT 1 \x00", nil, "NUL"},
		{"missing argument", conn, nil, "SELECT %s, %s", []any{1}, "the query has 2 placeholders but 1 parameter"},
		{"a syntax error", conn, &psyco.CursorOptions{Hold: true}, "SELECT 1 FRM t", nil, "42601"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := psyco.DeclareCursor(ctx, tt.h, "c", tt.opts, tt.query, tt.args...)
			if err == nil || !strings.Contains(err.Error()+code(err), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if pq.As(err) == nil && !strings.HasPrefix(err.Error(), "psyco: ") {
				t.Fatalf("got %v", err)
			}
		})
	}
	tx := mustBegin(t, conn)
	cur := mustDeclare(t, tx, "c", &psyco.CursorOptions{NoScroll: true}, "SELECT 1")
	if _, err := cur.Scroll(ctx, 1, psyco.ScrollMode(7)); err == nil {
		t.Error("no error for an unknown ScrollMode")
	}
	if _, err := cur.Rows(ctx, -1); err == nil {
		t.Error("no error for a negative number of rows")
	}
	if _, err := cur.Move(ctx, -1); code(err) != "55000" {
		t.Errorf("backward with NO SCROLL: %v", err)
	}
}

// TestCursorIsGone uses cursors whose transaction is over.
func TestCursorIsGone(t *testing.T) {
	ctx := context.Background()
	inModes(t, func(t *testing.T, db *sql.DB) {
		conn := mustConn(t, db)
		mustExec(t, conn, "BEGIN")
		cur := mustDeclare(t, conn, "c", nil, "SELECT %s", 1)
		mustExec(t, conn, "COMMIT")
		if _, err := cur.Fetch(ctx, 1); code(err) != "34000" {
			t.Errorf("Fetch after COMMIT: %v", err)
		}
		if _, err := cur.Move(ctx, 1); code(err) != "34000" {
			t.Errorf("Move after COMMIT: %v", err)
		}
		if _, err := cur.Rows(ctx, 1); code(err) != "34000" {
			t.Errorf("Rows after COMMIT: %v", err)
		}
		if err := cur.Close(ctx); err != nil && !(wrapped(t) && code(err) == "34000") {
			t.Errorf("Close after COMMIT: %v", err)
		}

		tx := mustBegin(t, conn)
		cur = mustDeclare(t, tx, "c", nil, "SELECT 1")
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		if _, err := cur.Fetch(ctx, 1); err != sql.ErrTxDone {
			t.Errorf("Fetch after Commit: %v", err)
		}
		if err := cur.Close(ctx); err != nil {
			t.Errorf("Close after Commit: %v", err)
		}
		if got := all(t, conn, "SELECT 1"); got[0] != "1" {
			t.Errorf("got %q", got)
		}
	})
}

// TestCursorInFailedTransaction closes a cursor where CLOSE would be refused.
func TestCursorInFailedTransaction(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	work := func() (err error) {
		tx := mustBegin(t, db)
		defer tx.Rollback()
		cur := mustDeclare(t, tx, "c", nil, "SELECT 1 / (3 - i) FROM generate_series(1, %s) i", 9)
		defer func() {
			if cerr := cur.Close(ctx); cerr != nil {
				t.Errorf("Close: %v", cerr)
			}
			if _, again := tx.Exec("SELECT 1"); code(again) != "25P02" {
				t.Errorf("Close has changed the transaction's state: %v", again)
			}
		}()
		rows, err := cur.FetchAll(ctx)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
		}
		return rows.Err()
	}
	if err := work(); code(err) != "22012" {
		t.Errorf("got %v, want the first error", err)
	}
	// A cursor that ROLLBACK TO has taken away.
	tx := mustBegin(t, db)
	var cur *psyco.Cursor
	mine := errors.New("mine")
	if err := psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error {
		cur = mustDeclare(t, tx, "c", nil, "SELECT 1")
		return mine
	}); err != mine {
		t.Fatal(err)
	}
	if err := cur.Close(ctx); err != nil {
		t.Error(err)
	}
	if got := all(t, tx, "SELECT %s", 1); got[0] != "1" {
		t.Errorf("got %q", got)
	}
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
}

func TestCursorWithHold(t *testing.T) {
	ctx := context.Background()
	inModes(t, func(t *testing.T, db *sql.DB) {
		conn := mustConn(t, db)
		cur := mustDeclare(t, conn, "c", &psyco.CursorOptions{Hold: true}, "SELECT i FROM generate_series(1, %s) i", 5)
		rows, err := cur.Fetch(ctx, 2)
		if got := fetched(t, rows, err); got != "1 2" {
			t.Errorf("outside of a transaction: got %q", got)
		}
		rows, err = cur.Rows(ctx, 2)
		if got := fetched(t, rows, err); got != "3 4 5" {
			t.Errorf("the rest: got %q", got)
		}
		if err := cur.Close(ctx); err != nil {
			t.Fatal(err)
		}
		if got := all(t, conn, "SELECT name FROM pg_cursors WHERE name = 'c'"); len(got) > 0 {
			t.Errorf("after Close the server has %q", got)
		}

		tx := mustBegin(t, conn)
		mustDeclare(t, tx, "c", &psyco.CursorOptions{Hold: true}, "SELECT i FROM generate_series(1, 5) i")
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		cur = psyco.AdoptCursor(conn, "c")
		rows, err = cur.Rows(ctx, 1)
		if got := fetched(t, rows, err); got != "1 2 3 4 5" {
			t.Errorf("after Commit: got %q", got)
		}
		if err := cur.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestRefcursor(t *testing.T) {
	ctx := context.Background()
	inModes(t, func(t *testing.T, db *sql.DB) {
		mustExec(t, db, `CREATE FUNCTION f(n int) RETURNS refcursor LANGUAGE plpgsql AS $$
			DECLARE c refcursor; BEGIN OPEN c FOR SELECT i FROM generate_series(1, n) i; RETURN c; END $$`)
		tx := mustBegin(t, db)
		var name string
		if err := tx.QueryRow("SELECT f(%s)", 5).Scan(&name); err != nil {
			t.Fatal(err)
		}
		cur := psyco.AdoptCursor(tx, name)
		rows, err := cur.Fetch(ctx, 2)
		if got := fetched(t, rows, err); got != "1 2" {
			t.Errorf("got %q", got)
		}
		rows, err = cur.Rows(ctx, 2)
		if got := fetched(t, rows, err); got != "3 4 5" {
			t.Errorf("the rest: got %q", got)
		}
		if err := cur.Close(ctx); err != nil {
			t.Error(err)
		}
	})
}

// TestCursorRowsInterleaved moves a cursor while its rows are read in batches.
func TestCursorRowsInterleaved(t *testing.T) {
	ctx := context.Background()
	tx := mustBegin(t, testDB(t))
	cur := mustDeclare(t, tx, "c", nil, "SELECT i FROM generate_series(1, 10) i")
	rows, err := cur.Rows(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []int
	for rows.Next() {
		var i int
		if err := rows.Scan(&i); err != nil {
			t.Fatal(err)
		}
		if got = append(got, i); i == 2 {
			if n, err := cur.Move(ctx, 2); n != 2 || err != nil {
				t.Fatal(n, err)
			}
		}
	}
	if err := rows.Err(); err != nil || !slices.Equal(got, []int{1, 2, 3, 6, 7, 8, 9, 10}) {
		t.Fatalf("got %v, %v", got, err)
	}
}

func TestCursorOnForeignHandle(t *testing.T) {
	db, err := sql.Open("postgres", pgserver.TestDSN(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx := mustBegin(t, db)
	_, err = psyco.DeclareCursor(context.Background(), tx, "c", nil, "SELECT 1")
	if err == nil || !strings.Contains(err.Error(), `psyco: DeclareCursor needs a handle whose driver is "psyco"`) {
		t.Errorf("DeclareCursor: %v", err)
	}
	_, err = psyco.AdoptCursor(tx, "c").Rows(context.Background(), 0)
	if err == nil || !strings.Contains(err.Error(), `psyco: Cursor.Rows needs a handle whose driver is "psyco"`) {
		t.Errorf("Rows: %v", err)
	}
	_, err = tx.Query("SELECT 1", psyco.ServerSide(0))
	if err == nil || !strings.Contains(err.Error(), "psyco: ServerSide is for Query") {
		t.Errorf("ServerSide: %v", err)
	}
}
