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

// TestErrorsSayWhatToWrite runs the mistakes that people make with psycopg's
// placeholders, and expects the words that help: in the error if it is psyco's, in the
// hint if it is the server's.
func TestErrorsSayWhatToWrite(t *testing.T) {
	type person struct {
		Name   string
		EMail  string
		Phone  string `db:"tel" json:"phone_number"`
		secret string
		Hidden int `db:"-"`
	}
	someone := person{secret: ""}
	slice := []int{1}
	tests := []struct {
		name, query string
		args        []any
		want        string
		literal     bool // is not a mistake for a literal
	}{
		{"a verb of fmt", "SELECT %d", list{1}, "got '%d'; % as an operator needs a space after it, or is written %%; a placeholder for a value of any type is %s (line", false},
		{"%v", "SELECT %v", list{1}, "a placeholder for a value of any type is %s (line", false},
		{"a verb with a name", "SELECT %(id)d", list{map[string]any{"id": 1}}, "a placeholder for a value of any type is %(id)s (line", false},
		{"a name without a letter", "SELECT %(id)", list{map[string]any{"id": 1}}, "a placeholder for a value of any type is %(id)s (line", false},

		{":name and a map", "SELECT a[1:2], 'x'::text, :id", list{map[string]any{"id": 1}}, "the query has no %(name)s placeholder: write %(id)s, not :id (line 1, column 27)", false},
		{"@name and a struct", "SELECT 1 @> 2, @name", list{someone}, "write %(name)s, not @name", false},
		{"{name} and a map", "SELECT {id}", list{map[string]any{"id": 1}}, "write %(id)s, not {id}", false},
		{"$name and sql.Named", "SELECT $id", list{sql.Named("id", 1)}, "write %(id)s, not $id", false},
		{"a map for no placeholder", "SELECT 1", list{map[string]any{"id": 1}}, "no placeholder for the parameters: write %(name)s where a value goes", false},

		{"a name as the field is", "SELECT %(Name)s", list{someone}, "query parameter missing: Name: did you mean %(name)s, the field Name?", false},
		{"a name with other words", "SELECT %(email)s", list{&someone}, "missing: email: did you mean %(e_mail)s, the field EMail?", false},
		{"a name of the json tag", "SELECT %(phone_number)s", list{someone}, "missing: phone_number: did you mean %(tel)s, the field Phone?", false},
		{"a name of a field with a tag", "SELECT %(phone)s", list{someone}, "missing: phone: did you mean %(tel)s, the field Phone?", false},
		{"an unexported field", "SELECT %(secret)s", list{someone}, "missing: secret: the field secret of psyco_test.person is not exported", false},
		{"an excluded field", "SELECT %(hidden)s", list{someone}, `missing: hidden: the field Hidden of psyco_test.person has the tag db:"-"`, false},
		{"a misspelt field", "SELECT %(nmae)s", list{someone}, "missing: nmae: did you mean %(name)s?", false},
		{"another case in a map", "SELECT %(userId)s", list{map[string]int{"user_id": 1}}, "missing: userId: did you mean %(user_id)s?", false},
		{"another case in sql.Named", "SELECT %(Id)s", list{sql.Named("id", 1)}, "missing: Id: did you mean %(id)s?", false},
		{"nothing alike", "SELECT %(x)s", list{map[string]int{"y": 1}}, "query parameter missing: x (line", false},

		{"a map for one %s", "SELECT %s", list{map[string]any{"id": 1}}, "psyco.HStore, or write %(key)s in the query to take values from it by name", false},
		{"a struct for one %s", "SELECT %s", list{someone}, "one by one, or write %(key)s in the query", false},
		{"inside a body", "DO $$ BEGIN PERFORM %s; END $$", list{1}, "is inside a literal, and a $$ body takes no parameters", false},

		{"FROM", "SELECT * FROM %s", list{"t"}, "names, keywords and other parts of a query go in with psyco.Compose", false},
		{"a column", "SELECT t.%(column)s FROM t", list{map[string]any{"column": "id"}}, "go in with psyco.Compose", false},
		{"a sort order", "SELECT 1 FROM t ORDER BY id %s", list{"DESC"}, "go in with psyco.Compose", true},
		{"INTERVAL", "SELECT INTERVAL %s", list{"1 day"}, "write %s::interval", true},
		{"DATE", "SELECT date %(day)s", list{map[string]any{"day": "2024-02-29"}}, "write %(day)s::date", true},
		{"TIMESTAMP WITH TIME ZONE", "SELECT timestamp with time zone %s", list{"2024-02-29"}, "write %s::timestamptz", true},
		{"IS", "SELECT 1 FROM t WHERE id IS %s", list{nil}, "write IS NOT DISTINCT FROM %s", true},
		{"IS NOT", "SELECT 1 FROM t WHERE id is not %s", list{nil}, "write IS DISTINCT FROM %s", true},
		{"ANY", "SELECT 1 FROM t WHERE id = ANY %s", list{slice}, "write ANY(%s)", false},
		{"LIKE at the end", "SELECT 1 FROM t WHERE a LIKE %s%%", list{"a"}, "belong into the value: write LIKE %s", false},
		{"LIKE in the middle", "SELECT 1 FROM t WHERE a ilike %%%s%% AND id = 1", list{"a"}, "write ILIKE %s", false},
		{"a slice for json", "INSERT INTO t (j) VALUES (%s)", list{slice}, "write psyco.JSON[any]{V: slice} for json", false},
		{"a slice of strings for json", "INSERT INTO t (j) VALUES (%s)", list{[]string{"a"}}, "write psyco.JSON[any]{V: slice} for json", false},
		{"a slice compared", "SELECT 1 FROM t WHERE id = %s", list{slice}, "write = ANY(%s) or IN %s", false},
		{"a slice compared with a date", "SELECT 1 FROM t WHERE d = %s", list{[]string{"x"}}, "write = ANY(%s) or IN %s", false},
		{"an expression that is grouped by", "SELECT left(a, %s::int) FROM t GROUP BY left(a, %s::int)", list{1, 1}, "write %(name)s in both", true},
		{"no arguments", "SELECT 1 FROM t WHERE id = %s", nil, "No arguments were given for %s", false},
		{"no arguments for a name", "INSERT INTO t (id) VALUES (%(id)s)", nil, "No arguments were given for %(id)s", false},

		{"the server's own hint", "SELECT nosuch(%s::int)", list{1}, "No function matches the given name", false},
		{"a comma that is missing", "SELECT %s %s", list{1, 2}, "", true},
		{"a value alone", "SELECT 1 FROM t WHERE id = %s", list{"x"}, "", false},
		{"a native query", "SELECT * FROM $1", list{"t"}, "", false},
		{"no arguments for an operator", "SELECT 1 FROM t WHERE id %2 = nosuch", nil, "", false},
	}
	inModes(t, func(t *testing.T, db *sql.DB) {
		mustExec(t, db, "CREATE TABLE t (id int, a text, j jsonb, d date)")
		client := strings.HasSuffix(t.Name(), "/client_binding")
		for _, tt := range tests {
			if client && tt.literal {
				continue
			}
			for _, way := range ways {
				if way.name != "Query" && way.name != "Tx" && way.name != "Batch" {
					continue
				}
				t.Run(tt.name+" "+way.name, func(t *testing.T) {
					err := way.run(t.Context(), db, tt.query, tt.args)
					if err == nil {
						t.Fatal("no error")
					}
					pe := pq.As(err)
					if pe == nil {
						if !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "psyco: ") {
							t.Errorf("%v\nwant %s", err, tt.want)
						}
						return
					}
					if !strings.Contains(pe.Hint, tt.want) || tt.want == "" && pe.Hint != "" {
						t.Errorf("%v, hint %q, want %q", err, pe.Hint, tt.want)
					}
					if way.name == "Query" && err != error(pe) {
						t.Errorf("%T, want a bare *pq.Error", err)
					}
				})
			}
		}
	})
}
