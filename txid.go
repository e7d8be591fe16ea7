package psyco

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"
)

// TxID returns the server's number for a transaction, txid_current(), for
// Committed. A transaction that has not written anything gets one by this.
func TxID(ctx context.Context, tx *sql.Tx) (int64, error) {
	var id int64
	err := tx.QueryRowContext(ctx, "SELECT pg_catalog.txid_current()").Scan(&id)
	return id, err
}

// Committed tells whether the transaction with a number of TxID has happened,
// after an error that has ErrCommitUnknown in its chain. h is a handle to the
// same server, usually the *sql.DB. It asks txid_status(), which PostgreSQL has
// from version 10 on, and while that is "in progress" again, until ctx ends: the
// server may take until its tcp_keepalives and tcp_user_timeout strike to see
// that a connection is lost. The server forgets transactions after some hundred
// million others; that is an error.
func Committed(ctx context.Context, h Handle, id int64) (bool, error) {
	pause := 5 * time.Millisecond
	for {
		status, err := txStatus(ctx, h, id)
		if err != nil {
			return false, err
		}
		switch status.String {
		case "committed":
			return true, nil
		case "aborted":
			return false, nil
		case "in progress":
		default:
			return false, fmt.Errorf("psyco: transaction %d is too old: the server does not know any more whether it was committed", id)
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return false, fmt.Errorf("psyco: transaction %d is still in progress: %w", id, ctx.Err())
		case <-t.C:
		}
		pause = min(2*pause, time.Second)
	}
}

func txStatus(ctx context.Context, h Handle, id int64) (status sql.NullString, err error) {
	rows, err := h.QueryContext(ctx, "SELECT pg_catalog.txid_status("+strconv.FormatInt(id, 10)+")")
	if err != nil {
		return status, err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&status); err != nil {
			return status, err
		}
	}
	return status, rows.Err()
}
