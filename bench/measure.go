package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/psyco-go/psyco/internal/faultproxy"
)

// Result is what one contestant took for one workload over one transport.
type Result struct {
	Workload   string    `json:"workload"`
	Transport  string    `json:"transport"`
	Contestant string    `json:"contestant"`
	Ops        int       `json:"ops_per_round"`
	Rounds     []float64 `json:"ns_per_op"` // of each round
	// CPU is what this process used in each round, in its own code and in the system's for it;
	// nil where the system does not tell.
	CPU []float64 `json:"cpu_ns_per_op,omitempty"`
	// Allocs and Bytes are medians over the rounds, of the whole process: over a
	// delayed network the proxy's own are in them.
	Allocs float64 `json:"allocs_per_op"`
	Bytes  float64 `json:"bytes_per_op"`
	// RoundTrips is counted by the proxy of the delayed network, 0 elsewhere.
	RoundTrips float64 `json:"round_trips_per_op,omitempty"`
}

// measure lets all contestants of a workload take turns. A contestant's slice
// has as many operations as fit into the time, found out beforehand. Every round has
// connections of its own: how fast a process of the server is, which is luck, lasts
// as long as its connection.
func measure(ctx context.Context, srv *server, w workload, dsn string, rounds int, slice time.Duration) ([]Result, error) {
	lanes := make([]*lane, len(w.ways))
	for i, way := range w.ways {
		l := &lane{way: way, Result: Result{Contestant: way.contestant}}
		lanes[i] = l
		if err := srv.exec(ctx, w.before...); err != nil {
			return nil, err
		}
		err := l.connected(ctx, dsn, func(r *runner) (err error) {
			l.Ops, err = calibrate(ctx, r, slice)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	for round := range rounds {
		// Rotated, and every other round backwards: no one always follows the same other.
		order := append(slices.Clone(lanes[round%len(lanes):]), lanes[:round%len(lanes)]...)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, l := range order {
			err := l.connected(ctx, dsn, func(r *runner) error {
				if err := r.run(ctx, max(w.warmUp, min(l.Ops, warmUp))); err != nil {
					return err
				}
				if err := srv.exec(ctx, w.before...); err != nil {
					return err
				}
				return l.slice(ctx, r, srv.proxy)
			})
			if err != nil {
				return nil, err
			}
		}
	}
	var results []Result
	for _, l := range lanes {
		l.Allocs, l.Bytes, l.RoundTrips = median(l.allocs), median(l.bytes), median(l.trips)
		results = append(results, l.Result)
	}
	return results, nil
}

// warmUp is how often a new connection does an operation before it counts, if that
// takes no longer than a slice: the server's process has caches to fill, and statements
// are prepared meanwhile.
const warmUp = 200

// lane is a contestant in its workload.
type lane struct {
	way
	Result
	allocs, bytes, trips []float64
}

// connected gives f a runner with new connections.
func (l *lane) connected(ctx context.Context, dsn string, f func(*runner) error) error {
	r, err := l.open(ctx, dsn)
	if err == nil {
		err = errors.Join(f(r), r.close())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", l.Contestant, err)
	}
	return nil
}

// slice measures one slice.
func (l *lane) slice(ctx context.Context, r *runner, proxy *faultproxy.Proxy) error {
	runtime.GC() // nobody pays for what another left behind
	proxy.ResetCounts()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	used, told := cpuTime()
	begin := time.Now()
	err := r.run(ctx, l.Ops)
	took := time.Since(begin)
	end, _ := cpuTime()
	runtime.ReadMemStats(&after)
	if err != nil {
		return err
	}
	n := float64(l.Ops)
	l.Rounds = append(l.Rounds, float64(took.Nanoseconds())/n)
	if told {
		l.CPU = append(l.CPU, float64((end-used).Nanoseconds())/n)
	}
	l.allocs = append(l.allocs, float64(after.Mallocs-before.Mallocs)/n)
	l.bytes = append(l.bytes, float64(after.TotalAlloc-before.TotalAlloc)/n)
	l.trips = append(l.trips, float64(proxy.Counts().RoundTrips)/n)
	return nil
}

// calibrate warms a runner up and finds how many operations fill a slice, by the
// fastest of three tries: a busy moment must not make slices tiny.
func calibrate(ctx context.Context, r *runner, slice time.Duration) (int, error) {
	perOp := time.Duration(math.MaxInt64)
	for n, tries := 1, 0; tries < 3; {
		begin := time.Now()
		if err := r.run(ctx, n); err != nil {
			return 0, err
		}
		took := time.Since(begin)
		if took < slice/2 {
			n *= 2
			continue
		}
		perOp = min(perOp, took/time.Duration(n))
		tries++
	}
	return max(1, int(slice/max(perOp, 1))), nil
}

// median of values, which must not be empty.
func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}

// ratio is the median over the rounds of a's time or CPU divided by b's.
func ratio(a, b []float64) float64 {
	ratios := make([]float64, min(len(a), len(b)))
	for i := range ratios {
		ratios[i] = a[i] / b[i]
	}
	return median(ratios)
}
