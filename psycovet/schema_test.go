package psycovet_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/psyco-go/psyco/psycotest"
	"github.com/psyco-go/psyco/psycovet"
)

// setFlags sets flags of the analyzer for a test.
func setFlags(t *testing.T, pairs ...string) {
	t.Helper()
	if err := psycovet.CloseSchema(); err != nil { // of other tests, without a schema
		t.Fatal(err)
	}
	flags := &psycovet.Analyzer.Flags
	for i := 0; i < len(pairs); i += 2 {
		before := flags.Lookup(pairs[i]).Value.String()
		if err := flags.Set(pairs[i], pairs[i+1]); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { flags.Set(pairs[i], before) })
	}
	t.Cleanup(func() {
		if err := psycovet.CloseSchema(); err != nil {
			t.Error(err)
		}
	})
}

func TestSchemaOfMigrations(t *testing.T) {
	setFlags(t, "migrations", "testdata/schema/db/*.sql")
	check(t, "schema")
}

func TestSchemaOfDatabase(t *testing.T) {
	dsn := psycotest.DSN(t)
	setFlags(t, "dsn", dsn)

	if err := migrate(t, dsn); err != nil {
		t.Fatal(err)
	}
	check(t, "schema")
}

// What was recorded with a server is enough without one, and an outdated recording says
// how to renew it.
func TestRecording(t *testing.T) {
	file := filepath.Join(t.TempDir(), "queries.json")
	t.Run("record", func(t *testing.T) {
		setFlags(t, "migrations", "testdata/schema/db/*.sql", "record", file)
		check(t, "schema")
	})
	t.Run("offline", func(t *testing.T) {
		setFlags(t, "migrations", "testdata/schema/db/*.sql", "offline", file)
		check(t, "schema")
	})
	t.Run("offline, without the migrations", func(t *testing.T) {
		setFlags(t, "offline", file)
		check(t, "schema")
	})
	t.Run("other migrations", func(t *testing.T) {
		setFlags(t, "migrations", "testdata/schema/db/1_*.sql", "offline", file)
		if _, err := result(t, "schema"); err == nil || !strings.Contains(err.Error(), "write it anew with psycovet -migrations 'testdata/schema/db/1_*.sql' -record "+file) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("another query", func(t *testing.T) {
		setFlags(t, "offline", file)
		found, err := result(t, "unrecorded")
		if err != nil || len(found) != 1 || !strings.Contains(found[0], "has nothing about this query: write it anew with") {
			t.Errorf("reports %q, error %v", found, err)
		}
	})
}

func TestSchemaFlags(t *testing.T) {
	tests := []struct {
		name  string
		flags []string
		err   string
	}{
		{"no file", []string{"migrations", "testdata/missing/*.sql"}, "no file has such a name"},
		{"two schemas", []string{"migrations", "testdata/schema/db/*.sql", "dsn", "dbname=x"}, "-dsn is for one that is there"},
		{"nothing to record", []string{"record", "x.json"}, "-record needs a schema"},
		{"no recording", []string{"offline", "testdata/missing.json"}, "testdata/missing.json"},
		{"an error in a migration", []string{"migrations", "testdata/broken.sql"}, "testdata/broken.sql:2:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			setFlags(t, tt.flags...)
			if _, err := result(t, "unrecorded"); err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

func TestForward(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"plain", "CREATE TABLE t ();\n", "CREATE TABLE t ();\n"},
		{"goose", "-- +goose Up\na;\n-- +goose Down\nb;\n", "-- +goose Up\na;\n"},
		{"goose, down first", "-- +goose Down\nb;\n-- +goose Up\na;\n", "-- +goose Up\na;\n"},
		{"concurrently", "CREATE INDEX CONCURRENTLY i ON t (a); -- CONCURRENTLY", "CREATE INDEX              i ON t (a); -- CONCURRENTLY"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := psycovet.Forward(tt.text); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// result returns what is reported of a package, or why that was not possible.
func result(t *testing.T, pkg string) (messages []string, err error) {
	t.Helper()
	for _, act := range run(t, pkg) {
		if act.Err != nil {
			return nil, act.Err
		}
		for _, d := range act.Diagnostics {
			messages = append(messages, d.Message)
		}
	}
	return messages, nil
}

func migrate(t *testing.T, dsn string) error {
	t.Helper()
	db, err := sql.Open("psyco", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, name := range []string{"1_clients.sql", "2_email.up.sql", "10_orders.sql"} {
		text, err := os.ReadFile(filepath.Join("testdata/schema/db", name))
		if err != nil {
			return err
		}
		if _, err := db.Exec(psycovet.Forward(string(text))); err != nil {
			return err
		}
	}
	return nil
}
