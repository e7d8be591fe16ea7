package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/faultproxy"
)

// TestPanicOfTheReader has a server send an empty bool, at which lib/pq panics. That is
// an error, of the connection, and holds nobody up.
func TestPanicOfTheReader(t *testing.T) {
	p, db, _ := faulty(t, "")
	db.SetMaxOpenConns(1)
	spoil := func(_ int, m []byte) faultproxy.Rewrite {
		if m[0] == 'D' && bytes.HasSuffix(m, []byte("t")) {
			m = []byte("D\x00\x00\x00\x0a\x00\x01\x00\x00\x00\x00")
		}
		return faultproxy.Rewrite{Bytes: m}
	}
	ask := func(ctx context.Context, h psyco.Handle) error {
		rows, err := h.QueryContext(ctx, "SELECT true")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
		}
		return rows.Err()
	}
	for _, tt := range []struct {
		name string
		run  func(ctx context.Context) error
	}{
		{"a query", func(ctx context.Context) error { return ask(ctx, db) }},
		{"in a transaction", func(ctx context.Context) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer tx.Rollback()
			return ask(ctx, tx)
		}},
		{"on a *sql.Conn", func(ctx context.Context) error {
			c, err := db.Conn(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			return ask(ctx, c)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			p.Cut() // so that the next link is a new one
			p.Rewrite(spoil)
			err := tt.run(ctx)
			if err == nil || !strings.HasPrefix(err.Error(), "psyco:") || !strings.Contains(err.Error(), "panicked") {
				t.Errorf("error %v", err)
			}
			p.Rewrite(nil)
			if got := all(t, db, "SELECT 1"); got[0] != "1" {
				t.Errorf("the next user gets %q", got)
			}
		})
	}
}

// TestRowsThatDoNotFit has a server leave out a column, or say more than it should: no
// NULL comes of it, and nobody meets the connection again.
func TestRowsThatDoNotFit(t *testing.T) {
	for _, dsn := range []string{"", "prepare_threshold=1", "statement_cache_capacity=0", "binary_parameters=yes", "binding=client"} {
		for _, text := range []string{"SELECT 'a', 'b'", "SELECT %s::text, 'b'", "SELECT $1::text, 'b' FROM generate_series(1, 3000)"} {
			t.Run(dsn+"/"+text, func(t *testing.T) {
				p, db, _ := faulty(t, dsn)
				db.SetMaxOpenConns(1)
				for name, row := range map[string]string{
					"a column less":   "\x00\x01\x00\x00\x00\x01a",
					"a column more":   "\x00\x03\x00\x00\x00\x01a\x00\x00\x00\x01b\x00\x00\x00\x01c",
					"trailing bytes":  "\x00\x02\x00\x00\x00\x01a\x00\x00\x00\x01bc",
					"a length below":  "\x00\x02\x00\x00\x00\x01a\xff\xff\xff\xfe",
					"a length beyond": "\x00\x02\x00\x00\x00\x01a\x00\x00\x00\x02b",
				} {
					p.Cut()
					rows := 0
					p.Rewrite(func(_ int, m []byte) faultproxy.Rewrite {
						if m[0] == 'D' && bytes.HasSuffix(m, []byte("b")) {
							if rows++; rows == 1 || rows == 2000 {
								m = append([]byte{'D', 0, 0, 0, byte(4 + len(row))}, row...)
							}
						}
						return faultproxy.Rewrite{Bytes: m}
					})
					var args []any
					if strings.ContainsAny(text, "%$") {
						args = append(args, "a")
					}
					err := scan(db, text, args...)
					if err == nil || !strings.HasPrefix(err.Error(), "psyco:") || !strings.Contains(err.Error(), "protocol error") {
						t.Errorf("%s: error %v", name, err)
					}
					p.Rewrite(nil)
					if err := scan(db, text, args...); err != nil {
						t.Errorf("%s: afterwards: %v", name, err)
					}
				}
			})
		}
	}
}

func scan(h psyco.Handle, text string, args ...any) error {
	rows, err := h.QueryContext(context.Background(), text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var a, b sql.NullString
		if err := rows.Scan(&a, &b); err != nil {
			return err
		}
	}
	return rows.Err()
}
