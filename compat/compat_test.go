// Package compat runs well-known libraries over psyco, as their users would set
// them up. It is a module of its own so that none of them is a dependency.
package compat

import (
	"context"
	"database/sql"
	"testing"

	_ "github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/psycotest"
)

var ctx = context.Background()

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open is what programs do before they hand their database to a library.
func open(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("psyco", psycotest.DSN(t))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

// one returns the only value of a query's only row.
func one[T any](t *testing.T, db *sql.DB, query string, args ...any) (v T) {
	t.Helper()
	must(t, db.QueryRow(query, args...).Scan(&v))
	return v
}
