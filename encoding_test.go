package psyco_test

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"testing"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
)

// TestUnsafeClientEncoding: under an encoding in which a byte of UTF-8 and a backslash
// make one character, no value gets into the text of a statement or of COPY.
func TestUnsafeClientEncoding(t *testing.T) {
	const value = `Ã\' OR true --` // its second byte and the backslash are one character in SJIS
	run := map[string]func(c *sql.Conn) error{
		"query": func(c *sql.Conn) error {
			return second(c.ExecContext(t.Context(), "SELECT %s::text", value))
		},
		"native query": func(c *sql.Conn) error {
			return second(c.ExecContext(t.Context(), "SELECT $1::text", value))
		},
		"utility statement": func(c *sql.Conn) error {
			return second(c.ExecContext(t.Context(), "COMMENT ON TABLE t IS %s", value))
		},
		"COPY of a query": func(c *sql.Conn) error {
			return second(psyco.CopyTo(t.Context(), c, new(strings.Builder), "COPY (SELECT %s::text) TO STDOUT", value))
		},
		"CopyRows in text": func(c *sql.Conn) error {
			return second(psyco.CopyRows(t.Context(), c, psyco.Identifier{"t"}, []string{"k"}, psyco.SliceRows([][]any{{value}}), psyco.CopyTextFormat()))
		},
		"pq.CopyIn": func(c *sql.Conn) error {
			//lint:ignore SA1019 programs use it
			return second(c.PrepareContext(t.Context(), pq.CopyIn("t", "k")))
		},
		"CopyRows in binary": func(c *sql.Conn) error {
			return second(psyco.CopyRows(t.Context(), c, psyco.Identifier{"t"}, []string{"k"}, psyco.SliceRows([][]any{{"a"}})))
		},
	}
	refused := []string{"utility statement", "COPY of a query", "CopyRows in text", "pq.CopyIn"}
	for _, tt := range []struct {
		encoding string
		unsafe   bool
	}{
		{"SJIS", true}, {"BIG5", true}, {"GBK", true}, {"GB18030", true}, {"UHC", true}, {"JOHAB", true}, {"SHIFT_JIS_2004", true},
		{"UTF8", false}, {"LATIN1", false}, {"EUC_JP", false}, {"WIN1252", false}, {"KOI8R", false}, {"ISO_8859_5", false}, {"SQL_ASCII", false},
	} {
		for _, dsn := range []string{"", " binding=client"} {
			t.Run(tt.encoding+dsn, func(t *testing.T) {
				t.Parallel()
				db := open(t, sameDatabase(t, testDB(t))+dsn)
				mustExec(t, db, "CREATE TABLE t (k text)")
				for name, f := range run {
					c := mustConn(t, db)
					if _, err := c.ExecContext(context.Background(), "SET client_encoding TO '"+tt.encoding+"'"); err != nil {
						t.Fatal(err)
					}
					err := f(c)
					got := err != nil && strings.HasPrefix(err.Error(), "psyco: client_encoding is "+tt.encoding)
					if want := tt.unsafe && (slices.Contains(refused, name) || dsn != "" && strings.HasSuffix(name, "query")); got != want {
						t.Errorf("%s: %v", name, err)
					}
					c.ExecContext(context.Background(), "RESET client_encoding")
					c.Close()
				}
			})
		}
	}
}
