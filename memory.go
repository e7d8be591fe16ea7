package psyco

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"reflect"
	"slices"
)

// Rows that an operation has read are given to the program when the operation is
// over and its connection back in the pool: what the program does with them must
// not wait for that connection, and a context that ends meanwhile undoes nothing.

// resultSet is a result set in memory.
type resultSet struct {
	header *header
	rows   [][]driver.Value
	err    error // why there are no more rows: a value that cannot be decoded
}

// header is a copy of the description of a result set's columns.
type header struct {
	names []string
	types []columnType
}

type columnType struct {
	scan             reflect.Type
	name             string
	length           int64
	hasLength        bool
	precision, scale int64
	hasPrecision     bool
}

// snapshot copies the description of r's current result set.
func snapshot(r *rows) *header {
	h := &header{names: slices.Clone(r.Columns())}
	h.types = make([]columnType, len(h.names))
	for i := range h.types {
		t := &h.types[i]
		t.scan = r.ColumnTypeScanType(i)
		t.name = r.ColumnTypeDatabaseTypeName(i)
		t.length, t.hasLength = r.ColumnTypeLength(i)
		t.precision, t.scale, t.hasPrecision = r.ColumnTypePrecisionScale(i)
	}
	return h
}

func (h *header) Columns() []string                       { return h.names }
func (h *header) Next([]driver.Value) error               { return io.EOF }
func (h *header) Close() error                            { return nil }
func (h *header) ColumnTypeScanType(i int) reflect.Type   { return h.types[i].scan }
func (h *header) ColumnTypeDatabaseTypeName(i int) string { return h.types[i].name }
func (h *header) ColumnTypeLength(i int) (int64, bool) {
	return h.types[i].length, h.types[i].hasLength
}
func (h *header) ColumnTypePrecisionScale(i int) (int64, int64, bool) {
	return h.types[i].precision, h.types[i].scale, h.types[i].hasPrecision
}

// memoryResult is the result of an operation whose rows are in memory. A tracer
// counts them as returned.
type memoryResult struct {
	driver.Result
	rows int
}

// eachRow calls a function for each row of a result set in memory, until its first
// error.
type eachRow struct {
	set  resultSet
	call func(row *sql.Rows) error
}

// handOut calls the functions, in their order.
func handOut(all []eachRow) error {
	db := sql.OpenDB(memory{})
	defer db.Close()
	for _, e := range all {
		if err := e.run(db); err != nil {
			return err
		}
	}
	return nil
}

func (e eachRow) run(db *sql.DB) error {
	rows, err := db.Query("", e.set)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := e.call(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

var (
	_ driver.Connector         = memory{}
	_ driver.Conn              = memory{}
	_ driver.QueryerContext    = memory{}
	_ driver.NamedValueChecker = memory{}
)

// memory is a database whose only query returns the result set that is its argument:
// database/sql makes *sql.Rows in no other way.
type memory struct{}

func (m memory) Connect(context.Context) (driver.Conn, error) { return m, nil }
func (memory) Driver() driver.Driver                          { return &Driver{} }
func (memory) Close() error                                   { return nil }
func (memory) CheckNamedValue(*driver.NamedValue) error       { return nil }
func (memory) Prepare(string) (driver.Stmt, error)            { return nil, errMemory }
func (memory) Begin() (driver.Tx, error)                      { return nil, errMemory }

var errMemory = errors.New("psyco: rows in memory have no statements")

func (memory) QueryContext(_ context.Context, _ string, args []driver.NamedValue) (driver.Rows, error) {
	set := args[0].Value.(resultSet)
	return &memoryRows{set.header, set.rows, set.err}, nil
}

// memoryRows are the rows of a result set in memory.
type memoryRows struct {
	*header
	rows [][]driver.Value
	err  error
}

func (r *memoryRows) Next(dest []driver.Value) error {
	if len(r.rows) == 0 {
		return cmp.Or(r.err, io.EOF)
	}
	copy(dest, r.rows[0])
	r.rows[0], r.rows = nil, r.rows[1:]
	return nil
}
