package compat

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pressly/goose/v3"
)

func TestGoose(t *testing.T) {
	const migration = `-- +goose Up
CREATE TABLE t (a int DEFAULT 5 % 3);
-- +goose StatementBegin
CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN format('%s', 1); END $$;
-- +goose StatementEnd
-- +goose Down
DROP FUNCTION f;
DROP TABLE t;
`
	const concurrently = `-- +goose NO TRANSACTION
-- +goose Up
CREATE INDEX CONCURRENTLY i ON t (a);
-- +goose Down
DROP INDEX CONCURRENTLY i;
`
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "001_first.sql"), []byte(migration), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "002_index.sql"), []byte(concurrently), 0o644))
	db := open(t)
	migrations := os.DirFS(dir)
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations)
	must(t, err)
	_, err = provider.Up(ctx)
	must(t, err)
	if s := one[string](t, db, "SELECT f()"); s != "1" {
		t.Fatalf("f is %q", s)
	}
	_, err = provider.DownTo(ctx, 0)
	must(t, err)

	// The older functions of the package.
	goose.SetLogger(goose.NopLogger())
	must(t, goose.SetDialect("postgres"))
	must(t, goose.Up(db, dir))
	must(t, goose.DownTo(db, dir, 0))
	if one[*string](t, db, "SELECT to_regclass('t')") != nil {
		t.Fatal("the table is still there")
	}
}
