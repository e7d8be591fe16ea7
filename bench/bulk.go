package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/psyco-go/psyco"
)

const (
	copyRows = 100_000
)

var copyColumns = []string{"id", "name", "at", "value"}

// copied is what is copied, as rows and as CSV: made once, so that making it is
// not measured, and only when needed, since a large heap makes collections rare.
var copied = sync.OnceValues(func() ([][]any, []byte) {
	rows := make([][]any, copyRows)
	at := time.Date(2024, 1, 1, 12, 0, 0, 0, time.UTC)
	var csv bytes.Buffer
	for i := range rows {
		at = at.Add(time.Second)
		rows[i] = []any{int32(i), fmt.Sprintf("row number %d", i), at, float64(i) / 8}
		fmt.Fprintf(&csv, "%d,row number %d,%s,%g\n", i, i, at.Format(time.RFC3339), float64(i)/8)
	}
	return rows, csv.Bytes()
})

// bulk is the workloads of many rows at a time, where each contestant has an
// interface of its own.
func bulk() []workload {
	empty := []string{"TRUNCATE copied"}
	full := append(empty, fmt.Sprintf("INSERT INTO copied SELECT i, 'row number ' || i, now(), i / 8.0 FROM generate_series(1, %d) i", copyRows))
	return []workload{
		{name: "COPY in 100,000 rows", transports: locally, before: empty, ways: copyInRows()},
		{name: "COPY in a CSV of 100,000 rows", transports: locally, before: empty, ways: copyInFile()},
		{name: "COPY out 100,000 rows", transports: locally, before: full, ways: copyOut()},
		{name: "1,000 inserts", transports: locally, before: []string{"TRUNCATE event"}, ways: manyInserts(1_000)},
		{name: "100 inserts", transports: []string{delayed}, before: []string{"TRUNCATE event"}, ways: manyInserts(100)},
	}
}

func copyInRows() []way {
	return []way{
		onDB("psyco", "psyco", func(ctx context.Context, db *sql.DB) error {
			rows, _ := copied()
			n, err := psyco.CopyRows(ctx, db, psyco.Identifier{"copied"}, copyColumns, psyco.SliceRows(rows))
			if err != nil {
				return err
			}
			return wantRows(int(n), copyRows)
		}),
		onDB("lib/pq COPY", "postgres", func(ctx context.Context, db *sql.DB) error {
			return inTx(ctx, db, func(tx *sql.Tx) error {
				stmt, err := tx.PrepareContext(ctx, "COPY copied FROM STDIN")
				if err != nil {
					return err
				}
				rows, _ := copied()
				for _, row := range rows {
					if _, err := stmt.ExecContext(ctx, row...); err != nil {
						return err
					}
				}
				if _, err := stmt.ExecContext(ctx); err != nil {
					return err
				}
				return stmt.Close()
			})
		}),
		onPgx("pgx CopyFrom", func(ctx context.Context, conn *pgx.Conn) error {
			rows, _ := copied()
			n, err := conn.CopyFrom(ctx, pgx.Identifier{"copied"}, copyColumns, pgx.CopyFromRows(rows))
			if err != nil {
				return err
			}
			return wantRows(int(n), copyRows)
		}),
	}
}

func copyInFile() []way {
	const copyCSV = "COPY copied FROM STDIN (FORMAT csv)"
	return []way{
		onDB("psyco", "psyco", func(ctx context.Context, db *sql.DB) error {
			_, csv := copied()
			n, err := psyco.CopyFrom(ctx, db, copyCSV, bytes.NewReader(csv))
			if err != nil {
				return err
			}
			return wantRows(int(n), copyRows)
		}),
		onPgx("pgx CopyFrom", func(ctx context.Context, conn *pgx.Conn) error {
			_, csv := copied()
			tag, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(csv), copyCSV)
			if err != nil {
				return err
			}
			return wantRows(int(tag.RowsAffected()), copyRows)
		}),
		{`psql \copy`, func(ctx context.Context, dsn string) (*runner, error) {
			dir, err := os.MkdirTemp("", "psyco-bench")
			if err != nil {
				return nil, err
			}
			file := dir + "/rows.csv"
			_, csv := copied()
			if err := os.WriteFile(file, csv, 0o600); err != nil {
				return nil, errors.Join(err, os.RemoveAll(dir))
			}
			return startPsql(ctx, dsn, fmt.Sprintf(`\copy copied from '%s' (format csv)`, file), func() error { return os.RemoveAll(dir) })
		}},
	}
}

func copyOut() []way {
	const copyText = "COPY copied TO STDOUT"
	return []way{
		onDB("psyco", "psyco", func(ctx context.Context, db *sql.DB) error {
			n, err := psyco.CopyTo(ctx, db, io.Discard, copyText)
			if err != nil {
				return err
			}
			return wantRows(int(n), copyRows)
		}),
		onPgx("pgx CopyTo", func(ctx context.Context, conn *pgx.Conn) error {
			tag, err := conn.PgConn().CopyTo(ctx, io.Discard, copyText)
			if err != nil {
				return err
			}
			return wantRows(int(tag.RowsAffected()), copyRows)
		}),
		{`psql \copy`, func(ctx context.Context, dsn string) (*runner, error) {
			return startPsql(ctx, dsn, `\copy copied to '/dev/null'`, nothing)
		}},
	}
}

// manyInserts inserts n rows, one statement each, in one transaction.
func manyInserts(n int) []way {
	at := time.Now()
	ways := viaSQL(1, func(s *session) (operation, error) {
		st, err := s.statement(insertOne)
		return func(ctx context.Context, _ int) error {
			return inTx(ctx, s.db, func(tx *sql.Tx) error {
				insert := st.in(ctx, tx)
				for i := range n {
					if err := insert.exec(ctx, i, body, at); err != nil {
						return err
					}
				}
				return nil
			})
		}, err
	})
	for i := range ways {
		ways[i].contestant += " loop"
	}
	ways = append(ways, onDB("psyco ExecMany", "psyco", func(ctx context.Context, db *sql.DB) error {
		return inTx(ctx, db, func(tx *sql.Tx) error {
			rows, err := psyco.ExecMany(ctx, tx, dollar.ReplaceAllLiteralString(insertOne, "%s"), func(yield func([]any, error) bool) {
				for i := range n {
					if !yield([]any{i, body, at}, nil) {
						return
					}
				}
			})
			if err != nil {
				return err
			}
			return wantRows(int(rows), n)
		})
	}))
	return append(ways, viaPgx(1, func(pool *pgxpool.Pool) operation {
		return func(ctx context.Context, _ int) error {
			return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				var batch pgx.Batch
				for i := range n {
					batch.Queue(insertOne, i, body, at)
				}
				return tx.SendBatch(ctx, &batch).Close()
			})
		}
	}).as("pgx SendBatch"))
}

func (w way) as(contestant string) way {
	w.contestant = contestant
	return w
}

// onDB is a way with one operation on a database/sql pool of one connection.
func onDB(contestant, driver string, op func(context.Context, *sql.DB) error) way {
	return way{contestant, func(_ context.Context, dsn string) (*runner, error) {
		db, err := sql.Open(driver, dsn)
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(1)
		return &runner{
			run:   spread(1, func(ctx context.Context, _ int) error { return op(ctx, db) }),
			close: db.Close,
		}, nil
	}}
}

// onPgx is a way with one operation on one connection of pgx's own.
func onPgx(contestant string, op func(context.Context, *pgx.Conn) error) way {
	return way{contestant, func(ctx context.Context, dsn string) (*runner, error) {
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return nil, err
		}
		return &runner{
			run:   spread(1, func(ctx context.Context, _ int) error { return op(ctx, conn) }),
			close: func() error { return conn.Close(context.Background()) },
		}, nil
	}}
}

func inTx(ctx context.Context, db *sql.DB, do func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// startPsql keeps one psql open, so that starting it is not measured, and gives
// it the same command for each operation.
func startPsql(ctx context.Context, dsn, command string, cleanup func() error) (*runner, error) {
	cmd := exec.CommandContext(ctx, "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname="+dsn)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, errors.Join(err, cleanup())
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, cleanup())
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, cleanup())
	}
	answers := bufio.NewReader(stdout)
	return &runner{
		run: spread(1, func(context.Context, int) error {
			if _, err := io.WriteString(stdin, command+"\n\\echo done\n"); err != nil {
				return err
			}
			line, err := answers.ReadString('\n')
			if err != nil {
				return fmt.Errorf("psql ended: %w", err)
			}
			if strings.TrimSpace(line) != "done" {
				return fmt.Errorf("psql said %q", line)
			}
			return nil
		}),
		close: func() error { return errors.Join(stdin.Close(), cmd.Wait(), cleanup()) },
	}, nil
}
