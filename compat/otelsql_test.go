package compat

import (
	"database/sql"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/XSAM/otelsql"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/psycotest"
)

func TestOTelSQL(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := otelsql.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)))
	dsn := psycotest.DSN(t)
	db, err := otelsql.Open("psyco", dsn, provider, otelsql.WithAttributes(semconv.DBSystemNamePostgreSQL))
	must(t, err)
	defer db.Close()
	testWrapped(t, db)
	testReset(t, db)

	// A call of a function of psyco's is a statement by its name.
	statements := map[string]int{}
	for _, span := range spans.Ended() {
		for _, a := range span.Attributes() {
			if a.Key == semconv.DBQueryTextKey || a.Key == "db.statement" {
				statements[a.Value.AsString()]++
			}
		}
	}
	for _, want := range []string{"-- psyco.CopyFrom", "-- psyco.WithConn", "INSERT INTO u VALUES (%s)"} {
		if statements[want] == 0 {
			t.Errorf("no span for %q, only %q", want, slices.Sorted(maps.Keys(statements)))
		}
	}
}

func TestOTelSQLConnector(t *testing.T) {
	dsn := psycotest.DSN(t)
	connector, err := psyco.NewConnector(dsn)
	must(t, err)
	tracer := otelsql.WithTracerProvider(sdktrace.NewTracerProvider())
	propagator := otelsql.WithTextMapPropagator(propagation.TraceContext{})
	db := otelsql.OpenDB(connector, tracer, propagator, otelsql.WithSQLCommenter(true))
	defer db.Close()
	text := one[string](t, db, "SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid() AND %s", true)
	if !strings.Contains(text, "traceparent") || !strings.Contains(text, "$1") {
		t.Fatalf("the server got %s", text)
	}
	testWrapped(t, db)
	testReset(t, db)
}

func TestOTelSQLWrapDriver(t *testing.T) {
	sql.Register("psyco-otelsql", otelsql.WrapDriver(&psyco.Driver{}))
	db, err := sql.Open("psyco-otelsql", psycotest.DSN(t))
	must(t, err)
	defer db.Close()
	testWrapped(t, db)
	testReset(t, db)
}
