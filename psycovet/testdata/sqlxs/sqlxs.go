package sqlxs

import (
	"context"

	"github.com/jmoiron/sqlx"
)

type row struct{ A int }

type tagged struct {
	A int `db:"a"`
}

type nested struct {
	tagged
	C int `db:"c"`
}

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

	// sqlx's own names.
	db.NamedExec("INSERT INTO t VALUES (:a, :b)", map[string]any{"a": 1}) // want `the map has no value for :b`
	tx.NamedExecContext(ctx, "INSERT INTO t VALUES (:a, :b)", tagged{})   // want `sqlxs.tagged has no value for :b`
	sqlx.NamedExec(tx, "INSERT INTO t VALUES (:c, :x)", &nested{})        // want `\*sqlxs.nested has no value for :x`
	db.NamedExec("INSERT INTO t VALUES (:a, :c)", nested{})
	db.NamedExec("INSERT INTO t VALUES (:a, 'b:c', a::text)", tagged{}) // want `no value for :c`
	db.NamedExec("INSERT INTO t VALUES (:a)", []tagged{})
	db.NamedExec("INSERT INTO t VALUES (:b)", r) // the names of fields are what the program tells sqlx

	// What sqlx itself reads.
	db.NamedExec("INSERT INTO t VALUES (:a)", r)
	db.NamedQuery("SELECT * FROM t WHERE a = :a", map[string]any{"a": 1})
	db.Get(&r, db.Rebind("SELECT * FROM t WHERE a = ?"), 1)
	q, args, _ := sqlx.In("SELECT * FROM t WHERE a IN (?)", []int{1, 2})
	db.Select(&all, db.Rebind(q), args...)
	tx.PrepareNamed("SELECT * FROM t WHERE a = :a")
}
