package faultproxy_test

import (
	"database/sql"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/faultproxy"
	"github.com/psyco-go/psyco/internal/pgserver"
)

// open returns a proxy to a fresh database with a table t, a pool of one
// connection through the proxy, and a pool that goes to the server directly.
func open(t *testing.T) (p *faultproxy.Proxy, through, direct *sql.DB) {
	t.Helper()
	dsn := pgserver.TestDSN(t)
	cfg, err := pq.NewConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	network, address := "tcp", net.JoinHostPort(cfg.Host, fmt.Sprint(cfg.Port))
	if strings.HasPrefix(cfg.Host, "/") {
		network, address = "unix", fmt.Sprintf("%s/.s.PGSQL.%d", cfg.Host, cfg.Port)
	}
	if p, err = faultproxy.New(network, address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	pool := func(host string, port uint16) *sql.DB {
		c := cfg.Clone()
		c.Host, c.Port, c.SSLMode = host, port, pq.SSLModeDisable
		connector, err := pq.NewConnectorConfig(c)
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(connector)
		t.Cleanup(func() { db.Close() })
		return db
	}
	direct = pool(cfg.Host, cfg.Port)
	addr, err := net.ResolveTCPAddr("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	through = pool(addr.IP.String(), uint16(addr.Port))
	through.SetMaxOpenConns(1)
	if _, err := through.Exec("CREATE TABLE t (n int)"); err != nil {
		t.Fatal(err)
	}
	return p, through, direct
}

// countRows waits for the end of transactions that a cut has left behind.
func countRows(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec("LOCK TABLE t"); err != nil {
		t.Fatal(err)
	}
	if err := tx.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPostgresCounts(t *testing.T) {
	p, db, _ := open(t)
	for _, tt := range []struct {
		name    string
		args    []any
		trips   int
		queries int
		parses  int
	}{
		{"simple query", nil, 1, 1, 0},
		{"with an argument", []any{7}, 2, 0, 1}, // Parse, Describe, Sync; Bind, Execute, Sync
	} {
		t.Run(tt.name, func(t *testing.T) {
			query := "INSERT INTO t VALUES (7)"
			if tt.args != nil {
				query = "INSERT INTO t VALUES ($1)"
			}
			p.ResetCounts()
			if _, err := db.Exec(query, tt.args...); err != nil {
				t.Fatal(err)
			}
			c := p.Counts()
			if c.RoundTrips != tt.trips || c.Messages(faultproxy.ToServer, "Q") != tt.queries || c.Messages(faultproxy.ToServer, "P") != tt.parses {
				t.Errorf("%d round trips, %d Query, %d Parse", c.RoundTrips, c.Messages(faultproxy.ToServer, "Q"), c.Messages(faultproxy.ToServer, "P"))
			}
			if c.Connections != 0 {
				t.Errorf("%d new connections", c.Connections)
			}
		})
	}
}

// TestPostgresCommit cuts on both sides of the moment in which a transaction is
// committed: the client sees the same, but the table does not.
func TestPostgresCommit(t *testing.T) {
	commit := faultproxy.SQL("COMMIT")
	for _, tt := range []struct {
		name  string
		point faultproxy.Point
		rows  int
	}{
		{"before COMMIT", faultproxy.Before(commit), 0},
		{"inside COMMIT", faultproxy.Inside(faultproxy.SQL("COMMIT"), 7), 0},
		{"before its CommandComplete", faultproxy.Before(faultproxy.Then(faultproxy.SQL("COMMIT"), faultproxy.Msg(faultproxy.ToClient, "C"))), 1},
		{"before its ReadyForQuery", faultproxy.Before(faultproxy.Then(faultproxy.SQL("COMMIT"), faultproxy.Msg(faultproxy.ToClient, "Z"))), 1},
	} {
		for _, how := range []struct {
			name string
			do   func(*faultproxy.Link)
		}{{"cut", (*faultproxy.Link).Cut}, {"reset", (*faultproxy.Link).Reset}} {
			t.Run(tt.name+"/"+how.name, func(t *testing.T) {
				p, db, direct := open(t)
				tx, err := db.Begin()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := tx.Exec("INSERT INTO t VALUES ($1)", 1); err != nil {
					t.Fatal(err)
				}
				trigger := p.On(tt.point, how.do)
				if err := tx.Commit(); err == nil {
					t.Error("Commit gave no error")
				}
				<-trigger.Fired()
				if n := countRows(t, direct); n != tt.rows {
					t.Errorf("%d rows, want %d", n, tt.rows)
				}
			})
		}
	}
}

// TestPostgresCopy cuts in the middle of the data of a COPY.
func TestPostgresCopy(t *testing.T) {
	p, db, direct := open(t)
	trigger := p.On(faultproxy.Inside(faultproxy.Msg(faultproxy.ToServer, "d"), 1000), (*faultproxy.Link).Cut)
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	stmt, err := tx.Prepare("COPY t FROM STDIN")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100_000 {
		if _, err = stmt.Exec(i); err != nil {
			break
		}
	}
	if err == nil {
		_, err = stmt.Exec()
	}
	if err == nil {
		t.Error("COPY gave no error")
	}
	<-trigger.Fired()
	tx.Rollback()
	if n := countRows(t, direct); n != 0 {
		t.Errorf("%d rows were loaded", n)
	}
}

// TestPostgresStall shows that a result arrives when the stall ends, and whole.
func TestPostgresStall(t *testing.T) {
	p, db, _ := open(t)
	p.Trickle(faultproxy.Both, 7, 0)
	trigger := p.On(faultproxy.After(faultproxy.Nth(500, faultproxy.Msg(faultproxy.ToClient, "D"))), func(l *faultproxy.Link) { l.Stall(faultproxy.Both) })
	go func() {
		<-trigger.Fired()
		p.Trickle(faultproxy.Both, 0, 0)
		p.Resume(faultproxy.Both)
	}()
	rows, err := db.Query("SELECT generate_series(1, 1000)")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	sum := 0
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if sum != 500_500 {
		t.Errorf("the rows sum up to %d", sum)
	}
}
