// Package integration tests what psyco promises where more than one of its
// parts, or a network and a server that fail, come together. It uses the public
// API only.
package integration_test

import (
	"testing"

	"github.com/psyco-go/psyco/internal/testdb"
)

// What the tests of all packages share, by the names of this one.
var (
	inModes, wrapped              = testdb.InModes, testdb.Wrapped
	open, testDB                  = testdb.Open, testdb.New
	sameDatabase, argRows         = testdb.SameDatabase, testdb.Rows
	mustExec, mustBegin, mustConn = testdb.MustExec, testdb.MustBegin, testdb.MustConn
	all, code, stats              = testdb.All, testdb.Code, testdb.Stats
	whenWaiting                   = testdb.WhenWaiting
	faulty, eachCut               = testdb.Faulty, testdb.EachCut
	rowsWithKey, txStatus         = testdb.RowsWithKey, testdb.TxStatus
	bareEnvironment               = testdb.BareEnvironment
	terminateOthers               = testdb.TerminateOthers
)

type (
	readerFunc = testdb.ReaderFunc
	writerFunc = testdb.WriterFunc
)

// second is the error of a call with two results.
func second[T any](_ T, err error) error { return err }

// TestMain fails if the tests leave a goroutine of the package behind.
func TestMain(m *testing.M) { testdb.Main(m) }
