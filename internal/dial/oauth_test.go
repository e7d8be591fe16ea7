package dial

import (
	"strings"
	"testing"
)

func TestIssuerOfDiscoveryDocument(t *testing.T) {
	for _, tt := range []struct{ name, uri, issuer, err string }{
		{"OpenID", "https://example.com/.well-known/openid-configuration", "https://example.com", ""},
		{"IETF", "https://example.com/.well-known/oauth-authorization-server", "https://example.com", ""},
		{"OpenID with a path", "https://example.com/a/b/.well-known/openid-configuration", "https://example.com/a/b", ""},
		{"IETF with a path", "https://example.com/.well-known/oauth-authorization-server/a/b", "https://example.com/a/b", ""},
		{"IETF's place, OpenID's name", "https://example.com/.well-known/openid-configuration/a", "https://example.com/a", ""},
		{"capital letters", "HTTPS://example.com/.well-known/openid-configuration", "HTTPS://example.com", ""},
		{"not encrypted", "http://example.com/.well-known/openid-configuration", "", "must begin with https://"},
		{"nothing", "", "", "must begin with https://"},
		{"query", "https://example.com/.well-known/openid-configuration?x", "", "a query or a fragment"},
		{"fragment", "https://example.com/.well-known/openid-configuration#x", "", "a query or a fragment"},
		{"issuer", "https://example.com", "", "has no /.well-known/"},
		{"no host", "https:///.well-known/openid-configuration", "https://", ""},
		{"well-known host", "https://.well-known/openid-configuration", "", "has no /.well-known/"},
		{"other document", "https://example.com/.well-known/other", "", "ends in something else"},
		{"longer name", "https://example.com/.well-known/openid-configurations", "", "ends in something else"},
		{"paths on both sides", "https://example.com/a/.well-known/openid-configuration/b", "", "a path before and behind"},
		{"slash at the end", "https://example.com/a/.well-known/openid-configuration/", "", "a path before and behind"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			issuer, err := issuerOf(tt.uri)
			if issuer != tt.issuer || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %q, %v", issuer, err)
			}
		})
	}
}

func TestBearerRefusal(t *testing.T) {
	const document = `"openid-configuration":"https://example.com/.well-known/openid-configuration"`
	for _, tt := range []struct {
		name, said string
		start      bearer
		want       string // the request's scope and document, or of the error
	}{
		{"discovery", `{"status":"invalid_token","scope":"a b",` + document + `}`, bearer{}, "a b https://example.com/.well-known/openid-configuration"},
		{"more fields", `{"x":[{"status":1}],"status":"invalid_token",` + document + `,"y":null}`, bearer{}, " https://example.com/.well-known/openid-configuration"},
		{"scope of the settings", `{"status":"invalid_token","scope":"a b",` + document + `}`, bearer{request: OAuthRequest{Scope: "c"}}, "c https://example.com/.well-known/openid-configuration"},
		{"token refused", `{"status":"invalid_token"}`, bearer{token: "t"}, " "},
		{"known document", `{"status":"invalid_token",` + document + `}`, bearer{token: "t", request: OAuthRequest{DiscoveryURI: "https://example.com/.well-known/openid-configuration"}}, " https://example.com/.well-known/openid-configuration"},
		{"document has moved", `{"status":"invalid_token",` + document + `}`, bearer{token: "t", request: OAuthRequest{DiscoveryURI: "https://example.com/.well-known/oauth-authorization-server"}}, "and not at"},
		{"another issuer", `{"status":"invalid_token","openid-configuration":"https://evil.com/.well-known/openid-configuration"}`, bearer{}, `of the issuer "https://evil.com"`},
		{"document without TLS", `{"status":"invalid_token","openid-configuration":"http://example.com/.well-known/openid-configuration"}`, bearer{}, "must begin with https://"},
		{"no document", `{"status":"invalid_token"}`, bearer{}, "does not say where its discovery document is"},
		{"no status", `{` + document + `}`, bearer{}, "without a status"},
		{"other status", `{"status":"insufficient_scope",` + document + `}`, bearer{}, `the status "insufficient_scope"`},
		{"status twice", `{"status":"invalid_token","status":"invalid_token"}`, bearer{}, `"status" is not one string`},
		{"status is a number", `{"status":1}`, bearer{}, `"status" is not one string`},
		{"document is a list", `{"status":"invalid_token","openid-configuration":[]}`, bearer{}, `"openid-configuration" is not one string`},
		{"no object", `["status"]`, bearer{}, "not a JSON object"},
		{"cut", `{"status":"invalid_tok`, bearer{}, "not JSON"},
		{"more behind it", `{"status":"invalid_token"} x`, bearer{}, "not JSON"},
		{"empty", ``, bearer{}, "not JSON"},
		{"again", `{"status":"invalid_token"}`, bearer{token: "t", refused: true}, "went on after it had refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := tt.start
			b.request.Issuer = "https://example.com"
			answer, err := b.refusal([]byte(tt.said))
			if err != nil {
				if answer != nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %q, %v", answer, err)
				}
				return
			}
			if got := b.request.Scope + " " + b.request.DiscoveryURI; string(answer) != "\x01" || got != tt.want {
				t.Errorf("got %q, %q, want %q", answer, got, tt.want)
			}
		})
	}
}

func TestBearerToken(t *testing.T) {
	for token, want := range map[string]bool{
		"abc.DEF-012_~+/": true, "abc==": true, "": false, "==": false, "a=b": false, "a b": false,
		"a\x01b": false, "a\x00": false, "a\n": false, "ä": false,
	} {
		if got := isBearerToken(token); got != want {
			t.Errorf("%q: %v", token, got)
		}
	}
}

// FuzzBearerRefusal: whatever a server says, nothing panics, and the document that is
// asked for a token is the trusted issuer's.
func FuzzBearerRefusal(f *testing.F) {
	f.Add([]byte(`{"status":"invalid_token","openid-configuration":"https://example.com/.well-known/openid-configuration","scope":"x"}`))
	f.Add([]byte(`{"status":1}`))
	f.Fuzz(func(t *testing.T, said []byte) {
		b := bearer{request: OAuthRequest{Issuer: "https://example.com"}}
		_, err := b.refusal(said)
		if uri := b.request.DiscoveryURI; uri != "" && !strings.HasPrefix(uri, "https://example.com/.well-known/") {
			t.Errorf("the document is at %q", uri)
		}
		if err == nil && !b.needsToken() {
			t.Error("neither an error nor something to go on with")
		}
	})
}
