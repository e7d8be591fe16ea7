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
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/wire"
)

// dialer holds what connecting needs.
type dialer struct {
	cfg            *Config
	dial           DialFunc    // nil: net.Dialer
	tls            *tls.Config // nil: by sslmode
	password       func(ctx context.Context, cfg *Config, host Host) (string, error)
	onNotice       func(*pq.Error)
	onNotification func(*pq.Notification)

	// pooled is set when a pooler was found to give a session's transactions to
	// different servers, where no prepared statement can be relied on.
	pooled atomic.Bool
	// suspect is set when a pooler is likely, see conn.suspectPooler.
	suspect  atomic.Bool
	backends backends
}

// session is an open connection: lib/pq's, and what it runs on.
type session struct {
	base driver.Conn
	wire *wire.Conn
	host Host // the entry of Config.Hosts that was used

	// What a cancel request needs. They are fixed here because it is sent
	// from another goroutine while the wire is in use.
	dialer    *dialer
	endpoint  endpoint
	encrypted encryption
	pid       uint32
	key       []byte
}

// next says what a failed attempt leaves to be tried. Every list of hosts and
// addresses is gone through by libpq's rules (PQconnectPoll): a place that
// cannot be reached is passed over, an answer ends the search, unless it says
// that this server cannot be used now or is not of the wanted kind.
type next int

const (
	stop            next = iota // nothing
	otherEncryption             // the same address with or without TLS
	otherAddress                // the host's next address, or the next host
	otherHost
)

// attemptError is one failed attempt.
type attemptError struct {
	where string
	next  next
	cause error
}

func (e *attemptError) Error() string { return e.where + ": " + e.cause.Error() }
func (e *attemptError) Unwrap() error { return e.cause }

// connectTimeoutError says that connect_timeout ended an attempt.
type connectTimeoutError struct{ limit time.Duration }

var _ net.Error = (*connectTimeoutError)(nil)

func (e *connectTimeoutError) Error() string {
	return fmt.Sprintf("psyco: connect_timeout: no connection within %s", e.limit)
}
func (e *connectTimeoutError) Timeout() bool   { return true }
func (e *connectTimeoutError) Temporary() bool { return true }
func (e *connectTimeoutError) Is(target error) bool {
	return target == os.ErrDeadlineExceeded || target == context.DeadlineExceeded
}

// tryEndpoint connects to one address, with and without TLS as sslmode allows.
// connect_timeout covers it all.
func (d *dialer) tryEndpoint(ctx context.Context, t target, at endpoint, password string) (*session, []*attemptError) {
	if limit := d.cfg.ConnectTimeout; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, &connectTimeoutError{limit})
		defer cancel()
	}
	var failed []*attemptError
	ways := d.encryptions(at.network)
	for i, enc := range ways {
		s := &session{dialer: d, host: at.host, endpoint: at, encrypted: enc}
		next, err := s.open(ctx, t, password, i+1 < len(ways))
		if err == nil {
			return s, nil
		}
		next, err = explain(ctx, at, next, err)
		where := at.String()
		switch op := (*net.OpError)(nil); {
		case len(ways) == 1 || errors.As(err, &op) && op.Op == "dial":
		case bool(s.encrypted):
			where += ", with TLS"
		default:
			where += ", without TLS"
		}
		failed = append(failed, &attemptError{where, next, err})
		if next != otherEncryption {
			break
		}
	}
	return nil, failed
}

// explain replaces an error that the end of ctx brought about.
func explain(ctx context.Context, at endpoint, next next, err error) (next, error) {
	cause := context.Cause(ctx)
	if cause == nil {
		return next, err
	}
	if timeout := (*connectTimeoutError)(nil); errors.As(cause, &timeout) {
		return otherAddress, cause
	}
	if !errors.Is(cause, ctx.Err()) {
		cause = fmt.Errorf("%w: %w", ctx.Err(), cause)
	}
	return stop, fmt.Errorf("psyco: connecting to %s: %w", at, cause)
}

// open makes one attempt. On failure everything it opened is closed again, and
// it says what may be tried next; fallback tells whether another encryption is
// left.
func (s *session) open(ctx context.Context, t target, password string, fallback bool) (next, error) {
	nc, next, err := s.dialer.dialEndpoint(ctx, s.endpoint)
	if err != nil {
		return next, err
	}
	// lib/pq and crypto/tls do not look at a context; a deadline in the past
	// wakes them.
	release := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	next, err = s.start(ctx, nc, t, password, fallback)
	if !release() && err == nil {
		err = ctx.Err()
		s.base.Close()
	}
	if err != nil {
		nc.Close() // once more, in some cases; what matters is that none is left open
	}
	return next, err
}

// dialEndpoint opens the socket and makes it fit the configuration.
func (d *dialer) dialEndpoint(ctx context.Context, at endpoint) (net.Conn, next, error) {
	dial := d.dial
	if dial == nil {
		dial = (&net.Dialer{KeepAlive: -1}).DialContext // keepalives are applySocketOptions'
	}
	nc, err := dial(ctx, at.network, at.address)
	if err != nil {
		if at.network == "unix" && errors.Is(err, syscall.EINVAL) {
			err = fmt.Errorf("psyco: the path of the Unix-domain socket is too long for the system (%d bytes): %w", len(at.address), err)
		}
		return nil, otherAddress, err
	}
	if err := d.cfg.applySocketOptions(nc); err != nil {
		nc.Close()
		return nil, otherAddress, err
	}
	if err := d.cfg.checkPeer(nc); err != nil {
		nc.Close()
		return nil, stop, err
	}
	return nc, stop, nil
}

// start turns a socket into a session: TLS, startup, the kind of server.
func (s *session) start(ctx context.Context, nc net.Conn, t target, password string, fallback bool) (next, error) {
	cfg := s.dialer.cfg
	var secured *tls.Conn
	if s.encrypted {
		var err error
		secured, err = s.dialer.startTLS(nc, s.host, fallback)
		switch {
		case errors.Is(err, errPlaintext):
			s.encrypted, fallback = plaintext, false // the other way is this one
		case err != nil:
			return onTLSError(err, fallback)
		default:
			nc = secured
		}
	}
	if cfg.SSLCertMode == "require" && !s.encrypted {
		return stop, errNoCertRequest
	}
	auth := s.newAuthenticator(ctx, secured, password)
	s.wire = wire.New(nc)
	s.wire.HandleAuth(auth.handle)
	base, err := s.startup(auth, password)
	s.wire.HandleAuth(nil) // which lets go of the password
	if errors.Is(err, errNoPassword) {
		return stop, noPassword()
	}
	if err != nil {
		return onStartupError(err, fallback && !auth.granted), err
	}
	if !auth.granted {
		base.Close()
		return stop, fmt.Errorf("psyco: %s opened a session without a word about who the client is", s.endpoint)
	}
	s.base = &libpq{base, s.wire}
	if h := s.dialer.onNotice; h != nil {
		s.onNotice(h)
	}
	if h := s.dialer.onNotification; h != nil {
		s.onNotification(h)
	}
	s.pid, s.key = s.wire.PID(), s.wire.CancelKey()
	if err := s.checkTarget(t); err != nil {
		base.Close()
		return otherHost, err
	}
	return stop, nil
}

// onTLSError: what a server says before TLS is up is not to be trusted, so only
// a handshake that failed is worth an attempt without.
func onTLSError(err error, fallback bool) (next, error) {
	handshake := (*handshakeError)(nil)
	switch {
	case !errors.As(err, &handshake):
		return stop, err
	case fallback:
		return otherEncryption, handshake.cause
	default:
		return stop, handshake.cause
	}
}

// onStartupError: a server that is starting up, shutting down or in recovery
// is passed over; one that refuses the session may want it with TLS, or
// without.
func onStartupError(err error, fallback bool) next {
	var pe *pq.Error
	switch {
	case !errors.As(err, &pe):
		return stop
	case pe.Code == "57P03": // cannot_connect_now
		return otherHost
	case fallback:
		return otherEncryption
	default:
		return stop
	}
}

// startup has lib/pq open a session on the wire.
func (s *session) startup(auth *authenticator, password string) (driver.Conn, error) {
	con, err := pq.NewConnectorConfig(s.pqConfig(password))
	if err != nil {
		return nil, err
	}
	con.Dialer(&handOver{nc: &starting{s.wire, auth}})
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
		return nil, fmt.Errorf("psyco: starting a session on %s: %w", s.endpoint, legible(err))
	}
	return base, nil
}

// legible puts what a server says that speaks another protocol into quotes. lib/pq takes
// it for text, as servers before 3.0 sent it.
func legible(err error) error {
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
func (s *session) pqConfig(password string) pq.Config {
	cfg := s.dialer.cfg
	name := cfg.ApplicationName
	if name == "" {
		name = cfg.FallbackApplicationName
	}
	return pq.Config{
		Host:     s.host.Host, // for Kerberos
		Port:     s.host.Port,
		Database: cfg.Database,
		User:     cfg.User,
		Password: password,
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
