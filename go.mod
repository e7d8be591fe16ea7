module github.com/psyco-go/psyco

go 1.25.0

require (
	github.com/DATA-DOG/go-sqlmock v1.5.2
	github.com/lib/pq v1.12.3
	github.com/ory/dockertest/v3 v3.12.0
)
