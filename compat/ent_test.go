package compat

import (
	"database/sql"
	"errors"
	"testing"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"entgo.io/ent/dialect/sql/sqljson"
	"github.com/lib/pq"

	"github.com/psyco-go/psyco/compat/ent"
	"github.com/psyco-go/psyco/compat/ent/employee"
	"github.com/psyco-go/psyco/psycotest"
)

func TestEnt(t *testing.T) {
	dsn := psycotest.DSN(t)
	db, err := sql.Open("psyco", dsn)
	must(t, err)
	client := ent.NewClient(ent.Driver(entsql.OpenDB(dialect.Postgres, db)))
	defer client.Close()
	for range 2 { // the second time the migration compares columns
		err = client.Schema.Create(ctx)
		must(t, err)
	}

	hired := time.Now().Truncate(time.Microsecond)
	boss, err := client.Employee.Create().SetEmail("50%s@acme.co").SetSkills([]string{"%s", `"`}).
		SetScores(pq.Int64Array{1, 2}).SetHired(hired).Save(ctx)
	must(t, err)
	must(t, client.Employee.MapCreateBulk([]string{"a", "b", "c"}, func(c *ent.EmployeeCreate, i int) {
		c.SetEmail(string(rune('a' + i))).SetManager(boss)
	}).Exec(ctx))
	got, err := client.Employee.Query().Where(
		employee.EmailHasPrefix("50%"), employee.IDIn(boss.ID, 999), employee.HasReportsWith(employee.Email("a")),
		func(s *entsql.Selector) { s.Where(sqljson.ValueContains(employee.FieldSkills, "%s")) },
	).WithReports().Only(ctx)
	must(t, err)
	if got.Email != boss.Email || got.Skills[1] != `"` || got.Scores[1] != 2 || !got.Hired.Equal(hired) || len(got.Edges.Reports) != 3 {
		t.Fatalf("got %v with %v", got, got.Edges.Reports)
	}
	entUpsert(t, client)
	entTransactions(t, client)
}

func entUpsert(t *testing.T, client *ent.Client) {
	for range 2 {
		must(t, client.Employee.Create().SetEmail("upsert").SetSkills([]string{"new"}).
			OnConflictColumns(employee.FieldEmail).UpdateNewValues().Exec(ctx))
	}
	err := client.Employee.Create().SetEmail("upsert").Exec(ctx)
	var pe *pq.Error
	if !ent.IsConstraintError(err) || !errors.As(err, &pe) || pe.Code != "23505" {
		t.Fatalf("got %v, want a constraint error", err)
	}
	n, err := client.Employee.Update().Where(employee.Email("upsert")).SetScores(pq.Int64Array{3}).ClearSkills().Save(ctx)
	must(t, err)
	if e := client.Employee.Query().Where(employee.SkillsIsNil(), employee.Email("upsert")).OnlyX(ctx); n != 1 || e.Scores[0] != 3 {
		t.Fatalf("%d updated, now %v", n, e)
	}
}

func entTransactions(t *testing.T, client *ent.Client) {
	before := client.Employee.Query().CountX(ctx)
	tx, err := client.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
	must(t, err)
	tx.Employee.Create().SetEmail("tx").ExecX(ctx)
	must(t, tx.Rollback())
	if n := client.Employee.Query().CountX(ctx); n != before {
		t.Fatalf("there are %d, want %d", n, before)
	}
	tx, err = client.Tx(ctx)
	must(t, err)
	tx.Employee.Create().SetEmail("tx").ExecX(ctx)
	must(t, tx.Commit())
	if _, err := client.Employee.Query().Where(employee.Email("tx")).Only(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Employee.Get(ctx, 999); !ent.IsNotFound(err) {
		t.Fatalf("got %v", err)
	}
}
