package pgserver

import (
	"context"
	"errors"
	"fmt"
)

// Template is a database that others are made from. It is safe for concurrent
// use.
type Template struct {
	server *Server
	name   string
	drop   func() error
}

// CreateTemplate creates a database, lets build fill it, and closes it to
// everybody: CREATE DATABASE refuses a template that somebody is connected to.
func (s *Server) CreateTemplate(ctx context.Context, build func(dsn string) error) (*Template, error) {
	dsn, name, drop, err := s.createDatabase(ctx, "template0")
	if err != nil {
		return nil, err
	}
	if err := build(dsn); err != nil {
		return nil, errors.Join(err, drop())
	}
	if err := s.closeDatabase(ctx, name); err != nil {
		return nil, errors.Join(fmt.Errorf("psycotest: cannot make a template of %s: %w", name, err), drop())
	}
	return &Template{server: s, name: name, drop: drop}, nil
}

// closeDatabase lets nobody into a database any more. Who is still in has to
// leave; CREATE DATABASE waits for them.
func (s *Server) closeDatabase(ctx context.Context, name string) error {
	db, err := s.admin.open(ctx, s)
	if err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, "ALTER DATABASE "+name+" ALLOW_CONNECTIONS false"); err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datname = $1", name)
	return err
}

// CreateDatabase creates a copy of the template, as Server.CreateDatabase does
// an empty database.
func (t *Template) CreateDatabase(ctx context.Context) (dsn string, drop func() error, err error) {
	dsn, _, drop, err = t.server.createDatabase(ctx, t.name)
	return dsn, drop, err
}

// Drop drops the template. Copies are not touched.
func (t *Template) Drop() error { return t.drop() }
