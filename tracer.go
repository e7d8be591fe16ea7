package psyco

import (
	"cmp"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/sqllex"
)

// A Tracer is told when an operation of a connector or of its connections begins
// and when it has ended. [SlogTracer] writes that to a log.
//
// An operation is what a program asked for, whatever it takes: when psyco runs
// a statement again by itself, with other types of its parameters or because its
// plan was outdated, that is part of the same operation, and its round trips
// are counted in. When database/sql turns to another connection, after
// driver.ErrBadConn, that is another operation. Traced are connecting, pings,
// queries, statements, preparing, the beginning and the end of transactions, COPY,
// savepoints, cursors and pipelines, also those that psyco and the Listener run
// of their own accord; not the requests to cancel a statement, nor the message
// that ends a session.
//
// A query ends when its rows are closed, which database/sql does at their end
// too, so its duration contains what the program does between rows; so it is
// with the COPY of a pq.CopyIn statement. Operations of one connection can thus
// overlap. BEGIN and SAVEPOINT are operations of their own without a round trip,
// and travel with the statement that follows.
//
// The methods are called in the goroutine of the operation, for several
// connections at a time. They must not use the connection, and they hold it up
// while they run. A panic in them is not recovered from.
type Tracer interface {
	// TraceStart is called when an operation begins. The context it returns, if
	// that is not nil, is the one that the operation has and that TraceEnd gets;
	// it must be derived from ctx. So a span that is put into it is the parent
	// of what a function of WithDialer, WithPassword or a driver behind Wrap
	// does.
	TraceStart(ctx context.Context, t *Trace) context.Context

	// TraceEnd is called when the operation has ended, with the same Trace.
	TraceEnd(ctx context.Context, t *Trace)
}

// WithTracer reports to tr everything that the connector and its connections do.
// Without a Tracer nothing is spent on it.
func WithTracer(tr Tracer) Option {
	return func(c *Connector) { c.tracer = tr }
}

// A Trace is an operation, for a Tracer, which must not change it nor keep it
// after TraceEnd.
type Trace struct {
	// Call is what the program called: Connect, Ping, Prepare, Query, Exec,
	// Begin, Commit, Rollback, CopyIn for a statement of pq.CopyIn, Listen for a
	// statement of the Listener, Reset for what is sent to clean up a
	// connection that goes back to the pool, or the name of the function of
	// psyco: [CopyFrom], Batch, Savepoint and so on.
	Call string

	// Query is the text as the program wrote it, with its placeholders; for
	// calls that bring none, the statement that is sent, if there is one. That
	// of a Batch has its statements joined, up to 4 KiB.
	Query string

	// Args are the arguments of Query and Exec, as the program gave them.
	Args []driver.NamedValue

	// BatchSize is the number of statements of a Batch, else 0.
	BatchSize int

	Database string
	Server   string // the host as the connection string names it; of Connect known at the end
	Port     uint16
	Peer     string // the server's address: host and port, or the path of a socket
	PID      uint32 // of the server's process
	Start    time.Time

	// What follows is there for TraceEnd.

	Duration     time.Duration
	RowsReturned int64  // that were read by the program
	RowsAffected int64  // as the result of Exec reports it, or rows of a COPY
	RoundTrips   uint64 // 0 behind Wrap, where they are not known
	CacheHit     bool   // it ran with a statement that the cache had prepared
	Err          error  // what the program gets
	Ended        bool
}

// Operation returns the first word of the query in upper case, such as SELECT or
// COMMIT, or CONNECT and PING for those. That of a batch has BATCH in front, and
// is BATCH alone if its statements begin differently.
func (t *Trace) Operation() string {
	if t.Query == "" {
		return strings.ToUpper(t.Call)
	}
	word := sqllex.Keyword(t.Query)
	if t.BatchSize == 0 {
		return word
	}
	for sql := range sqllex.Statements(t.Query) {
		if sqllex.Keyword(sql) != word {
			return "BATCH"
		}
	}
	return "BATCH " + word
}

// Summary returns the operation and the tables that the query seems to be about,
// such as "SELECT orders customers": a name for spans and messages of which
// there are few.
func (t *Trace) Summary() string {
	b := new(strings.Builder)
	b.WriteString(t.Operation())
	for name := range sqllex.Tables(t.Query) {
		b.WriteByte(' ')
		b.WriteString(name)
		if b.Len() >= 255 {
			break
		}
	}
	return b.String()
}

// tracing is a Trace on its way.
type tracing struct {
	Trace
	ctx    context.Context
	tracer Tracer
	c      *conn // nil while connecting
	before Stats // when the connection began to work for it
}

func newTracing(call, query string) *tracing {
	return &tracing{Trace: Trace{Call: call, Query: query}}
}

// begin tells the tracer that an operation begins, and returns the context that
// it has. c is nil for connecting.
func (s *tracing) begin(ctx context.Context, con *Connector, c *conn) context.Context {
	s.tracer, s.Start, s.Database = con.tracer, time.Now(), con.cfg.Database
	s.on(c)
	s.ctx = ctx
	if ctx := s.tracer.TraceStart(ctx, &s.Trace); ctx != nil {
		s.ctx = ctx
	}
	s.resume()
	return s.ctx
}

func (s *tracing) begun() bool { return s.ctx != nil }

// on notes which connection the operation is on.
func (s *tracing) on(c *conn) {
	if s.c = c; c == nil || c.wire == nil {
		return
	}
	s.Database = c.sess.cfg.Database
	at := c.sess.link.Endpoint
	s.Server, s.Port = cmp.Or(at.Host.Host, at.Host.Hostaddr, at.Address), cmp.Or(at.Host.Port, 5432)
	s.Peer, s.PID = at.Address, c.wire.PID()
}

// resume and pause enclose the work of the connection for the operation: while
// the rows of one are open it may work for others.
func (s *tracing) resume() {
	if s.c == nil || s.c.wire == nil {
		return
	}
	s.before.RoundTrips, s.before.CacheHits = s.c.wire.Stats().RoundTrips, s.c.stats.CacheHits
}

func (s *tracing) pause() {
	if s.c == nil || s.c.wire == nil {
		return
	}
	s.RoundTrips += s.c.wire.Stats().RoundTrips - s.before.RoundTrips
	s.CacheHit = s.CacheHit || s.c.stats.CacheHits != s.before.CacheHits
}

// end tells the tracer how the operation has ended.
func (s *tracing) end(err error) {
	s.Duration, s.Err, s.Ended = time.Since(s.Start), err, true
	s.tracer.TraceEnd(s.ctx, &s.Trace)
}

// trace runs f as an operation, if there is a tracer.
func (c *conn) trace(ctx context.Context, call, query string, f func(ctx context.Context) error) error {
	if c.con.tracer == nil {
		return f(ctx)
	}
	s := newTracing(call, query)
	s.begin(ctx, c.con, c)
	err := f(s.ctx)
	s.pause()
	s.end(err)
	return err
}

var (
	_ driver.Conn               = tracedConn{}
	_ driver.ConnBeginTx        = tracedConn{}
	_ driver.ConnPrepareContext = tracedConn{}
	_ driver.ExecerContext      = tracedConn{}
	_ driver.QueryerContext     = tracedConn{}
	_ driver.NamedValueChecker  = tracedConn{}
	_ driver.Pinger             = tracedConn{}
	_ driver.SessionResetter    = tracedConn{}
	_ driver.Validator          = tracedConn{}
)

// tracedConn is a connection in front of which a tracer stands. Connections
// without a tracer are not touched by any of this.
type tracedConn struct{ *conn }

func (t tracedConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	if _, ok := t.base.(driver.ExecerContext); !ok {
		return t.conn.ExecContext(ctx, text, args) // database/sql prepares it
	}
	s := newTracing("Exec", text)
	if isOperation(args) {
		t.await(s, text)
	} else {
		s.arguments(args)
		ctx = s.begin(ctx, t.con, t.conn)
	}
	res, err := t.conn.ExecContext(ctx, text, args)
	if t.unannounced = nil; s.begun() {
		s.pause()
		s.endExec(res, err)
	}
	return res, err
}

func (t tracedConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	if _, ok := t.base.(driver.QueryerContext); !ok {
		return t.conn.QueryContext(ctx, text, args)
	}
	r := &tracedRows{tracing: tracing{Trace: Trace{Call: "Query", Query: text}}}
	if isOperation(args) {
		t.await(&r.tracing, text)
	} else {
		r.arguments(args)
		ctx = r.begin(ctx, t.con, t.conn)
	}
	base, err := t.conn.QueryContext(ctx, text, args)
	if t.unannounced = nil; !r.begun() {
		return base, err
	}
	return r.opened(base, err)
}

func (t tracedConn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	s := newTracing("Prepare", text)
	copying := t.wire != nil && sqllex.Keyword(text) == "COPY"
	if copying {
		s.Call = "CopyIn"
	}
	s.begin(ctx, t.con, t.conn)
	base, err := t.conn.PrepareContext(s.ctx, text)
	s.pause()
	if err == nil && copying {
		return &tracedCopy{copyStmt: base.(*copyStmt), trace: s}, nil
	}
	s.end(err)
	if err != nil {
		return nil, err
	}
	return &tracedStmt{base.(stmt), t, text}, nil
}

// Prepare is PrepareContext without a context.
func (t tracedConn) Prepare(text string) (driver.Stmt, error) {
	return t.PrepareContext(background, text)
}

func (t tracedConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	begin, err := beginStatement(opts)
	if err != nil {
		begin = "BEGIN"
	}
	var base driver.Tx
	err = t.trace(ctx, "Begin", begin, func(ctx context.Context) (err error) {
		base, err = t.conn.BeginTx(ctx, opts)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &tracedTx{base, t, ctx}, nil
}

// Begin is [BeginTx] with the server's defaults.
func (t tracedConn) Begin() (driver.Tx, error) { return t.BeginTx(background, driver.TxOptions{}) }

func (t tracedConn) Ping(ctx context.Context) error {
	if _, ok := t.base.(driver.Pinger); !ok {
		return t.conn.Ping(ctx)
	}
	return t.trace(ctx, "Ping", "", t.conn.Ping)
}

func (t tracedConn) IsValid() (valid bool) {
	query := ""
	switch {
	case t.wire == nil || t.lost != nil || t.copy != nil:
	case t.wire.TxStatus() != 'I':
		query = "ROLLBACK"
	case t.suspect:
		query = "SELECT pg_backend_pid()"
	}
	if query == "" {
		return t.conn.IsValid()
	}
	t.trace(background, "Reset", query, func(context.Context) error {
		valid = t.conn.IsValid()
		return t.lost
	})
	return valid
}

// isOperation reports whether args are one of psyco's functions instead of the
// arguments of a statement.
func isOperation(args []driver.NamedValue) bool {
	_, exec := operationIn[operation](args)
	_, query := operationIn[queryOperation](args)
	return exec || query
}

// await leaves s to begin when the function that runs now announces what it
// sends. text names the function, see do.
func (t tracedConn) await(s *tracing, text string) {
	s.Call, s.Query = strings.TrimPrefix(text, "-- psyco."), ""
	t.unannounced = s
}

// announce tells a tracer what an operation of one of psyco's functions will
// send. It returns the operation's context.
func (c *conn) announce(ctx context.Context, query ...string) context.Context {
	s := c.unannounced
	if s == nil {
		return ctx
	}
	c.unannounced = nil
	s.Query = strings.Join(query, "")
	return s.begin(ctx, c.con, c)
}

// batchText is how much of its statements' texts a batch shows to tracers.
const batchText = 4 << 10

func (c *conn) announceBatch(ctx context.Context, b *Batch) context.Context {
	if c.unannounced == nil {
		return ctx
	}
	c.unannounced.BatchSize = len(b.statements)
	var text strings.Builder
	for i, s := range b.statements {
		if i > 0 {
			text.WriteString("; ")
		}
		if text.Len()+len(s.query) > batchText {
			text.WriteString("…")
			break
		}
		text.WriteString(s.query)
	}
	return c.announce(ctx, text.String())
}

// arguments keeps a copy of the arguments of a statement, which are converted in
// place, without those that do not belong to the statement.
func (s *tracing) arguments(args []driver.NamedValue) {
	if len(args) == 0 {
		return
	}
	last := len(args) - 1
	switch args[last].Value.(type) {
	case io.Reader, io.Writer:
		if sqllex.Keyword(s.Query) == "COPY" {
			args = args[:last]
		}
	}
	rest, _, ok := takeServerSide(args)
	if !ok {
		rest = slices.Clone(args)
	}
	s.Args = rest
}

// endExec is end with the result of Exec.
func (s *tracing) endExec(res driver.Result, err error) {
	switch res := res.(type) {
	case hiddenError:
		err = res.err
	case memoryResult:
		s.RowsReturned = int64(res.rows)
	}
	if err == nil && res != nil {
		if n, err := res.RowsAffected(); err == nil {
			s.RowsAffected = n
		}
	}
	s.end(err)
}

var _ driver.Tx = (*tracedTx)(nil)

type tracedTx struct {
	base driver.Tx
	conn tracedConn
	ctx  context.Context
}

func (t *tracedTx) Commit() error {
	query := "COMMIT"
	if own, ok := t.base.(*tx); ok && own.prepare != "" {
		query = own.prepare
	}
	return t.conn.trace(t.ctx, "Commit", query, func(context.Context) error { return t.base.Commit() })
}

func (t *tracedTx) Rollback() error {
	return t.conn.trace(t.ctx, "Rollback", "ROLLBACK", func(context.Context) error { return t.base.Rollback() })
}

var (
	_ driver.Stmt             = (*tracedStmt)(nil)
	_ driver.StmtExecContext  = (*tracedStmt)(nil)
	_ driver.StmtQueryContext = (*tracedStmt)(nil)
)

// stmt is what all of psyco's statements but that of COPY can do.
type stmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type tracedStmt struct {
	stmt
	conn tracedConn
	text string
}

func (t *tracedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s := newTracing("Exec", t.text)
	s.arguments(args)
	s.begin(ctx, t.conn.con, t.conn.conn)
	res, err := t.stmt.ExecContext(s.ctx, args)
	s.pause()
	s.endExec(res, err)
	return res, err
}

func (t *tracedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	r := &tracedRows{tracing: tracing{Trace: Trace{Call: "Query", Query: t.text}}}
	r.arguments(args)
	r.begin(ctx, t.conn.con, t.conn.conn)
	base, err := t.stmt.QueryContext(r.ctx, args)
	return r.opened(base, err)
}

// Exec is ExecContext without a context.
func (t *tracedStmt) Exec(args []driver.Value) (driver.Result, error) {
	return t.ExecContext(background, namedValues(args))
}

// Query is QueryContext without a context.
func (t *tracedStmt) Query(args []driver.Value) (driver.Rows, error) {
	return t.QueryContext(background, namedValues(args))
}

var (
	_ driver.Stmt            = (*tracedCopy)(nil)
	_ driver.StmtExecContext = (*tracedCopy)(nil)
)

// tracedCopy is the statement of pq.CopyIn: one operation from Prepare until the
// COPY is over.
type tracedCopy struct {
	*copyStmt
	trace  *tracing
	failed error // the first error of a row
}

func (t *tracedCopy) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	t.trace.resume()
	res, err := t.copyStmt.ExecContext(ctx, args)
	t.trace.pause()
	if err != nil && t.failed == nil {
		t.failed = err
	}
	if t.c.copy != t.copyStmt {
		t.over(res, err)
	}
	return res, err
}

// Exec is ExecContext without a context.
func (t *tracedCopy) Exec(args []driver.Value) (driver.Result, error) {
	return t.ExecContext(background, namedValues(args))
}

func (t *tracedCopy) Close() error {
	t.trace.resume()
	err := t.copyStmt.Close()
	t.trace.pause()
	t.over(nil, err)
	return err
}

func (t *tracedCopy) over(res driver.Result, err error) {
	if t.trace.Ended {
		return
	}
	if t.failed != nil {
		err = t.failed
	}
	if err == nil && res == nil {
		err = errors.New("psyco: the COPY statement was closed before its last Exec without arguments")
	}
	t.trace.endExec(res, err)
}

var _ describedRows = (*tracedRows)(nil)

// describedRows is what all of psyco's rows can do.
type describedRows interface {
	driver.Rows
	driver.RowsNextResultSet
	driver.RowsColumnTypeScanType
	driver.RowsColumnTypeDatabaseTypeName
	driver.RowsColumnTypeLength
	driver.RowsColumnTypeNullable
	driver.RowsColumnTypePrecisionScale
	Result() driver.Result
	Tag() string
}

type tracedRows struct {
	describedRows
	tracing
	failed error // of Next
	atEnd  bool
}

// opened takes over the rows of the operation, or ends it if there are none.
func (r *tracedRows) opened(base driver.Rows, err error) (driver.Rows, error) {
	r.pause()
	if err != nil {
		r.end(err)
		return nil, err
	}
	var ok bool
	if r.describedRows, ok = base.(describedRows); !ok {
		r.describedRows = foreignRows{&rows{base: base}}
	}
	return r, nil
}

func (r *tracedRows) Next(dest []driver.Value) error {
	r.resume()
	err := r.describedRows.Next(dest)
	r.pause()
	switch {
	case err == nil:
		r.RowsReturned++
	case err == io.EOF:
		r.atEnd = !r.HasNextResultSet()
	case r.failed == nil:
		r.failed = err
	}
	return err
}

func (r *tracedRows) Close() error {
	r.resume()
	err := r.describedRows.Close()
	r.pause()
	if r.Ended {
		return err
	}
	cause := r.failed
	if cause == nil {
		cause = err
	}
	if cause == nil && !r.atEnd {
		cause = r.ctx.Err() // because of which the program got no more
	}
	r.end(cause)
	return err
}

// foreignRows are rows of a driver behind Wrap, which may do less than others.
type foreignRows struct{ *rows }

func (f foreignRows) Next(dest []driver.Value) error { return f.base.Next(dest) }
func (f foreignRows) Close() error                   { return f.base.Close() }

func (f foreignRows) NextResultSet() error {
	if n, ok := f.base.(driver.RowsNextResultSet); ok {
		return n.NextResultSet()
	}
	return io.EOF
}

func (f foreignRows) ColumnTypeNullable(i int) (nullable, ok bool) {
	if n, ok := f.base.(driver.RowsColumnTypeNullable); ok {
		return n.ColumnTypeNullable(i)
	}
	return false, false
}

var _ Tracer = (*SlogTracer)(nil)

// SlogTracer is a Tracer that writes a record for every operation that has ended:
// its Summary as the message, the attributes of [Trace.Attrs], and its duration.
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
