package known

import (
	"context"
	"database/sql"

	"github.com/psyco-go/psyco"
)

func use(ctx context.Context, given *sql.DB) {
	given.Query("SELECT * FROM t WHERE a = ?", 1)
	db, err := sql.Open("postgres", "")
	if err != nil {
		return
	}
	db.Query("SELECT * FROM t WHERE a = ?", 1) // want `does not know '\?'`
	psyco.Mogrify("SELECT ?", 1)               // want `does not know '\?'`
}
