package unrecorded

import "database/sql"

func use(db *sql.DB) { db.Query("SELECT count(*) FROM clients") }
