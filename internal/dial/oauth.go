package dial

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/psyco-go/psyco/internal/wire"
)

// OAuth are the settings for OAUTHBEARER (RFC 7628), which PostgreSQL has from version 18
// on. fe-auth-oauth.c of its libpq is the model of what is here.
type OAuth struct {
	Issuer   string // oauth_issuer: an issuer, or the address of its discovery document
	ClientID string // oauth_client_id, which the program needs, but nobody here
	Scope    string // oauth_scope
	// Token gets a token. It is the program's; nil if there is none.
	Token func(ctx context.Context, r OAuthRequest) (string, error)
}

// OAuthRequest says which token is wanted.
type OAuthRequest struct {
	Host         Host
	Issuer       string
	DiscoveryURI string
	Scope        string
}

const bearerMechanism = "OAUTHBEARER"

// bearer is an exchange. The first connection to a server whose discovery document is not
// known asks for it, with an empty token; a second one then brings a token.
type bearer struct {
	request OAuthRequest
	token   string
	begun   bool
	refused bool // the server has said why the token, or that there is none, will not do
}

// newBearer is for a connection to host. What is wrong with the settings is an error.
func (o *OAuth) newBearer(host Host) (*bearer, error) {
	if o.Issuer == "" || o.ClientID == "" {
		return nil, errors.New("the server asks for an OAuth token, but oauth_issuer and oauth_client_id are not both set")
	}
	b := &bearer{request: OAuthRequest{Host: host, Issuer: o.Issuer, Scope: o.Scope}}
	if strings.Contains(o.Issuer, wellKnown) {
		issuer, err := issuerOf(o.Issuer)
		if err != nil {
			return nil, err
		}
		b.request.Issuer, b.request.DiscoveryURI = issuer, o.Issuer
	}
	return b, nil
}

// fetch gets the token from the program.
func (b *bearer) fetch(ctx context.Context, o *OAuth) error {
	token, err := o.Token(ctx, b.request)
	switch {
	case err != nil:
		return fmt.Errorf("the OAuth token for %s: %w", b.request.Host, err)
	case token == "":
		return fmt.Errorf("the OAuth token for %s: the program gave none", b.request.Host)
	case !isBearerToken(token):
		return fmt.Errorf("the OAuth token for %s has characters that a bearer token cannot have (RFC 6750)", b.request.Host)
	}
	b.token = token
	return nil
}

// isBearerToken checks what would end the token, and put something behind it.
func isBearerToken(token string) bool {
	token = strings.TrimRight(token, "=")
	return token != "" && strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/") == ""
}

// first is the client's first message.
func (b *bearer) first() []byte {
	b.begun = true
	if b.token == "" {
		return []byte("n,,\x01auth=\x01\x01")
	}
	return []byte("n,,\x01auth=Bearer " + b.token + "\x01\x01")
}

// refusal reads why the server refuses the token, and where it would have it from. The
// answer is empty but for a byte, and then the server ends the connection.
func (b *bearer) refusal(data []byte) ([]byte, error) {
	if b.refused {
		return nil, errors.New("the server went on after it had refused the OAuth token")
	}
	b.refused = true
	said, err := parseRefusal(data)
	if err != nil {
		return nil, fmt.Errorf("the server's refusal of the OAuth token cannot be read: %w", err)
	}
	if uri := said["openid-configuration"]; uri != "" {
		if err := b.discovered(uri); err != nil {
			return nil, err
		}
	}
	if b.request.Scope == "" {
		b.request.Scope = said["scope"]
	}
	switch status := said["status"]; {
	case status == "":
		return nil, errors.New("the server refused the OAuth token without a status")
	case status != "invalid_token":
		return nil, fmt.Errorf("the server refused the OAuth token with the status %.100q", status)
	case b.token == "" && b.request.DiscoveryURI == "":
		return nil, errors.New("the server asks for an OAuth token, but does not say where its discovery document is: " +
			"give the address of the document as oauth_issuer")
	}
	return []byte{1}, nil
}

// discovered takes the server's word for where the discovery document is, if it is the
// issuer's that the program trusts: a server must not lead to an issuer of its own.
func (b *bearer) discovered(uri string) error {
	issuer, err := issuerOf(uri)
	switch {
	case err != nil:
		return err
	case issuer != b.request.Issuer:
		return fmt.Errorf("the server's OAuth discovery document %.200q is of the issuer %.200q, but oauth_issuer is %q", uri, issuer, b.request.Issuer)
	case b.request.DiscoveryURI == "":
		b.request.DiscoveryURI = uri
	case b.request.DiscoveryURI != uri:
		return fmt.Errorf("the server's OAuth discovery document is at %.200q and not at %q", uri, b.request.DiscoveryURI)
	}
	return nil
}

// needsToken reports whether all is known now that a token can be had by.
func (b *bearer) needsToken() bool {
	return b != nil && b.refused && b.token == "" && b.request.DiscoveryURI != ""
}

// parseRefusal reads a JSON object. The strings that are looked for must be strings, and
// there once; the rest does not matter.
func parseRefusal(data []byte) (map[string]string, error) {
	var said = map[string]string{}
	if !json.Valid(data) {
		return nil, errors.New("it is not JSON")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("it is not a JSON object")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value any
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		switch name, _ := key.(string); name {
		case "status", "scope", "openid-configuration":
			text, ok := value.(string)
			if _, again := said[name]; again || !ok {
				return nil, fmt.Errorf("the field %q is not one string", name)
			}
			said[name] = text
		}
	}
	return said, nil
}

const wellKnown = "/.well-known/"

// issuerOf returns the issuer whose discovery document is at uri: what is left of it
// without the part that begins with /.well-known (libpq: issuer_from_well_known_uri).
func issuerOf(uri string) (string, error) {
	wrong := func(what string) (string, error) {
		return "", fmt.Errorf("the OAuth discovery document's address %.200q %s", uri, what)
	}
	const scheme = "https://"
	if len(uri) < len(scheme) || !strings.EqualFold(uri[:len(scheme)], scheme) {
		return wrong("must begin with https://")
	}
	if strings.ContainsAny(uri, "?#") {
		return wrong("must not have a query or a fragment")
	}
	start := strings.Index(uri[len(scheme):], wellKnown)
	if start < 0 {
		return wrong("has no /.well-known/")
	}
	start += len(scheme)
	rest := uri[start+len(wellKnown):]
	known := false
	for _, suffix := range []string{"openid-configuration", "oauth-authorization-server"} {
		if after, ok := strings.CutPrefix(rest, suffix); ok {
			rest, known = after, after == "" || after[0] == '/'
			break
		}
	}
	if !known {
		return wrong("ends in something else than openid-configuration or oauth-authorization-server")
	}
	// In front of the issuer's path, as the IETF has it, or behind it, as OpenID has.
	path := len(scheme) + strings.IndexByte(uri[len(scheme):], '/')
	if start != path && rest != "" {
		return wrong("has a path before and behind its /.well-known/")
	}
	return uri[:start] + rest, nil
}

// beginOAuth answers the server's offer of OAUTHBEARER.
func (a *authenticator) beginOAuth() ([]byte, error) {
	if err := a.judge("oauth"); err != nil {
		return nil, err
	}
	if a.tls == nil {
		return nil, errors.New("the server asks for an OAuth token on a connection without TLS, on which psyco sends none: use sslmode=verify-full")
	}
	if a.OAuth.Token == nil {
		return nil, errors.New("the server asks for an OAuth token: have psyco.WithOAuthToken give it one")
	}
	if a.bearer == nil {
		var err error
		if a.bearer, err = a.OAuth.newBearer(a.host); err != nil {
			return nil, err
		}
		if a.bearer.request.DiscoveryURI != "" {
			// The program may panic.
			a.wire.Callback(func() { err = a.bearer.fetch(a.ctx, &a.OAuth) })
			if err != nil {
				return nil, err
			}
		}
	}
	return wire.AppendSASLInitialResponse(nil, bearerMechanism, a.bearer.first()), nil
}
