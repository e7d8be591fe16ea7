// Package psycotel makes OpenTelemetry spans and metrics of what psyco does, by
// OpenTelemetry's semantic conventions for database clients.
//
// A [Tracer] goes to psyco.WithTracer; [Tracer.ObservePool] adds the pool's counters.
package psycotel

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/dbconv"
	"go.opentelemetry.io/otel/trace"

	"github.com/psyco-go/psyco"
)

// scope is the name under which OpenTelemetry shows where spans and metrics come from.
const scope = "github.com/psyco-go/psyco/psycotel"

// An Option changes what NewTracer returns.
type Option func(*Tracer)

// WithTracerProvider makes spans with p instead of otel.GetTracerProvider().
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(t *Tracer) { t.spans = p.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)) }
}

// WithMeterProvider records metrics with p instead of otel.GetMeterProvider().
func WithMeterProvider(p metric.MeterProvider) Option {
	return func(t *Tracer) { t.meter = p.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL)) }
}

// WithPoolName is what the metrics of connections have as db.client.connection.pool.name. It
// should be unique in the program. Without it, that is server:port/database of the first
// connection, as the conventions ask, and the pool is not shown before there is one.
func WithPoolName(name string) Option {
	return func(t *Tracer) { t.pool.Store(&name) }
}

// WithValues puts into spans what may be secret: arguments, as db.query.parameter.<name>, literals
// in queries that have no arguments, and all that the server says about an error. No metric has them.
func WithValues() Option {
	return func(t *Tracer) { t.values = true }
}

var _ psyco.Tracer = (*Tracer)(nil)

// Tracer makes a span of each operation of psyco, and records its duration. It serves the
// connections of one pool, or those of a psyco.Cluster.
type Tracer struct {
	spans  trace.Tracer
	meter  metric.Meter
	values bool
	pool   atomic.Pointer[string]

	duration   dbconv.ClientOperationDuration
	rows       dbconv.ClientResponseReturnedRows
	connecting dbconv.ClientConnectionCreateTime
	statements metric.Int64Counter
	roundTrips metric.Int64Counter
}

// NewTracer returns a Tracer. It reports the metrics that cannot be made to otel.Handle, as other
// instrumentation does, and works without them.
func NewTracer(opts ...Option) *Tracer {
	t := new(Tracer)
	WithTracerProvider(otel.GetTracerProvider())(t)
	WithMeterProvider(otel.GetMeterProvider())(t)
	for _, o := range opts {
		o(t)
	}
	report := func(err error) {
		if err != nil {
			otel.Handle(fmt.Errorf("psycotel: %w", err))
		}
	}
	var err error
	t.duration, err = dbconv.NewClientOperationDuration(t.meter, metric.WithExplicitBucketBoundaries(seconds...))
	report(err)
	t.rows, err = dbconv.NewClientResponseReturnedRows(t.meter, metric.WithExplicitBucketBoundaries(rowCounts...))
	report(err)
	t.connecting, err = dbconv.NewClientConnectionCreateTime(t.meter, metric.WithExplicitBucketBoundaries(seconds...))
	report(err)
	t.statements, err = t.meter.Int64Counter("psyco.client.statements", metric.WithUnit("{statement}"),
		metric.WithDescription("Statements with arguments, by whether the cache had prepared them."))
	report(err)
	t.roundTrips, err = t.meter.Int64Counter("psyco.client.round_trips", metric.WithUnit("{round_trip}"),
		metric.WithDescription("How often psyco has waited for the server."))
	report(err)
	return t
}

// The boundaries that the conventions ask for.
var (
	seconds   = []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10}
	rowCounts = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000}
)

// TraceStart begins a span, a child of the one in ctx.
func (t *Tracer) TraceStart(ctx context.Context, op *psyco.Trace) context.Context {
	attrs, _ := t.attributes(op) // what is known now, for samplers
	ctx, _ = t.spans.Start(ctx, op.Summary(), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithTimestamp(op.Start), trace.WithAttributes(attrs...))
	return ctx
}

// TraceEnd ends the span and records the metrics.
func (t *Tracer) TraceEnd(ctx context.Context, op *psyco.Trace) {
	if op.Call == "Connect" && op.Err == nil {
		t.connected(ctx, op)
	}
	span := trace.SpanFromContext(ctx)
	recording, measuring := span.IsRecording(), t.duration.Enabled(ctx)
	skipped := op.Err == driver.ErrSkip // not an error: database/sql now prepares the statement
	if recording || measuring && !skipped {
		attrs, failure := t.attributes(op)
		if recording {
			span.SetAttributes(attrs...)
			if op.Err != nil && !skipped {
				span.SetStatus(codes.Error, failure)
			}
		}
		if measuring && !skipped {
			t.measure(ctx, op, attrs)
		}
	}
	span.End(trace.WithTimestamp(op.Start.Add(op.Duration)))
}

// measure records an operation. Of its attributes metrics have those of which there are few values.
func (t *Tracer) measure(ctx context.Context, op *psyco.Trace, attrs []attribute.KeyValue) {
	few := make([]attribute.KeyValue, 0, len(attrs))
	returned := false
	for _, a := range attrs {
		switch a.Key {
		case semconv.DBSystemNameKey, semconv.DBNamespaceKey, semconv.DBOperationNameKey, semconv.DBQuerySummaryKey,
			semconv.DBResponseStatusCodeKey, semconv.ErrorTypeKey, semconv.ServerAddressKey, semconv.ServerPortKey:
			few = append(few, a)
		case semconv.DBResponseReturnedRowsKey:
			returned = true
		}
	}
	set := attribute.NewSet(few...)
	t.duration.RecordSet(ctx, op.Duration.Seconds(), set)
	if returned && op.Err == nil {
		t.rows.RecordSet(ctx, op.RowsReturned, set)
	}
	if op.PID == 0 {
		return // behind psyco.Wrap nobody counts
	}
	if len(op.Args) > 0 {
		t.statements.Add(ctx, 1, metric.WithAttributes(append(few, attribute.Bool("psyco.cache_hit", op.CacheHit))...))
	}
	if op.RoundTrips > 0 {
		t.roundTrips.Add(ctx, int64(op.RoundTrips), metric.WithAttributeSet(set))
	}
}

// connected records how long it took to connect, and gives the pool a name if it has none.
func (t *Tracer) connected(ctx context.Context, op *psyco.Trace) {
	if t.pool.Load() == nil {
		at := op.Server
		if op.Port != 0 {
			at = net.JoinHostPort(op.Server, strconv.Itoa(int(op.Port)))
		}
		name := at + "/" + op.Database
		t.pool.CompareAndSwap(nil, &name)
	}
	t.connecting.Record(ctx, op.Duration.Seconds(), *t.pool.Load())
}

// attributes are those of psyco.Trace.Attrs, without the text of an error, which is the status of the span.
func (t *Tracer) attributes(op *psyco.Trace) (list []attribute.KeyValue, failure string) {
	from := op.Attrs(t.values)
	list = make([]attribute.KeyValue, 0, len(from))
	for _, a := range from {
		switch {
		case a.Key == "error":
			failure = a.Value.String()
		case strings.HasPrefix(a.Key, "db.query.parameter."):
			list = append(list, attribute.String(a.Key, a.Value.String()))
		case a.Value.Kind() == slog.KindBool:
			list = append(list, attribute.Bool(a.Key, a.Value.Bool()))
		case a.Value.Kind() == slog.KindInt64:
			list = append(list, attribute.Int64(a.Key, a.Value.Int64()))
		case a.Value.Kind() == slog.KindUint64:
			list = append(list, attribute.Int64(a.Key, int64(a.Value.Uint64())))
		default:
			list = append(list, attribute.String(a.Key, a.Value.String()))
		}
	}
	return list, failure
}

// ObservePool adds the counters of db's pool to the metrics until Unregister is called. Of several pools
// with one Tracer, as a psyco.Cluster has, each needs a name: give it semconv.DBClientConnectionPoolName.
func (t *Tracer) ObservePool(db *sql.DB, attrs ...attribute.KeyValue) (metric.Registration, error) {
	var first error
	made := func(err error) {
		if first == nil {
			first = err
		}
	}
	count, err := dbconv.NewClientConnectionCountObservable(t.meter)
	made(err)
	limit, err := dbconv.NewClientConnectionMaxObservable(t.meter)
	made(err)
	waits, err := t.meter.Int64ObservableCounter("psyco.client.connection.waits", metric.WithUnit("{request}"),
		metric.WithDescription("Requests that had to wait for a connection of the pool."))
	made(err)
	waited, err := t.meter.Float64ObservableCounter("psyco.client.connection.waited", metric.WithUnit("s"),
		metric.WithDescription("Time that requests have waited for a connection of the pool."))
	made(err)
	closed, err := t.meter.Int64ObservableCounter("psyco.client.connection.closed", metric.WithUnit("{connection}"),
		metric.WithDescription("Connections that the pool has closed, by the limit that was reached."))
	made(err)
	if first != nil {
		return nil, fmt.Errorf("psycotel: ObservePool: %w", first)
	}
	return t.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		of := slices.Clone(attrs)
		if !slices.ContainsFunc(of, func(a attribute.KeyValue) bool { return a.Key == semconv.DBClientConnectionPoolNameKey }) {
			name := t.pool.Load()
			if name == nil {
				return nil // no connection has been made
			}
			of = append(of, semconv.DBClientConnectionPoolName(*name))
		}
		with := func(more ...attribute.KeyValue) metric.ObserveOption {
			return metric.WithAttributes(append(more, of...)...)
		}
		s := db.Stats()
		o.ObserveInt64(count.Inst(), int64(s.InUse), with(semconv.DBClientConnectionStateUsed))
		o.ObserveInt64(count.Inst(), int64(s.Idle), with(semconv.DBClientConnectionStateIdle))
		if s.MaxOpenConnections > 0 {
			o.ObserveInt64(limit.Inst(), int64(s.MaxOpenConnections), with())
		}
		o.ObserveInt64(waits, s.WaitCount, with())
		o.ObserveFloat64(waited, s.WaitDuration.Seconds(), with())
		o.ObserveInt64(closed, s.MaxIdleClosed, with(reason("max_idle")))
		o.ObserveInt64(closed, s.MaxIdleTimeClosed, with(reason("max_idle_time")))
		o.ObserveInt64(closed, s.MaxLifetimeClosed, with(reason("max_lifetime")))
		return nil
	}, count.Inst(), limit.Inst(), waits, waited, closed)
}

// reason says which limit of the pool a connection was closed for.
var reason = attribute.Key("psyco.reason").String
