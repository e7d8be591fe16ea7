package main

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"strings"
	"time"

	"github.com/psyco-go/psyco"
)

//go:embed schema.sql
var schema string

var errNotFound = errors.New("there is no such client")

// A client as it is stored and, as JSON, as the API shows it. Amounts are text,
// so that no digit gets lost.
type client struct {
	ID    int           `json:"id"`
	Name  string        `json:"name"`
	Email string        `json:"email"`
	Total psyco.Numeric `json:"total"`
	Since string        `json:"since"` // 2006-01-02
}

// event is an entry of a client's history.
type event struct {
	At     time.Time
	Action string
}

// store is all that knows SQL.
type store struct{ db *sql.DB }

// setUp makes the tables that are missing.
func (s store) setUp(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, schema)
	return err
}

const perPage = 12

// page is a part of the clients that fit a search.
type page struct {
	Clients []client `json:"clients"`
	Search  string   `json:"search,omitempty"`
	Page    int      `json:"page"`
	Pages   int      `json:"pages"`
	Count   int      `json:"count"`
}

// list returns a page of the clients whose name or address contains search. A
// page after the last one is the last one.
func (s store) list(ctx context.Context, search string, number int) (page, error) {
	p := page{Search: search}
	pattern := map[string]any{"pattern": "%" + escapeLike.Replace(search) + "%"}
	const where = " FROM webapp.clients WHERE name ILIKE %(pattern)s OR email ILIKE %(pattern)s"

	// Both queries see the same state of the table.
	err := psyco.InTx(ctx, s.db, &psyco.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}, func(tx *sql.Tx) (err error) {
		if p.Count, err = psyco.QueryOne[int](ctx, tx, "SELECT count(*)"+where, pattern); err != nil {
			return err
		}
		p.Pages = max(1, (p.Count+perPage-1)/perPage)
		p.Page = min(max(1, number), p.Pages)
		pattern["limit"], pattern["offset"] = perPage, (p.Page-1)*perPage
		p.Clients, err = psyco.QueryAll[client](ctx, tx, "SELECT id, name, email, total, since::text"+where+
			" ORDER BY name, id LIMIT %(limit)s OFFSET %(offset)s", pattern)
		return err
	})
	return p, err
}

var escapeLike = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func (s store) get(ctx context.Context, id int) (client, error) {
	c, err := psyco.QueryOne[client](ctx, s.db, "SELECT id, name, email, total, since::text FROM webapp.clients WHERE id = %s", id)
	if errors.Is(err, sql.ErrNoRows) {
		err = errNotFound
	}
	return c, err
}

// history returns what happened to a client, the latest first.
func (s store) history(ctx context.Context, id int) ([]event, error) {
	return psyco.QueryAll[event](ctx, s.db,
		"SELECT at, action FROM webapp.history WHERE client_id = %s ORDER BY at DESC LIMIT 10", id)
}

// create stores a client and its first event.
func (s store) create(ctx context.Context, in input) (id int, err error) {
	err = psyco.InTx(ctx, s.db, nil, func(tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, `
			INSERT INTO webapp.clients (name, email, total, since)
			VALUES (%(name)s, %(email)s, %(total)s, %(since)s) RETURNING id`, in).Scan(&id)
		if err != nil {
			return err
		}
		return record(ctx, tx, id, "created", in)
	})
	return id, fieldError(err)
}

func (s store) update(ctx context.Context, id int, in input) error {
	return fieldError(psyco.InTx(ctx, s.db, nil, func(tx *sql.Tx) error {
		if err := one(tx.ExecContext(ctx, `
			UPDATE webapp.clients SET name = %s, email = %s, total = %s, since = %s
			 WHERE id = %s`, in.Name, in.Email, in.Total, in.Since, id)); err != nil {
			return err
		}
		return record(ctx, tx, id, "changed", in)
	}))
}

func (s store) delete(ctx context.Context, id int) error {
	return psyco.InTx(ctx, s.db, nil, func(tx *sql.Tx) error {
		if err := one(tx.ExecContext(ctx, "DELETE FROM webapp.clients WHERE id = %s", id)); err != nil {
			return err
		}
		return record(ctx, tx, id, "deleted", nil)
	})
}

func record(ctx context.Context, tx *sql.Tx, id int, action string, details any) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO webapp.history (client_id, action, details) VALUES (%s, %s, %s)",
		id, action, psyco.JSON[any]{V: details})
	return err
}

// one makes an error of a statement that was meant for a client and found none.
func one(result sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		err = errNotFound
	}
	return err
}
