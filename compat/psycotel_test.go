package compat

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/XSAM/otelsql"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/psycotel"
	"github.com/psyco-go/psyco/psycotest"
)

// telemetry is what a program has told of a little work.
type telemetry struct {
	texts    map[string]int // spans that have the text of a query
	duration metricdata.Metrics
	metrics  map[string]metricdata.Metrics
}

func watch(t *testing.T, open func(*psyco.Connector, *sdktrace.TracerProvider, *sdkmetric.MeterProvider) *sql.DB) telemetry {
	t.Helper()
	spans, reader := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	db := open(mustConnector(t), tracers, meters)
	defer db.Close()
	_, err := db.Exec("CREATE TABLE clients (id int PRIMARY KEY)")
	must(t, err)
	for i := range 2 {
		_, err := db.Exec("INSERT INTO clients VALUES (%s)", i)
		must(t, err)
	}
	if n := one[int](t, db, "SELECT count(*) FROM clients WHERE id >= %s", 0); n != 2 {
		t.Fatalf("%d clients", n)
	}
	if _, err := db.Exec("INSERT INTO clients VALUES (%s)", 1); err == nil {
		t.Fatal("no error")
	}
	busy, err := db.Conn(context.Background())
	must(t, err)
	defer busy.Close()

	got := telemetry{texts: map[string]int{}, metrics: map[string]metricdata.Metrics{}}
	for _, s := range spans.Ended() {
		for _, a := range s.Attributes() {
			if a.Key == semconv.DBQueryTextKey {
				got.texts[a.Value.AsString()]++
			}
		}
	}
	var all metricdata.ResourceMetrics
	must(t, reader.Collect(context.Background(), &all))
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			got.metrics[m.Name] = m
		}
	}
	got.duration = got.metrics["db.client.operation.duration"]
	return got
}

func mustConnector(t *testing.T) *psyco.Connector {
	t.Helper()
	connector, err := psyco.NewConnector(psycotest.DSN(t))
	must(t, err)
	return connector
}

// The same work tells the same through otelsql and through psycotel.
func TestPsycotelBesideOTelSQL(t *testing.T) {
	theirs := watch(t, func(c *psyco.Connector, tp *sdktrace.TracerProvider, mp *sdkmetric.MeterProvider) *sql.DB {
		opts := []otelsql.Option{otelsql.WithTracerProvider(tp), otelsql.WithMeterProvider(mp),
			otelsql.WithAttributes(semconv.DBSystemNamePostgreSQL)}
		db := otelsql.OpenDB(c, opts...)
		_, err := otelsql.RegisterDBStatsMetrics(db, opts...)
		must(t, err)
		return db
	})
	ours := watch(t, func(c *psyco.Connector, tp *sdktrace.TracerProvider, mp *sdkmetric.MeterProvider) *sql.DB {
		tracer := psycotel.NewTracer(psycotel.WithTracerProvider(tp), psycotel.WithMeterProvider(mp))
		traced, err := psyco.NewConnectorConfig(c.Config(), psyco.WithTracer(tracer))
		must(t, err)
		db := sql.OpenDB(traced)
		_, err = tracer.ObservePool(db)
		must(t, err)
		return db
	})

	// otelsql has a span with the text for each call, Rows among them; psycotel one for each operation.
	if their, our := slices.Sorted(maps.Keys(theirs.texts)), slices.Sorted(maps.Keys(ours.texts)); !slices.Equal(their, our) {
		t.Errorf("the queries of spans:\n%q\n%q", their, our)
	}
	if their, our := form(t, theirs.duration), form(t, ours.duration); their != our {
		t.Errorf("the metric of durations:\n%s\n%s", their, our)
	}
	if their, our := connections(t, theirs.metrics["db.sql.connection.open"], "status"),
		connections(t, ours.metrics["db.client.connection.count"], "db.client.connection.state"); their["inuse"] != our["used"] || their["idle"] != our["idle"] {
		t.Errorf("the connections:\n%v\n%v", their, our)
	}
}

// form is what makes a metric of durations the same as another, but for their operations.
func form(t *testing.T, m metricdata.Metrics) string {
	t.Helper()
	data, ok := m.Data.(metricdata.Histogram[float64])
	if !ok {
		t.Fatalf("%q is a %T", m.Name, m.Data)
	}
	system, _ := data.DataPoints[0].Attributes.Value(semconv.DBSystemNameKey)
	failed := 0
	for _, p := range data.DataPoints {
		if p.Attributes.HasValue(semconv.ErrorTypeKey) {
			failed += int(p.Count)
		}
	}
	return fmt.Sprint(m.Name, " in ", m.Unit, ": ", m.Description, data.DataPoints[0].Bounds, data.Temporality, system.AsString(), ", failed: ", failed)
}

func connections(t *testing.T, m metricdata.Metrics, key attribute.Key) map[string]int64 {
	t.Helper()
	var points []metricdata.DataPoint[int64]
	switch data := m.Data.(type) {
	case metricdata.Gauge[int64]:
		points = data.DataPoints
	case metricdata.Sum[int64]:
		points = data.DataPoints
	default:
		t.Fatalf("%q is a %T", m.Name, m.Data)
	}
	counts := map[string]int64{}
	for _, p := range points {
		state, _ := p.Attributes.Value(key)
		counts[state.AsString()] = p.Value
	}
	return counts
}
