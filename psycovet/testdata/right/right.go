// Package right has queries in which nothing is wrong, although much looks so.
package right

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
)

type point struct{ X, Y int }

type base struct{ ID int }

type order struct {
	base
	*point
	Customer string `db:"customer"`
	Skipped  string `db:"-"`
	At       time.Time
}

type status string

type flags []string

func (flags) Value() (any, error) { return nil, nil }

const columns = "id, name"

var byID = "SELECT " + columns + " FROM t WHERE id = %s"

func operators(db *sql.DB, x int, s string) {
	db.Query("SELECT 5 % 2")
	db.Query("SELECT a % b FROM t")
	db.Query("SELECT a %b FROM t")
	db.Query("SELECT a %s FROM t")
	db.Query("SELECT a % $1 FROM t", x)
	db.Query("SELECT a %$1 FROM t", x)
	db.Query("SELECT a %salary, a %(b + 1) FROM t WHERE c = $1", x)
	db.Query("SELECT 5 %% %s", x)
	db.Query("SELECT a <% $1 OR a %> $2", s, s)
	db.Query("SELECT * FROM t WHERE name % 'jon'")
	db.Query("SELECT * FROM t WHERE name %% %s", s)
	db.Query("SELECT j ? 'a' FROM t")
	db.Query("SELECT j ?| array['a', 'b'] FROM t")
	db.Query("SELECT j ?& array['a', 'b'] FROM t WHERE a = $1", x)
	db.Query("SELECT j ? $1 FROM t", s)
	db.Query("SELECT j ? %s FROM t", s)
	db.Query("SELECT '{}'::jsonb ? 'a'")
	db.Query("SELECT (j->'a') ? 'b', j @? '$.a[*] ? (@ > 2)' FROM t")
	db.Query("SELECT ?- lseg '((-1,0),(1,0))'")
	db.Query("SELECT ?| lseg '((-1,0),(1,0))'")
	db.Query("SELECT point '(1,0)' ?| point '(0,0)'")
	db.Query("SELECT @ -5, |/ 25.0, !! 5")
	db.Query("SELECT a @> $1, a && $2 FROM t", pq.Array([]int{1}), []int{2})
	db.Query("SELECT 1::int, '1'::text, x::numeric(10,2) FROM t")
	db.Query("SELECT a[1:2], a[:2] FROM t")
}

func quotes(db *sql.DB, x int, s string) {
	db.Query("SELECT * FROM t WHERE a LIKE 'a%'")
	db.Query("SELECT * FROM t WHERE a LIKE '%s'")
	db.Query("SELECT * FROM t WHERE a LIKE '%s%' AND b = $1", x)
	db.Query("SELECT * FROM t WHERE a LIKE '100%%' AND b = %s", x)
	db.Query("SELECT * FROM t WHERE a LIKE '%%s' AND b = %s", x)
	db.Query("SELECT * FROM t WHERE a LIKE %s", s+"%")
	db.Query("SELECT * FROM t WHERE a LIKE '%' || %s || '%'", s)
	db.Query("SELECT * FROM t WHERE a LIKE '%' || $1 || '%'", s)
	db.Query("SELECT format('%s and %I', a, b) FROM t")
	db.Query("SELECT format('%s', $1::text)", s)
	db.Query("SELECT format('%%s', %s::text)", s)
	db.Query("SELECT to_char(now(), 'HH24:MI:SS'), 'a:b ?'")
	db.Query("SELECT 'who?', \"why?\" FROM t WHERE a = $1", x)
	db.Query("SELECT E'it\\'s ?', 'it''s %s' FROM t")
	db.Query("SELECT $$ what? %s $1 $$")
	db.Query("SELECT $body$ :name ? %d $body$")
	db.Query("SELECT 1 -- LIKE '%s' ?\n")
	db.Query("SELECT %s -- not '%s', and no ?\n", x)
	db.Query("SELECT /* %s %(a)s ? $1 */ %s", x)
	db.Query(`SELECT "a%b", 'x' FROM t WHERE c = $1`, x)
	db.Query(`SELECT '\' , %s, '\'`, x)
	db.Query("SELECT U&'d\\0061t\\+000061' WHERE 1 = %s", x)
	db.Query("SELECT B'101', X'1F', 1e3 WHERE 1 = %s", x)
	db.Exec(`DO $$ BEGIN RAISE NOTICE '% and %', 1, 2; END $$`)
	db.Exec(`CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT $1'`)
	db.Exec(`CREATE FUNCTION g(int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT $1; END`)
	db.Exec(`CREATE OR REPLACE FUNCTION h() RETURNS trigger AS $f$ BEGIN EXECUTE format('SELECT %L', NEW.a) USING $1; RETURN NEW; END $f$ LANGUAGE plpgsql`)
	db.Exec("PREPARE p AS SELECT $1::int")
	db.Exec("EXECUTE p(1); DEALLOCATE p")
	db.Exec(`
		-- a script: \set x 'no ?'
		CREATE TABLE t (a int); -- 100% ?
		INSERT INTO t VALUES (1);
		COMMENT ON TABLE t IS 'what ?'`)
}

func lists(db *sql.DB, x int, list []int, texts pq.StringArray, rows [][]any, points []point, any1 any) {
	db.Query("SELECT 1 WHERE 1 IN %s", list)
	db.Query("SELECT 1 WHERE 1 IN %s", []int{})
	db.Query("SELECT 1 WHERE 1 IN %s", [2]int{1, 2})
	db.Query("SELECT 1 WHERE 1 NOT IN %s", &list)
	db.Query("SELECT 1 WHERE 'a' IN %s", texts)
	db.Query("SELECT 1 WHERE 1 IN %s", any1)
	db.Query("SELECT 1 WHERE 1 IN (%s, %s)", 1, 2)
	db.Query("SELECT 1 WHERE 1 IN (%s)", x)
	db.Query("SELECT 1 WHERE 1 IN (%s)", any1)
	db.Query("SELECT 1 WHERE 1 = ANY(%s)", list)
	db.Query("SELECT 1 WHERE 1 = ANY($1)", pq.Array(list))
	db.Query("SELECT 1 WHERE (a, b) IN %s", rows)
	db.Query("SELECT 1 WHERE (a, b) IN %s", points)
	db.Query("SELECT 1 WHERE (a, b) IN %s", any1)
	db.Query("SELECT position('a' IN %s)", "abc")
}

func names(db *sql.DB, o order, p *order, m map[string]any, any1 any, args []any, named []any) {
	db.Query("SELECT %(a)s, %(b)s, %(a)s", map[string]any{"a": 1, "b": nil, "c": 3})
	db.Query("SELECT %(id)s, %(x)s, %(customer)s, %(at)s", o)
	db.Query("SELECT %(id)s", p)
	db.Query("SELECT %(whatever)s", m)
	db.Query("SELECT %(whatever)s", any1)
	db.Query("SELECT %(a)s", sql.Named("a", 1))
	db.Query("SELECT %(a b)s", map[string]string{"a b": "c"})
	db.Query("SELECT %(a)s, %(b)s", named...)
	db.Query("SELECT %(l)s", struct{ L []int }{})
	db.Query("SELECT %s, %s", args...)
	db.Query("SELECT %s", map[string]string(nil), psyco.ServerSide(1))
}

func places(db *sql.DB, x int, s string, t time.Time) {
	db.Query("SELECT EXTRACT(year FROM %s::timestamptz)", t)
	db.Query("SELECT substring(%s FROM %s)", s, s)
	db.Query("SELECT substring(%s FROM %s FOR %s)", s, x, x)
	db.Query("SELECT trim(both 'x' FROM %s)", s)
	db.Query("SELECT 1 WHERE a IS DISTINCT FROM %s", x)
	db.Query("SELECT 1 WHERE a IS NOT DISTINCT FROM $1", x)
	db.Query("SELECT %s::interval, $$x$$", s)
	db.Query("SELECT a FROM t FOR UPDATE LIMIT %s", x)
	db.Query("SELECT now() AT TIME ZONE %s", s)
	db.Query("SELECT generate_series(1, %s) AS interval", x)
	db.Query("SELECT i.interval, $1::int FROM i", x)
	db.Exec("INSERT INTO t SELECT %s, %s", 1, 2)
	db.Exec("INSERT INTO t VALUES (%s) ON CONFLICT (a) DO UPDATE SET a = %s", 1, 2)
	db.Exec("UPDATE t SET a = b FROM u WHERE t.id = %s", 1)
	db.Exec("COMMENT ON TABLE t IS %s", s)
	db.Exec("SET TIME ZONE INTERVAL %s", s)
	db.Exec("SET work_mem = %s", s)
	db.Exec("NOTIFY c, %s", s)
	db.Exec("CREATE TABLE u AS SELECT %s AS a", 1)
	db.Query("EXPLAIN SELECT %s", 1)
	db.Query("VALUES (%s, %s)", 1, 2)
	db.Query("TABLE t")
	db.Query("CALL p(%s)", 1)
	db.Query("SELECT 1 LIMIT%s", 1)
	db.Query("SELECT $2, $1", 1, 2)
	db.Query("SELECT $1, $1", 1)
}

func made(db *sql.DB, s string, x int, st status, cols []string) {
	db.Query(byID, 1)
	db.Query("SELECT " + strings.Join(cols, ", ") + " FROM t WHERE a = '%s'")
	db.Query(fmt.Sprintf("SELECT * FROM t LIMIT %d", x))
	db.Query(fmt.Sprintf("SELECT * FROM t WHERE id = %s", pq.QuoteLiteral(s)))
	db.Query(fmt.Sprintf("SELECT now() - INTERVAL '%d days'", x))
	db.Query(fmt.Sprintf("SELECT %s FROM t WHERE id = $1", columns), x)
	db.Query("SELECT * FROM t WHERE id = $"+strconv.Itoa(x), x)
	db.Query("SELECT * FROM "+pq.QuoteIdentifier(s)+" WHERE a = $1", x)
	query := "SELECT * FROM t"
	if x > 0 {
		query += " WHERE a = $1"
	}
	db.Query(query, x)
	text := "SELECT ?"
	change(&text)
	db.Query(text, 1)
	for _, q := range []string{"SELECT 1", "SELECT ?"} {
		db.Query(q, 1)
	}
}

func change(s *string) { *s = "SELECT $1" }

func psycos(ctx context.Context, db *sql.DB, r io.Reader, opts []any) {
	psyco.QueryAll[order](ctx, db, "SELECT * FROM t WHERE a = %s", 1, psyco.Lax())
	db.QueryContext(ctx, "SELECT %s", 1, psyco.ServerSide(100))
	db.QueryContext(ctx, "SELECT 1", psyco.ServerSide(100))
	db.Exec("COPY (SELECT 1) TO STDOUT", &bytes.Buffer{})
	db.Exec("COPY t FROM STDIN", r)
	psyco.CopyFrom(ctx, db, "COPY t FROM STDIN WITH (FORMAT csv, DELIMITER %s)", r, ";")
	progress := psyco.CopyProgress(func(rows, bytes int64) {})
	psyco.CopyFrom(ctx, db, "COPY t FROM STDIN", r, progress)
	db.Exec("COPY t FROM STDIN WHERE a > %s", 1, psyco.CopyProgress(nil), r)
	psyco.ExecMany(ctx, db, "INSERT INTO t VALUES (%s, %s)", psyco.SliceRows([][]any{{1, 2}, {3, 4}}))
	psyco.ExecMany(ctx, db, "INSERT INTO t VALUES (%(x)s)", psyco.SliceRows([][]any{{point{1, 2}}}))
	psyco.ExecValues(ctx, db, "INSERT INTO t VALUES %s", psyco.SliceRows(nil), &psyco.ValuesOptions{Template: "(%s, now())"})
	psyco.Compose("SELECT a FROM t WHERE a = '{{}}'")
	psyco.Compose("SELECT {0}, {0} FROM {1}", psyco.Identifier{"a"}, psyco.Identifier{"s", "t"})
	psyco.Compose("SELECT {c} WHERE a = %s AND b = '{{1}}'", sql.Named("c", psyco.Identifier{"a"}))
	psyco.Compose("SELECT {} WHERE {}", psyco.Identifier{"a"}, psyco.Join(" AND ", psyco.Raw("a"), psyco.Raw("b")))
	psyco.Compose("SELECT {} FROM {}", opts...)
	psyco.Raw("{} = {}").Format(psyco.Identifier{"a"}, 1)
}

func statements(db *sql.DB) error {
	stmt, err := db.Prepare("INSERT INTO t VALUES (%s, %s)")
	if err != nil {
		return err
	}
	stmt.Exec(1, 2)
	in, err := db.Prepare(pq.CopyIn("t", "a", "b"))
	in.Exec(1, 2)
	in.Exec()
	copied, err := db.Prepare("COPY t (a, b) FROM STDIN")
	copied.Exec(1, 2)
	copied.Exec()
	if stmt, err = db.Prepare("SELECT %s"); err != nil {
		return err
	}
	stmt.Query(1)
	return err
}
