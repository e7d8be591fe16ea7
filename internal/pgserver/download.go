package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// downloadVersion is the newest one of the release that the Docker image is of.
const downloadVersion = embeddedpostgres.V17

// download returns the directory of server programs in cache, and fetches
// them on first use: from repository, or from the library's own if that is
// empty. announce is called before.
//
// The library can only fetch what it then starts; its server stays in a
// guard's directory, so that this too leaves nothing behind after a kill.
func download(ctx context.Context, repository, cache string, announce func(string)) (bin string, err error) {
	if os.Geteuid() == 0 {
		return "", errors.New("server programs are not downloaded for root, because the server does not run as root")
	}
	home := filepath.Join(cache, "postgresql-"+string(downloadVersion))
	bin = filepath.Join(home, "bin")
	if _, ok := serverBinaries(bin); ok {
		return bin, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(ctx, home+".lock")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if _, ok := serverBinaries(bin); ok {
		return bin, nil // another process has fetched them
	}
	g, err := startGuard("", cache, nil, nil)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, g.close()) }()

	port, err := freePort()
	if err != nil {
		return "", err
	}
	fetched := filepath.Join(g.dir, "server")
	config := embeddedpostgres.DefaultConfig().
		Version(downloadVersion).
		Port(uint32(port)).
		CachePath(filepath.Join(g.dir, "archive")).
		RuntimePath(filepath.Join(g.dir, "run")).
		DataPath(filepath.Join(g.dir, "data")).
		BinariesPath(fetched).
		Locale("C").
		Encoding("UTF8").
		StartParameters(map[string]string{"unix_socket_directories": ""}).
		Logger(nil)
	from := "the default repository of github.com/fergusstrange/embedded-postgres"
	if repository != "" {
		config = config.BinaryRepositoryURL(repository)
		from = repository
	}
	defer removeLibraryLogs(libraryLogs())
	announce(fmt.Sprintf("downloading PostgreSQL %s from %s to %s", downloadVersion, from, home))
	if err := startAndStop(ctx, embeddedpostgres.NewDatabase(config)); err != nil {
		return "", fmt.Errorf("cannot download PostgreSQL %s from %s: %w", downloadVersion, from, err)
	}
	return bin, os.Rename(fetched, home)
}

// startAndStop ends early with ctx; what it leaves then, the guard takes away.
func startAndStop(ctx context.Context, server *embeddedpostgres.EmbeddedPostgres) error {
	done := make(chan error, 1)
	go func() {
		if err := server.Start(); err != nil {
			done <- err
			return
		}
		done <- server.Stop()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// freePort returns a TCP port of the loopback address that nobody uses now.
func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// libraryLogs lists the log files that the library makes among the temporary
// files.
func libraryLogs() []string {
	logs, _ := filepath.Glob(filepath.Join(os.TempDir(), "embedded_postgres_log*"))
	return logs
}

// removeLibraryLogs removes the log files that the library has left since.
func removeLibraryLogs(before []string) {
	for _, log := range libraryLogs() {
		if !slices.Contains(before, log) {
			os.Remove(log)
		}
	}
}
