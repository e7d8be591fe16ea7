// Package values tests, by the public API, that values and statements mean the
// same in every way to the server: beside lib/pq, decoded directly or by Scan,
// after the schema has changed, with types that the server has to infer.
package values_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/psyco-go/psyco/internal/testdb"
)

// What the tests of all packages share, by the names of this one.
var (
	inModes, wrapped              = testdb.InModes, testdb.Wrapped
	open, testDB                  = testdb.Open, testdb.New
	sameDatabase                  = testdb.SameDatabase
	mustExec, mustBegin, mustConn = testdb.MustExec, testdb.MustBegin, testdb.MustConn
	all, scanAll, code, stats     = testdb.All, testdb.ScanAll, testdb.Code, testdb.Stats
	roundTrips                    = testdb.RoundTrips
)

// second is the error of a call with two results.
func second[T any](_ T, err error) error { return err }

// equalNaN is reflect.DeepEqual, but for NaN.
func equalNaN(a, b any) bool {
	return reflect.DeepEqual(a, b) || strings.Contains(fmt.Sprint(a), "NaN") && fmt.Sprintf("%#v", a) == fmt.Sprintf("%#v", b)
}

// TestMain fails if the tests leave a goroutine of the package behind.
func TestMain(m *testing.M) { testdb.Main(m) }
