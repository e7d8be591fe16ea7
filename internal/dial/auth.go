package dial

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/psyco-go/psyco/internal/saslprep"
	"github.com/psyco-go/psyco/internal/scram"
	"github.com/psyco-go/psyco/internal/wire"
)

// Auth are the settings about authentication.
type Auth struct {
	Require              string // require_auth, which is known to be valid
	ChannelBinding       string
	ClientKey, ServerKey string // scram_client_key, scram_server_key
	OAuth                OAuth
}

// authenticator judges the server's requests for authentication by require_auth and
// channel_binding, and answers those for SCRAM, which lib/pq cannot bind to the TLS
// connection. The others are lib/pq's to answer.
type authenticator struct {
	*Auth
	ctx      context.Context
	password string
	tls      *tls.ConnectionState // nil without TLS

	asked   bool // the server wanted proof of who the client is
	granted bool // it has let the client in
	scram   *scram.Client
	bearer  *bearer // there before it is begun if another connection has found out how
	host    Host
	wire    *wire.Conn
}

// newAuthenticator is for a connection that secured is the TLS layer of, if not nil.
// Nobody can be called back yet.
func newAuthenticator(ctx context.Context, settings *Auth, secured *tls.Conn, password string) *authenticator {
	a := &authenticator{ctx: ctx, Auth: settings, password: password}
	if secured != nil {
		state := secured.ConnectionState()
		a.tls = &state
	}
	return a
}

// handle is a wire.AuthHandler.
func (a *authenticator) handle(code wire.AuthCode, data []byte) (answer []byte, taken bool, err error) {
	if a.granted {
		return nil, false, errors.New("the server sent a request for authentication after the end of it")
	}
	switch code {
	case wire.AuthOK:
		return nil, false, a.grant()
	case wire.AuthSASL:
		answer, err = a.beginSASL(data)
		return answer, true, err
	case wire.AuthSASLContinue, wire.AuthSASLFinal:
		if a.bearerBegun() {
			if code == wire.AuthSASLFinal {
				return nil, false, errors.New("the server ended the OAuth exchange with more than its end")
			}
			answer, err := a.bearer.refusal(data)
			if err != nil {
				return nil, false, err
			}
			return wire.AppendSASLResponse(nil, answer), true, nil
		}
		if a.scram == nil {
			return nil, false, errors.New("the server went on with a SASL exchange that was not begun")
		}
		if code == wire.AuthSASLFinal {
			return nil, true, a.scram.Verify(data)
		}
		response, err := a.scram.Final(a.ctx, data)
		if err != nil {
			return nil, false, err
		}
		return wire.AppendSASLResponse(nil, response), true, nil
	}
	if method := authMethods[code]; method != "" {
		return nil, false, a.judge(method)
	}
	return nil, false, nil // what is unknown, lib/pq refuses
}

// authMethods are the names that require_auth knows the requests by.
var authMethods = map[wire.AuthCode]string{
	wire.AuthPassword:    "password",
	wire.AuthMD5:         "md5",
	wire.AuthGSS:         "gss",
	wire.AuthGSSContinue: "gss",
	wire.AuthSSPI:        "sspi",
}

// judge decides whether a method other than SCRAM may be answered (libpq:
// check_expected_areq).
func (a *authenticator) judge(method string) error {
	if err := a.begin(method); err != nil {
		return err
	}
	if a.ChannelBinding == "require" {
		return fmt.Errorf("channel_binding=require: the server's method, %s, has no channel binding", method)
	}
	if a.password == "" && (method == "password" || method == "md5") {
		return errNoPassword
	}
	return nil
}

// begin judges a method by require_auth alone.
func (a *authenticator) begin(method string) error {
	switch {
	case a.scram != nil:
		return errors.New("the server changed the method in the middle of a SCRAM exchange")
	case a.bearerBegun():
		return errors.New("the server changed the method in the middle of an OAuth exchange")
	}
	a.asked = true
	return a.allow(method)
}

func (a *authenticator) bearerBegun() bool { return a.bearer != nil && a.bearer.begun }

func (a *authenticator) allow(method string) error {
	if allowsAuth(a.Require, method) {
		return nil
	}
	return fmt.Errorf("require_auth=%s does not allow the server's method, %s", a.Require, method)
}

// grant judges the server's word that the client is who it says.
func (a *authenticator) grant() error {
	if a.scram != nil && !a.scram.Verified() {
		return errors.New("the server ended the SCRAM exchange before it had proved that it knows the password")
	}
	if a.bearerBegun() && (a.bearer.refused || a.bearer.token == "") {
		return errors.New("the server let the client in without an OAuth token that it had not refused")
	}
	if !a.asked {
		if err := a.allow("none"); err != nil {
			return err
		}
	}
	if a.ChannelBinding == "require" && (a.scram == nil || !a.scram.Bound()) {
		return errors.New("channel_binding=require: the server let the client in without channel binding")
	}
	a.granted = true
	return nil
}

// beginSASL chooses a mechanism (libpq: pg_SASL_init).
func (a *authenticator) beginSASL(data []byte) ([]byte, error) {
	offered, err := wire.SASLMechanisms(data)
	if err != nil {
		return nil, err
	}
	if slices.Contains(offered, bearerMechanism) && !slices.Contains(offered, scram.SHA256) && !slices.Contains(offered, scram.SHA256Plus) {
		return a.beginOAuth()
	}
	if err := a.begin("scram-sha-256"); err != nil {
		return nil, err
	}
	mechanism, binding, err := a.chooseBinding(offered)
	if err != nil {
		return nil, err
	}
	credentials, err := a.credentials()
	if err != nil {
		return nil, err
	}
	a.scram = scram.New(credentials, binding)
	first, err := a.scram.First()
	if err != nil {
		return nil, err
	}
	return wire.AppendSASLInitialResponse(nil, mechanism, first), nil
}

func (a *authenticator) chooseBinding(offered []string) (mechanism string, binding scram.Binding, err error) {
	required := a.ChannelBinding == "require"
	plus, plain := slices.Contains(offered, scram.SHA256Plus), slices.Contains(offered, scram.SHA256)
	switch {
	case required && a.tls == nil:
		return "", binding, errors.New("channel_binding=require: the connection has no TLS that it could bind to")
	case plus && a.tls == nil:
		return "", binding, fmt.Errorf("the server offers %s on a connection without TLS: someone may have taken the TLS away", scram.SHA256Plus)
	case !plus && !plain:
		return "", binding, fmt.Errorf("the server offers %s, of which psyco knows none: it knows %s, %s and %s", mechanismList(offered), scram.SHA256, scram.SHA256Plus, bearerMechanism)
	case a.ChannelBinding == "disable" && !plain:
		return "", binding, fmt.Errorf("channel_binding=disable: the server offers nothing but %s", scram.SHA256Plus)
	case a.ChannelBinding == "disable", a.tls == nil:
		return scram.SHA256, scram.NoBinding, nil
	case !plus && required:
		return "", binding, fmt.Errorf("channel_binding=require: the server does not offer %s", scram.SHA256Plus)
	case !plus:
		return scram.SHA256, scram.BindingNotOffered, nil
	}
	if len(a.tls.PeerCertificates) == 0 {
		return "", binding, errors.New("the server sent no certificate to bind the connection to")
	}
	hash, err := scram.EndPointHash(a.tls.PeerCertificates[0].Raw)
	switch {
	case err == nil:
		return scram.SHA256Plus, scram.BindEndPoint(hash), nil
	case required || !plain:
		return "", binding, fmt.Errorf("channel_binding=%s: %w", a.ChannelBinding, err)
	}
	// No client can bind to a channel with this certificate; lib/pq and others then log in without.
	return scram.SHA256, scram.NoBinding, nil
}

func mechanismList(offered []string) string {
	quoted := make([]string, len(offered))
	for i, name := range offered {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	return fmt.Sprintf("%.200s", strings.Join(quoted, ", "))
}

// credentials are what the SCRAM exchange is begun with.
func (a *authenticator) credentials() (c scram.Credentials, err error) {
	c.Password = saslprep.Prepare(a.password)
	for _, key := range []struct {
		text string
		to   *[]byte
	}{{a.ClientKey, &c.ClientKey}, {a.ServerKey, &c.ServerKey}} {
		if key.text != "" {
			if *key.to, err = base64.StdEncoding.DecodeString(key.text); err != nil {
				return c, err
			}
		}
	}
	switch {
	case a.password != "" || c.ClientKey != nil && c.ServerKey != nil:
		return c, nil
	case c.ClientKey != nil:
		return c, errors.New("scram_client_key without a password needs scram_server_key beside it, which the server's answer is checked with")
	}
	return c, errNoPassword
}

// starting is the wire while lib/pq starts a session on it.
type starting struct {
	*wire.Conn
	auth *authenticator
}

// Write may find the connection closed by a server that has said why: in a FATAL, or in
// TLS, where with version 1.3 the refusal of a client's certificate comes when the
// handshake is over.
func (s *starting) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	if err != nil && !s.auth.granted {
		if words := s.LastWords(); words != nil {
			err = words
		}
	}
	return n, err
}

// errNoPassword becomes Params.NoPassword.
var errNoPassword = errors.New("the server asks for a password, but none was given")

// allowsAuth reports whether require_auth, which is empty or a list that
// checkRequireAuth has accepted, allows a method.
func allowsAuth(require, method string) bool {
	if require == "" {
		return true
	}
	entry, negative := method, strings.HasPrefix(require, "!")
	if negative {
		entry = "!" + method
	}
	return slices.Contains(strings.Split(require, ","), entry) != negative
}
