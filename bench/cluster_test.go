package main

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
)

// BenchmarkStandbys is what reads cost on a primary alone and with one and two standbys, by 16
// readers at once; and what choosing a server costs. All servers share the machine's CPUs here: only
// with machines of their own do more of them serve more.
func BenchmarkStandbys(b *testing.B) {
	ctx := context.Background()
	prime := pgserver.TestServer(b, pgserver.Options{})
	servers := []*pgserver.Server{prime, pgserver.TestStandbyOf(b, prime, nil), pgserver.TestStandbyOf(b, prime, nil)}
	const readers = 16
	for standbys := range servers {
		hosts, ports := []string{}, []string{}
		for _, s := range servers[:standbys+1] {
			hosts, ports = append(hosts, s.SocketDir()), append(ports, fmt.Sprint(s.Port()))
		}
		cluster, err := psyco.NewCluster(fmt.Sprintf("host=%s port=%s user=postgres dbname=postgres", strings.Join(hosts, ","), strings.Join(ports, ",")),
			psyco.WithPoolSetup(func(db *sql.DB) { db.SetMaxIdleConns(readers) }))
		if err != nil {
			b.Fatal(err)
		}
		defer cluster.Close()
		if standbys == 0 {
			for _, statement := range []string{"CREATE TABLE t (k int PRIMARY KEY, v text)",
				"INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 10000) i", "VACUUM ANALYZE t", "CREATE TABLE last ()"} {
				if _, err := cluster.Primary().Exec(statement); err != nil {
					b.Fatal(err)
				}
			}
		}
		lsn, err := cluster.CommitLSN(ctx)
		if err != nil {
			b.Fatal(err)
		}
		usable := func() (n int) {
			for _, s := range cluster.Stats().Servers {
				if s.Usable {
					n++
				}
			}
			return n
		}
		for usable() < standbys {
			time.Sleep(time.Millisecond)
		}
		bound := psyco.ReadAfter(ctx, lsn)
		for _, query := range []struct{ name, text string }{
			{"point", "SELECT v FROM t WHERE k = $1"},
			{"sum of 1000 rows", "SELECT sum(length(v))::text FROM t WHERE k BETWEEN $1 AND $1 + 999"},
		} {
			b.Run(fmt.Sprintf("%d standbys/%s", standbys, query.name), func(b *testing.B) {
				b.SetParallelism(readers / 2)
				b.RunParallel(func(pb *testing.PB) {
					for k := 1; pb.Next(); k = k%9000 + 1 {
						var v string
						if err := cluster.Standby(bound).QueryRowContext(ctx, query.text, k).Scan(&v); err != nil {
							b.Error(err)
						}
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
				s := cluster.Stats()
				b.ReportMetric(100*float64(s.StandbyReads)/float64(s.StandbyReads+s.PrimaryReads), "%-on-standbys")
			})
		}
		b.Run(fmt.Sprintf("%d standbys/choosing", standbys), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				cluster.Standby(bound)
			}
		})
	}
}
