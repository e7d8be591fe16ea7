package pgserver

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lib/pq"
)

// pool holds empty databases that were used before. To create and to drop a
// database takes the server hundreds of files; to empty one, only those of what
// was made in it.
type pool struct {
	mu    sync.Mutex
	empty []*lent
}

// lent is a database that tests use one after the other.
type lent struct {
	dsn  string
	name string
	drop func() error
	born string // the transaction that created it
	uses int
}

// maxUses is how often a database is used: the more was dropped in it, the
// longer the server's way through its catalogs.
const maxUses = 100

// emptySQL empties a database, or fails if that does not make it as good as new.
//
//go:embed empty.sql
var emptySQL string

// LendDatabase is CreateDatabase for who needs one database after the other:
// giveBack empties it for the next one, where that makes it as good as new, and
// drops it elsewhere. Whoever is still connected to it is disconnected. On a
// server that others use too, every database is created and dropped, since
// those that wait here are dropped by nobody.
func (s *Server) LendDatabase(ctx context.Context) (dsn string, giveBack func() error, err error) {
	if s.isExisting() {
		return s.CreateDatabase(ctx)
	}
	d := s.pool.take()
	if d == nil {
		if d, err = s.newLent(ctx); err != nil {
			return "", nil, err
		}
	}
	return d.dsn, func() error {
		if d.uses++; d.uses == maxUses || d.clean() != nil {
			return d.drop()
		}
		s.pool.put(d)
		return nil
	}, nil
}

func (s *Server) newLent(ctx context.Context) (*lent, error) {
	d := &lent{}
	var err error
	if d.dsn, d.name, d.drop, err = s.createDatabase(ctx, "template0"); err != nil {
		return nil, err
	}
	admin, err := s.admin.open(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := admin.QueryRowContext(ctx, "SELECT xmin FROM pg_catalog.pg_database WHERE datname = $1", d.name).Scan(&d.born); err != nil {
		return nil, fmt.Errorf("psycotest: %w", errors.Join(err, d.drop()))
	}
	return d, nil
}

// clean empties the database.
func (d *lent) clean() error {
	connector, err := pq.NewConnector(d.dsn + fmt.Sprintf(" options='-c psycotest.born=%s -c client_min_messages=error -c lock_timeout=10s'", d.born))
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, err = db.ExecContext(ctx, emptySQL)
	return err
}

func (p *pool) take() *lent {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.empty) == 0 {
		return nil
	}
	d := p.empty[len(p.empty)-1]
	p.empty = p.empty[:len(p.empty)-1]
	return d
}

func (p *pool) put(d *lent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.empty = append(p.empty, d)
}
