// Package store keeps clients and orders in PostgreSQL.
package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log"
	"strconv"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/examples/migrate-from-libpq/shop"
)

// Store is a shop.Store.
type Store struct {
	dsn string
	db  *sql.DB
}

var _ shop.Store = (*Store)(nil)

// Open returns the store in a database with shop.Schema.
func Open(dsn string) (*Store, error) {
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		return nil, err
	}
	return &Store{dsn, db}, nil
}

// Close closes the store's connections.
func (s *Store) Close() error { return s.db.Close() }

// Import adds many clients.
func (s *Store) Import(ctx context.Context, clients []shop.Client) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	//lint:ignore SA1019 this is how programs for lib/pq do it
	stmt, err := tx.PrepareContext(ctx, pq.CopyIn("clients", "name", "email", "tags", "address"))
	if err != nil {
		return err
	}
	defer stmt.Close()
	for _, c := range clients {
		address, err := json.Marshal(c.Address)
		if err != nil {
			return err
		}
		if _, err := stmt.ExecContext(ctx, c.Name, c.Email, pq.Array(c.Tags), string(address)); err != nil {
			return err
		}
	}
	if _, err := stmt.ExecContext(ctx); err != nil {
		return err
	}
	if err := stmt.Close(); err != nil {
		return err
	}
	return tx.Commit()
}

// Add stores a client.
func (s *Store) Add(ctx context.Context, c shop.Client) (id int, err error) {
	address, err := json.Marshal(c.Address)
	if err != nil {
		return 0, err
	}
	err = s.db.QueryRowContext(ctx,
		"INSERT INTO clients (name, email, tags, address) VALUES ($1, $2, $3, $4) RETURNING id",
		c.Name, c.Email, pq.Array(c.Tags), address).Scan(&id)
	if pqErr, ok := err.(*pq.Error); ok && pqErr.Code == "23505" && pqErr.Constraint == "clients_email_key" {
		return 0, shop.ErrEmailTaken
	}
	return id, err
}

const columns = "id, name, email, tags, address, total"

// Get returns a client.
func (s *Store) Get(ctx context.Context, id int) (shop.Client, error) {
	c, err := scan(s.db.QueryRowContext(ctx, "SELECT "+columns+" FROM clients WHERE id = $1", id))
	if errors.Is(err, sql.ErrNoRows) {
		err = shop.ErrNoClient
	}
	return c, err
}

// Find returns clients.
func (s *Store) Find(ctx context.Context, f shop.Filter) (found []shop.Client, err error) {
	query := "SELECT " + columns + " FROM clients WHERE true"
	var args []any
	if f.IDs != nil {
		args = append(args, pq.Array(f.IDs))
		query += fmt.Sprintf(" AND id = ANY ($%d)", len(args))
	}
	if f.Name != "" {
		args = append(args, f.Name)
		query += fmt.Sprintf(" AND name LIKE $%d", len(args))
	}
	if f.Tag != "" {
		args = append(args, f.Tag)
		query += fmt.Sprintf(" AND $%d = ANY (tags)", len(args))
	}
	rows, err := s.db.QueryContext(ctx, query+" ORDER BY id", args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		c, err := scan(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, c)
	}
	return found, rows.Err()
}

// scan reads the columns of a client.
func scan(row interface{ Scan(...any) error }) (c shop.Client, err error) {
	var address []byte
	if err := row.Scan(&c.ID, &c.Name, &c.Email, pq.Array(&c.Tags), &address, &c.Total); err != nil {
		return c, err
	}
	return c, json.Unmarshal(address, &c.Address)
}

// Order stores an order, again and again while others are in its way.
func (s *Store) Order(ctx context.Context, client int, items []shop.Item) (id int, err error) {
	for {
		id, err = s.order(ctx, client, items)
		pqErr, ok := err.(*pq.Error)
		switch {
		case !ok:
			return id, err
		case pqErr.Code == "23503" && pqErr.Constraint == "orders_client_fkey":
			return 0, shop.ErrNoClient
		case pqErr.Code != "40001" && pqErr.Code != "40P01":
			return 0, err
		}
	}
}

func (s *Store) order(ctx context.Context, client int, items []shop.Item) (id int, err error) {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	if err := tx.QueryRowContext(ctx, "INSERT INTO orders (client) VALUES ($1) RETURNING id", client).Scan(&id); err != nil {
		return 0, err
	}
	for _, item := range items {
		if _, err := tx.ExecContext(ctx,
			"INSERT INTO items (ordered, product, quantity, price) VALUES ($1, $2, $3, $4)",
			id, item.Product, item.Quantity, item.Price); err != nil {
			return 0, err
		}
	}
	if _, err := tx.ExecContext(ctx, `
		UPDATE clients SET total = total + (SELECT coalesce(sum(quantity * price), 0) FROM items WHERE ordered = $1)
		WHERE id = $2`, id, client); err != nil {
		return 0, err
	}
	if _, err := tx.ExecContext(ctx, "SELECT pg_notify('orders', $1)", strconv.Itoa(id)); err != nil {
		return 0, err
	}
	return id, tx.Commit()
}

// Orders yields new orders.
func (s *Store) Orders(ctx context.Context) (iter.Seq2[string, error], error) {
	l := pq.NewListener(s.dsn, 100*time.Millisecond, 30*time.Second, func(_ pq.ListenerEventType, err error) {
		if err != nil {
			log.Print(err)
		}
	})
	if err := l.Listen("orders"); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return func(yield func(string, error) bool) {
		defer l.Close()
		for {
			var order string
			var err error
			select {
			case n := <-l.Notify:
				if n != nil {
					order = n.Extra
				} else {
					err = errors.New("the connection was made again")
				}
			case <-time.After(90 * time.Second):
				go l.Ping()
				continue
			case <-ctx.Done():
				yield("", ctx.Err())
				return
			}
			if !yield(order, err) {
				return
			}
		}
	}, nil
}
