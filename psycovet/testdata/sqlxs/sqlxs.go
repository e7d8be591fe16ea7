package sqlxs

import (
	"context"

	"github.com/jmoiron/sqlx"
)

type row struct{ A int }

func use(ctx context.Context, db *sqlx.DB, tx *sqlx.Tx) {
	var r row
	var all []row
	db.Get(&r, "SELECT %s", 1, 2)                                // want `1 placeholders but 2`
	db.Select(&all, "SELECT * FROM t WHERE a IN (%s)", []int{1}) // want `IN \(%s\) takes one value`
	tx.GetContext(ctx, &r, "SELECT $1, $2", 1)                   // want `the parameter \$2 but 1`
	db.MustExec("DELETE FROM t WHERE a = ?", 1)                  // want `does not know '\?'`
	db.Queryx("SELECT %s", 1, 2)                                 // want `1 placeholders but 2`
	db.Exec("SELECT %s", 1, 2)                                   // want `1 placeholders but 2`
	sqlx.Get(db, &r, "SELECT %s", 1, 2)                          // want `1 placeholders but 2`
	stmt, err := db.Preparex("SELECT $1, $2")                    // want `the parameter \$2 but 1`
	if err == nil {
		stmt.Get(&r, 1)
	}

	// What sqlx itself reads.
	db.NamedExec("INSERT INTO t VALUES (:a)", r)
	db.NamedQuery("SELECT * FROM t WHERE a = :a", map[string]any{"a": 1})
	db.Get(&r, db.Rebind("SELECT * FROM t WHERE a = ?"), 1)
	q, args, _ := sqlx.In("SELECT * FROM t WHERE a IN (?)", []int{1, 2})
	db.Select(&all, db.Rebind(q), args...)
	tx.PrepareNamed("SELECT * FROM t WHERE a = :a")
}
