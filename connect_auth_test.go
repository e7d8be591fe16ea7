package psyco

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco/internal/wire"
)

func TestRequireAuth(t *testing.T) {
	s := withoutTLS(t)
	for _, tt := range []struct {
		user, methods string
		ok            bool
	}{
		{"postgres", "none", true},
		{"postgres", "scram-sha-256", false},
		{"postgres", "!scram-sha-256", true},
		{"postgres", "!none", false},
		{"password_user", "password", true},
		{"password_user", "scram-sha-256,md5", false},
		{"password_user", "!password,!md5", false},
		{"md5_user", "md5", true},
		{"md5_user", "!md5", false},
		{"md5_user", "scram-sha-256", false},
		{"scram_user", "scram-sha-256", true},
		{"scram_user", "none,scram-sha-256", true},
		{"scram_user", "password", false},
		{"scram_user", "none", false},
	} {
		t.Run(tt.user+" "+tt.methods, func(t *testing.T) {
			d := newDialer(t, tcp(s, "password=sesame sslmode=disable user="+tt.user+" require_auth="+tt.methods))
			sess, err := d.connect(t.Context())
			if err == nil {
				sess.base.Close()
			}
			if (err == nil) != tt.ok {
				t.Errorf("error %v", err)
			}
			if !tt.ok && !strings.Contains(err.Error(), "require_auth="+tt.methods+" does not allow the server's method") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestRequireAuthKeepsPassword: a server that may not ask for the password
// does not get it.
func TestRequireAuthKeepsPassword(t *testing.T) {
	sent := make(chan []byte, 1)
	server := fakeServer(t, func(nc net.Conn) {
		readPacket(nc)
		nc.Write(message('R', "\x00\x00\x00\x03"))
		var all bytes.Buffer
		all.ReadFrom(nc)
		sent <- all.Bytes()
	})
	d := newDialer(t, server+" sslmode=disable password=sesame require_auth=scram-sha-256")
	if _, err := d.connect(t.Context()); err == nil {
		t.Error("connected")
	}
	if got := <-sent; len(got) > 0 {
		t.Errorf("sent %q", got)
	}
}

// FuzzAuthHandler: whatever a server says, nothing panics, and it lets nobody in who was
// not let in by the rules.
func FuzzAuthHandler(f *testing.F) {
	f.Add(uint8(0), []byte("\x00"))
	f.Add(uint8(1), []byte("\x0aSCRAM-SHA-256\x00\x00"))
	f.Add(uint8(3), []byte("\x05salt\xff\x0c\xff\x00"))
	f.Fuzz(func(t *testing.T, kind uint8, script []byte) {
		cfg := &Config{
			RequireAuth:    []string{"", "scram-sha-256", "!none", "none"}[kind%4],
			ChannelBinding: []string{"prefer", "require", "disable"}[kind/4%3],
		}
		a := &authenticator{ctx: t.Context(), cfg: cfg, password: "sesame"}
		var asked bool
		for _, step := range bytes.Split(script, []byte{0xff}) {
			if len(step) == 0 {
				continue
			}
			code := wire.AuthCode(step[0] % 14)
			if _, _, err := a.handle(code, step[1:]); err != nil {
				break
			}
			asked = asked || code != wire.AuthOK
		}
		switch {
		case !a.granted:
		case cfg.ChannelBinding == "require", cfg.RequireAuth == "scram-sha-256":
			t.Errorf("let in in spite of %+v", cfg)
		case cfg.RequireAuth == "!none" && !asked, a.scram != nil:
			t.Error("let in without proof")
		}
	})
}

// TestNoPassword: who has no password is told so, by whatever method the server
// asks for one.
func TestNoPassword(t *testing.T) {
	s := withTLS(t)
	for _, user := range []string{"password_user", "md5_user", "scram_user"} {
		t.Run(user, func(t *testing.T) {
			d := newDialer(t, tcp(s, "passfile=/none sslmode=disable user="+user))
			_, err := d.connect(t.Context())
			if err == nil || !strings.Contains(err.Error(), "the server asks for a password, but none was given") {
				t.Errorf("error %v", err)
			}
			if pq.As(err, pqerror.InvalidPassword) == nil {
				t.Errorf("%v is not 28P01", err)
			}
		})
	}
}
