// Package store keeps clients in PostgreSQL. It is an example of code that is
// tested without a server: see store_test.go and plain_test.go.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco"
)

// Schema is the table that Store works on.
const Schema = `
	CREATE TABLE clients (
		id    int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		name  text NOT NULL,
		email text NOT NULL CONSTRAINT clients_email_key UNIQUE,
		total numeric(12, 2) NOT NULL DEFAULT 0
	)`

// Errors that callers tell apart.
var (
	ErrNotFound   = errors.New("there is no such client")
	ErrEmailTaken = errors.New("another client has this e-mail address")
)

// A Client is a row of the table. The names of its columns are those of its
// fields in lower case, as %(name)s and psyco.Query expect them.
type Client struct {
	ID    int
	Name  string
	Email string
	Total psyco.Numeric
}

// Store needs nothing but a *sql.DB, so tests can give it any.
type Store struct{ DB *sql.DB }

// Add stores a client and returns the id that it got.
func (s Store) Add(ctx context.Context, c Client) (id int, err error) {
	err = s.DB.QueryRowContext(ctx,
		"INSERT INTO clients (name, email) VALUES (%(name)s, %(email)s) RETURNING id", c).Scan(&id)
	if pqErr := pq.As(err, pqerror.UniqueViolation); pqErr != nil && pqErr.Constraint == "clients_email_key" {
		return 0, ErrEmailTaken
	}
	return id, err
}

// Get returns the client with an id, or ErrNotFound.
func (s Store) Get(ctx context.Context, id int) (Client, error) {
	c, err := psyco.QueryOne[Client](ctx, s.DB, "SELECT id, name, email, total FROM clients WHERE id = %s", id)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return c, err
}

// Find returns those clients that exist, in the order of their ids.
func (s Store) Find(ctx context.Context, ids []int) ([]Client, error) {
	return psyco.QueryAll[Client](ctx, s.DB, "SELECT id, name, email, total FROM clients WHERE id IN %s ORDER BY id", ids)
}

// Rename gives a client another name.
func (s Store) Rename(ctx context.Context, id int, name string) error {
	result, err := s.DB.ExecContext(ctx, "UPDATE clients SET name = %s WHERE id = %s", name, id)
	return one(result, err)
}

// Merge adds the purchases of one client to another's and deletes the first:
// both or neither.
func (s Store) Merge(ctx context.Context, from, to int) error {
	if from == to {
		return fmt.Errorf("client %d cannot be merged with itself", from)
	}
	return psyco.InTx(ctx, s.DB, nil, func(tx *sql.Tx) error {
		total, err := psyco.QueryOne[psyco.Numeric](ctx, tx, "DELETE FROM clients WHERE id = %s RETURNING total", from)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		return one(tx.ExecContext(ctx, "UPDATE clients SET total = total + %s WHERE id = %s", total, to))
	})
}

// one makes an error of a statement that was meant for one row and found none.
func one(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return err
}
