package psyco

import (
	"context"
	"database/sql/driver"
	"reflect"

	"github.com/psyco-go/psyco/internal/wire"
)

// What psycovet asks of a connection, which it reaches through sql.Conn.Raw: what a query
// would do, without running it.

// Describe has the server parse a text as it is, with the types declared that the arguments
// would have, and returns the types of its parameters and its columns. Of an argument that
// is not a value the type is left to the server.
func (c *conn) Describe(ctx context.Context, sql string, args []driver.NamedValue) (params []uint32, columns []wire.Field, err error) {
	if err := c.start(ctx); err != nil {
		return nil, nil, err
	}
	types := make([]uint32, len(args))
	for i := range args {
		if _, oid, _, err := c.con.types.convert(args[i].Value, 0); err == nil {
			types[i] = oid
		}
	}
	k := c.watch(ctx)
	d, err := c.description(sql, types)
	return d.Params, d.Fields, c.finish(k, err)
}

// Fits returns what Query has against rows with these columns for values of a type.
func (c *conn) Fits(typ reflect.Type, columns []wire.Field, lax bool) error {
	_, err := newPlan(typ, rowColumns(columns), lax)
	return err
}
