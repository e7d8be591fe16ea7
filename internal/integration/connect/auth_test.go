package connect_test

import (
	"bytes"
	"context"
	"database/sql"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/testcert"
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

// TestPasswordChanges: a password that changes while a pool lives is what its next
// connection logs in with, wherever it comes from.
func TestPasswordChanges(t *testing.T) {
	s := withoutTLS(t)
	admin := mustConnect(t, newDialer(t, tcp(s, "")))
	set := func(password string) { mustRun(t, admin, "ALTER ROLE scram_user PASSWORD '"+password+"'") }
	defer set("sesame")
	t.Setenv("HOME", t.TempDir())
	dir := t.TempDir()
	file := filepath.Join(dir, "pass")
	token := ""
	for _, tt := range []struct {
		name string
		give func(password string) // to the program
		opts []psyco.Option
	}{
		{name: "passfile", give: func(p string) { testcert.Write(t, dir, "pass", []byte("*:*:*:*:"+p+"\n")) }},
		{name: "function", give: func(p string) { token = p },
			opts: []psyco.Option{psyco.WithPassword(func(context.Context, *psyco.Config, psyco.Host) (string, error) { return token, nil })}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			con, err := psyco.NewConnector(tcp(s, "user=scram_user passfile="+file), tt.opts...)
			if err != nil {
				t.Fatal(err)
			}
			db := sql.OpenDB(con)
			defer db.Close()
			db.SetMaxIdleConns(0) // every use connects
			for _, password := range []string{"first", "second", "third"} {
				tt.give("wrong")
				set(password)
				if err := db.PingContext(t.Context()); pq.As(err, pqerror.InvalidPassword) == nil {
					t.Errorf("with the wrong password: %v", err)
				}
				tt.give(password)
				if err := db.PingContext(t.Context()); err != nil {
					t.Errorf("with the new password: %v", err)
				}
			}
		})
	}
	t.Run("the function goes before the passfile", func(t *testing.T) {
		set("sesame")
		testcert.Write(t, dir, "pass", []byte("*:*:*:*:wrong\n"))
		token = "sesame"
		con, err := psyco.NewConnector(tcp(s, "user=scram_user password=stale passfile="+file),
			psyco.WithPassword(func(context.Context, *psyco.Config, psyco.Host) (string, error) { return token, nil }))
		if err != nil {
			t.Fatal(err)
		}
		db := sql.OpenDB(con)
		defer db.Close()
		if err := db.PingContext(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
