package compat

import (
	"database/sql"
	"testing"

	"github.com/DATA-DOG/go-txdb"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/psycotest"
)

func TestTxDB(t *testing.T) {
	dsn := psycotest.DSN(t)
	db := sql.OpenDB(txdb.New("psyco", dsn))
	testWrapped(t, db)
	must(t, psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error { // a savepoint
		_, err := tx.Exec("CREATE TABLE v (a int)")
		must(t, err)
		return psyco.Rollback("")
	}))
	if one[*string](t, db, "SELECT to_regclass('v')") != nil || one[*string](t, db, "SELECT to_regclass('u')") == nil {
		t.Error("the savepoint was not rolled back, or all was")
	}
	must(t, db.Close()) // rolls everything back

	real, err := sql.Open("psyco", dsn)
	must(t, err)
	defer real.Close()
	if one[*string](t, real, "SELECT to_regclass('u')") != nil {
		t.Error("a table outlives the transaction")
	}
}
