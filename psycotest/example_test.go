package psycotest_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"strings"
	"testing"

	"github.com/DATA-DOG/go-sqlmock"
	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/psycotest"
)

// Store is what the examples test.
type Store struct{ DB *sql.DB }

// Rename returns whether there is a client with that id.
func (s Store) Rename(ctx context.Context, id int, name string) (bool, error) {
	result, err := s.DB.ExecContext(ctx, "UPDATE clients SET name = %s WHERE id = %s", name, id)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// In a program: a server of its own, without any configuration.
func ExampleOpen() {
	ctx := context.Background()
	server, err := psycotest.Open(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	db, err := sql.Open("psyco", server.DSN())
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	var sum int
	if err := db.QueryRowContext(ctx, "SELECT %s + 1", 41).Scan(&sum); err != nil {
		log.Fatal(err)
	}
	fmt.Println(sum)
	// Output: 42
}

// Other programs understand the connection string too.
func ExampleServer() {
	server, err := psycotest.Open(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	cfg, err := pq.NewConfig(server.DSN())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cfg.Database)
	// Output: postgres
}

func ExampleServer_NewDatabase() {
	ctx := context.Background()
	server, err := psycotest.Open(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	dsn, drop, err := server.NewDatabase(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer drop()

	db, err := sql.Open("psyco", dsn)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	var name string
	if err := db.QueryRowContext(ctx, "SELECT current_database()").Scan(&name); err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.HasPrefix(name, "psycotest_"))
	// Output: true
}

// A test on a real server. The function is what follows
// "func TestRename(t *testing.T)".
func ExampleDB() {
	example(func(t testing.TB) {
		db := psycotest.DB(t)
		if _, err := db.Exec("CREATE TABLE clients (id int, name text); INSERT INTO clients VALUES (1, 'ACME')"); err != nil {
			t.Fatal(err)
		}
		for _, id := range []int{1, 2} {
			found, err := Store{db}.Rename(t.Context(), id, "Acme Corp.")
			if err != nil {
				t.Fatal(err)
			}
			fmt.Println(id, found)
		}
	})
	// Output:
	// 1 true
	// 2 false
}

// DSN is for tests of code that opens the database itself.
func ExampleDSN() {
	example(func(t testing.TB) {
		db, err := sql.Open("psyco", psycotest.DSN(t)+" application_name=report")
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var name string
		if err := db.QueryRow("SHOW application_name").Scan(&name); err != nil {
			t.Fatal(err)
		}
		fmt.Println(name)
	})
	// Output: report
}

// A test without a server. The function is what follows
// "func TestRename(t *testing.T)".
func ExampleMock() {
	example(func(t testing.TB) {
		db, mock := psycotest.Mock(t)
		mock.ExpectExec("UPDATE clients SET name = %s WHERE id = %s").
			WithArgs("Acme Corp.", 1).
			WillReturnResult(sqlmock.NewResult(0, 1))

		found, err := Store{db}.Rename(t.Context(), 1, "Acme Corp.")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(found)
	})
	// Output: true
}

// What psyco sends is a way to say which query is expected, too.
func ExampleMock_sent() {
	example(func(t testing.TB) {
		db, mock := psycotest.Mock(t)
		mock.ExpectQuery("SELECT name FROM clients WHERE id = ANY($1)").
			WithArgs("{1,2}").
			WillReturnRows(sqlmock.NewRows([]string{"name"}).AddRow("ACME"))

		var name string
		if err := db.QueryRow("SELECT name FROM clients WHERE id IN %s", []int{1, 2}).Scan(&name); err != nil {
			t.Fatal(err)
		}
		fmt.Println(name)
	})
	// Output: ACME
}

// An expectation that is not met fails the test.
func ExampleMock_unmet() {
	example(func(t testing.TB) {
		_, mock := psycotest.Mock(t)
		mock.ExpectCommit()
	})
	// Output: psycotest: there is a remaining expectation which was not matched: ExpectedCommit => expecting transaction Commit
}

func ExampleMatchQueries() {
	example(func(t testing.TB) {
		db, mock := psycotest.Mock(t, psycotest.MatchQueries(sqlmock.QueryMatcherRegexp))
		mock.ExpectExec(`^UPDATE clients .* id = \$2$`).WillReturnResult(sqlmock.NewResult(0, 1))
		fmt.Println(Store{db}.Rename(t.Context(), 1, "Acme Corp."))
	})
	// Output: true <nil>
}

func ExampleMonitorPings() {
	example(func(t testing.TB) {
		db, mock := psycotest.Mock(t, psycotest.MonitorPings())
		mock.ExpectPing().WillReturnError(fmt.Errorf("the server is down"))
		fmt.Println(db.Ping())
	})
	// Output: the server is down
}

func ExampleDriverOptions() {
	example(func(t testing.TB) {
		logged := psyco.WithOnConnect(func(context.Context, *psyco.Conn) error {
			fmt.Println("connected")
			return nil
		})
		db, _ := psycotest.Mock(t, psycotest.DriverOptions(logged))
		fmt.Println(db.Ping())
	})
	// Output:
	// connected
	// <nil>
}
