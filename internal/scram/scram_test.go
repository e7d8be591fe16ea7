package scram

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/psyco-go/psyco/internal/testcert"
)

// rfc7677 is the conversation of RFC 7677, section 3, with the client's first message sent.
func rfc7677(password string) *Client {
	c := New(Credentials{Password: password}, NoBinding)
	c.nonce, c.step, c.firstBare = "rOprNGfwEbeRWgbNEkqO", stepFinal, "n=user,r=rOprNGfwEbeRWgbNEkqO"
	return c
}

const (
	rfcServerFirst = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
	rfcClientFinal = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
	rfcServerFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
)

func TestConversationOfRFC7677(t *testing.T) {
	c := rfc7677("pencil")
	final, err := c.Final(t.Context(), []byte(rfcServerFirst))
	if err != nil || string(final) != rfcClientFinal {
		t.Fatalf("got %q, %v", final, err)
	}
	if c.Verified() {
		t.Error("verified too early")
	}
	if err := c.Verify([]byte(rfcServerFinal)); err != nil || !c.Verified() || c.Bound() {
		t.Errorf("got %v", err)
	}
}

// TestKeysInPlaceOfPassword: who has the keys need not know the password.
func TestKeysInPlaceOfPassword(t *testing.T) {
	salt, _ := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	salted, err := saltedPassword(t.Context(), "pencil", salt, 4096)
	if err != nil {
		t.Fatal(err)
	}
	c := rfc7677("")
	c.credentials.ClientKey, c.credentials.ServerKey = mac(salted, "Client Key"), mac(salted, "Server Key")
	final, err := c.Final(t.Context(), []byte(rfcServerFirst))
	if err != nil || string(final) != rfcClientFinal {
		t.Fatalf("got %q, %v", final, err)
	}
	if err := c.Verify([]byte(rfcServerFinal)); err != nil {
		t.Error(err)
	}
}

func TestServerFirst(t *testing.T) {
	const nonce, salt = "r=rOprNGfwEbeRWgbNEkqOserver", "s=W22ZaJ0SNY7soEsUEjb6gQ=="
	for _, tt := range []struct{ name, message, want string }{
		{"empty", "", "1 fields instead of 3"},
		{"nonce alone", nonce, "1 fields instead of 3"},
		{"extension that must be known", "m=x," + nonce + "," + salt + ",i=1", "4 fields instead of 3"},
		{"extension at the end", nonce + "," + salt + ",i=1,x=y", "4 fields instead of 3"},
		{"no nonce", "x=1," + salt + ",i=1", "no nonce"},
		{"nonce with a space", nonce + " ," + salt + ",i=1", "no nonce"},
		{"nonce with a NUL", nonce + "\x00," + salt + ",i=1", "no nonce"},
		{"the client's nonce alone", "r=rOprNGfwEbeRWgbNEkqO," + salt + ",i=1", "does not begin with the client's"},
		{"another nonce", "r=rOprNGfwEbeRWgbNEkqoserver," + salt + ",i=1", "does not begin with the client's"},
		{"empty nonce", "r=," + salt + ",i=1", "does not begin with the client's"},
		{"no salt", nonce + ",s=,i=1", "no salt"},
		{"salt not in base64", nonce + ",s=!!!!,i=1", "no salt"},
		{"salt cut short", nonce + ",s=W22ZaJ0,i=1", "no salt"},
		{"no iterations", nonce + "," + salt + ",i=", "an iteration count"},
		{"0 iterations", nonce + "," + salt + ",i=0", "an iteration count"},
		{"0000 iterations", nonce + "," + salt + ",i=0000", "an iteration count"},
		{"leading zero", nonce + "," + salt + ",i=04096", "an iteration count"},
		{"negative iterations", nonce + "," + salt + ",i=-999", "an iteration count"},
		{"with a sign", nonce + "," + salt + ",i=+4096", "an iteration count"},
		{"2^31 iterations", nonce + "," + salt + ",i=2147483648", "an iteration count"},
		{"more than fits", nonce + "," + salt + ",i=99999999999999999999", "an iteration count"},
		{"no number", nonce + "," + salt + ",i=4096x", "an iteration count"},
		{"an error", "e=other-error", "1 fields instead of 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := rfc7677("pencil")
			answer, err := c.Final(t.Context(), []byte(tt.message))
			if err == nil || !strings.Contains(err.Error(), tt.want) || answer != nil {
				t.Errorf("got %q, %v", answer, err)
			}
			if err := c.Verify([]byte(rfcServerFinal)); !errors.Is(err, errStep) || c.Verified() {
				t.Errorf("the next step: %v, verified %v", err, c.Verified())
			}
		})
	}
}

func TestServerFinal(t *testing.T) {
	for _, tt := range []struct{ name, message, want string }{
		{"empty", "", "malformed"},
		{"an error", "e=invalid-proof", `with the error "invalid-proof"`},
		{"no signature", "v=", "malformed"},
		{"short signature", "v=6rriTRBi23U=", "malformed"},
		{"signature with more behind", rfcServerFinal + ",x=y", "malformed"},
		{"another signature", "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "does not know the password"},
		{"the client's proof", "v=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "does not know the password"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := rfc7677("pencil")
			if _, err := c.Final(t.Context(), []byte(rfcServerFirst)); err != nil {
				t.Fatal(err)
			}
			err := c.Verify([]byte(tt.message))
			if err == nil || !strings.Contains(err.Error(), tt.want) || c.Verified() || c.Bound() {
				t.Errorf("got %v, verified %v", err, c.Verified())
			}
			if err := c.Verify([]byte(rfcServerFinal)); !errors.Is(err, errStep) {
				t.Errorf("a second attempt: %v", err)
			}
		})
	}
}

// TestIterationsEndWithTheContext: the server cannot make the client compute forever.
func TestIterationsEndWithTheContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	c := rfc7677("pencil")
	_, err := c.Final(ctx, []byte(strings.Replace(rfcServerFirst, "4096", "2147483647", 1)))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestFirst(t *testing.T) {
	for name, tt := range map[string]struct {
		binding Binding
		header  string
		c       string // channel binding, in the last message
	}{
		"none":        {NoBinding, "n,,", "c=biws,"},
		"not offered": {BindingNotOffered, "y,,", "c=eSws,"},
		"bound":       {BindEndPoint([]byte("hash")), "p=tls-server-end-point,,", "c=" + base64.StdEncoding.EncodeToString([]byte("p=tls-server-end-point,,hash")) + ","},
	} {
		t.Run(name, func(t *testing.T) {
			c := New(Credentials{Password: "x"}, tt.binding)
			first, err := c.First()
			if err != nil || string(first) != tt.header+"n=,r="+c.nonce {
				t.Errorf("first %q, %v", first, err)
			}
			final, err := c.Final(t.Context(), []byte("r="+c.nonce+"server,s=c2FsdA==,i=1"))
			if err != nil || !strings.HasPrefix(string(final), tt.c+"r="+c.nonce+"server,p=") {
				t.Errorf("final %q, %v", final, err)
			}
		})
	}
	if a, b := New(Credentials{}, NoBinding), New(Credentials{}, NoBinding); a.nonce == b.nonce || len(a.nonce) < 24 {
		t.Errorf("nonces %q and %q", a.nonce, b.nonce)
	}
}

func TestEndPointHash(t *testing.T) {
	rsaRoot := testcert.Root(t, "RSA", testcert.Keyed(x509.RSA))
	ecdsaRoot := testcert.Root(t, "ECDSA")
	edRoot := testcert.Root(t, "Ed25519", testcert.Keyed(x509.Ed25519))
	for _, tt := range []struct {
		name   string
		issuer *testcert.Cert
		signed x509.SignatureAlgorithm
		want   crypto.Hash // 0: none
	}{
		{"SHA-1 with RSA", rsaRoot, x509.SHA1WithRSA, crypto.SHA256},
		{"SHA-256 with RSA", rsaRoot, x509.SHA256WithRSA, crypto.SHA256},
		{"SHA-384 with RSA", rsaRoot, x509.SHA384WithRSA, crypto.SHA384},
		{"SHA-512 with RSA", rsaRoot, x509.SHA512WithRSA, crypto.SHA512},
		{"SHA-256 with RSA-PSS", rsaRoot, x509.SHA256WithRSAPSS, crypto.SHA256},
		{"SHA-384 with RSA-PSS", rsaRoot, x509.SHA384WithRSAPSS, crypto.SHA384},
		{"SHA-512 with RSA-PSS", rsaRoot, x509.SHA512WithRSAPSS, crypto.SHA512},
		{"SHA-1 with ECDSA", ecdsaRoot, x509.ECDSAWithSHA1, crypto.SHA256},
		{"SHA-256 with ECDSA", ecdsaRoot, x509.ECDSAWithSHA256, crypto.SHA256},
		{"SHA-384 with ECDSA", ecdsaRoot, x509.ECDSAWithSHA384, crypto.SHA384},
		{"SHA-512 with ECDSA", ecdsaRoot, x509.ECDSAWithSHA512, crypto.SHA512},
		{"Ed25519", edRoot, x509.PureEd25519, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			der := tt.issuer.Issue(t, "server", testcert.Signed(tt.signed)).X509.Raw
			got, err := EndPointHash(der)
			if tt.want == 0 {
				if !errors.Is(err, ErrNoEndPointHash) {
					t.Errorf("got %x, %v", got, err)
				}
				return
			}
			h := tt.want.New()
			h.Write(der)
			if err != nil || string(got) != string(h.Sum(nil)) {
				t.Errorf("got %x, %v", got, err)
			}
		})
	}
}

// FuzzConversation: no message of a server makes anything panic, and none but the right
// one verifies.
func FuzzConversation(f *testing.F) {
	f.Add([]byte(rfcServerFirst), []byte(rfcServerFinal))
	f.Add([]byte("r=rOprNGfwEbeRWgbNEkqOx,s=c2FsdA==,i=1"), []byte("e=x,y"))
	f.Fuzz(func(t *testing.T, first, final []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		c := rfc7677("pencil")
		if _, err := c.Final(ctx, first); err != nil && c.Verify(final) == nil {
			t.Error("verified after an error")
		}
		if c.Verified() && string(first) != rfcServerFirst {
			t.Errorf("verified after %q", first)
		}
		// Whatever it is, a certificate is read or refused.
		_, _ = EndPointHash(first)
	})
}
