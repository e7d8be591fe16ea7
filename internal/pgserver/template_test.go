//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/lib/pq"
)

func TestTemplate(t *testing.T) {
	s := sharedFor(t)
	leaked := ""
	template, err := s.CreateTemplate(t.Context(), func(dsn string) error {
		db := open(t, dsn)
		t.Cleanup(func() { db.Close() }) // its connections stay open meanwhile
		leaked = dsn
		_, err := db.Exec("CREATE TABLE kept AS SELECT 42 AS n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	late := open(t, leaked)
	defer late.Close()
	if err := late.Ping(); err == nil {
		t.Error("the template lets connections in")
	}

	names := make(chan string, 8)
	var copies sync.WaitGroup
	for range cap(names) {
		copies.Go(func() {
			dsn, drop, err := template.CreateDatabase(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			defer func() {
				if err := drop(); err != nil {
					t.Error(err)
				}
			}()
			if got := query(t, dsn, "SELECT n FROM kept"); got != "42" {
				t.Errorf("the copy has %s", got)
			}
			names <- query(t, dsn, "SELECT current_database()")
		})
	}
	copies.Wait()
	close(names)
	for name := range names {
		if databaseExists(t, s, name) {
			t.Errorf("%s outlives its drop", name)
		}
	}
	if err := template.Drop(); err != nil {
		t.Error(err)
	}
	if databaseExists(t, s, template.name) {
		t.Error("the template outlives its drop")
	}
}

func TestTemplateFails(t *testing.T) {
	s := sharedFor(t)
	name, failed := "", errors.New("failed")
	if _, err := s.CreateTemplate(t.Context(), func(dsn string) error {
		name = query(t, dsn, "SELECT current_database()")
		return failed
	}); !errors.Is(err, failed) {
		t.Errorf("a build that fails: %v", err)
	}
	if databaseExists(t, s, name) {
		t.Error("the database of a build that failed is left behind")
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := s.CreateTemplate(ctx, func(dsn string) error {
		name = query(t, dsn, "SELECT current_database()")
		cancel()
		return nil
	}); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ends: %v", err)
	}
	if databaseExists(t, s, name) {
		t.Error("the database is left behind when the context ends")
	}
}

func sharedFor(t *testing.T) *Server {
	t.Helper()
	s, err := Shared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func databaseExists(t *testing.T, s *Server, name string) bool {
	t.Helper()
	return query(t, s.DSN(), "SELECT count(*) FROM pg_database WHERE datname = "+pq.QuoteLiteral(name)) != "0"
}

// A connection string that says nothing of TLS is enough for a server without.
func TestExistingWithoutTLS(t *testing.T) {
	for _, name := range []string{"PGSSLMODE", "PGSERVICE"} {
		t.Setenv(name, "") // to have it back afterwards
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	shared, err := pq.NewConfig(sharedFor(t).DSN())
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(shared.Host, "/") {
		shared.Host = "127.0.0.1" // TLS is for TCP
	}
	s, err := existing(fmt.Sprintf("host=%s port=%d user=%s password='%s' dbname=%s",
		shared.Host, shared.Port, shared.User, shared.Password, shared.Database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	_, drop, err := s.CreateDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := drop(); err != nil {
		t.Error(err)
	}
}

func TestPreferTLS(t *testing.T) {
	tests := map[string]string{
		"host=db":                         "sslmode=prefer host=db",
		"host=db sslmode=require":         "sslmode=prefer host=db sslmode=require",
		"postgres://u@db/x":               "postgres://u@db/x?sslmode=prefer",
		"postgres://db/x?sslmode=disable": "postgres://db/x?sslmode=disable",
		"service=shop":                    "service=shop",
	}
	t.Setenv("PGSSLMODE", "")
	t.Setenv("PGSERVICE", "")
	for dsn, want := range tests {
		if got := preferTLS(dsn); got != want {
			t.Errorf("%s: got %s, want %s", dsn, got, want)
		}
	}
	t.Setenv("PGSSLMODE", "verify-full")
	if got := preferTLS("host=db"); got != "host=db" {
		t.Errorf("in spite of PGSSLMODE: %s", got)
	}
}

// A server that others use too: each process finds what dead ones left behind,
// and does not touch what belongs to the living.
func TestLeftovers(t *testing.T) {
	dsn := sharedFor(t).DSN()
	connect := func() *Server {
		t.Helper()
		s, err := existing(dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	use := func(s *Server) (name string) {
		t.Helper()
		_, name, drop, err := s.createDatabase(t.Context(), "template0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := drop(); err != nil {
				t.Error(err)
			}
		})
		return name
	}
	living := connect()
	alive := use(living)

	cmd, line := startHelper(t, "existing", true, "PGSERVER_TEST_DSN="+dsn)
	used, template, ok := strings.Cut(line, " ")
	if !ok || !databaseExists(t, living, used) || !databaseExists(t, living, template) {
		t.Fatalf("the helper says %q", line)
	}
	use(connect())
	if !databaseExists(t, living, used) || !databaseExists(t, living, template) {
		t.Error("the databases of a living process are gone")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the databases of a process that was killed are dropped", func() bool {
		use(connect())
		return !databaseExists(t, living, used) && !databaseExists(t, living, template)
	})
	if !databaseExists(t, living, alive) {
		t.Error("the database of a living owner is gone")
	}
}
