package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/faultproxy"
	"github.com/psyco-go/psyco/internal/pgserver"
)

// Transports, in the order in which they are measured.
const (
	unixSocket = "unix"
	tcp        = "tcp"
	delayed    = "1ms" // TCP with one millisecond added each way
)

var transports = []string{unixSocket, tcp, delayed}

// server is a database made for the benchmark, and the ways to it.
type server struct {
	version string
	dsn     map[string]string // by transport
	db      *sql.DB           // for set-up
	proxy   *faultproxy.Proxy // of the delayed network
	closers []func() error    // last first
}

// startServer makes the database on the server of PSYCO_TEST_DSN or, without
// it, on one that it starts and that ends with this process.
func startServer(ctx context.Context) (srv *server, err error) {
	host, err := pgserver.Shared(ctx)
	if err != nil {
		return nil, err
	}
	dsn, drop, err := host.CreateDatabase(ctx)
	if err != nil {
		return nil, err
	}
	srv = &server{dsn: make(map[string]string), closers: []func() error{drop}}
	defer func() {
		if err != nil {
			err = errors.Join(err, srv.close())
		}
	}()
	cfg, err := pq.NewConfig(dsn)
	if err != nil {
		return nil, err
	}

	common := " user=" + quote(cfg.User) + " dbname=" + quote(cfg.Database) + " sslmode=disable"
	if cfg.Password != "" {
		common += " password=" + quote(cfg.Password)
	}
	network, address := "tcp", fmt.Sprintf("%s:%d", cfg.Host, cfg.Port)
	if strings.HasPrefix(cfg.Host, "/") {
		network, address = "unix", fmt.Sprintf("%s/.s.PGSQL.%d", cfg.Host, cfg.Port)
		srv.dsn[unixSocket] = fmt.Sprintf("host=%s port=%d", quote(cfg.Host), cfg.Port) + common
		cfg.Host = "127.0.0.1"
	}
	srv.dsn[tcp] = fmt.Sprintf("host=%s port=%d", cfg.Host, cfg.Port) + common
	srv.proxy, err = faultproxy.New(network, address)
	if err != nil {
		return nil, err
	}
	srv.closers = append(srv.closers, srv.proxy.Close)
	srv.proxy.Delay(faultproxy.Both, time.Millisecond)
	srv.dsn[delayed] = srv.proxy.ConnInfo() + common

	srv.db, err = sql.Open("postgres", dsn)
	if err != nil {
		return nil, err
	}
	srv.closers = append(srv.closers, srv.db.Close)
	if err := srv.db.QueryRowContext(ctx, "SELECT current_setting('server_version')").Scan(&srv.version); err != nil {
		return nil, err
	}
	if network == "unix" && !listensOnTCP(ctx, srv.dsn[tcp]) {
		delete(srv.dsn, tcp)
	}
	// What a disk does to a commit says nothing about drivers.
	return srv, srv.exec(ctx, append([]string{"ALTER DATABASE " + pq.QuoteIdentifier(cfg.Database) + " SET synchronous_commit = off"}, schema...)...)
}

// listensOnTCP tells whether a server that was named by its Unix socket can be
// reached over TCP.
func listensOnTCP(ctx context.Context, dsn string) bool {
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		return false
	}
	defer db.Close()
	return db.PingContext(ctx) == nil
}

func (s *server) exec(ctx context.Context, statements ...string) error {
	for _, stmt := range statements {
		if _, err := s.db.ExecContext(ctx, stmt); err != nil {
			return fmt.Errorf("%w, in: %s", err, stmt)
		}
	}
	return nil
}

func (s *server) close() error {
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	return errors.Join(errs...)
}

// quote makes a connection string's value of any text.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

const accounts = 10_000 // rows in the tables that are read

var schema = []string{
	`CREATE TABLE account (id int PRIMARY KEY, name text NOT NULL, balance bigint NOT NULL, updated timestamptz NOT NULL)`,
	fmt.Sprintf(`INSERT INTO account SELECT i, 'account number ' || i, i * 100, now() FROM generate_series(1, %d) i`, accounts),
	`CREATE TABLE balance (LIKE account INCLUDING ALL)`,
	`INSERT INTO balance SELECT * FROM account`,
	`CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY, kind int NOT NULL, body text NOT NULL, at timestamptz NOT NULL)`,
	`CREATE TABLE wide (id int PRIMARY KEY, bo bool, i2 int2, i8 int8, f4 float4, f8 float8, nu numeric(20,4), te text, vc varchar(40),
		bi bytea, da date, ts timestamp, tz timestamptz, iv interval, uu uuid, js json, jb jsonb, ip inet, ia int[], ta text[])`,
	fmt.Sprintf(`INSERT INTO wide SELECT i, i %% 2 = 0, i %% 1000, i * 1000000007::int8, i / 8.0, i / 3.0, i / 7.0, 'text ' || i, 'varchar ' || i,
		decode(md5(i::text), 'hex'), date '2024-01-01' + i, timestamp '2024-01-01 12:00' + i * interval '1 s',
		timestamptz '2024-01-01 12:00+00' + i * interval '1.000001 s', i * interval '1 min', md5(i::text)::uuid,
		json_build_object('id', i), jsonb_build_object('id', i, 'tags', array['a', 'b']), inet '10.0.0.0' + i, array[i, i + 1, i + 2], array['a', 'b' || i]
		FROM generate_series(1, %d) i`, accounts),
	`CREATE TABLE copied (id int, name text, at timestamptz, value float8)`,
	`VACUUM ANALYZE`,
}
