package placeholder

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/pgserver"
)

func openPQ(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", pgserver.TestDSN(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// sent is what Bind makes of a query, in the form that database/sql takes.
// Slices become arrays, as they would on the way.
func sent(t *testing.T, text string, args ...any) (string, []any) {
	t.Helper()
	q, err := Rewrite(text, Auto)
	if err != nil {
		t.Fatal(err)
	}
	query, out, _, err := q.Bind(values(args...))
	if err != nil {
		t.Fatal(err)
	}
	list := make([]any, len(out))
	for i, a := range out {
		switch v := a.Value.(type) {
		case []int, []string:
			list[i] = pq.Array(v)
		default:
			list[i] = v
		}
	}
	return query, list
}

// TestServerTakesWhatIsSent runs what IN becomes in all its forms. The strings
// have no type of their own: they must become what stands before IN.
func TestServerTakesWhatIsSent(t *testing.T) {
	db := openPQ(t)
	_, err := db.Exec(`CREATE TABLE t (id int, name text, day date, key uuid);
		INSERT INTO t SELECT n, 'n' || n % 5, date '2020-01-01' + n, lpad(n::text, 32, '0')::uuid FROM generate_series(1, 20) n;
		INSERT INTO t VALUES (NULL, NULL, NULL, NULL)`)
	if err != nil {
		t.Fatal(err)
	}
	pairs := func(n int) (list [][]any) {
		for i := range n {
			list = append(list, []any{fmt.Sprintf("%032d", i+1), fmt.Sprintf("2020-01-%02d", i%30+2)})
		}
		return list
	}
	type pair struct {
		ID   int
		Name string
	}
	tests := []struct {
		name, where string
		args        []any
		want        int
	}{
		{"list", "id IN %s", []any{[]int{1, 3, 99}}, 2},
		{"no list", "id IN %s", []any{[]int(nil)}, 0},
		{"not in list", "id NOT IN %s", []any{[]int{1, 3}}, 18},
		{"not in no list", "id NOT IN %s", []any{[]int{}}, 21},
		{"list of strings for a date", "day IN %s", []any{[]string{"2020-01-02", "2020-01-04"}}, 2},
		{"behind NOT", "NOT id IN %s", []any{[]int{1, 3}}, 18},
		{"behind an expression", "id + 1 IN %s AND name || 'x' NOT /* c */ IN -- d\n %s", []any{[]int{2, 4}, []string{"n1x"}}, 1},
		{"without white space", "(id)IN%s", []any{[]int{1, 3}}, 2},
		{"rows", "(key, day) IN %s", []any{pairs(3)}, 3},
		{"rows, not in", "(key, day) NOT IN %s", []any{pairs(3)}, 17},
		{"no rows", "(key, day) IN %s", []any{pairs(0)}, 0},
		{"no rows, not in", "(key, day) NOT IN %s", []any{pairs(0)}, 21},
		{"many rows", "(key, day) IN %s", []any{pairs(MaxListedRows + 1)}, 20},
		{"many rows, not in", "(key, day) NOT IN %s", []any{pairs(MaxListedRows + 1)}, 0},
		{"as many rows as parameters allow", "(key, day) IN %s", []any{pairs(MaxParams / 2)}, 20},
		{"rows of nothing but nil", "(key, day) IN %s", []any{[][2]any{{}, {}}}, 0},
		{"rows of structs", "ROW(id, name) IN %s", []any{[]pair{{1, "n1"}, {2, "x"}}}, 1},
		{"rows with a placeholder before", "(id, %s) IN %s AND name = %s", []any{"2020-01-02", [][]any{{1, "2020-01-02"}}, "n1"}, 1},
		{"no rows with a placeholder before", "(id, %s) NOT IN %s AND name = %s", []any{"x", [][]any{}, "n1"}, 4},
		{"position", "position(%s IN %s) = 2", []any{"b", "abc"}, 21},
		{"percent", "id %% 2 = %s %% 2 AND name LIKE 'n%%' AND name NOT LIKE '%3'", []any{1}, 8},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			query, args := sent(t, "SELECT count(*) FROM t WHERE "+tt.where, tt.args...)
			var got int
			if err := db.QueryRow(query, args...).Scan(&got); err != nil {
				t.Fatalf("%.300s: %v", query, err)
			}
			if got != tt.want {
				t.Errorf("%.300s: %d rows, want %d", query, got, tt.want)
			}
		})
	}
	// An aggregate must not count the rows of the list.
	query, args := sent(t, "SELECT name FROM t GROUP BY name HAVING (count(*), max(id)) NOT IN %s", [][]any{})
	var names []string
	rows, err := db.Query(query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name sql.NullString
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name.String)
	}
	if slices.Sort(names); rows.Err() != nil || len(names) != 6 {
		t.Errorf("%s: %q, %v", query, names, rows.Err())
	}
}

// TestServerTakesNoParameters checks what Query.Utility says: that the server
// refuses parameters where it is set, and takes them where it is not.
func TestServerTakesNoParameters(t *testing.T) {
	db := openPQ(t)
	_, err := db.Exec(`CREATE TABLE t (a text); CREATE PROCEDURE p(a text) LANGUAGE sql AS 'SELECT 1'`)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		text   string
		needed bool
	}{
		{"SELECT %s::text", false},
		{"(SELECT %s::text)", false},
		{"VALUES (%s::text)", false},
		{"WITH a AS (SELECT %s::text) TABLE a", false},
		{"INSERT INTO t VALUES (%s)", false},
		{"UPDATE t SET a = %s", false},
		{"DELETE FROM t WHERE a = %s", false},
		{"EXPLAIN SELECT %s::text", false},
		{"EXPLAIN (COSTS off) DELETE FROM t WHERE a = %s", false},
		{"EXPLAIN ANALYZE VERBOSE INSERT INTO t VALUES (%s)", false},
		{"DECLARE c CURSOR FOR SELECT %s::text", false},
		{"CALL p(%s)", false},
		{"SELECT %s::text; SELECT 2", true},
		{"EXPLAIN EXECUTE x(%s)", true},
		{"EXECUTE x(%s)", true},
		{"NOTIFY ch, %s", true},
		{"SET application_name TO %s", true},
		{"SET LOCAL application_name = %s", true},
		{"CREATE TABLE u (a text DEFAULT %s)", true},
		{"CREATE VIEW v AS SELECT %s::text AS a", true},
		{"CREATE MATERIALIZED VIEW v AS SELECT %s::text AS a", true},
		{"ALTER TABLE t ALTER a SET DEFAULT %s", true},
		{"COMMENT ON TABLE t IS %s", true},
		{"CREATE ROLE psyco_params PASSWORD %s", true},
		{"DO %s", true},
		{"PREPARE y AS SELECT %s::text", true},
		{"SECURITY LABEL FOR %s ON TABLE t IS 'x'", true},
	}
	literal := func(dst []byte, a driver.NamedValue) ([]byte, error) {
		return append(dst, pq.QuoteLiteral(a.Value.(string))...), nil
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			q, err := Rewrite(tt.text, Auto)
			if err != nil {
				t.Fatal(err)
			}
			if q.Utility != tt.needed {
				t.Errorf("utility is %v", q.Utility)
			}
			value := "x"
			if strings.HasPrefix(tt.text, "DO") {
				value = "BEGIN END"
			}
			asLiteral, _, err := q.Render(values(value), literal)
			if err != nil {
				t.Fatal(err)
			}
			asParameter := execute(t, db, q.SQL, value)
			if (asParameter != nil) != tt.needed {
				t.Errorf("with a parameter: %v", asParameter)
			}
			if err := execute(t, db, asLiteral); err != nil && !strings.HasPrefix(tt.text, "SECURITY") { // has no provider
				t.Errorf("%s: %v", asLiteral, err)
			}
		})
	}
}

// execute runs a statement where a statement x is prepared, and undoes it.
func execute(t *testing.T, db *sql.DB, query string, args ...any) error {
	t.Helper()
	db.SetMaxOpenConns(1)
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		tx.Rollback() // fails where the statement did
		if _, err := db.Exec("DEALLOCATE ALL"); err != nil {
			t.Error(err)
		}
	}()
	if _, err := tx.Exec("PREPARE x(text) AS SELECT $1"); err != nil {
		t.Fatal(err)
	}
	rows, err := tx.Query(query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}

// TestMisplacedOnServer runs what Misplaced refuses, and what looks like it.
func TestMisplacedOnServer(t *testing.T) {
	db := openPQ(t)
	for _, tt := range misplaced {
		q, err := Rewrite(tt.text, Auto)
		if err != nil {
			t.Fatal(err)
		}
		if q.Utility {
			text, _, err := q.Render(values("x"), func(dst []byte, _ driver.NamedValue) ([]byte, error) { return append(dst, "'x'"...), nil })
			if err != nil {
				t.Fatal(err)
			}
			_, err = db.Exec(text)
			checkSyntax(t, tt.text, err, tt.hint != "")
			continue
		}
		stmt, err := db.Prepare(q.SQL)
		if err == nil {
			stmt.Close()
		}
		checkSyntax(t, tt.text, err, tt.hint != "")
	}
}

// checkSyntax checks whether an error is one of the server's grammar.
func checkSyntax(t *testing.T, text string, err error, want bool) {
	t.Helper()
	var pe *pq.Error
	if got := errors.As(err, &pe) && pe.Code == "42601"; got != want {
		t.Errorf("%s: error %v, a syntax error: want %v", text, err, want)
	}
}
