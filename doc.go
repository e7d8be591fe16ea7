// Package psyco is a database/sql driver for PostgreSQL that brings psycopg's
// way of working to Go, on top of github.com/lib/pq.
//
//	import _ "github.com/psyco-go/psyco"
//
//	db, err := sql.Open("psyco", "dbname=shop user=alice host=localhost")
//
// The connection string is libpq's, in either form, with its defaults, its
// environment variables, its service file and its password file; see [ParseDSN]. [NewConnector] takes
// what a string cannot say, as an [Option].
//
// # Queries
//
// A query is written with psycopg's placeholders, or with lib/pq's:
//
//	rows, err := db.Query("SELECT name FROM clients WHERE id = %s", 7)
//	rows, err = db.Query("SELECT name FROM clients WHERE id = %(id)s", map[string]any{"id": 7})
//	rows, err = db.Query("SELECT name FROM clients WHERE id IN %s", []int{7, 8, 9})
//	rows, err = db.Query("SELECT name FROM clients WHERE id = $1", 7)
//
// A query without psycopg's placeholders is a native query: it reaches the
// server unchanged and its arguments are converted exactly as lib/pq does, so a
// program written for lib/pq needs no change but the driver's name. In a query
// with %s or %(name)s, %% stands for a percent sign, and an argument has the
// PostgreSQL type that its Go type suggests, as in psycopg 3: SELECT %s with 1
// is an integer.
//
// A query without arguments is sent as it is: nothing in it is a placeholder.
//
// [Query], [QueryAll] and [QueryOne] give rows as structs, maps or single values. [CopyFrom], [CopyTo],
// [CopyRows] and [CopyOutRows] are COPY, [ExecMany], [ExecValues] and [Batch] send many statements at once.
//
// # Transactions
//
// BEGIN goes to the server with the first statement. [InTx] runs a function in a
// transaction and repeats it after a serialization failure; [Savepoint] does the
// same for a part of one.
//
// # Safety
//
// A statement is sent a second time only if the first time nothing of it
// reached the server; a lost connection is an error otherwise, also where
// lib/pq lets database/sql try again. A statement that runs while the rows of
// another are still open gets its own answer, and so do the rows. A statement
// whose context ends is cancelled on the server, and its call returns even if
// the network is dead.
//
// # Errors
//
// An error of the server is a [*pq.Error], as with lib/pq, also by a plain type
// assertion; only a statement whose context ended has one that wraps both. An
// error of psyco's own begins with "psyco:".
//
// # Concurrency
//
// A [*sql.DB] is safe for concurrent use, as always; what database/sql says about
// Conn, Tx, Stmt and Rows holds.
package psyco
