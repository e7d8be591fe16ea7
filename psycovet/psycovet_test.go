package psycovet_test

import (
	"os"
	"testing"

	_ "github.com/jmoiron/sqlx" // of the packages in testdata
	"golang.org/x/tools/go/analysis/analysistest"

	"github.com/psyco-go/psyco/psycovet"
)

func check(t *testing.T, pkg string) {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	analysistest.Run(t, dir, psycovet.Analyzer, "./testdata/"+pkg)
}

func TestWrongQueries(t *testing.T)   { check(t, "wrong") }
func TestRightQueries(t *testing.T)   { check(t, "right") }
func TestWrappers(t *testing.T)       { check(t, "wrappers/...") }
func TestOtherDatabases(t *testing.T) { check(t, "handles"); check(t, "sqlite") }
func TestSqlx(t *testing.T)           { check(t, "sqlxs") }
func TestAllow(t *testing.T)          { check(t, "allow") }

func TestSuggestedFixes(t *testing.T) {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	analysistest.RunWithSuggestedFixes(t, dir, psycovet.Analyzer, "./testdata/fixes")
}

// With -known, the queries of a database are left alone of which nothing is known.
func TestOnlyKnownDatabases(t *testing.T) {
	if err := psycovet.Analyzer.Flags.Set("known", "true"); err != nil {
		t.Fatal(err)
	}
	defer psycovet.Analyzer.Flags.Set("known", "false")
	check(t, "known")
}
