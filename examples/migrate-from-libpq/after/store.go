// Package store keeps clients and orders in PostgreSQL.
package store

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"slices"
	"strconv"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/examples/migrate-from-libpq/shop"
)

// Store is a shop.Store.
type Store struct {
	connector *psyco.Connector
	db        *sql.DB
}

var _ shop.Store = (*Store)(nil)

// Open returns the store in a database with shop.Schema.
func Open(dsn string) (*Store, error) {
	connector, err := psyco.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	return &Store{connector, sql.OpenDB(connector)}, nil
}

// Close closes the store's connections.
func (s *Store) Close() error { return s.db.Close() }

// Import adds many clients.
func (s *Store) Import(ctx context.Context, clients []shop.Client) error {
	columns := []string{"name", "email", "tags", "address"}
	rows := psyco.StructRows(columns, slices.Values(clients))
	_, err := psyco.CopyRows(ctx, s.db, psyco.Identifier{"clients"}, columns, rows)
	return err
}

// Add stores a client.
func (s *Store) Add(ctx context.Context, c shop.Client) (id int, err error) {
	err = s.db.QueryRowContext(ctx,
		"INSERT INTO clients (name, email, tags, address) VALUES (%s, %s, %s, %s) RETURNING id",
		c.Name, c.Email, c.Tags, psyco.JSON[shop.Address]{V: c.Address}).Scan(&id)
	if e := pq.As(err, pqerror.UniqueViolation); e != nil && e.Constraint == "clients_email_key" {
		return 0, shop.ErrEmailTaken
	}
	return id, err
}

const columns = "id, name, email, tags, address, total"

// Get returns a client.
func (s *Store) Get(ctx context.Context, id int) (shop.Client, error) {
	c, err := psyco.QueryOne[shop.Client](ctx, s.db, "SELECT "+columns+" FROM clients WHERE id = %s", id)
	if errors.Is(err, sql.ErrNoRows) {
		err = shop.ErrNoClient
	}
	return c, err
}

// Find returns clients.
func (s *Store) Find(ctx context.Context, f shop.Filter) ([]shop.Client, error) {
	return psyco.QueryAll[shop.Client](ctx, s.db, "SELECT "+columns+` FROM clients
		WHERE (%(ids)s::int[] IS NULL OR id = ANY (%(ids)s))
			AND (%(name)s = '' OR name LIKE %(name)s)
			AND (%(tag)s = '' OR %(tag)s = ANY (tags))
		ORDER BY id`, f)
}

// Order stores an order, again and again while others are in its way.
func (s *Store) Order(ctx context.Context, client int, items []shop.Item) (id int, err error) {
	err = psyco.InTx(ctx, s.db, &psyco.TxOptions{Isolation: sql.LevelSerializable}, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, "INSERT INTO orders (client) VALUES (%s) RETURNING id", client).Scan(&id); err != nil {
			return err
		}
		var b psyco.Batch
		for _, item := range items {
			b.Queue("INSERT INTO items (ordered, product, quantity, price) VALUES (%s, %s, %s, %s)",
				id, item.Product, item.Quantity, item.Price)
		}
		b.Queue(`
			UPDATE clients SET total = total + (SELECT coalesce(sum(quantity * price), 0) FROM items WHERE ordered = %s)
			WHERE id = %s`, id, client)
		b.Queue("SELECT pg_notify('orders', %s)", strconv.Itoa(id))
		return b.Run(ctx, tx)
	})
	if e := pq.As(err, pqerror.ForeignKeyViolation); e != nil && e.Constraint == "orders_client_fkey" {
		return 0, shop.ErrNoClient
	}
	return id, err
}

// Orders yields new orders.
func (s *Store) Orders(ctx context.Context) (iter.Seq2[string, error], error) {
	l := psyco.NewListener(s.connector, nil)
	if err := l.Listen(ctx, "orders"); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return func(yield func(string, error) bool) {
		defer l.Close()
		for n, err := range l.Notifications(ctx) {
			if !yield(n.Payload, err) {
				return
			}
		}
	}, nil
}
