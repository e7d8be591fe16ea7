package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
)

// A runner is a contestant that is connected and ready for one workload.
type runner struct {
	run   func(ctx context.Context, n int) error // does the workload's operation n times
	close func() error
}

// A way is how one contestant does a workload.
type way struct {
	contestant string
	open       func(ctx context.Context, dsn string) (*runner, error)
}

// operation does a workload's thing once; i says which of all its variants.
type operation func(ctx context.Context, i int) error

// contestant is a way to use a database/sql driver.
type contestant struct {
	name     string
	driver   string
	percent  bool // queries with %s instead of $1
	prepared bool // statements prepared by hand, once per connection
}

var contestants = []contestant{
	{name: "psyco", driver: "psyco"},
	{name: "psyco %s", driver: "psyco", percent: true},
	{name: "lib/pq", driver: "postgres"},
	{name: "lib/pq prepared", driver: "postgres", prepared: true},
	{name: "pgx stdlib", driver: "pgx"},
}

// native is pgx without database/sql.
const native = "pgx"

// viaSQL gives a workload to all database/sql contestants. open prepares a
// session and returns its operation; conns is the number of connections, each
// with a goroutine that uses it.
func viaSQL(conns int, open func(*session) (operation, error)) []way {
	var ways []way
	for _, c := range contestants {
		ways = append(ways, way{c.name, func(ctx context.Context, dsn string) (*runner, error) {
			db, err := sql.Open(c.driver, dsn)
			if err != nil {
				return nil, err
			}
			db.SetMaxOpenConns(conns)
			db.SetMaxIdleConns(conns)
			s := &session{contestant: c, db: db, ctx: ctx}
			op, err := open(s)
			if err != nil {
				return nil, errors.Join(err, s.close())
			}
			return &runner{run: spread(conns, op), close: s.close}, nil
		}})
	}
	return ways
}

// viaPgx gives a workload to pgx's own interface.
func viaPgx(conns int, open func(*pgxpool.Pool) operation) way {
	return way{native, func(ctx context.Context, dsn string) (*runner, error) {
		pool, err := pgxpool.New(ctx, fmt.Sprintf("%s pool_max_conns=%d", dsn, conns))
		if err != nil {
			return nil, err
		}
		return &runner{
			run:   spread(conns, open(pool)),
			close: func() error { pool.Close(); return nil },
		}, nil
	}}
}

// spread does an operation n times, in as many goroutines as there are
// connections. Runs count on where the last one ended.
func spread(goroutines int, op operation) func(context.Context, int) error {
	next := 0
	return func(ctx context.Context, n int) error {
		first := next
		next += n
		if goroutines == 1 {
			for i := range n {
				if err := op(ctx, first+i); err != nil {
					return err
				}
			}
			return nil
		}
		errs := make([]error, goroutines)
		var all sync.WaitGroup
		for g := range goroutines {
			all.Go(func() {
				for i := g; i < n && errs[g] == nil; i += goroutines {
					errs[g] = op(ctx, first+i)
				}
			})
		}
		all.Wait()
		return errors.Join(errs...)
	}
}

// session is a database/sql contestant at work.
type session struct {
	contestant
	db    *sql.DB
	ctx   context.Context // of preparing
	stmts []*sql.Stmt
}

func (s *session) close() error {
	var errs []error
	for _, stmt := range s.stmts {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, s.db.Close())...)
}

var dollar = regexp.MustCompile(`\$\d+`)

// text is a query, which has $1, $2, … once each and in order, in the
// contestant's words.
func (s *session) text(query string) string {
	if s.percent {
		return dollar.ReplaceAllLiteralString(query, "%s")
	}
	return query
}

// statement is a query's text on a pool or in a transaction, or what it was
// prepared to. No interface stands for the three: calls through one would cost
// an allocation for the arguments that programs do not pay.
type statement struct {
	text string
	db   *sql.DB
	tx   *sql.Tx
	stmt *sql.Stmt
}

func (s *session) statement(query string) (*statement, error) {
	st := &statement{text: s.text(query), db: s.db}
	if s.prepared {
		stmt, err := s.db.PrepareContext(s.ctx, st.text)
		if err != nil {
			return nil, err
		}
		st.stmt = stmt
		s.stmts = append(s.stmts, stmt)
	}
	return st, nil
}

// in is the same statement inside a transaction, for exec.
func (st *statement) in(ctx context.Context, tx *sql.Tx) *statement {
	inside := &statement{text: st.text, tx: tx}
	if st.stmt != nil {
		inside.stmt = tx.StmtContext(ctx, st.stmt)
	}
	return inside
}

func (st *statement) query(ctx context.Context, args ...any) (*sql.Rows, error) {
	if st.stmt != nil {
		return st.stmt.QueryContext(ctx, args...)
	}
	return st.db.QueryContext(ctx, st.text, args...)
}

// queryRow scans the first row into to.
func (st *statement) queryRow(ctx context.Context, to []any, args ...any) error {
	if st.stmt != nil {
		return st.stmt.QueryRowContext(ctx, args...).Scan(to...)
	}
	return st.db.QueryRowContext(ctx, st.text, args...).Scan(to...)
}

// exec runs the statement and wants one row affected.
func (st *statement) exec(ctx context.Context, args ...any) error {
	var (
		result sql.Result
		err    error
	)
	switch {
	case st.stmt != nil:
		result, err = st.stmt.ExecContext(ctx, args...)
	case st.tx != nil:
		result, err = st.tx.ExecContext(ctx, st.text, args...)
	default:
		result, err = st.db.ExecContext(ctx, st.text, args...)
	}
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err != nil {
		return err
	}
	return wantRows(int(n), 1)
}

func wantRows(got, want int) error {
	if got != want {
		return fmt.Errorf("%d rows, want %d", got, want)
	}
	return nil
}
