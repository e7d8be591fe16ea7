// Package compat runs well-known libraries over psyco, as their users would set
// them up. It is a module of its own so that none of them is a dependency.
package compat

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/pressly/goose/v3"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	_ "github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/psycotest"
)

type user struct {
	ID        uint `gorm:"primarykey" bun:",pk,autoincrement"`
	CreatedAt time.Time
	Name      string
	Email     *string `gorm:"uniqueIndex"`
	Avatar    []byte
	Posts     []post `gorm:"foreignKey:UserID" bun:"rel:has-many,join:id=user_id"`
}

type post struct {
	ID     uint `bun:",pk,autoincrement"`
	UserID uint
	Title  string
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestGORM(t *testing.T) {
	db, err := gorm.Open(postgres.New(postgres.Config{DriverName: "psyco", DSN: psycotest.DSN(t)}),
		&gorm.Config{Logger: logger.Discard})
	must(t, err)
	pool, err := db.DB()
	must(t, err)
	defer pool.Close()
	for range 2 { // the second time the migrator compares columns
		must(t, db.AutoMigrate(&user{}, &post{}))
	}
	email := "info@acme.co"
	u := user{Name: "50% off", Email: &email, Avatar: []byte{0, 255}, Posts: []post{{Title: "x"}, {Title: "y"}}}
	must(t, db.Create(&u).Error)
	var got []user
	must(t, db.Preload("Posts").Where("name LIKE ?", "50%").Where("id IN ?", []uint{1, 2}).Find(&got).Error)
	if len(got) != 1 || len(got[0].Posts) != 2 || *got[0].Email != email || got[0].Avatar[1] != 255 {
		t.Fatalf("got %+v", got)
	}
	mine := errors.New("mine")
	must(t, db.Transaction(func(tx *gorm.DB) error {
		must(t, tx.Model(&u).Update("name", "outer").Error)
		if err := tx.Transaction(func(tx *gorm.DB) error { // a savepoint
			must(t, tx.Model(&u).Update("name", "inner").Error)
			return mine
		}); err != mine {
			t.Fatalf("got %v", err)
		}
		return nil
	}))
	must(t, db.First(&u, u.ID).Error)
	if u.Name != "outer" {
		t.Fatalf("name is %q", u.Name)
	}
	var pe *pq.Error
	if err := db.Create(&user{Name: "z", Email: &email}).Error; !errors.As(err, &pe) || pe.Code != "23505" {
		t.Fatalf("got %v, want a unique violation", err)
	}
}

func TestSQLX(t *testing.T) {
	sqlx.BindDriver("psyco", sqlx.DOLLAR) // for Rebind and named queries
	db, err := sqlx.Connect("psyco", psycotest.DSN(t))
	must(t, err)
	defer db.Close()
	db.MustExec("CREATE TABLE clients (id int, name text)")
	_, err = db.NamedExec("INSERT INTO clients (id, name) VALUES (:id, :name)", []map[string]any{{"id": 1, "name": "a"}, {"id": 2, "name": "b"}})
	must(t, err)
	query, args, err := sqlx.In("SELECT name FROM clients WHERE id IN (?) ORDER BY id", []int{1, 2})
	must(t, err)
	var names []string
	must(t, db.Select(&names, db.Rebind(query), args...))
	must(t, db.Select(&names, "SELECT name FROM clients WHERE id IN %s ORDER BY id", []int{1, 2}))
	if len(names) != 2 || names[1] != "b" {
		t.Fatalf("got %q", names)
	}
	var client struct {
		ID   int
		Name string
	}
	must(t, db.Get(&client, "SELECT * FROM clients WHERE name = %(name)s", map[string]any{"name": "b"}))
	if client.ID != 2 {
		t.Fatalf("got %+v", client)
	}
}

func TestBun(t *testing.T) {
	ctx := context.Background()
	pool, err := sql.Open("psyco", psycotest.DSN(t))
	must(t, err)
	db := bun.NewDB(pool, pgdialect.New())
	defer db.Close()
	_, err = db.NewCreateTable().Model((*user)(nil)).Exec(ctx)
	must(t, err)
	u := &user{Name: "100% 's \\ %s", CreatedAt: time.Now(), Avatar: []byte{1}}
	_, err = db.NewInsert().Model(u).Exec(ctx)
	must(t, err)
	var got []user
	must(t, db.NewSelect().Model(&got).Where("name LIKE ?", "100%").Scan(ctx))
	if len(got) != 1 || got[0].Name != u.Name || got[0].ID != u.ID {
		t.Fatalf("got %+v", got)
	}
	must(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		_, err := tx.NewUpdate().Model(u).Set("name = ?", "new").WherePK().Exec(ctx)
		return err
	}))
}

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
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "001_first.sql"), []byte(migration), 0o644))
	db, err := sql.Open("psyco", psycotest.DSN(t))
	must(t, err)
	defer db.Close()
	goose.SetLogger(goose.NopLogger())
	must(t, goose.SetDialect("postgres"))
	must(t, goose.Up(db, dir))
	var s string
	must(t, db.QueryRow("SELECT f()").Scan(&s))
	must(t, goose.Down(db, dir))
}
