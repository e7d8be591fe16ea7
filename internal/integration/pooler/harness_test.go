// Package pooler tests psyco behind pgbouncer. It uses the public API only.
package pooler_test

import (
	"testing"

	"github.com/psyco-go/psyco/internal/testdb"
)

// What the tests of all packages share, by the names of this one.
var (
	open, all, code, stats        = testdb.Open, testdb.All, testdb.Code, testdb.Stats
	listed                        = testdb.RowsOf
	mustExec, mustBegin, mustConn = testdb.MustExec, testdb.MustBegin, testdb.MustConn
)

// TestMain fails if the tests leave a goroutine of the package behind.
func TestMain(m *testing.M) { testdb.Main(m) }
