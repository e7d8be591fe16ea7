package psycotest_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"testing"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/psycotest"
)

// A template is a variable of the package that its tests share.
func ExampleTemplate() {
	var schema = psycotest.NewTemplate(
		psycotest.SQL(files, "testdata/migrations/*.up.sql"),
		psycotest.CSV(files, "testdata/fixtures/*.csv"),
	)
	defer schema.Close()

	for range 2 { // two tests: the second does not see what the first did
		example(func(t testing.TB) {
			db := schema.DB(t)
			if _, err := db.Exec("INSERT INTO clients (name) VALUES (%s)", "Initrode"); err != nil {
				t.Fatal(err)
			}
			var n int
			if err := db.QueryRow("SELECT count(*) FROM clients").Scan(&n); err != nil {
				t.Fatal(err)
			}
			fmt.Println(n, "clients")
		})
	}
	// Output:
	// 3 clients
	// 3 clients
}

// Several steps, in order.
func ExampleNewTemplate() {
	template := psycotest.NewTemplate(
		psycotest.SQL(files, "testdata/migrations/*.up.sql"),
		func(ctx context.Context, db *sql.DB) error {
			_, err := db.ExecContext(ctx, "INSERT INTO clients (name) SELECT 'client ' || n FROM generate_series(1, %s) AS n", 1000)
			return err
		},
	)
	defer template.Close()
	example(func(t testing.TB) {
		var n int
		if err := template.DB(t).QueryRow("SELECT count(*) FROM clients").Scan(&n); err != nil {
			t.Fatal(err)
		}
		fmt.Println(n)
	})
	// Output: 1000
}

func ExampleTemplate_DB() {
	example(func(t testing.TB) {
		db := schema.DB(t)
		var name string
		if err := db.QueryRow("SELECT name FROM clients WHERE id = %s", 1).Scan(&name); err != nil {
			t.Fatal(err)
		}
		fmt.Println(name)
	})
	// Output: ACME
}

// DSN is for tests of code that opens the database itself.
func ExampleTemplate_DSN() {
	example(func(t testing.TB) {
		db, err := sql.Open("postgres", schema.DSN(t))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var name string
		if err := db.QueryRow("SELECT name FROM clients WHERE id = $1", 1).Scan(&name); err != nil {
			t.Fatal(err)
		}
		fmt.Println(name)
	})
	// Output: ACME
}

// TestMain calls Close after m.Run.
func ExampleTemplate_Close() {
	template := psycotest.NewTemplate(psycotest.SQL(files, "testdata/migrations/*.up.sql"))
	example(func(t testing.TB) { template.DB(t) })
	if err := template.Close(); err != nil {
		log.Fatal(err)
	}
	fmt.Println("dropped")
	// Output: dropped
}

// A step of one's own calls a migration tool: goose.UpContext(ctx, db, "migrations").
func ExampleStep() {
	var migrate psycotest.Step = func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, "CREATE TABLE days (day date)")
		return err
	}
	template := psycotest.NewTemplate(migrate)
	defer template.Close()
	example(func(t testing.TB) {
		var n int
		if err := template.DB(t).QueryRow("SELECT count(*) FROM days").Scan(&n); err != nil {
			t.Fatal(err)
		}
		fmt.Println(n)
	})
	// Output: 0
}

func ExampleLoad() {
	example(func(t testing.TB) {
		db := psycotest.DB(t)
		psycotest.Load(t, db,
			psycotest.SQL(os.DirFS("testdata"), "migrations/*.up.sql"),
			psycotest.CSV(os.DirFS("testdata"), "fixtures/*.csv"),
		)
		var sum string
		if err := db.QueryRow("SELECT sum(amount) FROM bills").Scan(&sum); err != nil {
			t.Fatal(err)
		}
		fmt.Println(sum)
	})
	// Output: 24.90
}

// Where the server finds a mistake, the test says in which file and line.
func ExampleSQL() {
	example(func(t testing.TB) {
		db := psycotest.DB(t)
		psycotest.Load(t, db, psycotest.SQL(dir("001.sql", "CREATE TABLE t (\n\ta int,\n);"), "*.sql"))
	})
	// Output: psycotest: 001.sql:3: pq: syntax error at or near ")" at position 3:1 (42601)
}

// The files can be in any order: tables are loaded after those that their foreign
// keys refer to. Sequences go on behind what was loaded.
func ExampleCSV() {
	example(func(t testing.TB) {
		db := psycotest.DB(t)
		psycotest.Load(t, db,
			psycotest.SQL(files, "testdata/migrations/*.up.sql"),
			psycotest.CSV(dir(
				"bills.csv", "id,client,amount\n7,1,19.90\n",
				"clients.csv", "id,name\n1,ACME\n",
			), "*.csv"),
		)
		var id int
		if err := db.QueryRow("INSERT INTO bills (client, amount) VALUES (1, 5) RETURNING id").Scan(&id); err != nil {
			t.Fatal(err)
		}
		fmt.Println(id)
	})
	// Output: 8
}

func ExampleServer_DB() {
	example(func(t testing.TB) {
		server, err := psycotest.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		db := server.DB(t, psyco.WithOnConnect(func(context.Context, *psyco.Conn) error {
			fmt.Println("connected")
			return nil
		}))
		fmt.Println(db.Ping())
	})
	// Output:
	// connected
	// <nil>
}

// A server of a version, whatever is installed here. Without the import there is none.
func ExampleImage() {
	// import _ "github.com/psyco-go/psyco/psycotest/dockerpg"
	server, err := psycotest.Open(context.Background(), psycotest.Image("postgres:16"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	fmt.Println(server.DSN())
	// Output:
	// psycotest: cannot run the image postgres:16: this program cannot run Docker images, because nothing in it imports _ "github.com/psyco-go/psyco/psycotest/dockerpg"
}
