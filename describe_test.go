package psyco_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/wire"
)

// inspector is what psycovet finds on a connection.
type inspector interface {
	Describe(ctx context.Context, sql string, args []driver.NamedValue) (params []uint32, columns []wire.Field, err error)
	Fits(typ reflect.Type, columns []wire.Field, lax bool) error
}

// psycovet learns of a query's parameters, columns and mistakes without running it.
func TestDescribe(t *testing.T) {
	db := testDB(t)
	c := mustConn(t, db)
	err := c.Raw(func(dc any) error {
		in := dc.(inspector)
		params, columns, err := in.Describe(t.Context(), "SELECT $1::int8 AS a, 'x'::text AS b", nil)
		if err != nil || !reflect.DeepEqual(params, []uint32{20}) || len(columns) != 2 || columns[0].Name != "a" || columns[1].TypeOID != 25 {
			t.Errorf("parameters %v, columns %v, error %v", params, columns, err)
		}
		if err := in.Fits(reflect.TypeFor[struct{ A int64 }](), columns, false); err == nil || !strings.Contains(err.Error(), "b") {
			t.Errorf("a column without a field: error %v", err)
		}
		if err := in.Fits(reflect.TypeFor[struct {
			A int64
			B string
		}](), columns, false); err != nil {
			t.Error(err)
		}
		var pe *pq.Error
		if _, _, err := in.Describe(t.Context(), "SELECT now() = $1", []driver.NamedValue{{Value: true}}); !errors.As(err, &pe) || pe.Code != "42883" {
			t.Errorf("with a declared type: error %v", err)
		}
		if _, _, err := in.Describe(t.Context(), "SELECT 1/0", nil); err != nil {
			t.Errorf("after an error: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
