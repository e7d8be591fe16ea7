package pgserver

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"testing"
)

// TestPair starts a primary and a standby that streams from it.
func TestPair(t testing.TB) (p, s *Server) {
	t.Helper()
	start := func(o Options) *Server {
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
	p = start(Options{})
	s = start(Options{SkipInitdb: true, Setup: func(dir string) error {
		out, err := p.Command(context.Background(), "pg_basebackup", "-D", dir, "-d", p.DSN(), "-R", "-c", "fast", "--no-sync").CombinedOutput()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			return fmt.Errorf("%w: %s", err, out)
		}
		return err
	}})
	return p, s
}
