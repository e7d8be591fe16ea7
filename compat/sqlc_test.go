package compat

import (
	"database/sql"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/compat/sqlc"
	"github.com/psyco-go/psyco/psycotest"
)

// The package sqlc is what sqlc 1.31.1 made of schema.sql and query.sql.
func TestSQLC(t *testing.T) {
	schema, err := os.ReadFile("sqlc/schema.sql")
	must(t, err)
	dsn := psycotest.DSN(t)
	db, err := sql.Open("psyco", dsn)
	must(t, err)
	defer db.Close()
	_, err = db.Exec(string(schema))
	must(t, err)

	queries := sqlc.New(db)
	testSQLC(t, queries)
	prepared, err := sqlc.Prepare(ctx, db) // of emit_prepared_queries
	must(t, err)
	testSQLC(t, prepared)
	must(t, prepared.Close())

	// Both work in a transaction, and psyco's functions in between.
	must(t, psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
		_, err := psyco.CopyRows(ctx, tx, psyco.Identifier{"client"}, []string{"name"}, psyco.SliceRows([][]any{{"copied"}, {"too"}}))
		must(t, err)
		clients, err := queries.WithTx(tx).ListClients(ctx, sqlc.ListClientsParams{Column1: []int64{3, 4}, Part: "o"})
		if len(clients) != 2 {
			t.Errorf("got %v", clients)
		}
		return err
	}))
}

func testSQLC(t *testing.T, q *sqlc.Queries) {
	t.Helper()
	c, err := q.CreateClient(ctx, sqlc.CreateClientParams{
		Name: "50% off", Tags: []string{"a", `"b"`}, Settings: json.RawMessage(`{"k": "%s"}`),
	})
	must(t, err)
	if c.Email.Valid || !slices.Equal(c.Tags, []string{"a", `"b"`}) || string(c.Settings) != `{"k": "%s"}` || c.State != sqlc.StateOpen || c.CreatedAt.IsZero() {
		t.Fatalf("got %+v", c)
	}
	must(t, q.RenameClient(ctx, sqlc.RenameClientParams{ID: c.ID, Name: sql.NullString{String: "%(new)s", Valid: true}}))
	found, err := q.ListClients(ctx, sqlc.ListClientsParams{Column1: []int64{c.ID, -1}, Part: "new"})
	must(t, err)
	if len(found) != 1 || found[0].Name != "%(new)s" {
		t.Fatalf("got %+v", found)
	}
	n, err := q.Pay(ctx, sqlc.StateOpen)
	must(t, err)
	if want := c.ID % 2; n != want {
		t.Fatalf("%d paid, want %d", n, want)
	}
	res, err := q.DeleteClient(ctx, c.ID)
	must(t, err)
	if n, err := res.RowsAffected(); n != 1 || err != nil {
		t.Fatalf("deleted %d, %v", n, err)
	}
}
