// Package psycotest brings a PostgreSQL server to tests and examples.
//
// DB gives a test an empty database of its own:
//
//	func TestStore(t *testing.T) {
//		db := psycotest.DB(t)
//		…
//	}
//
// A Template gives it a copy of one that was filled before, once for all tests;
// SQL and CSV fill databases from files.
//
// A process has one server, which is found or started on first use. The first
// of these ways is taken:
//
//   - PSYCO_TEST_DSN, the connection string of a server whose user may create
//     databases;
//   - server programs, initdb and postgres, in the directory that PSYCO_TEST_BIN names;
//   - installed ones: on PATH, else the newest version in the places where packages
//     put them;
//   - Docker, if the program imports psycotest/dockerpg: with the image that
//     PSYCO_TEST_IMAGE names, else postgres:17;
//   - a download of server programs, kept in the user's cache directory.
//     PSYCO_TEST_DOWNLOAD is the URL of another Maven repository to take them from,
//     or "off".
//
// Where none works, one error lists them and says why. What takes long is announced on
// standard error: at once in a program, in a test when it has taken three seconds.
// A server that was
// started here runs with durability off, listens on a Unix socket and the
// loopback address only, and is gone, files included, when the process has
// ended: also after kill -9.
//
// Mock needs no server: it puts sqlmock behind psyco.
package psycotest

import (
	"context"
	"database/sql"
	"sync"
	"testing"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
)

// Server is a PostgreSQL server that the process shares. It is safe for concurrent use.
type Server struct {
	server  *pgserver.Server
	options openOptions
	release func() error
}

// Open returns the process's server, and finds or starts it if there is none
// yet. ctx ends the search, not the server.
func Open(ctx context.Context, options ...OpenOption) (*Server, error) {
	var o openOptions
	for _, option := range options {
		option(&o)
	}
	return open(ctx, o)
}

func open(ctx context.Context, o openOptions) (*Server, error) {
	if o.image != "" {
		s, release, err := pgserver.SharedImage(ctx, o.image)
		if err != nil {
			return nil, err
		}
		return &Server{server: s, options: o, release: sync.OnceValue(release)}, nil
	}
	s, err := pgserver.Shared(ctx)
	if err != nil {
		return nil, err
	}
	return &Server{server: s, options: o, release: sync.OnceValue(pgserver.Release)}, nil
}

// An OpenOption says which server [Open] returns.
type OpenOption func(*openOptions)

type openOptions struct{ image string }

// Image asks for a server in Docker that runs an image, such as "postgres:16",
// whatever other servers there are: for tests on several versions of
// PostgreSQL. A process has one server for each image. The image must
// behave like the official ones; it is pulled if the engine does not have it. The program
// has to import psycotest/dockerpg, which brings Docker's client.
func Image(name string) OpenOption {
	return func(o *openOptions) { o.image = name }
}

// DSN is the connection string of the database postgres, for a user who may
// create databases and roles. psyco, lib/pq, libpq and its programs understand
// it.
func (s *Server) DSN() string { return s.server.DSN() }

// NewDatabase makes an empty database and returns its connection string. drop
// removes it, together with the connections that are still open on it.
func (s *Server) NewDatabase(ctx context.Context) (dsn string, drop func() error, err error) {
	return s.server.CreateDatabase(ctx)
}

// DB returns an empty database of the test's own on this server, which is closed
// and dropped when the test ends. Until then the server stays, even if s is closed
// before.
func (s *Server) DB(t testing.TB, options ...psyco.Option) *sql.DB {
	t.Helper()
	share, err := open(t.Context(), s.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := share.Close(); err != nil {
			t.Error(err)
		}
	})
	return openTest(t, pgserver.TestDatabase(t, share.server.CreateDatabase), options)
}

// Close stops a server that was started here and removes its files, once
// everybody who opened it has closed it; tests that used [DB] or [DSN] keep it
// until the process ends. A second Close does nothing.
func (s *Server) Close() error { return s.release() }

// DB returns an empty database of the test's own, which is closed and dropped
// when the test ends, or emptied for another test. Tests may run in parallel. The
// test fails where there is no server.
func DB(t testing.TB, options ...psyco.Option) *sql.DB {
	t.Helper()
	return openTest(t, DSN(t), options)
}

// openTest opens a database that is dropped after it was closed.
func openTest(t testing.TB, dsn string, options []psyco.Option) *sql.DB {
	t.Helper()
	connector, err := psyco.NewConnector(dsn, options...)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// DSN is [DB] for tests that open the database themselves: it returns the
// connection string.
func DSN(t testing.TB) string {
	t.Helper()
	return pgserver.TestDSN(t)
}
