package psyco_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log"
	"slices"
	"strings"
	"testing"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testdb"
	"github.com/psyco-go/psyco/psycotest"
)

func TestQueries(t *testing.T) {
	tests := []struct {
		name  string
		query string
		args  []any
		want  []string
	}{
		{"no arguments", "SELECT 1, '%s', '%%', 5 % 3", nil, []string{"1,%s,%%,2"}},
		{"native", "SELECT $1::int + $2::int", []any{1, 2}, []string{"3"}},
		{"native leaves percent signs alone", "SELECT $1::text LIKE 'a%', format('%s', $1::text), 7 % 4", []any{"ab"}, []string{"true,ab,3"}},
		{"positional", "SELECT %s::int, %s::text", []any{7, "x"}, []string{"7,x"}},
		{"positional, doubled percent sign", "SELECT %s::text LIKE 'a%%', 7 %% 4", []any{"ab"}, []string{"true,3"}},
		{"named", "SELECT %(a)s::int, %(b)s::text, %(a)s::int", []any{map[string]any{"a": 1, "b": "x"}}, []string{"1,x,1"}},
		{"sql.Named", "SELECT %(a)s::int", []any{sql.Named("a", 3)}, []string{"3"}},
		{"IN", "SELECT i FROM generate_series(1, 5) i WHERE i IN %s ORDER BY i", []any{[]int{2, 4, 9}}, []string{"2", "4"}},
		{"IN with nothing", "SELECT i FROM generate_series(1, 5) i WHERE i IN %s", []any{[]int{}}, nil},
		{"NOT IN", "SELECT i FROM generate_series(1, 3) i WHERE i NOT IN %s ORDER BY i", []any{[]int{2}}, []string{"1", "3"}},
		{"row list", "SELECT a FROM (VALUES (1, 'x'), (2, 'y')) t (a, b) WHERE (a, b) IN %s", []any{[][]any{{2, "y"}, {1, "z"}}}, []string{"2"}},
		{"nil", "SELECT %s::int IS NULL", []any{nil}, []string{"true"}},
		{"quotes in a value", "SELECT %s::text", []any{`it's "so" \n $1 %s`}, []string{`it's "so" \n $1 %s`}},
	}
	inModes(t, func(t *testing.T, db *sql.DB) {
		stmtTx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer stmtTx.Rollback()
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				for range 4 { // cold, prepared, warm
					if got := all(t, db, tt.query, tt.args...); !slices.Equal(got, tt.want) {
						t.Fatalf("got %q, want %q", got, tt.want)
					}
				}
				for range 4 {
					if got := all(t, stmtTx, tt.query, tt.args...); !slices.Equal(got, tt.want) {
						t.Fatalf("in a transaction: got %q, want %q", got, tt.want)
					}
				}
			})
		}
	})
}

func TestPreparedStatements(t *testing.T) {
	tests := []struct {
		name, query string
		args        []any
		want        []string
	}{
		{"native", "SELECT $1::int", []any{5}, []string{"5"}},
		{"positional", "SELECT %s::int + 1", []any{5}, []string{"6"}},
		{"named", "SELECT %(x)s::int * 2", []any{sql.Named("x", 5)}, []string{"10"}},
	}
	inModes(t, func(t *testing.T, db *sql.DB) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				stmt, err := db.Prepare(tt.query)
				if err != nil {
					t.Fatal(err)
				}
				defer stmt.Close()
				for range 3 {
					rows, err := stmt.Query(tt.args...)
					if err != nil {
						t.Fatal(err)
					}
					got := scanAll(t, rows)
					rows.Close()
					if !slices.Equal(got, tt.want) {
						t.Fatalf("got %q, want %q", got, tt.want)
					}
				}
			})
		}
	})
}

func TestPrepareFindsMistakes(t *testing.T) {
	db := testDB(t)
	for _, query := range []string{"SELECT FROM WHERE $1", "SELECT FROM WHERE %s", "SELECT nosuch FROM (SELECT %s) t"} {
		if stmt, err := db.Prepare(query); err == nil {
			stmt.Close()
			t.Errorf("%s: no error from Prepare", query)
		}
	}
}

// TestPrepareOfQuestionMarks: what the server says of ? helps nobody, but where it is an
// operator it has nothing to say.
func TestPrepareOfQuestionMarks(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		const want = `psyco: PostgreSQL does not know '?' as a placeholder: write %s, or $1, $2 and so on; sqlx does it after sqlx.BindDriver("psyco", sqlx.DOLLAR) (line 1, column 12)`
		//psyco:allow the error is what is wanted
		stmt, err := db.Prepare("SELECT 1 = ?")
		if err == nil {
			_, err = stmt.Query(1) // behind Wrap nothing is prepared before
			stmt.Close()
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		stmt, err = db.Prepare(`SELECT '{"a": 1}'::jsonb ? 'a'`)
		if err != nil {
			t.Fatal(err)
		}
		defer stmt.Close()
		var there bool
		if err := stmt.QueryRow().Scan(&there); err != nil || !there {
			t.Errorf("the operator ?: %v, %v", there, err)
		}
	})
}

func TestExecReportsRows(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		mustExec(t, db, "CREATE TABLE t (a int, b text)")
		for _, query := range []string{"INSERT INTO t VALUES ($1, $2), (3, 'c')", "INSERT INTO t VALUES (%s, %s), (3, 'c')"} {
			n, err := mustExec(t, db, query, 1, "a").RowsAffected()
			if err != nil || n != 2 {
				t.Fatalf("%s: %d rows, %v; want 2", query, n, err)
			}
		}
	})
}

// TestErrors checks what existing code does with errors: asserts their type.
func TestErrors(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		mustExec(t, db, "CREATE TABLE t (a int PRIMARY KEY)")
		for _, query := range []string{"INSERT INTO t VALUES ($1)", "INSERT INTO t VALUES (%s)"} {
			mustExec(t, db, "TRUNCATE t")
			mustExec(t, db, query, 1)
			for range 4 {
				_, err := db.Exec(query, 1)
				pqErr, ok := err.(*pq.Error)
				if !ok || pqErr.Code != "23505" || pqErr.Constraint != "t_pkey" {
					t.Fatalf("got %#v, want unique_violation as a bare *pq.Error", err)
				}
			}
		}
	})
}

func TestPlaceholderErrors(t *testing.T) {
	db := testDB(t)
	for _, tt := range []struct {
		name, query string
		args        []any
		want        string
	}{
		{"too few", "SELECT %s, %s, %s", []any{1, 2}, "the query has 3 placeholders but 2 parameters were passed"},
		{"missing names", "SELECT %(a)s, %(b)s", []any{map[string]any{"c": 1}}, "query parameter missing: a, b"},
		{"quoted", "SELECT '%s' WHERE %s = 1", []any{1}, "quotes"},
		{"part of a query", "SELECT * FROM %s", []any{psyco.Identifier{"t"}}, "put it in with Compose"},
		{"unsuitable value", "SELECT %s", []any{map[string]int{"a": 1}}, "parameter 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := db.Exec(tt.query, tt.args...)
			if err == nil || !strings.HasPrefix(err.Error(), "psyco: ") || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want psyco: …%s…", err, tt.want)
			}
		})
	}
}

// TestLibPQPrograms takes the cases of lib/pq's documentation: they must work
// with nothing but the driver's name changed.
func TestLibPQPrograms(t *testing.T) {
	db, err := sql.Open("psyco", pgserver.TestDSN(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()

	t.Run("parameters and RETURNING", func(t *testing.T) {
		mustExec(t, db, "CREATE TABLE users (id serial PRIMARY KEY, name text, favorite_fruit text, age int)")
		var id int
		err := db.QueryRow(`INSERT INTO users(name, favorite_fruit, age)
			VALUES('beatrice', 'starfruit', 93) RETURNING id`).Scan(&id)
		if err != nil || id != 1 {
			t.Fatalf("id %d, %v", id, err)
		}
		var name string
		fruit := "starfruit"
		err = db.QueryRow("SELECT name FROM users WHERE favorite_fruit = $1 OR age BETWEEN $2 AND $2 + 3", fruit, 64).Scan(&name)
		if err != nil || name != "beatrice" {
			t.Fatalf("name %q, %v", name, err)
		}
	})

	t.Run("pq.Array", func(t *testing.T) {
		var x []sql.NullInt64
		if err := db.QueryRow("SELECT ARRAY[235, 401]").Scan(pq.Array(&x)); err != nil || len(x) != 2 || x[1].Int64 != 401 {
			t.Fatalf("%v, %v", x, err)
		}
		got := all(t, db, "SELECT i FROM generate_series(200, 500) i WHERE i = ANY($1)", pq.Array([]int{235, 401}))
		if !slices.Equal(got, []string{"235", "401"}) {
			t.Fatalf("got %q", got)
		}
	})

	t.Run("pq.CopyIn", func(t *testing.T) {
		mustExec(t, db, "CREATE TABLE copied (name text, age int)")
		txn, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		//lint:ignore SA1019 existing programs use it
		stmt, err := txn.Prepare(pq.CopyIn("copied", "name", "age"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 1000 {
			if _, err := stmt.Exec("user\t"+strings.Repeat("x", i), int64(i)); err != nil {
				t.Fatal(err)
			}
		}
		res, err := stmt.Exec()
		if err != nil {
			t.Fatal(err)
		}
		if n, err := res.RowsAffected(); n != 1000 || err != nil {
			t.Fatalf("%d rows, %v", n, err)
		}
		if err := stmt.Close(); err != nil {
			t.Fatal(err)
		}
		if err := txn.Commit(); err != nil {
			t.Fatal(err)
		}
		if got := all(t, db, "SELECT count(*), sum(age) FROM copied"); got[0] != "1000,499500" {
			t.Fatalf("got %s", got)
		}
	})

	t.Run("several result sets", func(t *testing.T) {
		rows, err := db.Query("SELECT 1; SELECT 2, 3")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		first := scanAll(t, rows)
		if !rows.NextResultSet() {
			t.Fatal("no second result set")
		}
		if second := scanAll(t, rows); !slices.Equal(first, []string{"1"}) || !slices.Equal(second, []string{"2,3"}) {
			t.Fatalf("got %q, %q", first, second)
		}
	})

	t.Run("errors.As", func(t *testing.T) {
		_, err := db.Exec("SELECT 1/$1", 0)
		var pqErr *pq.Error
		if !errors.As(err, &pqErr) || pqErr.Code.Name() != "division_by_zero" {
			t.Fatalf("got %v", err)
		}
	})

	t.Run("bytea, slices and uint64", func(t *testing.T) {
		got := all(t, db, "SELECT $1::bytea, $2::int[], $3::numeric", []byte{0, 255}, []int64{1, 2}, uint64(1<<63))
		if got[0] != "\x00\xff,{1,2},9223372036854775808" {
			t.Fatalf("got %q", got)
		}
	})
}

func TestWithConn(t *testing.T) {
	ctx := context.Background()
	db := testDB(t)
	conn, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	mustExec(t, tx, "SELECT 1")
	for name, h := range map[string]psyco.Handle{"DB": db, "Tx": tx} {
		t.Run(name, func(t *testing.T) {
			err := psyco.WithConn(ctx, h, func(c *psyco.Conn) error {
				if c.PID() == 0 || c.ServerVersion() < 120000 {
					t.Errorf("pid %d, version %d", c.PID(), c.ServerVersion())
				}
				if v, ok := c.Parameter("client_encoding"); !ok || v != "UTF8" {
					t.Errorf("client_encoding %q", v)
				}
				want := byte('I')
				if name == "Tx" {
					want = 'T'
				}
				if c.TxStatus() != want {
					t.Errorf("status %c, want %c", c.TxStatus(), want)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	wantErr := errors.New("mine")
	if err := psyco.WithConn(ctx, db, func(*psyco.Conn) error { return wantErr }); err != wantErr {
		t.Fatalf("got %v", err)
	}
	t.Run("another driver", func(t *testing.T) {
		other, err := sql.Open("postgres", pgserver.TestDSN(t))
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		err = psyco.WithConn(ctx, other, func(*psyco.Conn) error { return nil })
		if err == nil || !strings.HasPrefix(err.Error(), "psyco: WithConn needs a handle") {
			t.Fatalf("got %v", err)
		}
	})
}

func TestHandlersOfAConnection(t *testing.T) {
	conn := oneConn(t, "")
	var got []string
	err := psyco.WithConn(context.Background(), conn, func(c *psyco.Conn) error {
		c.SetNoticeHandler(func(e *pq.Error) { got = append(got, e.Message) })
		c.SetNotificationHandler(func(n *pq.Notification) { got = append(got, n.Channel+"="+n.Extra) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, conn, "DO $$ BEGIN RAISE NOTICE 'hello'; END $$; LISTEN ch; NOTIFY ch, 'x'")
	mustExec(t, conn, "SELECT 1")
	if !slices.Equal(got, []string{"hello", "ch=x"}) {
		t.Fatalf("got %q", got)
	}
}

func ExampleConn_SetNoticeHandler() {
	ctx := context.Background()
	srv, err := psycotest.Open(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	db, err := sql.Open("psyco", srv.DSN())
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	err = psyco.WithConn(ctx, conn, func(c *psyco.Conn) error {
		c.SetNoticeHandler(func(n *pq.Error) { fmt.Println(n.Severity, n.Message) })
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := conn.ExecContext(ctx, "DO $$ BEGIN RAISE NOTICE 'half way'; END $$"); err != nil {
		log.Fatal(err)
	}
	// Output: NOTICE half way
}

// plainConnector wraps connections in a driver that hands on statements and
// nothing else: no NamedValueChecker, SessionResetter or Validator.
type plainConnector struct{ driver.Connector }

func (p plainConnector) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := p.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return plainConn{c, c.(driver.ExecerContext), c.(driver.QueryerContext), c.(driver.ConnBeginTx)}, nil
}

type plainConn struct {
	driver.Conn
	driver.ExecerContext
	driver.QueryerContext
	driver.ConnBeginTx
}

// TestHandleBehindPlainWrapper runs operations, with rows and without, where
// database/sql converts the arguments by its own rules.
func TestHandleBehindPlainWrapper(t *testing.T) {
	ctx := context.Background()
	c, err := psyco.NewConnector(pgserver.TestDSN(t))
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(plainConnector{c})
	defer db.Close()
	mustExec(t, db, "CREATE TABLE t (a int)")
	if n, err := psyco.CopyFrom(ctx, db, "COPY t FROM STDIN", strings.NewReader("1\n2\n")); n != 2 || err != nil {
		t.Fatalf("CopyFrom: %d, %v", n, err)
	}
	calls := 0
	mine := errors.New("mine")
	if err := psyco.WithConn(ctx, db, func(*psyco.Conn) error { calls++; return mine }); err != mine || calls != 1 {
		t.Fatalf("WithConn: %v after %d calls", err, calls)
	}
	var b psyco.Batch
	count := 0
	b.Queue("SELECT count(*) FROM t").Each(func(row *sql.Rows) error { return row.Scan(&count) })
	if err := b.Run(ctx, db); err != nil || count != 2 {
		t.Fatalf("Batch: %d, %v", count, err)
	}
	if _, err := db.Query("SELECT 1", psyco.ServerSide(0)); err == nil || !strings.Contains(err.Error(), "NamedValueChecker") {
		t.Errorf("ServerSide: %v", err)
	}
}

// formatting is a handle that writes the arguments into the text itself, as bun's
// does.
type formatting struct{ db *sql.DB }

func (h formatting) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return h.db.ExecContext(ctx, query)
}

func (h formatting) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return h.db.QueryContext(ctx, query)
}

// preparing is a handle that prepares every statement, as GORM's does with
// PrepareStmt.
type preparing struct{ db *sql.DB }

func (h preparing) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := h.db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.ExecContext(ctx, args...)
}

func (h preparing) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := h.db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.QueryContext(ctx, args...)
}

// TestHandleUnfit gives operations to handles that cannot run them: each must
// say so, and none look as if it were done.
func TestHandleUnfit(t *testing.T) {
	db := testDB(t)
	db.SetMaxOpenConns(1) // what is left open shows
	base, err := pq.NewConnector(pgserver.TestDSN(t))
	if err != nil {
		t.Fatal(err)
	}
	foreign := sql.OpenDB(base)
	defer foreign.Close()
	for _, tt := range []struct {
		name string
		h    psyco.Handle
		want string
	}{
		{"formats", formatting{db}, "behind this one"},
		{"prepares", preparing{db}, "behind this one"},
		{"lib/pq", foreign, `driver is "psyco"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := context.Background()
			var b psyco.Batch
			b.Queue("SELECT 1").Each(func(*sql.Rows) error { return nil })
			for name, err := range map[string]error{
				"WithConn": psyco.WithConn(ctx, tt.h, func(*psyco.Conn) error { return nil }),
				"Batch":    b.Run(ctx, tt.h),
			} {
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "psyco: "+name) {
					t.Errorf("%s: %v, want %q in it", name, err, tt.want)
				}
			}
		})
	}
}

// What errors are beside lib/pq's: a bare *pq.Error, where docs/libpq.md does not say otherwise.
func TestErrorsBesideLibpq(t *testing.T) {
	dsn := pgserver.TestDSN(t)
	for _, test := range []struct {
		name      string
		run       func(t *testing.T, db *sql.DB) error
		code      pqerror.Code
		psycoBare bool  // err.(*pq.Error) finds it, as it does with lib/pq
		psycoIs   error // errors.Is says so, which it does not with lib/pq
		hidden    bool  // lib/pq tells nothing
	}{
		{"constraint", func(t *testing.T, db *sql.DB) error {
			return second(db.Exec("SELECT 1 / $1::int", 0))
		}, "22012", true, nil, false},
		{"statement_timeout", func(t *testing.T, db *sql.DB) error {
			tx, err := db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			mustExec(t, tx, "SET LOCAL statement_timeout = 20")
			return second(tx.Exec("SELECT pg_sleep(20)"))
		}, "57014", true, nil, false},
		{"deadline", func(t *testing.T, db *sql.DB) error {
			if err := db.Ping(); err != nil {
				t.Fatal(err)
			}
			ctx, expire := testdb.Deadline(context.Background())
			whenWaiting(t, open(t, sameDatabase(t, db)), "pg_sleep(20)", expire)
			return second(db.ExecContext(ctx, "SELECT pg_sleep(20)"))
		}, "57014", false, context.DeadlineExceeded, false},
		{"ended session", func(t *testing.T, db *sql.DB) error {
			c, err := db.Conn(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			var pid int
			if err := c.QueryRowContext(context.Background(), "SELECT pg_backend_pid()").Scan(&pid); err != nil {
				t.Fatal(err)
			}
			mustExec(t, db, "SELECT pg_terminate_backend($1)", pid)
			for gone := false; !gone; {
				if err := db.QueryRow("SELECT NOT EXISTS (SELECT 1 FROM pg_stat_activity WHERE pid = $1)", pid).Scan(&gone); err != nil {
					t.Fatal(err)
				}
			}
			return second(c.ExecContext(context.Background(), "SELECT 1"))
		}, "57P01", false, nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, name := range []string{"postgres", "psyco"} {
				db, err := sql.Open(name, dsn)
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				err = test.run(t, db)
				_, bare := err.(*pq.Error)
				switch pe := pq.As(err); {
				case name == "postgres" && test.hidden:
					if pe != nil {
						t.Errorf("lib/pq: %v", err)
					}
				case pe == nil || pe.Code != test.code:
					t.Errorf("%s: %v, want a *pq.Error with %s", name, err, test.code)
				case test.hidden:
					// Bare or not: that depends on whether the network has told of the end
					// before the statement was sent.
				case bare != (name == "postgres" || test.psycoBare):
					t.Errorf("%s: a bare *pq.Error: %v, %T", name, bare, err)
				}
				if test.psycoIs != nil && errors.Is(err, test.psycoIs) != (name == "psyco") {
					t.Errorf("%s: errors.Is(%v, %v) is %v", name, err, test.psycoIs, name != "psyco")
				}
			}
		})
	}
}
