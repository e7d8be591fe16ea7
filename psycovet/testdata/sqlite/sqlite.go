// Package sqlite is one for another database, as its name says.
package sqlite

import "database/sql"

func Get(db *sql.DB) { db.Query("SELECT * FROM t WHERE a = ?", 1) }
