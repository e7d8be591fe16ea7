package compat

import (
	"database/sql"
	"testing"

	"github.com/georgysavva/scany/v2/sqlscan"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/psycotest"
)

func TestScany(t *testing.T) {
	dsn := psycotest.DSN(t)
	type owner struct{ Name string }
	type pet struct {
		ID    int
		Name  *string
		Tags  psyco.Array[string]
		Born  sql.Null[psyco.Date]
		Owner owner
	}
	const query = `SELECT * FROM (VALUES (1, 'a', '{x,y}'::text[], '2024-02-29'::date, 'n%'), (2, NULL, '{}', NULL, 'm'))
		AS v (id, name, tags, born, "owner.name") WHERE id IN %(ids)s ORDER BY id`
	db, err := sql.Open("psyco", dsn)
	must(t, err)
	defer db.Close()

	var pets []pet
	err = sqlscan.Select(ctx, db, &pets, query, map[string]any{"ids": []int{1, 2}})
	must(t, err)
	if len(pets) != 2 || *pets[0].Name != "a" || len(pets[0].Tags) != 2 || pets[0].Born.V.Day != 29 ||
		pets[0].Owner.Name != "n%" || pets[1].Name != nil || pets[1].Born.Valid {
		t.Fatalf("got %+v", pets)
	}
	var ids []int
	must(t, sqlscan.Select(ctx, db, &ids, "SELECT generate_series(1, $1)", 3))
	var count int
	must(t, sqlscan.Get(ctx, db, &count, "SELECT count(*) FROM generate_series(1, %s)", 7))
	if err := sqlscan.Get(ctx, db, &count, "SELECT 1 WHERE false"); !sqlscan.NotFound(err) || len(ids) != 3 || count != 7 {
		t.Fatalf("got %v, %d, %v", ids, count, err)
	}

	// Rows from a cursor, one at a time.
	rows, err := db.QueryContext(ctx, "SELECT i AS id, 'n' || i AS name FROM generate_series(1, 1000) i", psyco.ServerSide(100))
	must(t, err)
	defer rows.Close()
	scanner, sum := sqlscan.NewRowScanner(rows), 0
	for rows.Next() {
		var p pet
		must(t, scanner.Scan(&p))
		sum += p.ID
	}
	must(t, rows.Err())
	if sum != 500500 {
		t.Fatalf("the sum is %d", sum)
	}
}
