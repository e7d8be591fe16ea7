package sqllex_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/psyco-go/psyco/internal/sqllex"
)

func TestTables(t *testing.T) {
	for text, want := range map[string]string{
		"":         "",
		"SELECT 1": "",
		"SELECT * FROM a JOIN s.b ON true, (SELECT 1 FROM \"C d\") x": `a|s.b|"C d"`,
		"SELECT * FROM a, b":                                   "a", // those behind a comma could be anything
		"INSERT INTO a SELECT * FROM ONLY b":                   "a|b",
		"CREATE TABLE IF NOT EXISTS s . a (b int)":             "s", // what is behind the space is not read
		"SELECT 'FROM a', $$ FROM b $$ -- FROM c":              "",
		"SELECT * FROM":                                        "",
		"SELECT a IS DISTINCT FROM b FOR UPDATE":               "",
		"UPDATE a SET b = 1; COPY c FROM STDIN; TABLE a":       "a|c|a",
		"INSERT INTO a VALUES (1) ON CONFLICT DO UPDATE SET b": "a",
	} {
		if got := strings.Join(slices.Collect(sqllex.Tables(text)), "|"); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for range sqllex.Tables("SELECT * FROM a JOIN b ON true") { // can be left
		break
	}
}
