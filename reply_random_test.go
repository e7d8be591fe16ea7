package psyco

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testsize"
)

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
	for i := 0; i < testsize.Cases(200, 1500) || (canceled == 0 || failed == 0) && i < 5000; i++ {
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
