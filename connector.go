package psyco

import (
	"cmp"
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
)

var _ driver.Connector = (*Connector)(nil)

// A Connector opens connections that all have the same configuration; give it
// to sql.OpenDB. It is safe for concurrent use.
type Connector struct {
	cfg       *Config
	dialer    dialer
	base      driver.Connector // set by Wrap: opens the connections instead
	rewriter  *rewriter
	inference inferences
	types     *TypeMap
	tracer    Tracer
	onConnect func(ctx context.Context, c *Conn) error
	onReset   func(ctx context.Context, c *Conn) error
	lifetime  time.Duration
	jitter    time.Duration
	grace     time.Duration
}

// DefaultCancelGrace is how long a statement whose context ended may take to
// answer the cancel request before its connection is given up.
const DefaultCancelGrace = 3 * time.Second

// DialFunc opens a network connection; net.Dialer.DialContext is one. network
// is "tcp" or "unix".
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// An Option sets what a connection string cannot say.
type Option func(*Connector)

// WithDialer makes every network connection, cancel requests included, through
// dial.
func WithDialer(dial DialFunc) Option {
	return func(c *Connector) { c.dialer.dial = dial }
}

// WithPassword asks password for the password of each new connection, for
// tokens that expire. What it returns goes before every other password. cfg is a copy of the connection's configuration and host
// the place that is being connected to. An error from it fails the attempt.
func WithPassword(password func(ctx context.Context, cfg *Config, host Host) (string, error)) Option {
	return func(c *Connector) { c.dialer.password = password }
}

// An OAuthRequest says which token a server wants.
type OAuthRequest struct {
	Config *Config // a copy of the connection's configuration; OAuthClientID and OAuthClientSecret are there
	Host   Host    // the place that is being connected to
	Issuer string  // the issuer that oauth_issuer names
	// DiscoveryURI is where the issuer's discovery document is, which lists the addresses
	// where tokens are given.
	DiscoveryURI string
	Scope        string // oauth_scope, or else what the server asks for; it may be empty
}

// WithOAuthToken asks token for a bearer token when a server wants one (OAUTHBEARER, from
// PostgreSQL 18 on). The connection string needs oauth_issuer and oauth_client_id. If the
// former is an issuer and not the address of its discovery document, the server is asked
// for that first, on a connection of its own, and must name one of this issuer. The token
// is never sent without TLS; use sslmode=verify-full, so that nobody else gets it. It is
// asked for with each new connection: keep it while it is valid. An error from token
// fails the attempt.
func WithOAuthToken(token func(ctx context.Context, r OAuthRequest) (string, error)) Option {
	return func(c *Connector) { c.dialer.oauthToken = token }
}

// WithBeforeConnect calls f before each new connection. f may change cfg, a copy of the
// connector's configuration, for this connection: the user, the database, the hosts, the
// password, and all else but Placeholders. It is complete already: Database, for example,
// is not empty, and does not follow User any more. An error from f is returned to the code that
// asked for the connection. A pool does not tell its connections apart, so each of them must
// be good for every use.
func WithBeforeConnect(f func(ctx context.Context, cfg *Config) error) Option {
	return func(c *Connector) { c.dialer.before = f }
}

// WithTLSConfig uses t, as it is, for every TLS handshake, in place of the
// sslrootcert, sslcert, sslkey, sslcrl and protocol version settings.
// sslmode=disable turns TLS off; with any other value TLS is required. An empty ServerName is filled in with the
// host's name.
func WithTLSConfig(t *tls.Config) Option {
	return func(c *Connector) { c.dialer.tls = t }
}

// WithNoticeHandler calls h for every notice the server sends, in order, from
// the goroutine that waits for the server's answer: the statement goes on when
// h returns. h must not use the connection. It takes the place of
// pq.SetNoticeHandler, which panics on connections that are not lib/pq's own.
func WithNoticeHandler(h func(*pq.Error)) Option {
	return func(c *Connector) { c.dialer.onNotice = h }
}

// WithNoticeLogger writes every notice the server sends to logger: a WARNING at
// slog.LevelWarn, DEBUG at LevelDebug, NOTICE, INFO and LOG at LevelInfo. The
// attributes are severity, code and, where the notice has them, detail, hint,
// where, schema, table, column and constraint. Of WithNoticeLogger and
// [WithNoticeHandler] the last one counts.
func WithNoticeLogger(logger *slog.Logger) Option {
	return func(c *Connector) { c.dialer.onNotice = logNotice(logger) }
}

// WithNotificationHandler calls h for every notification that arrives while a
// statement of the connection runs, under the same rules as [WithNoticeHandler].
// Listener is the better tool to wait for notifications.
func WithNotificationHandler(h func(*pq.Notification)) Option {
	return func(c *Connector) { c.dialer.onNotification = h }
}

// WithOnConnect calls f with every new connection before its first use. Its
// error closes the connection and is returned to whoever asked for it.
func WithOnConnect(f func(ctx context.Context, c *Conn) error) Option {
	return func(c *Connector) { c.onConnect = f }
}

// WithOnReset calls f each time that the pool gives out a connection that was used before,
// with the context of whoever wants it (psycopg_pool: reset; pgx: PrepareConn, formerly
// BeforeAcquire). If f returns an error the connection is closed and
// the pool takes another, or opens one. Nobody gets to see the error, so f
// itself must tell what is worth telling. It is not called for the first use of a new connection:
// [WithOnConnect] is.
//
// What f runs by [Conn.ExecWithNext] costs no round trip. [CleanSession] is a ready-made f.
// f is called by several goroutines at once, for different connections.
func WithOnReset(f func(ctx context.Context, c *Conn) error) Option {
	return func(c *Connector) { c.onReset = f }
}

// WithMaxLifetime closes connections that are older than d and something more, up to jitter, which
// is chosen by chance for each of them: so those that were opened together, after a
// failover or a deployment, are not replaced together (pgx: MaxConnLifetime and
// MaxConnLifetimeJitter). It is looked at when a connection comes back to the pool and when
// it is given out; nobody's work is interrupted. A connection that lies
// idle lives on until then: SetConnMaxIdleTime of the pool ends those. Do not set
// SetConnMaxLifetime too, which knows no jitter. d of 0 is no limit.
func WithMaxLifetime(d, jitter time.Duration) Option {
	return func(c *Connector) { c.lifetime, c.jitter = d, max(jitter, 0) }
}

// WithTypeMap adapts the arguments of psycopg-style queries with m in addition
// to the built-in rules. m is not copied: register all types before use.
func WithTypeMap(m *TypeMap) Option {
	return func(c *Connector) { c.types = m }
}

// WithCancelGrace sets how long a statement whose context ended may take to
// answer the cancel request; after that its connection is cut. The default is
// [DefaultCancelGrace].
func WithCancelGrace(d time.Duration) Option {
	return func(c *Connector) { c.grace = d }
}

// NewConnector reads a connection string, as [ParseDSN] does, and returns a
// connector for it. It does not connect.
func NewConnector(dsn string, opts ...Option) (*Connector, error) {
	cfg, err := ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	return NewConnectorConfig(cfg, opts...)
}

// NewConnectorConfig returns a connector for a copy of cfg, or an error if cfg
// holds a value that [ParseDSN] would have refused. It does not connect.
func NewConnectorConfig(cfg *Config, opts ...Option) (*Connector, error) {
	cfg = cfg.Clone()
	if err := cfg.normalize(); err != nil {
		return nil, err
	}
	return newConnector(cfg, nil, opts), nil
}

// Wrap puts psyco's placeholders and value rules in front of another driver's
// connections: lib/pq's own connector, one that traces, or a mock. What needs
// the server's protocol (the statement cache, typed parameters, lazy BEGIN,
// COPY streams, cursors through [ServerSide]) is left out, and cancellation, TLS
// and connecting are base's.
func Wrap(base driver.Connector, opts ...Option) *Connector {
	return newConnector(&Config{}, base, opts)
}

func newConnector(cfg *Config, base driver.Connector, opts []Option) *Connector {
	c := &Connector{
		cfg:      cfg,
		base:     base,
		rewriter: newRewriter(cfg.Placeholders),
		grace:    DefaultCancelGrace,
	}
	c.dialer.cfg = cfg
	for _, o := range opts {
		o(c)
	}
	return c
}

// Connect opens a connection: the first host that can be reached and fits
// target_session_attrs. The error for a single host is the server's *pq.Error
// if it sent one; for several it lists every host tried and why. Sockets that do
// not exist do not count beside a host that answered. It returns when ctx ends.
func (c *Connector) Connect(ctx context.Context) (driver.Conn, error) {
	cn, err := c.connect(ctx)
	switch {
	case err != nil:
		return nil, err
	case c.tracer != nil:
		return tracedConn{cn}, nil
	}
	return cn, nil
}

func (c *Connector) connect(ctx context.Context) (*conn, error) {
	if c.tracer == nil {
		return c.greeted(ctx)
	}
	s := &tracing{Trace: Trace{Call: "Connect"}}
	s.begin(ctx, c, nil)
	cn, err := c.greeted(s.ctx)
	if cn != nil {
		s.on(cn)
		s.pause()
	}
	s.end(err)
	return cn, err
}

// greeted opens a connection and runs the function of WithOnConnect.
func (c *Connector) greeted(ctx context.Context) (*conn, error) {
	cn, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	if c.onConnect != nil {
		if err := c.onConnect(ctx, &Conn{cn}); err != nil {
			cn.Close()
			return nil, err
		}
		cn.leads.connected = len(cn.leads.statements)
	}
	return cn, nil
}

func (c *Connector) open(ctx context.Context) (*conn, error) {
	if c.base != nil {
		base, err := c.base.Connect(ctx)
		if err != nil {
			return nil, err
		}
		return newConn(c, &session{cfg: c.cfg, base: base}), nil
	}
	s, err := c.dialer.connect(ctx)
	if err != nil {
		c.explainParameter(err)
		return nil, err
	}
	return newConn(c, s), nil
}

// explainParameter adds to the server's error about a parameter that it does not know
// where the server has that from.
func (c *Connector) explainParameter(err error) {
	pe := pq.As(err, pqerror.UndefinedObject)
	if pe == nil || pe.Hint != "" {
		return
	}
	for name := range c.cfg.RuntimeParams {
		if strings.Contains(pe.Message, name) {
			pe.Hint = fmt.Sprintf("psyco sent %q as a run-time parameter, because it is not an option of connection strings that psyco knows.", name)
		}
	}
}

// Driver returns the driver that is registered as "psyco".
func (c *Connector) Driver() driver.Driver { return &Driver{} }

// Config returns a copy of the connector's configuration.
func (c *Connector) Config() *Config { return c.cfg.Clone() }

// WarmUp opens connections side by side until db has n of them, so that the first requests
// do not wait for logins (psycopg: ConnectionPool.wait). It returns the first error; then
// there may be fewer. The pool must keep them: call db.SetMaxIdleConns with n or more before, and
// let SetMaxOpenConns allow as many, else WarmUp returns an error that says so. It works with
// any driver's pool. It waits, until ctx ends, for a connection that others use.
func WarmUp(ctx context.Context, db *sql.DB, n int) error {
	before := db.Stats()
	if limit := before.MaxOpenConnections; limit > 0 && n > limit {
		return fmt.Errorf("psyco: WarmUp: the pool may have %d connections, not %d: call db.SetMaxOpenConns", limit, n)
	}
	conns, errs := make([]*sql.Conn, max(n, 0)), make([]error, max(n, 0))
	var wg sync.WaitGroup
	for i := range conns { // all are held until the last is there
		wg.Go(func() { conns[i], errs[i] = db.Conn(ctx) })
	}
	wg.Wait()
	for i, c := range conns {
		if errs[i] == nil {
			errs[i] = c.Close()
		}
	}
	if err := cmp.Or(errs...); err != nil {
		return err
	}
	if closed := db.Stats().MaxIdleClosed - before.MaxIdleClosed; closed > 0 {
		return fmt.Errorf("psyco: WarmUp: the pool has closed %d of %d connections again: call db.SetMaxIdleConns with %[2]d or more", closed, n)
	}
	return nil
}
