package pgserver

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

// owner marks the databases that this process makes on a server that others use
// too: their names begin with its number, and while the process lives it holds
// the advisory lock of that number. So others can tell which databases a
// process left behind that did not come to drop them.
type owner struct {
	number uint32
	tx     *sql.Tx // holds the lock; a transaction, so that a pooler keeps to it
}

// ownerLock is the first number of the advisory locks of owners: "psyc".
const ownerLock = 0x70737963

// newOwner also drops what processes that are gone have left behind.
func newOwner(ctx context.Context, db *sql.DB) (*owner, error) {
	var random [4]byte
	rand.Read(random[:])
	o := &owner{number: binary.BigEndian.Uint32(random[:]) >> 1} // fits the server's int4
	var err error
	if o.tx, err = db.BeginTx(context.WithoutCancel(ctx), nil); err != nil {
		return nil, err
	}
	if _, err = o.tx.ExecContext(ctx, fmt.Sprintf(`SET LOCAL idle_in_transaction_session_timeout = 0;
		SELECT pg_catalog.pg_advisory_xact_lock(%d, %d)`, ownerLock, o.number)); err == nil {
		err = dropLeftovers(ctx, db)
	}
	if err != nil {
		return nil, errors.Join(err, o.release())
	}
	return o, nil
}

// prefix begins the names of the owner's databases. A server that was started
// here goes together with its databases and has no owner.
func (o *owner) prefix() string {
	if o == nil {
		return "psycotest_"
	}
	return fmt.Sprintf("psycotest_%08x_", o.number)
}

func (o *owner) release() error { return o.tx.Rollback() }

// dropLeftovers drops the databases whose owner is gone. The list of databases
// is older than that of locks, and an owner has its lock before its first
// database, so that none of a living owner is dropped.
func dropLeftovers(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, `SELECT datname FROM pg_catalog.pg_database d
		WHERE datname ~ '^psycotest_[0-9a-f]{8}_'
		AND pg_catalog.pg_get_userbyid(datdba) = current_user
		AND pg_catalog.substr(datname, 11, 8) NOT IN (
			SELECT pg_catalog.lpad(pg_catalog.to_hex(objid::bigint), 8, '0') FROM pg_catalog.pg_locks
			WHERE locktype = 'advisory' AND classid = $1 AND objsubid = 2)
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid)`, ownerLock)
	if err != nil {
		return err
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, name := range names {
		_, err := db.ExecContext(ctx, "DROP DATABASE IF EXISTS "+pq.QuoteIdentifier(name))
		// Somebody else may be dropping it, or have connected to look at it.
		if err != nil && pq.As(err, pqerror.ObjectInUse, pqerror.InvalidCatalogName) == nil {
			return fmt.Errorf("cannot drop %s, which an earlier process left behind: %w", name, err)
		}
	}
	return nil
}
