package allow

import "database/sql"

func use(db *sql.DB) {
	db.Query("SELECT %s", 1, 2) //psyco:allow the error is what this shows
	//psyco:allow the error is what this shows
	db.Query("SELECT %s", 1, 2)
	db.Query(`SELECT 1
		WHERE a = '%s'`, 1) //psyco:allow a test wants it
	// want +1 `//psyco:allow needs a reason behind it`
	//psyco:allow
	db.Query("SELECT %s", 1, 2) // want `1 placeholders but 2`
}
