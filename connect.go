package psyco

import (
	"cmp"
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco/internal/conninfo"
	"github.com/psyco-go/psyco/internal/dial"
	"github.com/psyco-go/psyco/internal/wire"
)

// dialer holds what connecting needs.
type dialer struct {
	cfg            *Config
	dial           DialFunc    // nil: net.Dialer
	tls            *tls.Config // nil: by sslmode
	password       func(ctx context.Context, cfg *Config, host Host) (string, error)
	before         func(ctx context.Context, cfg *Config) error
	fits           func(host Host) error // passes a host over that target_session_attrs would take
	oauthToken     func(ctx context.Context, r OAuthRequest) (string, error)
	onNotice       func(*pq.Error)
	onNotification func(*pq.Notification)

	prepare sync.Once    // for params
	params  *dial.Params // of cfg, for all connections if before does not change it

	// pooled is set when a pooler was found to give a session's transactions to
	// different servers, where no prepared statement can be relied on.
	pooled atomic.Bool
	// suspect is set when a pooler is likely, see conn.suspectPooler.
	suspect atomic.Bool
	// sessions is set when what was suspected was found to pool by session, see
	// conn.needsSession.
	sessions atomic.Bool
	backends backends
	doubts   doubts // see Committed
}

// session is an open connection: lib/pq's, and what it runs on.
type session struct {
	cfg  *Config
	base driver.Conn
	wire *wire.Conn
	link *dial.Conn // nil behind Wrap, as is wire
}

// connect opens a session on the first host that can be reached and is of the
// wanted kind.
func (d *dialer) connect(ctx context.Context) (*session, error) {
	cfg, err := d.nextConfig(ctx)
	if err != nil {
		return nil, err
	}
	var p *dial.Params
	if cfg == d.cfg {
		d.prepare.Do(func() { d.params = d.paramsOf(cfg) })
		p = d.params
	} else {
		p = d.paramsOf(cfg)
	}
	link, err := p.Connect(ctx)
	if err != nil {
		return nil, connectFailed(cfg, err)
	}
	return link.Session.(*session), nil
}

// connectFailed adds to an error of dial what was connected to, as whom, and what to do. A
// server's error stays a *pq.Error, which programs for lib/pq expect as it is; what is
// added stands at the end of its message and in its hint.
func connectFailed(cfg *Config, err error) error {
	failed := (*dial.Error)(nil)
	if !errors.As(err, &failed) {
		return err
	}
	who := fmt.Sprintf("as user %q, database %q", cfg.User, cmp.Or(cfg.Database, cfg.User))
	pe, ok := failed.Cause.(*pq.Error)
	switch {
	case ok:
		pe.Message += "; connecting to " + failed.Where + " " + who
		pe.Hint = cmp.Or(pe.Hint, failed.Do)
		return pe
	case failed.Where == "":
		return &connectError{"psyco: could not connect to any of the hosts " + who + ":\n" + failed.Cause.Error(), failed}
	}
	return &connectError{"psyco: connecting to " + failed.Where + " " + who + ": " + strings.TrimPrefix(failed.Cause.Error(), "psyco: "), failed}
}

// connectError is the error of an attempt to connect that no server has answered with an
// error of its own.
type connectError struct {
	text   string
	failed *dial.Error
}

var _ net.Error = (*connectError)(nil) // as what the net package returns to lib/pq

func (e *connectError) Error() string {
	if e.failed.Do == "" {
		return e.text
	}
	return e.text + "\nHint: " + strings.ReplaceAll(e.failed.Do, "\n", "\nHint: ")
}

func (e *connectError) Unwrap() error { return e.failed.Cause }

func (e *connectError) Timeout() bool {
	var ne net.Error
	return errors.As(e.failed.Cause, &ne) && ne.Timeout()
}

func (e *connectError) Temporary() bool {
	var te interface{ Temporary() bool }
	return errors.As(e.failed.Cause, &te) && te.Temporary()
}

// nextConfig returns the configuration of the next connection.
func (d *dialer) nextConfig(ctx context.Context) (*Config, error) {
	if d.before == nil {
		return d.cfg, nil
	}
	cfg := d.cfg.Clone()
	if err := d.before(ctx, cfg); err != nil {
		return nil, err
	}
	if cfg.Placeholders != d.cfg.Placeholders {
		return nil, fmt.Errorf("psyco: WithBeforeConnect: Placeholders cannot change from %q to %q: "+
			"queries are read in one way for all connections of a connector", d.cfg.Placeholders, cfg.Placeholders)
	}
	if err := cfg.normalize(); err != nil {
		return nil, err
	}
	return cfg, nil
}

// paramsOf returns what connecting by cfg goes by.
func (d *dialer) paramsOf(cfg *Config) *dial.Params {
	p := &dial.Params{
		Hosts:          make([]dial.Host, len(cfg.Hosts)),
		Random:         cfg.LoadBalanceHosts == "random",
		Wanted:         []string{cfg.TargetSessionAttrs},
		ConnectTimeout: cfg.ConnectTimeout,
		Dial:           d.dial,
		Socket: dial.SocketOptions{
			Keepalives: cfg.Keepalives, Idle: cfg.KeepalivesIdle, Interval: cfg.KeepalivesInterval, Count: cfg.KeepalivesCount,
			UserTimeout: cfg.TCPUserTimeout,
		},
		RequirePeer: cfg.RequirePeer,
		TLS: dial.TLS{
			Mode: cfg.SSLMode, Direct: cfg.SSLNegotiation == "direct", CertMode: cfg.SSLCertMode,
			Own:    d.ownTLS(cfg) != nil,
			Config: func(host dial.Host) (*tls.Config, error) { return d.tlsConfig(cfg, host) },
		},
		Auth: dial.Auth{
			Require: cfg.RequireAuth, ChannelBinding: cfg.ChannelBinding,
			ClientKey: cfg.SCRAMClientKey, ServerKey: cfg.SCRAMServerKey,
			OAuth: dial.OAuth{Issuer: cfg.OAuthIssuer, ClientID: cfg.OAuthClientID, Scope: cfg.OAuthScope},
		},
		Password: func(ctx context.Context, host dial.Host) (string, error) { return d.passwordFor(ctx, cfg, Host(host)) },
		Start: func(_ context.Context, c *dial.Conn, wanted string) error {
			s := &session{cfg: cfg, wire: c.Conn, link: c}
			c.Session = s
			return s.start(d, target(wanted))
		},
		NoTLS:      pq.ErrSSLNotSupported, // programs for lib/pq look for this value
		NoPassword: noPassword,
	}
	if d.oauthToken != nil {
		p.Auth.OAuth.Token = func(ctx context.Context, r dial.OAuthRequest) (string, error) {
			return d.oauthToken(ctx, OAuthRequest{Config: cfg.Clone(), Host: Host(r.Host),
				Issuer: r.Issuer, DiscoveryURI: r.DiscoveryURI, Scope: r.Scope})
		}
	}
	for i, h := range cfg.Hosts {
		p.Hosts[i] = dial.Host(h)
	}
	if target(cfg.TargetSessionAttrs) == preferStandby {
		p.Wanted = append(p.Wanted, string(anyTarget))
	}
	return p
}

// noPassword comes where libpq says "fe_sendauth: no password supplied". It has the
// shape of what a server says to an empty password, which programs may look for; psyco
// does not send one.
func noPassword() error {
	return &pq.Error{Severity: pqerror.SeverityFatal, Code: pqerror.InvalidPassword,
		Message: "the server asks for a password, but none was given: " +
			"put password=… into the connection string, set PGPASSWORD, or write a line for this server into the passfile",
		Hint: "The password is taken from WithPassword, the connection string, PGPASSWORD or the passfile, in this order."}
}

func (d *dialer) passwordFor(ctx context.Context, cfg *Config, host Host) (string, error) {
	if d.password != nil {
		return d.password(ctx, cfg.Clone(), host)
	}
	return cfg.passwordFor(host, conninfo.SystemSource()), nil
}

// start has lib/pq start a session on the wire, and looks which kind of server it is.
func (s *session) start(d *dialer, t target) error {
	base, err := s.startup()
	if err != nil {
		return err
	}
	if err := s.link.Started(); err != nil {
		base.Close()
		return err
	}
	s.base = &libpq{base, s.wire}
	if h := d.onNotice; h != nil {
		s.onNotice(h)
	}
	if h := d.onNotification; h != nil {
		s.onNotification(h)
	}
	err = s.checkTarget(t)
	if err == nil && d.fits != nil {
		err = d.fits(Host(s.link.Host))
	}
	if err != nil {
		base.Close()
		return &dial.UnfitError{Cause: err}
	}
	return nil
}

// startup has lib/pq open a session on the wire.
func (s *session) startup() (driver.Conn, error) {
	con, err := pq.NewConnectorConfig(s.pqConfig())
	if err != nil {
		return nil, err
	}
	con.Dialer(&handOver{nc: s.link.Startup()})
	base, err := openSession(con, s.wire)
	if err != nil {
		if fatal := (*wire.Error)(nil); errors.As(err, &fatal) {
			err = pqError(fatal)
		}
		if pe := (*pq.Error)(nil); errors.As(err, &pe) {
			pe.Message = cmp.Or(pe.Message, "the server refuses the session without a word")
			return nil, err
		}
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("the server closed the connection: %w", io.ErrUnexpectedEOF)
		}
		return nil, fmt.Errorf("psyco: starting a session: %w", legible(err))
	}
	return base, nil
}

// legible puts what a server says that speaks another protocol into quotes. lib/pq takes
// it for text, as servers before 3.0 sent it. And the newest version of the protocol that a
// server knows becomes a version: servers before 18 send the whole number, of which lib/pq
// makes 3.196608.
func legible(err error) error {
	if text, number, found := strings.Cut(err.Error(), "; server supports up to 3."); found {
		if n, e := strconv.Atoi(number); e == nil && n>>16 > 0 {
			return fmt.Errorf("%s; server supports up to %d.%d", text, n>>16, n&0xffff)
		}
		return err
	}
	said, raw := strings.CutPrefix(err.Error(), "pq: server error: ")
	if said = strings.TrimRight(said, "\x00 \t\r\n"); !raw || said != "" && utf8.ValidString(said) && !strings.ContainsFunc(said, unicode.IsControl) {
		return err
	}
	return fmt.Errorf("the server's error cannot be read: %q; is this a PostgreSQL server?", said)
}

func openSession(con *pq.Connector, w *wire.Conn) (_ driver.Conn, err error) {
	defer guard(w, &err)
	return con.Connect(background)
}

// onNotice has lib/pq call h with the notices of the session, nil for none.
func (s *session) onNotice(h func(*pq.Error)) {
	pq.SetNoticeHandler(s.base.(*libpq).Conn, handler(s, h))
}

// onNotification is onNotice for notifications.
func (s *session) onNotification(h func(*pq.Notification)) {
	pq.SetNotificationHandler(s.base.(*libpq).Conn, handler(s, h))
}

// pqConfig is what is left for lib/pq to do: no hosts, no TLS, no time limit.
func (s *session) pqConfig() pq.Config {
	cfg := s.cfg
	name := cfg.ApplicationName
	if name == "" {
		name = cfg.FallbackApplicationName
	}
	return pq.Config{
		Host:     s.link.Host.Host, // for Kerberos
		Port:     s.link.Host.Port,
		Database: cfg.Database,
		User:     cfg.User,
		Password: s.link.Password(),
		// With an empty password lib/pq would look for one itself. This file
		// cannot exist; os.DevNull does, and lib/pq warns of its permissions.
		Passfile:                    filepath.Join(os.DevNull, "none"),
		Options:                     cfg.Options,
		ApplicationName:             name,
		SSLMode:                     pq.SSLModeDisable,
		KrbSrvname:                  cfg.KrbSrvname,
		KrbSpn:                      cfg.KrbSpn,
		BinaryParameters:            cfg.BinaryParameters,
		DisablePreparedBinaryResult: cfg.DisablePreparedBinaryResult,
		ClientEncoding:              "UTF8",
		Datestyle:                   "ISO, MDY",
		MinProtocolVersion:          pq.ProtocolVersion(cfg.MinProtocolVersion),
		MaxProtocolVersion:          pq.ProtocolVersion(cfg.MaxProtocolVersion),
		Runtime:                     cfg.RuntimeParams,
	}
}

// handOver is a dialer for lib/pq that gives away a connection it has already.
type handOver struct{ nc net.Conn }

var (
	_ pq.Dialer        = (*handOver)(nil)
	_ pq.DialerContext = (*handOver)(nil)
)

func (h *handOver) DialContext(context.Context, string, string) (net.Conn, error) {
	nc := h.nc
	if h.nc = nil; nc == nil {
		return nil, errors.New("psyco: lib/pq asked for a second connection")
	}
	return nc, nil
}

func (h *handOver) Dial(network, address string) (net.Conn, error) {
	return h.DialContext(context.Background(), network, address)
}

func (h *handOver) DialTimeout(network, address string, _ time.Duration) (net.Conn, error) {
	return h.Dial(network, address)
}

// target is a value of target_session_attrs.
type target string

const (
	anyTarget     target = "any"
	readWrite     target = "read-write"
	readOnly      target = "read-only"
	primary       target = "primary"
	standby       target = "standby"
	preferStandby target = "prefer-standby"
)

// checkTarget returns an error if the session is not of the wanted kind. It
// asks the server only for what it did not report by itself, which PostgreSQL
// does from version 14 on (libpq: CONNECTION_CHECK_TARGET).
func (s *session) checkTarget(t target) error {
	var problem string
	var err error
	switch t {
	case readWrite, readOnly:
		var ro bool
		if ro, err = s.isReadOnly(); ro && t == readWrite {
			problem = "session is read-only"
			if v, _ := s.wire.Parameter("in_hot_standby"); v == "on" {
				problem = "server is in hot standby mode"
			}
		} else if !ro && t == readOnly {
			problem = "session is not read-only"
		}
	case primary, standby, preferStandby:
		var inRecovery bool
		if inRecovery, err = s.isStandby(); inRecovery && t == primary {
			problem = "server is in hot standby mode"
		} else if !inRecovery && t != primary {
			problem = "server is not in hot standby mode"
		}
	}
	if err == nil && problem != "" {
		err = errors.New(problem)
	}
	if err != nil {
		return fmt.Errorf("psyco: the server does not fit target_session_attrs=%s: %w", t, err)
	}
	return nil
}

// wantsWrites reports whether target_session_attrs asks for sessions that can write.
func (s *session) wantsWrites() bool {
	t := target(s.cfg.TargetSessionAttrs)
	return t == readWrite || t == primary
}

// stillWrites asks the server itself whether the session can write. It returns an error if
// not: a primary that has become a standby behind a proxy keeps its connections, and a pool
// would fail with them until they are closed.
func (s *session) stillWrites() error {
	ro, err := s.ask("SHOW transaction_read_only")
	if err == nil && ro {
		err = errors.New("the session has become read-only")
	}
	return err
}

func (s *session) isReadOnly() (bool, error) {
	byDefault, known := s.wire.Parameter("default_transaction_read_only")
	inStandby, known2 := s.wire.Parameter("in_hot_standby")
	if byDefault == "on" || inStandby == "on" {
		return true, nil
	}
	if known && known2 {
		return false, nil
	}
	return s.ask("SHOW transaction_read_only")
}

func (s *session) isStandby() (bool, error) {
	if v, known := s.wire.Parameter("in_hot_standby"); known {
		return v == "on", nil
	}
	return s.ask("SELECT pg_catalog.pg_is_in_recovery()")
}

// ask runs a query with one row of one boolean.
func (s *session) ask(query string) (bool, error) {
	answer, err := s.queryBool(query)
	if err == nil {
		return answer, nil
	}
	if errors.Is(err, driver.ErrBadConn) {
		// lib/pq hides the reason, and database/sql would connect again.
		err = errors.New("the connection was lost")
		if fatal := s.wire.Fatal(); fatal != nil {
			err = pqError(fatal)
		}
	}
	return false, fmt.Errorf("%q failed: %w", query, err)
}

func (s *session) queryBool(query string) (bool, error) {
	answered, answer := false, false
	err := queryRows(s.wire, s.base, query, func(row []driver.Value) error {
		if len(row) != 1 {
			return fmt.Errorf("%d columns in the answer", len(row))
		}
		answered = true
		switch v := row[0].(type) {
		case bool:
			answer = v
		case string:
			answer = v == "on"
		case []byte:
			answer = string(v) == "on"
		default:
			return fmt.Errorf("unexpected answer %v", v)
		}
		return nil
	})
	if err == nil && !answered {
		err = errors.New("no row in the answer")
	}
	return answer, err
}
