package schema

import (
	"context"
	"database/sql"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
)

type client struct {
	ID    int
	Name  string
	Email *string
}

type contact struct {
	Name string
	Mail string
}

type order struct {
	ID     int64
	Total  psyco.Numeric
	Client client
}

func wrong(ctx context.Context, db *sql.DB, when time.Time, tags []string) {
	db.Query("SELECT nam FROM clients WHERE id = %s", 1)                      // want `column "nam" does not exist`
	db.Query("SELECT * FROM client")                                          // want `relation "client" does not exist`
	db.Query("SELECT id FROM clients WHERE id IN %s AND nam = 'x'", []int{1}) // want `column "nam" does not exist`
	db.Query(`SELECT id
		FROM clients
		WHERE "é" = $1`, 1) // want `column "é" does not exist`
	db.Query("SELECT id clients FROM WHERE id = $1", 1)      // want `syntax error at or near "WHERE"`
	db.Query("SELECT lowr(name) FROM clients")               // want `function lowr\(text\) does not exist`
	db.Query("SELECT id FROM clients WHERE born = 'never'")  // want `invalid input syntax for type date: "never"`
	db.Query("SELECT id FROM clients WHERE data = '{}'")     // want `operator does not exist: json = unknown`
	db.Exec("UPDATE clients SET nam = %s", "x")              // want `column "nam" of relation "clients" does not exist`
	db.Exec("INSERT INTO clients (id, name) VALUES (%s)", 1) // want `INSERT has more target columns than expressions`

	db.Query("SELECT id FROM clients WHERE name = %s", 1)                            // want `operator does not exist: text = integer`
	db.Query("SELECT id FROM clients WHERE id = %(id)s", map[string]any{"id": true}) // want `operator does not exist: integer = boolean`
	db.Query("SELECT id FROM clients WHERE id = $1", true)                           // want `\$1 is int4, which no bool can be`
	db.Query("SELECT id FROM clients WHERE key = $1", 1)                             // want `\$1 is uuid, which no int can be`
	db.Query("SELECT id FROM clients WHERE name = $1 AND id = $2", "x", when)        // want `\$2 is int4, which no time.Time can be`
	db.Query("SELECT id FROM clients WHERE id = $1", tags)                           // want `\$1 is int4, which no \[\]string can be`

	var (
		id   int
		name string
		born time.Time
	)
	db.QueryRow("SELECT id, name FROM clients").Scan(&id)                // want `the query has 2 columns, Scan gets 1`
	db.QueryRow("SELECT key, id FROM clients").Scan(&id, &name)          // want `the column key is uuid, which Scan does not make a number \(int\) of`
	db.QueryRow("SELECT id, name FROM clients").Scan(&id, &born)         // want `the column name is text, which Scan cannot store in a time.Time`
	db.QueryRow("SELECT tags FROM clients WHERE id = %s", 1).Scan(&tags) // want `the column tags is text\[\], which Scan cannot store in a \[\]string: write psyco.Into`
	rows, err := db.Query("SELECT id, name FROM clients WHERE id > %s", 1)
	if err != nil {
		return
	}
	for rows.Next() {
		rows.Scan(&id, &name, &born) // want `the query has 2 columns, Scan gets 3`
	}

	psyco.QueryAll[contact](ctx, db, "SELECT name, email FROM clients")          // want `schema.contact.Mail`
	psyco.QueryOne[int](ctx, db, "SELECT id, name FROM clients")                 // want `the query has 2 columns, and int takes one`
	psyco.QueryAll[client](ctx, db, "SELECT id, name, email, born FROM clients") // want `born`
}

func right(ctx context.Context, db *sql.DB, when time.Time, tags []string, any1 any) {
	db.Query("SELECT id FROM clients WHERE id = %s AND name = %s AND born = %s AND active = %s", 1, "x", when, true)
	db.Query("SELECT id FROM clients WHERE id = $1 AND name = $2 AND born < $3 AND active = $4", 1, "x", when, true)
	db.Query("SELECT id FROM clients WHERE id IN %s AND name = ANY(%s)", []int{1}, tags)
	db.Query("SELECT id FROM clients WHERE tags && $1 AND key = $2", pq.Array(tags), "6f1c1a52-0000-0000-0000-000000000000")
	db.Query("SELECT id FROM clients WHERE (id, name) IN %s", [][]any{{1, "x"}})
	db.Query("SELECT %s, %s || 'x', to_char(%s, 'YYYY')", 1, "a", when)
	db.Query("SELECT id FROM clients WHERE %(name)s IS NULL OR name = %(name)s", map[string]any{"name": "x"})
	db.Query("SELECT id FROM clients LIMIT %s", 10)
	db.Query("SELECT sum(total), max(id) FROM orders WHERE total > %s", 1.5)
	db.Exec("INSERT INTO clients (id, name, born, tags, data) VALUES (%s, %s, %s, %s, %s)", 1, "x", when, tags, psyco.JSON[any]{V: 1})
	db.Exec("INSERT INTO orders VALUES ($1, $2, $3)", 1, any1, "1.50")
	db.Exec("DELETE FROM clients")

	var (
		c    client
		text sql.NullString
		num  psyco.Numeric
		raw  []byte
		it   any
	)
	db.QueryRow("SELECT id, name, email, born, data, tags FROM clients").Scan(&c.ID, &c.Name, &c.Email, &it, &raw, psyco.Into(&tags))
	db.QueryRow("SELECT email, 1.5, born FROM clients").Scan(&text, &num, &when)
	psyco.QueryAll[client](ctx, db, "SELECT id, name, email FROM clients WHERE id = %s", 1)
	psyco.QueryAll[client](ctx, db, "SELECT id, name, email, born FROM clients", psyco.Lax())
	psyco.QueryAll[map[string]any](ctx, db, "SELECT * FROM clients")
	psyco.QueryAll[order](ctx, db, "SELECT o.id, total, c.id AS client_id, c.name AS client_name, c.email AS client_email FROM orders o JOIN clients c ON c.id = client")
	psyco.QueryOne[time.Time](ctx, db, "SELECT now()")
	psyco.QueryOne[psyco.Numeric](ctx, db, "SELECT 1.5")
	psyco.QueryAll[*client](ctx, db, "SELECT id, name, email FROM clients")
}

// migrate has another schema than the one that is there.
func migrate(db *sql.DB) {
	db.Exec("CREATE TABLE x (a int)")
	db.Exec("INSERT INTO x VALUES (1)")
	func() { db.Query("SELECT b FROM x") }()
}

func temporary(db *sql.DB) {
	func() {
		db.Exec("CREATE TEMP TABLE x (a int)")
		db.Query("SELECT a FROM x")
	}()
	db.Query("SELECT b FROM x") // want `relation "x" does not exist`
}
