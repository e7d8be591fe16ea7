// Package schema holds the entity of the test of ent.
package schema

import (
	"time"

	"entgo.io/ent"
	"entgo.io/ent/dialect"
	"entgo.io/ent/schema/edge"
	"entgo.io/ent/schema/field"
	"github.com/lib/pq"
)

// Employee is somebody who may have a manager.
type Employee struct{ ent.Schema }

// Fields of the employee.
func (Employee) Fields() []ent.Field {
	return []ent.Field{
		field.String("email").Unique(),
		field.JSON("skills", []string{}).Optional(),
		field.Other("scores", pq.Int64Array{}).SchemaType(map[string]string{dialect.Postgres: "bigint[]"}).Optional(),
		field.Time("hired").Default(time.Now).Immutable(),
	}
}

// Edges of the employee.
func (Employee) Edges() []ent.Edge {
	return []ent.Edge{edge.To("reports", Employee.Type).From("manager").Unique()}
}
