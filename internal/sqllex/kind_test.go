package sqllex_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/psyco-go/psyco/internal/sqllex"
)

func TestStatementKinds(t *testing.T) {
	tests := []struct {
		name  string
		is    func(keyword string) bool
		words string // those of which it is true
	}{
		{"a cursor's", sqllex.MayBeCursor, "SELECT TABLE VALUES WITH"},
		{"a query", sqllex.IsQuery, "SELECT TABLE VALUES WITH INSERT UPDATE MERGE DELETE"},
		{"stores values", sqllex.StoresValues, "WITH INSERT UPDATE MERGE"},
		{"takes parameters", sqllex.TakesParameters, "SELECT TABLE VALUES WITH INSERT UPDATE MERGE DELETE DECLARE EXPLAIN CALL"},
		{"takes expressions", sqllex.TakesExpressions, "SELECT TABLE VALUES WITH INSERT UPDATE MERGE DELETE DECLARE EXPLAIN CALL PREPARE EXECUTE"},
		{"may commit", sqllex.MayCommit, "DECLARE EXPLAIN CALL PREPARE EXECUTE RESET IMPORT DO DISCARD COMMIT ROLLBACK END BEGIN VACUUM COPY REINDEX "},
		{"changes names", sqllex.ChangesNames, "CREATE ALTER DROP IMPORT DO CALL DISCARD ROLLBACK COMMIT"},
		{"reads only", sqllex.ReadsOnly, "SELECT TABLE VALUES"},
	}
	words := strings.Fields(`SELECT TABLE VALUES WITH INSERT UPDATE MERGE DELETE DECLARE EXPLAIN CALL PREPARE EXECUTE CREATE ALTER DROP TRUNCATE
		GRANT REVOKE COMMENT NOTIFY SET RESET IMPORT DO DISCARD COMMIT ROLLBACK END BEGIN VACUUM COPY REINDEX`)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := strings.Fields(tt.words)
			for _, word := range words {
				if got := tt.is(word); got != slices.Contains(want, word) {
					t.Errorf("%s: %v", word, got)
				}
			}
		})
	}
}

func TestExplainsUtility(t *testing.T) {
	for text, want := range map[string]bool{
		"EXPLAIN SELECT 1": false, "explain analyze verbose execute p": true, "EXPLAIN (COSTS off, ANALYZE) EXECUTE p": true,
		"EXPLAIN CREATE TABLE t AS SELECT 1": true, "EXPLAIN (VERBOSE) REFRESH MATERIALIZED VIEW v": true, "EXPLAIN": false,
	} {
		if got := sqllex.ExplainsUtility(text); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
