package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"

	"github.com/lib/pq"
)

// EnvDSN names a server to use instead of starting one: a connection string
// whose user may create databases.
const EnvDSN = "PSYCO_TEST_DSN"

var shared struct {
	mu     sync.Mutex
	server *Server
	err    error
}

// Shared returns the one server of this process, and starts it when it is
// called first. It lives as long as the process. The first of these ways that
// works is taken: PSYCO_TEST_DSN, installed server binaries.
func Shared(ctx context.Context) (*Server, error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil && shared.err == nil {
		server, err := find(ctx)
		if err != nil && ctx.Err() != nil {
			return nil, err // another caller may have more time
		}
		shared.server, shared.err = server, err
	}
	return shared.server, shared.err
}

func find(ctx context.Context) (*Server, error) {
	if dsn := os.Getenv(EnvDSN); dsn != "" {
		return existing(dsn)
	}
	bin, err := findBinaries(os.Getenv("PATH"), serverDirs)
	if err != nil {
		return nil, noServer(err)
	}
	return Start(ctx, Options{BinDir: bin})
}

func noServer(reasons ...error) error {
	return fmt.Errorf(`psycotest: found no PostgreSQL server to test with. Do one of these:
  - set %s to the connection string of a server whose user may create databases
  - install PostgreSQL's server programs, initdb and postgres (apt install postgresql, brew install postgresql)
what was tried:
%w`, EnvDSN, errors.Join(reasons...))
}

// existing returns a server that runs already.
func existing(dsn string) (*Server, error) {
	cfg, err := pq.NewConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("psycotest: %s: %w", EnvDSN, err)
	}
	return &Server{dsn: dsn, port: int(cfg.Port), addr: net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))}, nil
}

// TestDSN returns the connection string of a fresh database on the shared
// server, which is dropped when the test ends.
func TestDSN(t testing.TB) string {
	t.Helper()
	s, err := Shared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dsn, drop, err := s.CreateDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := drop(); err != nil {
			t.Error(err)
		}
	})
	return dsn
}
