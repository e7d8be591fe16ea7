package psyco

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/lib/pq"
)

// ForeignXID is the FormatID of an XID that has no parts: the identifier of a
// prepared transaction that is not psycopg's encoding of an XA transaction id.
// It is XA's own number for that.
const ForeignXID = -1

// XID names a prepared transaction by the three parts that XA gives it, as
// psycopg's xid() does. For an identifier of any other form, FormatID is
// [ForeignXID], GTRID holds all of it, and BQual is empty.
type XID struct {
	FormatID int32  // 0 or more, or ForeignXID
	GTRID    string // global transaction id: at most 64 characters
	BQual    string // branch qualifier: at most 64 characters
}

// Xid is the old name of XID.
//
// Deprecated: Use [XID].
type Xid = XID

// ForeignXid is the old name of ForeignXID.
//
// Deprecated: Use [ForeignXID].
const ForeignXid = ForeignXID

// ParseXid is the old name of ParseXID.
//
// Deprecated: Use [ParseXID].
func ParseXid(s string) XID { return ParseXID(s) }

// ParseXID returns the XID of a server's identifier, such as pg_prepared_xacts
// shows it: the parts, if it is psycopg's encoding of them, else a foreign XID.
// In either case String gives the identifier back.
func ParseXID(s string) XID {
	foreign := XID{FormatID: ForeignXID, GTRID: s}
	parts := strings.Split(s, "_")
	if len(parts) != 3 {
		return foreign
	}
	id, err := strconv.ParseInt(parts[0], 10, 32)
	if err != nil {
		return foreign
	}
	gtrid, err := base64.StdEncoding.DecodeString(parts[1])
	if err != nil {
		return foreign
	}
	bqual, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		return foreign
	}
	// What would not be written like this is not psycopg's.
	x := XID{FormatID: int32(id), GTRID: string(gtrid), BQual: string(bqual)}
	if x.check() != nil || x.String() != s {
		return foreign
	}
	return x
}

// String returns the identifier that the server knows the transaction by: the
// format id and the other parts in base64, with "_" between them.
func (x XID) String() string {
	if x.FormatID == ForeignXID {
		return x.GTRID
	}
	encode := base64.StdEncoding.EncodeToString
	return strconv.Itoa(int(x.FormatID)) + "_" + encode([]byte(x.GTRID)) + "_" + encode([]byte(x.BQual))
}

// maxIdentifier is the length of the longest identifier that the server takes.
const maxIdentifier = 199

// check applies psycopg's rules, and the server's.
func (x XID) check() error {
	problem := ""
	switch n := len(x.String()); {
	case x.FormatID == ForeignXID && x.BQual != "":
		problem = "a foreign id has no branch qualifier"
	case x.FormatID == ForeignXID && x.GTRID == "":
		problem = "the identifier is empty"
	case x.FormatID < ForeignXID:
		problem = "the format id must be a non-negative 32-bit integer"
	case x.FormatID != ForeignXID && utf8.RuneCountInString(x.GTRID) > 64:
		problem = "the global transaction id is longer than 64 characters"
	case utf8.RuneCountInString(x.BQual) > 64:
		problem = "the branch qualifier is longer than 64 characters"
	case !utf8.ValidString(x.GTRID) || !utf8.ValidString(x.BQual) || strings.ContainsRune(x.GTRID+x.BQual, 0):
		problem = "a part holds a NUL byte or is not UTF-8"
	case n > maxIdentifier:
		problem = fmt.Sprintf("the identifier takes %d bytes, and the server accepts %d", n, maxIdentifier)
	default:
		return nil
	}
	return fmt.Errorf("psyco: transaction id {%d %q %q}: %s", x.FormatID, x.GTRID, x.BQual, problem)
}

// literal returns the identifier for the text of a statement.
func (x XID) literal() (string, error) {
	if err := x.check(); err != nil {
		return "", err
	}
	return pq.QuoteLiteral(x.String()), nil
}

// PrepareTx is the first phase of a two-phase commit: it makes what tx did
// permanent under the name xid, to be committed or rolled back later, from any
// connection to the same database, also after a crash of the client or of the
// server. It is psycopg's tpc_prepare. The server's max_prepared_transactions
// must allow it.
//
// tx is over after it, whatever its outcome: Commit and Rollback then return
// sql.ErrTxDone, so a deferred Rollback does no harm. After an error the
// transaction was rolled back; if an earlier statement of it had failed, the
// error is pq.ErrInFailedTransaction. If the connection is lost before the
// answer comes, [ErrCommitUnknown] is in the error's chain, and [RecoverPrepared]
// tells whether the transaction was prepared.
func PrepareTx(ctx context.Context, tx *sql.Tx, xid XID) error {
	id, err := xid.literal()
	if err != nil {
		return rollbackUnfinished(tx, err)
	}
	_, err = do(ctx, tx, "PrepareTx", func(ctx context.Context, c *conn) (driver.Result, error) {
		ctx = c.announce(ctx, "PREPARE TRANSACTION ", id)
		if c.wire == nil {
			return nil, errors.New("psyco: PrepareTx needs psyco's own connection, not one behind Wrap")
		}
		c.tx.prepare, c.tx.prepareCtx = "PREPARE TRANSACTION "+id, ctx
		if c.tx.state != txPending {
			return driver.RowsAffected(0), nil
		}
		// No statement has run, but even that can be prepared.
		k := c.watch(ctx)
		return driver.RowsAffected(0), c.finish(k, c.flush())
	})
	if err != nil {
		return rollbackUnfinished(tx, err)
	}
	// Commit is what makes database/sql give the connection back.
	return tx.Commit()
}

// rollbackUnfinished rolls tx back because of err, unless it is over.
func rollbackUnfinished(tx *sql.Tx, err error) error {
	if rerr := tx.Rollback(); rerr != nil && !errors.Is(rerr, sql.ErrTxDone) {
		return errors.Join(err, rerr)
	}
	return err
}

// CommitPrepared is the second phase: it commits the transaction that was
// prepared under the name xid, psycopg's tpc_commit. h must be connected to the
// database that the transaction was prepared in, as the same user or a
// superuser, and not be in a transaction. If there is no such transaction the
// error is pq.Error 42704, undefined_object; that is also what comes when a
// CommitPrepared is repeated whose answer was lost.
func CommitPrepared(ctx context.Context, h Handle, xid XID) error {
	return finishPrepared(ctx, h, "COMMIT PREPARED ", xid)
}

// RollbackPrepared undoes the transaction that was prepared under the name xid,
// psycopg's tpc_rollback. What is said about [CommitPrepared] holds.
func RollbackPrepared(ctx context.Context, h Handle, xid XID) error {
	return finishPrepared(ctx, h, "ROLLBACK PREPARED ", xid)
}

func finishPrepared(ctx context.Context, h Handle, command string, xid XID) error {
	id, err := xid.literal()
	if err != nil {
		return err
	}
	_, err = h.ExecContext(ctx, command+id)
	return err
}

// PreparedTx is a prepared transaction that waits for its second phase.
type PreparedTx struct {
	Xid                // an XID; the field keeps its old name
	Prepared time.Time // when
	Owner    string    // the user who prepared it
	Database string    // where it has to be committed or rolled back
}

// RecoverPrepared returns the prepared transactions of all databases of the
// server, the oldest first, whoever prepared them: psycopg's tpc_recover.
func RecoverPrepared(ctx context.Context, h Handle) ([]PreparedTx, error) {
	rows, err := h.QueryContext(ctx, "SELECT gid, prepared, owner, database FROM pg_catalog.pg_prepared_xacts ORDER BY prepared, gid")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []PreparedTx
	for rows.Next() {
		var p PreparedTx
		var id string
		if err := rows.Scan(&id, &p.Prepared, &p.Owner, &p.Database); err != nil {
			return nil, err
		}
		p.Xid = ParseXID(id)
		list = append(list, p)
	}
	return list, rows.Err()
}

// finishPrepare sends PREPARE TRANSACTION in place of COMMIT.
func (t *tx) finishPrepare() error {
	c := t.c
	k := c.watch(t.prepareCtx)
	c.tx = nil
	err := c.finish(k, c.simple(t.prepare))
	c.observe()
	switch {
	case c.undone(err):
		return c.rolledBack(err)
	case err != nil && c.lost != nil:
		return &prepareError{err}
	case err == nil && c.wire.CommandTag() != "PREPARE TRANSACTION":
		return pq.ErrInFailedTransaction
	}
	return err
}

// prepareError is the error of a PREPARE TRANSACTION whose answer was lost.
type prepareError struct{ cause error }

func (e *prepareError) Error() string {
	return "psyco: the connection was lost during PREPARE TRANSACTION, so it is not known whether the transaction was prepared: " + e.cause.Error()
}
func (e *prepareError) Unwrap() []error { return []error{ErrCommitUnknown, e.cause} }

// errPrepared is for what is done with a transaction after a PREPARE
// TRANSACTION statement in it.
var errPrepared = errors.New("psyco: the transaction was prepared, by a PREPARE TRANSACTION statement: " +
	"end it with CommitPrepared or RollbackPrepared")

// TxID returns the server's number for a transaction, txid_current(), for
// Committed. It assigns one to a transaction that has not written anything.
func TxID(ctx context.Context, tx *sql.Tx) (int64, error) {
	var by txOf
	err := tx.QueryRowContext(ctx, onPrimary+"SELECT pg_catalog.txid_current(), "+thisServer).Scan(&by.id, &by.started, &by.address)
	if err != nil {
		return 0, err
	}
	// Where a driver around psyco does not let this through, Committed knows as little as
	// in another process.
	_, _ = do(ctx, tx, "TxID", func(_ context.Context, c *conn) (driver.Result, error) {
		if c.tx != nil {
			c.tx.of = &by
		}
		return driver.RowsAffected(0), nil
	})
	return by.id, nil
}

// txOf is a transaction's number and the server that has given it.
type txOf struct {
	id               int64
	started, address string
}

// thisServer is what tells a server from others: when it was started, and its address,
// which outlives a restart.
const thisServer = `EXTRACT(epoch FROM pg_catalog.pg_postmaster_start_time())::text,
	pg_catalog.concat(pg_catalog.inet_server_addr(), ':', pg_catalog.inet_server_port())`

// doubts are the last transactions whose COMMIT got no answer. After a failover the new
// primary may give their numbers to other transactions.
type doubts struct {
	mu  sync.Mutex
	all []txOf
}

func (d *doubts) add(of *txOf) {
	const most = 1000
	if of == nil {
		return // nobody has called TxID
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.all) == most {
		d.all = d.all[1:]
	}
	d.all = append(d.all, *of)
}

// check returns an error if the number that was asked for is that of another server's
// transaction.
func (d *doubts) check(answer txOf) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, of := range d.all {
		if of.id == answer.id && of.started != answer.started && of.address != answer.address {
			return fmt.Errorf("psyco: transaction %d was another server's: this one may have given its number to another transaction since, "+
				"so it is not known whether it was committed: look for what it wrote", of.id)
		}
	}
	return nil
}

// Committed reports whether the transaction with a number of [TxID] has happened,
// after an error that has [ErrCommitUnknown] in its chain. h is a handle to the
// same server, usually the *sql.DB. It asks txid_status(), which PostgreSQL has
// from version 10 on, and while that is "in progress" again, until ctx ends: the
// server may take until its tcp_keepalives and tcp_user_timeout strike to see
// that a connection is lost. The server forgets transactions after some hundred
// million others; that is an error.
//
// After a failover it is an error, too, if h is of the same Connector as the
// transaction was: the new primary may not have got the transaction, and gives its number
// to another one. Look for what the transaction wrote then, such as a row with a key of
// its own, or use [PrepareTx].
func Committed(ctx context.Context, h Handle, id int64) (bool, error) {
	var in *doubts
	// If this fails, so does what follows; or a driver around psyco does not let it through.
	_, _ = do(ctx, h, "Committed", func(_ context.Context, c *conn) (driver.Result, error) {
		in = &c.con.dialer.doubts
		return driver.RowsAffected(0), nil
	})
	pause := 5 * time.Millisecond
	for {
		status, by, err := txStatus(ctx, h, id)
		if err == nil && in != nil {
			err = in.check(by)
		}
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

func txStatus(ctx context.Context, h Handle, id int64) (status sql.NullString, by txOf, err error) {
	rows, err := h.QueryContext(ctx, "SELECT pg_catalog.txid_status("+strconv.FormatInt(id, 10)+"), "+thisServer)
	if err != nil {
		return status, by, err
	}
	defer rows.Close()
	by.id = id
	for rows.Next() {
		if err := rows.Scan(&status, &by.started, &by.address); err != nil {
			return status, by, err
		}
	}
	return status, by, rows.Err()
}
