package store_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/DATA-DOG/go-sqlmock"
	"github.com/lib/pq"

	store "github.com/psyco-go/psyco/examples/sqlmock"
	"github.com/psyco-go/psyco/psycotest"
)

var columns = []string{"id", "name", "email", "total"}

// The expectations below are what psyco makes of the store's queries: $1 for
// %s, converted arguments. What was expected and did not happen fails the test
// at its end.

func TestAdd(t *testing.T) {
	const insert = "INSERT INTO clients (name, email) VALUES ($1, $2) RETURNING id"
	acme := store.Client{Name: "ACME Corp.", Email: "info@acme.co"}

	t.Run("new", func(t *testing.T) {
		db, mock := psycotest.Mock(t)
		mock.ExpectQuery(insert).WithArgs("ACME Corp.", "info@acme.co").
			WillReturnRows(sqlmock.NewRows([]string{"id"}).AddRow(7))
		if id, err := (store.Store{DB: db}).Add(t.Context(), acme); id != 7 || err != nil {
			t.Errorf("got %d, %v", id, err)
		}
	})
	t.Run("the address is taken", func(t *testing.T) {
		db, mock := psycotest.Mock(t)
		mock.ExpectQuery(insert).WillReturnError(&pq.Error{Code: "23505", Constraint: "clients_email_key"})
		if _, err := (store.Store{DB: db}).Add(t.Context(), acme); !errors.Is(err, store.ErrEmailTaken) {
			t.Errorf("got %v", err)
		}
	})
}

func TestFind(t *testing.T) {
	db, mock := psycotest.Mock(t)
	mock.ExpectQuery("SELECT id, name, email, total FROM clients WHERE id = ANY($1) ORDER BY id").
		WithArgs("{1,2,3}").
		WillReturnRows(sqlmock.NewRows(columns).
			AddRow(1, "ACME Corp.", "info@acme.co", "100.00").
			AddRow(3, "Globex", "hello@globex.example", "0.00"))

	found, err := store.Store{DB: db}.Find(t.Context(), []int{1, 2, 3})
	want := []store.Client{
		{ID: 1, Name: "ACME Corp.", Email: "info@acme.co", Total: "100.00"},
		{ID: 3, Name: "Globex", Email: "hello@globex.example", Total: "0.00"},
	}
	if err != nil || !slices.Equal(found, want) {
		t.Errorf("got %v, %v", found, err)
	}
}

func TestMerge(t *testing.T) {
	const (
		remove = "DELETE FROM clients WHERE id = $1 RETURNING total"
		add    = "UPDATE clients SET total = total + $1 WHERE id = $2"
	)
	total := func() *sqlmock.Rows { return sqlmock.NewRows([]string{"total"}).AddRow("99.50") }

	t.Run("both statements, in a transaction", func(t *testing.T) {
		db, mock := psycotest.Mock(t)
		mock.ExpectBegin()
		mock.ExpectQuery(remove).WithArgs(1).WillReturnRows(total())
		mock.ExpectExec(add).WithArgs("99.50", 2).WillReturnResult(sqlmock.NewResult(0, 1))
		mock.ExpectCommit()
		if err := (store.Store{DB: db}).Merge(t.Context(), 1, 2); err != nil {
			t.Error(err)
		}
	})
	t.Run("nothing is deleted if the other is missing", func(t *testing.T) {
		db, mock := psycotest.Mock(t)
		mock.ExpectBegin()
		mock.ExpectQuery(remove).WithArgs(1).WillReturnRows(total())
		mock.ExpectExec(add).WithArgs("99.50", 2).WillReturnResult(sqlmock.NewResult(0, 0))
		mock.ExpectRollback()
		if err := (store.Store{DB: db}).Merge(t.Context(), 1, 2); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("again after a deadlock", func(t *testing.T) {
		db, mock := psycotest.Mock(t)
		mock.ExpectBegin()
		mock.ExpectQuery(remove).WillReturnError(&pq.Error{Code: "40P01"})
		mock.ExpectRollback()
		mock.ExpectBegin()
		mock.ExpectQuery(remove).WithArgs(1).WillReturnRows(total())
		mock.ExpectExec(add).WithArgs("99.50", 2).WillReturnResult(sqlmock.NewResult(0, 1))
		mock.ExpectCommit()
		if err := (store.Store{DB: db}).Merge(t.Context(), 1, 2); err != nil {
			t.Error(err)
		}
	})
}
