// Package connect tests how psyco connects and logs in: hosts, TLS, authentication,
// what a hostile server gets, and listeners that lose their connection. It uses the public API only.
package connect_test

import (
	"context"
	"crypto/tls"
	"database/sql/driver"
	"fmt"
	"net"
	"testing"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/dial/dialtest"
	"github.com/psyco-go/psyco/internal/testdb"
)

// What the tests of connecting share, by the names of this package.
var (
	withTLS, withoutTLS, tcp = dialtest.WithTLS, dialtest.WithoutTLS, dialtest.TCP
	makeCerts, certs         = dialtest.MakeCerts, &dialtest.Certs
	installCert              = dialtest.InstallCert
	fakeServer, closedPort   = dialtest.FakeServer, dialtest.ClosedPort
	readPacket, silence      = dialtest.ReadPacket, dialtest.Silence
	message, errorMessage    = dialtest.Message, dialtest.ErrorMessage
	welcome, answer          = dialtest.Welcome, dialtest.Answer
	isSSLRequest             = dialtest.IsSSLRequest
	open, testDB, inModes    = testdb.Open, testdb.New, testdb.InModes
	mustExec, mustBegin, all = testdb.MustExec, testdb.MustBegin, testdb.All
	sameDatabase, txStatus   = testdb.SameDatabase, testdb.TxStatus
	roundTrips               = testdb.RoundTrips
	bareEnvironment          = testdb.BareEnvironment
	leftovers                = testdb.Leftovers
)

type writerFunc = testdb.WriterFunc

const usesTLS = dialtest.UsesTLS

// TestMain fails if the tests leave a goroutine of the package behind.
func TestMain(m *testing.M) { testdb.Main(m) }

// dialer is what a test connects with. The fields but cfg are what options set.
type dialer struct {
	cfg            *psyco.Config
	dial           psyco.DialFunc // nil: psyco's own
	tls            *tls.Config
	password       func(ctx context.Context, cfg *psyco.Config, host psyco.Host) (string, error)
	oauthToken     func(ctx context.Context, r psyco.OAuthRequest) (string, error)
	onNotice       func(*pq.Error)
	onNotification func(*pq.Notification)
}

// newDialer returns a dialer for dsn. When the test ends, every socket that
// its dials opened must have been closed.
func newDialer(t *testing.T, dsn string) *dialer {
	t.Helper()
	// Files of the user who runs the tests must not matter.
	t.Setenv("HOME", t.TempDir())
	t.Setenv("APPDATA", t.TempDir())
	con, err := psyco.NewConnector(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return &dialer{cfg: con.Config(), dial: dialtest.CountSockets(t, new(net.Dialer).DialContext)}
}

// connect opens a session.
func (d *dialer) connect(ctx context.Context) (*session, error) {
	var opts []psyco.Option
	if d.dial != nil {
		opts = append(opts, psyco.WithDialer(d.dial))
	}
	if d.tls != nil {
		opts = append(opts, psyco.WithTLSConfig(d.tls))
	}
	if d.password != nil {
		opts = append(opts, psyco.WithPassword(d.password))
	}
	if d.oauthToken != nil {
		opts = append(opts, psyco.WithOAuthToken(d.oauthToken))
	}
	if d.onNotice != nil {
		opts = append(opts, psyco.WithNoticeHandler(d.onNotice))
	}
	if d.onNotification != nil {
		opts = append(opts, psyco.WithNotificationHandler(d.onNotification))
	}
	con, err := psyco.NewConnectorConfig(d.cfg, opts...)
	if err != nil {
		return nil, err
	}
	c, err := con.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &session{c}, nil
}

// session is an open connection.
type session struct{ base driver.Conn }

// mustConnect opens a session that is closed when the test ends.
func mustConnect(t *testing.T, d *dialer) *session {
	t.Helper()
	s, err := d.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.base.Close() })
	return s
}

// mustQuery returns the first column of the first row.
func mustQuery(t *testing.T, s *session, query string) string {
	t.Helper()
	rows, err := s.base.(driver.QueryerContext).QueryContext(context.Background(), query, nil)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	row := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(row); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if b, ok := row[0].([]byte); ok {
		return string(b)
	}
	return fmt.Sprint(row[0])
}

func mustRun(t *testing.T, s *session, sql string) {
	t.Helper()
	if _, err := s.base.(driver.ExecerContext).ExecContext(t.Context(), sql, nil); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// portOf is the port of the server that s is connected to.
func portOf(t *testing.T, s *session) string {
	t.Helper()
	return mustQuery(t, s, "SHOW port")
}
