package connect_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/dial"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testcert"
	"github.com/psyco-go/psyco/internal/testsize"
	"github.com/psyco-go/psyco/internal/wire"
)

// useCert makes a running server show another certificate.
func useCert(t *testing.T, s *pgserver.Server, cert *testcert.Cert, chain ...*testcert.Cert) {
	t.Helper()
	if err := installCert(s.DataDir(), cert, chain...); err != nil {
		t.Fatal(err)
	}
	mustQuery(t, mustConnect(t, newDialer(t, s.DSN())), "SELECT pg_reload_conf()")
	for !bytes.Equal(shownCert(t, s), cert.X509.Raw) {
		if t.Context().Err() != nil {
			t.Fatal("the server does not show its new certificate")
		}
	}
}

// askForTLS has a server expect a handshake.
func askForTLS(nc net.Conn) error {
	var answer [1]byte
	if _, err := nc.Write(wire.AppendSSLRequest(nil)); err != nil {
		return err
	}
	if _, err := io.ReadFull(nc, answer[:]); err != nil || answer[0] != 'S' {
		return fmt.Errorf("asked for TLS, the server says %q, %v", answer, err)
	}
	return nil
}

func shownCert(t *testing.T, s *pgserver.Server) []byte {
	t.Helper()
	nc, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := askForTLS(nc); err != nil {
		t.Fatal(err)
	}
	client := tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	return client.ConnectionState().PeerCertificates[0].Raw
}

// outcome connects and says how that went: "TLS", "plain", or the error.
func outcome(t *testing.T, d *dialer) string {
	t.Helper()
	s, err := d.connect(t.Context())
	if err != nil {
		return err.Error()
	}
	defer s.base.Close()
	got := map[string]string{"true": "TLS", "false": "plain"}[mustQuery(t, s, usesTLS)]
	return got
}

// libpqOutcome is how the same connection string fares with psql: "TLS",
// "plain" or "error: …".
func libpqOutcome(t *testing.T, s *pgserver.Server, dsn string) string {
	t.Helper()
	return psqlOutcome(t, s, dsn)
}

func psqlOutcome(t *testing.T, s *pgserver.Server, dsn string, env ...string) string {
	t.Helper()
	psql := filepath.Join(s.BinDir(), "psql")
	if _, err := os.Stat(psql); err != nil {
		psql = "psql" // of another version
	}
	cmd := exec.CommandContext(t.Context(), psql, "-XAt", "-d", dsn, "-c", usesTLS)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Sprintf("error: %s", out)
	}
	return map[string]string{"t": "TLS", "f": "plain"}[strings.TrimSpace(string(out))]
}

// compareWithLibpq reports an outcome that libpq does not share. Errors are
// alike whatever they say.
func compareWithLibpq(t *testing.T, s *pgserver.Server, dsn, got string) {
	t.Helper()
	want := libpqOutcome(t, s, dsn)
	if got != want && (got == "TLS" || got == "plain" || !strings.HasPrefix(want, "error: ")) {
		t.Errorf("%s: %s; libpq: %s", dsn, got, want)
	}
}

func TestSSLMode(t *testing.T) {
	secure, insecure := withTLS(t), withoutTLS(t)
	const refused = "pq: SSL is not enabled on the server"
	const hba = "(28000)"
	for _, tt := range []struct {
		user                                                  string
		server                                                *pgserver.Server
		disable, allow, prefer, require, verifyCA, verifyFull string
	}{
		{"postgres", secure, "plain", "plain", "TLS", "TLS", "TLS", "TLS"},
		{"tls_only", secure, hba, "TLS", "TLS", "TLS", "TLS", "TLS"},
		{"plain_only", secure, "plain", "plain", "plain", hba, hba, hba},
		{"postgres", insecure, "plain", "plain", "plain", refused, refused, refused},
		{"cert_user", insecure, hba, hba, hba, refused, refused, refused}, // rejected
	} {
		for mode, want := range map[string]string{
			"disable": tt.disable, "allow": tt.allow, "prefer": tt.prefer,
			"require": tt.require, "verify-ca": tt.verifyCA, "verify-full": tt.verifyFull,
		} {
			name := fmt.Sprintf("%s, sslmode=%s, TLS=%v", tt.user, mode, tt.server == secure)
			t.Run(name, func(t *testing.T) {
				dsn := tcp(tt.server, "sslmode="+mode+" user="+tt.user)
				if strings.HasPrefix(mode, "verify") {
					dsn += " sslrootcert=" + testcert.Write(t, t.TempDir(), "root.crt", certs.Root.PEM())
				}
				got := outcome(t, newDialer(t, dsn))
				if !strings.Contains(got, want) {
					t.Errorf("got %s, want %s", got, want)
				}
				compareWithLibpq(t, tt.server, dsn, got)
			})
		}
	}
	t.Run("the refusal is lib/pq's value", func(t *testing.T) {
		if _, err := newDialer(t, tcp(insecure, "sslmode=require")).connect(t.Context()); !errors.Is(err, pq.ErrSSLNotSupported) {
			t.Errorf("got %v", err)
		}
	})
}

// TestFallbackError: with two attempts on one host the error about the
// password is the one to see, not the one about the missing line in
// pg_hba.conf.
func TestFallbackError(t *testing.T) {
	s := withTLS(t)
	for _, mode := range []string{"allow", "prefer"} {
		_, err := newDialer(t, tcp(s, "user=mixed_user password=wrong sslmode="+mode)).connect(t.Context())
		if pe, ok := err.(*pq.Error); !ok || pe.Code != "28P01" {
			t.Errorf("sslmode=%s: %v (%T)", mode, err, err)
		}
	}
}

// TestFallbackOnlyBeforeAuthentication: an error that comes later has nothing
// to do with TLS, and the password is not sent again in the clear.
func TestFallbackOnlyBeforeAuthentication(t *testing.T) {
	d := newDialer(t, tcp(withTLS(t), "dbname=nowhere sslmode=prefer"))
	dials := countDials(d)
	if _, err := d.connect(t.Context()); err == nil || !strings.Contains(err.Error(), "3D000") || *dials != 1 {
		t.Errorf("%d attempts, error %v", *dials, err)
	}
}

// countDials counts the connections that d makes from now on.
func countDials(d *dialer) *int {
	dials, dial := new(int), d.dial
	d.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		*dials++
		return dial(ctx, network, address)
	}
	return dials
}

func TestServerCertificates(t *testing.T) {
	s := withTLS(t)
	other := testcert.Root(t, "Somebody Else")
	intermediate := certs.Root.Issue(t, "Intermediate", testcert.Authority())
	revoked := certs.Root.Issue(t, "revoked", testcert.Names("db.example.test"))
	below := intermediate.Issue(t, "below", testcert.Names("db.example.test"))
	selfSigned := testcert.SelfSigned(t, "self", testcert.Names("db.example.test"))
	tomorrow := time.Now().Add(24 * time.Hour)
	root := certs.Root
	rootCRL := root.CRL(t, tomorrow, revoked)

	const (
		unknown  = "x509: certificate signed by unknown authority"
		expired  = "x509: certificate has expired"
		name     = "x509: certificate is valid for"
		noName   = "x509: certificate is not valid for any names"
		wasTaken = "was revoked on"
		noList   = "no valid revocation list"
	)
	for i, tt := range []struct {
		name        string
		cert, chain *testcert.Cert
		roots       []byte // sslrootcert; nil: none
		crl         []byte // sslcrl
		host        string
		ca, full    string // verify-ca, verify-full
	}{
		{name: "good", cert: certs.Good, roots: root.PEM(), ca: "TLS", full: "TLS"},
		{name: "good, among other roots", cert: certs.Good, roots: append(other.PEM(), root.PEM()...), ca: "TLS", full: "TLS"},
		{name: "name in other case", cert: certs.Good, roots: root.PEM(), host: "DB.Example.Test", ca: "TLS", full: "TLS"},
		{name: "for another host", cert: certs.Good, roots: root.PEM(), host: "evil.example.test", ca: "TLS", full: name},
		{name: "for another address", cert: certs.Good, roots: root.PEM(), host: "127.0.0.1", ca: "TLS", full: "cannot validate certificate for 127.0.0.1"},
		{name: "wildcard", cert: root.Issue(t, "w", testcert.Names("*.example.test")), roots: root.PEM(), ca: "TLS", full: "TLS"},
		{name: "address", cert: root.Issue(t, "a", testcert.IPs("127.0.0.1")), roots: root.PEM(), host: "127.0.0.1", ca: "TLS", full: "TLS"},
		{name: "common name only", cert: root.Issue(t, "db.example.test"), roots: root.PEM(), ca: "TLS", full: "TLS"},
		{name: "common name wildcard", cert: root.Issue(t, "*.example.test"), roots: root.PEM(), ca: "TLS", full: "TLS"},
		{name: "common name of another", cert: root.Issue(t, "example.test"), roots: root.PEM(), ca: "TLS", full: noName},
		{name: "common name beside names", cert: root.Issue(t, "db.example.test", testcert.Names("x.test")), roots: root.PEM(), ca: "TLS", full: name},
		{name: "common name is the address", cert: root.Issue(t, "127.0.0.1", testcert.Names("x.test")), roots: root.PEM(), host: "127.0.0.1", ca: "TLS", full: "TLS"},
		{name: "expired", cert: root.Issue(t, "old", testcert.Names("db.example.test"), testcert.Expired()), roots: root.PEM(), ca: expired, full: expired},
		{name: "unknown authority", cert: other.Issue(t, "x", testcert.Names("db.example.test")), roots: root.PEM(), ca: unknown, full: unknown},
		{name: "self-signed", cert: selfSigned, roots: root.PEM(), ca: unknown, full: unknown},
		{name: "self-signed and trusted", cert: selfSigned, roots: selfSigned.PEM(), ca: "TLS", full: "TLS"},
		{name: "the system's roots", cert: certs.Good, ca: unknown, full: unknown},
		{name: "with an intermediate", cert: below, chain: intermediate, roots: root.PEM(), ca: "TLS", full: "TLS"},
		{name: "without its intermediate", cert: below, roots: root.PEM(), ca: unknown, full: unknown},

		{name: "not revoked", cert: certs.Good, roots: root.PEM(), crl: rootCRL, ca: "TLS", full: "TLS"},
		{name: "revoked", cert: revoked, roots: root.PEM(), crl: rootCRL, ca: wasTaken, full: wasTaken},
		{name: "revoked, unchecked", cert: revoked, roots: root.PEM(), ca: "TLS", full: "TLS"},
		{name: "another authority's list", cert: certs.Good, roots: root.PEM(), crl: other.CRL(t, tomorrow), ca: noList, full: noList},
		{name: "forged list", cert: revoked, roots: root.PEM(), crl: testcert.Root(t, "Server Root").CRL(t, tomorrow), ca: noList, full: noList},
		{name: "expired list", cert: certs.Good, roots: root.PEM(), crl: root.CRL(t, time.Now().Add(-time.Minute)), ca: "it expired on", full: "it expired on"},
		{name: "list of tomorrow", cert: certs.Good, roots: root.PEM(), crl: root.CRL(t, tomorrow.Add(24*time.Hour)), ca: "in force from", full: "in force from"},
		{name: "no list for the intermediate", cert: below, chain: intermediate, roots: root.PEM(), crl: rootCRL, ca: noList, full: noList},
		{name: "lists for all", cert: below, chain: intermediate, roots: root.PEM(), crl: append(intermediate.CRL(t, tomorrow), rootCRL...), ca: "TLS", full: "TLS"},
		{name: "revoked intermediate", cert: below, chain: intermediate, roots: root.PEM(),
			crl: append(intermediate.CRL(t, tomorrow), root.CRL(t, tomorrow, intermediate)...), ca: wasTaken, full: wasTaken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.chain != nil {
				useCert(t, s, tt.cert, tt.chain)
			} else {
				useCert(t, s, tt.cert)
			}
			for j, m := range []struct{ mode, want string }{
				// allow is content with plain text; prefer falls back to it;
				// require is verify-ca if there are roots.
				{"disable", "plain"}, {"allow", "plain"}, {"prefer", preferred(tt.ca, tt.roots)},
				{"require", required(tt.ca, tt.roots)}, {"verify-ca", tt.ca}, {"verify-full", tt.full},
			} {
				dsn := tcp(s, "sslmode="+m.mode)
				if tt.host != "" {
					dsn += " host=" + tt.host
				}
				dir := t.TempDir()
				if tt.roots != nil {
					dsn += " sslrootcert=" + testcert.Write(t, dir, "root.crt", tt.roots)
				}
				if tt.crl != nil {
					dsn += " sslcrl=" + testcert.Write(t, dir, "root.crl", tt.crl)
				}
				d := newDialer(t, dsn)
				got := outcome(t, d)
				if !strings.Contains(got, m.want) {
					t.Errorf("sslmode=%s: got %s, want %s", m.mode, got, m.want)
				}
				if (i+j)%testsize.Cases(3, 1) == 0 { // each mode and each certificate
					compareWithLibpq(t, s, dsn, got)
				}
				if strings.Contains(got, "x509: ") {
					_, err := d.connect(t.Context())
					if !errors.As(err, new(*tls.CertificateVerificationError)) {
						t.Errorf("sslmode=%s: %v has not what crypto/tls returns in its chain", m.mode, err)
					}
				}
			}
		})
	}
	useCert(t, s, certs.Good)
}

func preferred(verifyCA string, roots []byte) string {
	if roots == nil || verifyCA == "TLS" {
		return "TLS"
	}
	return "plain"
}

func required(verifyCA string, roots []byte) string {
	if roots == nil {
		return "TLS"
	}
	return verifyCA
}

func TestRootCertificateFiles(t *testing.T) {
	s := withTLS(t)
	dir := t.TempDir()
	root := testcert.Write(t, dir, "root.crt", certs.Root.PEM())
	rubbish := testcert.Write(t, dir, "rubbish", []byte("rubbish"))
	crls := filepath.Join(dir, "crls")
	testcert.Write(t, crls, "0123abcd.r0", certs.Root.CRL(t, time.Now().Add(time.Hour), certs.Good))
	testcert.Write(t, crls, "README", []byte("lists"))
	for _, tt := range []struct{ name, dsn, home, want string }{
		{"missing, require", "sslmode=require sslrootcert=/nonexistent/x", "", "TLS"},
		{"missing, verify-ca", "sslmode=verify-ca sslrootcert=/nonexistent/x", "", `sslrootcert "/nonexistent/x" does not exist`},
		{"not a directory", "sslmode=require sslrootcert=/dev/null/x", "", "TLS"},
		{"rubbish", "sslmode=require sslrootcert=" + rubbish, "", "couldn't parse pem from sslrootcert"},
		{"default", "sslmode=verify-full", "root.crt", "TLS"},
		{"default turns require into verify-ca", "sslmode=require", "other.crt", "unknown authority"},
		{"system", "sslrootcert=system", "root.crt", "unknown authority"},
		{"inline", "sslmode=verify-full sslinline=1 sslrootcert='" + string(certs.Root.PEM()) + "'", "", "TLS"},
		{"inline rubbish", "sslmode=verify-full sslinline=1 sslrootcert=x", "", "couldn't parse pem"},
		{"sslcrl missing", "sslmode=verify-ca sslcrl=/nonexistent/x sslrootcert=" + root, "", "sslcrl: open /nonexistent/x"},
		{"sslcrl rubbish", "sslmode=verify-ca sslcrl=" + rubbish + " sslrootcert=" + root, "", "holds no certificate revocation list"},
		{"sslcrldir", "sslmode=verify-ca sslcrldir=" + crls + " sslrootcert=" + root, "", "was revoked on"},
		{"sslcrldir empty", "sslmode=verify-ca sslcrldir=" + t.TempDir() + " sslrootcert=" + root, "", "no valid revocation list"},
		{"sslcrldir missing", "sslmode=verify-ca sslcrldir=/nonexistent sslrootcert=" + root, "", "sslcrldir: open /nonexistent"},
		{"default sslcrl", "sslmode=verify-ca sslrootcert=" + root, "root.crl", "was revoked on"},
		{"no host name", "sslmode=verify-full host='' sslrootcert=" + root, "", "needs a host name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDialer(t, tcp(s, tt.dsn))
			home := filepath.Join(os.Getenv("HOME"), ".postgresql")
			switch tt.home {
			case "root.crt":
				testcert.Write(t, home, "root.crt", certs.Root.PEM())
			case "other.crt":
				testcert.Write(t, home, "root.crt", testcert.Root(t, "Other").PEM())
			case "root.crl":
				testcert.Write(t, home, "root.crl", certs.Root.CRL(t, time.Now().Add(time.Hour), certs.Good))
			}
			if got := outcome(t, d); !strings.Contains(got, tt.want) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestClientCertificates(t *testing.T) {
	s := withTLS(t)
	client := certs.ClientRoot.Issue(t, "cert_user")
	intermediate := certs.ClientRoot.Issue(t, "Client Intermediate", testcert.Authority())
	below := intermediate.Issue(t, "cert_user")
	keyPEM := func(c *testcert.Cert) []byte {
		key, err := c.KeyPEM()
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	dir := t.TempDir()
	crt := testcert.Write(t, dir, "client.crt", client.PEM())
	key := testcert.Write(t, dir, "client.key", keyPEM(client))
	locked := testcert.Write(t, dir, "locked.key", encryptKey(t, keyPEM(client), "pkcs8", "-topk8"))
	traditional := testcert.Write(t, dir, "old.key", encryptKey(t, keyPEM(client), "ec", "-aes256"))
	open := testcert.Write(t, dir, "open.key", keyPEM(client))
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	belowCrt := testcert.Write(t, dir, "below.crt", below.PEM())
	belowKey := testcert.Write(t, dir, "below.key", keyPEM(below))
	chainCrt := testcert.Write(t, dir, "chain.crt", below.PEM(), intermediate.PEM())
	bundle := testcert.Write(t, dir, "bundle.crt", certs.Root.PEM(), intermediate.PEM())
	stranger := testcert.Root(t, "Stranger").Issue(t, "cert_user")
	strangerCrt := testcert.Write(t, dir, "stranger.crt", stranger.PEM())
	strangerKey := testcert.Write(t, dir, "stranger.key", keyPEM(stranger))
	outdated := certs.ClientRoot.Issue(t, "cert_user", testcert.Expired())
	outdatedCrt := testcert.Write(t, dir, "outdated.crt", outdated.PEM())
	outdatedKey := testcert.Write(t, dir, "outdated.key", keyPEM(outdated))

	for _, tt := range []struct{ name, dsn, want string }{
		{"none", "", "(28000)"},
		{"missing file", "sslcert=/nonexistent/x", "(28000)"},
		{"files", "sslcert=" + crt + " sslkey=" + key, "TLS"},
		{"inline", fmt.Sprintf("sslinline=1 sslcert='%s' sslkey='%s'", client.PEM(), keyPEM(client)), "TLS"},
		{"default files", "", "TLS"},
		{"no key", "sslcert=" + crt, "no such file or directory"},
		{"missing key", "sslcert=" + crt + " sslkey=/nonexistent/x", "there is a client certificate, but not its key"},
		{"key is a directory", "sslcert=" + crt + " sslkey=" + dir, "is not a regular file"},
		{"key of another", "sslcert=" + crt + " sslkey=" + strangerKey, "private key does not match public key"},
		{"key is none", "sslcert=" + crt + " sslkey=" + crt, "no private key among the PEM blocks"},
		{"key is open to all", "sslcert=" + crt + " sslkey=" + open, "has world access"},
		{"encrypted key", "sslcert=" + crt + " sslpassword=sesame sslkey=" + locked, "TLS"},
		{"encrypted key, older form", "sslcert=" + crt + " sslpassword=sesame sslkey=" + traditional, "TLS"},
		{"encrypted key, no password", "sslcert=" + crt + " sslkey=" + locked, "set sslpassword"},
		{"encrypted key, wrong password", "sslcert=" + crt + " sslpassword=wrong-secret sslkey=" + traditional, "sslkey: "},
		{"certificate is none", "sslcert=" + key + " sslkey=" + key, "failed to find certificate PEM data"},
		{"with its intermediate", "sslcert=" + chainCrt + " sslkey=" + belowKey, "TLS"},
		{"intermediate in sslrootcert", "sslcert=" + belowCrt + " sslkey=" + belowKey + " sslrootcert=" + bundle, "TLS"},
		{"without its intermediate", "sslcert=" + belowCrt + " sslkey=" + belowKey, "unknown certificate authority"},
		{"unknown authority", "sslcert=" + strangerCrt + " sslkey=" + strangerKey, "unknown certificate authority"},
		{"expired", "sslcert=" + outdatedCrt + " sslkey=" + outdatedKey, "expired certificate"},
		{"sslcertmode=disable", "sslcertmode=disable sslcert=" + crt + " sslkey=" + key, "(28000)"},
		{"sslcertmode=require", "sslcertmode=require sslcert=" + crt + " sslkey=" + key, "TLS"},
		{"sslcertmode=require without TLS", "sslcertmode=require sslmode=disable", "did not ask for a client certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dsn := tcp(s, "user=cert_user sslmode=require "+tt.dsn)
			d := newDialer(t, dsn)
			if tt.name == "default files" {
				home := filepath.Join(os.Getenv("HOME"), ".postgresql")
				testcert.Write(t, home, "postgresql.crt", client.PEM())
				testcert.Write(t, home, "postgresql.key", keyPEM(client))
			}
			got := outcome(t, d)
			if !strings.Contains(got, tt.want) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			// In TLS 1.3 the server refuses a certificate when the client has
			// begun to write, whose failure may come before the server's word.
			if strings.HasSuffix(tt.want, "authority") || strings.HasSuffix(tt.want, "expired certificate") {
				d.dial = dialEarly
				if got := outcome(t, d); !strings.Contains(got, tt.want) {
					t.Errorf("where writing fails first: got %s, want %s", got, tt.want)
				}
			}
			if tt.name == "key is open to all" {
				if _, err := d.connect(t.Context()); !errors.Is(err, pq.ErrSSLKeyHasWorldPermissions) {
					t.Errorf("%v is not lib/pq's error", err)
				}
			}
			if strings.Contains(got, "wrong-secret") {
				t.Error("the error holds the password")
			}
			if !strings.Contains(dsn, "sslinline") && !strings.Contains(dsn, "sslcertmode") { // not in every libpq
				compareWithLibpq(t, s, dsn, got)
			}
		})
	}
}

// dialEarly makes connections on which nothing can be written after the TLS handshake.
func dialEarly(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, network, address)
	return &earlyConn{Conn: nc}, err
}

type earlyConn struct {
	net.Conn
	encrypted int // packets
}

func (c *earlyConn) Write(p []byte) (int, error) {
	const applicationData = 23 // the first is the end of the handshake
	if len(p) > 0 && p[0] == applicationData {
		if c.encrypted++; c.encrypted > 1 {
			return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
		}
	}
	return c.Conn.Write(p)
}

func encryptKey(t *testing.T, key []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("openssl", append(args, "-passout", "pass:sesame")...)
	cmd.Stdin = bytes.NewReader(key)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl, which this test needs: %v", err)
	}
	return out
}

func TestOwnTLSConfig(t *testing.T) {
	s, insecure := withTLS(t), withoutTLS(t)
	pool := x509.NewCertPool()
	pool.AddCert(certs.Root.X509)
	root := testcert.Write(t, t.TempDir(), "root.crt", certs.Root.PEM())
	for _, tt := range []struct {
		name, dsn, want string
		conf            *tls.Config
	}{
		{"trusting", "", "TLS", &tls.Config{RootCAs: pool}},
		{"wins over sslrootcert", "sslmode=verify-full sslrootcert=/nonexistent", "TLS", &tls.Config{RootCAs: pool}},
		{"server name", "", "valid for db.example.test, not other.test", &tls.Config{RootCAs: pool, ServerName: "other.test"}},
		{"never plain text", "sslmode=prefer", "unknown authority", &tls.Config{RootCAs: x509.NewCertPool()}},
		{"sslmode=disable", "sslmode=disable", "plain", &tls.Config{RootCAs: pool}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDialer(t, tcp(s, tt.dsn))
			d.tls = tt.conf
			if got := outcome(t, d); !strings.Contains(got, tt.want) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			d.tls, d.cfg.TLSConfig = nil, tt.conf
			if got := outcome(t, d); !strings.Contains(got, tt.want) {
				t.Errorf("in Config: got %s, want %s", got, tt.want)
			}
		})
	}

	for name, conf := range map[string]*tls.Config{
		"full":  {RootCAs: pool},
		"bare":  {},
		"third": {RootCAs: pool, MinVersion: tls.VersionTLS13},
	} {
		if err := psyco.RegisterTLSConfig(name, conf); err != nil {
			t.Fatal(err)
		}
		defer psyco.RegisterTLSConfig(name, nil)
	}
	for _, tt := range []struct{ name, dsn, want string }{
		{"registered", "sslmode=pqgo-full", "TLS"},
		{"registered, wrong host", "sslmode=pqgo-full host=other.test", "not other.test"},
		{"sslrootcert fills in", "sslmode=pqgo-bare sslrootcert=" + root, "TLS"},
		{"nothing to trust", "sslmode=pqgo-bare", "unknown authority"},
		{"version of the string", "sslmode=pqgo-full ssl_min_protocol_version=TLSv1 ssl_max_protocol_version=TLSv1.1", "TLS"},
		{"version of the configuration", "sslmode=pqgo-third ssl_max_protocol_version=TLSv1.2", "no supported versions"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := outcome(t, newDialer(t, tcp(s, tt.dsn)))
			if tt.name == "version of the string" {
				tt.want = "protocol version not supported" // the server's answer
			}
			if !strings.Contains(got, tt.want) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	t.Run("registered, no TLS", func(t *testing.T) {
		if got := outcome(t, newDialer(t, tcp(insecure, "sslmode=pqgo-full"))); !strings.Contains(got, pq.ErrSSLNotSupported.Error()) {
			t.Errorf("got %s", got)
		}
	})
	t.Run("registered with lib/pq only", func(t *testing.T) {
		if err := pq.RegisterTLSConfig("theirs", &tls.Config{}); err != nil {
			t.Fatal(err)
		}
		defer pq.RegisterTLSConfig("theirs", nil)
		if got := outcome(t, newDialer(t, tcp(s, "sslmode=pqgo-theirs"))); !strings.Contains(got, `psyco.RegisterTLSConfig("theirs"`) {
			t.Errorf("got %s", got)
		}
	})
	t.Run("lib/pq knows it too", func(t *testing.T) {
		if _, err := pq.NewConfig("sslmode=pqgo-full"); err != nil {
			t.Error(err)
		}
	})
}

func TestTLSVersions(t *testing.T) {
	s := withTLS(t)
	for _, tt := range []struct{ dsn, want string }{
		{"", "TLSv1.3"},
		{"ssl_max_protocol_version=TLSv1.2", "TLSv1.2"},
		{"ssl_min_protocol_version=TLSv1.3", "TLSv1.3"},
	} {
		sess := mustConnect(t, newDialer(t, tcp(s, "sslmode=require "+tt.dsn)))
		if got := mustQuery(t, sess, "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.dsn, got, tt.want)
		}
	}
	d := newDialer(t, tcp(s, "sslmode=require"))
	d.cfg.SSLMinProtocolVersion = "SSLv3"
	if got := outcome(t, d); !strings.Contains(got, `invalid ssl_min_protocol_version value: "SSLv3"`) {
		t.Errorf("got %s", got)
	}
}

// TestClientHello looks at what a server gets to see: the host's name and the
// protocol's.
func TestClientHello(t *testing.T) {
	makeCerts(t)
	for _, tt := range []struct {
		name, dsn, sni string
		alpn           []string // the server's
		want           string   // of the error
	}{
		{"name", "host=localhost sslmode=require", "localhost", nil, ""},
		{"name, direct", "host=localhost sslmode=require sslnegotiation=direct", "localhost", []string{"postgresql"}, ""},
		{"server without ALPN, direct", "host=localhost sslmode=require sslnegotiation=direct", "localhost", nil, "did not agree to speak PostgreSQL's protocol"},
		{"name beside hostaddr", "host=db.example.test hostaddr=127.0.0.1 sslmode=require", "db.example.test", []string{"postgresql"}, ""},
		{"address", "host=127.0.0.1 sslmode=require", "", nil, ""},
		{"turned off", "host=localhost sslmode=require sslsni=0", "", nil, ""},
		{"other protocols only", "host=localhost sslmode=require", "localhost", []string{"h2"}, "no application protocol"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hellos := make(chan *tls.ClientHelloInfo, 1)
			server := fakeServer(t, func(nc net.Conn) {
				if !strings.Contains(tt.dsn, "direct") {
					readPacket(nc)
					nc.Write([]byte("S"))
				}
				secured := tls.Server(nc, &tls.Config{
					Certificates:       []tls.Certificate{certs.Good.TLS()},
					NextProtos:         tt.alpn,
					GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) { hellos <- h; return nil, nil },
				})
				if secured.Handshake() == nil {
					answer(welcome())(secured)
				}
			})
			d := newDialer(t, server+" "+tt.dsn)
			sess, err := d.connect(t.Context())
			if err == nil {
				sess.base.Close()
			}
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			hello := <-hellos
			if hello.ServerName != tt.sni || fmt.Sprint(hello.SupportedProtos) != "[postgresql]" {
				t.Errorf("name %q, want %q; protocols %v", hello.ServerName, tt.sni, hello.SupportedProtos)
			}
		})
	}
}

// TestCertRequired: sslcertmode=require wants to be asked, and to have an answer.
func TestCertRequired(t *testing.T) {
	makeCerts(t)
	for _, tt := range []struct {
		name string
		auth tls.ClientAuthType
		want error
	}{
		{"not asked", tls.NoClientCert, dial.ErrNoCertRequest},
		{"nothing to send", tls.RequestClientCert, dial.ErrNoCertSent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := fakeServer(t, func(nc net.Conn) {
				readPacket(nc)
				nc.Write([]byte("S"))
				secured := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{certs.Good.TLS()}, ClientAuth: tt.auth})
				io.Copy(io.Discard, secured)
			})
			_, err := newDialer(t, server+" sslmode=require sslcertmode=require sslcert=/nonexistent").connect(context.Background())
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}
