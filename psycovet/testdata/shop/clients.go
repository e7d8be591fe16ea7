// Package shop has the mistakes of which the README shows the reports.
package shop

import (
	"context"
	"database/sql"
)

type Client struct {
	ID   int
	Name string `db:"full_name"`
}

type Store struct{ db *sql.DB }

func (s *Store) Find(ctx context.Context, name string) (*sql.Rows, error) {
	return s.db.QueryContext(ctx, "SELECT id FROM clients WHERE full_name = '%s'", name)
}

func (s *Store) Save(ctx context.Context, c Client) error {
	_, err := s.db.ExecContext(ctx, `
		UPDATE clients
		   SET full_name = %(name)s
		 WHERE id = %(id)s`, c)
	return err
}
