package psyco

import (
	"database/sql"
	"fmt"
	"testing"
)

// TestCloseTellsError closes results before their statement fails, as QueryRow
// does. That nothing has happened must not be lost with the rows.
func TestCloseTellsError(t *testing.T) { eachWay(t, testCloseTellsError) }

func testCloseTellsError(t *testing.T, way string) {
	ours, theirs := openBoth(t, way)
	if _, err := ours.ExecContext(t.Context(), `CREATE TABLE once (a int UNIQUE DEFERRABLE INITIALLY DEFERRED);
		INSERT INTO once VALUES (1)`); err != nil {
		t.Fatal(err)
	}
	ways := []struct {
		name  string
		close func(c *sql.Conn, query string, args []any) error
	}{
		{"QueryRow", func(c *sql.Conn, query string, args []any) error {
			var n int
			return c.QueryRowContext(t.Context(), query, args...).Scan(&n)
		}},
		{"Close", func(c *sql.Conn, query string, args []any) error {
			rows, err := c.QueryContext(t.Context(), query, args...)
			if err != nil {
				return err
			}
			return rows.Close()
		}},
		{"prepared", func(c *sql.Conn, query string, args []any) error {
			stmt, err := c.PrepareContext(t.Context(), query)
			if err != nil {
				return err
			}
			defer stmt.Close()
			var n int
			return stmt.QueryRowContext(t.Context(), args...).Scan(&n)
		}},
	}
	for _, tt := range []struct {
		query string
		args  []any
	}{
		{"INSERT INTO once VALUES (1) RETURNING a", nil},
		{"INSERT INTO once VALUES ($1::int) RETURNING a", []any{1}},
		{"SELECT 10 / (2 - i) FROM generate_series(1, 2) i", nil},
		{"SELECT 10 / ($1::int - i) FROM generate_series(1, 2) i", []any{2}},
		{"SELECT 10 / ($1::int - i) FROM generate_series(1, 9000) i", []any{5000}},
		{"SELECT 10 / ($1::int - i) FROM generate_series(1, 9000) i", []any{10_000}},
	} {
		for _, way := range ways {
			t.Run(way.name+" "+tt.query, func(t *testing.T) {
				want := fmt.Sprint(way.close(theirs, tt.query, tt.args))
				for range 3 {
					if got := fmt.Sprint(way.close(ours, tt.query, tt.args)); got != want {
						t.Errorf("%s, want %s", got, want)
					}
				}
			})
		}
		t.Run("behind another statement "+tt.query, func(t *testing.T) {
			rows, err := theirs.QueryContext(t.Context(), tt.query, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprint(rows.Close())
			for range 3 {
				rows, err := ours.QueryContext(t.Context(), tt.query, tt.args...)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := ours.ExecContext(t.Context(), "SELECT 1"); err != nil {
					t.Error(err)
				}
				if got := fmt.Sprint(rows.Close()); got != want {
					t.Errorf("%s, want %s", got, want)
				}
			}
		})
	}
	var n int
	if err := ours.QueryRowContext(t.Context(), "SELECT count(*) FROM once").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d rows, %v, want 1", n, err)
	}
}
