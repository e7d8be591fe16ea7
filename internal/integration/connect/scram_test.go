package connect_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testcert"
	"github.com/psyco-go/psyco/internal/testsize"
)

// scramServer is a server of tests in a SCRAM exchange with the password "sesame".
type scramServer struct {
	net.Conn
	sent bytes.Buffer // what the client has sent

	nonce, firstBare, first, withoutProof string
}

func request(code uint32, data string) []byte {
	return message('R', string(binary.BigEndian.AppendUint32(nil, code))+data)
}

// response reads a message of the client, "" after the last.
func (s *scramServer) response() string {
	var header [5]byte
	if _, err := io.ReadFull(s.Conn, header[:]); err != nil {
		return ""
	}
	body := make([]byte, binary.BigEndian.Uint32(header[1:])-4)
	if _, err := io.ReadFull(s.Conn, body); err != nil {
		return ""
	}
	s.sent.Write(body)
	return string(body)
}

// offer sends the mechanisms and reads the client's first message.
func (s *scramServer) offer(mechanisms ...string) {
	s.Write(request(10, strings.Join(mechanisms, "\x00")+"\x00\x00"))
	_, s.firstBare, _ = strings.Cut(s.response(), ",,")
	_, s.nonce, _ = strings.Cut(s.firstBare, "r=")
}

// challenge sends the server's first message, with a change, and reads the answer.
func (s *scramServer) challenge(replace ...string) {
	s.first = strings.NewReplacer(replace...).Replace("r=" + s.nonce + "server,s=c2FsdHNhbHQ=,i=4096")
	s.Write(request(11, s.first))
	s.withoutProof, _, _ = strings.Cut(s.response(), ",p=")
}

// signature is the right last message.
func (s *scramServer) signature() string {
	salted, err := pbkdf2.Key(sha256.New, "sesame", []byte("saltsalt"), 4096, 32)
	if err != nil {
		return err.Error()
	}
	key := hmacOf(salted, "Server Key")
	return "v=" + base64.StdEncoding.EncodeToString(hmacOf(key, s.firstBare+","+s.first+","+s.withoutProof))
}

func hmacOf(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// TestHostileAuthentication: what a server says that does not know the password leads to
// an error, and neither the password nor a proof of it gets out where the rules say no.
func TestHostileAuthentication(t *testing.T) {
	const plain = "SCRAM-SHA-256"
	ready := append(message('K', "\x00\x00\x00\x01abcd"), message('Z', "I")...)
	for _, tt := range []struct {
		name   string
		dsn    string
		script func(s *scramServer)
		want   string // of the error; "": a session
		proof  bool   // the client has to send one before it can know better
	}{
		{name: "honest", script: func(s *scramServer) {
			s.offer(plain)
			s.challenge()
			s.Write(request(12, s.signature()))
			s.Write(welcome())
		}, proof: true},
		{name: "another nonce", script: func(s *scramServer) { s.offer(plain); s.challenge("r=", "r=x") }, want: "nonce does not begin with the client's"},
		{name: "no nonce of its own", script: func(s *scramServer) { s.offer(plain); s.challenge("server", "") }, want: "nonce does not begin with the client's"},
		{name: "0000 iterations", script: func(s *scramServer) { s.offer(plain); s.challenge("4096", "0000") }, want: "iteration count"},
		{name: "-999 iterations", script: func(s *scramServer) { s.offer(plain); s.challenge("4096", "-999") }, want: "iteration count"},
		{name: "2^31 iterations", script: func(s *scramServer) { s.offer(plain); s.challenge("4096", "2147483648") }, want: "iteration count"},
		{name: "1 iteration, and no signature", script: func(s *scramServer) {
			s.offer(plain)
			s.challenge("4096", "1")
			s.Write(welcome())
		}, want: "before it had proved that it knows the password", proof: true},
		{name: "wrong signature", script: func(s *scramServer) {
			s.offer(plain)
			s.challenge()
			s.Write(request(12, "v="+strings.Repeat("A", 43)+"="))
			s.Write(welcome())
		}, want: "its SCRAM signature is wrong", proof: true},
		{name: "no signature", script: func(s *scramServer) { s.offer(plain); s.challenge(); s.Write(welcome()) },
			want: "before it had proved that it knows the password", proof: true},
		{name: "signature twice", script: func(s *scramServer) {
			s.offer(plain)
			s.challenge()
			s.Write(request(12, s.signature()))
			s.Write(request(12, s.signature()))
			s.Write(welcome())
		}, want: "out of turn", proof: true},
		{name: "challenge twice", script: func(s *scramServer) { s.offer(plain); s.challenge(); s.challenge() }, want: "out of turn", proof: true},
		{name: "offer twice", script: func(s *scramServer) { s.offer(plain); s.offer(plain) }, want: "in the middle of a SCRAM exchange"},
		{name: "signature at once", script: func(s *scramServer) { s.Write(request(12, "v=x")) }, want: "was not begun"},
		{name: "challenge at once", script: func(s *scramServer) { s.Write(request(11, "r=x,s=c2FsdA==,i=1")) }, want: "was not begun"},
		{name: "in after the offer", script: func(s *scramServer) { s.offer(plain); s.Write(welcome()) }, want: "before it had proved that it knows the password"},
		{name: "password in the middle", script: func(s *scramServer) { s.offer(plain); s.Write(request(3, "")) }, want: "in the middle of a SCRAM exchange"},
		{name: "an error of SCRAM", script: func(s *scramServer) { s.offer(plain); s.challenge(); s.Write(request(12, "e=other-error")) }, want: "other-error", proof: true},
		{name: "other mechanisms", script: func(s *scramServer) { s.offer("OAUTHBEARER", "PLAIN") }, want: "asks for an OAuth token on a connection without TLS"},
		{name: "unknown mechanisms", script: func(s *scramServer) { s.offer("NEW", "PLAIN") }, want: `offers "NEW", "PLAIN", of which psyco knows none`},
		{name: "no mechanism", script: func(s *scramServer) { s.Write(request(10, "\x00")) }, want: "protocol error"},
		{name: "mechanisms without an end", script: func(s *scramServer) { s.Write(request(10, plain)) }, want: "protocol error"},
		{name: "PLUS without TLS", script: func(s *scramServer) { s.offer("SCRAM-SHA-256-PLUS", plain) }, want: "someone may have taken the TLS away"},
		{name: "unknown request", script: func(s *scramServer) { s.Write(request(99, "")) }, want: "unknown authentication"},

		{name: "in at once", dsn: "require_auth=scram-sha-256", script: func(s *scramServer) { s.Write(welcome()) }, want: "does not allow the server's method, none"},
		{name: "in at once, password or nothing", dsn: "require_auth=password,none", script: func(s *scramServer) { s.Write(welcome()) }},
		{name: "a session from nothing", dsn: "require_auth=scram-sha-256", script: func(s *scramServer) { s.Write(ready) }, want: "psyco: "},
		{name: "a session from nothing, !none", dsn: "require_auth=!none", script: func(s *scramServer) { s.Write(ready) }, want: "psyco: "},
		{name: "a session from nothing, any method", script: func(s *scramServer) { s.Write(ready) }, want: "psyco: "},
		{name: "a session from an offer", dsn: "require_auth=!none", script: func(s *scramServer) { s.offer(plain); s.Write(ready) }, want: "psyco: "},
		{name: "password in place of SCRAM", dsn: "require_auth=scram-sha-256", script: func(s *scramServer) { s.Write(request(3, "")) }, want: "does not allow the server's method, password"},
		{name: "md5 in place of SCRAM", dsn: "require_auth=scram-sha-256", script: func(s *scramServer) { s.Write(request(5, "salt")) }, want: "does not allow the server's method, md5"},
		{name: "SCRAM in place of GSS", dsn: "require_auth=gss", script: func(s *scramServer) { s.offer(plain) }, want: "does not allow the server's method, scram-sha-256"},

		{name: "OAuth in place of SCRAM", dsn: "require_auth=scram-sha-256", script: func(s *scramServer) { s.offer("OAUTHBEARER") }, want: "does not allow the server's method, oauth"},
		{name: "OAuth, which is allowed", dsn: "require_auth=oauth", script: func(s *scramServer) { s.offer("OAUTHBEARER") }, want: "asks for an OAuth token on a connection without TLS"},
		{name: "SCRAM in place of OAuth", dsn: "require_auth=oauth", script: func(s *scramServer) { s.offer(plain) }, want: "does not allow the server's method, scram-sha-256"},

		{name: "binding required, no TLS", dsn: "channel_binding=require", script: func(s *scramServer) { s.offer(plain) }, want: "no TLS that it could bind to"},
		{name: "binding required, PLUS without TLS", dsn: "channel_binding=require", script: func(s *scramServer) { s.offer("SCRAM-SHA-256-PLUS") }, want: "no TLS that it could bind to"},
		{name: "binding required, in at once", dsn: "channel_binding=require", script: func(s *scramServer) { s.Write(welcome()) }, want: "let the client in without channel binding"},
		{name: "binding required, password", dsn: "channel_binding=require", script: func(s *scramServer) { s.Write(request(3, "")) }, want: "password, has no channel binding"},
		{name: "binding required, md5", dsn: "channel_binding=require", script: func(s *scramServer) { s.Write(request(5, "salt")) }, want: "md5, has no channel binding"},
		{name: "binding required, GSS", dsn: "channel_binding=require", script: func(s *scramServer) { s.Write(request(7, "")) }, want: "gss, has no channel binding"},
		{name: "binding required, SSPI", dsn: "channel_binding=require", script: func(s *scramServer) { s.Write(request(9, "")) }, want: "sspi, has no channel binding"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sent := make(chan string, 1)
			server := fakeServer(t, func(nc net.Conn) {
				if readPacket(nc) == nil {
					return
				}
				s := &scramServer{Conn: nc}
				tt.script(s)
				for s.response() != "" {
				}
				sent <- s.sent.String()
			})
			sess, err := newDialer(t, server+" sslmode=disable password=sesame "+tt.dsn).connect(t.Context())
			switch {
			case err == nil && tt.want == "":
				sess.base.Close()
			case err == nil:
				sess.base.Close()
				t.Error("connected")
			case tt.want == "" || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "psyco: "):
				t.Errorf("error %v", err)
			}
			switch got := <-sent; {
			case strings.Contains(got, "sesame"), strings.Contains(got, "md5"):
				t.Errorf("sent the password: %q", got)
			case strings.Contains(got, ",p=") != tt.proof:
				t.Errorf("sent %q", got)
			}
		})
	}
}

// TestManyIterations: a server cannot keep the client busy for longer than
// connect_timeout and the context allow.
func TestManyIterations(t *testing.T) {
	server := fakeServer(t, func(nc net.Conn) {
		readPacket(nc)
		s := &scramServer{Conn: nc}
		s.offer("SCRAM-SHA-256")
		s.challenge("4096", "2147483647")
	})
	t.Run("connect_timeout", func(t *testing.T) {
		d := newDialer(t, server+" sslmode=disable password=sesame")
		d.cfg.ConnectTimeout = 20 * time.Millisecond
		if _, err := d.connect(t.Context()); err == nil || !strings.Contains(err.Error(), "connect_timeout") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("context", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := newDialer(t, server+" sslmode=disable password=sesame").connect(ctx)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// TestPreparedPasswords: a password is the same however it is typed, and what the rules
// forbid is taken as it is. The server has the last word.
func TestPreparedPasswords(t *testing.T) {
	s := withoutTLS(t)
	admin := mustConnect(t, newDialer(t, tcp(s, "")))
	defer mustRun(t, admin, "ALTER ROLE scram_user PASSWORD 'sesame'")
	for _, tt := range []struct{ name, set, typed string }{
		{"ASCII", "pa ss", "pa ss"},
		{"no-break space", "pa\u00a0ss", "pa ss"},
		{"soft hyphen", "pa\u00adss", "pass"},
		{"ligature", "o\ufb03ce", "office"},
		{"decomposed umlaut", "u\u0308ber", "über"},
		{"composed umlaut", "über", "u\u0308ber"},
		{"marks in another order", "a\u0302\u0323", "a\u0323\u0302"},
		{"Hangul letters", "\u1112\u1161\u11ab", "한"},
		{"fullwidth letters", "ｐａｓｓ", "pass"},
		{"compatibility character", "\u33a7\u2460\u00bd", "m\u2215s11\u20442"},
		{"a control among others", "ü\a", "ü\a"},
		{"nothing but soft hyphens", "\u00ad", "\u00ad"},
		{"private use", "\ue000\u212b", "\ue000\u212b"},
		{"not assigned in Unicode 3.2", "\u0221\u212b", "\u0221\u212b"},
		{"directions mixed", "\u0627a\u212b", "\u0627a\u212b"},
		{"right to left", "\ufef5\u0628", "\u0644\u0622\u0628"},
		{"emoji", "\U0001f511", "\U0001f511"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mustRun(t, admin, "ALTER ROLE scram_user PASSWORD "+pq.QuoteLiteral(tt.set))
			for _, password := range []string{tt.set, tt.typed} {
				d := newDialer(t, tcp(s, "user=scram_user require_auth=scram-sha-256"))
				d.cfg.Password = password
				sess, err := d.connect(t.Context())
				if err != nil {
					t.Errorf("typed %+q: %v", password, err)
					continue
				}
				sess.base.Close()
			}
		})
	}
}

// TestSCRAMKeys: the keys log in without the password.
func TestSCRAMKeys(t *testing.T) {
	s := withTLS(t)
	admin := mustConnect(t, newDialer(t, tcp(s, "")))
	verifier := mustQuery(t, admin, "SELECT rolpassword FROM pg_authid WHERE rolname = 'scram_user'")
	var iterations int
	var salt, keys string
	if _, err := fmt.Sscanf(strings.NewReplacer(":", " ", "$", " ").Replace(verifier), "SCRAM-SHA-256 %d %s %s", &iterations, &salt, &keys); err != nil {
		t.Fatalf("%s: %v", verifier, err)
	}
	raw, err := base64.StdEncoding.DecodeString(salt)
	if err != nil {
		t.Fatal(err)
	}
	salted, err := pbkdf2.Key(sha256.New, "sesame", raw, iterations, 32)
	if err != nil {
		t.Fatal(err)
	}
	key := func(name string) string { return base64.StdEncoding.EncodeToString(hmacOf(salted, name)) }
	client, server := "scram_client_key="+key("Client Key"), "scram_server_key="+key("Server Key")
	wrong := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, tt := range []struct{ name, dsn, want string }{
		{"both", client + " " + server, ""},
		{"both, with channel binding", client + " " + server + " channel_binding=require sslmode=require", ""},
		{"both beside a wrong password", client + " " + server + " password=wrong", ""},
		{"client's beside the password", client + " password=sesame", ""},
		{"client's alone", client, "needs scram_server_key beside it"},
		{"server's alone", server, "the server asks for a password"},
		{"wrong client's", "scram_client_key=" + wrong + " " + server, "28P01"},
		{"wrong server's", client + " scram_server_key=" + wrong, "its SCRAM signature is wrong"},
		{"for another method", client + " " + server + " user=md5_user", "the server asks for a password"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sess, err := newDialer(t, tcp(s, "passfile=/none user=scram_user "+tt.dsn)).connect(t.Context())
			if err == nil {
				sess.base.Close()
			}
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestKeyLogFile: with the secrets in the file, a capture of the connection can be read.
func TestKeyLogFile(t *testing.T) {
	s := withTLS(t)
	file := filepath.Join(t.TempDir(), "keys")
	for range 2 {
		mustConnect(t, newDialer(t, tcp(s, "sslmode=require sslkeylogfile="+file)))
	}
	text, err := os.ReadFile(file)
	if err != nil || strings.Count(string(text), "CLIENT_TRAFFIC_SECRET_0 ") != 2 {
		t.Errorf("%q, %v", text, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	_, err = newDialer(t, tcp(s, "sslmode=require sslkeylogfile=/nonexistent/x")).connect(t.Context())
	if err == nil || !strings.HasPrefix(err.Error(), "psyco: connecting to ") || !strings.Contains(err.Error(), ": sslkeylogfile: open /nonexistent/x") {
		t.Errorf("got %v", err)
	}
}

// manInTheMiddle listens with a certificate that clients trust, and passes on what they
// and the server say. change, if there is one, may change the server's first message.
func manInTheMiddle(t *testing.T, s *pgserver.Server, cert *testcert.Cert, change func([]byte) []byte) (port int) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conf := &tls.Config{Certificates: []tls.Certificate{cert.TLS()}}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer client.Close()
				server, err := net.Dial("tcp", s.Addr())
				if err != nil {
					return
				}
				defer server.Close()
				if !isSSLRequest(readPacket(client)) || askForTLS(server) != nil {
					return
				}
				client.Write([]byte("S"))
				toClient, toServer := tls.Server(client, conf), tls.Client(server, &tls.Config{InsecureSkipVerify: true})
				wg.Go(func() { io.Copy(toServer, toClient); server.Close() })
				if change != nil {
					var first [1 << 10]byte
					n, _ := toServer.Read(first[:])
					toClient.Write(change(first[:n]))
				}
				io.Copy(toClient, toServer)
			})
		}
	})
	return l.Addr().(*net.TCPAddr).Port
}

// withoutPlus takes the offer of SCRAM-SHA-256-PLUS away.
func withoutPlus(m []byte) []byte {
	m = bytes.Replace(m, []byte("SCRAM-SHA-256-PLUS\x00"), nil, 1)
	binary.BigEndian.PutUint32(m[1:], uint32(len(m)-1))
	return m
}

func TestChannelBindingAgainstManInTheMiddle(t *testing.T) {
	s := withTLS(t)
	root := testcert.Write(t, t.TempDir(), "root.crt", certs.Root.PEM())
	cert := certs.Root.Issue(t, "man in the middle", testcert.Names("db.example.test"))
	passing, taking := manInTheMiddle(t, s, cert, nil), manInTheMiddle(t, s, cert, withoutPlus)
	for _, tt := range []struct {
		name    string
		port    int
		binding string
		want    string // of the error; "": a session
	}{
		{"straight", s.Port(), "require", ""},
		{"straight", s.Port(), "prefer", ""},
		{"straight", s.Port(), "disable", ""},
		{"who passes all on", passing, "require", "SCRAM channel binding check failed"},
		{"who passes all on", passing, "prefer", "SCRAM channel binding check failed"},
		{"who passes all on", passing, "disable", ""}, // which is what it means
		{"who takes the offer away", taking, "require", "the server does not offer SCRAM-SHA-256-PLUS"},
		{"who takes the offer away", taking, "prefer", "SCRAM channel binding negotiation error"},
		{"who takes the offer away", taking, "disable", ""},
	} {
		t.Run(tt.name+"/"+tt.binding, func(t *testing.T) {
			dsn := fmt.Sprintf("host=db.example.test hostaddr=127.0.0.1 port=%d dbname=postgres user=scram_user password=sesame sslmode=verify-full sslrootcert=%s channel_binding=%s",
				tt.port, root, tt.binding)
			sess, err := newDialer(t, dsn).connect(t.Context())
			if err == nil {
				defer sess.base.Close()
			}
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// loginsFile is what libpq 18 makes of the same servers. To record it anew, name the
// directory of its libpq.so.5; psql is run with it.
const loginsFile = "testdata/logins.txt"

var libpqDir = flag.String("libpqdir", "", "the directory of libpq.so.5: records "+loginsFile)

// login is one way to log in.
type login struct{ cert, user, dsn string }

func (l login) String() string { return l.cert + " " + l.user + " " + l.dsn }

// logins are all of them, by the server's certificate.
func logins() (all []login) {
	for _, binding := range []string{"disable", "prefer", "require"} {
		for _, mode := range []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"} {
			how := "sslmode=" + mode + " channel_binding=" + binding
			for _, user := range []string{"postgres", "password_user", "md5_user", "scram_user", "cert_user"} {
				all = append(all, login{"ecdsa", user, how})
			}
			for _, version := range []string{"TLSv1.2", "TLSv1.3"} {
				how := how + " ssl_min_protocol_version=" + version + " ssl_max_protocol_version=" + version
				for _, cert := range []string{"ecdsa", "ecdsa-sha384", "rsa", "rsa-sha512", "rsa-pss", "ed25519"} {
					all = append(all, login{cert, "scram_user", how})
				}
				all = append(all, login{"ecdsa", "cert_user", how})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b login) int { return strings.Compare(a.cert, b.cert) })
	return all
}

// differences are where psyco logs in and libpq does not: channel binding is not defined
// for such certificates, and lib/pq logs in.
func differs(l login) bool {
	return l.cert == "ed25519" && strings.Contains(l.dsn, "channel_binding=prefer")
}

func TestLoginsLikeLibpq(t *testing.T) {
	s := withTLS(t)
	major := strings.Split(mustQuery(t, mustConnect(t, newDialer(t, s.DSN())), "SHOW server_version"), ".")[0]
	recorded := readLogins(t)
	if *libpqDir != "" {
		recorded[major] = map[string]string{}
		defer writeLogins(t, recorded)
	}
	want := recorded[major]
	if want == nil { // of the version before
		majors := []string{}
		for m := range recorded {
			if m < major {
				majors = append(majors, m)
			}
		}
		want = recorded[slices.Max(append(majors, "14"))]
	}
	dir := t.TempDir()
	client := certs.ClientRoot.Issue(t, "cert_user")
	key, err := client.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	files := fmt.Sprintf(" sslcert=%s sslkey=%s", testcert.Write(t, dir, "client.crt", client.PEM()), testcert.Write(t, dir, "client.key", key))
	roots := map[string]*testcert.Cert{"ecdsa": certs.Root, "ecdsa-sha384": certs.Root,
		"rsa": testcert.Root(t, "RSA", testcert.Keyed(x509.RSA)), "ed25519": testcert.Root(t, "Ed25519", testcert.Keyed(x509.Ed25519))}
	roots["rsa-sha512"], roots["rsa-pss"] = roots["rsa"], roots["rsa"]
	algorithms := map[string]x509.SignatureAlgorithm{"rsa-sha512": x509.SHA512WithRSA, "rsa-pss": x509.SHA384WithRSAPSS, "ecdsa-sha384": x509.ECDSAWithSHA384}

	shown := "" // by the server
	defer useCert(t, s, certs.Good)
	all := logins()
	some := slices.Collect(testsize.Some(len(all)/3, len(all)))
	for i, l := range all {
		// Where TLS is asked for and checked, always; of the rest some, unless all are wanted.
		if *libpqDir == "" && !strings.Contains(l.dsn, "verify-full") && !slices.Contains(some, i+1) {
			continue
		}
		if shown != l.cert {
			shown = l.cert
			root := roots[l.cert]
			useCert(t, s, root.Issue(t, "server", testcert.Names("db.example.test"), testcert.Keyed(root.X509.PublicKeyAlgorithm), testcert.Signed(algorithms[l.cert])))
			testcert.Write(t, dir, "root.crt", root.PEM())
		}
		dsn := tcp(s, "password=sesame sslrootcert="+filepath.Join(dir, "root.crt")+files+" "+l.dsn+" user="+l.user)
		if *libpqDir != "" {
			want[l.String()] = strings.SplitN(psqlOutcome(t, s, dsn, "LD_LIBRARY_PATH="+*libpqDir), ":", 2)[0]
		}
		got := outcome(t, newDialer(t, dsn))
		was, known := want[l.String()]
		if got != "TLS" && got != "plain" && strings.HasPrefix(was, "error") || got == was {
			continue
		}
		if !known || !differs(l) || got != "TLS" {
			t.Errorf("%v: %s; libpq 18: %q", l, got, was)
		}
	}
}

func readLogins(t *testing.T) map[string]map[string]string {
	data, err := os.ReadFile(loginsFile)
	if err != nil {
		t.Fatal(err)
	}
	recorded := map[string]map[string]string{}
	for line := range strings.Lines(string(data)) {
		fields := strings.SplitN(strings.TrimSpace(line), " ", 3)
		if fields[0] == "#" || len(fields) < 3 {
			continue
		}
		if recorded[fields[0]] == nil {
			recorded[fields[0]] = map[string]string{}
		}
		recorded[fields[0]][fields[2]] = fields[1]
	}
	return recorded
}

func writeLogins(t *testing.T, recorded map[string]map[string]string) {
	var lines []string
	for major, rows := range recorded {
		for l, outcome := range rows {
			lines = append(lines, major+" "+outcome+" "+l+"\n")
		}
	}
	slices.Sort(lines)
	head := "# How libpq 18 fares: server, outcome, the server's certificate, user, options.\n"
	if err := os.WriteFile(loginsFile, []byte(head+strings.Join(lines, "")), 0o644); err != nil {
		t.Fatal(err)
	}
}
