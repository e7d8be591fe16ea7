package psyco_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"sync"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
)

func ExampleConnector_Config() {
	connector, err := psyco.NewConnector("host=db1 user=app password=secret")
	if err != nil {
		log.Fatal(err)
	}
	cfg := connector.Config() // a copy
	cfg.Database = "reports"
	reports, err := psyco.NewConnectorConfig(cfg)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(connector.Config().Database, reports.Config().Database)
	// Output: app reports
}

// A connection without a pool.
func ExampleConnector_Connect() {
	dsn, drop := exampleDSN()
	defer drop()

	connector, err := psyco.NewConnector(dsn)
	if err != nil {
		log.Fatal(err)
	}
	conn, err := connector.Connect(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(conn.Close())
	// Output: <nil>
}

func ExampleConnector_Driver() {
	connector, err := psyco.NewConnector("dbname=shop")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%T\n", connector.Driver())
	// Output: *psyco.Driver
}

func ExampleDriver_Open() {
	dsn, drop := exampleDSN()
	defer drop()

	var d psyco.Driver
	conn, err := d.Open(dsn)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(conn.Close())
	// Output: <nil>
}

func ExampleDriver_OpenConnector() {
	var d psyco.Driver
	_, err := d.OpenConnector("host=db1 sslmode=always")
	fmt.Println(err)
	// Output: psyco: invalid sslmode value: "always" (expected disable, allow, prefer, require, verify-ca, verify-full)
}

// Options are values: a program can collect them.
func ExampleOption() {
	dsn, drop := exampleDSN()
	defer drop()

	options := []psyco.Option{psyco.WithCancelGrace(time.Second)}
	if os.Getenv("SHOW_NOTICES") != "" {
		options = append(options, psyco.WithNoticeHandler(func(e *pq.Error) { fmt.Println(e.Message) }))
	}
	connector, err := psyco.NewConnector(dsn, options...)
	if err != nil {
		log.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	fmt.Println(db.Ping())
	// Output: <nil>
}

// A dialer that says where it connects to.
func ExampleDialFunc() {
	var dial psyco.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		fmt.Println("dialling", network, address)
		return nil, errors.New("the network is down")
	}
	connector, err := psyco.NewConnector("host=db1.example.test user=app", psyco.WithDialer(dial))
	if err != nil {
		log.Fatal(err)
	}
	_, err = connector.Connect(context.Background())
	fmt.Println(err)
	// Output:
	// dialling tcp db1.example.test:5432
	// psyco: connecting to db1.example.test:5432 as user "app", database "app": the network is down
}

// Through a tunnel, which knows names that this machine does not.
func ExampleWithDialer() {
	dsn, drop := exampleDSN()
	defer drop()

	tunnel := new(net.Dialer) // or an SSH client: its DialContext fits, too
	connector, err := psyco.NewConnector(dsn, psyco.WithDialer(tunnel.DialContext))
	if err != nil {
		log.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	fmt.Println(db.Ping())
	// Output: <nil>
}

// A token that expires takes the place of a password.
func ExampleWithPassword() {
	db, done := exampleDB(psyco.WithPassword(func(ctx context.Context, cfg *psyco.Config, host psyco.Host) (string, error) {
		return "token for " + cfg.User, ctx.Err() // asked for with every new connection
	}))
	defer done()

	fmt.Println(db.Ping())
	// Output: <nil>
}

// A token from the program's own client of the issuer, kept while it is valid.
func ExampleWithOAuthToken() {
	var token string
	var until time.Time
	fetch := func(ctx context.Context, r psyco.OAuthRequest) (string, time.Duration, error) {
		// Here the program asks the issuer that r.DiscoveryURI describes.
		return "token for " + r.Config.OAuthClientID, time.Hour, ctx.Err()
	}
	var mu sync.Mutex // connections are made side by side
	db, done := exampleDB(psyco.WithOAuthToken(func(ctx context.Context, r psyco.OAuthRequest) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Now().After(until) {
			fresh, valid, err := fetch(ctx, r)
			if err != nil {
				return "", err
			}
			token, until = fresh, time.Now().Add(valid)
		}
		return token, nil
	}))
	defer done()

	fmt.Println(db.Ping()) // this server wants no token
	// Output: <nil>
}

func ExampleOAuthRequest() {
	r := psyco.OAuthRequest{
		Config:       &psyco.Config{OAuthClientID: "shop", OAuthClientSecret: "secret"},
		Host:         psyco.Host{Host: "db1", Port: 5432},
		Issuer:       "https://issuer.example",
		DiscoveryURI: "https://issuer.example/.well-known/openid-configuration",
		Scope:        "openid database",
	}
	fmt.Println(r.Config.OAuthClientID, "wants", r.Scope, "for", r.Host, "as", r.DiscoveryURI, "says")
	// Output: shop wants openid database for db1:5432 as https://issuer.example/.well-known/openid-configuration says
}

// Who looks at the server sees when each connection was made.
func ExampleWithBeforeConnect() {
	db, done := exampleDB(psyco.WithBeforeConnect(func(ctx context.Context, cfg *psyco.Config) error {
		cfg.ApplicationName = "shop " + time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC).Format("15:04")
		return nil
	}))
	defer done()

	var name string
	err := db.QueryRow("SHOW application_name").Scan(&name)
	fmt.Println(name, err)
	// Output: shop 08:00 <nil>
}

// What every session is to have set.
func ExampleWithOnConnect() {
	db, done := exampleDB(psyco.WithOnConnect(func(ctx context.Context, c *psyco.Conn) error {
		if v := c.ServerVersion(); v < 120000 {
			return fmt.Errorf("the server is too old: %d", v)
		}
		return nil
	}))
	defer done()

	fmt.Println(db.Ping())
	// Output: <nil>
}

// Nobody meets what another request has left in a session.
func ExampleCleanSession() {
	db, done := exampleDB(psyco.WithOnReset(psyco.CleanSession))
	defer done()
	db.SetMaxOpenConns(1)

	if _, err := db.Exec("SET statement_timeout = '1s'"); err != nil {
		log.Fatal(err)
	}
	var timeout string
	err := db.QueryRow("SELECT current_setting(%s)", "statement_timeout").Scan(&timeout)
	fmt.Println(timeout, err)
	// Output: 0 <nil>
}

// A function that says which connections may be used again.
func ExampleWithOnReset() {
	db, done := exampleDB(psyco.WithOnReset(func(ctx context.Context, c *psyco.Conn) error {
		if c.Stats().BytesReceived > 1<<30 {
			return errors.New("its session has grown large") // the pool takes another one
		}
		return c.ExecWithNext(ctx, "RESET ALL") // in front of whatever comes
	}))
	defer done()

	fmt.Println(db.Ping())
	// Output: <nil>
}

func ExampleConn_ExecWithNext() {
	db, done := exampleDB(psyco.WithOnConnect(func(ctx context.Context, c *psyco.Conn) error {
		return c.ExecWithNext(ctx, "SET app.version = '2.7'") // costs no round trip
	}))
	defer done()

	var version string
	err := db.QueryRow("SELECT current_setting(%s)", "app.version").Scan(&version)
	fmt.Println(version, err)
	// Output: 2.7 <nil>
}

func ExampleConn_Exec() {
	db, done := exampleDB(psyco.WithOnConnect(func(ctx context.Context, c *psyco.Conn) error {
		_, err := c.Exec(ctx, "SELECT set_config('app.started', %s::timestamptz::text, false)", time.Now())
		return err
	}))
	defer done()

	var started time.Time
	err := db.QueryRow("SELECT current_setting('app.started')::timestamptz").Scan(&started)
	fmt.Println(time.Since(started) < time.Hour, err)
	// Output: true <nil>
}

// Connections of an hour, and of up to six minutes more.
func ExampleWithMaxLifetime() {
	db, done := exampleDB(psyco.WithMaxLifetime(time.Hour, 6*time.Minute))
	defer done()

	fmt.Println(db.Ping())
	// Output: <nil>
}

func ExampleWithNoticeHandler() {
	db, done := exampleDB(psyco.WithNoticeHandler(func(e *pq.Error) {
		fmt.Println(e.Severity+":", e.Message)
	}))
	defer done()

	if _, err := db.Exec("DROP TABLE IF EXISTS nonexistent"); err != nil {
		log.Fatal(err)
	}
	// Output: NOTICE: table "nonexistent" does not exist, skipping
}

// Notifications come with the answers to the statements of the connection that
// listens.
func ExampleWithNotificationHandler() {
	db, done := exampleDB(psyco.WithNotificationHandler(func(n *pq.Notification) {
		fmt.Println(n.Channel, n.Extra)
	}))
	defer done()

	db.SetMaxOpenConns(1)
	if _, err := db.Exec("LISTEN orders"); err != nil {
		log.Fatal(err)
	}
	if _, err := db.Exec("SELECT pg_notify(%s, %s)", "orders", "42"); err != nil {
		log.Fatal(err)
	}
	// Output: orders 42
}

func ExampleWithTLSConfig() {
	config := &tls.Config{MinVersion: tls.VersionTLS13} // RootCAs, Certificates, …
	connector, err := psyco.NewConnector("host=db1.example.test user=app", psyco.WithTLSConfig(config))
	if err != nil {
		log.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	fmt.Println(connector.Config().SSLMode) // not disable, so TLS is required
	// Output: prefer
}

// cents is an amount of money.
type cents int64

func ExampleWithTypeMap() {
	var types psyco.TypeMap
	psyco.RegisterAdapter(&types, func(m cents) (any, uint32, error) {
		return psyco.Numeric(fmt.Sprintf("%d.%02d", m/100, m%100)), 0, nil
	})
	db, done := exampleDB(psyco.WithTypeMap(&types))
	defer done()

	var total string
	err := db.QueryRow("UPDATE clients SET total = total + %s WHERE id = %s RETURNING total", cents(1995), 1).Scan(&total)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(total)
	// Output: 19.95
}

func ExampleWithCancelGrace() {
	db, done := exampleDB(psyco.WithCancelGrace(500 * time.Millisecond))
	defer done()

	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	_, err := db.ExecContext(ctx, "SELECT pg_sleep(%s)", 60)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	fmt.Println(err)
	// Output:
	// true
	// pq: canceling statement due to user request (57014)
}

func ExampleDefaultCancelGrace() {
	fmt.Println(psyco.DefaultCancelGrace)
	// Output: 3s
}

// A certificate authority that only this program trusts.
func ExampleRegisterTLSConfig() {
	roots := x509.NewCertPool()
	if data, err := os.ReadFile("ca.pem"); err == nil {
		roots.AppendCertsFromPEM(data)
	}
	if err := psyco.RegisterTLSConfig("internal", &tls.Config{RootCAs: roots}); err != nil {
		fmt.Println(err)
		return
	}
	cfg, err := psyco.ParseDSN("host=db.example.test sslmode=pqgo-internal")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cfg.SSLMode)
	// Output: pqgo-internal
}

func ExampleParseDSN() {
	cfg, err := psyco.ParseDSN("postgres://app@%2Frun%2Fpg,db2:5433/shop?connect_timeout=5&search_path=sales")
	if err != nil {
		log.Fatal(err)
	}
	for _, h := range cfg.Hosts {
		fmt.Println(h.Host, h.Port)
	}
	fmt.Println(cfg.User, cfg.Database, cfg.ConnectTimeout, cfg.RuntimeParams["search_path"])
	// Output:
	// /run/pg 5432
	// db2 5433
	// app shop 5s sales
}

// The same in the other form, and what a misspelt option brings.
func ExampleParseDSN_conninfo() {
	cfg, err := psyco.ParseDSN(`host=db1 user=app password='it\'s secret' dbname=shop`)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cfg.Hosts[0].Host, cfg.Password)

	_, err = psyco.ParseDSN("host=db1 pasword=secret")
	fmt.Println(err)
	// Output:
	// db1 it's secret
	// psyco: invalid connection option "pasword": did you mean "password"?
}

func ExampleNewConfig() {
	cfg := psyco.NewConfig()
	cfg.Hosts = []psyco.Host{{Host: "db1"}, {Host: "db2", Port: 5433}}
	cfg.User = "app"
	cfg.TargetSessionAttrs = "read-write"
	fmt.Println(cfg)
	// Output: host=db1,db2 port=5432,5433 user=app target_session_attrs=read-write
}

func ExampleConfig() {
	cfg := &psyco.Config{
		Hosts:          []psyco.Host{{Host: "/run/postgresql"}},
		User:           "app",
		ConnectTimeout: 10 * time.Second,
		SSLSNI:         true,
		Keepalives:     true,
		RuntimeParams:  map[string]string{"statement_timeout": "30s"},
		// No statement cache: StatementCacheCapacity is 0.
	}
	fmt.Println(cfg)
	// Output: host=/run/postgresql user=app connect_timeout=10 statement_cache_capacity=0 statement_timeout=30s
}

func ExampleConfig_FormatDSN() {
	cfg, err := psyco.ParseDSN("host=db1 user=app password=secret dbname=shop")
	if err != nil {
		log.Fatal(err)
	}
	cfg.Database = "archive"

	again, err := psyco.ParseDSN(cfg.FormatDSN())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(again.User, again.Password, again.Database)
	// Output: app secret archive
}

func ExampleConfig_String() {
	cfg := psyco.Config{Hosts: []psyco.Host{{Host: "db1"}}, User: "app", Password: "secret", SSLMode: "require"}
	cfg.Keepalives, cfg.SSLSNI, cfg.StatementCacheCapacity = true, true, 256
	fmt.Println(cfg)
	// Output: host=db1 user=app password=*** sslmode=require
}

func ExampleConfig_GoString() {
	cfg := psyco.NewConfig()
	cfg.User, cfg.Password = "app", "secret"
	fmt.Printf("%#v\n", cfg)
	// Output: psyco.Config{user=app password=***}
}

func ExampleConfig_Clone() {
	cfg := psyco.NewConfig()
	cfg.Hosts = []psyco.Host{{Host: "db1"}}
	standby := cfg.Clone()
	standby.Hosts[0].Host = "db2"
	fmt.Println(cfg.Hosts[0].Host, standby.Hosts[0].Host)
	// Output: db1 db2
}

func ExampleHost() {
	// The name is for the certificate, the address for the network.
	h := psyco.Host{Host: "db1.example.com", Hostaddr: "192.0.2.7", Port: 5433}
	fmt.Println(h)
	// Output: db1.example.com:5433
}

func ExampleHost_String() {
	fmt.Println(psyco.Host{Hostaddr: "2001:db8::1", Port: 5432, Password: "secret"})
	// Output: [2001:db8::1]:5432
}

func ExampleHost_GoString() {
	fmt.Printf("%#v\n", psyco.Host{Host: "db1", Port: 5432, Password: "secret"})
	// Output: psyco.Host{db1:5432}
}

// As psql's \password does.
func ExampleChangePassword() {
	ctx := context.Background()
	inExample(func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "CREATE ROLE example_clerk LOGIN"); err != nil {
			return err
		}
		fmt.Println(psyco.ChangePassword(ctx, tx, "example_clerk", "correct horse"))
		return nil
	})
	// Output: <nil>
}

// For a statement that another program runs.
func ExampleEncryptPassword() {
	encrypted, err := psyco.EncryptPassword("correct horse", "clerk", "md5")
	if err != nil {
		log.Fatal(err)
	}
	query, err := psyco.Compose("CREATE ROLE {} LOGIN PASSWORD {}", psyco.Identifier{"clerk"}, psyco.Literal(encrypted))
	fmt.Println(query, err)
	// Output: CREATE ROLE "clerk" LOGIN PASSWORD 'md560d96985075700b571b6abd502ae8b46' <nil>
}
