package store_test

import (
	"errors"
	"testing"

	store "github.com/psyco-go/psyco/examples/sqlmock"
	"github.com/psyco-go/psyco/psycotest"
)

// A mock believes what it is told. This test shows that PostgreSQL answers as
// the mocks do.
func TestOnAServer(t *testing.T) {
	db, ctx := psycotest.DB(t), t.Context()
	if _, err := db.Exec(store.Schema); err != nil {
		t.Fatal(err)
	}
	s := store.Store{DB: db}
	acme, err := s.Add(ctx, store.Client{Name: "ACME Corp.", Email: "info@acme.co"})
	if err != nil {
		t.Fatal(err)
	}
	globex, err := s.Add(ctx, store.Client{Name: "Globex", Email: "hello@globex.example"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Add(ctx, store.Client{Name: "Another", Email: "info@acme.co"}); !errors.Is(err, store.ErrEmailTaken) {
		t.Errorf("the same address again: %v", err)
	}
	if err := s.Rename(ctx, acme, "Acme"); err != nil {
		t.Error(err)
	}
	if _, err := db.Exec("UPDATE clients SET total = id * 1.25"); err != nil {
		t.Error(err)
	}
	if err := s.Merge(ctx, globex, -1); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("merging with nobody: %v", err)
	}
	if found, err := s.Find(ctx, []int{acme, globex, -1}); err != nil || len(found) != 2 {
		t.Errorf("got %v, %v", found, err)
	}
	if err := s.Merge(ctx, globex, acme); err != nil {
		t.Error(err)
	}
	want := store.Client{ID: acme, Name: "Acme", Email: "info@acme.co", Total: "3.75"}
	if c, err := s.Get(ctx, acme); c != want || err != nil {
		t.Errorf("got %v, %v", c, err)
	}
	if _, err := s.Get(ctx, globex); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}
