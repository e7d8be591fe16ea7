package connect_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testdb"
)

// TestDemotedServerLeavesThePool has a server refuse to write. If sessions that can write
// were asked for and this one cannot any more, the pool lets it go.
func TestDemotedServerLeavesThePool(t *testing.T) {
	const demote = "SET default_transaction_read_only = on" // as a switchover behind a proxy looks
	for _, tt := range []struct {
		name, attrs string
		before      string
		opts        *sql.TxOptions
		keeps       bool
	}{
		{"read-write", "read-write", demote, nil, false},
		{"primary", "primary", demote, nil, false},
		{"any", "any", demote, nil, true},
		{"read-only by the program", "read-write", "SELECT 1", &sql.TxOptions{ReadOnly: true}, true},
	} {
		for _, way := range []struct {
			name, insert string
			args         []any
		}{
			{"simple", "INSERT INTO t VALUES (1)", nil},
			{"arguments", "INSERT INTO t VALUES (%s)", []any{1}},
			{"rows", "INSERT INTO t VALUES ($1) RETURNING k", []any{1}},
		} {
			t.Run(tt.name+", "+way.name, func(t *testing.T) {
				ctx := t.Context()
				db := testdb.Open(t, pgserver.TestDSN(t)+" target_session_attrs="+tt.attrs)
				db.SetMaxOpenConns(1)
				testdb.MustExec(t, db, "CREATE TABLE t (k int)")
				pid := func() (pid int) {
					if err := db.QueryRow("SELECT pg_backend_pid()").Scan(&pid); err != nil {
						t.Fatal(err)
					}
					return pid
				}
				before := pid()
				testdb.MustExec(t, db, tt.before)
				if before != pid() {
					t.Fatal("the connection is another")
				}
				tx, err := db.BeginTx(ctx, tt.opts)
				if err != nil {
					t.Fatal(err)
				}
				if err := write(ctx, tx, way.insert, way.args); testdb.Code(err) != "25006" {
					t.Errorf("got %v", err)
				}
				if err := tx.Rollback(); err != nil {
					t.Error(err)
				}
				if after := pid(); (after == before) != tt.keeps {
					t.Errorf("process %d, then %d", before, after)
				}
			})
		}
	}
}

func write(ctx context.Context, tx *sql.Tx, query string, args []any) error {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return rows.Err()
}
