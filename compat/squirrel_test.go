package compat

import (
	"slices"
	"testing"

	sq "github.com/Masterminds/squirrel"
)

func TestSquirrel(t *testing.T) {
	db := open(t)
	_, err := db.Exec("CREATE TABLE t (id int, name text)")
	must(t, err)
	builder := sq.StatementBuilder.PlaceholderFormat(sq.Dollar).RunWith(db)
	testSquirrel(t, builder)
	testSquirrel(t, builder.RunWith(sq.NewStmtCache(db)))
}

func testSquirrel(t *testing.T, builder sq.StatementBuilderType) {
	_, err := builder.Insert("t").Columns("id", "name").Values(1, "50%s").Values(2, "b?").Exec()
	must(t, err)
	rows, err := builder.Select("name").From("t").Where(sq.Eq{"id": []int{1, 2}}).Where("id % 2 = ?", 1).
		Where("name LIKE '50%s' AND name NOT LIKE ?", "%x").Query()
	must(t, err)
	defer rows.Close()
	var names []string
	for rows.Next() {
		names = append(names, "")
		must(t, rows.Scan(&names[len(names)-1]))
	}
	must(t, rows.Err())
	if !slices.Equal(names, []string{"50%s"}) {
		t.Fatalf("got %q", names)
	}
	res, err := builder.Delete("t").Exec()
	must(t, err)
	if n, err := res.RowsAffected(); n != 2 || err != nil {
		t.Fatalf("deleted %d, %v", n, err)
	}
}
