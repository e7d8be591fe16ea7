package psycotest_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"testing"

	"github.com/DATA-DOG/go-sqlmock"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/psycotest"
)

func TestMockSeesRewrittenQueries(t *testing.T) {
	one := func() *sqlmock.Rows { return sqlmock.NewRows([]string{"n"}).AddRow(1) }
	for name, c := range map[string]struct {
		query string
		args  []any
		sql   string
		want  []driver.Value
	}{
		"positional": {"SELECT n FROM t WHERE a = %s AND b = %s", []any{1, "x"}, "SELECT n FROM t WHERE a = $1 AND b = $2", []driver.Value{int64(1), "x"}},
		"named":      {"SELECT n FROM t WHERE a = %(a)s OR b = %(a)s", []any{map[string]any{"a": 7}}, "SELECT n FROM t WHERE a = $1 OR b = $1", []driver.Value{int64(7)}},
		"a slice":    {"SELECT n FROM t WHERE a IN %s", []any{[]int{1, 2}}, "SELECT n FROM t WHERE a = ANY($1)", []driver.Value{"{1,2}"}},
		"percent":    {"SELECT n FROM t WHERE a LIKE 'x%%' AND b = %s", []any{true}, "SELECT n FROM t WHERE a LIKE 'x%' AND b = $1", []driver.Value{true}},
		"native":     {"SELECT n FROM t WHERE a = $1", []any{"x"}, "SELECT n FROM t WHERE a = $1", []driver.Value{"x"}},
	} {
		t.Run(name, func(t *testing.T) {
			db, mock := psycotest.Mock(t)
			for range 4 { // more often than what makes psyco prepare on a real connection
				mock.ExpectQuery(c.sql).WithArgs(c.want...).WillReturnRows(one())
				if got := text(t, db, c.query, c.args...); got != "1" {
					t.Errorf("got %s", got)
				}
			}
		})
	}
}

// An expectation may also be what the program wrote.
func TestMockSeesQueriesAsWritten(t *testing.T) {
	args := map[string]any{"a": 7, "b": []int{1, 2}, "rows": [][]any{{1, "x"}, {2, "y"}}}
	for name, c := range map[string]struct {
		query, expected string
		args            []any
	}{
		"positional":   {"SELECT n FROM t WHERE a = %s", "SELECT n FROM t WHERE a = %s", []any{7}},
		"white space":  {"SELECT n\n\tFROM t WHERE a = %s", "SELECT n FROM t\n WHERE a = %s", []any{7}},
		"named":        {"SELECT n FROM t WHERE a = %(a)s", "SELECT n FROM t WHERE a = %(a)s", []any{args}},
		"a slice":      {"SELECT n FROM t WHERE a IN %(b)s", "SELECT n FROM t WHERE a IN %(b)s", []any{args}},
		"rows":         {"SELECT n FROM t WHERE (a, b) IN %(rows)s", "SELECT n FROM t WHERE (a, b) IN %(rows)s", []any{args}},
		"percent":      {"SELECT n FROM t WHERE a LIKE 'x%%' AND b = %s", "SELECT n FROM t WHERE a LIKE 'x%%' AND b = %s", []any{true}},
		"no arguments": {"SELECT n FROM t WHERE a LIKE 'x%%'", "SELECT n FROM t WHERE a LIKE 'x%%'", nil},
	} {
		t.Run(name, func(t *testing.T) {
			db, mock := psycotest.Mock(t)
			for range 2 {
				mock.ExpectQuery(c.expected).WillReturnRows(sqlmock.NewRows([]string{"n"}).AddRow(1))
				text(t, db, c.query, c.args...)
			}
		})
	}
	t.Run("literals", func(t *testing.T) {
		db, mock := psycotest.Mock(t)
		for _, expected := range []string{"NOTIFY work, %s", "NOTIFY work, 'it''s'"} {
			mock.ExpectExec(expected).WillReturnResult(sqlmock.NewResult(0, 0))
			if _, err := db.Exec("NOTIFY work, %s", "it's"); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("Prepare", func(t *testing.T) {
		db, mock := psycotest.Mock(t)
		mock.ExpectPrepare("SELECT %s").ExpectQuery().WithArgs(5).WillReturnRows(sqlmock.NewRows([]string{"n"}).AddRow(1))
		stmt, err := db.Prepare("SELECT %s")
		if err != nil {
			t.Fatal(err)
		}
		defer stmt.Close()
		var n int
		if err := stmt.QueryRow(5).Scan(&n); err != nil {
			t.Error(err)
		}
	})
	t.Run("a regular expression", func(t *testing.T) {
		db, mock := psycotest.Mock(t, psycotest.MatchQueries(sqlmock.QueryMatcherRegexp))
		mock.ExpectExec("^UPDATE .* %s$").WillReturnResult(sqlmock.NewResult(0, 1))
		if _, err := db.Exec("UPDATE t SET a = %s", "x"); err != nil {
			t.Error(err)
		}
	})
	t.Run("out of order", func(t *testing.T) {
		db, mock := psycotest.Mock(t)
		mock.MatchExpectationsInOrder(false)
		mock.ExpectExec("DELETE FROM a WHERE id = %s").WillReturnResult(sqlmock.NewResult(0, 1))
		mock.ExpectExec("DELETE FROM b WHERE id = $1").WillReturnResult(sqlmock.NewResult(0, 1))
		for _, table := range []string{"b", "a"} {
			if _, err := db.Exec("DELETE FROM "+table+" WHERE id = %s", 1); err != nil {
				t.Error(err)
			}
		}
	})
}

// Neither what was sent nor what was written is what was expected.
func TestMockMismatch(t *testing.T) {
	for _, expected := range []string{"SELECT n FROM t WHERE a = %(a)s", "SELECT n FROM t WHERE a = $2", "SELECT n FROM t WHERE a = 7"} {
		db, mock := psycotest.Mock(t)
		mock.ExpectQuery(expected).WillReturnRows(sqlmock.NewRows([]string{"n"}).AddRow(1))
		_, err := db.Query("SELECT n FROM t\n\tWHERE a = %s", 7)
		for _, want := range []string{expected, "WHERE a = $1", `"SELECT n FROM t WHERE a = %s"`} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("expected %s: the error %v does not say %s", expected, err, want)
			}
		}
		text(t, db, expected) // without arguments it is sent as it is
	}
}

func TestMockTransactions(t *testing.T) {
	db, mock := psycotest.Mock(t)
	mock.ExpectBegin()
	mock.ExpectExec("UPDATE t SET a = $1").WithArgs("x").WillReturnResult(sqlmock.NewResult(0, 3))
	mock.ExpectCommit()
	mock.ExpectBegin()
	mock.ExpectRollback()

	if err := psyco.InTx(t.Context(), db, nil, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(t.Context(), "UPDATE t SET a = %s", "x")
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); n != 3 || err != nil {
			t.Errorf("RowsAffected: %d, %v", n, err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	failed := errors.New("failed")
	if err := psyco.InTx(t.Context(), db, nil, func(*sql.Tx) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
}

func TestMockPrepare(t *testing.T) {
	db, mock := psycotest.Mock(t)
	prepared := mock.ExpectPrepare("INSERT INTO t VALUES ($1)").WillBeClosed()
	prepared.ExpectExec().WithArgs(5).WillReturnResult(sqlmock.NewResult(0, 1))

	stmt, err := db.Prepare("INSERT INTO t VALUES (%s)")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stmt.Exec(5); err != nil {
		t.Error(err)
	}
	if err := stmt.Close(); err != nil {
		t.Error(err)
	}
}

func TestMockReports(t *testing.T) {
	for name, c := range map[string]struct {
		test func(t testing.TB)
		want []string // in the one error; none: no error
	}{
		"an expectation that was not met": {
			func(t testing.TB) {
				_, mock := psycotest.Mock(t)
				mock.ExpectExec("DELETE FROM t")
			},
			[]string{"psycotest: ", "DELETE FROM t"},
		},
		"nothing more about a test that has failed": {
			func(t testing.TB) {
				_, mock := psycotest.Mock(t)
				mock.ExpectExec("DELETE FROM t")
				t.Fatal("failed")
			},
			[]string{"failed"},
		},
		"nothing where all is well": {
			func(t testing.TB) {
				db, mock := psycotest.Mock(t)
				mock.ExpectExec("DELETE FROM t").WillReturnResult(sqlmock.NewResult(0, 0))
				if _, err := db.Exec("DELETE FROM t"); err != nil {
					t.Error(err)
				}
			},
			nil,
		},
		"a Close that was expected": {
			func(t testing.TB) {
				db, mock := psycotest.Mock(t, psycotest.MonitorPings())
				mock.ExpectPing()
				mock.ExpectClose()
				if err := errors.Join(db.Ping(), db.Close()); err != nil {
					t.Error(err)
				}
			},
			nil,
		},
		"a Close that did not come": {
			func(t testing.TB) {
				db, mock := psycotest.Mock(t)
				if err := db.Ping(); err != nil {
					t.Error(err)
				}
				mock.ExpectClose()
			},
			[]string{"Close"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(c.test)
			if len(c.want) == 0 && len(got) > 0 || len(c.want) > 0 && len(got) != 1 {
				t.Fatalf("reported %q", got)
			}
			for _, want := range c.want {
				if !strings.Contains(got[0], want) {
					t.Errorf("reported %q, which does not say %q", got[0], want)
				}
			}
		})
	}
}

func TestMockQueryThatWasNotExpected(t *testing.T) {
	db, mock := psycotest.Mock(t)
	mock.ExpectQuery("SELECT 1").WillReturnRows(sqlmock.NewRows([]string{"n"}).AddRow(1))
	if _, err := db.Query("SELECT %s", 2); err == nil || !strings.Contains(err.Error(), "SELECT $1") {
		t.Errorf("got %v", err)
	}
	text(t, db, "SELECT 1")
}

func TestMockOptions(t *testing.T) {
	t.Run("MatchQueries", func(t *testing.T) {
		db, mock := psycotest.Mock(t, psycotest.MatchQueries(sqlmock.QueryMatcherRegexp))
		mock.ExpectExec(`^UPDATE .* \$1$`).WithArgs("x").WillReturnResult(sqlmock.NewResult(0, 1))
		if _, err := db.Exec("UPDATE t SET a = %s", "x"); err != nil {
			t.Error(err)
		}
	})
	t.Run("MonitorPings", func(t *testing.T) {
		db, mock := psycotest.Mock(t, psycotest.MonitorPings())
		if err := db.Ping(); err == nil {
			t.Error("a ping that was not expected went through")
		}
		down := errors.New("down")
		mock.ExpectPing().WillReturnError(down)
		if err := db.Ping(); !errors.Is(err, down) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("DriverOptions", func(t *testing.T) {
		called := false
		db, _ := psycotest.Mock(t, psycotest.DriverOptions(psyco.WithOnConnect(func(context.Context, *psyco.Conn) error {
			called = true
			return nil
		})))
		if err := db.Ping(); err != nil || !called {
			t.Errorf("called: %v, %v", called, err)
		}
	})
}
