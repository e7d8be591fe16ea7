package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/examples/migrate-from-libpq/shop"
	"github.com/psyco-go/psyco/internal/faultproxy"
	"github.com/psyco-go/psyco/psycotest"
)

// A day is what came out of each step.
type day []outcome

type outcome struct {
	found      string
	roundTrips int // those of connecting included
	took       time.Duration
}

// live lets a store have its day, on a new database behind a network that takes
// its time and counts round trips.
func live(ctx context.Context, server *psycotest.Server, delay time.Duration, open func(dsn string) (shop.Store, error)) (d day, err error) {
	dsn, drop, err := server.NewDatabase(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	if err := create(ctx, dsn); err != nil {
		return nil, err
	}
	network, err := delayed(dsn, delay)
	if err != nil {
		return nil, err
	}
	defer network.Close()
	store, err := open(network.dsn)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	for _, s := range steps {
		network.ResetCounts()
		start := time.Now()
		found, err := s.run(ctx, store)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		d = append(d, outcome{found, network.Counts().RoundTrips, time.Since(start)})
	}
	return d, nil
}

func create(ctx context.Context, dsn string) error {
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, shop.Schema)
	return err
}

// network is a way to a database.
type network struct {
	*faultproxy.Proxy
	dsn string
}

// delayed puts a network in front of a database that can be reached without TLS.
func delayed(dsn string, delay time.Duration) (*network, error) {
	cfg, err := pq.NewConfig(dsn)
	if err != nil {
		return nil, err
	}
	kind, address := "tcp", fmt.Sprintf("%s:%d", cfg.Host, cfg.Port)
	if strings.HasPrefix(cfg.Host, "/") {
		kind, address = "unix", fmt.Sprintf("%s/.s.PGSQL.%d", cfg.Host, cfg.Port)
	}
	proxy, err := faultproxy.New(kind, address)
	if err != nil {
		return nil, err
	}
	proxy.Delay(faultproxy.Both, delay)
	dsn = proxy.ConnInfo() + " sslmode=disable"
	for key, value := range map[string]string{"user": cfg.User, "password": cfg.Password, "dbname": cfg.Database} {
		if value != "" {
			dsn += fmt.Sprintf(" %s='%s'", key, strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value))
		}
	}
	return &network{proxy, dsn}, nil
}
