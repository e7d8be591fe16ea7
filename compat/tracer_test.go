package compat

import (
	"context"
	"database/sql"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/psycotest"
)

var _ psyco.Tracer = spanTracer{}

// spanTracer makes OpenTelemetry spans of psyco's operations. Copy it: it needs
// nothing but go.opentelemetry.io/otel and its trace package.
type spanTracer struct{ trace.Tracer }

func (s spanTracer) TraceStart(ctx context.Context, t *psyco.Trace) context.Context {
	ctx, _ = s.Start(ctx, t.Summary(), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithTimestamp(t.Start), trace.WithAttributes(attributes(t)...))
	return ctx
}

func (s spanTracer) TraceEnd(ctx context.Context, t *psyco.Trace) {
	span := trace.SpanFromContext(ctx)
	attrs := attributes(t)
	span.SetAttributes(attrs...)
	if t.Err != nil {
		span.SetStatus(codes.Error, valueOf(attrs, "error").AsString())
	}
	span.End(trace.WithTimestamp(t.Start.Add(t.Duration)))
}

// attributes are those of the operation, without the values of arguments.
func attributes(t *psyco.Trace) []attribute.KeyValue {
	var list []attribute.KeyValue
	for _, a := range t.Attrs(false) {
		switch a.Value.Kind() {
		case slog.KindBool:
			list = append(list, attribute.Bool(a.Key, a.Value.Bool()))
		case slog.KindInt64:
			list = append(list, attribute.Int64(a.Key, a.Value.Int64()))
		case slog.KindUint64:
			list = append(list, attribute.Int64(a.Key, int64(a.Value.Uint64())))
		default:
			list = append(list, attribute.String(a.Key, a.Value.String()))
		}
	}
	return list
}

func valueOf(attrs []attribute.KeyValue, key attribute.Key) attribute.Value {
	for _, a := range attrs {
		if a.Key == key {
			return a.Value
		}
	}
	return attribute.Value{}
}

func TestTracer(t *testing.T) {
	ctx := context.Background()
	recorder := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("psyco")
	connector, err := psyco.NewConnector(psycotest.DSN(t), psyco.WithTracer(spanTracer{tracer}))
	must(t, err)
	db := sql.OpenDB(connector)
	defer db.Close()

	ctx, parent := tracer.Start(ctx, "request")
	must(t, psyco.InTx(ctx, db, nil, func(tx *sql.Tx) error {
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
	for _, span := range recorder.Ended() {
		names = append(names, span.Name())
		if span.Name() == "request" {
			continue
		}
		if span.Parent().SpanID() != parent.SpanContext().SpanID() || span.SpanKind() != trace.SpanKindClient {
			t.Errorf("%s is a span of kind %v under %v", span.Name(), span.SpanKind(), span.Parent())
		}
		attrs := span.Attributes()
		if got := valueOf(attrs, "db.system.name").AsString(); got != "postgresql" {
			t.Errorf("%s: db.system.name is %q", span.Name(), got)
		}
		switch span.Name() {
		case "SELECT t":
			if valueOf(attrs, "db.response.returned_rows").AsInt64() != 1 || valueOf(attrs, "psyco.round_trips").AsInt64() != 1 {
				t.Errorf("SELECT has %v", attrs)
			}
		case "INSERT t":
			if valueOf(attrs, "db.response.status_code").AsString() != "23505" || span.Status().Code != codes.Error {
				t.Errorf("INSERT has %v and %v", attrs, span.Status())
			}
		}
	}
	want := []string{"CONNECT", "BEGIN", "CREATE t", "COPY t", "COMMIT", "SELECT t", "INSERT t", "request"}
	if !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}
