package wrappers

import (
	"context"
	"database/sql"

	"github.com/psyco-go/psyco/psycovet/testdata/wrappers/lib"
)

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	Exec(query string, args ...any) (sql.Result, error)
}

func use(ctx context.Context, db *sql.DB, q querier) {
	s := lib.Store{DB: db}
	s.All("SELECT %s", 1, 2) // want `1 placeholders but 2`
	s.All("SELECT %s", 1)
	lib.Must(db, "it", "DELETE FROM t WHERE a = '%s'", 1) // want `inside a literal`
	lib.Count(db, "SELECT ?", 1)                          // want `does not know '\?'`
	lib.Paged(db, "SELECT %s LIMIT %s", 1)
	lib.Paged(db, "SELECT * FROM t WHERE a = ?", 1) // want `does not know '\?'`
	lib.Rebound(db, "SELECT ?", 1)
	q.QueryContext(ctx, "SELECT %s", 1, 2) // want `1 placeholders but 2`
	q.Exec("SELECT $1", 1, 2)              // want `1 parameters but 2`
}
