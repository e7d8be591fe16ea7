//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package pgserver

import (
	"database/sql"
	"reflect"
	"testing"
)

// TestLendDatabase looks at what the second of two tests finds in its database.
func TestLendDatabase(t *testing.T) {
	s := start(t, Options{Settings: map[string]string{"wal_level": "logical"}})
	fresh, _, err := s.CreateDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	asNew := rowsOfCatalogs(t, fresh)

	for _, c := range []struct {
		name, script string
		reused       bool
	}{
		{"nothing", "", true},
		{"tables", `CREATE TABLE t (a serial PRIMARY KEY, b text UNIQUE, c int REFERENCES t); CREATE TABLE u (a int REFERENCES t); CREATE TEMP TABLE t (a int);
			INSERT INTO public.t (b) VALUES (repeat('x', 100000)); ANALYZE`, true},
		{"an identity column", "CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY); CREATE SEQUENCE s OWNED BY t.a", true},
		{"a partitioned table", "CREATE TABLE p (a int) PARTITION BY RANGE (a); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (1)", true},
		{"views", "CREATE TABLE t (a int); CREATE VIEW v AS TABLE t; CREATE MATERIALIZED VIEW m AS TABLE v; CREATE RULE r AS ON INSERT TO v DO INSTEAD NOTHING", true},
		{"types", "CREATE TYPE e AS ENUM ('a'); CREATE DOMAIN d AS e; CREATE TYPE c AS (a d[], b e); CREATE TYPE r AS RANGE (SUBTYPE = float8)", true},
		{"functions", `CREATE TYPE e AS ENUM ('a'); CREATE FUNCTION f(int, e) RETURNS int LANGUAGE SQL AS 'SELECT 1'; CREATE FUNCTION f(INOUT "A b" text) LANGUAGE SQL AS 'SELECT $1';
			CREATE PROCEDURE p() LANGUAGE SQL AS ''; CREATE AGGREGATE a (int) (SFUNC = int4pl, STYPE = int);
			CREATE OPERATOR @@@@ (LEFTARG = int, RIGHTARG = e, FUNCTION = f); CREATE CAST (int AS e) WITH INOUT`, true},
		{"operator classes", "CREATE TYPE e AS ENUM ('a'); CREATE OPERATOR CLASS c FOR TYPE e USING btree AS OPERATOR 1 = (anyenum, anyenum); CREATE OPERATOR FAMILY f USING btree", true},
		{"schemas", `CREATE SCHEMA s; CREATE TABLE s.t (a serial); CREATE TABLE t (a int DEFAULT nextval('s.t_a_seq')); CREATE SCHEMA "S t"; CREATE FUNCTION "S t".f() RETURNS s.t LANGUAGE SQL AS 'TABLE s.t'`, true},
		{"large objects", "SELECT lo_from_bytea(0, 'abc'); SELECT lo_create(4711)", true},
		{"collations and more", `CREATE TABLE t (a int, b int); CREATE STATISTICS s ON a, b FROM t; CREATE SCHEMA s; CREATE TABLE s.t (a int, b int); CREATE STATISTICS s2 ON a, b FROM s.t; CREATE COLLATION c FROM "C"; CREATE TEXT SEARCH CONFIGURATION c (COPY = simple);
			CREATE CONVERSION c FOR 'UTF8' TO 'LATIN1' FROM utf8_to_iso8859_1`, true},
		{"event triggers", "CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$; CREATE EVENT TRIGGER t ON sql_drop EXECUTE FUNCTION f()", true},
		{"publications", "CREATE TABLE t (a int); CREATE PUBLICATION p FOR TABLE t", true},
		{"foreign tables", "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE USER MAPPING FOR PUBLIC SERVER s; CREATE FOREIGN TABLE f (a int) SERVER s", true},
		{"comments", "CREATE TABLE t (a int); COMMENT ON COLUMN t.a IS 'a'", true},

		{"a setting of the database", "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 100', current_database()); END $$", false},
		{"a limit of the database", "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 7', current_database()); END $$", false},
		{"a right on the schema", "GRANT CREATE ON SCHEMA public TO pg_monitor", false},
		{"default rights", "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC", false},
		{"another schema of that name", "DROP SCHEMA public; CREATE SCHEMA public", false},
		{"no schema", "DROP SCHEMA public", false},
		{"no information_schema", "DROP SCHEMA information_schema CASCADE", false},
		{"no language", "DROP EXTENSION plpgsql", false},
		{"a function of the server's", "ALTER FUNCTION pg_catalog.now() COST 7", false},
		{"a comment", "COMMENT ON SCHEMA pg_catalog IS 'changed'", false},
		{"a language", "CREATE LANGUAGE l HANDLER plpgsql_call_handler", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			first, giveBack, err := s.LendDatabase(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			db, err := sql.Open("postgres", first)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close() // after the database was given back, with a session in it
			if _, err := db.Exec(c.script); err != nil {
				t.Fatal(err)
			}
			if err := giveBack(); err != nil {
				t.Fatal(err)
			}

			second, giveBack, err := s.LendDatabase(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if reused := second == first; reused != c.reused {
				t.Errorf("reused: %v, want %v", reused, c.reused)
			}
			if got := rowsOfCatalogs(t, second); !reflect.DeepEqual(got, asNew) {
				t.Errorf("got  %v\nwant %v", got, asNew)
			}
			if err := giveBack(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// rowsOfCatalogs counts the rows of the catalogs that a database has for itself.
func rowsOfCatalogs(t *testing.T, dsn string) map[string]int {
	t.Helper()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`SELECT relname, (xpath('//n/text()', query_to_xml(format('SELECT count(*) AS n FROM pg_catalog.%I', relname), true, true, '')))[1]::text::int
		FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' AND NOT relisshared AND relname !~ '^pg_statistic'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	counts := map[string]int{}
	for rows.Next() {
		var name string
		var count int
		if err := rows.Scan(&name, &count); err != nil {
			t.Fatal(err)
		}
		counts[name] = count
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return counts
}

// TestLentDatabaseWears drops a database that was used often.
func TestLentDatabaseWears(t *testing.T) {
	s := start(t, Options{})
	use := func() string {
		dsn, giveBack, err := s.LendDatabase(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := giveBack(); err != nil {
			t.Fatal(err)
		}
		return dsn
	}
	first := use()
	s.pool.empty[0].uses = maxUses - 2
	for range 2 {
		if use() != first {
			t.Error("dropped too early")
		}
	}
	if use() == first {
		t.Error("used too often")
	}
}
