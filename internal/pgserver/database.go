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
	mu sync.Mutex
	db *sql.DB
}

func (a *adminDB) open(dsn string) (*sql.DB, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.db == nil {
		connector, err := pq.NewConnector(dsn)
		if err != nil {
			return nil, err
		}
		a.db = sql.OpenDB(connector)
		a.db.SetMaxOpenConns(2)
		a.db.SetMaxIdleConns(2)
	}
	return a.db, nil
}

func (a *adminDB) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.db == nil {
		return nil
	}
	return a.db.Close()
}

// CreateDatabase creates an empty database and returns its connection string.
// drop removes it together with the connections that are still open on it.
// Databases can be created by several goroutines and processes at once:
// nobody can connect to template0, so it is never in use.
func (s *Server) CreateDatabase(ctx context.Context) (dsn string, drop func() error, err error) {
	db, err := s.admin.open(s.dsn)
	if err != nil {
		return "", nil, fmt.Errorf("psycotest: %w", err)
	}
	name := "psycotest_" + strings.ToLower(rand.Text())
	if dsn, err = withDatabase(s.dsn, name); err != nil {
		return "", nil, fmt.Errorf("psycotest: %w", err)
	}
	if _, err := db.ExecContext(ctx, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		return "", nil, fmt.Errorf("psycotest: cannot create a database: %w", err)
	}
	drop = func() error {
		if _, err := db.Exec("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)"); err != nil {
			return fmt.Errorf("psycotest: cannot drop database %s: %w", name, err)
		}
		return nil
	}
	return dsn, drop, nil
}

// withDatabase returns dsn, keyword/value or URI, for another database.
func withDatabase(dsn, name string) (string, error) {
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
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
