package compat

import (
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"github.com/jmoiron/sqlx"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/plugin/dbresolver"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
)

type Item struct {
	ID   int
	Name string
}

// TestClusterLibraries: reads of libraries go to the standby, and see what they are to see.
func TestClusterLibraries(t *testing.T) {
	if testing.Short() {
		t.Skip("starts two servers")
	}
	prime, stand := pgserver.TestPair(t)
	cluster, err := psyco.NewCluster(fmt.Sprintf("host=%s,%s port=%d,%d user=postgres dbname=postgres",
		prime.SocketDir(), stand.SocketDir(), prime.Port(), stand.Port()))
	must(t, err)
	defer cluster.Close()
	_, err = cluster.Primary().Exec("CREATE TABLE items (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text)")
	must(t, err)
	lsn, err := cluster.CommitLSN(ctx)
	must(t, err)
	_, err = cluster.WaitLSN(ctx, lsn)
	must(t, err)
	t.Run("sqlx", func(t *testing.T) {
		sqlx.BindDriver("psyco", sqlx.DOLLAR)
		primary := sqlx.NewDb(cluster.Primary(), "psyco")
		_, err := primary.NamedExec("INSERT INTO items (name) VALUES (:name)", Item{Name: "tea"})
		must(t, err)
		lsn, err := cluster.CommitLSN(ctx)
		must(t, err)

		var items []Item
		standby := sqlx.NewDb(cluster.Standby(psyco.ReadAfter(ctx, lsn)), "psyco") // for each request
		must(t, standby.Select(&items, "SELECT * FROM items WHERE name = %s", "tea"))
		if len(items) != 1 || items[0].Name != "tea" || standby.DB == cluster.Primary() {
			t.Errorf("%+v", items)
		}
	})
	t.Run("GORM", func(t *testing.T) {
		db, err := gorm.Open(postgres.New(postgres.Config{DriverName: "psyco", Conn: cluster.Primary()}), &gorm.Config{})
		must(t, err)
		must(t, db.Use(dbresolver.Register(dbresolver.Config{
			Replicas: []gorm.Dialector{postgres.New(postgres.Config{DriverName: "psyco", Conn: cluster.Reader()})},
		})))

		for i := range 20 {
			name := fmt.Sprintf("coffee %d", i)
			must(t, db.Create(&Item{Name: name}).Error)
			lsn, err := cluster.CommitLSN(ctx)
			must(t, err)
			var item Item
			must(t, db.WithContext(psyco.ReadAfter(ctx, lsn)).First(&item, "name = ?", name).Error)
			if item.ID == 0 || item.Name != name {
				t.Errorf("%+v", item)
			}
		}
		var standby bool
		must(t, db.Raw("SELECT pg_is_in_recovery()").Scan(&standby).Error)
		if !standby {
			t.Error("a read runs on the primary")
		}
		must(t, db.Clauses(dbresolver.Write).Raw("SELECT pg_is_in_recovery()").Scan(&standby).Error)
		if standby {
			t.Error("a read that is to run on the primary does not")
		}
		must(t, db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Create(&Item{Name: "milk"}).Error)
			return tx.First(&Item{}, "name = ?", "milk").Error // on the primary, as all of a transaction
		}))
		err = db.Transaction(func(tx *gorm.DB) error { return tx.First(&Item{}, "name = ?", "cocoa").Error }, &sql.TxOptions{ReadOnly: true})
		if !errors.Is(err, gorm.ErrRecordNotFound) {
			t.Error(err)
		}
	})
}
