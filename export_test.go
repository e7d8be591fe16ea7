package psyco

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"testing"
	"time"
)

// BeginBroken opens a transaction whose BEGIN the server refuses.
func BeginBroken(ctx context.Context, db Beginner) (*sql.Tx, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	_, err = do(ctx, tx, "BeginBroken", func(_ context.Context, c *conn) (driver.Result, error) {
		c.queue[0] = "BEGIN ISOLATION LEVEL NONSENSE"
		return driver.RowsAffected(0), nil
	})
	return tx, err
}

// Closing returns how many statements wait to be closed on the connection of h.
func Closing(t testing.TB, h Handle) (n int) {
	err := WithConn(t.Context(), h, func(c *Conn) error {
		n = c.c.wire.Closing()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// ReadsDirectly runs a query, and reports whether its rows are decoded directly into Ts.
func ReadsDirectly[T any](ctx context.Context, h Handle, query string, args ...any) (bool, error) {
	r, err := openRows[T](ctx, h, query, args)
	if err != nil {
		return false, err
	}
	names, err := r.rows.Columns()
	return isDirect(names), errors.Join(err, r.rows.Close())
}

// Expires is when a connection's life ends.
func Expires(c *Conn) time.Time { return c.c.expires }
