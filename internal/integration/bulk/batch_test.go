package bulk_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
)

func TestBatch(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		mustExec(t, db, "CREATE TABLE t (a int PRIMARY KEY, b text)")
		run := func(h psyco.Handle) {
			t.Helper()
			var got []string
			var b psyco.Batch
			row := func(row *sql.Rows) error {
				var a int
				var s sql.NullString
				if err := row.Scan(&a, &s); err != nil {
					return err
				}
				got = append(got, fmt.Sprintf("%d %s", a, s.String))
				return nil
			}
			statements := []*psyco.BatchStatement{
				b.Queue("DELETE FROM t"),
				b.Queue("INSERT INTO t VALUES (%s, %s), (%s, %s)", 1, "one", 2, nil),
				b.Queue("SELECT a, b FROM t ORDER BY a").Each(row),
				b.Queue("INSERT INTO t VALUES ($1, $2) RETURNING a, b", 3, "three").Each(row),
				b.Queue("SELECT a, b FROM t WHERE a > %(least)s ORDER BY a", map[string]any{"least": 1}).Each(row),
				b.Queue("SELECT a, b FROM t WHERE false").Each(row),
				b.Queue("UPDATE t SET b = 'x'").Each(row),
				b.Queue("SELECT a FROM t"),
				b.Queue(""),
			}
			if err := b.Run(ctx, h); err != nil {
				t.Fatal(err)
			}
			if want := []string{"1 one", "2 ", "3 three", "2 ", "3 three"}; !slices.Equal(got, want) {
				t.Errorf("rows %q, want %q", got, want)
			}
			var affected []int64
			for _, s := range statements {
				n, err := s.RowsAffected()
				if err != nil {
					t.Error(err)
				}
				affected = append(affected, n)
			}
			want := []int64{3, 2, 2, 1, 2, 0, 3, 3, 0}
			if strings.Contains(t.Name(), "wrapped") {
				affected[6] = 3 // read as a query, where only rows can be counted
			}
			if !slices.Equal(affected[1:], want[1:]) {
				t.Errorf("affected %d, want %d", affected, want)
			}
		}
		for range 3 {
			run(db)
			if err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error { run(tx); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if err := new(psyco.Batch).Run(ctx, db); err != nil {
			t.Error(err)
		}
	})
}

// TestBatchScan compares what rows of a batch scan into with rows of a query.
func TestBatchScan(t *testing.T) {
	db := testDB(t)
	db.SetMaxOpenConns(1)
	ctx := context.Background()
	mustExec(t, db, "CREATE TYPE mood AS ENUM ('ok')")
	for _, setting := range []string{"SET TimeZone = 'Europe/Berlin'", "SET bytea_output = 'escape'", "SET TimeZone = '-3'"} {
		mustExec(t, db, setting)
		for _, value := range []string{
			"1::int2", "-2147483648", "9223372036854775807", "0.1::float4", "'NaN'::float8", "12.340::numeric", "true", "false",
			"'text'::text", "'v'::varchar(3)", "'c'::char(4)", "'n'::name", "'ok'::mood", `'a\\\000\377'::bytea`, "''::bytea",
			"'2024-06-01 12:34:56.789+05'::timestamptz", "'2024-01-01'::timestamptz", "'2024-06-01 12:34:56'::timestamp",
			"'0044-03-15 BC'::date", "'infinity'::timestamptz", "'24:00'::time", "'12:00:00.5+01:30'::timetz", "'1 day'::interval",
			"'{1,NULL}'::int[]", "'{\"a\": 1}'::jsonb", "'00000000-0000-0000-0000-000000000001'::uuid", "NULL::int", "NULL",
			"ROW(1, 'x')", "'10.0.0.1'::inet", "B'101'", "'\"a\"=>\"b\"'::text",
		} {
			query := "SELECT " + value + " AS v WHERE %s"
			for _, dest := range []func() any{
				func() any { return new(any) }, func() any { return new(sql.NullString) }, func() any { return new(sql.RawBytes) },
				func() any { return new([]byte) }, func() any { return new(time.Time) }, func() any { return new(int64) },
			} {
				want, got := dest(), dest()
				rows, err := db.Query(query, true)
				if err != nil {
					t.Fatalf("%s: %v", value, err)
				}
				rows.Next()
				wantErr := rows.Scan(want)
				wantText := fmt.Sprintf("%#v", deref(want))
				wantType, _ := rows.ColumnTypes()
				rows.Close()
				var b psyco.Batch
				var gotErr error
				gotText := ""
				b.Queue(query, true).Each(func(row *sql.Rows) error {
					gotErr = row.Scan(got)
					gotText = fmt.Sprintf("%#v", deref(got))
					gotType, _ := row.ColumnTypes()
					if gotType[0].ScanType() != wantType[0].ScanType() || gotType[0].DatabaseTypeName() != wantType[0].DatabaseTypeName() {
						t.Errorf("%s is a %s, %v", value, gotType[0].DatabaseTypeName(), gotType[0].ScanType())
					}
					return nil
				})
				if err := b.Run(ctx, db); err != nil {
					t.Fatalf("%s: %v", value, err)
				}
				if gotText != wantText || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
					t.Errorf("%s into %T, %s:\n got %s, %v\nwant %s, %v", value, want, setting, gotText, gotErr, wantText, wantErr)
				}
			}
		}
	}
}

func deref(v any) any {
	switch v := v.(type) {
	case *any:
		return *v
	case *sql.RawBytes:
		return string(*v)
	case *time.Time:
		return v.String()
	case *[]byte:
		return *v
	case *sql.NullString:
		return *v
	case *int64:
		return *v
	}
	return v
}

func TestBatchErrors(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		mustExec(t, db, "CREATE TABLE t (a int PRIMARY KEY)")
		for _, tt := range []struct {
			name, query string
			args        []any
			want        string
		}{
			{"while running", "INSERT INTO t VALUES (%s)", []any{1}, "duplicate key"},
			{"while running, simple", "INSERT INTO t VALUES (1)", nil, "duplicate key"},
			{"parsing", "SELECT nonsense FROM t WHERE a = %s", []any{1}, "nonsense"},
			{"parsing, simple", "SELECT nonsense", nil, "nonsense"},
			{"argument", "SELECT %s", []any{map[string]int{}}, "map"},
			{"placeholders", "SELECT %s, %s", []any{1}, "2 placeholders"},
			{"COPY", "COPY t FROM STDIN", nil, "CopyFrom"},
		} {
			for _, in := range []string{"alone", "transaction"} {
				var b psyco.Batch
				called := false
				first := b.Queue("INSERT INTO t VALUES (%s)", 1)
				bad := b.Queue(tt.query, tt.args...)
				last := b.Queue("INSERT INTO t VALUES (%s) RETURNING a", 2).Each(func(*sql.Rows) error { called = true; return nil })
				run := func(h psyco.Handle) error { return b.Run(ctx, h) }
				var err error
				if in == "alone" {
					err = run(db)
				} else {
					err = psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error { return run(tx) })
				}
				var be *psyco.BatchError
				if !errors.As(err, &be) || be.Statement != 2 || be.Query != tt.query || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s, %s: %v", tt.name, in, err)
				}
				_, firstErr := first.RowsAffected()
				_, badErr := bad.RowsAffected()
				_, lastErr := last.RowsAffected()
				if tt.name != "COPY" && (badErr == nil || !strings.Contains(badErr.Error(), tt.want) || lastErr != psyco.ErrPipelineAborted) || lastErr == nil || called {
					t.Errorf("%s, %s: first %v, bad %v, last %v, called: %t", tt.name, in, firstErr, badErr, lastErr, called)
				}
				if strings.HasPrefix(tt.name, "while") && firstErr != nil {
					t.Errorf("%s, %s: %v for a statement that ran", tt.name, in, firstErr)
				}
				if got := all(t, db, "SELECT count(*) FROM t"); got[0] != "0" {
					t.Errorf("%s, %s: %s rows are left", tt.name, in, got[0])
				}
			}
		}
		// The error of a callback is Run's, and undoes nothing.
		stop := errors.New("stop")
		var b psyco.Batch
		b.Queue("INSERT INTO t VALUES (1), (2) RETURNING a").Each(func(*sql.Rows) error { return stop })
		b.Queue("SELECT 1").Each(func(*sql.Rows) error { t.Error("called after an error"); return nil })
		if err := b.Run(ctx, db); err != stop {
			t.Errorf("got %v", err)
		}
		if got := all(t, db, "SELECT count(*) FROM t"); got[0] != "2" {
			t.Errorf("%s rows", got[0])
		}
	})
}

// TestBatchDefines has statements that depend on what earlier ones define.
func TestBatchDefines(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		for range 2 {
			for _, fail := range []bool{true, false} {
				var b psyco.Batch
				b.Queue("CREATE TABLE made (a int, b text)")
				b.Queue("INSERT INTO made VALUES (%s, %s)", 1, "x")
				b.Queue("ALTER TABLE made ADD c int")
				b.Queue("UPDATE made SET c = %s", 5)
				got := ""
				b.Queue("SELECT a, b, c FROM made WHERE b = %s", "x").Each(func(row *sql.Rows) error {
					var a, b, c string
					err := row.Scan(&a, &b, &c)
					got += a + b + c
					return err
				})
				if fail {
					b.Queue("SELECT 1 / %s::int", 0)
				}
				err := b.Run(ctx, db)
				if fail {
					if pq.As(err) == nil || pq.As(err).Code != "22012" {
						t.Fatalf("got %v", err)
					}
					continue // the table is not there
				}
				if err != nil || got != "1x5" {
					t.Fatalf("%q, %v", got, err)
				}
			}
			mustExec(t, db, "DROP TABLE made")
		}
	})
}

func TestBatchRoundTrips(t *testing.T) {
	ctx := context.Background()
	conn, err := testDB(t).Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	mustExec(t, conn, "CREATE TABLE t (a int, b text)")
	batch := func(n int) *psyco.Batch {
		b := new(psyco.Batch)
		for i := range n {
			b.Queue(fmt.Sprintf("INSERT INTO t VALUES (%%s, %%s) -- %d", i), i, "text")
		}
		b.Queue("SELECT 1")
		return b
	}
	for _, tt := range []struct {
		name string
		want uint64
		run  func() error
	}{
		{"new", 2, func() error { return batch(50).Run(ctx, conn) }},
		{"known", 1, func() error { return batch(50).Run(ctx, conn) }},
		{"more than the cache holds", 2, func() error { return batch(500).Run(ctx, conn) }},
		{"again", 2, func() error { return batch(500).Run(ctx, conn) }},
		{"transaction", 3, func() error {
			tx, err := conn.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer tx.Rollback()
			if err := batch(3).Run(ctx, tx); err != nil {
				return err
			}
			if err := batch(3).Run(ctx, tx); err != nil {
				return err
			}
			return tx.Commit()
		}},
		{"empty", 0, func() error { return new(psyco.Batch).Run(ctx, conn) }},
	} {
		got := roundTrips(t, conn, func() {
			if err := tt.run(); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
		})
		if got != tt.want {
			t.Errorf("%s: %d round trips, want %d", tt.name, got, tt.want)
		}
	}
}

// TestBatchOutdated changes a table behind the back of a prepared statement.
func TestBatchOutdated(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	db.SetMaxOpenConns(1)
	mustExec(t, db, "CREATE TABLE t (a int)")
	columns := func(h psyco.Handle) (n int, err error) {
		var b psyco.Batch
		b.Queue("INSERT INTO t VALUES (%s)", 1)
		b.Queue("SELECT * FROM t WHERE a = %s LIMIT 1", 1).Each(func(row *sql.Rows) error {
			names, err := row.Columns()
			n = len(names)
			return err
		})
		return n, b.Run(ctx, h)
	}
	for want := 1; want <= 3; want++ {
		if n, err := columns(db); n != want || err != nil {
			t.Fatalf("%d columns, %v; want %d", n, err, want)
		}
		if got := all(t, db, "SELECT count(*) FROM t"); got[0] != fmt.Sprint(want) {
			t.Fatalf("%s rows, want %d", got[0], want)
		}
		mustExec(t, db, "ALTER TABLE t ADD COLUMN c"+fmt.Sprint(want)+" int")
	}
	for _, forget := range []string{"DEALLOCATE ALL", "DISCARD ALL", "SELECT 1; DEALLOCATE ALL; SELECT 2"} {
		mustExec(t, db, forget)
		if _, err := columns(db); err != nil {
			t.Errorf("after %s: %v", forget, err)
		}
	}
	var b psyco.Batch
	b.Queue("INSERT INTO t VALUES (%s)", 1)
	b.Queue("DEALLOCATE ALL")
	if err := b.Run(ctx, db); err != nil {
		t.Fatal(err)
	}
	if _, err := columns(db); err != nil {
		t.Errorf("after DEALLOCATE ALL in a batch: %v", err)
	}
	for range 2 {
		psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error { _, err := columns(tx); return err })
	}
	if s := txStatus(t, db); s != 'I' {
		t.Errorf("status %c", s)
	}
}

// TestAnErrorAtTheCommitBelongsToNoRow has constraints that the server checks when the
// transaction ends, after every statement has had its answer.
func TestAnErrorAtTheCommitBelongsToNoRow(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		mustExec(t, db, `CREATE TABLE parent (id int PRIMARY KEY);
			CREATE TABLE t (a int REFERENCES parent DEFERRABLE INITIALLY DEFERRED, b text)`)
		const insert = "INSERT INTO t VALUES (%s, %s)"
		rows := psyco.SliceRows([][]any{{1, "x"}, {2, "y"}})
		batch := func(queries ...string) func(h psyco.Handle) error {
			return func(h psyco.Handle) error {
				var b psyco.Batch
				var all []*psyco.BatchStatement
				for i, q := range queries {
					args := []any{i, "x"}
					if !strings.Contains(q, "%s") {
						args = nil
					}
					all = append(all, b.Queue(q, args...))
				}
				err := b.Run(ctx, h)
				for i, s := range all {
					if _, serr := s.RowsAffected(); serr != nil {
						t.Errorf("statement %d, which has run, says %v", i+1, serr)
					}
				}
				return err
			}
		}
		for _, tt := range []struct {
			name string
			run  func(h psyco.Handle) error
		}{
			{"Batch", batch(insert, insert)},
			{"Batch, parsed", batch("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)")},
			{"Batch in parts", batch("CREATE TABLE other (a int, b text)", "INSERT INTO other VALUES (%s, %s)", "INSERT INTO t VALUES (%s, %s) -- again")},
			{"ExecMany", func(h psyco.Handle) error { return second(psyco.ExecMany(ctx, h, insert, rows)) }},
			{"ExecMany in chunks", func(h psyco.Handle) error {
				return second(psyco.ExecMany(ctx, h, insert, argRows(3, func(i int) []any { return []any{i, strings.Repeat("x", 1<<20)} })))
			}},
			{"ExecValues", func(h psyco.Handle) error {
				return second(psyco.ExecValues(ctx, h, "INSERT INTO t VALUES %s", rows, &psyco.ValuesOptions{PageSize: 1}))
			}},
			{"ExecValues RETURNING", func(h psyco.Handle) error {
				return second(psyco.ExecValues(ctx, h, "INSERT INTO t VALUES %s RETURNING a", rows, &psyco.ValuesOptions{
					PageSize: 1, Each: func(*sql.Rows) error {
						if h == psyco.Handle(db) {
							t.Error("called for a row that is not there")
						}
						return nil
					},
				}))
			}},
			{"CopyRows", func(h psyco.Handle) error {
				if wrapped(t) {
					return batch(insert, insert)(h)
				}
				return second(psyco.CopyRows(ctx, h, psyco.Identifier{"t"}, []string{"a", "b"}, rows))
			}},
		} {
			for range 2 { // prepared, the second time
				err := tt.run(db)
				var row *psyco.RowError
				var statement *psyco.BatchError
				if code(err) != "23503" || errors.As(err, &row) || errors.As(err, &statement) || !strings.HasPrefix(err.Error(), "psyco: at the commit: pq: ") {
					t.Errorf("%s: %v", tt.name, err)
				}
				err = psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error { return tt.run(tx) })
				if code(err) != "23503" || strings.HasPrefix(err.Error(), "psyco: ") { // Commit's
					t.Errorf("%s in a transaction: %v", tt.name, err)
				}
			}
		}
		if got := all(t, db, "SELECT count(*), to_regclass('other') FROM t"); got[0] != "0,<nil>" {
			t.Errorf("left: %s", got[0])
		}
	})
}

// TestBatchTellsWhichStatementsRan has a statement fail at every stage: what has not run
// says so, whatever its place.
func TestBatchTellsWhichStatementsRan(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		mustExec(t, db, "CREATE TABLE t (a int PRIMARY KEY)")
		for _, tt := range []struct {
			name, query string
			args        []any
		}{
			{"placeholders", "SELECT %s, %s", []any{1}},
			{"argument", "SELECT %s", []any{map[string]int{}}},
			{"NUL in the text", "SELECT %s, 1 /* \x00 */", []any{1}},
			{"parsing", "SELECT nonsense FROM t WHERE a = %s", []any{1}},
			{"a type", "SELECT $1::nonsense", []any{1}},
			{"running", "INSERT INTO t VALUES (%s)", []any{1}},
			{"running, without arguments", "SELECT 1/0", nil},
			{"COPY", "COPY t FROM STDIN", nil},
		} {
			for range 2 {
				var b psyco.Batch
				first := b.Queue("INSERT INTO t VALUES (%s)", 1)
				bad := b.Queue(tt.query, tt.args...)
				last := b.Queue("INSERT INTO t VALUES (%s)", 2)
				err := b.Run(ctx, db)
				var be *psyco.BatchError
				if !errors.As(err, &be) || be.Statement != 2 {
					t.Errorf("%s: %v", tt.name, err)
					continue
				}
				if n, err := first.RowsAffected(); (n != 1 || err != nil) && (n != 0 || err != psyco.ErrPipelineAborted) {
					t.Errorf("%s: the first says %d, %v", tt.name, n, err)
				}
				if _, err := bad.RowsAffected(); err != be.Err {
					t.Errorf("%s: the bad one says %v", tt.name, err)
				}
				if _, err := last.RowsAffected(); err != psyco.ErrPipelineAborted {
					t.Errorf("%s: the last says %v", tt.name, err)
				}
			}
		}
	})
}

// TestRowsOfABatchNeedNoConnection has the functions of Each do what must not depend on
// the batch any more: use the handle, and outlive the context.
func TestRowsOfABatchNeedNoConnection(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		db.SetMaxOpenConns(1)
		mustExec(t, db, "CREATE TABLE t (a int, b varchar(7))")
		for _, tt := range []struct {
			name string
			run  func(ctx context.Context, h psyco.Handle, each func(row *sql.Rows) error) error
		}{
			{"Batch", func(ctx context.Context, h psyco.Handle, each func(row *sql.Rows) error) error {
				var b psyco.Batch
				b.Queue("INSERT INTO t VALUES (%s, 'x'), (%s, 'y') RETURNING a, b", 1, 2).Each(each)
				b.Queue("SELECT 3, NULL::varchar(7)").Each(each)
				return b.Run(ctx, h)
			}},
			{"ExecValues", func(ctx context.Context, h psyco.Handle, each func(row *sql.Rows) error) error {
				rows := psyco.SliceRows([][]any{{1, "x"}, {2, "y"}, {3, nil}})
				return second(psyco.ExecValues(ctx, h, "INSERT INTO t VALUES %s RETURNING a, b", rows, &psyco.ValuesOptions{Each: each}))
			}},
		} {
			for _, in := range []string{"alone", "transaction"} {
				run := func(h psyco.Handle) error {
					ctx, cancel := context.WithCancel(context.Background())
					defer cancel()
					n := 0
					err := tt.run(ctx, h, func(row *sql.Rows) error {
						n++
						cancel() // what the batch did is done
						var a int
						var b sql.NullString
						if err := row.Scan(&a, &b); err != nil || a != n {
							return fmt.Errorf("row %d is %d: %w", n, a, err)
						}
						types, err := row.ColumnTypes()
						if err != nil {
							return err
						}
						if length, ok := types[1].Length(); length != 7 || !ok || types[1].DatabaseTypeName() != "VARCHAR" || types[1].ScanType() == nil {
							t.Errorf("%s, %s: the column is %s(%d), %v", tt.name, in, types[1].DatabaseTypeName(), length, types[1].ScanType())
						}
						if n == 3 {
							row.Close() // nobody else's
						}
						within, stop := context.WithTimeout(context.Background(), 30*time.Second)
						defer stop()
						return second(h.ExecContext(within, "UPDATE t SET b = 'seen' WHERE a = $1", a))
					})
					if n != 3 {
						t.Errorf("%s, %s: %d rows", tt.name, in, n)
					}
					return err
				}
				var err error
				if in == "alone" {
					err = run(db)
				} else {
					err = psyco.InTx(context.Background(), db, nil, func(tx *sql.Tx) error { return run(tx) })
				}
				if err != nil {
					t.Errorf("%s, %s: %v", tt.name, in, err)
				}
			}
		}
	})
}

// TestBatchWithAValueThatCannotBeDecoded has rows that cannot be read of statements that
// have run: what they did stays, and the other rows are handed out.
func TestBatchWithAValueThatCannotBeDecoded(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		if wrapped(t) {
			return // lib/pq loses its place
		}
		db.SetMaxOpenConns(1)
		mustExec(t, db, "SET datestyle = 'SQL'")
		mustExec(t, db, "CREATE TABLE t (a int)")
		n := 0
		var b psyco.Batch
		b.Queue("INSERT INTO t VALUES (%s), (2) RETURNING a, CASE a WHEN 2 THEN '2024-01-31'::date END", 1).Each(func(*sql.Rows) error { n++; return nil })
		b.Queue("INSERT INTO t VALUES (%s) RETURNING a", 3).Each(func(*sql.Rows) error { t.Error("called after an error"); return nil })
		err := b.Run(context.Background(), db)
		if err == nil || n != 1 || errors.As(err, new(*psyco.BatchError)) {
			t.Errorf("%v after %d rows", err, n)
		}
		if got := all(t, db, "SELECT count(*) FROM t"); got[0] != "3" {
			t.Errorf("%s rows are there", got[0])
		}
	})
}
