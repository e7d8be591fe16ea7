package pgserver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/lib/pq"
)

// The environment variables that steer where a server comes from.
const (
	// EnvDSN is the connection string of a server to use instead of starting
	// one. Its user must be allowed to create databases.
	EnvDSN = "PSYCO_TEST_DSN"
	// EnvBin is the directory of the server programs to start, initdb and postgres.
	EnvBin = "PSYCO_TEST_BIN"
	// EnvImage is the Docker image to run; default DefaultImage.
	EnvImage = "PSYCO_TEST_IMAGE"
	// EnvDownload is the URL of the Maven repository to download server
	// programs from, or "off".
	EnvDownload = "PSYCO_TEST_DOWNLOAD"
)

// DefaultImage is the Docker image that runs when PSYCO_TEST_IMAGE is not set.
const DefaultImage = "postgres:17"

// Shared returns the one server of this process, and starts it when it is
// called first. It lives until Release has been called as often as Shared, or
// the process ends. The first of these ways that works is taken:
// PSYCO_TEST_DSN, the server programs in PSYCO_TEST_BIN, installed ones, a Docker
// image if RegisterImages has been called, a download of server programs. If a
// variable is set, or server programs are installed, only that way is tried.
func Shared(ctx context.Context) (*Server, error) { return shared.get(ctx) }

// Release takes back one successful call of Shared.
func Release() error { return shared.release() }

var shared = sharing{find: func(ctx context.Context) (*Server, error) { return waysFromEnvironment().find(ctx) }}

// SharedImage is Shared for a server of a Docker image, whatever else there
// is: this process has one for each image. release takes one call back.
func SharedImage(ctx context.Context, image string) (s *Server, release func() error, err error) {
	images.mu.Lock()
	of := images.of[image]
	if of == nil {
		of = &sharing{find: func(ctx context.Context) (*Server, error) { return waysFromEnvironment().findImage(ctx, image) }}
		images.of[image] = of
	}
	images.mu.Unlock()
	s, err = of.get(ctx)
	return s, of.release, err
}

// images are the servers that run for the sake of their image.
var images = struct {
	mu sync.Mutex
	of map[string]*sharing
}{of: map[string]*sharing{}}

// sharing counts the users of one server.
type sharing struct {
	find func(context.Context) (*Server, error)

	mu     sync.Mutex
	users  int
	server *Server
	err    error // of find: there is no use in trying again
}

func (s *sharing) get(ctx context.Context) (*Server, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if s.server == nil {
		server, err := s.find(ctx)
		if err != nil {
			if ctx.Err() == nil { // else another caller may have more time
				s.err = err
			}
			return nil, err
		}
		s.server = server
	}
	s.users++
	return s.server, nil
}

func (s *sharing) release() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users > 0 {
		return nil
	}
	server := s.server
	s.server = nil
	return server.Close()
}

// An ImageRunner starts a server in a container of an image.
type ImageRunner func(ctx context.Context, image string, announce Announcer) (*Server, error)

var runImage ImageRunner

// RegisterImages makes a way to run images known. Packages that bring one call it when
// the program is initialized.
func RegisterImages(run ImageRunner) { runImage = run }

// ImagesImport is the package whose import brings the way to run images.
const ImagesImport = "github.com/psyco-go/psyco/psycotest/dockerpg"

var errNoImageRunner = fmt.Errorf("this program cannot run Docker images, because nothing in it imports _ %q", ImagesImport)

// ways is where a server can come from.
type ways struct {
	dsn string
	places
	runImage   ImageRunner // nil: none is linked in
	image      string      // "": DefaultImage
	repository string      // of downloads; "": the library's own, "off": none
	cache      string      // for what is downloaded; "": see account.cacheDir
	announce   Announcer
}

func waysFromEnvironment() ways {
	return ways{
		dsn:        os.Getenv(EnvDSN),
		places:     placesFromEnvironment(),
		runImage:   runImage,
		image:      os.Getenv(EnvImage),
		repository: os.Getenv(EnvDownload),
		announce:   announce,
	}
}

func (w ways) find(ctx context.Context) (*Server, error) {
	if w.dsn != "" {
		return existing(w.dsn)
	}
	bin, noBinaries := w.places.find()
	if noBinaries == nil {
		return Start(ctx, Options{BinDir: bin})
	}
	if w.bin != "" {
		return nil, fmt.Errorf("psycotest: %w", noBinaries)
	}
	image := w.image
	if image == "" {
		image = DefaultImage
	}
	server, noImage := w.startImage(ctx, image)
	if noImage == nil {
		return server, nil
	}
	noDownload := errors.New("nothing is downloaded, because " + EnvImage + " asks for an image")
	if w.image == "" || w.runImage != nil {
		if bin, noDownload = w.download(ctx); noDownload == nil {
			return Start(ctx, Options{BinDir: bin})
		}
	}
	docker := fmt.Sprintf("start Docker; %s names another image than %s", EnvImage, DefaultImage)
	if w.runImage == nil {
		docker = fmt.Sprintf("start Docker, and import _ %q in a file of this package", ImagesImport)
	}
	return nil, fmt.Errorf(`psycotest: found no PostgreSQL server. Do one of these:
  - set %s to the connection string of a server whose user may create databases
  - install PostgreSQL's server programs, initdb and postgres, or set %s to the directory that holds them
  - %s
  - let this program download server programs; %s names another Maven repository to take them from
What was tried:
%w`, EnvDSN, EnvBin, docker, EnvDownload, errors.Join(noBinaries, noImage, noDownload))
}

func (w ways) download(ctx context.Context) (bin string, err error) {
	if w.repository == "off" {
		return "", fmt.Errorf("%s turns the download of server programs off", EnvDownload)
	}
	cache := w.cache
	if cache == "" {
		account, err := serverAccount()
		if err != nil {
			return "", err
		}
		if cache, err = account.cacheDir(); err != nil {
			return "", fmt.Errorf("no place for downloaded server programs: %w", err)
		}
		cache = filepath.Join(cache, "psyco")
	}
	return download(ctx, w.repository, cache, w.announce)
}

// startImage starts a server of an image.
func (w ways) startImage(ctx context.Context, image string) (*Server, error) {
	if w.runImage == nil {
		return nil, errNoImageRunner
	}
	return w.runImage(ctx, image, w.announce)
}

// findImage starts a server of an image that was asked for by name.
func (w ways) findImage(ctx context.Context, image string) (*Server, error) {
	s, err := w.startImage(ctx, image)
	if err != nil {
		return nil, fmt.Errorf("psycotest: cannot run the image %s: %w", image, err)
	}
	return s, nil
}

// existing returns a server that runs already.
func existing(dsn string) (*Server, error) {
	cfg, err := pq.NewConfig(dsn)
	if withURI := (*url.Error)(nil); errors.As(err, &withURI) {
		err = withURI.Err // the URI may have a password in it
	}
	if err != nil {
		return nil, fmt.Errorf("psycotest: %s: %w", EnvDSN, err)
	}
	addr := net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port)))
	if filepath.IsAbs(cfg.Host) {
		addr = filepath.Join(cfg.Host, fmt.Sprintf(".s.PGSQL.%d", cfg.Port))
	}
	return &Server{dsn: preferTLS(dsn), port: int(cfg.Port), addr: addr}, nil
}

// preferTLS returns dsn with libpq's and psyco's default for sslmode, if nothing
// else is said: lib/pq, which makes the databases, would insist on TLS.
func preferTLS(dsn string) string {
	if os.Getenv("PGSSLMODE") != "" || os.Getenv("PGSERVICE") != "" || strings.Contains(dsn, "service") {
		return dsn
	}
	if !isURI(dsn) {
		return "sslmode=prefer " + dsn // the last one counts
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return dsn
	}
	q := u.Query()
	if q.Has("sslmode") || q.Has("ssl") {
		return dsn
	}
	q.Set("sslmode", "prefer")
	u.RawQuery = q.Encode()
	return u.String()
}

// TestDSN returns the connection string of a fresh database on the shared
// server, which is dropped when the test ends.
func TestDSN(t testing.TB) string {
	t.Helper()
	s, err := Shared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return TestDatabase(t, s.LendDatabase)
}

// TestDatabase returns the connection string of a database that create makes,
// and drops it when the test ends.
func TestDatabase(t testing.TB, create func(context.Context) (dsn string, drop func() error, err error)) string {
	t.Helper()
	dsn, drop, err := create(t.Context())
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

// Version returns the version of the server behind db, 150002 for 15.2.
func Version(t testing.TB, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}) int {
	t.Helper()
	var version int
	if err := db.QueryRowContext(t.Context(), "SELECT pg_catalog.current_setting('server_version_num')::int").Scan(&version); err != nil {
		t.Fatal(err)
	}
	return version
}

// IntervalMicros returns micros, or the next that an interval can have on a server of that
// version: before 15 its hours had to fit into 32 bits.
func IntervalMicros(version int, micros int64) int64 {
	if version >= 150000 {
		return micros
	}
	const limit = 1<<31*3_600_000_000 - 1
	return min(max(micros, -limit), limit)
}
