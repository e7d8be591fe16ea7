package psyco

import (
	"strconv"

	"github.com/lib/pq"
)

// Conn is a look at one connection of the pool; see WithConn. Its methods are
// for the goroutine that was given it, while it has it. Behind Wrap the
// protocol is not psyco's and all values are zero.
type Conn struct{ c *conn }

// Stats counts what a connection has done since it was opened.
type Stats struct {
	RoundTrips    uint64 // times the client waited for the server, those of connecting included
	BytesSent     uint64 // before encryption
	BytesReceived uint64
	CacheHits     uint64 // statements with arguments that were prepared before
	CacheMisses   uint64 // statements with arguments that were parsed anew
	Prepared      uint64 // statements that the cache has prepared
}

// PID returns the process ID of the server's backend, as pg_backend_pid() does.
func (c *Conn) PID() uint32 {
	if c.c.wire == nil {
		return 0
	}
	return c.c.wire.PID()
}

// ServerVersion returns the server's version as a number: 150004 is 15.4, as
// libpq's PQserverVersion says it.
func (c *Conn) ServerVersion() int {
	v, _ := c.Parameter("server_version")
	return serverVersion(v)
}

func serverVersion(v string) int {
	var parts [2]int
	for i := range parts {
		n := 0
		for n < len(v) && '0' <= v[n] && v[n] <= '9' {
			n++
		}
		parts[i], _ = strconv.Atoi(v[:n])
		if n == len(v) || v[n] != '.' {
			break
		}
		v = v[n+1:]
	}
	return parts[0]*10000 + parts[1]
}

// Parameter returns the value of a parameter that the server reports by itself,
// such as server_version, TimeZone or standard_conforming_strings, and whether
// it does.
func (c *Conn) Parameter(name string) (value string, ok bool) {
	if c.c.wire == nil {
		return "", false
	}
	return c.c.wire.Parameter(name)
}

// TxStatus returns the transaction status: 'I' idle, 'T' in a transaction, 'E'
// in a failed transaction. A transaction of which no statement has been sent is
// idle for the server.
func (c *Conn) TxStatus() byte {
	if c.c.wire == nil {
		return 0
	}
	return c.c.wire.TxStatus()
}

// SetNoticeHandler calls h for the notices of this connection from now on, also
// for those who get it from the pool later; nil for none. It takes the place of
// pq.SetNoticeHandler, under the rules of WithNoticeHandler.
func (c *Conn) SetNoticeHandler(h func(*pq.Error)) {
	if c.c.wire != nil {
		c.c.sess.onNotice(h)
	}
}

// SetNotificationHandler is SetNoticeHandler for notifications.
func (c *Conn) SetNotificationHandler(h func(*pq.Notification)) {
	if c.c.wire != nil {
		c.c.sess.onNotification(h)
	}
}

// Stats returns the connection's counters.
func (c *Conn) Stats() Stats {
	s := c.c.stats
	if c.c.wire != nil {
		w := c.c.wire.Stats()
		s.RoundTrips, s.BytesSent, s.BytesReceived = w.RoundTrips, w.BytesSent, w.BytesReceived
	}
	return s
}
