package compat

import (
	"database/sql"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	"github.com/golang-migrate/migrate/v4/database/postgres"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/lib/pq"

	"github.com/psyco-go/psyco/psycotest"
)

// Several statements in one file, with what might be taken for placeholders.
var migrations = fstest.MapFS{
	"1_table.up.sql": {Data: []byte(`CREATE TABLE t (a int DEFAULT 5 % 3, b text CHECK (b LIKE '%s%'));
INSERT INTO t (b) VALUES ('a%s');
CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN format('%s', $x$;$x$); END $$;`)},
	"1_table.down.sql": {Data: []byte("DROP FUNCTION f; DROP TABLE t;")},
	"2_wrong.up.sql":   {Data: []byte("ALTER TABLE t ADD c int;\nALTER TABLE t ADD d\n\tinteger NOT NUL;")},
	"2_wrong.down.sql": {Data: []byte("SELECT 1;")},
}

func TestMigrate(t *testing.T) {
	dsn := psycotest.DSN(t)
	db, err := sql.Open("psyco", dsn)
	must(t, err)
	instance, err := postgres.WithInstance(db, &postgres.Config{})
	must(t, err)
	source, err := iofs.New(migrations, ".")
	must(t, err)
	m, err := migrate.NewWithInstance("iofs", source, "postgres", instance)
	must(t, err)
	defer m.Close()

	if _, _, err := m.Version(); err != migrate.ErrNilVersion {
		t.Fatalf("the version is %v", err)
	}
	must(t, m.Steps(1))
	err = m.Up() // the second migration is wrong
	var failed database.Error
	var pe *pq.Error
	if !errors.As(err, &failed) || failed.Line != 3 || !errors.As(failed.OrigErr, &pe) || pe.Code != "42601" {
		t.Fatalf("got %#v, want a syntax error in line 3", err)
	}
	if version, dirty, err := m.Version(); version != 2 || !dirty || err != nil {
		t.Fatalf("version %d, dirty %t, %v", version, dirty, err)
	}
	var dirty migrate.ErrDirty
	if err := m.Up(); !errors.As(err, &dirty) || dirty.Version != 2 {
		t.Fatalf("got %v, want ErrDirty", err)
	}
	must(t, m.Force(1))
	must(t, m.Down())
	if err := m.Down(); err != migrate.ErrNoChange {
		t.Fatalf("got %v, want ErrNoChange", err)
	}
	migrateLock(t, dsn, instance)
}

// migrateLock holds the advisory lock, and asks for it on another connection.
func migrateLock(t *testing.T, dsn string, instance database.Driver) {
	must(t, instance.Lock())
	db, err := sql.Open("psyco", dsn+" lock_timeout=10ms")
	must(t, err)
	if _, err := postgres.WithInstance(db, &postgres.Config{}); err == nil || !strings.Contains(err.Error(), "lock timeout") {
		t.Fatalf("the lock for a second instance: %v", err)
	}
	must(t, instance.Unlock())
	second, err := postgres.WithInstance(db, &postgres.Config{MultiStatementEnabled: true})
	must(t, err)
	defer second.Close()
	must(t, second.Run(strings.NewReader("CREATE TABLE u (a int); CREATE INDEX CONCURRENTLY ON u (a);")))
	must(t, second.Drop())
}
