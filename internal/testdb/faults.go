package testdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"testing"
	"time"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/faultproxy"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testsize"
)

// Faulty returns a database that is reached through a proxy, and the same
// database without one.
func Faulty(t *testing.T, extra string, opts ...psyco.Option) (p *faultproxy.Proxy, db, direct *sql.DB) {
	t.Helper()
	dsn := pgserver.TestDSN(t)
	direct = Open(t, dsn)
	p = Proxy(t)
	db = Open(t, dsn+" "+p.ConnInfo()+" "+extra, opts...)
	return p, db, direct
}

// Proxy returns a proxy in front of the server that the tests share.
func Proxy(t *testing.T) *faultproxy.Proxy {
	t.Helper()
	s, err := pgserver.Shared(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return ProxyOf(t, s)
}

// ProxyOf returns a proxy in front of a server.
func ProxyOf(t *testing.T, s *pgserver.Server) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.New(s.Network(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// EachCut calls work twice for each of the messages that a call takes, and cuts
// the network before and behind that message; work gets another key each time,
// from 1. check gets the outcome. EachCut returns the number of the calls.
func EachCut(t *testing.T, p *faultproxy.Proxy, db *sql.DB, work func(db *sql.DB, key int) error, check func(where string, key int, err error)) (calls int) {
	t.Helper()
	db.SetMaxOpenConns(1)
	// The second run without faults counts the messages.
	for range 2 {
		p.ResetCounts()
		if err := work(db, 0); err != nil {
			t.Fatalf("before any cut: %v", err)
		}
	}
	counts := p.Counts()
	messages := counts.Messages(faultproxy.ToServer, "") + counts.Messages(faultproxy.ToClient, "")
	if messages < 2 {
		t.Fatalf("only %d messages", messages)
	}
	for _, point := range []struct {
		name string
		of   func(faultproxy.Match) faultproxy.Point
	}{{"before", faultproxy.Before}, {"behind", faultproxy.After}} {
		for n := range testsize.Some(4, messages) {
			where := fmt.Sprintf("cut %s message %d of %d", point.name, n, messages)
			PingPastCut(t, db, where)
			p.On(point.of(faultproxy.Nth(n, func(faultproxy.Message) bool { return true })), (*faultproxy.Link).Cut)
			calls++
			err := work(db, calls)
			p.Disarm()
			check(where, calls, err)
		}
	}
	return calls
}

// PingPastCut makes sure of a connection that works. A cut behind a message may
// be made when the answer has gone through and its reader has returned; the ping
// that it meets is not repeated by database/sql, which drops the connection.
func PingPastCut(t *testing.T, db *sql.DB, where string) {
	t.Helper()
	err := db.Ping()
	if err == driver.ErrBadConn {
		err = db.Ping()
	}
	if err != nil {
		t.Fatalf("ping before %s: %v", where, err)
	}
}

// RowsWithKey waits until no other session is at work, since the server may
// not have noticed the cut, and returns the rows with a key.
func RowsWithKey(t *testing.T, db *sql.DB, key int) []string {
	t.Helper()
	for {
		busy := All(t, db, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
			AND pid <> pg_backend_pid() AND state <> 'idle'`)
		if busy[0] == "0" {
			return All(t, db, "SELECT k FROM t WHERE k = %s", key)
		}
		time.Sleep(time.Millisecond)
	}
}

// TerminateOthers ends all other sessions of the database and waits until they
// are gone.
func TerminateOthers(t *testing.T, admin *sql.DB) {
	t.Helper()
	const others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
	MustExec(t, admin, "SELECT pg_terminate_backend(pid) "+others)
	for All(t, admin, "SELECT count(*) "+others)[0] != "0" {
		time.Sleep(time.Millisecond)
	}
}

// TxStatus is the state of the transaction of h, as the server reports it.
func TxStatus(t *testing.T, h psyco.Handle) (s byte) {
	t.Helper()
	err := psyco.WithConn(context.Background(), h, func(c *psyco.Conn) error { s = c.TxStatus(); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Others counts the other sessions in the database.
func Others(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	err := db.QueryRow("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()").Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
