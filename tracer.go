package psyco

import (
	"cmp"
	"context"
	"database/sql/driver"
	"strings"
	"time"

	"github.com/psyco-go/psyco/internal/sqllex"
)

// A Tracer is told when an operation of a connector or of its connections begins
// and when it has ended. SlogTracer writes that to a log.
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

// WithTracer tells tr of everything that the connector and its connections do.
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
	// psyco: CopyFrom, Batch, Savepoint and so on.
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
	RowsAffected int64  // as the result of Exec tells it, or rows of a COPY
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
	last := ""
	for s := sqllex.NewScanner(t.Query); b.Len() < 255; {
		tok := s.Next()
		if tok.Kind == sqllex.End {
			break
		}
		if tok.Kind.IsSpace() {
			continue
		}
		word := ""
		if tok.Kind == sqllex.Word {
			word = sqllex.Upper(tok.Text(t.Query))
		}
		if beforeTable(last, word) {
			if name := tableName(&s, t.Query); name != "" {
				b.WriteByte(' ')
				b.WriteString(name)
			}
		}
		last = word
	}
	return b.String()
}

// beforeTable reports whether a table's name may follow a word; last is the one
// before it, if that is a word.
func beforeTable(last, word string) bool {
	switch word {
	case "FROM":
		return last != "DISTINCT"
	case "JOIN", "INTO", "TABLE":
		return true
	case "UPDATE", "COPY":
		return last == "" // not FOR UPDATE, DO UPDATE
	}
	return false
}

// tableName reads a name, with its schema, or returns "" if none is next.
func tableName(s *sqllex.Scanner, text string) string {
	start, stop, dot := -1, -1, true
	for {
		at := s.Pos()
		tok := s.Next()
		word := ""
		if tok.Kind == sqllex.Word {
			word = sqllex.Upper(tok.Text(text))
		}
		switch {
		case start < 0 && (tok.Kind.IsSpace() || word == "ONLY" || word == "IF" || word == "NOT" || word == "EXISTS"):
		case dot && (tok.Kind == sqllex.Ident || word != "" && word != "STDIN" && !sqllex.Reserved(word)):
			if start < 0 {
				start = tok.Start
			}
			stop, dot = tok.Stop, false
		case start >= 0 && !dot && tok.Text(text) == ".":
			dot = true
		default:
			s.Seek(at)
			if start < 0 {
				return ""
			}
			return text[start:stop]
		}
	}
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
