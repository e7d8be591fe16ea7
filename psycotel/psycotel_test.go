package psycotel_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/psycotel"
	"github.com/psyco-go/psyco/psycotest"
)

// observed is a database whose spans and metrics a test can look at.
type observed struct {
	*sql.DB
	tracer   *psycotel.Tracer
	spans    *tracetest.SpanRecorder
	provider *sdktrace.TracerProvider
	reader   *sdkmetric.ManualReader
}

func observe(t *testing.T, opts ...psycotel.Option) observed {
	t.Helper()
	o := observed{spans: tracetest.NewSpanRecorder(), reader: sdkmetric.NewManualReader()}
	o.provider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(o.spans))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(o.reader))
	o.tracer = psycotel.NewTracer(append(opts, psycotel.WithTracerProvider(o.provider), psycotel.WithMeterProvider(meters))...)
	o.DB = psycotest.DB(t, psyco.WithTracer(o.tracer))
	return o
}

// metrics are those that there are now, by name.
func (o observed) metrics(t *testing.T) map[string]metricdata.Metrics {
	t.Helper()
	var all metricdata.ResourceMetrics
	must(t, o.reader.Collect(context.Background(), &all))
	byName := map[string]metricdata.Metrics{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			byName[m.Name] = m
		}
	}
	return byName
}

// span is the last one of a name.
func (o observed) span(t *testing.T, name string) sdktrace.ReadOnlySpan {
	t.Helper()
	for _, s := range slices.Backward(o.spans.Ended()) {
		if s.Name() == name {
			return s
		}
	}
	t.Fatalf("no span %q", name)
	return nil
}

func value(attrs []attribute.KeyValue, key attribute.Key) string {
	return valueIn(attribute.NewSet(attrs...), key)
}

func valueIn(set attribute.Set, key attribute.Key) string {
	v, _ := set.Value(key)
	return v.String()
}

func TestSpans(t *testing.T) {
	db := observe(t)
	ctx, parent := db.provider.Tracer("test").Start(context.Background(), "request")
	must(t, psyco.InTx(ctx, db.DB, nil, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "CREATE TABLE t (a int PRIMARY KEY)"); err != nil {
			return err
		}
		_, err := psyco.CopyFrom(ctx, tx, "COPY t FROM STDIN", strings.NewReader("1\n2\n"))
		return err
	}))
	var n int
	must(t, db.QueryRowContext(ctx, "SELECT count(*) FROM t WHERE a > %s", 0).Scan(&n))
	if _, err := db.ExecContext(ctx, "INSERT INTO t VALUES (%s)", 1); err == nil {
		t.Fatal("no error")
	}
	parent.End()

	var names []string
	for _, span := range db.spans.Ended() {
		names = append(names, span.Name())
		if span.Name() == "request" {
			continue
		}
		if span.Parent().SpanID() != parent.SpanContext().SpanID() || span.SpanKind() != trace.SpanKindClient {
			t.Errorf("%s is a span of kind %v under %v", span.Name(), span.SpanKind(), span.Parent())
		}
	}
	want := []string{"CONNECT", "BEGIN", "CREATE t", "COPY t", "COMMIT", "SELECT t", "INSERT t", "request"}
	if !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	for _, test := range []struct{ span, key, want string }{
		{"SELECT t", "db.system.name", "postgresql"},
		{"SELECT t", "db.operation.name", "SELECT"},
		{"SELECT t", "db.query.summary", "SELECT t"},
		{"SELECT t", "db.query.text", "SELECT count(*) FROM t WHERE a > %s"},
		{"SELECT t", "db.response.returned_rows", "1"},
		{"SELECT t", "psyco.round_trips", "1"},
		{"SELECT t", "psyco.cache_hit", "false"},
		{"SELECT t", "error", ""},
		{"INSERT t", "db.response.status_code", "23505"},
		{"INSERT t", "error.type", "23505"},
		{"INSERT t", "error", ""}, // that is the status
		{"COPY t", "psyco.affected_rows", "2"},
	} {
		if got := value(db.span(t, test.span).Attributes(), attribute.Key(test.key)); got != test.want {
			t.Errorf("%s: %s is %q, want %q", test.span, test.key, got, test.want)
		}
	}
	if got := db.span(t, "INSERT t").Status(); got.Code != codes.Error || !strings.Contains(got.Description, "t_pkey") {
		t.Errorf("INSERT has the status %+v", got)
	}
	if got := db.span(t, "SELECT t").Status(); got.Code != codes.Unset {
		t.Errorf("SELECT has the status %+v", got)
	}
}

// Samplers decide when a span begins, by what is known then.
func TestSamplersSeeTheQuery(t *testing.T) {
	var seen []string
	provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler(func(p sdktrace.SamplingParameters) {
		seen = append(seen, value(p.Attributes, "db.query.text"))
	})))
	tracer := psycotel.NewTracer(psycotel.WithTracerProvider(provider))
	db := psycotest.DB(t, psyco.WithTracer(tracer))
	_, err := db.Exec("SELECT %s::int", 1)
	must(t, err)
	if want := []string{"", "SELECT %s::int"}; !slices.Equal(seen, want) {
		t.Errorf("the sampler saw %q, want %q", seen, want)
	}
}

type sampler func(sdktrace.SamplingParameters)

func (f sampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	f(p)
	return sdktrace.SamplingResult{Decision: sdktrace.Drop}
}

func (sampler) Description() string { return "test" }

// A secret in an argument, in a literal or in the server's error is nowhere, unless one asks for it,
// and in no metric even then.
func TestSecretsStayOut(t *testing.T) {
	const secret = "hunter2"
	for _, test := range []struct {
		name    string
		opts    []psycotel.Option
		visible bool
	}{
		{"by default", nil, false},
		{"with values", []psycotel.Option{psycotel.WithValues()}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			db := observe(t, test.opts...)
			_, err := db.Exec("SELECT %s", secret)
			must(t, err)
			_, err = db.Exec("SELECT '" + secret + "'")
			must(t, err)
			for _, failing := range []string{"SELECT %s::text::int", "DO $$ BEGIN RAISE '%', %s; END $$"} {
				if _, err := db.Exec(failing, secret); err == nil {
					t.Fatalf("%s: no error", failing)
				}
			}
			spans := 0
			for _, span := range db.spans.Ended() {
				text := span.Status().Description
				for _, a := range span.Attributes() {
					text += " " + a.Value.String()
				}
				if strings.Contains(text, secret) {
					spans++
					if !test.visible {
						t.Errorf("%s: %s", span.Name(), text)
					}
				}
			}
			if test.visible && spans < 3 {
				t.Errorf("%d spans have values", spans)
			}
			if param := value(db.spans.Ended()[1].Attributes(), "db.query.parameter.0"); test.visible && param != secret {
				t.Errorf("db.query.parameter.0 is %q", param)
			}
			for name, m := range db.metrics(t) {
				for _, set := range attributeSets(t, m) {
					if strings.Contains(set.Encoded(attribute.DefaultEncoder()), secret) {
						t.Errorf("%s has %v", name, set)
					}
				}
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	db := observe(t, psycotel.WithPoolName("shop"))
	for range 3 {
		rows, err := db.Query("SELECT generate_series(1, %s)", 4)
		must(t, err)
		for rows.Next() {
		}
		must(t, rows.Close())
	}
	db.Exec("INSERT INTO nowhere VALUES (%s)", 1)

	metrics := db.metrics(t)
	for _, test := range []struct{ name, unit string }{
		{"db.client.operation.duration", "s"},
		{"db.client.response.returned_rows", "{row}"},
		{"db.client.connection.create_time", "s"},
		{"psyco.client.statements", "{statement}"},
		{"psyco.client.round_trips", "{round_trip}"},
	} {
		if m, ok := metrics[test.name]; !ok || m.Unit != test.unit || m.Description == "" {
			t.Errorf("%s: got %v, %q, %q", test.name, ok, m.Unit, m.Description)
		}
	}
	duration := metrics["db.client.operation.duration"].Data.(metricdata.Histogram[float64])
	byOperation := map[string]metricdata.HistogramDataPoint[float64]{}
	for _, p := range duration.DataPoints {
		byOperation[valueIn(p.Attributes, "db.operation.name")] = p
	}
	if p := byOperation["SELECT"]; p.Count != 3 || p.Sum <= 0 || p.Sum > 60 {
		t.Errorf("SELECT: %d operations in %v seconds", p.Count, p.Sum)
	}
	if want := []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10}; !slices.Equal(byOperation["SELECT"].Bounds, want) {
		t.Errorf("the boundaries are %v", byOperation["SELECT"].Bounds)
	}
	if got := valueIn(byOperation["INSERT"].Attributes, "error.type"); got != "42P01" {
		t.Errorf("INSERT has the error.type %q", got)
	}
	rows := metrics["db.client.response.returned_rows"].Data.(metricdata.Histogram[int64])
	if p := rows.DataPoints[0]; len(rows.DataPoints) != 1 || p.Count != 3 || p.Sum != 12 {
		t.Errorf("%d queries returned %d rows", p.Count, p.Sum)
	}
	create := metrics["db.client.connection.create_time"].Data.(metricdata.Histogram[float64])
	if p := create.DataPoints[0]; p.Count != 1 || valueIn(p.Attributes, "db.client.connection.pool.name") != "shop" {
		t.Errorf("create_time: %+v", p)
	}
	hits := map[string]int64{}
	for _, p := range metrics["psyco.client.statements"].Data.(metricdata.Sum[int64]).DataPoints {
		attrs := p.Attributes
		hits[valueIn(attrs, "db.operation.name")+" "+valueIn(attrs, "psyco.cache_hit")] += p.Value
	}
	if hits["SELECT false"] != 2 || hits["SELECT true"] != 1 || hits["INSERT false"] != 1 {
		t.Errorf("the cache was hit so: %v", hits)
	}
	trips := map[string]int64{}
	for _, p := range metrics["psyco.client.round_trips"].Data.(metricdata.Sum[int64]).DataPoints {
		trips[valueIn(p.Attributes, "db.operation.name")] += p.Value
	}
	if trips["SELECT"] != 3 || trips["INSERT"] != 1 {
		t.Errorf("the round trips are %v", trips)
	}
}

func TestObservePool(t *testing.T) {
	ctx := context.Background()
	db := observe(t)
	reg, err := db.tracer.ObservePool(db.DB)
	must(t, err)
	if m := db.metrics(t); len(m) != 0 {
		t.Errorf("before there is a connection: %v", m)
	}
	db.SetMaxOpenConns(2)
	a, err := db.Conn(ctx)
	must(t, err)
	b, err := db.Conn(ctx)
	must(t, err)
	ended, cancel := context.WithCancel(ctx)
	waiting := make(chan error)
	go func() {
		_, err := db.Conn(ended)
		waiting <- err
	}()
	for db.Stats().WaitCount == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-waiting
	must(t, b.Close())

	metrics := db.metrics(t)
	got := map[string]int64{}
	for name, key := range map[string]attribute.Key{"db.client.connection.count": "db.client.connection.state",
		"db.client.connection.max": "", "psyco.client.connection.waits": "", "psyco.client.connection.closed": "psyco.reason"} {
		for _, p := range metrics[name].Data.(metricdata.Sum[int64]).DataPoints {
			attrs := p.Attributes
			got[name+" "+valueIn(attrs, key)] = p.Value
			if pool := valueIn(attrs, "db.client.connection.pool.name"); !strings.Contains(pool, "/") {
				t.Errorf("%s has the pool's name %q", name, pool)
			}
		}
	}
	for name, want := range map[string]int64{
		"db.client.connection.count used":              1,
		"db.client.connection.count idle":              1,
		"db.client.connection.max ":                    2,
		"psyco.client.connection.waits ":               1,
		"psyco.client.connection.closed max_idle":      0,
		"psyco.client.connection.closed max_idle_time": 0,
		"psyco.client.connection.closed max_lifetime":  0,
	} {
		if n, ok := got[name]; !ok || n != want {
			t.Errorf("%s is %d (%v), want %d", name, n, ok, want)
		}
	}
	if waited := metrics["psyco.client.connection.waited"].Data.(metricdata.Sum[float64]).DataPoints[0].Value; waited <= 0 {
		t.Errorf("waited %v seconds", waited)
	}
	must(t, a.Close())
	must(t, reg.Unregister())
	if _, ok := db.metrics(t)["db.client.connection.count"]; ok {
		t.Error("the pool is observed after Unregister")
	}
}

// Several pools of one Tracer have names of their own, before there is a connection too.
func TestObserveSeveralPools(t *testing.T) {
	db := observe(t)
	other := psycotest.DB(t, psyco.WithTracer(db.tracer))
	for name, pool := range map[string]*sql.DB{"primary": db.DB, "standby": other} {
		_, err := db.tracer.ObservePool(pool, semconv.DBClientConnectionPoolName(name), attribute.String("role", name))
		must(t, err)
	}
	must(t, other.Ping())
	got := map[string]int64{}
	for _, p := range db.metrics(t)["db.client.connection.count"].Data.(metricdata.Sum[int64]).DataPoints {
		got[valueIn(p.Attributes, "db.client.connection.pool.name")+" "+valueIn(p.Attributes, "role")+" "+valueIn(p.Attributes, "db.client.connection.state")] = p.Value
	}
	if want := map[string]int64{"primary primary used": 0, "primary primary idle": 0, "standby standby used": 0, "standby standby idle": 1}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Behind psyco.Wrap, psyco does not know the server, and database/sql may ask in two ways.
func TestBehindWrap(t *testing.T) {
	base, err := pq.NewConnector(psycotest.DSN(t))
	must(t, err)
	spans := tracetest.NewSpanRecorder()
	tracer := psycotel.NewTracer(psycotel.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))))
	db := sql.OpenDB(psyco.Wrap(onlyPrepare{base}, psyco.WithTracer(tracer)))
	defer db.Close()
	var n int
	must(t, db.QueryRow("SELECT %s::int", 1).Scan(&n))
	for _, s := range spans.Ended() {
		if s.Status().Code == codes.Error {
			t.Errorf("%s has an error: %v", s.Name(), s.Status())
		}
	}
	if n != 1 || len(spans.Ended()) == 0 {
		t.Errorf("got %d, with %d spans", n, len(spans.Ended()))
	}
}

// onlyPrepare makes connections that can do nothing but what every driver must.
type onlyPrepare struct{ driver.Connector }

func (o onlyPrepare) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := o.Connector.Connect(ctx)
	return struct{ driver.Conn }{c}, err
}

func attributeSets(t *testing.T, m metricdata.Metrics) (sets []attribute.Set) {
	t.Helper()
	switch data := m.Data.(type) {
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Histogram[int64]:
		for _, p := range data.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Sum[float64]:
		for _, p := range data.DataPoints {
			sets = append(sets, p.Attributes)
		}
	default:
		t.Fatalf("%s has data of type %T", m.Name, data)
	}
	return sets
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
