//go:build unix

// Command failover has Patroni switch over, and kills the leader, while a program writes
// and reads through psyco, and counts what became of the writes. See .ci/failover.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"time"
)

func main() {
	log.SetFlags(log.Ltime)
	rounds := flag.Int("rounds", 20, "how often the leader changes, by switchover and by kill -9 in turn")
	way := flag.String("way", "both", "how psyco finds the leader: hosts, haproxy, or both, with half of the rounds each")
	bin := flag.String("bin", "", "the directory of the server's programs")
	async := flag.Bool("async", false, "without synchronous replication: writes may be lost")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *rounds, *way, *bin, *async); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, rounds int, way, bin string, async bool) (err error) {
	ways := []string{"hosts", "haproxy"}
	if way != "both" {
		ways = []string{way}
	}
	c, err := startCluster(ctx, bin, async)
	if err != nil {
		return err
	}
	defer c.close()
	failed := false
	for _, way := range ways {
		dsn, err := c.dsn(way)
		if err != nil {
			return err
		}
		w, err := startWork(ctx, dsn, way, c)
		if err != nil {
			return err
		}
		for i := range rounds / len(ways) {
			kind, change := "switchover", c.switchover
			if i%2 == 1 {
				kind, change = "kill -9", c.kill
			}
			if err := w.round(ctx, fmt.Sprintf("%s %d, %s", way, i+1, kind), change); err != nil {
				return err
			}
		}
		lines, ok := w.report(ctx)
		fmt.Println(strings.Join(lines, "\n"))
		failed = failed || !ok
	}
	if failed {
		return fmt.Errorf("failover: the promises were not kept; the programs' logs: %s", c.keepLogs())
	}
	return nil
}

// until asks again and again until yes says so, and fails after a minute.
func until(ctx context.Context, what string, yes func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for !yes() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("failover: waiting until %s: %w", what, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}
