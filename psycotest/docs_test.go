package psycotest_test

import (
	"testing"

	"github.com/DATA-DOG/go-sqlmock"

	"github.com/psyco-go/psyco/psycotest"
)

const schema = "CREATE TABLE clients (id int, name text); INSERT INTO clients VALUES (1, 'ACME')"

// The tests that docs/testing.md shows.

func TestRename(t *testing.T) {
	db := psycotest.DB(t) // *sql.DB on an empty database of this test's own
	if _, err := db.Exec(schema); err != nil {
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
	mock.ExpectExec("UPDATE clients SET name = $1 WHERE id = $2").
		WithArgs("Acme Corp.", 1).
		WillReturnResult(sqlmock.NewResult(0, 1))

	found, err := Store{db}.Rename(t.Context(), 1, "Acme Corp.") // "… SET name = %s WHERE id = %s"
	if !found || err != nil {
		t.Errorf("got %v, %v", found, err)
	}
}
