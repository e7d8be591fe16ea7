package psyco_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/psyco-go/psyco"
)

// plain is a driver of the oldest kind: it can prepare statements and nothing
// else. It notes what it is asked to do and fails where it is told to.
type plain struct {
	log  []string
	fail map[string]error
}

func (p *plain) Connect(context.Context) (driver.Conn, error) { return p, p.do("connect") }
func (p *plain) Driver() driver.Driver                        { return nil }
func (p *plain) Begin() (driver.Tx, error)                    { return p, p.do("begin") }
func (p *plain) Commit() error                                { return p.do("commit") }
func (p *plain) Rollback() error                              { return p.do("rollback") }
func (p *plain) Close() error                                 { return nil }
func (p *plain) Prepare(query string) (driver.Stmt, error)    { return plainStmt{p, query}, nil }

func (p *plain) do(what string) error {
	p.log = append(p.log, what)
	err := p.fail[what]
	delete(p.fail, what)
	return err
}

type plainStmt struct {
	*plain
	query string
}

func (s plainStmt) NumInput() int { return -1 }

func (s plainStmt) Exec(args []driver.Value) (driver.Result, error) {
	return driver.RowsAffected(1), s.do(fmt.Sprint(s.query, " ", args))
}

func (s plainStmt) Query(args []driver.Value) (driver.Rows, error) {
	return &plainRows{n: 2}, s.do(fmt.Sprint(s.query, " ", args))
}

type plainRows struct{ n int }

func (r *plainRows) Columns() []string { return []string{"n"} }
func (r *plainRows) Close() error      { return nil }
func (r *plainRows) Next(dest []driver.Value) error {
	if r.n == 0 {
		return io.EOF
	}
	dest[0] = int64(r.n)
	r.n--
	return nil
}

// TestBulkWrapped runs over a driver without pipelines, and with its faults.
func TestBulkWrapped(t *testing.T) {
	ctx := context.Background()
	broken := errors.New("broken")
	many := func(db *sql.DB) error {
		_, err := psyco.ExecMany(ctx, db, "INSERT %s", listed([]any{1}, []any{2}))
		return err
	}
	for _, tt := range []struct {
		name string
		run  func(db *sql.DB) error
		fail map[string]error
		log  string
		want error
	}{
		{"one row", func(db *sql.DB) error {
			_, err := psyco.ExecMany(ctx, db, "INSERT %s", listed([]any{1}))
			return err
		}, nil, "INSERT $1 [1]", nil},
		{"rows", many, nil, "begin; INSERT $1 [1]; INSERT $1 [2]; commit", nil},
		{"transaction", func(db *sql.DB) error {
			return psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
				for range 2 {
					if _, err := psyco.ExecMany(ctx, tx, "INSERT %s", listed([]any{1}, []any{2})); err != nil {
						return err
					}
				}
				return nil
			})
		}, nil, "begin; INSERT $1 [1]; INSERT $1 [2]; INSERT $1 [1]; INSERT $1 [2]; commit", nil},
		{"after a transaction", func(db *sql.DB) error {
			if err := psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error { return nil }); err != nil {
				return err
			}
			return many(db)
		}, nil, "begin; commit; begin; INSERT $1 [1]; INSERT $1 [2]; commit", nil},
		{"an error", many, map[string]error{"INSERT $1 [2]": broken}, "begin; INSERT $1 [1]; INSERT $1 [2]; rollback", broken},
		{"lost before anything ran", many, map[string]error{"INSERT $1 [1]": driver.ErrBadConn},
			"begin; INSERT $1 [1]; rollback; connect; begin; INSERT $1 [1]; INSERT $1 [2]; commit", nil},
		{"lost in between", many, map[string]error{"INSERT $1 [2]": driver.ErrBadConn}, "begin; INSERT $1 [1]; INSERT $1 [2]; rollback", errAny},
		{"lost while committing", many, map[string]error{"commit": driver.ErrBadConn}, "begin; INSERT $1 [1]; INSERT $1 [2]; commit", psyco.ErrCommitUnknown},
		{"values", func(db *sql.DB) error {
			n := 0
			_, err := psyco.ExecValues(ctx, db, "INSERT %s RETURNING n", listed([]any{1}, []any{2}, []any{3}), &psyco.ValuesOptions{
				PageSize: 2, Each: func(row *sql.Rows) error { return row.Scan(&n) },
			})
			return errors.Join(err, wantOne(n))
		}, nil, "begin; INSERT ($1), ($2) RETURNING n [1 2]; INSERT ($1) RETURNING n [3]; commit", nil},
		{"batch", func(db *sql.DB) error {
			var b psyco.Batch
			n := 0
			b.Queue("UPDATE %s", 1)
			b.Queue("TABLE b").Each(func(row *sql.Rows) error { return row.Scan(&n) })
			return errors.Join(b.Run(ctx, db), wantOne(n))
		}, nil, "begin; UPDATE $1 [1]; TABLE b []; commit", nil},
	} {
		p := &plain{fail: tt.fail}
		db := openDB(t, psyco.Wrap(p))
		err := tt.run(db)
		if tt.want == errAny && (err == nil || errors.Is(err, driver.ErrBadConn)) || tt.want != errAny && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := strings.Join(slices.DeleteFunc(p.log[:1], func(s string) bool { return s == "connect" }), "") + strings.Join(p.log[1:], "; "); got != tt.log {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.log)
		}
	}
}

var errAny = errors.New("any but driver.ErrBadConn")

func wantOne(n int) error {
	if n != 1 {
		return fmt.Errorf("the last row is %d, want 1", n)
	}
	return nil
}

// TestBulkForeign uses a handle that is not psyco's.
func TestBulkForeign(t *testing.T) {
	ctx := context.Background()
	db := sql.OpenDB(&plain{})
	defer db.Close()
	var b, rows psyco.Batch
	b.Queue("a")
	rows.Queue("a").Each(func(*sql.Rows) error { return nil })
	_, many := psyco.ExecMany(ctx, db, "INSERT %s", listed([]any{1}))
	_, values := psyco.ExecValues(ctx, db, "INSERT %s", listed([]any{1}), nil)
	for name, err := range map[string]error{"Batch": b.Run(ctx, db), "Batch with rows": rows.Run(ctx, db), "ExecMany": many, "ExecValues": values} {
		if err == nil || !strings.Contains(err.Error(), `driver is "psyco"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
