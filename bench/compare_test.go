package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/psyco-go/psyco/internal/faultproxy"
)

// comparison are the rows of the README's table that can be seen with any
// database/sql driver. Each sees what a driver does and says it in a word.
var comparison = []struct {
	row string
	see func(t *testing.T, db *sql.DB, p *faultproxy.Proxy) string
}{
	{"`%s` and `%(name)s` in queries", func(t *testing.T, db *sql.DB, _ *faultproxy.Proxy) string {
		var n int
		err := db.QueryRowContext(t.Context(), "SELECT %s::int", 7).Scan(&n)
		err2 := db.QueryRowContext(t.Context(), "SELECT %(n)s::int", map[string]any{"n": 7}).Scan(&n)
		return yes(err == nil && err2 == nil && n == 7)
	}},
	{"`IN %s` with a list", func(t *testing.T, db *sql.DB, _ *faultproxy.Proxy) string {
		var n int
		err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM account WHERE id IN %s", []int{1, 2, 3}).Scan(&n)
		return yes(err == nil && n == 3)
	}},
	{"another query while rows are open, in one transaction", func(t *testing.T, db *sql.DB, _ *faultproxy.Proxy) string {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		rows, err := tx.QueryContext(t.Context(), "SELECT id FROM account ORDER BY id")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		n := 0
		for ; rows.Next(); n++ {
			if n == 3 {
				if _, err := tx.ExecContext(t.Context(), "UPDATE account SET balance = balance WHERE id = $1", 1); err != nil {
					return "no"
				}
			}
		}
		return yes(rows.Err() == nil && n == accounts)
	}},
	{"`COPY … TO STDOUT` into a writer", func(t *testing.T, db *sql.DB, _ *faultproxy.Proxy) string {
		var b bytes.Buffer
		_, err := db.ExecContext(t.Context(), "COPY (SELECT 1) TO STDOUT", &b)
		return yes(err == nil && b.String() == "1\n")
	}},
	{"how often a statement runs whose connection breaks meanwhile", func(t *testing.T, db *sql.DB, _ *faultproxy.Proxy) string {
		if _, err := db.ExecContext(t.Context(), "CREATE SEQUENCE runs"); err != nil {
			t.Fatal(err)
		}
		defer db.ExecContext(context.WithoutCancel(t.Context()), "DROP SEQUENCE runs")
		_, err := db.ExecContext(t.Context(), "SELECT nextval('runs'), pg_terminate_backend(pg_backend_pid()), pg_sleep(1)")
		if err == nil {
			t.Error("no error")
		}
		var n int
		if err := db.QueryRowContext(t.Context(), "SELECT last_value FROM runs").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(n)
	}},
	{"round trips of a query with an argument, the first time", func(t *testing.T, db *sql.DB, p *faultproxy.Proxy) string {
		texts := 0
		return trips(t, p, func() error {
			texts++
			var id int
			return db.QueryRowContext(t.Context(), fmt.Sprintf("SELECT id FROM account WHERE id = $1 AND %d > 0", texts), 7).Scan(&id)
		})
	}},
	{"round trips of it later", func(t *testing.T, db *sql.DB, p *faultproxy.Proxy) string {
		return trips(t, p, func() error {
			var id int
			return db.QueryRowContext(t.Context(), "SELECT id FROM account WHERE id = $1", 7).Scan(&id)
		})
	}},
	{"round trips of a transaction with three such statements", func(t *testing.T, db *sql.DB, p *faultproxy.Proxy) string {
		return trips(t, p, func() error {
			tx, err := db.BeginTx(t.Context(), nil)
			if err != nil {
				return err
			}
			defer tx.Rollback()
			for range 3 {
				if _, err := tx.ExecContext(t.Context(), updateOne, 0, 1); err != nil {
					return err
				}
			}
			return tx.Commit()
		})
	}},
}

func yes(ok bool) string {
	if ok {
		return "yes"
	}
	return "no"
}

// trips counts the round trips of f once it has run a few times.
func trips(t *testing.T, p *faultproxy.Proxy, f func() error) string {
	t.Helper()
	for range 4 {
		p.ResetCounts()
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprint(p.Counts().RoundTrips)
}

// TestComparison holds the README's table to what the drivers do.
func TestComparison(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	srv, err := startServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer srv.close()
	srv.proxy.Delay(faultproxy.Both, 0)
	said := make(map[string][]string)
	for line := range strings.Lines(string(readme)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		said[cells[0]] = cells[1:]
	}
	for _, c := range comparison {
		t.Run(c.row, func(t *testing.T) {
			want := said[c.row]
			if len(want) < 4 {
				t.Fatalf("the README has no such row, or not four columns")
			}
			for i, driver := range []string{"psyco", "postgres", "pgx"} {
				db, err := sql.Open(driver, srv.dsn[delayed])
				if err != nil {
					t.Fatal(err)
				}
				db.SetMaxOpenConns(1)
				if got := c.see(t, db, srv.proxy); got != want[i] {
					t.Errorf("%s: %s, but the README says %s", driver, got, want[i])
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	python, ok := findPsycopg2(t)
	if !ok {
		t.Log("psycopg2 is not installed: its column is taken on trust")
		return
	}
	run := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), python, append([]string{"compare_psycopg2.py", srv.dsn[delayed]}, args...)...)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	difference := func(what string) string { // without what connecting takes
		var counts [2]int
		for i := range counts {
			srv.proxy.ResetCounts()
			run(what, fmt.Sprint(4+i))
			counts[i] = srv.proxy.Counts().RoundTrips
		}
		return fmt.Sprint(counts[1] - counts[0])
	}
	query := difference("query") // it keeps nothing on the server: all times are the first
	seen := append(strings.Fields(run("see")), query, query, difference("tx"))
	if len(seen) != len(comparison) {
		t.Fatalf("psycopg2 answered %q", seen)
	}
	for i, c := range comparison {
		if want := said[c.row][3]; seen[i] != want {
			t.Errorf("%s: psycopg2: %s, but the README says %s", c.row, seen[i], want)
		}
	}
}

// findPsycopg2 finds a Python that has psycopg2.
func findPsycopg2(t *testing.T) (python string, ok bool) {
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), python, "-c", "import psycopg2").Run() == nil {
			return python, true
		}
	}
	return "", false
}
