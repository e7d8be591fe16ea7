// Package bulk tests, by the public API, what moves many values at once:
// ExecMany and ExecValues, batches, COPY, large objects. All of it arrives or
// nothing, wherever it fails.
package bulk_test

import (
	"testing"

	"github.com/psyco-go/psyco/internal/testdb"
)

// What the tests of all packages share, by the names of this one.
var (
	inModes, wrapped              = testdb.InModes, testdb.Wrapped
	open, openDB, testDB          = testdb.Open, testdb.OpenDB, testdb.New
	sameDatabase, argRows, listed = testdb.SameDatabase, testdb.Rows, testdb.RowsOf
	mustExec, mustBegin, mustConn = testdb.MustExec, testdb.MustBegin, testdb.MustConn
	all, code                     = testdb.All, testdb.Code
	roundTrips, whenWaiting       = testdb.RoundTrips, testdb.WhenWaiting
	faulty, eachCut, pingPastCut  = testdb.Faulty, testdb.EachCut, testdb.PingPastCut
	rowsWithKey, txStatus         = testdb.RowsWithKey, testdb.TxStatus
	copyConn, equalRows           = testdb.OneConn, testdb.EqualRows
	terminateOthers, others       = testdb.TerminateOthers, testdb.Others
)

type (
	readerFunc = testdb.ReaderFunc
	writerFunc = testdb.WriterFunc
)

const bulkRows = testdb.BulkRows

// second is the error of a call with two results.
func second[T any](_ T, err error) error { return err }

// TestMain fails if the tests leave a goroutine of the package behind.
func TestMain(m *testing.M) { testdb.Main(m) }
