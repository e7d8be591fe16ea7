package psyco_test

import (
	"testing"

	"github.com/psyco-go/psyco/internal/testdb"
)

// What the tests of all packages share, by the names of this one.
var (
	inModes, wrapped              = testdb.InModes, testdb.Wrapped
	open, openDB, testDB          = testdb.Open, testdb.OpenDB, testdb.New
	sameDatabase                  = testdb.SameDatabase
	mustExec, mustBegin, mustConn = testdb.MustExec, testdb.MustBegin, testdb.MustConn
	all, scanAll, code, stats     = testdb.All, testdb.ScanAll, testdb.Code, testdb.Stats
	whenWaiting                   = testdb.WhenWaiting
	faulty, pingPastCut           = testdb.Faulty, testdb.PingPastCut
	rowsWithKey, roundTrips       = testdb.RowsWithKey, testdb.RoundTrips
)

// second is the error of a call with two results.
func second[T any](_ T, err error) error { return err }

// TestMain fails if the tests leave a goroutine of the package behind.
func TestMain(m *testing.M) { testdb.Main(m) }
