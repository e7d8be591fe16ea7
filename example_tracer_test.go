package psyco_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/psyco-go/psyco"
)

// exampleLogger writes records without what differs from run to run.
func exampleLogger(keys ...string) *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			for _, key := range keys {
				if a.Key == key {
					return a
				}
			}
			return slog.Attr{}
		},
	}))
}

func ExampleWithTracer() {
	dsn, drop := exampleDSN()
	defer drop()
	logger := exampleLogger("level", "msg", "db.query.text", "db.response.returned_rows", "db.response.status_code")

	connector, err := psyco.NewConnector(dsn, psyco.WithTracer(&psyco.SlogTracer{Logger: logger}))
	if err != nil {
		log.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()

	var sum int
	if err := db.QueryRow("SELECT %s::int + 1", 41).Scan(&sum); err != nil {
		log.Fatal(err)
	}
	if _, err := db.Exec("DROP TABLE nowhere"); err != nil {
		fmt.Println(sum, err)
	}
	// Output:
	// level=INFO msg=CONNECT
	// level=INFO msg=SELECT db.query.text="SELECT %s::int + 1" db.response.returned_rows=1
	// level=ERROR msg="DROP nowhere" db.query.text="DROP TABLE nowhere" db.response.status_code=42P01
	// 42 pq: table "nowhere" does not exist (42P01)
}

func ExampleSlogTracer() {
	logger := exampleLogger("level", "msg", "psyco.arguments", "db.query.parameter.0")

	tracer := &psyco.SlogTracer{
		Logger:     logger,
		Level:      slog.LevelDebug,      // the logger does not want them
		SlowerThan: 2 * time.Millisecond, // nor would those be logged that are fast
		Values:     true,                 // only where nothing is secret
	}
	db, done := exampleDB(psyco.WithTracer(tracer))
	defer done()

	db.Exec("SELECT %s::int", 7)
	db.Exec("SELECT %s::int", "seven")
	// Output: level=ERROR msg=SELECT psyco.arguments=1 db.query.parameter.0=seven
}

// printer is a Tracer that prints the calls under which others happen.
type printer struct{}

func (printer) TraceStart(ctx context.Context, t *psyco.Trace) context.Context {
	if t.Call == "Begin" {
		fmt.Println("a transaction begins")
	}
	return ctx
}

func (printer) TraceEnd(_ context.Context, t *psyco.Trace) {
	if t.RowsAffected > 0 {
		fmt.Println(t.Operation(), t.RowsAffected, "rows, in", t.RoundTrips, "round trips")
	}
}

func ExampleTracer() {
	db, done := exampleDB(psyco.WithTracer(printer{}))
	defer done()

	err := psyco.InTx(context.Background(), db, nil, func(tx *sql.Tx) error {
		_, err := tx.Exec("UPDATE clients SET total = total + %s", 10)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// CREATE 3 rows, in 1 round trips
	// a transaction begins
	// UPDATE 3 rows, in 1 round trips
}

// slowest is a Tracer that keeps the longest operation of each kind.
type slowest map[string]time.Duration

func (s slowest) TraceStart(ctx context.Context, _ *psyco.Trace) context.Context { return ctx }
func (s slowest) TraceEnd(_ context.Context, t *psyco.Trace) {
	s[t.Summary()] = max(s[t.Summary()], t.Duration)
}

func ExampleTrace_Summary() {
	slow := slowest{} // a program with goroutines needs a lock around it
	db, done := exampleDB(psyco.WithTracer(slow))
	defer done()

	db.Exec("SELECT name FROM clients JOIN clients AS c USING (id) WHERE id = %s", 1)
	for name, d := range slow {
		if strings.HasPrefix(name, "SELECT") {
			fmt.Println(name, d > 0)
		}
	}
	// Output: SELECT clients clients true
}

func ExampleTrace() {
	t := &psyco.Trace{Call: "Query", Query: "SELECT name FROM clients WHERE email = 'info@acme.co'"}
	fmt.Println(t.Operation())
	for _, a := range t.Attrs(false) { // without values
		fmt.Println(a)
	}
	// Output:
	// SELECT
	// db.system.name=postgresql
	// db.operation.name=SELECT
	// psyco.call=Query
	// db.query.summary=SELECT clients
	// db.query.text=SELECT name FROM clients WHERE email = ?
}
