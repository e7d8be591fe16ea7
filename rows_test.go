package psyco

import (
	"database/sql"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
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

// TestConnectionAfterProtocolError: once a server has sent what is not the protocol,
// nothing that it says on that connection is believed any more.
func TestConnectionAfterProtocolError(t *testing.T) {
	const oneColumn = "\x00\x01k\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x17\x00\x04\xff\xff\xff\xff\x00\x00"
	for _, tt := range []struct{ name, row string }{
		{"no columns", ""},
		{"no length", "\x00\x01\x00\x00"},
		{"too short", "\x00\x01\x00\x00\x00\x04ab"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var connections atomic.Int32
			server := fakeServer(t, func(nc net.Conn) {
				connections.Add(1)
				readPacket(nc)
				nc.Write(welcome("server_version", "18.0"))
				answer := message('1', "")
				for _, m := range [][]byte{message('t', "\x00\x01\x00\x00\x00\x17"), message('T', oneColumn), message('2', ""),
					message('D', tt.row), message('C', "SELECT 1\x00"), message('Z', "I")} {
					answer = append(answer, m...)
				}
				var packet [1 << 10]byte
				for {
					n, err := nc.Read(packet[:])
					if err != nil {
						return
					}
					if packet[0] == 'X' || n == 0 {
						return
					}
					nc.Write(answer)
				}
			})
			db, err := sql.Open("psyco", server+" sslmode=disable password=x")
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			for i := range 3 {
				var k int
				err := db.QueryRow("SELECT k FROM t WHERE k = $1", 1).Scan(&k)
				if err == nil || !strings.Contains(err.Error(), "psyco: protocol error") {
					t.Errorf("got %v", err)
				}
				if got := int(connections.Load()); got != i+1 {
					t.Errorf("%d connections after %d such errors", got, i+1)
				}
			}
		})
	}
}
