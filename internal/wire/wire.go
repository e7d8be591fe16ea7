// Package wire is the connection between lib/pq and a PostgreSQL server.
//
// A [Conn] is a net.Conn that understands what goes through it. It walks the
// message headers of both directions and so knows what lib/pq keeps to itself:
// the transaction status, the ParameterStatus values, the backend's pid and
// cancel key, the last command tag, the last FATAL error, and whether a request
// is on its way. lib/pq opens the session, sends simple queries and reads whatever
// is unusual; a Conn extends what it can say: types in Parse messages
// ([Conn.DeclareTypes]), small statements that ride in front of others
// ([Conn.Prefix]), COPY both ways ([Conn.CopyIn], [Conn.CopyOut]), pipelines
// ([Conn.Exchange]) and reading from cursors ([Conn.FetchPortal]). Statements with
// arguments are asked for without it, and settled so if they may be ([Conn.Ask]).
//
// # Concurrency
//
// Requests are written and their answers read by one goroutine at a time: the
// one that uses the connection. Only the frames of pq.CopyIn may be written
// while another goroutine reads. Close, the deadlines, FailCopy, AbortExchange
// and the methods that report state (TxStatus, Parameter, Parameters, PID,
// CancelKey, Fatal, Pending, Stats) may be called from any goroutine; all others
// belong to the goroutine that uses the connection.
// A read deadline, also one that another goroutine sets, ends [Conn.Await].
//
// The protocol is described in the PostgreSQL manual, "Frontend/Backend
// Protocol"; message and field names are those used there.
package wire

import (
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var _ net.Conn = (*Conn)(nil)

// Conn is a net.Conn between lib/pq and the server. Create it with [New].
type Conn struct {
	nc  net.Conn
	raw syscall.RawConn // the socket below nc, or nil

	session  session
	phase    phase // the reader's
	asked    queue
	reader   reader
	writer   writer
	prefix   prefix
	copying  copying
	exchange atomic.Pointer[exchange] // armed or running
	peeker   peeker
	poller   busyPoller

	auth        AuthHandler
	asking      asking
	described   Description
	textColumns []byte // see TakeTextRows
	bound       bool   // see Bound
	columns     statementColumns
}

// session is what the server told about itself and about the last request.
type session struct {
	tx      atomic.Uint32 // a byte: 0 before the first ReadyForQuery
	pending atomic.Bool
	// callback is true while a function of the program runs, and after it has panicked.
	callback atomic.Bool
	fatal    atomic.Pointer[Error]
	key      atomic.Pointer[backendKey]
	broken   atomic.Pointer[protocolError] // why no byte can be trusted any more
	failure  atomic.Pointer[error]         // the socket's first error
	// background is why a goroutine could not write.
	background atomic.Pointer[protocolError]

	mu         sync.Mutex
	params     map[string]string
	paramBytes int // of names and values

	tag     []byte // of the last CommandComplete
	tagText string // an earlier tag, see CommandTag
	events  Events

	portal    portal
	suspended bool // the last request was a fetch, and there may be more rows

	counters counters

	deadlines    sync.Mutex
	readDeadline time.Time // as set by the user of Conn
}

type backendKey struct {
	pid uint32
	key []byte
}

// New wraps nc, on which no byte of the PostgreSQL protocol has been exchanged
// yet (TLS, if any, is already done). A Conn also serves for a CancelRequest.
func New(nc net.Conn) *Conn {
	c := &Conn{nc: nc}
	c.phase.columns, c.phase.given = ColumnsUnknown, ColumnsUnknown
	c.reader.buf = make([]byte, smallBuffer)
	c.reader.ended = make(chan struct{})
	if canPeek {
		c.raw = rawConn(nc)
	}
	c.initBusyPoll()
	return c
}

// rawConn finds the socket below any layers such as tls.Conn.
func rawConn(nc net.Conn) syscall.RawConn {
	for {
		if s, ok := nc.(syscall.Conn); ok {
			raw, err := s.SyscallConn()
			if err != nil {
				return nil
			}
			return raw
		}
		layer, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		nc = layer.NetConn()
	}
}

// NetConn returns the connection given to [New].
func (c *Conn) NetConn() net.Conn { return c.nc }

// Close closes the connection without telling the server, and stops the
// goroutines of a COPY or an exchange in progress.
func (c *Conn) Close() error {
	c.session.broken.CompareAndSwap(nil, errClosed)
	return c.nc.Close()
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	c.session.deadlines.Lock()
	defer c.session.deadlines.Unlock()
	c.session.readDeadline = t
	return c.nc.SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.session.deadlines.Lock()
	defer c.session.deadlines.Unlock()
	c.session.readDeadline = t
	return c.nc.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.nc.SetWriteDeadline(t) }

// TxStatus returns the transaction status of the last ReadyForQuery: 'I' (idle),
// 'T' (in a transaction block) or 'E' (in a failed one). It is 0 before the first.
func (c *Conn) TxStatus() byte { return byte(c.session.tx.Load()) }

// Pending reports whether a request is on its way: some of its bytes were given
// to the socket and its ReadyForQuery has not arrived. Terminate is not a request.
func (c *Conn) Pending() bool { return c.session.pending.Load() }

// Idle reports whether a request may be sent: nothing is left of the answer to the
// last one, and the connection is neither closed nor beyond use.
func (c *Conn) Idle() bool { return !c.Pending() && c.session.broken.Load() == nil }

// Fatal returns the last ErrorResponse of severity FATAL or PANIC, or nil.
func (c *Conn) Fatal() *Error { return c.session.fatal.Load() }

// Err returns why the connection cannot be used any more: the stream is not the
// protocol, or the first error that reading from or writing to the socket gave. lib/pq
// does not pass it on. It may be called from any goroutine.
func (c *Conn) Err() error {
	if err := c.brokenError(); err != nil {
		return err
	}
	if err := c.session.failure.Load(); err != nil {
		return *err
	}
	return nil
}

func (s *session) failed(err error) {
	if err != nil {
		first := err // a copy, so that no call without an error allocates
		s.failure.CompareAndSwap(nil, &first)
	}
}

// PID returns the process id of the backend, 0 before BackendKeyData.
func (c *Conn) PID() uint32 {
	if k := c.session.key.Load(); k != nil {
		return k.pid
	}
	return 0
}

// CancelKey returns the secret of BackendKeyData, nil before it. It has 4 bytes
// in protocol 3.0 and up to 256 in 3.2. The caller must not change it.
func (c *Conn) CancelKey() []byte {
	if k := c.session.key.Load(); k != nil {
		return k.key
	}
	return nil
}

// Parameter returns the value the server last reported for a parameter.
func (c *Conn) Parameter(name string) (string, bool) {
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	v, ok := c.session.params[name]
	return v, ok
}

// Parameters returns a copy of all parameters that the server reported.
func (c *Conn) Parameters() map[string]string {
	c.session.mu.Lock()
	defer c.session.mu.Unlock()
	if c.session.params == nil {
		return map[string]string{}
	}
	return maps.Clone(c.session.params)
}

// CommandTag returns the tag of the last CommandComplete, such as "INSERT 0 3",
// and "" if there was none since the last request. Statements of [Conn.Prefix]
// do not count.
func (c *Conn) CommandTag() string {
	s := &c.session
	if s.tagText != string(s.tag) { // which allocates nothing for the tag of before
		s.tagText = string(s.tag)
	}
	return s.tagText
}

// fail makes the connection unusable: where the next message starts is unknown.
func (c *Conn) fail(err *protocolError) error {
	c.session.broken.CompareAndSwap(nil, err)
	return c.brokenError()
}

// Break makes the connection unusable, for err, like a protocol error.
func (c *Conn) Break(err error) {
	_ = c.fail(&protocolError{text: err.Error(), cause: err})
}

// Callback calls a function of the program from inside of a Read, see [Conn.InCallback].
func (c *Conn) Callback(f func()) {
	c.session.callback.Store(true)
	f()
	c.session.callback.Store(false)
}

// InCallback reports, to who recovers from a panic, whether it came from a function of
// the program.
func (c *Conn) InCallback() bool { return c.session.callback.Load() }

func (c *Conn) brokenError() error {
	if err := c.session.broken.Load(); err != nil {
		return err
	}
	return nil
}

var errClosed = &protocolError{text: "psyco: the connection is closed", cause: net.ErrClosed}
