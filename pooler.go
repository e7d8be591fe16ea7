package psyco

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"

	"github.com/psyco-go/psyco/internal/wire"
)

// A pooler in transaction mode (pgbouncer) may give each request outside of a
// transaction to another server, and so to one that does not know the statement
// that was prepared a moment ago. psyco's names for statements are unlike any
// other client's, so the server then answers 26000 and runs nothing. From there
// on the connector's connections send each statement together with its arguments
// in one packet, and keep none on a server. What the arguments mean stays the same.

// maxPID is above every process ID of a PostgreSQL server: Linux ends at 2²²,
// other systems before. A pooler makes its IDs up.
const maxPID = 1 << 22

// backends says which server process was seen behind which connection, where a
// pooler is suspected. Behind one that pools by session no two have the same.
type backends struct {
	mu   sync.Mutex
	seen map[backend]*conn
}

// backend is a server process. Those of two hosts may have the same ID.
type backend struct {
	network, address string
	pid              int64
}

// backendOf is the process that answers c as pid.
func backendOf(c *conn, pid int64) backend {
	at := c.sess.link.Endpoint
	return backend{at.Network, at.Address, pid}
}

// meet notes that pid answered c, and reports whether another connection has
// met it.
func (b *backends) meet(pid int64, c *conn) (shared bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := backendOf(c, pid)
	if other := b.seen[key]; other != nil && other != c {
		return true
	}
	if b.seen == nil {
		b.seen = make(map[backend]*conn)
	}
	b.seen[key] = c
	return false
}

// leave forgets a connection that is about to be closed.
func (b *backends) leave(pid int64, c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if key := backendOf(c, pid); b.seen[key] == c {
		delete(b.seen, key)
	}
}

// suspectPooler takes note of a made-up process ID. Behind one connection with
// such an ID, all are suspected.
func (c *conn) suspectPooler() {
	if c.wire.PID() > maxPID {
		c.con.dialer.suspect.Store(true)
	}
}

// roams reports whether the next request outside of a transaction may reach
// another server than this one, so that statements are kept as text.
func (c *conn) roams() bool { return c.onePacket || c.con.dialer.suspect.Load() }

// mayMiss reports whether a statement that is kept for later use might not be there, in a
// transaction that its absence would fail.
func (c *conn) mayMiss() bool {
	return c.con.dialer.suspect.Load() && !c.onePacket && c.inTransaction()
}

// looks is how often a suspected connection looks which server process answers,
// each time before it prepares something: twice, because some poolers take turns.
const looks = 2

// mayPrepare reports whether statements may be kept on the server. Where a pooler
// is suspected it first looks whether the server changes: one that answers two
// connections, or one after another has answered this one, belongs to no session alone.
func (c *conn) mayPrepare() bool {
	if c.onePacket || c.con.dialer.pooled.Load() {
		return false
	}
	if !c.con.dialer.suspect.Load() || c.looked == looks {
		return true
	}
	c.looked++
	pid, err := c.backendPID()
	if err != nil || pid == int64(c.wire.PID()) {
		return true // the statement itself will meet the error
	}
	changed := c.backend != 0 && c.backend != pid
	if !changed {
		c.backend = pid
	}
	if changed || c.con.dialer.backends.meet(pid, c) {
		c.poolerFound()
	}
	return !c.onePacket
}

// behindPooler finds out, after a statement was missing on the server, whether
// that is because a pooler stands in between: the process that answers is not
// the one that the connection began with. If so, it keeps no statements from
// here on.
func (c *conn) behindPooler() {
	if !c.suspect {
		return
	}
	c.suspect = false
	pid, err := c.backendPID()
	if err != nil || pid == int64(c.wire.PID()) {
		c.orphans = nil
		return
	}
	c.poolerFound()
}

// poolerFound makes this connection, and those of the connector once they are in no
// transaction, send statements in one packet. Within one, the server stays the same
// and what was prepared on it is in use.
func (c *conn) poolerFound() {
	c.con.dialer.suspect.Store(true)
	c.con.dialer.pooled.Store(true)
	c.onePacket = true
	c.abandon()
	c.cache.Disable()
	c.plans.Disable()
	c.closings = orphanPackets
}

// orphanPackets is in how many packets the statements are closed that were kept
// before the pooler was found: each may reach another server, and to close one
// that is not there does nothing.
const orphanPackets = 200

// abandon takes all statements out of the cache that are on some server, nobody
// knows which.
func (c *conn) abandon() {
	c.cache.Outdate()
	c.plans.Outdate()
	for _, p := range c.cache.TakeEvicted() {
		c.orphans = append(c.orphans, p.name)
	}
	for _, p := range c.plans.TakeEvicted() {
		c.orphans = append(c.orphans, p.name)
	}
}

// discard has a statement closed that is on this server or, behind a pooler, perhaps on
// another.
func (c *conn) discard(name string) {
	c.wire.PrefixClose(name)
	if c.roams() {
		c.orphans = append(c.orphans, name)
		c.closings = orphanPackets
	}
}

// closeOrphans puts the closing of orphans in front of the next packet.
func (c *conn) closeOrphans() {
	if c.closings == 0 {
		return
	}
	if c.closings--; c.closings == 0 {
		c.orphans = nil
	}
	for _, name := range c.orphans {
		c.wire.PrefixClose(name)
	}
}

// onPrimary goes in front of queries that pgpool-II would take for reading, and give to a
// standby, which cannot answer them.
const onPrimary = "/*NO LOAD BALANCE*/ "

// needsSession returns an error if a pooler gives the connection's transactions to
// different sessions. What it is about would not fail then, but do nothing, or be left for
// other clients. Where a pooler is suspected, that takes one more connection to find out,
// once for a connector: whoever pools by session has given that one a session of its own.
func (c *conn) needsSession(ctx context.Context, what string) error {
	d := &c.con.dialer
	if !c.sess.cfg.PgBouncer && !d.pooled.Load() && d.suspect.Load() && !d.sessions.Load() && !c.inTransaction() {
		if c.sharesSession(ctx) {
			c.poolerFound()
		} else {
			d.sessions.Store(true)
		}
	}
	if c.sess.cfg.PgBouncer || d.pooled.Load() {
		return fmt.Errorf("psyco: %s needs a session of its own, and a pooler gives each transaction to another one: "+
			"connect to the server itself for it, or to a pooler with pool_mode=session", what)
	}
	return nil
}

// sharesSession has another connection look which server process answers. An error is
// not taken for a pooler: one by session may have no session left.
func (c *conn) sharesSession(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, c.con.grace)
	defer cancel()
	before, err := c.backendPID()
	if err != nil {
		return false
	}
	other, err := c.con.open(ctx)
	if err != nil {
		return false
	}
	defer other.Close()
	theirs, err := other.backendPID()
	if err != nil {
		return false
	}
	after, err := c.backendPID()
	return err == nil && (before == theirs || before != after)
}

func (c *conn) backendPID() (pid int64, err error) {
	err = c.bounded(func() error {
		return queryRows(c.wire, c.base, "SELECT pg_catalog.pg_backend_pid()", func(row []driver.Value) error {
			if len(row) == 1 {
				pid, _ = row[0].(int64)
			}
			return nil
		})
	})
	return pid, err
}

// analyze has the server look at a statement without keeping it, and returns the
// types of its parameters.
func (c *conn) analyze(sql string, types []uint32) (params []uint32, err error) {
	d, err := c.description(sql, types)
	return d.Params, err
}

// description is analyze with the columns. It is the unnamed statement that is parsed, so
// nothing is left behind on whichever server that was.
func (c *conn) description(sql string, types []uint32) (wire.Description, error) {
	if err := checkNUL(sql); err != nil {
		return wire.Description{}, err
	}
	request, err := wire.AppendParse(nil, "", sql, types)
	if err != nil {
		return wire.Description{}, err
	}
	c.ride()
	err = c.roundTrip(sql, wire.AppendSync(wire.AppendDescribe(request, 'S', "")))
	d := c.wire.Description()
	c.rode(err)
	if err == nil && (d.Strange || d.Params == nil) {
		err = errors.New("psyco: the server's description of the statement cannot be read: has it more than 65,535 parameters?")
	}
	return d, err
}
