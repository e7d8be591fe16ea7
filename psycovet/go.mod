module github.com/psyco-go/psyco/psycovet

go 1.26.0

require (
	github.com/golangci/plugin-module-register v0.1.2
	github.com/jmoiron/sqlx v1.4.0
	github.com/lib/pq v1.12.3
	github.com/psyco-go/psyco v0.0.0
	golang.org/x/tools v0.52.0
)

require (
	github.com/DATA-DOG/go-sqlmock v1.5.2 // indirect
	github.com/fergusstrange/embedded-postgres v1.34.0 // indirect
	github.com/xi2/xz v0.0.0-20171230120015-48954b6210f8 // indirect
	golang.org/x/mod v0.42.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
)

replace github.com/psyco-go/psyco => ../
