package psyco

import (
	"context"
	"database/sql"
	"database/sql/driver"
)

var (
	_ driver.Driver        = (*Driver)(nil)
	_ driver.DriverContext = (*Driver)(nil)
)

// Driver is the driver that this package registers with database/sql under the
// name "psyco".
type Driver struct{}

func init() { sql.Register("psyco", &Driver{}) }

// Open opens one connection, as database/sql/driver.Driver asks. Programs call
// sql.Open("psyco", dsn), which goes through OpenConnector and reads the
// connection string once for all connections.
func (d *Driver) Open(dsn string) (driver.Conn, error) {
	c, err := NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	return c.Connect(context.Background())
}

// OpenConnector reads a connection string, as [ParseDSN] does, without
// connecting.
func (d *Driver) OpenConnector(dsn string) (driver.Connector, error) {
	return NewConnector(dsn)
}
