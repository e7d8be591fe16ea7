// Command quickstart is a first program with psyco. Without a connection string
// it starts a PostgreSQL server of its own and stops it at the end:
//
//	go run ./examples/quickstart
//	go run ./examples/quickstart 'dbname=test user=alice password=secret host=localhost'
package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/psycotest"
)

const usage = `usage: go run ./examples/quickstart [CONNECTION STRING]

A first program with psyco. Without a connection string it starts a PostgreSQL server of
its own and stops it at the end. On a server of yours it makes a table clients, and drops
it at the end:

    go run ./examples/quickstart 'dbname=test user=alice password=secret host=localhost'
`

func main() {
	log.SetFlags(0)
	flag.Usage = func() { fmt.Fprint(flag.CommandLine.Output(), usage) }
	flag.Parse()
	if err := run(context.Background(), os.Stdout, flag.Args()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, w io.Writer, args []string) (err error) {
	out := &printer{w: w}
	var dsn string
	if len(args) > 0 {
		dsn = strings.Join(args, " ") // the quotes are easily forgotten
	} else {
		out.step("Starting a PostgreSQL server of our own")
		srv, err := psycotest.Open(ctx)
		if err != nil {
			return err
		}
		defer srv.Close()
		dsn = srv.DSN()
	}

	out.step("Connecting")
	db, err := sql.Open("psyco", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	var version string
	if err := db.QueryRowContext(ctx, "SHOW server_version").Scan(&version); err != nil {
		return noServer(err, dsn)
	}
	out.print("PostgreSQL " + version)

	out.step("Creating a table and adding a row, in a transaction")
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, `
		CREATE TABLE clients (
			id serial PRIMARY KEY,
			name text,
			email text UNIQUE,
			total_purchases money,
			date timestamp)`); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx,
		"INSERT INTO clients (id, name, email, total_purchases, date) VALUES (%s, %s, %s, %s, %s)",
		"1234", "ACME Corp.", "info@acme.co", 10000, "01-01-2020"); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	defer func() {
		_, dropErr := db.Exec("DROP TABLE clients")
		err = errors.Join(err, dropErr)
	}()
	if err := out.show(ctx, db, "SELECT * FROM clients"); err != nil {
		return err
	}

	out.step("%(name)s with a map")
	if _, err := db.ExecContext(ctx,
		"INSERT INTO clients (name, email, total_purchases, date) VALUES (%(name)s, %(email)s, %(total)s, %(date)s)",
		map[string]any{"name": "Globex", "email": "hello@globex.example", "total": 250, "date": time.Date(2021, 6, 30, 12, 0, 0, 0, time.UTC)},
	); err != nil {
		return err
	}
	if err := out.show(ctx, db, "SELECT * FROM clients WHERE name = %(name)s", map[string]any{"name": "Globex"}); err != nil {
		return err
	}

	out.step("IN %s with a slice")
	if err := out.show(ctx, db, "SELECT * FROM clients WHERE id IN %s ORDER BY id", []int{1, 2, 1234}); err != nil {
		return err
	}

	out.step("LIKE 'A%%', where %% is a percent sign because the query has parameters")
	if err := out.show(ctx, db, "SELECT * FROM clients WHERE name LIKE 'A%%' AND total_purchases > %s::money", 100); err != nil {
		return err
	}

	out.step("A transaction that is rolled back leaves nothing behind")
	tx, err = db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "DELETE FROM clients WHERE id > %s", 0); err != nil {
		return err
	}
	if err := tx.Rollback(); err != nil {
		return err
	}
	var n int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM clients").Scan(&n); err != nil {
		return err
	}
	out.print(fmt.Sprint("rows in clients: ", n))

	out.step("An error from the server is a *pq.Error")
	_, err = db.ExecContext(ctx, "INSERT INTO clients (name, email) VALUES (%s, %s)", "Another ACME", "info@acme.co")
	var pqErr *pq.Error
	if !errors.As(err, &pqErr) {
		return fmt.Errorf("expected an error from the server, got %v", err)
	}
	out.print(pqErr.ErrorWithDetail())

	out.step("An error of psyco's own says what to write instead")
	//psyco:allow the error is what is wanted
	_, err = db.ExecContext(ctx, "UPDATE clients\n   SET name = '%s'\n WHERE id = %s", "Acme", 1234)
	if err == nil {
		return errors.New("expected an error for a quoted placeholder")
	}
	out.print(err.Error())
	return nil
}

// noServer says where the program looked for a server, and what to do.
func noServer(err error, dsn string) error {
	cfg, cfgErr := psyco.ParseDSN(dsn)
	if cfgErr != nil {
		return err
	}
	hosts := []string{}
	for _, h := range cfg.Hosts {
		name := cmp.Or(h.Host, h.Hostaddr, "this machine")
		hosts = append(hosts, fmt.Sprintf("%s, port %d", name, cmp.Or(h.Port, 5432)))
	}
	return fmt.Errorf(`cannot connect to %s: %w
Start the server there, or correct host, port, user and password in the connection string.
Without a connection string, this program starts a server of its own`, strings.Join(hosts, " or "), err)
}
