// Package dial opens the connection below a session: hosts and their addresses, the
// socket, TLS, and authentication as far as lib/pq lacks it. It ends with a wire.Conn
// on which the caller starts the session.
package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/psyco-go/psyco/internal/wire"
)

// Params are what connecting goes by. They may be used for many connections at once.
type Params struct {
	// Hosts are tried in this order, or in random order (load_balance_hosts), until one
	// gives a session.
	Hosts  []Host
	Random bool
	// Wanted are the kinds of session to look for, one after the other, on all hosts.
	// Start is told which.
	Wanted []string
	// ConnectTimeout limits the attempt on one address, 0 for no limit.
	ConnectTimeout time.Duration

	// Dial opens a socket, nil for net.Dialer. It is given the names of hosts.
	Dial        func(ctx context.Context, network, address string) (net.Conn, error)
	Socket      SocketOptions
	RequirePeer string
	TLS         TLS
	Auth        Auth
	// Password returns the password for a host.
	Password func(ctx context.Context, host Host) (string, error)

	// Start makes a session of a connection, and puts it there. An [UnfitError] passes the
	// host over; for other errors libpq's rules say where to go on.
	Start func(ctx context.Context, c *Conn, wanted string) error

	// NoTLS and NoPassword are the errors for a server that has no TLS, and for one that
	// asks for a password where there is none: programs look for certain values.
	NoTLS      error
	NoPassword func() error
}

// Conn is a connection to a server.
type Conn struct {
	*wire.Conn
	Host      Host // the entry of Params.Hosts that was used
	Endpoint  Endpoint
	Encrypted bool
	Session   any // what Params.Start has made of it

	params  *Params
	reached bool           // the socket was open
	auth    *authenticator // until it has started
	bearer  *bearer        // what is known of OAuth
	// What a cancel request needs. They are fixed here because it is sent
	// from another goroutine while the wire is in use.
	pid uint32
	key []byte
}

// UnfitError says that a session is not of the wanted kind.
type UnfitError struct{ Cause error }

func (e *UnfitError) Error() string { return e.Cause.Error() }
func (e *UnfitError) Unwrap() error { return e.Cause }

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

// alone is the error for an attempt that speaks for all.
func (e *attemptError) alone() *Error { return &Error{e.where, e.cause, advise(e.cause)} }

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
func (p *Params) tryEndpoint(ctx context.Context, wanted string, at Endpoint, password string) (*Conn, []*attemptError) {
	if limit := p.ConnectTimeout; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, &connectTimeoutError{limit})
		defer cancel()
	}
	var failed []*attemptError
	ways := p.TLS.encryptions(at.Network)
	for i, enc := range ways {
		c := &Conn{params: p, Host: at.Host, Endpoint: at, Encrypted: bool(enc)}
		next, err := c.open(ctx, wanted, password, i+1 < len(ways))
		if found := c.bearer; err != nil && found.needsToken() && isServerError(err) {
			// The server has said where tokens come from, and has ended the connection.
			c = &Conn{params: p, Host: at.Host, Endpoint: at, Encrypted: true}
			next, err = c.openWithToken(ctx, found, wanted, password)
		}
		if err == nil {
			return c, nil
		}
		next, err = explain(ctx, next, err)
		where := at.String()
		switch {
		case len(ways) == 1 || !c.reached:
		case c.Encrypted:
			where += " with TLS"
		default:
			where += " without TLS"
		}
		failed = append(failed, &attemptError{where, next, err})
		if next != otherEncryption {
			break
		}
	}
	return nil, failed
}

// explain replaces an error that the end of ctx brought about.
func explain(ctx context.Context, next next, err error) (next, error) {
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
	return stop, cause
}

// open makes one attempt. On failure everything it opened is closed again, and
// it says what may be tried next; fallback is whether another encryption is
// left.
func (c *Conn) open(ctx context.Context, wanted, password string, fallback bool) (next, error) {
	nc, next, err := c.params.dialEndpoint(ctx, c.Endpoint)
	if err != nil {
		return next, err
	}
	c.reached = true
	// lib/pq and crypto/tls do not look at a context; a deadline in the past
	// wakes them.
	release := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	err = errPanicked // until something else is known
	defer func() {
		if err != nil {
			nc.Close() // once more, in some cases; what matters is that none is left open
		}
	}()
	next, err = c.start(ctx, nc, wanted, password, fallback)
	if !release() && err == nil {
		err = ctx.Err()
	}
	return next, err
}

var errPanicked = errors.New("psyco: a function of the program panicked")

// openWithToken is open with a token for what the connection before has found.
func (c *Conn) openWithToken(ctx context.Context, found *bearer, wanted, password string) (next, error) {
	c.bearer = &bearer{request: found.request}
	if err := c.bearer.fetch(ctx, &c.params.Auth.OAuth); err != nil {
		return stop, fmt.Errorf("psyco: %w", err)
	}
	return c.open(ctx, wanted, password, false)
}

// dialEndpoint opens the socket and makes it fit the configuration.
func (p *Params) dialEndpoint(ctx context.Context, at Endpoint) (net.Conn, next, error) {
	dial := p.Dial
	if dial == nil {
		dial = (&net.Dialer{KeepAlive: -1}).DialContext // keepalives are SocketOptions'
	}
	nc, err := dial(ctx, at.Network, at.Address)
	if err != nil {
		if at.Network == "unix" && errors.Is(err, syscall.EINVAL) {
			err = fmt.Errorf("psyco: the path of the Unix-domain socket is too long for the system (%d bytes): %w", len(at.Address), err)
		}
		return nil, otherAddress, err
	}
	if err := p.Socket.apply(nc); err != nil {
		nc.Close()
		return nil, otherAddress, err
	}
	if err := checkPeer(nc, p.RequirePeer); err != nil {
		nc.Close()
		return nil, stop, err
	}
	return nc, stop, nil
}

// start turns a socket into a session: TLS, and what the caller does.
func (c *Conn) start(ctx context.Context, nc net.Conn, wanted, password string, fallback bool) (next, error) {
	var secured *tls.Conn
	if c.Encrypted {
		var err error
		secured, err = c.params.startTLS(nc, c.Host, fallback)
		switch {
		case errors.Is(err, errPlaintext):
			c.Encrypted, fallback = false, false // the other way is this one
		case err != nil:
			return onTLSError(err, fallback)
		default:
			nc = secured
		}
	}
	if c.params.TLS.CertMode == "require" && !c.Encrypted {
		return stop, ErrNoCertRequest
	}
	auth := newAuthenticator(ctx, &c.params.Auth, secured, password)
	c.Conn, c.auth = wire.New(nc), auth
	auth.host, auth.bearer, auth.wire = c.Host, c.bearer, c.Conn
	c.HandleAuth(auth.handle)
	err := c.params.Start(ctx, c, wanted)
	c.letGo()
	if err == nil {
		c.bearer = nil
		c.pid, c.key = c.PID(), c.CancelKey()
		return stop, nil
	}
	c.bearer = auth.bearer
	unfit := (*UnfitError)(nil)
	switch {
	case errors.Is(err, errNoPassword):
		return stop, c.params.NoPassword()
	case errors.As(err, &unfit):
		return otherHost, unfit.Cause
	default:
		return onServerError(err, fallback && !auth.granted), err
	}
}

// Startup is the connection to start the session on.
func (c *Conn) Startup() net.Conn { return &starting{c.Conn, c.auth} }

// Password is what the session is started with.
func (c *Conn) Password() string { return c.auth.password }

// Started is called when the session has started. It returns an error if the server has
// not let the client in.
func (c *Conn) Started() error {
	granted := c.auth.granted
	c.letGo()
	if !granted {
		return errors.New("psyco: the server opened a session without a word about who the client is")
	}
	return nil
}

// letGo forgets the password.
func (c *Conn) letGo() {
	c.HandleAuth(nil)
	c.auth = nil
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

// serverError is an error that a server has sent, as lib/pq returns it.
type serverError interface {
	error
	SQLState() string
}

func isServerError(err error) bool {
	var se serverError
	return errors.As(err, &se)
}

// onServerError: a server that is starting up, shutting down or in recovery
// is passed over; one that refuses the session may want it with TLS, or
// without.
func onServerError(err error, fallback bool) next {
	var se serverError
	switch {
	case !errors.As(err, &se):
		return stop
	case se.SQLState() == "57P03": // cannot_connect_now
		return otherHost
	case fallback:
		return otherEncryption
	default:
		return stop
	}
}
