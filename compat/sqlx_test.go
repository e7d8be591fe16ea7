package compat

import (
	"database/sql"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/psycotest"
)

func TestSQLX(t *testing.T) {
	dsn := psycotest.DSN(t)
	sqlx.BindDriver("psyco", sqlx.DOLLAR)
	db, err := sqlx.Connect("psyco", dsn)
	must(t, err)
	defer db.Close()
	db.MustExec("CREATE TABLE clients (id int, name text, tags text[])")

	type client struct {
		ID   int
		Name string
		Tags psyco.Array[string]
	}
	rows := []client{{1, "a", nil}, {2, "b", psyco.Array[string]{"x", "y"}}}
	_, err = db.NamedExec("INSERT INTO clients (id, name, tags) VALUES (:id, :name, :tags)", rows)
	must(t, err)
	query, args, err := sqlx.In("SELECT name FROM clients WHERE id IN (?) ORDER BY id", []int{1, 2})
	must(t, err)
	var names []string
	must(t, db.Select(&names, db.Rebind(query), args...))
	if len(names) != 2 || names[1] != "b" {
		t.Fatalf("got %q", names)
	}

	// psycopg's placeholders need neither Rebind nor In.
	must(t, db.Select(&names, "SELECT name FROM clients WHERE id IN %s ORDER BY id", []int{1, 2}))
	if len(names) != 2 || names[1] != "b" {
		t.Fatalf("got %q", names)
	}
	var c client
	must(t, db.Get(&c, "SELECT * FROM clients WHERE name = %(name)s", client{Name: "b"}))
	if c.ID != 2 || len(c.Tags) != 2 {
		t.Fatalf("got %+v", c)
	}
	sqlxNamed(t, db)
	sqlxTx(t, db)
}

func sqlxNamed(t *testing.T, db *sqlx.DB) {
	stmt, err := db.PrepareNamed("SELECT id FROM clients WHERE name = :name AND id % 2 = :rest AND name !~ '%s'")
	must(t, err)
	defer stmt.Close()
	var id int
	for range 3 {
		must(t, stmt.Get(&id, map[string]any{"name": "b", "rest": 0}))
	}
	rows, err := db.NamedQuery("SELECT id, name FROM clients WHERE id = :id", map[string]any{"id": id})
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		got := map[string]any{}
		must(t, rows.MapScan(got))
		if got["id"] != int64(2) || got["name"] != "b" {
			t.Fatalf("got %v", got)
		}
	}
	must(t, rows.Err())
}

func sqlxTx(t *testing.T, db *sqlx.DB) {
	tx, err := db.Beginx()
	must(t, err)
	defer tx.Rollback()
	must(t, psyco.Savepoint(ctx, tx.Tx, func(*sql.Tx) error {
		tx.MustExec("DELETE FROM clients")
		return psyco.Rollback("")
	}))
	n, err := psyco.CopyRows(ctx, tx, psyco.Identifier{"clients"}, []string{"id", "name"}, psyco.SliceRows([][]any{{3, "c"}}))
	must(t, err)
	var count int64
	must(t, tx.Get(&count, "SELECT count(*) FROM clients"))
	if n != 1 || count != 3 {
		t.Fatalf("loaded %d, there are %d", n, count)
	}
	must(t, tx.Commit())
}
