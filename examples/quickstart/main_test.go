package main

import (
	"database/sql"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/psyco-go/psyco/psycotest"
)

const want = `
1. Connecting
   PostgreSQL VERSION

2. Creating a table and adding a row, in a transaction
   id    name        email         total_purchases  date
   1234  ACME Corp.  info@acme.co  $10,000.00       2020-01-01 00:00:00

3. %(name)s with a map
   id  name    email                 total_purchases  date
   1   Globex  hello@globex.example  $250.00          2021-06-30 12:00:00

4. IN %s with a slice
   id    name        email                 total_purchases  date
   1     Globex      hello@globex.example  $250.00          2021-06-30 12:00:00
   1234  ACME Corp.  info@acme.co          $10,000.00       2020-01-01 00:00:00

5. LIKE 'A%%', where %% is a percent sign because the query has parameters
   id    name        email         total_purchases  date
   1234  ACME Corp.  info@acme.co  $10,000.00       2020-01-01 00:00:00

6. A transaction that is rolled back leaves nothing behind
   rows in clients: 2

7. An error from the server is a *pq.Error
   ERROR:   duplicate key value violates unique constraint "clients_email_key" (23505)
   DETAIL:  Key (email)=(info@acme.co) already exists.

8. An error of psyco's own says what to write instead
   psyco: the placeholder '%s' is inside a literal, where it is text: drop the quotes around it, or write %%s if a percent sign is meant (line 2, column 16)
   	   SET name = '%s'
   	               ^
`

func TestRun(t *testing.T) {
	db := psycotest.DB(t)
	var version string
	if err := db.QueryRow("SHOW server_version").Scan(&version); err != nil {
		t.Fatal(err)
	}
	dsn := psycotest.DSN(t) + " lc_monetary=C timezone=UTC"
	for range 2 { // it leaves nothing behind that would stop a second run
		var out strings.Builder
		if err := run(t.Context(), &out, []string{dsn}); err != nil {
			t.Fatal(err)
		}
		if got, want := out.String(), strings.Replace(want, "VERSION", version, 1); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
	}
}

func TestRunWithItsOwnServer(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out, nil); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.HasPrefix(got, "\n1. Starting a PostgreSQL server of our own\n\n2. Connecting\n") ||
		!strings.Contains(got, "rows in clients: 2") {
		t.Errorf("got:\n%s", got)
	}
}

// A table that was there before is not the program's to drop.
func TestRunKeepsAnExistingTable(t *testing.T) {
	dsn := psycotest.DSN(t)
	db, err := sql.Open("psyco", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE clients (n int); INSERT INTO clients VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), io.Discard, []string{dsn}); err == nil || !strings.Contains(err.Error(), `"clients" already exists`) {
		t.Errorf("got %v", err)
	}
	var n int
	if err := db.QueryRow("SELECT n FROM clients").Scan(&n); n != 1 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestRunWithoutServer(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"one host", []string{"host=127.0.0.1 port=1 user=alice password=secret"}, "cannot connect to 127.0.0.1, port 1: "},
		{"forgotten quotes", []string{"host=127.0.0.1", "port=1", "password=secret"}, "cannot connect to 127.0.0.1, port 1: "},
		{"two hosts", []string{"host=127.0.0.1,::1 port=1,2"}, "cannot connect to 127.0.0.1, port 1 or ::1, port 2: "},
		{"a URI", []string{"postgres://alice:secret@127.0.0.1:1/test"}, "cannot connect to 127.0.0.1, port 1: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := run(t.Context(), io.Discard, c.args)
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || !strings.Contains(err.Error(), "\nStart the server there") || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestUsage holds the usage to the README.
func TestUsage(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(usage) {
		if strings.HasPrefix(line, "    ") && !strings.Contains(string(readme), line) {
			t.Errorf("README.md does not have %q", line)
		}
	}
}
