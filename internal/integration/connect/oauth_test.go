package connect_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/lib/pq"
	"github.com/psyco-go/psyco"
)

const (
	oauthDocument = "https://issuer.example/.well-known/openid-configuration"
	oauthRefusal  = `{"status":"invalid_token","openid-configuration":"` + oauthDocument + `","scope":"db"}`
	// How a client asks for the document, and how it brings a token.
	asksForIssuer = "OAUTHBEARER\x00\x00\x00\x00\vn,,\x01auth=\x01\x01"
	bringsToken   = "OAUTHBEARER\x00\x00\x00\x00#n,,\x01auth=Bearer header.body-sig==\x01\x01"
)

// oauthServer is a server with TLS that asks for tokens. It hands each connection to
// script, and notes what the client says in its SASL messages.
func oauthServer(t *testing.T, said *[]string, script func(s oauthClient, connection int)) string {
	t.Helper()
	makeCerts(t)
	conf := &tls.Config{Certificates: []tls.Certificate{certs.Good.TLS()}}
	connections := 0
	return fakeServer(t, func(nc net.Conn) {
		packet := readPacket(nc)
		if isSSLRequest(packet) {
			nc.Write([]byte("S"))
			secured := tls.Server(nc, conf)
			defer secured.Close()
			nc, packet = secured, readPacket(secured)
		}
		if packet == nil {
			return
		}
		connections++ // one at a time
		script(oauthClient{&scramServer{Conn: nc}, said}, connections)
		io.Copy(io.Discard, nc)
	})
}

// oauthClient is what the server sees of a client.
type oauthClient struct {
	*scramServer
	said *[]string
}

// hear reads a message of the client and notes it.
func (c oauthClient) hear() string {
	m := c.response()
	if m != "" {
		*c.said = append(*c.said, m)
	}
	return m
}

func TestOAuth(t *testing.T) {
	offer := func(s oauthClient) string { s.Write(request(10, "OAUTHBEARER\x00\x00")); return s.hear() }
	refuse := func(s oauthClient, why string) {
		s.Write(request(11, why))
		s.hear()
		s.Write(errorMessage("28000", "OAuth bearer authentication failed"))
	}
	honest := func(s oauthClient, connection int) { // connection 1 looks for the document
		if strings.HasSuffix(offer(s), "auth=\x01\x01") {
			refuse(s, oauthRefusal)
			return
		}
		s.Write(welcome())
	}
	const known, issuer = "oauth_client_id=me oauth_issuer=" + oauthDocument, "oauth_client_id=me oauth_issuer=https://issuer.example"
	vault := errors.New("the vault is shut")
	for _, tt := range []struct {
		name   string
		dsn    string
		script func(s oauthClient, connection int)
		token  string // "": "header.body-sig=="; "none": no function; "error": vault
		want   string // of the error; "": a session
		said   []string
		asked  string // what the function is asked for: the document, scope
	}{
		{name: "known document", dsn: known, said: []string{bringsToken}, asked: oauthDocument + " "},
		{name: "known document and scope", dsn: known + " oauth_scope=mine", said: []string{bringsToken}, asked: oauthDocument + " mine"},
		{name: "discovery", dsn: issuer, said: []string{asksForIssuer, "\x01", bringsToken}, asked: oauthDocument + " db"},
		{name: "discovery, own scope", dsn: issuer + " oauth_scope=mine", said: []string{asksForIssuer, "\x01", bringsToken}, asked: oauthDocument + " mine"},
		{name: "required", dsn: known + " require_auth=oauth", said: []string{bringsToken}, asked: oauthDocument + " "},
		{name: "required, among others", dsn: issuer + " require_auth=scram-sha-256,oauth", said: []string{asksForIssuer, "\x01", bringsToken}, asked: oauthDocument + " db"},
		{name: "mechanisms that nobody knows beside it", dsn: known, script: func(s oauthClient, _ int) {
			s.Write(request(10, "NEW\x00OAUTHBEARER\x00\x00"))
			s.hear()
			s.Write(welcome())
		}, said: []string{bringsToken}, asked: oauthDocument + " "},

		{name: "another issuer", dsn: "oauth_client_id=me oauth_issuer=https://other.example", said: []string{asksForIssuer}, want: `of the issuer "https://issuer.example", but oauth_issuer is "https://other.example"`},
		{name: "no issuer", dsn: "oauth_client_id=me", want: "oauth_issuer and oauth_client_id are not both set"},
		{name: "no client", dsn: "oauth_issuer=" + oauthDocument, want: "oauth_issuer and oauth_client_id are not both set"},
		{name: "issuer without TLS", dsn: "oauth_client_id=me oauth_issuer=http://issuer.example/.well-known/openid-configuration", want: "must begin with https://"},
		{name: "no function", dsn: known, token: "none", want: "psyco.WithOAuthToken"},
		{name: "no token", dsn: known, token: "error", want: "the vault is shut", asked: oauthDocument + " "},
		{name: "no token after discovery", dsn: issuer, token: "error", want: `database "d": the OAuth token for 127.0.0.1`, said: []string{asksForIssuer, "\x01"}, asked: oauthDocument + " db"},
		{name: "an impossible token", dsn: known, token: "a\x01b", want: "has characters that a bearer token cannot have", asked: oauthDocument + " "},
		{name: "not allowed", dsn: known + " require_auth=!oauth", want: "require_auth=!oauth does not allow the server's method, oauth"},
		{name: "channel binding", dsn: known + " channel_binding=require", want: "channel_binding=require: the server's method, oauth, has no channel binding"},
		{name: "without TLS", dsn: known + " sslmode=disable", want: "on a connection without TLS"},

		{name: "token refused", dsn: known, script: func(s oauthClient, _ int) { offer(s); refuse(s, oauthRefusal) },
			said: []string{bringsToken, "\x01"}, want: "pq: OAuth bearer authentication failed; connecting to 127.0.0.1:", asked: oauthDocument + " "},
		{name: "token refused after discovery", dsn: issuer, script: func(s oauthClient, _ int) { offer(s); refuse(s, oauthRefusal) },
			said: []string{asksForIssuer, "\x01", bringsToken, "\x01"}, want: "pq: OAuth bearer authentication failed; connecting to 127.0.0.1:", asked: oauthDocument + " db"},
		{name: "token refused, sslmode=prefer", dsn: known + " sslmode=prefer", script: func(s oauthClient, _ int) { offer(s); refuse(s, oauthRefusal) },
			said: []string{bringsToken, "\x01"}, want: "pq: OAuth bearer authentication failed; connecting to 127.0.0.1:", asked: oauthDocument + " "},
		{name: "refused for another reason", dsn: known, script: func(s oauthClient, _ int) { offer(s); refuse(s, `{"status":"insufficient_scope"}`) },
			said: []string{bringsToken}, want: `the status "insufficient_scope"`, asked: oauthDocument + " "},
		{name: "in without a token", dsn: issuer, script: func(s oauthClient, _ int) { offer(s); s.Write(welcome()) },
			said: []string{asksForIssuer}, want: "let the client in without an OAuth token"},
		{name: "in after a refusal", dsn: known, script: func(s oauthClient, _ int) {
			offer(s)
			s.Write(request(11, oauthRefusal))
			s.hear()
			s.Write(welcome())
		}, said: []string{bringsToken, "\x01"}, want: "let the client in without an OAuth token", asked: oauthDocument + " "},
		{name: "refused twice", dsn: known, script: func(s oauthClient, _ int) {
			offer(s)
			s.Write(request(11, oauthRefusal))
			s.hear()
			s.Write(request(11, oauthRefusal))
			s.hear()
		}, said: []string{bringsToken, "\x01"}, want: "went on after it had refused", asked: oauthDocument + " "},
		{name: "data at the end", dsn: known, script: func(s oauthClient, _ int) { offer(s); s.Write(request(12, "x")) },
			said: []string{bringsToken}, want: "with more than its end", asked: oauthDocument + " "},
		{name: "offered twice", dsn: known, script: func(s oauthClient, _ int) { offer(s); offer(s) },
			said: []string{bringsToken}, want: "in the middle of an OAuth exchange", asked: oauthDocument + " "},
		{name: "password in the middle", dsn: known, script: func(s oauthClient, _ int) { offer(s); s.Write(request(3, "")); s.hear() },
			said: []string{bringsToken}, want: "in the middle of an OAuth exchange", asked: oauthDocument + " "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var said []string
			script := tt.script
			if script == nil {
				script = honest
			}
			done := make(chan struct{}, 10)
			server := oauthServer(t, &said, func(s oauthClient, connection int) {
				defer func() { done <- struct{}{} }()
				script(s, connection)
			})
			d := newDialer(t, server+" sslmode=require password=sesame "+tt.dsn)
			dials := countDials(d)
			asked := ""
			d.oauthToken = func(ctx context.Context, r psyco.OAuthRequest) (string, error) {
				asked += r.DiscoveryURI + " " + r.Scope
				if r.Issuer != "https://issuer.example" || r.Config.OAuthClientID != "me" || r.Host != d.cfg.Hosts[0] || ctx.Err() != nil {
					t.Errorf("asked for %v", r)
				}
				switch tt.token {
				case "":
					return "header.body-sig==", nil
				case "error":
					return "", vault
				}
				return tt.token, nil
			}
			if tt.token == "none" {
				d.oauthToken = nil
			}
			s, err := d.connect(t.Context())
			if err == nil {
				s.base.Close()
			}
			for range *dials {
				<-done
			}
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
			if err != nil && (strings.Contains(err.Error(), "body-sig") || !strings.HasPrefix(err.Error(), "psyco: ") && !strings.HasPrefix(err.Error(), "pq: ")) {
				t.Errorf("got %v", err)
			}
			if tt.token == "error" && !errors.Is(err, vault) {
				t.Errorf("%v is not the function's error", err)
			}
			if _, ok := err.(*pq.Error); strings.HasPrefix(tt.want, "pq: ") && !ok {
				t.Errorf("%T is not the server's error", err)
			}
			if !slices.Equal(said, tt.said) {
				t.Errorf("the client said %q, want %q", said, tt.said)
			}
			if asked != tt.asked {
				t.Errorf("asked for %q, want %q", asked, tt.asked)
			}
		})
	}
}

// TestOAuthTokenPanics: a panic of the program's function gets out, and nothing stays open.
func TestOAuthTokenPanics(t *testing.T) {
	for _, name := range []string{oauthDocument, "https://issuer.example"} {
		t.Run(name, func(t *testing.T) {
			var said []string
			server := oauthServer(t, &said, func(s oauthClient, _ int) {
				s.Write(request(10, "OAUTHBEARER\x00\x00"))
				s.response()
				s.Write(request(11, oauthRefusal))
				s.response()
				s.Write(errorMessage("28000", "OAuth bearer authentication failed"))
			})
			d := newDialer(t, server+" sslmode=require oauth_client_id=me oauth_issuer="+name)
			d.oauthToken = func(context.Context, psyco.OAuthRequest) (string, error) { panic("oops") }
			defer func() {
				if v := recover(); v != "oops" {
					t.Errorf("recovered %v", v)
				}
			}()
			_, err := d.connect(t.Context())
			t.Errorf("got %v", err)
		})
	}
}
