package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// downloadVersion is the newest one of the release that the Docker image is of.
const downloadVersion = embeddedpostgres.V17

// downloadSize is that of its archive, which differs between systems.
const downloadSize = "10 to 30 MB"

// download returns the directory of server programs in cache, and fetches
// them on first use: from repository, or from the library's own if that is
// empty.
//
// The library can only fetch what it then starts, which root must not. Its server gets a
// data directory that cannot be made, so that it ends when the programs are there, and
// Start runs them, for root as another user.
func download(ctx context.Context, repository, cache string, announce Announcer) (bin string, err error) {
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
	g, err := startGuard("", cache, nil, nil) // so that nothing is left behind after a kill
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, g.close()) }()

	port, err := freePort()
	if err != nil {
		return "", err
	}
	fetched, extracted, file := filepath.Join(g.dir, "server"), filepath.Join(g.dir, "run"), filepath.Join(g.dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return "", err
	}
	config := embeddedpostgres.DefaultConfig().
		Version(downloadVersion).
		Port(uint32(port)).
		CachePath(filepath.Join(g.dir, "archive")).
		RuntimePath(extracted). // made when all programs are there
		DataPath(filepath.Join(file, "data")).
		BinariesPath(fetched).
		Logger(nil)
	from := "the default repository of github.com/fergusstrange/embedded-postgres"
	if repository != "" {
		config = config.BinaryRepositoryURL(repository)
		from = repository
	}
	defer removeLibraryLogs(libraryLogs())
	defer announce("downloading PostgreSQL %s, %s, from %s to %s", downloadVersion, downloadSize, from, home)()
	err = fetch(ctx, embeddedpostgres.NewDatabase(config))
	if _, unfinished := os.Stat(extracted); unfinished != nil {
		return "", fmt.Errorf("cannot download PostgreSQL %s from %s: %w", downloadVersion, from, err)
	}
	return bin, errors.Join(letRead(fetched), os.Rename(fetched, home))
}

// fetch ends early with ctx; what it leaves then, the guard takes away.
func fetch(ctx context.Context, server *embeddedpostgres.EmbeddedPostgres) error {
	done := make(chan error, 1)
	go func() { done <- server.Start() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// letRead lets every user read the files below dir that one may, whatever the umask: the
// server may run as another one.
func letRead(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm()
		read := mode >> 6 & 0o5 // what its owner may, but for writing
		return os.Chmod(path, mode|read<<3|read)
	})
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
