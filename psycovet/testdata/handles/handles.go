package handles

import (
	"context"
	"database/sql"

	"github.com/jmoiron/sqlx"
	"github.com/psyco-go/psyco"
)

type store struct {
	lite *sql.DB
	pg   *sql.DB
}

func newStore() (*store, error) {
	lite, err := sql.Open("sqlite3", "x.db")
	if err != nil {
		return nil, err
	}
	pg, err := sql.Open("psyco", "")
	return &store{lite: lite, pg: pg}, err
}

func (s *store) both(ctx context.Context) {
	s.lite.Query("SELECT * FROM t WHERE a = ?", 1)
	s.pg.Query("SELECT * FROM t WHERE a = ?", 1) // want `does not know '\?'`
	tx, err := s.lite.BeginTx(ctx, nil)
	if err != nil {
		return
	}
	tx.Exec("DELETE FROM t WHERE a = ?", 1)
	stmt, err := tx.Prepare("DELETE FROM t WHERE a = ?")
	stmt.Exec(1)
}

func openLite() *sql.DB { // want openLite:"opens another database"
	db, err := sql.Open("mysql", "")
	if err != nil {
		panic(err)
	}
	return db
}

func local() {
	db := openLite()
	db.Query("SELECT * FROM t WHERE a = ?", 1)
	x := sqlx.MustConnect("mysql", "")
	x.Get(nil, "SELECT * FROM t WHERE a = ?", 1)
	c, _ := psyco.NewConnector("")
	p := sql.OpenDB(c)
	p.Query("SELECT * FROM t WHERE a = ?", 1) // want `does not know '\?'`
}
