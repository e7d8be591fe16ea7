package psyco

import (
	"context"
	"database/sql"
	"database/sql/driver"
)

// Servers of the tests of connecting, for the tests of what runs on them.
var (
	ServerWithTLS = withTLS
	StartPair     = startPair
)

// TLSRoot is the certificate of the authority that ServerWithTLS's is from.
func TLSRoot() []byte { return certs.root.PEM() }

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
