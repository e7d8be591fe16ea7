package wrong

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"time"

	"github.com/psyco-go/psyco"
)

type client struct {
	ID    int
	Name  string `db:"full_name"`
	email string
}

type ids []int

func counts(db *sql.DB, tx *sql.Tx, conn *sql.Conn, ctx context.Context) {
	db.Query("SELECT %s, %s", 1)                                  // want `the query has 2 placeholders but 1 parameters were passed`
	db.Query("SELECT %s", 1, 2)                                   // want `the query has 1 placeholders but 2 parameters were passed`
	db.Query("SELECT $1, $2", 1)                                  // want `the query has the parameter \$2 but 1 parameters were passed`
	db.Query("SELECT $1", 1, 2)                                   // want `the query has 1 parameters but 2 were passed`
	db.Query("SELECT 1", 1)                                       // want `the query has 0 parameters but 1 were passed`
	db.Query("SELECT $1")                                         // want `the query has the parameter \$1 but 0 parameters were passed`
	db.Query("SELECT %s")                                         // want `no arguments were given for %s, so the query is sent as it is`
	db.Exec("DELETE FROM t WHERE a = %(a)s")                      // want `no arguments were given for %\(a\)s`
	db.QueryRow("SELECT %s, %s", []any{1}...)                     // want `2 placeholders but 1 parameters`
	db.QueryRow("SELECT %s, %s", []any{1, 2})                     // want `a \[\]interface {} counts as one, pass its elements as args\.\.\.|a \[\]any counts as one, pass its elements as args\.\.\.`
	tx.ExecContext(ctx, "UPDATE t SET a = %s", 1, 2)              // want `1 placeholders but 2 parameters`
	conn.QueryRowContext(ctx, "SELECT %s, %s", 1)                 // want `2 placeholders but 1`
	db.Query("SELECT * FROM t WHERE a = ?", 1)                    // want `PostgreSQL does not know '\?' as a placeholder`
	db.Query("SELECT * FROM t WHERE a = ?")                       // want `PostgreSQL does not know '\?'`
	db.Query("SELECT %s, %(a)s", 1, 2)                            // want `positional and named placeholders cannot be mixed`
	db.Query("SELECT %s, $1", 1, 2)                               // want `the query mixes \$n parameters with the placeholder '%s'`
	db.Query("SELECT * FROM t WHERE a = %d", 1)                   // want `only '%s', '%b', '%t' are allowed as placeholders, got '%d'`
	db.Query("SELECT * FROM t WHERE a = '%s'", "x")               // want `the placeholder '%s' is inside a literal`
	db.Query(`SELECT * FROM "%s" WHERE a = 1`, "x")               // want `inside a quoted identifier`
	db.Query("SELECT 1 WHERE a = %(a", 1)                         // want `incomplete placeholder`
	db.Query("SELECT * FROM t WHERE a = :id", sql.Named("id", 1)) // want `write %\(id\)s, not :id`
}

func lists(db *sql.DB, many []int, list ids, when time.Time) {
	db.Query("SELECT 1 WHERE 1 IN (%s)", many)                         // want `IN \(%s\) takes one value, got \[\]int`
	db.Query("SELECT 1 WHERE 1 IN (%s)", list)                         // want `IN \(%s\) takes one value, got wrong.ids`
	db.Query("SELECT 1 WHERE 1 IN %s", 1)                              // want `IN takes a slice, got int`
	db.Query("SELECT 1 WHERE 1 IN %s", nil)                            // want `IN takes a slice, got nil`
	db.Query("SELECT 1 WHERE 'a' IN %s", []byte("a"))                  // want `got \[\]uint8, which is one value|got \[\]byte, which is one value`
	db.Query("SELECT 1 WHERE (a, b) IN %s", 1)                         // want `a row IN takes a slice of rows`
	db.Query("SELECT 1 WHERE (a, b) IN %s", when)                      // want `a row IN takes a slice of rows \(slices, arrays or structs\), got time.Time`
	db.Query("SELECT 1 WHERE a IN %(l)s", map[string]any{"l": 1})      // want `IN takes a slice, got int`
	db.Query("SELECT 1 WHERE a IN (%(l)s)", map[string]any{"l": many}) // want `IN \(%s\) takes one value, got \[\]int`
}

func names(db *sql.DB, c client, p *client) {
	db.Query("SELECT %(a)s, %(b)s", map[string]any{"a": 1})        // want `query parameter missing: b`
	db.Query("SELECT %(email)s", map[string]string{"e-mail": "x"}) // want `query parameter missing: email`
	db.Query("SELECT %(name)s", c)                                 // want `query parameter missing: name: did you mean %\(full_name\)s, the field Name\?`
	db.Query("SELECT %(id)s, %(email)s", p)                        // want `query parameter missing: email: the field email of wrong.client is not exported`
	db.Query("SELECT %(a)s", sql.Named("b", 1))                    // want `query parameter missing: a`
	db.Query("SELECT %(a)s, %(a)s", 1)                             // want `named placeholders require a mapping of parameters, got a single int`
	db.Query("SELECT %(a)s, %(b)s", 1, 2)                          // want `named placeholders require a mapping of parameters, got several values`
	db.Query("SELECT %s, %s", map[string]any{"a": 1})              // want `require a sequence of parameters, got a single map\[string\](any|interface {})`
	db.Query("SELECT %s, %s", c)                                   // want `require a sequence of parameters, got a single wrong.client`
	db.Query("SELECT %s", sql.Named("a", 1))                       // want `got sql.Named\("a"\)`
	db.Query("SELECT %(a)s", struct{ B int }{})                    // want `query parameter missing: a`
}

func places(db *sql.DB, x string) {
	db.Query("SELECT * FROM %s WHERE a = 1", x)    // want `names, keywords and other parts of a query go in with psyco.Compose`
	db.Query("SELECT * FROM $1", x)                // want `psyco.Compose`
	db.Query("SELECT (SELECT a FROM %s)", x)       // want `psyco.Compose`
	db.Exec("INSERT INTO %s VALUES (1)", x)        // want `psyco.Compose`
	db.Exec("UPDATE %s SET a = 1", x)              // want `psyco.Compose`
	db.Exec("DELETE FROM %s", x)                   // want `psyco.Compose`
	db.Exec("DROP TABLE %s", x)                    // want `psyco.Compose`
	db.Query("SELECT 1 FROM t JOIN %s ON true", x) // want `psyco.Compose`
	db.Query("SELECT INTERVAL %s", x)              // want `INTERVAL takes a literal, not a parameter: write %s::interval`
	db.Query("SELECT now() - INTERVAL $1", x)      // want `write \$1::interval`
	db.Query("SELECT 1 WHERE a IS %s", nil)        // want `write IS NOT DISTINCT FROM %s`
	db.Query("SELECT 1 WHERE a IS NOT $1", nil)    // want `write IS DISTINCT FROM \$1`
	db.Query("SELECT 1 WHERE a LIKE %s%%", x)      // want `The percent signs of a pattern belong into the value`
}

const (
	table  = "clients"
	wrongC = "SELECT * FROM " + table + " WHERE id = '%s'" // want `inside a literal`
)

var packageQuery = `
	SELECT a
	  FROM t
	 WHERE a = ?` // want `does not know '\?'`

func constants(db *sql.DB, name string) {
	db.Query(wrongC, 1)
	db.Query(packageQuery, 1)
	local := "SELECT %s, " +
		"%s, %s" // want `3 placeholders but 2 parameters`
	db.Query(local, 1, 2)
	const untyped = "SELECT " + `"é\n", ` + "\t%d" // want `got '%d'`
	db.Query(untyped, 1)
	db.Query(fmt.Sprintf("SELECT %s FROM %s WHERE a = '%%s'", "a", table), 1) // want `inside a literal`
	db.Query("SELECT * FROM t WHERE a = '" + name + "'")                      // want `the value is put between quotes of the query`
	db.Query(fmt.Sprintf("SELECT * FROM t WHERE a = '%s'", name))             // want `write %s there without quotes and pass the value as an argument`
	db.Query(fmt.Sprintf("SELECT * FROM t WHERE a LIKE '%%%s%%'", name))      // want `write %s for the whole and pass it as an argument`
	db.Query(`SELECT * FROM "` + name + `"`)                                  // want `build the query with psyco.Compose and psyco.Identifier`
	q := "SELECT * FROM t WHERE a = '" + name + "'"                           // want `the value is put between quotes`
	db.Query(q)
}

func statements(db *sql.DB, tx *sql.Tx, ctx context.Context) {
	stmt, err := db.Prepare("SELECT %s, %s") // want `2 placeholders but 1 parameters`
	if err != nil {
		return
	}
	stmt.Query(1)                                          // the report is at the query
	db.Prepare("SELECT 1 WHERE a = ?")                     // want `does not know '\?'`
	native, err := db.PrepareContext(ctx, "SELECT $1, $2") // want `the query has the parameter \$2 but 1 parameters were passed`
	native.QueryRowContext(ctx, 1)
	other, err := db.Prepare("SELECT %(a)s") // want `query parameter missing: a`
	tx.Stmt(other).Exec(map[string]any{"b": 1})
}

func psycos(ctx context.Context, db *sql.DB, w io.Writer, r io.Reader) {
	psyco.QueryAll[int](ctx, db, "SELECT %s", 1, 2)          // want `1 placeholders but 2`
	psyco.QueryOne[client](ctx, db, "SELECT %s, %s", 1)      // want `2 placeholders but 1`
	for range psyco.Query[int](ctx, db, "SELECT %s", 1, 2) { // want `1 placeholders but 2`
	}
	psyco.Query[int](ctx, db, "SELECT %s, %s", 1, psyco.Lax()) // want `2 placeholders but 1`
	db.Query("SELECT %s, %s", 1, psyco.ServerSide(10))         // want `2 placeholders but 1`
	var b psyco.Batch
	b.Queue("INSERT INTO t VALUES (%s, %s)", 1)                                                         // want `2 placeholders but 1`
	psyco.CopyTo(ctx, db, w, "COPY (SELECT %s) TO STDOUT", 1, 2)                                        // want `1 placeholders but 2`
	psyco.CopyFrom(ctx, db, "COPY t FROM STDIN WHERE a > %s AND a < %s", r, 1, psyco.CopyProgress(nil)) // want `2 placeholders but 1`
	psyco.CopyFrom(ctx, db, "COPY t (a) FROM STDIN WHERE a > %s AND a < %s", r, 1)                      // want `2 placeholders but 1`
	psyco.DeclareCursor(ctx, db, "c", nil, "SELECT %s, %s", 1)                                          // want `2 placeholders but 1`
	psyco.Mogrify("SELECT %s", 1, 2)                                                                    // want `1 placeholders but 2`
	psyco.ExecMany(ctx, db, "INSERT INTO t VALUES (%s, %s)", psyco.SliceRows([][]any{{1, 2}, {3}}))     // want `2 placeholders but 1`
	psyco.ExecMany(ctx, db, "INSERT INTO t VALUES (%d)", psyco.SliceRows(nil))                          // want `got '%d'`
	psyco.ExecValues(ctx, db, "INSERT INTO t VALUES (%s, %s)", psyco.SliceRows(nil), nil)               // want `ExecValues takes a query with one %s`
	psyco.ExecValues(ctx, db, "INSERT INTO t VALUES %s", psyco.SliceRows(nil), &psyco.ValuesOptions{
		Template: "(%s, '%s')", // want `inside a literal`
	})
	psyco.Compose("SELECT {} FROM {}", psyco.Identifier{"a"})                 // want `the template's field {} has no part: 1 were passed without a name`
	psyco.Compose("SELECT {a} FROM t", sql.Named("b", psyco.Identifier{"a"})) // want `the template's field {a} has no part`
	psyco.Compose("SELECT {}", psyco.Identifier{"a"}, psyco.Identifier{"b"})  // want `no field of the template takes part`
	psyco.Compose(`SELECT "{}"`, psyco.Identifier{"a"})                       // want `a name inside quotes`
	psyco.Compose("SELECT '{}'", 1)                                           // want `a literal inside quotes`
	psyco.Raw("{} AND {}").Format(1)                                          // want `the template's field {} has no part`
}
