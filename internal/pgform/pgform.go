// Package pgform knows the forms in which PostgreSQL writes and reads values: the OIDs
// of its types, and how values are written in text and in binary. It takes and gives
// plain Go types and knows nothing of connections, drivers or database/sql.
package pgform
