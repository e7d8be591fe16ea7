package psyco

import (
	"strings"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco/internal/sqllex"
	"github.com/psyco-go/psyco/internal/wire"
)

// The server looks at a prepared statement again when the schema has changed, but the
// types of its parameters stay what they were: "007" for a column that was an int once
// is stored as 7 when it is text. So what was prepared is forgotten whenever the session
// itself may have changed what names mean. Of what other sessions change one learns by
// errors.

// observe takes note of what statements did to the session.
func (c *conn) observe() {
	events := c.wire.TakeEvents()
	hidden := c.hidden
	if c.hidden = false; events == 0 && !hidden {
		return
	}
	if events.Has(wire.EventDiscardAll | wire.EventDeallocateAll | wire.EventDeallocate) {
		c.forget()
	}
	over := events.Has(wire.EventCommit | wire.EventRollback | wire.EventPrepareTransaction)
	switch {
	case hidden, events.Has(wire.EventDDL | wire.EventSearchPath), events.Has(wire.EventSet) && sqllex.SetsNames(c.text):
		c.renew()
		c.redefined, c.altered = true, true
	case over && c.redefined:
		c.renew() // undone, or ON COMMIT DROP, or SET LOCAL
	}
	if c.wire.TxStatus() == 'I' {
		c.redefined = false
	}
	if events.Has(wire.EventPrepareTransaction) && c.tx != nil && c.wire.TxStatus() == 'I' {
		c.tx.failed = errPrepared // what follows would not be part of it
	}
}

// forget drops all prepared statements: the server has none of them any more.
func (c *conn) forget() {
	c.cache.Clear()
	c.plans.Clear()
	c.forgotten++
	c.renewals++
}

// renew has all statements prepared again when they are used next.
func (c *conn) renew() {
	c.cache.Outdate()
	c.plans.Outdate()
	c.letGo()
	c.renewals++
}

// evict forgets a prepared statement that failed in a way that may be its age's
// fault, and reports whether that is so while nothing of it has run. The schema has changed
// under it, or it is gone. bound says that the server had accepted its arguments.
func (c *conn) evict(err error, bound bool, remove func()) (outdated bool) {
	pe := pq.As(err)
	if pe == nil {
		return false
	}
	outside := pe.Where == "" // with a context it is an error of a function, which has run
	switch {
	case outside && pe.Code == pqerror.InvalidSQLStatementName: // DEALLOCATE, or a pooler gave another server
		c.abandon()
		c.forget()
		c.suspect = true
		return true
	case outside && pe.Code == pqerror.FeatureNotSupported && pe.Routine == "RevalidateCachedQuery":
		remove()
		return true
	}
	switch class(pe.Code) {
	case "0A", "22", "3F", "42", "XX":
		remove()
		return !bound
	}
	return false
}

// again puts things back to where they were before a request of which nothing has run, so
// that another can be sent in its place, and reports whether that was possible. In a
// transaction it is if a BEGIN or a SAVEPOINT rode in front: it was the first
// statement behind that. riders is how many rode, which are still in the queue's array.
func (c *conn) again(riders int) bool {
	if !c.inTransaction() {
		return true
	}
	rode := c.queue[:riders]
	if riders == 0 || c.wire.PrefixOutcome().Failed {
		return false
	}
	if c.tx != nil && strings.HasPrefix(rode[0], "BEGIN") {
		if c.simple("ROLLBACK") != nil {
			return false
		}
		c.queue, c.tx.state = rode, txPending
		return true
	}
	for i := riders - 1; i >= 0; i-- {
		if name, ok := strings.CutPrefix(rode[i], "SAVEPOINT "); ok {
			if c.simple("ROLLBACK TO SAVEPOINT "+name) != nil {
				return false
			}
			c.queue = append(c.queue[:0], rode[i+1:]...)
			return true
		}
	}
	return false
}
