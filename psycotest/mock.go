package psycotest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"testing"

	"github.com/DATA-DOG/go-sqlmock"

	"github.com/psyco-go/psyco"
)

// Mock returns a database without a server: psyco on top of sqlmock. An
// expectation is met by the query as the code under test writes it, "id = %s",
// and by what psyco makes of it: "id = $1", "= ANY($1)" for "IN %s". Arguments
// are the converted ones. Nothing is prepared that the code under test does
// not prepare.
//
// Other than sqlmock's own, an expected query is compared as text, white space
// aside, and not as a regular expression, in which $1 would need escaping;
// [MatchQueries] changes that. When the test ends, expectations that were not met
// are reported as errors, unless it has failed already, and the database is
// closed.
func Mock(t testing.TB, options ...MockOption) (*sql.DB, sqlmock.Sqlmock) {
	t.Helper()
	o := mockOptions{matcher: sqlmock.QueryMatcherEqual}
	for _, option := range options {
		option(&o)
	}
	m := &mockMatcher{matcher: o.matcher, written: map[string][]string{}}
	dsn := "psycotest_" + rand.Text()
	// sqlmock hands out connections through its driver, by name. Its own
	// database keeps the name alive.
	own, mock, err := sqlmock.NewWithDSN(dsn, sqlmock.QueryMatcherOption(m), sqlmock.MonitorPingsOption(o.pings))
	if err != nil {
		t.Fatal("psycotest: ", err)
	}
	db := sql.OpenDB(psyco.Wrap(mockConnector{dsn, own.Driver(), m}, o.psyco...))
	t.Cleanup(func() {
		if !t.Failed() {
			if err := mock.ExpectationsWereMet(); err != nil {
				t.Error("psycotest: ", err)
			}
		}
		// sqlmock calls a Close that was not expected an error. Ours is not
		// the test's.
		_ = db.Close()
		_ = own.Close()
	})
	return db, mock
}

var _ driver.Connector = mockConnector{}

// mockConnector opens sqlmock's connections.
type mockConnector struct {
	dsn     string
	driver  driver.Driver
	matcher *mockMatcher
}

func (c mockConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	return mockConn{conn.(sqlmockConn), c.matcher}, nil
}

func (c mockConnector) Driver() driver.Driver { return c.driver }

// sqlmockConn is what sqlmock's connections can do.
type sqlmockConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.NamedValueChecker
	driver.Pinger
}

// mockConn is told by psyco what the queries were that it rewrote.
type mockConn struct {
	sqlmockConn
	matcher *mockMatcher
}

func (c mockConn) ObserveRewrite(written, sent string) { c.matcher.observe(written, sent) }

// A MockOption changes what [Mock] returns. It takes the place of sqlmock's own
// options, whose type other packages cannot name.
type MockOption func(*mockOptions)

type mockOptions struct {
	matcher sqlmock.QueryMatcher
	pings   bool
	psyco   []psyco.Option
}

// MatchQueries compares expected with actual queries by m, for example
// sqlmock.QueryMatcherRegexp: with the query as it was sent and, if that does
// not match, as it was written.
func MatchQueries(m sqlmock.QueryMatcher) MockOption {
	return func(o *mockOptions) { o.matcher = m }
}

// MonitorPings makes every Ping one that must be expected.
func MonitorPings() MockOption {
	return func(o *mockOptions) { o.pings = true }
}

// DriverOptions gives psyco options, such as a type map.
func DriverOptions(options ...psyco.Option) MockOption {
	return func(o *mockOptions) { o.psyco = append(o.psyco, options...) }
}
