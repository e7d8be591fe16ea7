package psycotest

import (
	"context"
	"database/sql"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
)

// CSV is the step that loads the files of fsys whose names match pattern (see
// fs.Glob) into the tables of the same name, by COPY: clients.csv into clients,
// sales.orders.csv into the table orders of the schema sales.
//
// The first line of a file names columns. What is not quoted and empty is NULL,
// "" is the empty string (PostgreSQL: COPY, FORMAT csv). All files are loaded in
// one transaction, a table after those that its foreign keys refer to;
// deferrable foreign keys are checked at the end. The sequences of serial and
// identity columns that were loaded go on after the largest value. Errors name
// the file, and the line where the server does. It is an error if no file
// matches. db must be psyco's.
func CSV(fsys fs.FS, pattern string) Step {
	return func(ctx context.Context, db *sql.DB) error {
		names, err := glob(fsys, pattern)
		if err != nil {
			return err
		}
		fixtures := make([]*fixture, len(names))
		for i, name := range names {
			if fixtures[i], err = readFixture(fsys, name); err != nil {
				return err
			}
		}
		return psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error { return load(ctx, tx, fixtures) })
	}
}

// fixture is a file for a table.
type fixture struct {
	name    string
	table   psyco.Identifier
	columns []string
	text    string

	oid     int64
	parents []int64 // the tables that its foreign keys refer to
}

func readFixture(fsys fs.FS, name string) (*fixture, error) {
	table, ok := strings.CutSuffix(path.Base(name), ".csv")
	if !ok || table == "" {
		return nil, fmt.Errorf("psycotest: %s: the name of a fixture is that of its table with .csv after it", name)
	}
	f := &fixture{name: name, table: psyco.Identifier{table}}
	if schema, table, ok := strings.Cut(table, "."); ok {
		f.table = psyco.Identifier{schema, table}
	}
	var err error
	if f.text, err = readFile(fsys, name); err != nil {
		return nil, err
	}
	f.columns, err = csv.NewReader(strings.NewReader(f.text)).Read()
	if err == io.EOF {
		return nil, fmt.Errorf("psycotest: %s is empty: its first line must name columns", name)
	} else if err != nil {
		return nil, fmt.Errorf("psycotest: %s: the names of columns: %w", name, err)
	}
	return f, nil
}

func load(ctx context.Context, tx *sql.Tx, fixtures []*fixture) error {
	for _, f := range fixtures {
		if err := f.find(ctx, tx); err != nil {
			return err
		}
	}
	fixtures, err := parentsFirst(fixtures)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "SET CONSTRAINTS ALL DEFERRED"); err != nil {
		return fmt.Errorf("psycotest: %w", err)
	}
	for _, f := range fixtures {
		if err := f.copy(ctx, tx); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
		return deferredError(fixtures, err)
	}
	for _, f := range fixtures {
		if err := f.advance(ctx, tx); err != nil {
			return err
		}
	}
	return nil
}

// find looks the table up, and those that must be loaded before it. A table is
// its own parent in a tree; within one COPY that needs no order.
func (f *fixture) find(ctx context.Context, tx *sql.Tx) error {
	var oid sql.NullInt64
	var parents pq.Int64Array
	err := tx.QueryRowContext(ctx, `SELECT t.oid::bigint, array(
			SELECT confrelid::bigint FROM pg_catalog.pg_constraint
			WHERE conrelid = t.oid AND contype = 'f' AND NOT condeferrable AND confrelid <> conrelid)
		FROM (SELECT pg_catalog.to_regclass($1)::oid) AS t (oid)`, f.table.String()).Scan(&oid, &parents)
	if err != nil {
		return fmt.Errorf("psycotest: %s: %w", f.name, err)
	}
	if !oid.Valid {
		return fmt.Errorf("psycotest: %s: there is no table %s", f.name, f.table)
	}
	f.oid, f.parents = oid.Int64, parents
	return nil
}

// parentsFirst sorts tables after those that they refer to, and leaves the
// order as it is where it does not matter.
func parentsFirst(fixtures []*fixture) (sorted []*fixture, err error) {
	for rest := slices.Clone(fixtures); len(rest) > 0; {
		next := slices.IndexFunc(rest, func(f *fixture) bool {
			return !slices.ContainsFunc(rest, func(other *fixture) bool { return slices.Contains(f.parents, other.oid) })
		})
		if next < 0 {
			var names []string
			for _, f := range rest {
				names = append(names, f.name)
			}
			return nil, fmt.Errorf("psycotest: there is no order to load %s in, because their foreign keys go in a circle: make one DEFERRABLE", strings.Join(names, ", "))
		}
		sorted = append(sorted, rest[next])
		rest = slices.Delete(rest, next, next+1)
	}
	return sorted, nil
}

func (f *fixture) copy(ctx context.Context, tx *sql.Tx) error {
	columns := make([]string, len(f.columns))
	for i, name := range f.columns {
		columns[i] = psyco.Identifier{name}.String()
	}
	// The server skips the line with the names itself, so that it counts lines
	// as an editor does.
	statement := "COPY " + f.table.String() + " (" + strings.Join(columns, ", ") + ") FROM STDIN (FORMAT csv, HEADER)"
	if _, err := psyco.CopyFrom(ctx, tx, statement, strings.NewReader(f.text)); err != nil {
		return f.error(err)
	}
	return nil
}

// copyContext is where a COPY found an error: COPY clients, line 3, column id: "x".
var copyContext = regexp.MustCompile(`(?m)^COPY .+?, line (\d+)(?:, column (.+?))?(?::|$)`)

// error says where in the file the server found an error.
func (f *fixture) error(err error) error {
	where := f.name
	refused := (*pq.Error)(nil)
	if !errors.As(err, &refused) {
		return fmt.Errorf("psycotest: %s: %w", where, err)
	}
	if m := copyContext.FindStringSubmatch(refused.Where); m != nil {
		where += ":" + m[1]
		if m[2] != "" {
			where += ": column " + m[2]
		}
	}
	return fmt.Errorf("psycotest: %s: %w%s", where, err, detail(refused))
}

// deferredError finds the file that a constraint, checked at the end, is about.
func deferredError(fixtures []*fixture, err error) error {
	if refused := (*pq.Error)(nil); errors.As(err, &refused) {
		for _, f := range fixtures {
			if f.table[len(f.table)-1] == refused.Table {
				return f.error(err)
			}
		}
	}
	return fmt.Errorf("psycotest: %w", err)
}

// advance sets the sequences of the loaded columns to the largest value, or the
// smallest for those that count down, but never back.
func (f *fixture) advance(ctx context.Context, tx *sql.Tx) error {
	rows, err := tx.QueryContext(ctx, `SELECT attname, s.seqrelid::regclass::text, s.seqincrement > 0
		FROM pg_catalog.pg_attribute a
		JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = attrelid AND d.refobjsubid = attnum
			AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i')
		JOIN pg_catalog.pg_sequence s ON s.seqrelid = d.objid
		WHERE attrelid = %s AND attname IN %s`, f.oid, f.columns)
	if err != nil {
		return f.error(err)
	}
	defer rows.Close()
	for rows.Next() {
		var column, sequence string
		var up bool
		if err := rows.Scan(&column, &sequence, &up); err != nil {
			return f.error(err)
		}
		extreme, beyond := "max", ">"
		if !up {
			extreme, beyond = "min", "<"
		}
		set := fmt.Sprintf(`SELECT pg_catalog.setval(pg_catalog.to_regclass($1), reached) FROM (SELECT %s(%s) AS reached FROM %s) AS t, %s AS s
			WHERE reached %s last_value OR reached = last_value AND NOT is_called`,
			extreme, psyco.Identifier{column}, f.table, sequence, beyond)
		if _, err := tx.ExecContext(ctx, set, sequence); err != nil {
			return f.error(err)
		}
	}
	if err := rows.Err(); err != nil {
		return f.error(err)
	}
	return nil
}
