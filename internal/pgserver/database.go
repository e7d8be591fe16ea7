package pgserver

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"

	"github.com/lib/pq"
)

// adminDB holds the connections that create and drop databases.
type adminDB struct {
	mu     sync.Mutex
	db     *sql.DB
	copies string // options of CREATE DATABASE
	owner  *owner // on a server that was there already
}

// open connects to s, when it is called first.
func (a *adminDB) open(ctx context.Context, s *Server) (*sql.DB, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.db != nil {
		return a.db, nil
	}
	connector, err := pq.NewConnector(s.dsn)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(3) // one of them is the owner's
	db.SetMaxIdleConns(3)
	// A copy of the files needs checkpoints, but not every page in the WAL.
	// Where nothing waits for the disk it is the faster way, the more so the
	// larger the template; elsewhere the server's default is as good.
	copiesFiles := false
	err = db.QueryRowContext(ctx, `SELECT pg_catalog.current_setting('server_version_num')::int >= 150000
		AND pg_catalog.current_setting('fsync') = 'off'`).Scan(&copiesFiles)
	if err == nil && s.isExisting() {
		a.owner, err = newOwner(ctx, db)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if copiesFiles {
		a.copies = " STRATEGY file_copy"
	}
	a.db = db
	return db, nil
}

func (a *adminDB) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.db == nil {
		return nil
	}
	var err error
	if a.owner != nil {
		err = a.owner.release()
	}
	return errors.Join(err, a.db.Close())
}

// isExisting says whether the server was there already, and may have other users.
func (s *Server) isExisting() bool { return s.guard == nil && s.end == nil }

// CreateDatabase creates an empty database and returns its connection string.
// drop removes it together with the connections that are still open on it.
// Databases can be created by several goroutines and processes at once:
// nobody can connect to template0, so it is never in use.
func (s *Server) CreateDatabase(ctx context.Context) (dsn string, drop func() error, err error) {
	dsn, _, drop, err = s.createDatabase(ctx, "template0")
	return dsn, drop, err
}

func (s *Server) createDatabase(ctx context.Context, template string) (dsn, name string, drop func() error, err error) {
	db, err := s.admin.open(ctx, s)
	if err != nil {
		return "", "", nil, fmt.Errorf("psycotest: %w", err)
	}
	name = s.admin.owner.prefix() + strings.ToLower(rand.Text())
	if dsn, err = withDatabase(s.dsn, name); err != nil {
		return "", "", nil, fmt.Errorf("psycotest: %w", err)
	}
	if _, err := db.ExecContext(ctx, "CREATE DATABASE "+name+" TEMPLATE "+template+s.admin.copies); err != nil {
		return "", "", nil, fmt.Errorf("psycotest: cannot create a database: %w", err)
	}
	drop = func() error {
		if _, err := db.Exec("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)"); err != nil {
			return fmt.Errorf("psycotest: cannot drop database %s: %w", name, err)
		}
		return nil
	}
	return dsn, name, drop, nil
}

func isURI(dsn string) bool {
	return strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
}

// withDatabase returns dsn, keyword/value or URI, for another database.
func withDatabase(dsn, name string) (string, error) {
	if !isURI(dsn) {
		return dsn + " dbname=" + name, nil // the last one counts
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return "", errors.New(EnvDSN + " is not a valid URI") // err would show the password
	}
	u.Path = "/" + name
	q := u.Query()
	q.Del("dbname")
	u.RawQuery = q.Encode()
	return u.String(), nil
}
