package psycotest_test

import (
	"embed"
	"log"
	"os"
	"testing"

	"github.com/DATA-DOG/go-sqlmock"

	"github.com/psyco-go/psyco/psycotest"
)

//go:embed testdata
var files embed.FS

// schema is what every test's database begins with.
var schema = psycotest.NewTemplate(
	psycotest.SQL(files, "testdata/migrations/*.up.sql"),
	psycotest.CSV(files, "testdata/fixtures/*.csv"),
)

func TestMain(m *testing.M) {
	m.Run()
	if err := schema.Close(); err != nil { // drops the template
		log.Fatal(err)
	}
}

// The tests that docs/testing.md shows.

func TestReport(t *testing.T) {
	t.Parallel()
	db := schema.DB(t) // *sql.DB on a copy of the template
	var sum float64
	if err := db.QueryRow("SELECT sum(amount) FROM bills WHERE client IN %s", []int{1, 2}).Scan(&sum); err != nil {
		t.Fatal(err)
	}
	if sum != 24.9 {
		t.Errorf("got %v", sum)
	}
}

func TestBill(t *testing.T) {
	db := psycotest.DB(t)
	psycotest.Load(t, db,
		psycotest.SQL(os.DirFS("testdata"), "migrations/*.up.sql"),
		psycotest.CSV(os.DirFS("testdata"), "fixtures/*.csv"),
	)
	var id int
	if err := db.QueryRow("INSERT INTO bills (client, amount) VALUES (%s, 10) RETURNING id", 1).Scan(&id); err != nil {
		t.Fatal(err)
	}
	if id != 3 { // 1 and 2 are in fixtures/bills.csv
		t.Errorf("got %d", id)
	}
}

func TestRename(t *testing.T) {
	db := psycotest.DB(t) // *sql.DB on an empty database of this test's own
	if _, err := db.Exec("CREATE TABLE clients (id int, name text); INSERT INTO clients VALUES (1, 'ACME')"); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[int]bool{1: true, 2: false} {
		if found, err := (Store{db}).Rename(t.Context(), id, "Acme Corp."); found != want || err != nil {
			t.Errorf("client %d: %v, %v", id, found, err)
		}
	}
}

func TestRenameWithMock(t *testing.T) {
	db, mock := psycotest.Mock(t)
	mock.ExpectExec("UPDATE clients SET name = %s WHERE id = %s"). // or "… SET name = $1 WHERE id = $2"
									WithArgs("Acme Corp.", 1).
									WillReturnResult(sqlmock.NewResult(0, 1))

	found, err := Store{db}.Rename(t.Context(), 1, "Acme Corp.")
	if !found || err != nil {
		t.Errorf("got %v, %v", found, err)
	}
}
