package psyco_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
)

// jsonBytes is a Valuer whose bytes are text.
type jsonBytes string

func (j jsonBytes) Value() (driver.Value, error) { return []byte(j), nil }

type list = []any

func TestMogrify(t *testing.T) {
	moment := time.Date(2024, 2, 29, 12, 30, 0, 5000, time.FixedZone("", 2*3600))
	tests := []struct {
		name, query string
		args        list
		want        string
	}{
		{"no arguments", "a % b, '%s', %s, $1", nil, "a % b, '%s', %s, $1"},
		{"int", "select %s", list{5}, "select 5"},
		{"negative", "select %s", list{-5}, "select -5"},
		{"int8", "select %s", list{int64(math.MinInt64)}, "select -9223372036854775808"},
		{"uint64", "select %s", list{uint64(math.MaxUint64)}, "select '18446744073709551615'::numeric"},
		{"float", "select %s", list{1.5}, "select '1.5'::float8"},
		{"NaN", "select %s, %s", list{math.NaN(), math.Inf(-1)}, "select 'NaN'::float8, '-Infinity'::float8"},
		{"bool", "select %s, %s", list{true, false}, "select true, false"},
		{"nil", "select %s, %s, %s", list{nil, []int(nil), (*time.Time)(nil)}, "select NULL, NULL, NULL"},
		{"string", "select %s", list{"it's"}, "select 'it''s'"},
		{"backslash", "select %s", list{`\'`}, `select E'\\'''`},
		{"percent", "select %s || '%%'", list{"%s%%"}, "select '%s%%' || '%'"},
		{"dollar", "select %s, %s", list{"$2", "$1"}, "select '$2', '$1'"},
		{"bytes", "select %s", list{[]byte("a\x00'")}, `select E'\\x610027'::bytea`},
		{"null bytes", "select %s", list{sql.Null[[]byte]{V: []byte("a"), Valid: true}}, `select E'\\x61'::bytea`},
		{"Valuer's text", "select %s", list{jsonBytes(`{"a": 1}`)}, `select '{"a": 1}'`},
		{"Valuer's json with backslash", "select %s", list{jsonBytes(`"\\"`)}, `select E'"\\\\"'::json`},
		{"Valuer's backslash", "select %s", list{jsonBytes(`\`)}, `select E'\\x5c'::bytea`},
		{"Valuer's bytes", "select %s", list{jsonBytes("\xff")}, `select E'\\xff'::bytea`},
		{"time", "select %s", list{moment}, "select '2024-02-29 12:30:00.000005+02:00'::timestamptz"},
		{"duration", "select %s", list{90 * time.Minute}, "select '01:30:00'::interval"},
		{"uuid", "select %s", list{[16]byte{15: 1}}, "select '00000000-0000-0000-0000-000000000001'::uuid"},
		{"inet", "select %s", list{netip.MustParseAddr("::1")}, "select '::1'::inet"},
		{"json", "select %s", list{json.RawMessage(`{"a": "\n"}`)}, `select E'{"a": "\\n"}'`},
		{"numeric", "select %s", list{big.NewInt(7)}, "select '7'::numeric"},
		{"ints", "select %s", list{[]int{1, -2}}, "select '{1,-2}'"},
		{"bools", "select %s", list{[]bool{true}}, "select '{true}'::bool[]"},
		{"strings", "select %s", list{[]string{`a"\`, "b'"}}, `select E'{"a\\"\\\\","b''"}'`},
		{"in", "x in %s", list{[]int{1, 2}}, "x = ANY('{1,2}')"},
		{"rows", "(a, b) in %s", list{[][]any{{1, "x"}, {-2, nil}}}, "(a, b) in ((1, 'x'), (-2, NULL))"},
		{"named", "select %(b)s, %(a)s, %(b)s", list{map[string]any{"a": 1, "b": "x"}}, "select 'x', 1, 'x'"},
		{"sql.Named", "select %(a)s", list{sql.Named("a", 1)}, "select 1"},

		{"native", "select $1, $2, '%s', a % b", list{5, "x"}, "select '5', 'x', '%s', a % b"},
		{"native values", "select $1, $2, $3, $4, $5", list{-1.5, true, nil, []byte("a"), pq.Array([]int64{1})}, "select '-1.5', 'true', NULL, 'a', '{1}'"},
		{"native bytes", "select $1, $2", list{[]byte("\x00"), []byte(nil)}, `select E'\\x00'::bytea, NULL`},
		{"native order", "select $2, $1, $2", list{1, 2}, "select '2', '1', '2'"},

		{"minus", "5 -%s", list{-5}, "5 - -5"},
		{"minus minus", "-%s", list{-5}, "- -5"},
		{"no subtraction", "select a%s, (a)%s, a[1]%s, t.limit %s, 1%s, null %s, %s%s", list{-5, -5, -5, -5, -5, -5, 5, -5},
			"select a '-5', (a) '-5', a[1] '-5', t.limit '-5', 1 '-5', null '-5', 5  /**/ '-5'"},
		{"an expression", "select%s, limit %s between%s and (%s)", list{-5, -5, -5, -5}, "select -5, limit -5 between -5 and (-5)"},
		{"operator", "a <@%s", list{-5}, "a <@ -5"},
		{"cast", "%s::int2", list{-32768}, "(-32768)::int2"},
		{"cast, spaced", "%s /**/ ::int2", list{-1}, "(-1) /**/ ::int2"},
		{"positive cast", "%s::int2", list{1}, "1::int2"},
		{"word before", "select%s", list{1}, "select 1"},
		{"two", "%s%s", list{1, 2}, "1 2"},
		{"E before", "E%s", list{"a"}, "E 'a'"},
		{"U& before", "U&%s", list{"a"}, "U& 'a'"},
		{"number before", "1.%s", list{2}, "1. 2"},
		{"number behind", "$1abc", list{2}, "'2' abc"},
		{"dot behind", "%s.a", list{5}, "(5).a"},
		{"subscript", "%s[1]", list{[]bool{true}}, "('{true}')[1]"},
		{"modifier", "select %s (3)", list{1.5}, "select ('1.5'::float8) (3)"},
		{"options", "copy t from %s (format csv)", list{"/f"}, "copy t from '/f' (format csv)"},
		{"literal before", "'a'%s", list{"b"}, "'a'  /**/ 'b'"},
		{"literal behind", "%s'b'", list{"a"}, "'a' /**/  'b'"},
		{"literal on the next line", "%s -- c\n'b'", list{"a"}, "'a' /**/  -- c\n'b'"},
		{"two literals", "%s\n%s", list{"a", "b"}, "'a'\n /**/ 'b'"},
		{"dollar before", "$%s", list{"a"}, "$ 'a'"},

		{"set", "set x to %s", list{1.5}, "set x to 1.5"},
		{"set a time", "set x to %s", list{moment}, "set x to '2024-02-29 12:30:00.000005+02:00'"},
		{"set bytes", "set x to %s", list{[]byte{1}}, `set x to E'\\x01'`},
		{"set NaN", "set x to %s", list{math.NaN()}, "set x to 'NaN'"},
		{"set numeric", "set x to %s", list{big.NewInt(7)}, "set x to 7"},
		{"copy", "copy (select %s) to stdout (delimiter %s, x %s)", list{1.5, ";", 1.5}, "copy (select '1.5'::float8) to stdout (delimiter ';', x 1.5)"},
		{"copy where", "copy t from stdin (x %s) where a = %s", list{1.5, 1.5}, "copy t from stdin (x 1.5) where a = '1.5'::float8"},
		{"view", "create view v with (x = %s) as select %s", list{1.5, 1.5}, "create view v with (x = 1.5) as select '1.5'::float8"},
		{"table", "create table t (a int default %s, b int check (b > %s), c int generated by default as identity (start with %s), " +
			"d int generated always as (a * %s) stored) with (x = %s)",
			list{1.5, 1.5, 1.5, 1.5, 1.5}, "create table t (a int default '1.5'::float8, b int check (b > '1.5'::float8), " +
				"c int generated by default as identity (start with 1.5), d int generated always as (a * '1.5'::float8) stored) with (x = 1.5)"},
		{"alter", "alter table t alter a set default %s, alter b set (x = %s)", list{1.5, 1.5},
			"alter table t alter a set default '1.5'::float8, alter b set (x = 1.5)"},
		{"trigger", "create trigger t before update on t when (a > %s) execute function f(%s)", list{1.5, 1.5},
			"create trigger t before update on t when (a > '1.5'::float8) execute function f(1.5)"},
		{"index", "create index on t ((a + %s)) with (fillfactor = %s) where a > %s", list{1.5, 1.5, 1.5},
			"create index on t ((a + '1.5'::float8)) with (fillfactor = 1.5) where a > '1.5'::float8"},
		{"statements", "set x to %s; (select %s); set x to %s", list{1.5, 1.5, 1.5}, "set x to 1.5; (select '1.5'::float8); set x to 1.5"},
		{"body", "create function f() cost %s begin atomic update t set a = %s; delete from t where %s; end", list{1.5, 1.5, true},
			"create function f() cost 1.5 begin atomic update t set a = '1.5'::float8; delete from t where true; end"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := psyco.Mogrify(tt.query, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestMogrifyErrors(t *testing.T) {
	tests := []struct {
		name, query string
		args        list
		want        []string
	}{
		{"NUL", "select %s, %s", list{1, "a\x00"}, []string{"parameter 2", "NUL"}},
		{"NUL, named", "select %(a)s", list{map[string]any{"a": "\x00"}}, []string{`parameter "a"`, "NUL"}},
		{"NUL, native", "select $1", list{"\x00"}, []string{"parameter 1", "NUL"}},
		{"NUL in the query", "select %s\x00", list{1}, []string{"NUL"}},
		{"NUL in a native query", "select $1\x00", list{1}, []string{"NUL"}},
		{"type", "select %s", list{struct{ A int }{}}, []string{"psyco.JSON"}},
		{"native type", "select $1", list{make(chan int)}, []string{"$1", "chan int"}},
		{"too few", "select %s, %s", list{1}, []string{"2 placeholders but 1 parameters"}},
		{"too many, native", "select $1", list{1, 2}, []string{"1 parameters but 2"}},
		{"too few, native", "select $1,\n $2", list{1}, []string{"the parameter $2 but 1", "line 2, column 2"}},
		{"number out of range", "select $99999999999999999999", list{1}, []string{"the parameter $999"}},
		{"parameter zero", "select $0", list{1}, []string{"the parameter $0"}},
		{"no placeholder", "select 'a%s'", list{1}, []string{"drop the quotes"}},
		{"ambiguous literal", `select '\' || %s || '\'`, list{"; drop table t; --"}, []string{"standard_conforming_strings", "E'"}},
		{"rows of other width", "(a, b) in %s", list{[][]any{{1}}}, []string{"row 0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := psyco.Mogrify(tt.query, tt.args...)
			if err == nil {
				t.Fatalf("got %s", got)
			}
			for _, want := range append(tt.want, "psyco: ") {
				if tt.name == "native type" && want == "psyco: " {
					want = "sql: " // as database/sql has it for lib/pq
				}
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

// TestUtilityStatements runs statements that take no parameters in the
// protocol, and looks at what they did.
func TestUtilityStatements(t *testing.T) {
	day := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		name, query string
		args        list
		check, want string // what check gives
	}{
		{"notify", "NOTIFY ch, %s", list{"it's"}, "", ""},
		{"set int", "SET work_mem TO %s", list{4096}, "SHOW work_mem", "4MB"},
		{"set negative", "SET log_min_duration_statement = %s", list{-1}, "SHOW log_min_duration_statement", "-1"},
		{"set float", "SET random_page_cost = %s", list{2.5}, "SHOW random_page_cost", "2.5"},
		{"set bool", "SET LOCAL enable_seqscan TO %s", list{false}, "", ""},
		{"set string", `SET application_name TO %(name)s`, list{map[string]any{"name": `it's \ "x"`}}, "SHOW application_name", `it's \ "x"`},
		{"set time zone", "SET TIME ZONE %s", list{"Etc/UTC"}, "SHOW timezone", "Etc/UTC"},
		{"alter system", "ALTER SYSTEM SET autovacuum_naptime = %s", list{77}, "", ""},
		{"role", "CREATE ROLE psyco_mogrify PASSWORD %s CONNECTION LIMIT %s VALID UNTIL %s", list{`p'\w`, -1, day},
			"SELECT rolvaliduntil AT TIME ZONE 'UTC' || '' FROM pg_roles WHERE rolname = 'psyco_mogrify'", "2030-01-02 03:04:05"},
		{"alter role", "ALTER ROLE psyco_mogrify SET work_mem TO %s", list{-5}, "", "ERROR"},
		{"drop role", "DROP ROLE psyco_mogrify", nil, "", ""},
		{"table", "CREATE TABLE t (a int DEFAULT %s, b timestamptz DEFAULT now() - %s, c int GENERATED BY DEFAULT AS IDENTITY (START WITH %s INCREMENT BY %s), " +
			"d float8 CHECK (d > %s), e text DEFAULT %s, f int2 DEFAULT %s::int2) WITH (fillfactor = %s)",
			list{-7, 24 * time.Hour, -10, -5, -1.5, `\e`, -32768, 70}, "", ""},
		{"table's defaults", "INSERT INTO t (d) VALUES (%s), (%s)", list{0.0, 1.0},
			"SELECT string_agg(concat_ws(',', a, b < now(), c, d, e, f), ';') FROM t", `-7,t,-10,0,\e,-32768;-7,t,-15,1,\e,-32768`},
		{"comment", "COMMENT ON TABLE t IS %s", list{"a\nb"}, "SELECT obj_description('t'::regclass)", "a\nb"},
		{"no comment", "COMMENT ON TABLE t IS %s", list{nil}, "SELECT obj_description('t'::regclass) IS NULL", "true"},
		{"set default", "ALTER TABLE t ALTER a SET DEFAULT %s, ALTER d SET STATISTICS %s", list{-8, -1}, "", ""},
		{"using", "ALTER TABLE t ALTER e TYPE text USING (%s)", list{time.Second}, "SELECT e FROM t LIMIT 1", "00:00:01"},
		{"index", "CREATE INDEX ON t ((a + %s)) WHERE b > %s", list{-3, day}, "", ""},
		{"view", "CREATE VIEW v AS SELECT %s AS a, %s AS b, %s AS c, %s AS d, %s AS e WHERE %s = ANY (%s)",
			list{-5, 1.5, day, []byte{0, '\\'}, nil, 1, []int{1}},
			"SELECT string_agg(format_type(atttypid, -1), ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'v'::regclass",
			"integer,double precision,timestamp with time zone,bytea,text"},
		{"materialized view", "CREATE MATERIALIZED VIEW mv AS SELECT %s AS a WHERE 1 IN %s", list{"x", []int{1}}, "SELECT a FROM mv", "x"},
		{"create table as", "CREATE TABLE ta WITH (fillfactor = %s) AS VALUES (%s)", list{50, day}, "SELECT pg_typeof(column1) FROM ta", "timestamp with time zone"},
		{"select into", "EXPLAIN CREATE TABLE tb AS SELECT %s", list{day}, "", ""},
		{"partitions", "CREATE TABLE pt (a date, b int) PARTITION BY RANGE (a, b)", nil, "", ""},
		{"partition", "CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (%s, %s) TO (%s, %s)", list{"2020-01-01", -5, day, 5}, "", ""},
		{"lists", "CREATE TABLE lt (a int) PARTITION BY LIST (a)", nil, "", ""},
		{"list", "CREATE TABLE lt1 PARTITION OF lt FOR VALUES IN (%s, %s)", list{-5, nil}, "", ""},
		{"hash", "CREATE TABLE ht (a int) PARTITION BY HASH (a)", nil, "", ""},
		{"modulus", "CREATE TABLE ht1 PARTITION OF ht FOR VALUES WITH (MODULUS %s, REMAINDER %s)", list{2, 1}, "", ""},
		{"sequence", "CREATE SEQUENCE s MINVALUE %s START %s", list{-10, -3}, "SELECT nextval('s')", "-3"},
		{"enum", "CREATE TYPE en AS ENUM (%s, %s)", list{"a", `b\`}, `SELECT 'b\'::en`, `b\`},
		{"add value", "ALTER TYPE en ADD VALUE %s BEFORE %s", list{"c", "a"}, "SELECT enum_first(NULL::en)", "c"},
		{"domain", "CREATE DOMAIN dm AS interval DEFAULT %s CHECK (VALUE < %s)", list{time.Second, time.Minute}, "", ""},
		{"do", "DO %s", list{`begin perform set_config('x.y', 'it''s \', false); end`}, "SHOW x.y", `it's \`},
		{"do language", "DO LANGUAGE plpgsql %s", list{"begin end"}, "", ""},
		{"function", "CREATE FUNCTION f(a int DEFAULT %s) RETURNS text LANGUAGE sql COST %s SET work_mem TO %s AS %s",
			list{-1, 1.5, 4096, `select '\' || a`}, "SELECT f()", `\-1`},
		{"return", "CREATE FUNCTION g() RETURNS timestamptz RETURN %s", list{day}, "SELECT g() = '2030-01-02 03:04:05Z'", "true"},
		{"prepare", "PREPARE p (int, text) AS SELECT $1 - %s || $2", list{-5}, "", "ERROR"},
		{"prepare, psycopg", "PREPARE p AS SELECT 1 -%s AS a", list{-5}, "EXECUTE p", "6"},
		{"prepare with parameters", "PREPARE q (int, timestamptz) AS SELECT $1::text || ($2 > now())", nil, "", ""},
		{"execute", "EXECUTE q(%s, %s)", list{-5, day}, "", ""},
		{"rule", "CREATE RULE r AS ON DELETE TO t WHERE old.d > %s DO ALSO UPDATE t SET b = %s", list{0.5, day}, "", ""},
		{"policy", "CREATE POLICY pl ON t USING (b > %s)", list{day}, "", ""},
		{"statistics target", "ALTER TABLE t ALTER b SET STATISTICS %s", list{-1}, "", ""},
		{"explain", "EXPLAIN ANALYZE SELECT * FROM t WHERE b > now() - %s", list{time.Hour}, "", ""},
		{"cursor", "DECLARE c CURSOR WITH HOLD FOR SELECT %s AS a", list{day}, "FETCH c", "2030-01-02 03:04:05 +0000 UTC"},
		{"server", "CREATE FOREIGN DATA WRAPPER fw OPTIONS (a %s)", list{`it's`}, "", ""},
		{"several", "SET work_mem TO %s; SET TIME ZONE %s", list{8192, "UTC"}, "SHOW work_mem", "8MB"},
		{"database", "CREATE DATABASE psyco_mogrify CONNECTION LIMIT %s TEMPLATE template0", list{-1}, "", ""},
		{"drop database", "DROP DATABASE psyco_mogrify", nil, "", ""},
	}
	ctx := context.Background()
	conn, err := testDB(t).Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	mustExec(t, conn, "SET TIME ZONE 'UTC'")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := conn.ExecContext(ctx, tt.query, tt.args...)
			if tt.want == "ERROR" {
				if err == nil {
					t.Error("no error")
				}
				return
			}
			if err != nil {
				text, _ := psyco.Mogrify(tt.query, tt.args...)
				t.Fatalf("%v\n%s", err, text)
			}
			if tt.check == "" {
				return
			}
			if got := strings.Join(all(t, conn, tt.check), "|"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// A literal that ends elsewhere with standard_conforming_strings off is refused
// when it is off: what was bound could stand outside of quotes.
func TestAmbiguousLiterals(t *testing.T) {
	ctx := context.Background()
	conn, err := open(t, pgserver.TestDSN(t)+" binding=client").Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const query = `SELECT %s || '\'`
	if got := all(t, conn, query, "a"); fmt.Sprint(got) != `[a\]` {
		t.Errorf("got %q", got)
	}
	mustExec(t, conn, "SET standard_conforming_strings = off")
	if _, err := conn.QueryContext(ctx, query, "a"); err == nil || !strings.Contains(err.Error(), "standard_conforming_strings") {
		t.Errorf("error %v", err)
	}
	if got := all(t, conn, `SELECT %s || E'\\'`, `\`); fmt.Sprint(got) != `[\\]` {
		t.Errorf("got %q", got)
	}
}

// TestNullOfAdapter checks that a NULL for which an adapter declares a type has it.
func TestNullOfAdapter(t *testing.T) {
	type level int
	m := new(psyco.TypeMap)
	psyco.RegisterAdapter(m, func(level) (any, uint32, error) { return nil, 1043, nil })
	for _, binding := range []string{"server", "client"} {
		db := open(t, pgserver.TestDSN(t)+" binding="+binding, psyco.WithTypeMap(m))
		if got := all(t, db, "SELECT %(a)s IS NULL, pg_typeof(%(a)s)", sql.Named("a", level(1))); got[0] != "true,character varying" {
			t.Errorf("%s: got %q", binding, got)
		}
	}
}

// TestNegativeNumberIsOneElement: behind an operand a parameter is a mistake, and the
// literal of a negative number must not become a subtraction.
func TestNegativeNumberIsOneElement(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		for _, query := range []string{"SELECT n%s FROM (SELECT 7 AS n) t", "SELECT (7) %s", "SELECT 7%s", `SELECT "n"%s FROM (SELECT 7 AS n) t`} {
			for _, n := range []any{-1, int64(-1) << 40} {
				var got int
				if err := db.QueryRow(query, n).Scan(&got); err == nil {
					t.Errorf("%s with %v is %d", query, n, got)
				}
			}
		}
		if got := all(t, db, "SELECT 7 -%s::int, abs(%s::int) LIMIT%s", -1, -2, 1); got[0] != "8,2" {
			t.Error(got)
		}
	})
}

// TestUnsafeClientEncoding: under an encoding in which a byte of UTF-8 and a backslash
// make one character, no value gets into the text of a statement or of COPY.
func TestUnsafeClientEncoding(t *testing.T) {
	const value = `Ã\' OR true --` // its second byte and the backslash are one character in SJIS
	run := map[string]func(c *sql.Conn) error{
		"query": func(c *sql.Conn) error {
			return second(c.ExecContext(t.Context(), "SELECT %s::text", value))
		},
		"native query": func(c *sql.Conn) error {
			return second(c.ExecContext(t.Context(), "SELECT $1::text", value))
		},
		"utility statement": func(c *sql.Conn) error {
			return second(c.ExecContext(t.Context(), "COMMENT ON TABLE t IS %s", value))
		},
		"COPY of a query": func(c *sql.Conn) error {
			return second(psyco.CopyTo(t.Context(), c, new(strings.Builder), "COPY (SELECT %s::text) TO STDOUT", value))
		},
		"CopyRows in text": func(c *sql.Conn) error {
			return second(psyco.CopyRows(t.Context(), c, psyco.Identifier{"t"}, []string{"k"}, psyco.SliceRows([][]any{{value}}), psyco.CopyTextFormat()))
		},
		"pq.CopyIn": func(c *sql.Conn) error {
			//lint:ignore SA1019 programs use it
			return second(c.PrepareContext(t.Context(), pq.CopyIn("t", "k")))
		},
		"CopyRows in binary": func(c *sql.Conn) error {
			return second(psyco.CopyRows(t.Context(), c, psyco.Identifier{"t"}, []string{"k"}, psyco.SliceRows([][]any{{"a"}})))
		},
	}
	refused := []string{"utility statement", "COPY of a query", "CopyRows in text", "pq.CopyIn"}
	for _, tt := range []struct {
		encoding string
		unsafe   bool
	}{
		{"SJIS", true}, {"BIG5", true}, {"GBK", true}, {"GB18030", true}, {"UHC", true}, {"JOHAB", true}, {"SHIFT_JIS_2004", true},
		{"UTF8", false}, {"LATIN1", false}, {"EUC_JP", false}, {"WIN1252", false}, {"KOI8R", false}, {"ISO_8859_5", false}, {"SQL_ASCII", false},
	} {
		for _, dsn := range []string{"", " binding=client"} {
			t.Run(tt.encoding+dsn, func(t *testing.T) {
				t.Parallel()
				db := open(t, sameDatabase(t, testDB(t))+dsn)
				mustExec(t, db, "CREATE TABLE t (k text)")
				for name, f := range run {
					c := mustConn(t, db)
					//psyco:allow the names are those of encodings
					if _, err := c.ExecContext(context.Background(), "SET client_encoding TO '"+tt.encoding+"'"); err != nil {
						t.Fatal(err)
					}
					err := f(c)
					got := err != nil && strings.HasPrefix(err.Error(), "psyco: client_encoding is "+tt.encoding)
					if want := tt.unsafe && (slices.Contains(refused, name) || dsn != "" && strings.HasSuffix(name, "query")); got != want {
						t.Errorf("%s: %v", name, err)
					}
					c.ExecContext(context.Background(), "RESET client_encoding")
					c.Close()
				}
			})
		}
	}
}
