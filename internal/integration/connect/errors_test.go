package connect_test

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/dial"
	"github.com/psyco-go/psyco/internal/testcert"
)

var update = flag.Bool("update", false, "write docs/troubleshooting.md anew")

// TestConnectErrors fails to connect in every way that there is advice for. Each error says
// where to, as whom, why and what to do; docs/troubleshooting.md shows them all.
func TestConnectErrors(t *testing.T) {
	root := testcert.Root(t, "authority")
	file := testcert.Write(t, t.TempDir(), "root.crt", root.PEM())
	refuse := func(code, text string) string { return fakeServer(t, answer(errorMessage(code, text))) }
	private := filepath.Join(t.TempDir(), "private")
	if err := os.Mkdir(private, 0); err != nil {
		t.Fatal(err)
	}
	fails := func(errno error) func(*dialer) {
		return func(d *dialer) {
			d.dial = func(_ context.Context, network, address string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: network, Addr: &net.UnixAddr{Name: address, Net: network}, Err: os.NewSyscallError("connect", errno)}
			}
		}
	}
	const secret = "secret-word"
	var page strings.Builder
	seen := map[string]bool{}
	for _, tt := range []struct {
		kind, dsn string
		set       func(*dialer) // nil: nothing
		is        any           // what errors.As finds
	}{
		{"wrong password", refuse("28P01", `password authentication failed for user "app"`), nil, new(*pq.Error)},
		{"no line in pg_hba.conf", refuse("28000", `no pg_hba.conf entry for host "10.0.0.7", user "app", database "shop", no encryption`), nil, new(*pq.Error)},
		{"no such role", refuse("28000", `role "app" does not exist`), nil, new(*pq.Error)},
		{"no such database", refuse("3D000", `database "shop" does not exist`), nil, new(*pq.Error)},
		{"too many connections", refuse("53300", "sorry, too many clients already"), nil, new(*pq.Error)},
		{"server starting or stopping", refuse("57P03", "the database system is starting up"), nil, new(*pq.Error)},
		{"setting refused by a pooler", refuse("08P01", "unsupported startup parameter: statement_timeout") + " statement_timeout=5s", nil, new(*pq.Error)},
		{"server without TLS", fakeServer(t, answer()) + " sslmode=require", nil, nil},
		{"certificate of an unknown authority", certified(t, testcert.SelfSigned(t, "other")) + " sslmode=verify-full sslrootcert=" + file, nil, new(*tls.CertificateVerificationError)},
		{"certificate for another name", certified(t, root.Issue(t, "db", testcert.Names("db.internal"))) + " sslmode=verify-full sslrootcert=" + file, nil, new(*tls.CertificateVerificationError)},
		{"certificate out of date", certified(t, root.Issue(t, "db", testcert.Expired())) + " sslmode=verify-ca sslrootcert=" + file, nil, new(*tls.CertificateVerificationError)},
		{"no such host", "host=db.invalid", func(d *dialer) { d.dial = nil }, new(*net.DNSError)},
		{"no answer in time", fakeServer(t, silence) + " connect_timeout=2", func(d *dialer) { d.cfg.ConnectTimeout = 1 }, new(net.Error)},
		{"socket missing", "host=" + t.TempDir(), nil, new(*net.OpError)},
		{"socket not permitted", "host=" + private, fails(syscall.EACCES), new(*net.OpError)},
		{"server down", deadHost(t), nil, new(*net.OpError)},
		{"no route", "host=db.example", fails(syscall.ENETUNREACH), new(*net.OpError)},
	} {
		seen[tt.kind] = true
		t.Run(tt.kind, func(t *testing.T) {
			d := newDialer(t, tt.dsn+" user=app dbname=shop password="+secret)
			if tt.set != nil {
				tt.set(d)
			}
			_, err := d.connect(t.Context())
			if err == nil {
				t.Fatal("connected")
			}
			text, hint := err.Error(), ""
			if pe, ok := err.(*pq.Error); ok { // as lib/pq returns it
				hint = pe.Hint
				text += "\nHint: " + hint
			} else if _, hint, _ = strings.Cut(text, "\nHint: "); !strings.HasPrefix(text, "psyco: connecting to ") {
				t.Errorf("no prefix: %s", text)
			}
			at := d.cfg.Hosts[0]
			for _, want := range []string{at.Host, fmt.Sprint(at.Port), `as user "app", database "shop"`} {
				if !strings.Contains(text, want) {
					t.Errorf("%q is missing: %s", want, text)
				}
			}
			if strings.Contains(text, secret) {
				t.Errorf("the password is in the error: %s", text)
			}
			if tt.is != nil && !errors.As(err, tt.is) || tt.kind == "server without TLS" && !errors.Is(err, pq.ErrSSLNotSupported) {
				t.Errorf("%T is not in the chain of %v", tt.is, err)
			}
			for _, a := range dial.Advices {
				if a.Kind == tt.kind && a.Do != hint {
					t.Errorf("got the hint %q, want %q", hint, a.Do)
				}
			}
			text = strings.NewReplacer("127.0.0.1", "db.example", at.Host+"/", "/run/postgresql/", fmt.Sprint(at.Port), "5432", "1ns", "2s").Replace(text)
			text = regexp.MustCompile(` on \S+:53`).ReplaceAllString(text, "") // which name server was asked
			text = regexp.MustCompile(` time \S+ is after \S+`).ReplaceAllString(text, " time … is after …")
			fmt.Fprintf(&page, "## %s\n\n```\n%s\n```\n\n", strings.ToUpper(tt.kind[:1])+tt.kind[1:], text)
		})
	}
	for _, a := range dial.Advices {
		if !seen[a.Kind] {
			t.Errorf("there is no test of %q", a.Kind)
		}
	}
	if t.Failed() {
		return
	}
	const doc = "../../../docs/troubleshooting.md"
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	const first = "## Wrong password\n"
	const end = "## Other questions\n"
	head, _, found := strings.Cut(string(text), first)
	_, tail, ended := strings.Cut(string(text), end)
	if !found || !ended {
		t.Fatalf("%s has no place for the errors", doc)
	}
	want := head + page.String() + end + tail
	switch {
	case want == string(text):
	case *update:
		if err := os.WriteFile(doc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("write %s anew with go test -run TestConnectErrors . -update", doc)
	}
}

// certified speaks TLS with a certificate, and nothing else.
func certified(t *testing.T, cert *testcert.Cert) string {
	return fakeServer(t, func(nc net.Conn) {
		readPacket(nc)
		nc.Write([]byte("S"))
		silence(tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{cert.TLS()}}))
	})
}
