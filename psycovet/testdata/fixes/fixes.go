package fixes

import "database/sql"

func use(db *sql.DB, list []int) {
	db.Query("SELECT * FROM t WHERE a = ? AND b = ?", 1, 2)                   // want `does not know`
	db.Query(`SELECT * FROM t WHERE a = %d`, 1)                               // want `got '%d'`
	db.Query("SELECT * FROM t WHERE a = '%s'", "x")                           // want `inside a literal`
	db.Query("SELECT *\n FROM t WHERE \"é\" IN (%s) AND b", list)             // want `takes one value`
	db.Query("SELECT * FROM t WHERE a = %(a)", map[string]any{"a": 1})        // want `got '%\(a\)'`
	db.Query("SELECT * FROM t WHERE a IN (%(l)s)", map[string]any{"l": list}) // want `takes one value`

	// Not certain.
	db.Query("SELECT * FROM t WHERE a = ? AND b ? 'c'", 1) // want `does not know`
	db.Query("SELECT * FROM t WHERE a LIKE '%s%%'", "x")   // want `inside a literal`
	db.Query("SELECT * FROM t WHERE a = ?", 1, 2)          // want `does not know`
}
