package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestPair starts a primary and a standby that streams from it.
func TestPair(t testing.TB) (p, s *Server) {
	t.Helper()
	p = TestServer(t, Options{})
	return p, TestStandbyOf(t, p, nil)
}

// TestServer starts a server of its own, which is closed at the end of the test.
func TestServer(t testing.TB, o Options) *Server {
	t.Helper()
	server, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// TestStandbyOf starts a standby that streams from p, which is restarted for that.
func TestStandbyOf(t testing.TB, p *Server, settings map[string]string) *Server {
	t.Helper()
	return TestServer(t, Options{Settings: settings, SkipInitdb: true, Setup: func(dir string) error { return copyForStandby(p, dir) }})
}

// copyForStandby copies a primary, which stops meanwhile: not every installation has
// pg_basebackup.
func copyForStandby(p *Server, dir string) error {
	if err := p.Stop(Fast); err != nil {
		return err
	}
	if err := errors.Join(os.CopyFS(dir, os.DirFS(p.DataDir())), p.Restart(context.Background())); err != nil {
		return err
	}
	conf, err := os.OpenFile(filepath.Join(dir, "postgresql.auto.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	// Where a primary is gone or another one, the server would wait for 5 s before each try.
	_, err = fmt.Fprintf(conf, "primary_conninfo = '%s'\nwal_retrieve_retry_interval = '100ms'\n", p.DSN())
	return errors.Join(err, conf.Close(), os.WriteFile(filepath.Join(dir, "standby.signal"), nil, 0o600))
}
