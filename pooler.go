package psyco

import (
	"database/sql/driver"
	"errors"
)

// A pooler in transaction mode (pgbouncer) may give each request outside of a
// transaction to another server, and so to one that does not know the statement
// that was prepared a moment ago. psyco's names for statements are unlike any
// other client's, so the server then answers 26000 and runs nothing. From there
// on the connector opens connections that send each statement together with its
// arguments in one packet, like lib/pq's binary_parameters=yes, and keep no
// statements.

// maxPID is above every process ID of a PostgreSQL server: Linux ends at 2²²,
// other systems before. A pooler makes its IDs up.
const maxPID = 1 << 22

// nameUnnamed gives lib/pq's unnamed statement names of its own where a pooler
// is likely: there the unnamed statement that Bind finds may be another
// client's. Behind one connection with a made-up process ID, all are suspected.
func (c *conn) nameUnnamed() {
	if c.wire.PID() > maxPID {
		c.con.dialer.suspect.Store(true)
	}
	if c.con.dialer.suspect.Load() {
		c.wire.NameUnnamed()
	}
}

// mayMiss reports whether a statement of the cache might not be there, in a
// transaction that its absence would fail.
func (c *conn) mayMiss() bool {
	return c.sess.dialer.suspect.Load() && !c.sess.onePacket && c.inTransaction()
}

var errPooled = errors.New("psyco: a pooler changes the server between requests: " +
	"use binary_parameters=yes, or a transaction, or pooling by session")

// behindPooler finds out, after a statement was missing on the server, whether
// that is because a pooler stands in between: the process that answers is not
// the one that the connection began with. If so, the connection is given up.
func (c *conn) behindPooler() bool {
	if !c.suspect {
		return false
	}
	c.suspect = false
	pid, err := c.backendPID()
	if err != nil || pid == int64(c.wire.PID()) {
		return false
	}
	c.con.dialer.pooled.Store(true)
	c.lost = errPooled
	return true
}

func (c *conn) backendPID() (pid int64, err error) {
	err = c.bounded(func() error {
		rows, err := c.base.(driver.QueryerContext).QueryContext(background, "SELECT pg_backend_pid()", nil)
		if err != nil {
			return err
		}
		row := make([]driver.Value, 1)
		err = rows.Next(row)
		pid, _ = row[0].(int64)
		return errors.Join(err, rows.Close())
	})
	return pid, err
}
