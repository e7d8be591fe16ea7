// Package shop is what the stores before and after the migration have in common.
package shop

import (
	"context"
	"errors"
	"iter"
)

// Schema is the tables of a store.
const Schema = `
	CREATE TABLE clients (
		id      int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		name    text NOT NULL,
		email   text NOT NULL CONSTRAINT clients_email_key UNIQUE,
		tags    text[] NOT NULL,
		address jsonb NOT NULL,
		total   numeric(12, 2) NOT NULL DEFAULT 0
	);
	CREATE TABLE orders (
		id     int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		client int NOT NULL REFERENCES clients
	);
	CREATE TABLE items (
		ordered  int NOT NULL REFERENCES orders,
		product  text NOT NULL,
		quantity int NOT NULL,
		price    numeric(12, 2) NOT NULL
	)`

// Errors that callers tell apart.
var (
	ErrEmailTaken = errors.New("another client has this e-mail address")
	ErrNoClient   = errors.New("there is no such client")
)

// A Client is one who buys.
type Client struct {
	ID      int
	Name    string
	Email   string
	Tags    []string
	Address Address `db:",json"` // the tag is for after/store.go
	Total   string  // of all orders
}

// An Address is a document in the database.
type Address struct {
	Street string `json:"street"`
	City   string `json:"city"`
}

// An Item is a line of an order.
type Item struct {
	Product  string
	Quantity int
	Price    string
}

// A Filter says which clients to find. What is empty does not count.
type Filter struct {
	IDs  []int
	Name string // a pattern of LIKE
	Tag  string
}

// A Store keeps clients and their orders.
type Store interface {
	// Import adds many clients, all or none.
	Import(ctx context.Context, clients []Client) error
	// Add stores a client and returns the id that it got, or ErrEmailTaken.
	Add(ctx context.Context, c Client) (id int, err error)
	// Get returns a client, or ErrNoClient.
	Get(ctx context.Context, id int) (Client, error)
	// Find returns clients in the order of their ids.
	Find(ctx context.Context, f Filter) ([]Client, error)
	// Order stores an order, adds to the client's total and tells those who
	// wait for Orders: all of it or nothing. Orders that come at the same time
	// wait for each other.
	Order(ctx context.Context, client int, items []Item) (id int, err error)
	// Orders yields the ids of the orders that are placed after it was called,
	// until ctx ends. An error that is not ctx's tells that some may be missing.
	Orders(ctx context.Context) (iter.Seq2[string, error], error)
	Close() error
}
