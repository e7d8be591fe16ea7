package psycotest_test

import (
	"context"
	"database/sql"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/psycotest"
)

func TestDBIsEmptyAndItsOwn(t *testing.T) {
	var mu sync.Mutex
	names, used := map[string]bool{}, map[string]bool{}
	t.Run("group", func(t *testing.T) {
		for range 6 {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				db := psycotest.DB(t)
				// The second test to do this in one database would fail.
				if _, err := db.Exec("CREATE TABLE t (a int)"); err != nil {
					t.Fatal(err)
				}
				name := text(t, db, "SELECT current_database()")
				mu.Lock()
				defer mu.Unlock()
				if used[name] {
					t.Errorf("two tests have the database %s at once", name)
				}
				names[name], used[name] = true, true
				t.Cleanup(func() { // before the database is closed
					mu.Lock()
					defer mu.Unlock()
					used[name] = false
				})
			})
		}
	})
	server, err := psycotest.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	db := open(t, server.DSN())
	for name := range names {
		// The server notices a moment later that a client has gone.
		const clients = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
		for start := time.Now(); text(t, db, clients, name) != "0"; time.Sleep(time.Millisecond) {
			if time.Since(start) > 10*time.Second {
				t.Fatalf("somebody is still connected to %s", name)
			}
		}
		if text(t, db, "SELECT count(*) FROM pg_database WHERE datname = %s", name) == "0" {
			continue // dropped
		}
		again, err := sql.Open("psyco", server.DSN()+" dbname="+name)
		if err != nil {
			t.Fatal(err)
		}
		if n := text(t, again, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"); n != "0" {
			t.Errorf("a test has left %s relations in %s", n, name)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestDBTakesOptions(t *testing.T) {
	called := 0
	db := psycotest.DB(t, psyco.WithOnConnect(func(context.Context, *psyco.Conn) error {
		called++
		return nil
	}))
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	if called != 1 {
		t.Errorf("the option was called %d times for one connection", called)
	}
}

func TestOpenSharesOneServer(t *testing.T) {
	dsn := psycotest.DSN(t) // keeps the server
	first, err := psycotest.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second, err := psycotest.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if first.DSN() != second.DSN() {
		t.Errorf("two servers: %q, %q", first.DSN(), second.DSN())
	}
	for range 2 { // a second Close does not take another user's share away
		for _, s := range []*psycotest.Server{first, second} {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	text(t, open(t, dsn), "SELECT 1")
}

func TestNewDatabase(t *testing.T) {
	server, err := psycotest.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	dsn, drop, err := server.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	db := open(t, dsn)
	if got := text(t, db, "SELECT count(*) FROM pg_stat_user_tables"); got != "0" {
		t.Errorf("a new database has %s tables", got)
	}
	name := text(t, db, "SELECT current_database()")
	if err := drop(); err != nil { // with db still open
		t.Fatal(err)
	}
	if got := text(t, open(t, server.DSN()), "SELECT count(*) FROM pg_database WHERE datname = %s", name); got != "0" {
		t.Errorf("%s is still there", name)
	}
}

// The variables that psycotest documents are the ones that it reads.
func TestEnvironmentIsDocumented(t *testing.T) {
	docs, err := os.ReadFile("../docs/testing.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"PSYCO_TEST_DSN", "PSYCO_TEST_IMAGE", "PSYCO_TEST_DOWNLOAD"} {
		if !strings.Contains(string(docs), name) {
			t.Errorf("docs/testing.md does not say %s", name)
		}
	}
}

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	return openAs(t, "psyco", dsn)
}

func openAs(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func text(t *testing.T, db *sql.DB, query string, args ...any) string {
	t.Helper()
	var v string
	if err := db.QueryRowContext(t.Context(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}
