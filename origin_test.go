package psyco_test

import (
	"context"
	"database/sql"
	"io"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
)

// ways are the functions that run a query with arguments, each of which may put
// something around it.
var ways = []struct {
	name string
	run  func(ctx context.Context, db *sql.DB, query string, args []any) error
}{
	{"Query", func(ctx context.Context, db *sql.DB, query string, args []any) error {
		return readAll(db.QueryContext(ctx, query, args...))
	}},
	{"Exec", func(ctx context.Context, db *sql.DB, query string, args []any) error {
		return second(db.ExecContext(ctx, query, args...))
	}},
	{"Prepare", func(ctx context.Context, db *sql.DB, query string, args []any) error {
		stmt, err := db.PrepareContext(ctx, query)
		if err != nil {
			return err
		}
		defer stmt.Close()
		return readAll(stmt.QueryContext(ctx, args...))
	}},
	{"Tx", func(ctx context.Context, db *sql.DB, query string, args []any) error {
		return inTx(ctx, db, func(tx *sql.Tx) error { return second(tx.ExecContext(ctx, query, args...)) })
	}},
	{"Savepoint", func(ctx context.Context, db *sql.DB, query string, args []any) error {
		return inTx(ctx, db, func(tx *sql.Tx) error {
			return psyco.Savepoint(ctx, tx, func(tx *sql.Tx) error { return readAll(tx.QueryContext(ctx, query, args...)) })
		})
	}},
	{"ServerSide", func(ctx context.Context, db *sql.DB, query string, args []any) error {
		return readAll(db.QueryContext(ctx, query, append([]any{psyco.ServerSide(10)}, args...)...))
	}},
	{"DeclareCursor", func(ctx context.Context, db *sql.DB, query string, args []any) error {
		return inTx(ctx, db, func(tx *sql.Tx) error {
			return second(psyco.DeclareCursor(ctx, tx, `a "name"%s`, nil, query, args...))
		})
	}},
	{"Batch", func(ctx context.Context, db *sql.DB, query string, args []any) error {
		var b psyco.Batch
		b.Queue("SELECT %s::int", 1)
		b.Queue(query, args...).Each(func(*sql.Rows) error { return nil })
		return b.Run(ctx, db)
	}},
	{"ExecMany", func(ctx context.Context, db *sql.DB, query string, args []any) error {
		return second(psyco.ExecMany(ctx, db, query, psyco.SliceRows([][]any{args, args})))
	}},
}

func readAll(rows *sql.Rows, err error) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() || rows.NextResultSet() {
	}
	return rows.Err()
}

func inTx(ctx context.Context, db *sql.DB, f func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	return f(tx)
}

// pointsAt checks that an error shows the query as it was written, with a caret
// under the place.
func pointsAt(t *testing.T, err error, query, at string) {
	t.Helper()
	pe := pq.As(err)
	if pe == nil {
		t.Errorf("%s: %v", query, err)
		return
	}
	offset := len(query)
	if at != "" {
		offset = strings.Index(query, at)
	}
	if want := strconv.Itoa(utf8.RuneCountInString(query[:offset]) + 1); pe.Position != want {
		t.Errorf("%s: %v, position %s, want %s, at %s", query, err, pe.Position, want, at)
	}
	start := strings.LastIndexByte(query[:offset], '\n') + 1
	line, _, _ := strings.Cut(query[start:], "\n")
	caret := line + "\n" + strings.Repeat(" ", 10+utf8.RuneCountInString(query[start:offset])) + "^"
	if got := pe.ErrorWithDetail(); !strings.Contains(got, "| "+caret) {
		t.Errorf("%s does not point at %s", got, at)
	}
}

// TestErrorPosition: errors of the server point into the query that the program
// wrote, whatever became of it on the way.
func TestErrorPosition(t *testing.T) {
	long := strings.Repeat("x", 600)
	rows := make([][2]any, 600)
	for i := range rows {
		rows[i] = [2]any{i, "é"}
	}
	named := map[string]any{"a_rather_long_name": 1}
	everyWay := map[string]bool{"behind a name": true, "behind long values": true, "behind a list of rows": true, "native": true, "without arguments": true}
	tests := []struct {
		name, query string
		args        []any
		at          string // where the error is: the first place of this text, or the end
	}{
		{"behind a name", "SELECT %(a_rather_long_name)s, nosuch", []any{named}, "nosuch"},
		{"before a placeholder", "SELECT nosuch, %s", []any{1}, "nosuch"},
		{"behind many", "SELECT %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, nosuch", []any{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, "nosuch"},
		{"behind long values", "SELECT %s || %s || '',\n nosuch", []any{long, "it's \\ é"}, "nosuch"},
		{"behind percent signs", "SELECT 'é%%', 7 %% 2 = %s, nosuch", []any{1}, "nosuch"},
		{"behind a list", "SELECT 1 IN %s, 2 NOT IN %s, nosuch", []any{[]int{1}, []int{2, 3}}, "nosuch"},
		{"behind NOT IN with a comment", "SELECT 2 NOT /* é */ IN -- %s\n %s, nosuch", []any{[]int{2, 3}}, "nosuch"},
		{"behind a list of rows", "SELECT (1, 'é') IN %s, nosuch", []any{rows[:3]}, "nosuch"},
		{"behind a long list of rows", "SELECT (1, 'é') IN %s, nosuch", []any{rows}, "nosuch"},
		{"behind no rows", "SELECT (1, 'é') IN %s, nosuch", []any{rows[:0]}, "nosuch"},
		{"in a row", "SELECT (1, nosuch) IN %s, 2", []any{rows[:2]}, "nosuch"},
		{"behind a word", "SELECT 1 LIMIT%s OFFSET nosuch", []any{1}, "nosuch"},
		{"at a placeholder", "SELECT * FROM %(a_rather_long_name)s WHERE true", []any{map[string]any{"a_rather_long_name": "t"}}, "%(a"},
		{"at IN", "SELECT '1'::json IN %s", []any{[]string{"1"}}, "IN"},
		{"at the end", "SELECT (%s", []any{1}, ""},
		{"on the third line", "SELECT\n  %s,\n  %s, nosuch,\n  3", []any{1, 2}, "nosuch"},
		{"native", "SELECT $1::text, nosuch", []any{long}, "nosuch"},
		{"without arguments", "SELECT 'é%s', nosuch", nil, "nosuch"},
	}
	inModes(t, func(t *testing.T, db *sql.DB) {
		ctx, isWrapped := context.Background(), wrapped(t)
		for _, tt := range tests {
			for i, way := range ways {
				if i > 0 && !everyWay[tt.name] {
					break
				}
				if isWrapped && (way.name == "ServerSide" && tt.args == nil || way.name == "Prepare" && strings.Contains(tt.query, ") IN")) {
					continue // ServerSide is an argument there, and rows are not prepared
				}
				t.Run(tt.name+" "+way.name, func(t *testing.T) {
					pointsAt(t, way.run(ctx, db, tt.query, tt.args), tt.query, tt.at)
				})
			}
		}
	})
}

// TestErrorPositionElsewhere is TestErrorPosition for what takes other statements.
func TestErrorPositionElsewhere(t *testing.T) {
	ctx := context.Background()
	rows := psyco.SliceRows([][]any{{1, "é"}, {2, "b"}, {3, "c"}})
	template := &psyco.ValuesOptions{Template: "(%s %% 2, upper(%s))"}
	pages := &psyco.ValuesOptions{PageSize: 2, Each: func(*sql.Rows) error { return nil }}
	tests := []struct {
		name, query string
		run         func(db *sql.DB, query string) error
		at          string
	}{
		{"utility", "CREATE VIEW v AS SELECT %s::text || 'é%%', nosuch", execute("it's"), "nosuch"},
		{"several statements, the first", "SELECT %s, nosuch; SELECT 2", execute("é"), "nosuch"},
		{"several statements, the last", "SELECT %s; SELECT 7 %% 2, nosuch", execute("é"), "nosuch"},
		{"EXPLAIN", "EXPLAIN SELECT %s::text, nosuch", execute("é"), "nosuch"},
		{"ExecValues, before the rows", "INSERT INTO t (a, 7%%2, b) VALUES %s", func(db *sql.DB, query string) error {
			return second(psyco.ExecValues(ctx, db, query, rows, nil))
		}, "7"},
		{"ExecValues, behind the rows", "INSERT INTO t VALUES %s RETURNING 'é%%', nosuch", func(db *sql.DB, query string) error {
			return second(psyco.ExecValues(ctx, db, query, rows, template))
		}, "nosuch"},
		{"ExecValues, in pages", "INSERT INTO t VALUES %s RETURNING 7 %% 2, 'é', nosuch", func(db *sql.DB, query string) error {
			return second(psyco.ExecValues(ctx, db, query, rows, pages))
		}, "nosuch"},
		{"ExecValues, in the rows", "INSERT INTO t VALUES %s", func(db *sql.DB, query string) error {
			return second(psyco.ExecValues(ctx, db, query, rows, &psyco.ValuesOptions{Template: "(%s, %s, nosuch)"}))
		}, "%s"},
		{"ExecMany, a later list", "UPDATE t SET a = 1 WHERE (a, b) IN %s AND b = nosuch", func(db *sql.DB, query string) error {
			return second(psyco.ExecMany(ctx, db, query, psyco.SliceRows([][]any{{[][]any{}}, {[][]any{{1, "é"}, {2, "b"}}}})))
		}, "nosuch"},
	}
	inModes(t, func(t *testing.T, db *sql.DB) {
		mustExec(t, db, "CREATE TABLE t (a int, b text)")
		for _, tt := range tests {
			if wrapped(t) && strings.HasSuffix(tt.name, "the last") {
				continue // the rows are the other driver's
			}
			t.Run(tt.name, func(t *testing.T) { pointsAt(t, tt.run(db, tt.query), tt.query, tt.at) })
		}
		if wrapped(t) {
			return
		}
		query := "COPY (SELECT 'é%%', %s::text, nosuch) TO STDOUT"
		pointsAt(t, second(psyco.CopyTo(ctx, db, io.Discard, query, "it's")), query, "nosuch")
	})
}

func execute(args ...any) func(db *sql.DB, query string) error {
	return func(db *sql.DB, query string) error { return readAll(db.Query(query, args...)) }
}

// TestErrorPositionBytes: a server without an encoding counts bytes.
func TestErrorPositionBytes(t *testing.T) {
	db := testDB(t)
	var name string
	if err := db.QueryRow("SELECT current_database() || '_bytes'").Scan(&name); err != nil {
		t.Fatal(err)
	}
	mustExec(t, db, "CREATE DATABASE "+pq.QuoteIdentifier(name)+" ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
	defer mustExec(t, db, "DROP DATABASE "+pq.QuoteIdentifier(name)+" WITH (FORCE)")
	bytes := open(t, sameDatabase(t, db)+" dbname="+name)
	query := "SELECT 'ééé', %s::text, nosuch"
	pointsAt(t, readAll(bytes.Query(query, "é")), query, "nosuch")
}
