package psycotest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/lib/pq"
)

// SQL is the step that runs the files of fsys whose names match pattern (see
// fs.Glob), in the order of their names:
//
//	//go:embed migrations/*.sql
//	var files embed.FS
//
//	psycotest.SQL(files, "migrations/*.up.sql")
//
// A file may hold several statements, which take effect all or not at all: the
// server runs them in one transaction if they do not begin one themselves.
// Session settings, such as the search_path of pg_dump's output, hold for the
// files that follow and end with the step. Errors name the file and the line. It
// is an error if no file matches, or if one leaves a transaction open.
func SQL(fsys fs.FS, pattern string) Step {
	return func(ctx context.Context, db *sql.DB) error {
		names, err := glob(fsys, pattern)
		if err != nil {
			return err
		}
		conn, err := db.Conn(ctx)
		if err != nil {
			return err
		}
		defer conn.Close()
		// The connection has the files' settings and must not go back.
		defer conn.Raw(func(any) error { return driver.ErrBadConn })
		for _, name := range names {
			text, err := readFile(fsys, name)
			if err != nil {
				return err
			}
			if _, err := conn.ExecContext(ctx, text); err != nil {
				return sqlError(name, text, err)
			}
			var open bool
			if err := conn.QueryRowContext(ctx, "SELECT pg_catalog.txid_current_if_assigned() IS NOT NULL").Scan(&open); err != nil {
				return fmt.Errorf("psycotest: after %s: %w", name, err)
			} else if open {
				return fmt.Errorf("psycotest: %s begins a transaction and does not end it: write COMMIT", name)
			}
		}
		// A pooler would hand the server's session to the next client as it is.
		if _, err := conn.ExecContext(ctx, "RESET ALL"); err != nil {
			return fmt.Errorf("psycotest: %w", err)
		}
		return nil
	}
}

// sqlError says where in a file the server found an error.
func sqlError(name, text string, err error) error {
	refused := (*pq.Error)(nil)
	if !errors.As(err, &refused) {
		return fmt.Errorf("psycotest: %s: %w", name, err)
	}
	position, atoi := strconv.Atoi(refused.Position) // in characters
	if atoi != nil {
		return fmt.Errorf("psycotest: %s: %w%s", name, err, detail(refused))
	}
	before := []rune(text)
	before = before[:min(max(position-1, 0), len(before))]
	return fmt.Errorf("psycotest: %s:%d: %w%s", name, 1+strings.Count(string(before), "\n"), err, detail(refused))
}

// detail returns what the server adds to an error's message.
func detail(err *pq.Error) string {
	if err.Detail == "" {
		return ""
	}
	return ": " + err.Detail
}
