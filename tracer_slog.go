package psyco

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco/internal/sqllex"
)

var _ Tracer = (*SlogTracer)(nil)

// SlogTracer is a Tracer that writes a record for every operation that has ended:
// its Summary as the message, the attributes of Trace.Attrs, and its duration.
// Records that the logger does not want cost no allocation.
type SlogTracer struct {
	Logger *slog.Logger // nil is slog.Default()

	// Level is that of operations without an error; the zero value is
	// slog.LevelInfo. An operation with an error has slog.LevelError, or, where
	// database/sql goes on with another connection, slog.LevelWarn.
	Level slog.Level

	// SlowerThan leaves out operations without an error that took less.
	SlowerThan time.Duration

	// Values shows the values of arguments, literals in queries without
	// arguments, and all that the server says about an error. All of that may be
	// secret.
	Values bool
}

// TraceStart does nothing.
func (s *SlogTracer) TraceStart(ctx context.Context, _ *Trace) context.Context { return ctx }

// TraceEnd writes the record.
func (s *SlogTracer) TraceEnd(ctx context.Context, t *Trace) {
	logger, level := s.Logger, s.Level
	if logger == nil {
		logger = slog.Default()
	}
	switch {
	case t.Err == driver.ErrSkip: // database/sql now prepares the statement
		return
	case errors.Is(t.Err, driver.ErrBadConn):
		level = slog.LevelWarn
	case t.Err != nil:
		level = slog.LevelError
	case t.Duration < s.SlowerThan:
		return
	}
	if !logger.Enabled(ctx, level) {
		return
	}
	attrs := append(t.Attrs(s.Values), slog.Duration("duration", t.Duration))
	logger.LogAttrs(ctx, level, t.Summary(), attrs...)
}

// Attrs describes the operation by the names of OpenTelemetry's conventions for
// databases: db.system.name, db.namespace, db.operation.name, db.query.summary,
// db.query.text, db.operation.batch.size, db.response.returned_rows,
// db.response.status_code (the SQLSTATE), error.type, server.address,
// server.port, network.peer.address, network.peer.port; and where these have
// none, psyco.call, psyco.pid, psyco.arguments (their number),
// psyco.affected_rows, psyco.round_trips, psyco.cache_hit, error. What does not
// apply is left out. In TraceStart these are the attributes that are known then.
//
// Without values, nothing in them gives away the arguments: a query without
// arguments has ? in place of its literals, and where the text of an error may
// quote a value, such as that of 22P02, it is left out. Detail and hint always
// are. With values there are db.query.parameter.<name> for each argument, counted
// from 0 if it has no name, and psyco.detail.
func (t *Trace) Attrs(values bool) []slog.Attr {
	attrs := make([]slog.Attr, 0, 24+len(t.Args))
	add := func(a slog.Attr) { attrs = append(attrs, a) }
	text := func(key, value string) {
		if value != "" {
			add(slog.String(key, value))
		}
	}
	add(slog.String("db.system.name", "postgresql"))
	text("db.namespace", t.Database)
	text("db.operation.name", t.Operation())
	text("psyco.call", t.Call)
	if t.Query != "" {
		text("db.query.summary", t.Summary())
		if values || len(t.Args) > 0 {
			text("db.query.text", t.Query)
		} else {
			text("db.query.text", withoutLiterals(t.Query))
		}
	}
	if t.BatchSize > 1 { // by the conventions a batch of one statement is not a batch
		add(slog.Int("db.operation.batch.size", t.BatchSize))
	}
	if len(t.Args) > 0 {
		add(slog.Int("psyco.arguments", len(t.Args)))
	}
	if values {
		for i, a := range t.Args {
			name := a.Name
			if name == "" {
				name = strconv.Itoa(i)
			}
			add(slog.Any("db.query.parameter."+name, a.Value))
		}
	}
	text("server.address", t.Server)
	if t.Port != 0 {
		add(slog.Int("server.port", int(t.Port)))
	}
	if host, port, err := net.SplitHostPort(t.Peer); err == nil {
		text("network.peer.address", host)
		if n, err := strconv.Atoi(port); err == nil {
			add(slog.Int("network.peer.port", n))
		}
	} else {
		text("network.peer.address", t.Peer)
	}
	if t.PID != 0 {
		add(slog.Int64("psyco.pid", int64(t.PID)))
	}
	if !t.Ended {
		return attrs
	}
	if t.Call == "Query" || t.RowsReturned > 0 {
		add(slog.Int64("db.response.returned_rows", t.RowsReturned))
	} else {
		add(slog.Int64("psyco.affected_rows", t.RowsAffected))
	}
	if t.PID != 0 {
		add(slog.Uint64("psyco.round_trips", t.RoundTrips))
		add(slog.Bool("psyco.cache_hit", t.CacheHit))
	}
	if t.Err == nil {
		return attrs
	}
	pe := pq.As(t.Err)
	if pe != nil {
		text("db.response.status_code", string(pe.Code))
	}
	text("error.type", errorType(t.Err, pe))
	if values {
		text("error", t.Err.Error())
		if pe != nil {
			text("psyco.detail", pe.Detail)
		}
	} else {
		text("error", withoutValues(t.Err, pe))
	}
	return attrs
}

// errorType is the class of an error: the context's, the SQLSTATE, or the Go
// type.
func errorType(err error, pe *pq.Error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "context.Canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "context.DeadlineExceeded"
	case pe != nil:
		return string(pe.Code)
	case errors.Is(err, driver.ErrBadConn):
		return "driver.ErrBadConn"
	}
	return fmt.Sprintf("%T", err)
}

// withoutLiterals puts ? in the place of a query's literals.
func withoutLiterals(query string) string {
	var b strings.Builder
	s := sqllex.NewScanner(query)
	for tok := s.Next(); tok.Kind != sqllex.End; tok = s.Next() {
		if tok.Kind.IsString() || tok.Kind == sqllex.Number {
			b.WriteByte('?')
		} else {
			b.WriteString(tok.Text(query))
		}
	}
	return b.String()
}

// withoutValues is the text of an error, or less if that may quote a value of an
// argument or of a row.
func withoutValues(err error, pe *pq.Error) string {
	var value *valueError
	var row *RowError
	var stream *streamError
	switch {
	case pe != nil && quotesValues(pe):
		if pe.Position != "" {
			return fmt.Sprintf("%s at character %s (%s)", pe.Code.Name(), pe.Position, pe.Code)
		}
		return fmt.Sprintf("%s (%s)", pe.Code.Name(), pe.Code)
	case pe != nil:
		return err.Error()
	case errors.As(err, &value):
		return "psyco: " + value.where + " cannot be converted"
	case errors.As(err, &row):
		return fmt.Sprintf("psyco: row %d cannot be sent", row.Row)
	case errors.As(err, &stream):
		return "psyco: " + stream.what
	default:
		return err.Error()
	}
}

// quotesValues reports whether an error of the server may quote values in its
// message: data that cannot be converted, what a procedure says, and syntax
// errors, which quote the literal they are at.
func quotesValues(pe *pq.Error) bool {
	if len(pe.Code) != 5 || pe.Code == pqerror.SyntaxError || pe.Routine == "exec_stmt_raise" {
		return true
	}
	switch class(pe.Code) {
	case "22", "38", "39", "P0":
		return true
	}
	return false
}
