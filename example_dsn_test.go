package psyco_test

import (
	"fmt"
	"log"
	"time"

	"github.com/psyco-go/psyco"
)

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
