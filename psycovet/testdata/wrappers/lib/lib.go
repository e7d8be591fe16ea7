package lib

import "database/sql"

type Store struct{ DB *sql.DB }

func (s *Store) All(query string, args ...any) (*sql.Rows, error) { // want All:"runs argument 0 with those from 1 on"
	return s.DB.Query(query, args...)
}

func Must(db *sql.DB, what, query string, args ...any) { // want Must:"runs argument 2 with those from 3 on"
	if _, err := db.Exec(query, args...); err != nil {
		panic(what)
	}
}

func Count(db *sql.DB, query string, args ...any) (n int) { // want Count:"runs argument 1 with those from 2 on"
	Must(db, "count", query, args...)
	return n
}

// Paged has an argument of its own.
func Paged(db *sql.DB, query string, args ...any) { // want Paged:"runs argument 1 with those from -1 on"
	db.Query(query, append(args, 10)...)
}

// Rebound changes the query.
func Rebound(db *sql.DB, query string, args ...any) {
	query = query + " LIMIT 1"
	db.Query(query, args...)
}
