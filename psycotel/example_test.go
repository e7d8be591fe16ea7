package psycotel_test

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"log"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/psycotel"
	"github.com/psyco-go/psyco/psycotest"
)

// exampleDSN is a database of an example's own.
func exampleDSN() (dsn string, drop func()) {
	ctx := context.Background()
	server, err := psycotest.Open(ctx)
	check(err)
	dsn, remove, err := server.NewDatabase(ctx)
	check(err)
	return dsn, func() { check(remove()); check(server.Close()) }
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func ExampleNewTracer() {
	dsn, drop := exampleDSN()
	defer drop()

	tracer := psycotel.NewTracer() // with the providers that otel.SetTracerProvider and SetMeterProvider got
	connector, err := psyco.NewConnector(dsn, psyco.WithTracer(tracer))
	if err != nil {
		log.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	if _, err := tracer.ObservePool(db); err != nil {
		log.Fatal(err)
	}

	fmt.Println(db.Ping())
	// Output: <nil>
}

// What a trace shows.
func ExampleWithTracerProvider() {
	dsn, drop := exampleDSN()
	defer drop()
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	db := open(dsn, psycotel.NewTracer(psycotel.WithTracerProvider(provider)))
	defer db.Close()

	_, err := db.Exec("CREATE TABLE clients (id int PRIMARY KEY)")
	check(err)
	for range 2 {
		db.Exec("INSERT INTO clients VALUES (%s)", 1)
	}
	for _, s := range spans.GetSpans() {
		fmt.Printf("%s: %s\n", s.Name, cmp.Or(s.Status.Description, "fine"))
	}
	// Output:
	// CONNECT: fine
	// CREATE clients: fine
	// INSERT clients: fine
	// INSERT clients: pq: duplicate key value violates unique constraint "clients_pkey" (23505)
}

// open opens a database with a tracer.
func open(dsn string, tracer *psycotel.Tracer) *sql.DB {
	connector, err := psyco.NewConnector(dsn, psyco.WithTracer(tracer))
	check(err)
	return sql.OpenDB(connector)
}

// The attributes of a query's span.
func ExampleTracer() {
	dsn, drop := exampleDSN()
	defer drop()
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	db := open(dsn, psycotel.NewTracer(psycotel.WithTracerProvider(provider)))
	defer db.Close()

	_, err := db.Exec("SELECT name FROM pg_settings WHERE name IN %s", []string{"port", "ssl"})
	check(err)
	for _, a := range spans.GetSpans()[1].Attributes {
		switch a.Key {
		case "db.query.summary", "db.query.text", "psyco.round_trips":
			fmt.Println(a.Key, "=", a.Value.String())
		}
	}
	// Output:
	// db.query.summary = SELECT pg_settings
	// db.query.text = SELECT name FROM pg_settings WHERE name IN %s
	// psyco.round_trips = 1
}

// metrics prints what stands in the points of a metric under a key.
func metrics(reader sdkmetric.Reader, name string, key attribute.Key) {
	var all metricdata.ResourceMetrics
	check(reader.Collect(context.Background(), &all))
	var lines []string
	for _, m := range all.ScopeMetrics[0].Metrics {
		if m.Name != name {
			continue
		}
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				v, _ := p.Attributes.Value(key)
				lines = append(lines, fmt.Sprint(v.String(), " ", p.Value))
			}
		case metricdata.Histogram[float64]:
			for _, p := range data.DataPoints {
				v, _ := p.Attributes.Value(key)
				lines = append(lines, fmt.Sprint(v.String(), " ", p.Count, " times"))
			}
		}
	}
	slices.Sort(lines)
	fmt.Println(strings.Join(lines, "\n"))
}

func ExampleWithMeterProvider() {
	dsn, drop := exampleDSN()
	defer drop()
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	db := open(dsn, psycotel.NewTracer(psycotel.WithMeterProvider(provider)))
	defer db.Close()

	for i := range 3 {
		_, err := db.Exec("SELECT %s::int", i)
		check(err)
	}
	metrics(reader, "db.client.operation.duration", "db.operation.name")
	// Output:
	// CONNECT 1 times
	// SELECT 3 times
}

func ExampleWithPoolName() {
	dsn, drop := exampleDSN()
	defer drop()
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	db := open(dsn, psycotel.NewTracer(psycotel.WithMeterProvider(provider), psycotel.WithPoolName("shop")))
	defer db.Close()

	check(db.Ping())
	metrics(reader, "db.client.connection.create_time", "db.client.connection.pool.name")
	// Output: shop 1 times
}

// What a dashboard shows of the pool.
func ExampleTracer_ObservePool() {
	dsn, drop := exampleDSN()
	defer drop()
	reader := sdkmetric.NewManualReader()
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	tracer := psycotel.NewTracer(psycotel.WithMeterProvider(provider))
	db := open(dsn, tracer)
	defer db.Close()
	observing, err := tracer.ObservePool(db)
	check(err)
	defer observing.Unregister()

	busy, err := db.Conn(context.Background())
	check(err)
	defer busy.Close()
	metrics(reader, "db.client.connection.count", "db.client.connection.state")
	// Output:
	// idle 0
	// used 1
}

// Secrets may be seen.
func ExampleWithValues() {
	dsn, drop := exampleDSN()
	defer drop()
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	db := open(dsn, psycotel.NewTracer(psycotel.WithTracerProvider(provider), psycotel.WithValues()))
	defer db.Close()

	_, err := db.Exec("SELECT %s", "ACME Corp.")
	check(err)
	for _, a := range spans.GetSpans()[1].Attributes {
		if a.Key == "db.query.parameter.0" {
			fmt.Println(a.Value.AsString())
		}
	}
	// Output: ACME Corp.
}
