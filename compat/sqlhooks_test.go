package compat

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"testing"

	"github.com/lib/pq"
	"github.com/qustavo/sqlhooks/v2"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/psycotest"
)

// hooks take down what is run.
type hooks struct{ texts []string }

func (h *hooks) Before(ctx context.Context, query string, args ...any) (context.Context, error) {
	h.texts = append(h.texts, query)
	return ctx, nil
}

func (h *hooks) After(ctx context.Context, query string, args ...any) (context.Context, error) {
	return ctx, nil
}

// sqlhooks lets database/sql convert the arguments, which knows the basic types,
// driver.Valuer and sql.Named.
func TestSQLHooks(t *testing.T) {
	h := &hooks{}
	sql.Register("psyco-sqlhooks", sqlhooks.Wrap(&psyco.Driver{}, h))
	dsn := psycotest.DSN(t)
	db, err := sql.Open("psyco-sqlhooks", dsn)
	must(t, err)
	defer db.Close()

	n := one[int](t, db, "SELECT count(*) FROM generate_series(1, %(n)s::int) i WHERE i = ANY(%(ids)s)", sql.Named("ids", pq.Array([]int{1, 2})), sql.Named("n", 9))
	if n != 2 {
		t.Fatalf("got %d", n)
	}
	if _, err := db.Query("SELECT 1 WHERE 1 IN %s", []int{1}); err == nil || !strings.Contains(err.Error(), "unsupported type []int") {
		t.Errorf("sqlhooks has learnt of slices: %v", err)
	}
	if _, err := db.Query("SELECT 1", psyco.ServerSide(0)); err == nil || !strings.Contains(err.Error(), "psyco: ServerSide") {
		t.Errorf("got %v", err)
	}
	testReset(t, db)
	wrappedOperations(t, db)
	wrappedTransactions(t, db)
	for _, want := range []string{"-- psyco.CopyFrom", "INSERT INTO u VALUES (%s)"} {
		if !slices.Contains(h.texts, want) {
			t.Errorf("the hook has not seen %q, only %q", want, h.texts)
		}
	}
}
