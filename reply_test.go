package psyco

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/psyco-go/psyco/internal/testsize"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/pgform"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/wire"
)

// replied runs f and reports whether the last answer in it was read without
// lib/pq.
func replied(t *testing.T, conn *sql.Conn, f func()) bool {
	t.Helper()
	tag := ""
	swap := func() {
		_, err := do(context.Background(), conn, "test", func(_ context.Context, c *connection) (driver.Result, error) {
			tag, c.reply.tag = c.reply.tag, ""
			return driver.RowsAffected(0), nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	swap()
	f()
	swap()
	return tag != ""
}

type connection = conn // for where conn is a variable

// The two ways in which psyco runs a statement without lib/pq.
const (
	preparedWay   = "prepare_threshold=1"
	unpreparedWay = "statement_cache_capacity=0"
)

func eachWay(t *testing.T, test func(t *testing.T, way string)) {
	for _, way := range []string{preparedWay, unpreparedWay} {
		t.Run(way, func(t *testing.T) { test(t, way) })
	}
}

// openConn opens a single connection.
func openConn(t *testing.T, driver, dsn string) *sql.Conn {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// openBoth opens a connection of psyco and one of lib/pq.
func openBoth(t *testing.T, way string) (ours, theirs *sql.Conn) {
	t.Helper()
	dsn := pgserver.TestDSN(t)
	return openConn(t, "psyco", dsn+" "+way), openConn(t, "postgres", dsn)
}

// roundTrips counts those of f on a connection.
func roundTrips(t testing.TB, h Handle, f func()) uint64 {
	t.Helper()
	count := func() (n uint64) {
		err := WithConn(context.Background(), h, func(c *Conn) error {
			n = c.Stats().RoundTrips
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := count()
	f()
	return count() - before
}

// shown is all that database/sql shows of a query.
type shown struct {
	columns []string
	types   []string
	rows    [][]any
	err     string
}

func showRows(t *testing.T, query func(context.Context, ...any) (*sql.Rows, error), args ...any) (s shown) {
	t.Helper()
	rows, err := query(t.Context(), args...)
	if err != nil {
		s.err = err.Error()
		return s
	}
	defer rows.Close()
	if s.columns, err = rows.Columns(); err != nil {
		t.Fatal(err)
	}
	types, err := rows.ColumnTypes()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range types {
		length, hasLength := c.Length()
		if length < 0 { // lib/pq's word for none
			length, hasLength = 0, false
		}
		precision, scale, hasPrecision := c.DecimalSize()
		if precision == math.MaxUint16 {
			precision, scale, hasPrecision = 0, 0, false
		}
		nullable, hasNullable := c.Nullable()
		s.types = append(s.types, fmt.Sprint(c.Name(), c.DatabaseTypeName(), c.ScanType(),
			length, hasLength, precision, scale, hasPrecision, nullable, hasNullable))
	}
	for rows.Next() {
		values := make([]any, len(s.columns))
		to := make([]any, len(values))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			if f, ok := v.(float64); ok && math.IsNaN(f) {
				values[i] = "NaN"
			}
			if at, ok := v.(time.Time); ok {
				values[i] = fmt.Sprint("time ", at.Format(time.RFC3339Nano), at.Location())
			}
		}
		s.rows = append(s.rows, values)
	}
	if err := rows.Err(); err != nil {
		s.err = err.Error()
	}
	return s
}

// TestReplies compares what is read without lib/pq with a statement that was
// prepared by hand on lib/pq's own connection.
func TestReplies(t *testing.T) { eachWay(t, testReplies) }

func testReplies(t *testing.T, way string) {
	ours, theirs := openBoth(t, way)
	if _, err := ours.ExecContext(t.Context(), `CREATE FUNCTION noted(i int) RETURNS int LANGUAGE plpgsql AS
		'BEGIN IF i % 100 < 2 THEN RAISE NOTICE ''%'', repeat(''n'', i); END IF; RETURN i; END'`); err != nil {
		t.Fatal(err)
	}
	berlin := time.FixedZone("", 3600)
	odd := time.FixedZone("", 3607)
	for _, tt := range []struct {
		query string
		args  []any
	}{
		{"SELECT $1::bool, NOT $1::bool", []any{true}},
		{"SELECT $1::int2, $2::int4, $3::int8", []any{-1, math.MinInt32, int64(math.MaxInt64)}},
		{"SELECT $1::int2", []any{40000}},
		{"SELECT $1::int4", []any{wideInt(math.MaxInt32 + 1)}},
		{"SELECT $1::numeric, $1::text", []any{1}},
		{"SELECT $1::numeric(10, 2), $2::numeric", []any{"1.5", "NaN"}},
		{"SELECT $1::oid, $2::float8", []any{7, 3}},
		{"SELECT $1::float8, $2::float8, $3::float8, $4::float8", []any{math.NaN(), math.Inf(-1), math.Copysign(0, -1), 0.1}},
		{"SELECT $1::float4, $1::numeric, $1::text", []any{0.1}},
		{"SELECT $1::float4", []any{1e300}},
		{"SELECT $1::text, $2::varchar(5), $3::bpchar(4), $4::char, $5::name", []any{"", "ab", "c", "d", "e"}},
		{`SELECT $1::bytea, $2::bytea, $3::bytea`, []any{[]byte{0, 1, 255}, "a\\b\x00c", []byte{}}},
		{"SELECT $1::text, $2::bytea, $3::int4, $4::timestamptz", []any{nil, []byte(nil), nil, nil}},
		{"SELECT $1::uuid, $2::json, $3::jsonb, $4::inet, $5::int[], $6::text[]", []any{
			"00112233-4455-6677-8899-aabbccddeeff", "{ }", `{"a":1}`, "::1", pq.Array([]int{1, 2}), pq.Array([]string{"a", `b"c`})}},
		{"SELECT $1::date, $2::time, $3::timetz, $4::interval", []any{"2024-02-29", "24:00:00", "12:34:56.789+02", "1 mon 2 days"}},
		{"SELECT $1::timestamptz, $1::timestamp, $1::date, $1::time", []any{time.Date(2024, 2, 29, 23, 59, 59, 999_999_400, berlin)}},
		{"SELECT $1::timestamptz", []any{time.Date(1883, 11, 18, 12, 0, 0, 1, odd)}},
		{"SELECT $1::timestamptz", []any{time.Date(-43, 3, 15, 0, 0, 0, 0, time.UTC)}},
		{"SELECT $1::timestamptz", []any{time.Date(0, 12, 31, 23, 0, 0, 0, time.FixedZone("", -7200))}},
		{"SELECT $1::timestamptz", []any{time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)}},
		{"SELECT $1::timestamptz", []any{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}},
		{"SELECT $1::timestamptz", []any{time.Time{}}},
		{"SELECT $1::timestamptz", []any{"infinity"}},
		{"SELECT $1::varbit, $2::bit(3), $3::money, $4::xml", []any{"101", "011", "1.25", "<a/>"}},
		{"SELECT i, repeat('x', i) FROM generate_series(1, $1::int) i", []any{50}},
		{"SELECT i, repeat('x', 100) FROM generate_series(1, $1::int) i", []any{3000}},
		{"SELECT repeat('x', $1)", []any{100_000}},
		{"SELECT i, repeat('x', i * 10) FROM generate_series(1, 4000, $1::int) i", []any{testsize.Cases(37, 1)}}, // rows of up to 40 kB
		{"SELECT i, repeat('x', (i % 7) * (i % 11) * 1000) FROM generate_series(1, $1::int) i", []any{testsize.Cases(100, 1000)}},
		{"SELECT i, 100000 / (2000 - i), repeat('x', 100) FROM generate_series(1, $1::int) i", []any{3000}},
		{"SELECT i, noted(i), repeat('x', 100) FROM generate_series(1, $1::int) i", []any{3000}},
		{"SELECT i FROM generate_series(1, $1::int) i", []any{0}},
		{"SELECT FROM generate_series(1, $1::int)", []any{3}},
		{"SELECT 1 / $1::int", []any{0}},
		{"SELECT 10 / (5 - i) FROM generate_series(1, $1::int) i", []any{9}},
		{"SELECT $1::int AS a, $1::int AS a, $1::int AS \"\u00fc\"", []any{1}},
		{"SELECT set_config('TimeZone', $1, false), now()::timestamptz(0) < 'epoch'", []any{"Asia/Kathmandu"}},
		{"SELECT '2024-07-01 12:00Z'::timestamptz WHERE $1", []any{true}},
		{"SELECT set_config('bytea_output', $1, false)", []any{"escape"}},
		{`SELECT $1::bytea, ARRAY[$1::bytea]`, []any{[]byte{0, 1, '\\', 255}}},
	} {
		stmt, err := theirs.PrepareContext(t.Context(), tt.query)
		if err != nil {
			t.Fatalf("%s: %v", tt.query, err)
		}
		want := showRows(t, stmt.QueryContext, tt.args...)
		stmt.Close()
		for range 3 {
			got := showRows(t, func(ctx context.Context, args ...any) (*sql.Rows, error) {
				return ours.QueryContext(ctx, tt.query, args...)
			}, tt.args...)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s with %v:\n got %#v\nwant %#v", tt.query, tt.args, got, want)
			}
		}
	}
}

// TestRepliesAreUsed makes sure that the tests around it test something.
func TestRepliesAreUsed(t *testing.T) { eachWay(t, testRepliesAreUsed) }

func testRepliesAreUsed(t *testing.T, way string) {
	c, _ := openBoth(t, way)
	for _, tt := range []struct {
		name, query string
		args        []any
		want        bool
	}{
		{"a short result", "SELECT i FROM generate_series(1, $1::int) i", []any{10}, true},
		{"psycopg's placeholders", "SELECT %s, %s", []any{1, "a"}, true},
		{"a long result", "SELECT repeat('x', $1)", []any{1 << 20}, false},
		{"an error", "SELECT 1 / $1::int", []any{0}, false},
		{"no arguments", "SELECT 1", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []bool
			for range 3 {
				got = append(got, replied(t, c, func() {
					rows, err := c.QueryContext(t.Context(), tt.query, tt.args...)
					if err == nil {
						for rows.Next() {
						}
						rows.Close()
					}
				}))
			}
			if want := []bool{tt.want, tt.want, tt.want}; !reflect.DeepEqual(got, want) {
				t.Errorf("without lib/pq: %v, want %v", got, want)
			}
		})
	}
}

// TestInstants compares the binary form of an instant with what the server makes
// of lib/pq's text.
func TestInstants(t *testing.T) {
	ours, _ := openBoth(t, preparedWay)
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		var texts []string
		var micros []int64
		for range 500 {
			offset := r.IntN(2*50_000) - 50_000
			if offset > -60 && offset < 0 {
				offset = 0 // time.Format gives these the wrong sign
			}
			at := time.Unix(r.Int64N(400_000_000_000)-70_000_000_000, r.Int64N(1_000_000_000)).In(time.FixedZone("", offset))
			if r.IntN(4) == 0 {
				at = at.Truncate(time.Microsecond).Add(time.Duration([]int{-1, 0, 1, 499, 500, 501}[r.IntN(6)]))
			}
			b, ok := appendInstant(nil, at)
			if !ok {
				continue
			}
			texts = append(texts, string(pq.FormatTimestamp(at)))
			var n int64
			for _, x := range b {
				n = n<<8 | int64(x)
			}
			micros = append(micros, n+pgform.Epoch*pgform.MicrosPerSecond)
		}
		rows, err := ours.QueryContext(t.Context(), `SELECT x, (extract(epoch FROM x::timestamptz) * 1000000)::int8, y
			FROM unnest($1::text[], $2::int8[]) t (x, y) WHERE (extract(epoch FROM x::timestamptz) * 1000000)::int8 <> y`, texts, micros)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var text string
			var server, binary int64
			if err := rows.Scan(&text, &server, &binary); err != nil {
				t.Fatal(err)
			}
			t.Errorf("%s is %d to the server, but %d in binary", text, server, binary)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestExecReplies(t *testing.T) { eachWay(t, testExecReplies) }

func testExecReplies(t *testing.T, way string) {
	ours, theirs := openBoth(t, way)
	if _, err := ours.ExecContext(t.Context(), "CREATE TABLE t (a int PRIMARY KEY, b text); CREATE TABLE n (a int)"); err != nil {
		t.Fatal(err)
	}
	if _, err := ours.ExecContext(t.Context(), "CREATE PROCEDURE p(i int) LANGUAGE plpgsql AS 'BEGIN INSERT INTO n VALUES (i); COMMIT; END'"); err != nil {
		t.Fatal(err)
	}
	queries := []string{
		"INSERT INTO t SELECT $1::int * 1000 + i FROM generate_series(1, 12) i",
		"INSERT INTO t VALUES ($1) RETURNING a",
		"UPDATE t SET b = 'x' WHERE a >= $1",
		"DELETE FROM t WHERE a = $1 AND b = 'y'",
		"SELECT a FROM t WHERE a > $1",
		"CALL p($1)",
	}
	if pgserver.Version(t, ours) >= 150000 {
		queries = append(queries, "MERGE INTO t USING (SELECT $1::int AS k) s ON t.a = s.k WHEN MATCHED THEN UPDATE SET b = 'm'")
	}
	for _, query := range queries {
		stmt, err := theirs.PrepareContext(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			show := func(res sql.Result, err error) string {
				if err != nil {
					return err.Error()
				}
				n, err := res.RowsAffected()
				id, err2 := res.LastInsertId()
				return fmt.Sprint(n, err, id, err2)
			}
			// Each in a transaction of its own, that both see the same rows.
			run := func(c *sql.Conn, f func() (sql.Result, error)) string {
				if !strings.HasPrefix(query, "CALL") {
					c.ExecContext(t.Context(), "BEGIN")
					defer c.ExecContext(t.Context(), "ROLLBACK")
				}
				return show(f())
			}
			want := run(theirs, func() (sql.Result, error) { return stmt.ExecContext(t.Context(), i) })
			got := run(ours, func() (sql.Result, error) { return ours.ExecContext(t.Context(), query, i) })
			if got != want {
				t.Errorf("%s with %d: %s, want %s", query, i, got, want)
			}
		}
		stmt.Close()
	}
	var n int
	if err := ours.QueryRowContext(t.Context(), "SELECT count(*) FROM n").Scan(&n); err != nil || n != 6 {
		t.Errorf("%d calls, %v, want 6", n, err)
	}
}

// TestReplyOutlivesNextStatement looks at a row's bytes after the connection has
// run another statement.
func TestReplyOutlivesNextStatement(t *testing.T) { eachWay(t, testReplyOutlivesNextStatement) }

func testReplyOutlivesNextStatement(t *testing.T, way string) {
	c, _ := openBoth(t, way)
	const list = "SELECT ('{' || repeat(chr(64 + i), 20) || '}')::name[] FROM generate_series(1, $1::int) i"
	const other = "SELECT repeat('-', $1)"
	for _, query := range []string{list, other} { // lib/pq's turn
		if _, err := c.ExecContext(t.Context(), query, 1); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := c.QueryContext(t.Context(), list, 3)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for n := 1; rows.Next(); n++ {
		var raw sql.RawBytes
		if err := rows.Scan(&raw); err != nil {
			t.Fatal(err)
		}
		want := "{" + strings.Repeat(string(rune('@'+n)), 20) + "}"
		var dashes string
		if err := c.QueryRowContext(t.Context(), other, 200).Scan(&dashes); err != nil {
			t.Error(err)
		}
		if got := string(raw); got != want {
			t.Errorf("row %d became %s, want %s", n, got, want)
		}
	}
	if err := rows.Err(); err != nil {
		t.Error(err)
	}
}

// TestSharedRows uses a connection in other ways while rows are open that lib/pq
// reads only in part.
func TestSharedRows(t *testing.T) { eachWay(t, testSharedRows) }

func testSharedRows(t *testing.T, way string) {
	c, _ := openBoth(t, way)
	n := testsize.Cases(4_000, 20_000)
	const query = "SELECT i, repeat('x', i % 50), '{}'::json FROM generate_series(1, $1::int) i"
	read := func(rows *sql.Rows, from, to int) {
		t.Helper()
		for i := from; i <= to; i++ {
			var k int
			var x string
			var raw sql.RawBytes
			if !rows.Next() {
				t.Fatalf("no row %d: %v", i, rows.Err())
			}
			if err := rows.Scan(&k, &x, &raw); err != nil {
				t.Error(err)
			}
			if k != i || len(x) != i%50 || string(raw) != "{}" {
				t.Errorf("row %d is %d, %q, %q", i, k, x, raw)
			}
		}
	}
	open := func(ctx context.Context) *sql.Rows {
		t.Helper()
		rows, err := c.QueryContext(ctx, query, n)
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	for range 2 {
		rows := open(t.Context())
		read(rows, 1, n)
		rows.Close()
	}
	for _, at := range []int{0, 1, 2, 100, n - 1, n} {
		t.Run(fmt.Sprintf("another statement after %d rows", at), func(t *testing.T) {
			rows := open(t.Context())
			defer rows.Close()
			read(rows, 1, at)
			var other int
			if err := c.QueryRowContext(t.Context(), "SELECT $1::int", 7).Scan(&other); err != nil || other != 7 {
				t.Errorf("%d, %v", other, err)
			}
			read(rows, at+1, n)
			if rows.Next() || rows.Err() != nil {
				t.Errorf("more rows, or %v", rows.Err())
			}
		})
		t.Run(fmt.Sprintf("closed after %d rows", at), func(t *testing.T) {
			rows := open(t.Context())
			read(rows, 1, at)
			if err := rows.Close(); err != nil {
				t.Error(err)
			}
			rows = open(t.Context())
			defer rows.Close()
			read(rows, 1, 10)
		})
		t.Run(fmt.Sprintf("cancelled after %d rows", at), func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			rows := open(ctx)
			read(rows, 1, at)
			cancel()
			for rows.Next() {
			}
			if err := rows.Err(); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			rows.Close()
			rows = open(t.Context())
			defer rows.Close()
			read(rows, 1, n)
		})
	}
}

// TestStatementNames runs statements after texts that lib/pq takes for COPY, and
// so does not prepare, or does not take for COPY. Each must still be asked for
// under its own name.
func TestStatementNames(t *testing.T) {
	for _, text := range []string{"copyx", "/*/ copy it */ SELECT $1::int", "\fCOPY pg_am FROM STDIN"} {
		t.Run(text, func(t *testing.T) {
			c, _ := openBoth(t, preparedWay)
			if stmt, err := c.PrepareContext(t.Context(), text); err == nil {
				stmt.Close()
			}
			for range 4 {
				for want, query := range []string{"SELECT $1::int", "SELECT $1::int + 1", "SELECT $1::int + 2"} {
					var n int
					if err := c.QueryRowContext(t.Context(), query, 0).Scan(&n); err != nil || n != want {
						t.Errorf("%s with 0 returned %d, %v", query, n, err)
					}
				}
			}
		})
	}
}

// TestUnreadableValue goes on after a value that has no Go form.
func TestUnreadableValue(t *testing.T) { eachWay(t, testUnreadableValue) }

func testUnreadableValue(t *testing.T, way string) {
	c, _ := openBoth(t, way)
	if _, err := c.ExecContext(t.Context(), "SET datestyle = 'German'"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, query string
		args        []any
	}{
		{"simple", "SELECT i, now() FROM generate_series(1, 3) i", nil},
		{"simple, long", "SELECT repeat('x', 100000), now() FROM generate_series(1, 100) i", nil},
		{"prepared", "SELECT i, now() FROM generate_series(1, $1::int) i", []any{3}},
	} {
		for _, buffered := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, buffered %v", tt.name, buffered), func(t *testing.T) {
				for range 3 {
					rows, err := c.QueryContext(t.Context(), tt.query, tt.args...)
					if err != nil {
						t.Fatal(err)
					}
					var n int
					if buffered {
						if err := c.QueryRowContext(t.Context(), "SELECT 1").Scan(&n); err != nil || n != 1 {
							t.Errorf("SELECT 1 with open rows returned %d, %v", n, err)
						}
					}
					if rows.Next() || rows.Err() == nil {
						t.Errorf("read a row with a date, or error %v", rows.Err())
					}
					rows.Close()
					for want := range 3 {
						if err := c.QueryRowContext(t.Context(), fmt.Sprint("SELECT ", want)).Scan(&n); err != nil || n != want {
							t.Errorf("SELECT %d returned %d, %v", want, n, err)
						}
					}
				}
			})
		}
	}
}

func TestBrokenReply(t *testing.T) {
	fields := []wire.Field{{Name: "a", TypeOID: pgform.OIDInt4, Format: 1}, {Name: "b", TypeOID: pgform.OIDText}}
	for _, row := range []string{
		"D\x00\x00\x00\x04",
		"D\x00\x00\x00\x05\x00",
		"D\x00\x00\x00\x06\x00\x02",
		"D\x00\x00\x00\x09\x00\x02\x00\x00\x00",
		"D\x00\x00\x00\x0c\x00\x02\x00\x00\x00\x04\x00\x00",
		"D\x00\x00\x00\x0c\x00\x02\x00\x00\x00\x02\x00\x00",
		"D\x00\x00\x00\x0a\x00\x02\xff\xff\xff\xff",
	} {
		r := reply{c: &conn{}, header: describeColumns(fields), fields: fields, rows: []byte(row)}
		dest := make([]driver.Value, 2)
		if err := r.Next(dest); err == nil {
			t.Errorf("%q is the row %v", row, dest)
		}
	}
}

// TestRowBeforeScan runs another statement between Next and Scan: the row is
// still the same then.
func TestRowBeforeScan(t *testing.T) { eachWay(t, testRowBeforeScan) }

func testRowBeforeScan(t *testing.T, way string) {
	c, _ := openBoth(t, way)
	for _, tt := range []struct {
		name, query string
		args        []any
	}{
		{"simple", "SELECT i::numeric + 100 FROM generate_series(1, 9) i", nil},
		{"prepared", "SELECT i::numeric + 100 FROM generate_series(1, $1::int) i", []any{9}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 3 {
				rows, err := c.QueryContext(t.Context(), tt.query, tt.args...)
				if err != nil {
					t.Fatal(err)
				}
				for n := 101; rows.Next(); n++ {
					var got, other int
					if err := c.QueryRowContext(t.Context(), "SELECT 777").Scan(&other); err != nil {
						t.Fatal(err)
					}
					if err := rows.Scan(&got); err != nil || got != n {
						t.Errorf("got %d, want %d; %v", got, n, err)
					}
				}
				if err := rows.Err(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestTooManyParameters(t *testing.T) { eachWay(t, testTooManyParameters) }

func testTooManyParameters(t *testing.T, way string) {
	c, _ := openBoth(t, way)
	args := make([]any, 65536)
	for i := range args {
		args[i] = 1
	}
	var places []string
	for i := range args {
		places = append(places, fmt.Sprintf("$%d::int", i+1))
	}
	text := "SELECT ARRAY[" + strings.Join(places, ", ") + "]"
	for range 3 {
		_, err := c.ExecContext(t.Context(), text, args...)
		if err == nil || !strings.Contains(err.Error(), "65535 parameters") {
			t.Errorf("got %v", err)
		}
		var n int
		if err := c.QueryRowContext(t.Context(), "SELECT $1::int", 1).Scan(&n); err != nil || n != 1 {
			t.Errorf("then %d, %v", n, err)
		}
	}
}

// TestAfterFailedTransaction prepares anew what the server has forgotten, which
// psyco does outside transactions.
func TestAfterFailedTransaction(t *testing.T) { eachWay(t, testAfterFailedTransaction) }

func testAfterFailedTransaction(t *testing.T, way string) {
	c, _ := openBoth(t, way)
	run := func() {
		t.Helper()
		var n int
		if err := c.QueryRowContext(t.Context(), "SELECT $1::int", 1).Scan(&n); err != nil || n != 1 {
			t.Errorf("got %d, %v", n, err)
		}
	}
	run()
	tx, err := c.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "SELECT 1 / 0"); err == nil {
		t.Error("1 / 0 is not an error")
	}
	if err := tx.Commit(); err != pq.ErrInFailedTransaction {
		t.Errorf("Commit: %v", err)
	}
	if _, err := c.ExecContext(t.Context(), "DO 'BEGIN EXECUTE ''DEALLOCATE ALL''; END'"); err != nil {
		t.Fatal(err)
	}
	run()
}

// TestRepliesAtRandom runs the same random statements on psyco, whose prepared
// ones it mostly answers without lib/pq, and on lib/pq, each on a table of its
// own, and compares what they give and what is in the tables at the end. psyco's
// statements are cancelled now and then: one with an error must not have
// happened, one without must have.
func TestRepliesAtRandom(t *testing.T) {
	for _, way := range []string{preparedWay + " statement_cache_capacity=9", unpreparedWay, "statement_cache_capacity=3"} {
		t.Run(way, func(t *testing.T) { testRepliesAtRandom(t, way) })
	}
}

func testRepliesAtRandom(t *testing.T, way string) {
	dsn := pgserver.TestDSN(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	open := func(driver, schema, more string) *sql.Conn {
		c := openConn(t, driver, dsn+" search_path="+schema+more)
		if _, err := c.ExecContext(t.Context(), "CREATE SCHEMA "+schema+`;
			CREATE TABLE t (a int PRIMARY KEY, b text, at timestamptz);
			CREATE FUNCTION noted(i int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''%'', i; RETURN i; END';
			LISTEN c`); err != nil {
			t.Fatal(err)
		}
		return c
	}
	ours := open("psyco", "a", " "+way)
	theirs := open("postgres", "b", "")

	statements := []struct {
		text string
		args func() []any
	}{
		{"INSERT INTO t VALUES ($1, $2, $3) ON CONFLICT (a) DO UPDATE SET b = t.b || excluded.b RETURNING *", func() []any {
			return []any{rnd.IntN(40), string(rune('a' + rnd.IntN(26))), time.Unix(rnd.Int64N(2e9), rnd.Int64N(1e9))}
		}},
		{"INSERT INTO t VALUES ($1)", func() []any { return []any{rnd.IntN(40)} }},
		{"UPDATE t SET b = left(b || $2, 40) WHERE a % 7 = $1", func() []any { return []any{rnd.IntN(7), "u"} }},
		{"DELETE FROM t WHERE a = $1", func() []any { return []any{rnd.IntN(40)} }},
		{"SELECT * FROM t WHERE a < $1 ORDER BY a", func() []any { return []any{rnd.IntN(40)} }},
		{"SELECT a, repeat(b, $1) FROM t ORDER BY a", func() []any { return []any{rnd.IntN(20)} }},
		{"SELECT count(*), sum(hashtext(b)) FROM t WHERE a <> $1", func() []any { return []any{rnd.IntN(40)} }},
		{"SELECT 100 / (i - 3) FROM generate_series(1, $1::int) i", func() []any { return []any{rnd.IntN(5)} }},
		{"SELECT noted(i) FROM generate_series(1, $1::int) i", func() []any { return []any{rnd.IntN(3)} }},
		// Long ones, of whose rows lib/pq reads but a few.
		{"SELECT i, repeat('x', i % 97), CASE WHEN i % 151 = 0 THEN noted(i) END FROM generate_series(1, $1::int) i", func() []any { return []any{rnd.IntN(600)} }},
		{"SELECT repeat('x', CASE i WHEN 30 THEN 40000 ELSE i * 10 END)::bytea, 1000 / (77 - i) FROM generate_series(1, $1::int) i", func() []any { return []any{rnd.IntN(90)} }},
		{"SELECT pg_notify('c', $1)", func() []any { return []any{fmt.Sprint(rnd.IntN(9))} }},
		{"SELECT set_config('TimeZone', $1, false)", func() []any { return []any{[]string{"UTC", "Asia/Kolkata"}[rnd.IntN(2)]} }},
		{"SELECT $1::bytea, $2::float8, $3::bool, $4::int8, $5::uuid", func() []any {
			return []any{[]byte{byte(rnd.IntN(256))}, rnd.NormFloat64(), rnd.IntN(2) == 0, rnd.Int64(), fmt.Sprintf("%032x", rnd.Uint64())}
		}},
	}
	sessions := []string{ // outside transactions
		"DEALLOCATE ALL", "DISCARD ALL", "DO 'BEGIN EXECUTE ''DEALLOCATE ALL''; END'",
		"ALTER TABLE t ALTER b TYPE varchar", "ALTER TABLE t ALTER b TYPE text", "NOTIFY c", "RESET TimeZone",
	}

	type queryer interface {
		QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	}
	show := func(h queryer, text string, args []any) string {
		s := showRows(t, func(_ context.Context, args ...any) (*sql.Rows, error) {
			return h.QueryContext(t.Context(), text, args...)
		}, args...)
		return fmt.Sprintf("%+v", s)
	}
	// first reads some rows, and tells what Close says. The rest of a result that is
	// longer than drainLimit might be cancelled, and its error with it.
	first := func(h queryer, text string, n int, args []any) (told string) {
		rows, err := h.QueryContext(t.Context(), text, args...)
		if err != nil {
			return err.Error()
		}
		defer func() { told += fmt.Sprint(" ", rows.Err(), rows.Close()) }()
		names, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		to := make([]any, len(names))
		for i := range to {
			to[i] = new(sql.RawBytes)
		}
		for ; n > 0 && rows.Next(); n-- {
			if err := rows.Scan(to...); err != nil {
				t.Fatal(err)
			}
			for _, v := range to {
				told += fmt.Sprintf(" %q", *v.(*sql.RawBytes))
			}
		}
		return told
	}
	canceled, failed := 0, 0
	step := func(a, b queryer, mayCancel bool) {
		st := statements[rnd.IntN(len(statements))]
		args := st.args()
		if mayCancel && rnd.IntN(4) == 0 {
			ctx, cancel := context.WithCancel(t.Context())
			timer := time.AfterFunc(time.Duration(rnd.IntN(600))*time.Microsecond, cancel)
			_, err := ours.ExecContext(ctx, st.text, args...)
			timer.Stop()
			cancel()
			switch {
			case err == nil:
			case errors.Is(err, context.Canceled):
				canceled++
				return
			default:
				failed++
			}
			theirs.ExecContext(t.Context(), st.text, args...)
			return
		}
		if rnd.IntN(4) == 0 {
			n := rnd.IntN(100)
			if got, want := first(a, st.text, n, args), first(b, st.text, n, args); got != want {
				t.Fatalf("%d rows of %s with %v:\n got %s\nwant %s", n, st.text, args, got, want)
			}
			return
		}
		got, want := show(a, st.text, args), show(b, st.text, args)
		if strings.Contains(got, "err:pq") {
			failed++
		}
		if got != want {
			t.Fatalf("%s with %v:\n got %s\nwant %s", st.text, args, got, want)
		}
	}
	// At least one of each kind, of which few come in time.
	for i := 0; i < testsize.Cases(100, 1500) || (canceled == 0 || failed == 0) && i < 5000; i++ {
		switch n := rnd.IntN(20); {
		case n == 0:
			text := sessions[rnd.IntN(len(sessions))]
			for _, c := range []*sql.Conn{ours, theirs} {
				if _, err := c.ExecContext(t.Context(), text); err != nil {
					t.Fatal(err)
				}
			}
			// In a transaction, what has changed is an error for psyco alone.
			for _, st := range statements {
				args := st.args()
				if got, want := show(ours, st.text, args), show(theirs, st.text, args); got != want {
					t.Fatalf("after %s, %s with %v:\n got %s\nwant %s", text, st.text, args, got, want)
				}
			}
		case n < 4:
			a, err := ours.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			b, err := theirs.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			for range rnd.IntN(6) {
				step(a, b, false)
			}
			if rnd.IntN(3) == 0 {
				a.Rollback()
				b.Rollback()
				continue
			}
			if got, want := a.Commit(), b.Commit(); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("Commit: %v, want %v", got, want)
			}
		default:
			step(ours, theirs, true)
		}
	}
	const everything = "SELECT * FROM t WHERE a >= $1 ORDER BY a"
	if got, want := show(ours, everything, []any{0}), show(theirs, everything, []any{0}); got != want {
		t.Errorf("at the end:\n got %s\nwant %s", got, want)
	}
	if canceled == 0 || failed == 0 {
		t.Errorf("%d cancelled, %d failed", canceled, failed)
	}
}

// TestCloseTellsError closes results before their statement fails, as QueryRow
// does. That nothing has happened must not be lost with the rows.
func TestCloseTellsError(t *testing.T) { eachWay(t, testCloseTellsError) }

func testCloseTellsError(t *testing.T, way string) {
	ours, theirs := openBoth(t, way)
	if _, err := ours.ExecContext(t.Context(), `CREATE TABLE once (a int UNIQUE DEFERRABLE INITIALLY DEFERRED);
		INSERT INTO once VALUES (1)`); err != nil {
		t.Fatal(err)
	}
	ways := []struct {
		name  string
		close func(c *sql.Conn, query string, args []any) error
	}{
		{"QueryRow", func(c *sql.Conn, query string, args []any) error {
			var n int
			return c.QueryRowContext(t.Context(), query, args...).Scan(&n)
		}},
		{"Close", func(c *sql.Conn, query string, args []any) error {
			rows, err := c.QueryContext(t.Context(), query, args...)
			if err != nil {
				return err
			}
			return rows.Close()
		}},
		{"prepared", func(c *sql.Conn, query string, args []any) error {
			stmt, err := c.PrepareContext(t.Context(), query)
			if err != nil {
				return err
			}
			defer stmt.Close()
			var n int
			return stmt.QueryRowContext(t.Context(), args...).Scan(&n)
		}},
	}
	for _, tt := range []struct {
		query string
		args  []any
	}{
		{"INSERT INTO once VALUES (1) RETURNING a", nil},
		{"INSERT INTO once VALUES ($1::int) RETURNING a", []any{1}},
		{"SELECT 10 / (2 - i) FROM generate_series(1, 2) i", nil},
		{"SELECT 10 / ($1::int - i) FROM generate_series(1, 2) i", []any{2}},
		{"SELECT 10 / ($1::int - i) FROM generate_series(1, 9000) i", []any{5000}},
		{"SELECT 10 / ($1::int - i) FROM generate_series(1, 9000) i", []any{10_000}},
	} {
		for _, way := range ways {
			t.Run(way.name+" "+tt.query, func(t *testing.T) {
				want := fmt.Sprint(way.close(theirs, tt.query, tt.args))
				for range 3 {
					if got := fmt.Sprint(way.close(ours, tt.query, tt.args)); got != want {
						t.Errorf("%s, want %s", got, want)
					}
				}
			})
		}
		t.Run("behind another statement "+tt.query, func(t *testing.T) {
			rows, err := theirs.QueryContext(t.Context(), tt.query, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprint(rows.Close())
			for range 3 {
				rows, err := ours.QueryContext(t.Context(), tt.query, tt.args...)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := ours.ExecContext(t.Context(), "SELECT 1"); err != nil {
					t.Error(err)
				}
				if got := fmt.Sprint(rows.Close()); got != want {
					t.Errorf("%s, want %s", got, want)
				}
			}
		})
	}
	var n int
	if err := ours.QueryRowContext(t.Context(), "SELECT count(*) FROM once").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d rows, %v, want 1", n, err)
	}
}

// TestConnectionAfterProtocolError: once a server has sent what is not the protocol,
// nothing that it says on that connection is believed any more.
func TestConnectionAfterProtocolError(t *testing.T) {
	const oneColumn = "\x00\x01k\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x17\x00\x04\xff\xff\xff\xff\x00\x00"
	for _, tt := range []struct{ name, row string }{
		{"no columns", ""},
		{"no length", "\x00\x01\x00\x00"},
		{"too short", "\x00\x01\x00\x00\x00\x04ab"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var connections atomic.Int32
			server := fakeServer(t, func(nc net.Conn) {
				connections.Add(1)
				readPacket(nc)
				nc.Write(welcome("server_version", "18.0"))
				answer := message('1', "")
				for _, m := range [][]byte{message('t', "\x00\x01\x00\x00\x00\x17"), message('T', oneColumn), message('2', ""),
					message('D', tt.row), message('C', "SELECT 1\x00"), message('Z', "I")} {
					answer = append(answer, m...)
				}
				var packet [1 << 10]byte
				for {
					n, err := nc.Read(packet[:])
					if err != nil {
						return
					}
					if packet[0] == 'X' || n == 0 {
						return
					}
					nc.Write(answer)
				}
			})
			db, err := sql.Open("psyco", server+" sslmode=disable password=x")
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			for i := range 3 {
				var k int
				err := db.QueryRow("SELECT k FROM t WHERE k = $1", 1).Scan(&k)
				if err == nil || !strings.Contains(err.Error(), "psyco: protocol error") {
					t.Errorf("got %v", err)
				}
				if got := int(connections.Load()); got != i+1 {
					t.Errorf("%d connections after %d such errors", got, i+1)
				}
			}
		})
	}
}
