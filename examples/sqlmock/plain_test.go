package store_test

import (
	"errors"
	"testing"

	"github.com/DATA-DOG/go-sqlmock"

	store "github.com/psyco-go/psyco/examples/sqlmock"
)

// Plain sqlmock, without psyco, sees the queries as the store wrote them. It
// serves where the arguments are values that database/sql knows by itself: no
// maps, structs or slices.

func TestRenameWithPlainSQLMock(t *testing.T) {
	for name, c := range map[string]struct {
		rows int64
		want error
	}{
		"the client exists":    {rows: 1},
		"there is no such one": {rows: 0, want: store.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			db, mock, err := sqlmock.New(sqlmock.QueryMatcherOption(sqlmock.QueryMatcherEqual))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			mock.ExpectExec("UPDATE clients SET name = %s WHERE id = %s").
				WithArgs("Acme", 7).
				WillReturnResult(sqlmock.NewResult(0, c.rows))
			mock.ExpectClose()

			if err := (store.Store{DB: db}).Rename(t.Context(), 7, "Acme"); !errors.Is(err, c.want) {
				t.Errorf("got %v", err)
			}
			if err := errors.Join(db.Close(), mock.ExpectationsWereMet()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestGetWithPlainSQLMock(t *testing.T) {
	db, mock, err := sqlmock.New() // expects regular expressions
	if err != nil {
		t.Fatal(err)
	}
	mock.ExpectQuery(`^SELECT .* WHERE id = %s$`).WithArgs(7).
		WillReturnRows(sqlmock.NewRows(columns).AddRow(7, "Globex", "hello@globex.example", "12.00"))
	mock.ExpectQuery(`^SELECT .* WHERE id = %s$`).WithArgs(8).WillReturnRows(sqlmock.NewRows(columns))
	mock.ExpectClose()

	s := store.Store{DB: db}
	want := store.Client{ID: 7, Name: "Globex", Email: "hello@globex.example", Total: "12.00"}
	if c, err := s.Get(t.Context(), 7); c != want || err != nil {
		t.Errorf("got %v, %v", c, err)
	}
	if _, err := s.Get(t.Context(), 8); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if err := errors.Join(db.Close(), mock.ExpectationsWereMet()); err != nil {
		t.Error(err)
	}
}
