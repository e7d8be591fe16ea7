package values_test

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/psyco-go/psyco"
)

// byteaTexts are strings for a bytea column and the bytes that psycopg2 and psycopg 3
// store there. An empty one is an error of both.
var byteaTexts = []struct{ text, hex string }{
	{"AB", "4142"},
	{`\x4142`, "4142"},
	{`\x41 42`, "4142"},
	{`\x`, ""},
	{`a\\b`, "615c62"},
	{`\101`, "41"},
	{"é", "c3a9"},
	{"", ""},
}

// TestStringsForBytea checks that a string in the place of a bytea is the text of it, as it
// is in psycopg's literals, whichever way it goes.
func TestStringsForBytea(t *testing.T) {
	ctx := t.Context()
	const insert = "INSERT INTO b VALUES (%s)"
	var rows [][]any
	var want []string
	for _, tt := range byteaTexts {
		rows = append(rows, []any{tt.text})
		want = append(want, tt.hex)
	}
	each := func(t *testing.T, run func(text string) error) {
		t.Helper()
		for _, tt := range byteaTexts {
			if err := run(tt.text); err != nil {
				t.Errorf("%q: %v", tt.text, err)
			}
		}
	}
	type exec func(query string, args ...any) error
	ways := []struct {
		name string
		run  func(t *testing.T, db *sql.DB, h psyco.Handle, exec exec)
	}{
		{"Exec", func(t *testing.T, _ *sql.DB, _ psyco.Handle, exec exec) {
			each(t, func(text string) error { return exec(insert, text) })
		}},
		{"Exec by name", func(t *testing.T, _ *sql.DB, _ psyco.Handle, exec exec) {
			each(t, func(text string) error {
				return exec("INSERT INTO b VALUES (%(b)s)", map[string]any{"b": text})
			})
		}},
		{"beside bytes", func(t *testing.T, _ *sql.DB, _ psyco.Handle, exec exec) {
			each(t, func(text string) error {
				return exec("INSERT INTO b SELECT %s WHERE %s::bytea IS NOT NULL", text, []byte("\\\x00\xff"))
			})
		}},
		{"in a long packet", func(t *testing.T, _ *sql.DB, _ psyco.Handle, exec exec) {
			each(t, func(text string) error {
				return exec("INSERT INTO b SELECT %s WHERE %s::text <> '' --"+strings.Repeat("-", 2000), text, strings.Repeat("x", 10_000))
			})
		}},
		{"Prepare", func(t *testing.T, _ *sql.DB, h psyco.Handle, _ exec) {
			stmt, err := h.(interface {
				Prepare(string) (*sql.Stmt, error)
			}).Prepare(insert)
			if err != nil {
				t.Fatal(err)
			}
			defer stmt.Close()
			each(t, func(text string) error { return second(stmt.Exec(text)) })
		}},
		{"Batch", func(t *testing.T, _ *sql.DB, h psyco.Handle, _ exec) {
			var b psyco.Batch
			for _, row := range rows {
				b.Queue(insert, row...)
			}
			if err := b.Run(ctx, h); err != nil {
				t.Error(err)
			}
		}},
		{"ExecMany", func(t *testing.T, _ *sql.DB, h psyco.Handle, _ exec) {
			if _, err := psyco.ExecMany(ctx, h, insert, psyco.SliceRows(rows)); err != nil {
				t.Error(err)
			}
		}},
		{"ExecValues", func(t *testing.T, _ *sql.DB, h psyco.Handle, _ exec) {
			if _, err := psyco.ExecValues(ctx, h, "INSERT INTO b VALUES %s", psyco.SliceRows(rows), nil); err != nil {
				t.Error(err)
			}
		}},
		{"CopyRows", func(t *testing.T, _ *sql.DB, h psyco.Handle, _ exec) {
			if _, err := psyco.CopyRows(ctx, h, psyco.Identifier{"b"}, []string{"b"}, psyco.SliceRows(rows)); err != nil {
				t.Error(err)
			}
		}},
		{"array", func(t *testing.T, _ *sql.DB, _ psyco.Handle, exec exec) {
			var texts []string
			for _, tt := range byteaTexts {
				texts = append(texts, tt.text)
			}
			if err := exec("INSERT INTO b SELECT unnest(%s::bytea[])", texts); err != nil {
				t.Error(err)
			}
		}},
	}
	inModes(t, func(t *testing.T, db *sql.DB) {
		if wrapped(t) {
			return // the wrapped driver decides; lib/pq takes a string's bytes
		}
		mustExec(t, db, "CREATE TABLE b (b bytea)")
		for _, way := range ways {
			for range 2 {
				mustExec(t, db, "TRUNCATE b")
				way.run(t, db, db, func(query string, args ...any) error { return second(db.Exec(query, args...)) })
				if got := all(t, db, "SELECT encode(b, 'hex') FROM b"); !slices.Equal(got, want) {
					t.Errorf("%s: got %q, want %q", way.name, got, want)
				}
				tx := mustBegin(t, db)
				mustExec(t, tx, "TRUNCATE b")
				way.run(t, db, tx, func(query string, args ...any) error { return second(tx.Exec(query, args...)) })
				if got := all(t, tx, "SELECT encode(b, 'hex') FROM b"); !slices.Equal(got, want) {
					t.Errorf("%s in a transaction: got %q, want %q", way.name, got, want)
				}
				if err := tx.Rollback(); err != nil {
					t.Error(err)
				}
			}
		}
		for range 3 {
			if err := second(db.Exec(insert, `a\b`)); code(err) != "22P02" {
				t.Errorf("a text of no bytes: %v", err)
			}
		}
	})
}

// TestNativeStringsForBytea checks that for $1 a string's bytes are the value, as lib/pq has it.
func TestNativeStringsForBytea(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		if strings.HasSuffix(t.Name(), "/binary_parameters") || clientBinding(t) {
			return // lib/pq sends text with the first, and there are literals with the second
		}
		for range 4 {
			for _, tt := range byteaTexts {
				if got := all(t, db, "SELECT encode($1::bytea, 'hex')", tt.text); got[0] != fmt.Sprintf("%x", tt.text) {
					t.Errorf("%q: %s", tt.text, got)
				}
				var b psyco.Batch
				b.Queue("SELECT encode($1::bytea, 'hex')", tt.text).Each(func(row *sql.Rows) error {
					var got string
					if err := row.Scan(&got); err != nil || got != fmt.Sprintf("%x", tt.text) {
						t.Errorf("%q in a batch: %s, %v", tt.text, got, err)
					}
					return nil
				})
				if err := b.Run(t.Context(), db); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// bytesFrom is a Valuer that gives bytes, as many do for json.
type bytesFrom string

func (b bytesFrom) Value() (driver.Value, error) { return []byte(b), nil }

// TestBytesAsLiterals stores bytes with binding=client that are written in one way as text
// and in another as bytea, and checks that each column gets what the server's binding
// gives it, or refuses what that refuses.
func TestBytesAsLiterals(t *testing.T) {
	server := testDB(t)
	client := open(t, sameDatabase(t, server)+" binding=client")
	values := []string{"plain", `a\b`, `\101`, `\\`, `\x41`, "é", `{"a": "\\"}`, `{"a": "\u00e9"}`, "nul\x00", "\xff", "\x00\xff", `it's \'`, ""}
	queries := []struct{ name, query string }{
		{"INSERT", "INSERT INTO %s VALUES ($1) RETURNING v::text"},
		{"SELECT", "INSERT INTO %s SELECT $2 WHERE $1::text = 'x' AND $1 <> '' RETURNING v::text"},
		{"UPDATE", "UPDATE %s SET v = $1 WHERE $2::bytea IS NOT NULL RETURNING v::text"},
	}
	outcome := func(db *sql.DB, inTx bool, query string, args ...any) (got string) {
		row := db.QueryRow
		if inTx {
			tx := mustBegin(t, db)
			defer func() {
				if err := tx.Rollback(); err != nil {
					t.Error(err)
				}
			}()
			row = tx.QueryRow
		}
		if err := row(query, args...).Scan(&got); err != nil {
			return "refused"
		}
		return got
	}
	for _, typ := range []string{"text", "varchar(20)", "name", "bytea", "json", "jsonb", "uuid"} {
		table := "t_" + strings.NewReplacer("(", "", ")", "").Replace(typ)
		mustExec(t, server, "CREATE TABLE "+table+" (v "+typ+"); INSERT INTO "+table+" VALUES (NULL)")
		for _, q := range queries {
			query := fmt.Sprintf(q.query, table)
			for _, v := range values {
				args := []any{[]byte(v)}
				if q.name == "UPDATE" {
					args = append(args, []byte("\\\x00\xff"))
				} else if q.name == "SELECT" {
					args = []any{"x", []byte(v)}
				}
				for _, inTx := range []bool{false, true} {
					mustExec(t, server, "UPDATE "+table+" SET v = NULL")
					want := outcome(server, inTx, query, args...)
					mustExec(t, server, "UPDATE "+table+" SET v = NULL")
					if got := outcome(client, inTx, query, args...); got != want {
						t.Errorf("%s, %s of %q: %q, want %q", typ, q.name, v, got, want)
					}
				}
			}
		}
		for _, v := range values {
			query := "INSERT INTO " + table + " VALUES (%s) RETURNING v::text"
			want := outcome(server, false, query, bytesFrom(v))
			if got := outcome(client, false, query, bytesFrom(v)); got != want {
				t.Errorf("%s, Valuer of %q: %q, want %q", typ, v, got, want)
			}
		}
	}
	// What takes no parameters still works, as far as it can.
	mustExec(t, client, "CREATE TABLE d (b bytea)")
	mustExec(t, client, "ALTER TABLE d ALTER b SET DEFAULT $1", []byte(`\a`))
	if got := all(t, client, "INSERT INTO d DEFAULT VALUES RETURNING encode(b, 'hex')"); got[0] != "5c61" {
		t.Errorf("a default: %s", got)
	}
	tx := mustBegin(t, client)
	mustExec(t, tx, "CREATE TABLE e (b bytea)")
	if got := all(t, tx, "SELECT interval $1 FROM (SELECT $2::bytea) b", []byte("1 day"), []byte(`\a`)); got[0] != "1 day" {
		t.Errorf("an interval: %s", got)
	}
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
}

// TestEmptyBytea reads a bytea without bytes in each row of a result, whoever reads it.
func TestEmptyBytea(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		conn := mustConn(t, db)
		for _, output := range []string{"hex", "escape"} {
			mustExec(t, conn, "SET bytea_output = "+output)
			for _, args := range [][]any{nil, {500}, {500}, {500}} {
				query := `SELECT '\x'::bytea, repeat('x', 500) FROM generate_series(1, 300)`
				if args != nil {
					query = `SELECT '\x'::bytea, repeat('x', %s) FROM generate_series(1, 300)`
				}
				rows, err := conn.QueryContext(t.Context(), query, args...)
				if err != nil {
					t.Fatal(err)
				}
				for n := 0; rows.Next(); n++ {
					var b []byte
					var s string
					err := rows.Scan(&b, &s)
					if err != nil || len(b) > 0 || b == nil && !wrapped(t) { // there the rows are lib/pq's
						t.Errorf("%s, %d arguments, row %d: %#v; %v", output, len(args), n, b, err)
					}
				}
				if err := rows.Err(); err != nil {
					t.Error(err)
				}
			}
		}
	})
}
