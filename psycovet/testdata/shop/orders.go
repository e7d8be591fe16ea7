package shop

import (
	"context"
	"database/sql"
)

const ordersOf = "SELECT id, total FROM orders WHERE client IN (%s)"

func (s *Store) Orders(ctx context.Context, clients []int) (*sql.Rows, error) {
	return s.db.QueryContext(ctx, ordersOf, clients)
}

func (s *Store) Pay(ctx context.Context, order int, total string) error {
	_, err := s.db.ExecContext(ctx, "UPDATE orders SET paid = $1, at = $2 WHERE id = $3", total, order)
	return err
}
