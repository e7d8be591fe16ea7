package integration_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/faultproxy"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testdb"
)

// serverMajor is the version of the tests' server.
func serverMajor(t *testing.T) (major int) {
	t.Helper()
	err := testDB(t).QueryRow("SELECT current_setting('server_version_num')::int / 10000").Scan(&major)
	if err != nil {
		t.Fatal(err)
	}
	return major
}

// TestWhatNewServersHave runs what came with one version of PostgreSQL after another in
// every mode, each time often enough for a prepared statement.
func TestWhatNewServersHave(t *testing.T) {
	const (
		prices = "CREATE TABLE t (net int, gross int GENERATED ALWAYS AS (net * 2) VIRTUAL)"
		stays  = "CREATE TABLE t (room int4range, during daterange, guest text, PRIMARY KEY (room, during WITHOUT OVERLAPS))"
	)
	major := serverMajor(t)
	for _, tt := range []struct {
		since              int
		name, setup, query string
		args               []any
		want               string // rows, or the code of the error
	}{
		{14, "multiranges", "", "SELECT %s::int4multirange - '{[2,3)}'", []any{"{[1,5)}"}, "{[1,2),[3,5)}"},
		{14, "subscripts of jsonb", "", "SELECT (%s::jsonb)['a']['b']", []any{`{"a": {"b": 1}}`}, "1"},
		{14, "OUT parameters of procedures", "CREATE PROCEDURE p(a int, OUT b int) LANGUAGE plpgsql AS 'BEGIN b := a + 1; END'", "CALL p(%s, NULL)", []any{1}, "2"},
		{15, "MERGE", "CREATE TABLE t (a int)", "MERGE INTO t USING (SELECT %s::int a) s ON t.a = s.a WHEN NOT MATCHED THEN INSERT VALUES (s.a)", []any{1}, ""},
		{15, "NULLS NOT DISTINCT", "CREATE TABLE t (a int UNIQUE NULLS NOT DISTINCT); INSERT INTO t VALUES (NULL)", "INSERT INTO t VALUES (%s)", []any{nil}, "23505"},
		{16, "numbers with underscores", "", "SELECT 1_000 + %s, 0x1F, 0b11, 0o17", []any{1}, "1001,31,3,15"},
		{16, "a number is no placeholder's neighbour", "", "SELECT 1_0-$1::int", []any{3}, "7"},
		{16, "IS JSON", "", "SELECT %s::text IS JSON OBJECT", []any{"{}"}, "true"},
		{16, "a subquery without alias", "", "SELECT a FROM (SELECT %s::int AS a)", []any{7}, "7"},
		{17, "MERGE RETURNING", "CREATE TABLE t (a int)", "MERGE INTO t USING (SELECT %s::int a) s ON t.a = s.a " +
			"WHEN MATCHED THEN UPDATE SET a = t.a WHEN NOT MATCHED THEN INSERT VALUES (s.a) RETURNING t.a", []any{5}, "5"},
		{17, "JSON_TABLE", "", "SELECT a, b FROM JSON_TABLE(%s::jsonb, '$[*]' COLUMNS (a int PATH '$.a', b text PATH '$.b'))",
			[]any{`[{"a": 1, "b": "x"}, {"a": 2}]`}, "1,x|2,<nil>"},
		{17, "infinite intervals", "", "SELECT 'infinity'::interval > %s::interval", []any{"1 year"}, "true"},
		{18, "virtual generated columns", prices + "; INSERT INTO t VALUES (21)", "SELECT gross FROM t WHERE gross > %s", []any{41}, "42"},
		{18, "no value for a virtual column", prices, "INSERT INTO t VALUES (%s, %s)", []any{1, 2}, "428C9"},
		{18, "uuidv7", "", "SELECT uuid_extract_version(uuidv7()) = %s, uuidv7() < uuidv7(), uuid_extract_version(%s::uuid)",
			[]any{7, "0197f2a4-5f00-7000-8000-000000000000"}, "true,true,7"},
		{18, "OLD and NEW of an UPDATE", "CREATE TABLE t (a int); INSERT INTO t VALUES (1)", "UPDATE t SET a = 1 + %s RETURNING old.a, NEW.a", []any{0}, "1,1"},
		{18, "OLD and NEW by other names", "CREATE TABLE t (a int); INSERT INTO t VALUES (1)",
			"UPDATE t SET a = %s RETURNING WITH (OLD AS o, NEW AS n) n.a - o.a", []any{1}, "0"},
		{18, "OLD of an INSERT", "CREATE TABLE t (a int)", "INSERT INTO t VALUES (%s) RETURNING OLD.a, NEW.a", []any{1}, "<nil>,1"},
		{18, "OLD of an upsert", "CREATE TABLE t (a int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 5)",
			"INSERT INTO t VALUES (%s, 5) ON CONFLICT (a) DO UPDATE SET n = EXCLUDED.n RETURNING old.n IS NULL, new.n", []any{1}, "false,5"},
		{18, "temporal primary keys", stays + "; INSERT INTO t VALUES ('[1,2)', '[2024-01-01,2024-01-05)', 'a')",
			"INSERT INTO t VALUES (%s, %s, %s)", []any{"[1,2)", "[2024-01-04,2024-01-09)", "b"}, "23P01"},
		{18, "temporal foreign keys", stays + "; CREATE TABLE bills (room int4range, during daterange, FOREIGN KEY (room, PERIOD during) REFERENCES t (room, PERIOD during))",
			"INSERT INTO bills VALUES (%s, %s)", []any{"[1,2)", "[2024-01-04,2024-01-09)"}, "23503"},
		{18, "NOT ENFORCED", "CREATE TABLE t (a int, CONSTRAINT positive CHECK (a > 0) NOT ENFORCED)", "INSERT INTO t VALUES (%s) RETURNING a", []any{-1}, "-1"},
		{18, "a foreign key that is NOT ENFORCED", "CREATE TABLE p (a int PRIMARY KEY); CREATE TABLE t (a int REFERENCES p NOT ENFORCED)",
			"INSERT INTO t VALUES (%s) RETURNING a", []any{9}, "9"},
		{18, "casefold", "", "SELECT casefold(%s COLLATE pg_c_utf8)", []any{"ÀB"}, "àb"},
		{18, "array_sort", "", "SELECT array_sort(%s::int[])", []any{[]int{3, 1, 2}}, "{1,2,3}"},
	} {
		t.Run(fmt.Sprint(tt.since, "/", tt.name), func(t *testing.T) {
			if major < tt.since {
				t.Skipf("came with PostgreSQL %d, this server is %d", tt.since, major)
			}
			inModes(t, func(t *testing.T, db *sql.DB) {
				mustExec(t, db, tt.setup)
				conn := mustConn(t, db)
				for range 3 {
					rows, err := conn.QueryContext(t.Context(), tt.query, tt.args...)
					got := ""
					if err == nil {
						got, err = joined(t, rows)
					}
					if err != nil {
						got = code(err)
					}
					if got != tt.want {
						t.Errorf("got %s, want %s", got, tt.want)
					}
				}
			})
		})
	}
}

// joined is the rows of a result in one line, and its error.
func joined(t *testing.T, rows *sql.Rows) (string, error) {
	t.Helper()
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return "", err
	}
	var lines []string
	for rows.Next() {
		values, cells := make([]any, len(names)), make([]string, len(names))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			return "", err
		}
		for i, v := range values {
			cells[i] = fmt.Sprint(*v.(*any))
			if b, ok := (*v.(*any)).([]byte); ok {
				cells[i] = string(b)
			}
		}
		lines = append(lines, strings.Join(cells, ","))
	}
	return strings.Join(lines, "|"), rows.Err()
}

// TestBulkWithWhatNewServersHave has bulk operations write to tables that older servers
// cannot make.
func TestBulkWithWhatNewServersHave(t *testing.T) {
	if major := serverMajor(t); major < 18 {
		t.Skipf("virtual columns and OLD in RETURNING came with PostgreSQL 18, this server is %d", major)
	}
	const table = "CREATE TABLE t (k int PRIMARY KEY, twice int GENERATED ALWAYS AS (k * 2) VIRTUAL, id uuid DEFAULT uuidv7(), n int DEFAULT 0)"
	rows := testdb.RowsOf([]any{1}, []any{2})
	const upsert = "INSERT INTO t (k) VALUES %s ON CONFLICT (k) DO UPDATE SET n = t.n + 1 RETURNING old.n IS NULL, new.twice"
	inModes(t, func(t *testing.T, db *sql.DB) {
		mustExec(t, db, table)
		for _, way := range []struct {
			name  string
			write func(ctx context.Context) (int64, error)
		}{
			{"CopyRows", func(ctx context.Context) (int64, error) {
				return psyco.CopyRows(ctx, db, psyco.Identifier{"t"}, []string{"k"}, rows)
			}},
			{"ExecMany", func(ctx context.Context) (int64, error) {
				return psyco.ExecMany(ctx, db, "INSERT INTO t (k) VALUES (%s)", rows)
			}},
			{"ExecValues", func(ctx context.Context) (int64, error) {
				return psyco.ExecValues(ctx, db, "INSERT INTO t (k) VALUES %s", rows, nil)
			}},
		} {
			if way.name == "CopyRows" && wrapped(t) {
				continue // it needs psyco's own connections
			}
			mustExec(t, db, "TRUNCATE t")
			if n, err := way.write(t.Context()); n != 2 || err != nil {
				t.Fatalf("%s: %d rows, %v", way.name, n, err)
			}
			got := all(t, db, "SELECT k, twice, uuid_extract_version(id) FROM t ORDER BY k")
			if !slices.Equal(got, []string{"1,2,7", "2,4,7"}) {
				t.Errorf("%s: %q", way.name, got)
			}
		}
		for _, isNew := range []bool{false, true} {
			var got []string
			_, err := psyco.ExecValues(t.Context(), db, upsert, rows, &psyco.ValuesOptions{Each: func(rows *sql.Rows) error {
				var inserted bool
				var twice int
				err := rows.Scan(&inserted, &twice)
				got = append(got, fmt.Sprint(inserted, twice))
				return err
			}})
			if want := []string{fmt.Sprint(isNew, 2), fmt.Sprint(isNew, 4)}; err != nil || !slices.Equal(got, want) {
				t.Errorf("upsert: %q, %v, want %q", got, err, want)
			}
			mustExec(t, db, "TRUNCATE t")
		}
		type change struct {
			Before *int
			After  int
		}
		mustExec(t, db, "INSERT INTO t (k) VALUES (1)")
		for range 3 {
			c, err := psyco.QueryOne[change](t.Context(), db, "UPDATE t SET n = %s WHERE k = 1 RETURNING old.n AS before, new.n AS after", 0)
			if err != nil || c.Before == nil || *c.Before != 0 || c.After != 0 {
				t.Errorf("%+v, %v", c, err)
			}
		}
	})
}

// TestProtocolVersions asks for versions of the protocol. A server that has only 3.0 says
// so and goes on with it; 3.2 has longer keys for cancel requests, which must still be
// believed.
func TestProtocolVersions(t *testing.T) {
	major := serverMajor(t)
	const short, long = 5 + 4 + 4, 5 + 4 + 32 // BackendKeyData
	newest := short
	if major >= 18 {
		newest = long
	}
	for _, tt := range []struct {
		dsn string
		key int // bytes of the message, 0 for no session
	}{
		{"", short},
		{"max_protocol_version=3.0", short},
		{"max_protocol_version=3.2", newest},
		{"max_protocol_version=latest", newest},
		{"min_protocol_version=3.0 max_protocol_version=latest", newest},
		{"min_protocol_version=3.2 max_protocol_version=3.2", map[bool]int{true: long}[major >= 18]},
	} {
		t.Run(tt.dsn, func(t *testing.T) {
			t.Parallel()
			p := testdb.Proxy(t)
			var key atomic.Int32
			p.Observe(func(m faultproxy.Message) {
				if m.Dir == faultproxy.ToClient && m.Type == 'K' {
					key.Store(int32(m.Len))
				}
			})
			dsn := pgserver.TestDSN(t)
			db := open(t, dsn+" "+p.ConnInfo()+" "+tt.dsn)
			if tt.key == 0 {
				const want = "min_protocol_version=3.2; server supports up to 3.0"
				if err := db.Ping(); err == nil || !strings.HasSuffix(err.Error(), want) {
					t.Errorf("got %v, want %s", err, want)
				}
				return
			}
			conn := mustConn(t, db)
			if got := int(key.Load()); got != tt.key {
				t.Errorf("a key in %d bytes, want %d", got, tt.key)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			whenWaiting(t, open(t, dsn), "pg_sleep(600", cancel)
			if err := second(conn.ExecContext(ctx, "SELECT pg_sleep(600 + %s)", 1)); code(err) != "57014" && err != context.Canceled {
				t.Errorf("got %v", err)
			}
			if got := all(t, conn, "SELECT %s::int", 1); !slices.Equal(got, []string{"1"}) {
				t.Errorf("afterwards: %q", got)
			}
		})
	}
}

// TestSearchPathIsReported: PostgreSQL 18 tells of a search_path that a function has set.
// What was prepared by the old one is not run by the new one.
func TestSearchPathIsReported(t *testing.T) {
	if major := serverMajor(t); major < 18 {
		t.Skipf("search_path is reported from PostgreSQL 18 on, this server is %d", major)
	}
	inModes(t, func(t *testing.T, db *sql.DB) {
		conn := mustConn(t, db)
		mustExec(t, conn, `CREATE SCHEMA a; CREATE TABLE a.t (v int); CREATE SCHEMA b; CREATE TABLE b.t (v text);
			CREATE FUNCTION enter(name text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('search_path', name, false); END $$`)
		for _, schema := range []string{"a", "b", "a"} {
			mustExec(t, conn, "SELECT public.enter(%s)", schema)
			if !wrapped(t) {
				err := psyco.WithConn(t.Context(), conn, func(c *psyco.Conn) error {
					if got, ok := c.Parameter("search_path"); !ok || got != schema {
						t.Errorf("search_path is %q, %t", got, ok)
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			for range 3 {
				mustExec(t, conn, "INSERT INTO t VALUES (%s)", "007")
			}
		}
		if got := all(t, conn, "SELECT (SELECT count(*) FROM a.t WHERE v = 7), (SELECT count(*) FROM b.t WHERE v = '007')"); got[0] != "6,3" {
			t.Errorf("got %s", got[0])
		}
	})
}
