package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/psyco-go/psyco"
)

// A workload is one thing that programs do with a database.
type workload struct {
	name       string
	transports []string
	before     []string // statements that set the stage before each slice, not measured
	warmUp     int      // how many operations a new connection does at least before it counts
	ways       []way
}

func (w workload) over(transport string) bool { return slices.Contains(w.transports, transport) }

var (
	everywhere = []string{unixSocket, tcp, delayed}
	locally    = []string{unixSocket, tcp}
	socketOnly = []string{unixSocket}
)

const goroutines = 8

// toGenericPlan is more often than a text is executed before the server's plan for it
// stays: twice, of which the second time prepares it, and five times with plans of its own.
const toGenericPlan = 8

func workloads() []workload {
	return append([]workload{
		{name: "point select", transports: everywhere,
			ways: append(viaSQL(1, pointSelect), viaPgx(1, pgxPointSelect))},
		{name: "insert", transports: everywhere, before: []string{"TRUNCATE event"},
			ways: append(viaSQL(1, insert), viaPgx(1, pgxInsert))},
		{name: "point select, context.Background", transports: locally,
			ways: append(viaSQL(1, unwatched(pointSelect)), viaPgx(1, pgxUnwatched(pgxPointSelect)))},
		{name: "insert, context.Background", transports: locally, before: []string{"TRUNCATE event"},
			ways: append(viaSQL(1, unwatched(insert)), viaPgx(1, pgxUnwatched(pgxInsert)))},
		{name: "transaction of 3 updates", transports: everywhere, before: []string{"VACUUM balance"},
			ways: append(viaSQL(1, transaction), viaPgx(1, pgxTransaction))},
		{name: "10 rows", transports: locally,
			ways: append(viaSQL(1, selectRows(10)), viaPgx(1, pgxSelectRows(10)))},
		{name: "10,000 rows", transports: everywhere, warmUp: toGenericPlan,
			ways: append(viaSQL(1, selectRows(10_000)), viaPgx(1, pgxSelectRows(10_000)))},
		{name: "one row as a struct", transports: locally, ways: asStructs(1)},
		{name: "10,000 rows as structs", transports: locally, warmUp: toGenericPlan, ways: asStructs(10_000)},
		{name: "10 rows of all types", transports: socketOnly, ways: viaSQL(1, selectWide(10))},
		{name: "10,000 rows of all types", transports: socketOnly, warmUp: toGenericPlan, ways: viaSQL(1, selectWide(10_000))},
		{name: "texts used once", transports: []string{unixSocket, delayed}, ways: unprepared(viaSQL(1, distinctTexts(0)))},
		{name: "1,000 texts in turn", transports: socketOnly, warmUp: 2000, ways: unprepared(viaSQL(1, distinctTexts(1000)))},
		{name: "point select, 8 goroutines", transports: locally,
			ways: append(viaSQL(goroutines, pointSelect), viaPgx(goroutines, pgxPointSelect))},
		{name: "point select, 8 goroutines, context.Background", transports: locally,
			ways: append(viaSQL(goroutines, unwatched(pointSelect)), viaPgx(goroutines, pgxUnwatched(pgxPointSelect)))},
		{name: "connect", transports: everywhere, ways: connects()},
	}, bulk()...)
}

// unwatched is a workload with a context that never ends, as in programs that call
// db.Query and db.Exec. With one that can end, as a web server's do, database/sql
// starts a goroutine for each query, and drivers watch the context too.
func unwatched(open func(*session) (operation, error)) func(*session) (operation, error) {
	return func(s *session) (operation, error) {
		op, err := open(s)
		return func(_ context.Context, i int) error { return op(context.Background(), i) }, err
	}
}

func pgxUnwatched(open func(*pgxpool.Pool) operation) func(*pgxpool.Pool) operation {
	return func(pool *pgxpool.Pool) operation {
		op := open(pool)
		return func(_ context.Context, i int) error { return op(context.Background(), i) }
	}
}

// account is the key for the ith operation: all of them, in an order that jumps.
func account(i int) int { return i*7919%accounts + 1 }

const selectOne = "SELECT id, name FROM account WHERE id = $1"

func pointSelect(s *session) (operation, error) {
	st, err := s.statement(selectOne)
	return func(ctx context.Context, i int) error {
		var id int
		var name string
		if err := st.queryRow(ctx, []any{&id, &name}, account(i)); err != nil {
			return err
		}
		return wantAccount(id, name, account(i))
	}, err
}

func pgxPointSelect(pool *pgxpool.Pool) operation {
	return func(ctx context.Context, i int) error {
		var id int
		var name string
		if err := pool.QueryRow(ctx, selectOne, account(i)).Scan(&id, &name); err != nil {
			return err
		}
		return wantAccount(id, name, account(i))
	}
}

func wantAccount(id int, name string, want int) error {
	if id != want || name == "" {
		return fmt.Errorf("account %d %q, want account %d", id, name, want)
	}
	return nil
}

const (
	insertOne = "INSERT INTO event (kind, body, at) VALUES ($1, $2, $3)"
	body      = "something that happened, told in about as many letters as people use for that"
)

func insert(s *session) (operation, error) {
	st, err := s.statement(insertOne)
	at := time.Now()
	return func(ctx context.Context, i int) error { return st.exec(ctx, i, body, at) }, err
}

func pgxInsert(pool *pgxpool.Pool) operation {
	at := time.Now()
	return func(ctx context.Context, i int) error {
		tag, err := pool.Exec(ctx, insertOne, i, body, at)
		if err != nil {
			return err
		}
		return wantRows(int(tag.RowsAffected()), 1)
	}
}

// The table is not one of those that are read: where an update puts a row decides what a
// range costs afterwards, and not for all plans the same.
const updateOne = "UPDATE balance SET balance = balance + $1 WHERE id = $2"

func transaction(s *session) (operation, error) {
	st, err := s.statement(updateOne)
	return func(ctx context.Context, i int) error {
		return inTx(ctx, s.db, func(tx *sql.Tx) error {
			update := st.in(ctx, tx)
			for k := range 3 {
				if err := update.exec(ctx, 1, account(i+k)); err != nil {
					return err
				}
			}
			return nil
		})
	}, err
}

func pgxTransaction(pool *pgxpool.Pool) operation {
	return func(ctx context.Context, i int) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			for k := range 3 {
				tag, err := tx.Exec(ctx, updateOne, 1, account(i+k))
				if err != nil {
					return err
				}
				if err := wantRows(int(tag.RowsAffected()), 1); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

const selectMany = "SELECT id, name FROM account WHERE id BETWEEN $1 AND $2"

func selectRows(n int) func(*session) (operation, error) {
	return func(s *session) (operation, error) {
		st, err := s.statement(selectMany)
		return func(ctx context.Context, i int) error {
			from := first(i, n)
			rows, err := st.query(ctx, from, from+n-1)
			if err != nil {
				return err
			}
			defer rows.Close()
			return countRows(rows, n, new(int), new(string))
		}, err
	}
}

// first is where the ith range of n accounts starts.
func first(i, n int) int { return i*7919%(accounts-n+1) + 1 }

func countRows(rows *sql.Rows, want int, to ...any) error {
	n := 0
	for rows.Next() {
		if err := rows.Scan(to...); err != nil {
			return err
		}
		n++
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return wantRows(n, want)
}

func pgxSelectRows(n int) func(*pgxpool.Pool) operation {
	return func(pool *pgxpool.Pool) operation {
		return func(ctx context.Context, i int) error {
			from := first(i, n)
			rows, err := pool.Query(ctx, selectMany, from, from+n-1)
			if err != nil {
				return err
			}
			var id int
			var name string
			tag, err := pgx.ForEachRow(rows, []any{&id, &name}, func() error { return nil })
			if err != nil {
				return err
			}
			return wantRows(int(tag.RowsAffected()), n)
		}
	}
}

const selectMixed = "SELECT id, bo, te, f8, ts FROM wide WHERE id BETWEEN $1 AND $2"

// mixed is a row of what most tables have.
type mixed struct {
	ID int64
	Bo bool
	Te string
	F8 float64
	TS time.Time
}

// asStructs reads n rows into a slice of structs: with psyco's and pgx's own functions, and with
// Scan.
func asStructs(n int) []way {
	scanned := func(s *session) (operation, error) {
		st, err := s.statement(selectMixed)
		return func(ctx context.Context, i int) error {
			from := first(i, n)
			rows, err := st.query(ctx, from, from+n-1)
			if err != nil {
				return err
			}
			defer rows.Close()
			var all []mixed
			for rows.Next() {
				var m mixed
				if err := rows.Scan(&m.ID, &m.Bo, &m.Te, &m.F8, &m.TS); err != nil {
					return err
				}
				all = append(all, m)
			}
			return errors.Join(rows.Err(), wantRows(len(all), n))
		}, err
	}
	typed := func(s *session) (operation, error) {
		text := s.text(selectMixed)
		return func(ctx context.Context, i int) error {
			from := first(i, n)
			all, err := psyco.QueryAll[mixed](ctx, s.db, text, from, from+n-1)
			return errors.Join(err, wantRows(len(all), n))
		}, nil
	}
	var ways []way
	add := func(all []way, contestant, name string) {
		for _, w := range all {
			if w.contestant == contestant {
				w.contestant = name
				ways = append(ways, w)
			}
		}
	}
	add(viaSQL(1, scanned), "psyco", "psyco Scan")
	add(viaSQL(1, typed), "psyco", "psyco QueryAll")
	add(viaSQL(1, scanned), "lib/pq", "lib/pq Scan")
	add(viaSQL(1, scanned), "lib/pq prepared", "lib/pq prepared")
	add(viaSQL(1, scanned), "pgx stdlib", "pgx stdlib Scan")
	add([]way{viaPgx(1, func(pool *pgxpool.Pool) operation {
		return func(ctx context.Context, i int) error {
			from := first(i, n)
			rows, err := pool.Query(ctx, selectMixed, from, from+n-1)
			if err != nil {
				return err
			}
			all, err := pgx.CollectRows(rows, pgx.RowToStructByName[mixed])
			return errors.Join(err, wantRows(len(all), n))
		}
	})}, native, "pgx CollectRows")
	return ways
}

// selectWide reads one column of each usual type. What database/sql has no type
// for is scanned as text.
func selectWide(n int) func(*session) (operation, error) {
	return func(s *session) (operation, error) {
		st, err := s.statement("SELECT * FROM wide WHERE id BETWEEN $1 AND $2")
		return func(ctx context.Context, i int) error {
			from := first(i, n)
			rows, err := st.query(ctx, from, from+n-1)
			if err != nil {
				return err
			}
			defer rows.Close()
			var (
				id, i2, i8                     int64
				bo                             bool
				f4, f8                         float64
				nu, te, vc, iv, uu, js, jb, ip string
				ia, ta                         string
				bi                             []byte
				da, ts, tz                     time.Time
			)
			return countRows(rows, n, &id, &bo, &i2, &i8, &f4, &f8, &nu, &te, &vc, &bi, &da, &ts, &tz, &iv, &uu, &js, &jb, &ip, &ia, &ta)
		}, err
	}
}

// distinctTexts selects with texts that differ: each used once, or n of them in
// turn.
func distinctTexts(n int) func(*session) (operation, error) {
	return func(s *session) (operation, error) {
		return func(ctx context.Context, i int) error {
			k := i
			if n > 0 {
				k = i % n
			}
			var id int
			var name string
			text := s.text(fmt.Sprintf("SELECT id, name FROM account WHERE id = $1 AND %d >= 0", k))
			if err := s.db.QueryRowContext(ctx, text, account(i)).Scan(&id, &name); err != nil {
				return err
			}
			return wantAccount(id, name, account(i))
		}, nil
	}
}

// unprepared leaves out who prepares by hand: with many texts nobody does.
func unprepared(ways []way) []way {
	return slices.DeleteFunc(ways, func(w way) bool {
		return slices.ContainsFunc(contestants, func(c contestant) bool { return c.prepared && c.name == w.contestant })
	})
}

// connects opens a pool, one connection in it, and closes both.
func connects() []way {
	var ways []way
	for _, c := range contestants {
		if c.percent || c.prepared {
			continue // queries differ, connections do not
		}
		ways = append(ways, way{c.name, func(_ context.Context, dsn string) (*runner, error) {
			return &runner{close: nothing, run: spread(1, func(ctx context.Context, _ int) error {
				db, err := sql.Open(c.driver, dsn)
				if err != nil {
					return err
				}
				defer db.Close()
				conn, err := db.Conn(ctx)
				if err != nil {
					return err
				}
				return conn.Close()
			})}, nil
		}})
	}
	return append(ways, way{native, func(_ context.Context, dsn string) (*runner, error) {
		return &runner{close: nothing, run: spread(1, func(ctx context.Context, _ int) error {
			conn, err := pgx.Connect(ctx, dsn)
			if err != nil {
				return err
			}
			return conn.Close(ctx)
		})}, nil
	}})
}

func nothing() error { return nil }
