package psyco

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
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
