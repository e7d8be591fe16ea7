package psyco

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/saslprep"
	"github.com/psyco-go/psyco/internal/scram"
)

// TestChangePassword: the new password logs in, and is not in the server's log.
func TestChangePassword(t *testing.T) {
	s := withoutTLS(t)
	admin := mustConnect(t, newDialer(t, tcp(s, "")))
	const weird = `we"ird's %s role`
	mustRun(t, admin, "CREATE ROLE "+pq.QuoteIdentifier(weird)+" LOGIN")
	version, err := strconv.Atoi(mustQuery(t, admin, "SHOW server_version_num"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		mustRun(t, admin, "DROP ROLE "+pq.QuoteIdentifier(weird))
		mustRun(t, admin, "SET password_encryption = md5")
		mustRun(t, admin, "ALTER ROLE md5_user PASSWORD 'sesame'")
	}()
	iterations, change := "4096", ""
	if version >= 160000 {
		iterations, change = "5000", " scram_iterations=5000"
	}
	for i, tt := range []struct{ name, user, dsn, want string }{
		{"scram", "md5_user", "password_encryption=scram-sha-256", "SCRAM-SHA-256$4096:"},
		{"scram with the server's iterations", "md5_user", "password_encryption=scram-sha-256" + change, "SCRAM-SHA-256$" + iterations + ":"},
		{"md5", "md5_user", "password_encryption=md5", "md5"},
		{"a name of many characters", weird, "password_encryption=scram-sha-256", "SCRAM-SHA-256$4096:"},
		{"psycopg's placeholders", weird, "password_encryption=md5 placeholders=psycopg", "md5"},
		{"client binding", weird, "password_encryption=md5 binding=client", "md5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db, err := sql.Open("psyco", tcp(s, "log_statement=all "+tt.dsn))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			password := fmt.Sprintf("hush'hush\u00a0%d%%s", i)
			if err := ChangePassword(t.Context(), db, tt.user, password); err != nil {
				t.Fatal(err)
			}
			got := mustQuery(t, admin, "SELECT rolpassword FROM pg_authid WHERE rolname = "+pq.QuoteLiteral(tt.user))
			if !strings.HasPrefix(got, tt.want) {
				t.Errorf("the server has %s, want %s…", got, tt.want)
			}
			if tt.user == "md5_user" {
				d := newDialer(t, tcp(s, "user=md5_user"))
				d.cfg.Password = password
				mustConnect(t, d)
			}
		})
	}
	t.Run("rolled back", func(t *testing.T) {
		db, err := sql.Open("psyco", tcp(s, "log_statement=all"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		const query = "SELECT rolpassword FROM pg_authid WHERE rolname = 'md5_user'"
		before := mustQuery(t, admin, query)
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := ChangePassword(t.Context(), tx, "md5_user", "hush'hush"); err != nil {
			t.Error(err)
		}
		if err := tx.Rollback(); err != nil {
			t.Error(err)
		}
		if after := mustQuery(t, admin, query); after != before {
			t.Errorf("%s became %s", before, after)
		}
	})
	t.Run("another driver's handle", func(t *testing.T) {
		db, err := sql.Open("postgres", tcp(s, "log_statement=all password_encryption=md5 sslmode=disable"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := ChangePassword(t.Context(), db, weird, "hush'hush"); err != nil {
			t.Error(err)
		}
	})
	log, err := os.ReadFile(s.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(log, []byte("hush")) {
		t.Error("the password is in the server's log")
	}
	if !bytes.Contains(log, []byte(`ALTER USER "md5_user" PASSWORD`)) {
		t.Error("the log does not show the statements")
	}
}

func TestChangePasswordErrors(t *testing.T) {
	s := withoutTLS(t)
	db, err := sql.Open("psyco", tcp(s, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, tt := range []struct{ name, user, password, want string }{
		{"no user", "", "secret-word", "psyco: ChangePassword: the Identifier"},
		{"NUL in the user", "md5_user\x00x", "secret-word", "has a NUL byte"},
		{"no password", "md5_user", "", "an empty password lets nobody in"},
		{"NUL in the password", "md5_user", "secret-word\x00", "the password has a NUL byte"},
		{"nobody", "nobody_of_this_name", "secret-word", `role "nobody_of_this_name" does not exist`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := ChangePassword(t.Context(), db, tt.user, tt.password)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret-word") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	_, err = EncryptPassword("secret-word", "u", "plain")
	if err == nil || err.Error() != `psyco: EncryptPassword: unknown method "plain": use scram-sha-256 or md5` {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := encryptPassword(ctx, "secret-word", "u", "scram-sha-256", 1<<30); err == nil || ctx.Err() == nil {
		t.Errorf("an ended context did not end the computation: %v", err)
	}
}

// TestVerifierIsTheServers: psyco makes of a password, a salt and a number of iterations
// what the server makes of them.
func TestVerifierIsTheServers(t *testing.T) {
	s := withoutTLS(t)
	admin := mustConnect(t, newDialer(t, tcp(s, "")))
	defer mustRun(t, admin, "ALTER ROLE scram_user PASSWORD 'sesame'")
	for _, password := range []string{"sesame", "pa\u00adss", "u\u0308ber", "\ue000\u212b", "o\ufb03ce 'x\\"} {
		mustRun(t, admin, "SET password_encryption = 'scram-sha-256'")
		mustRun(t, admin, "ALTER ROLE scram_user PASSWORD "+pq.QuoteLiteral(password))
		want := mustQuery(t, admin, "SELECT rolpassword FROM pg_authid WHERE rolname = 'scram_user'")
		_, rest, _ := strings.Cut(want, "$")
		count, rest, _ := strings.Cut(rest, ":")
		encoded, _, _ := strings.Cut(rest, "$")
		iterations, err := strconv.Atoi(count)
		if err != nil {
			t.Fatal(err)
		}
		salt, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(salt) != scram.SaltSize {
			t.Fatalf("%s: %v", want, err)
		}
		got, err := scram.Verifier(t.Context(), saslprep.Prepare(password), salt, iterations)
		if err != nil || got != want {
			t.Errorf("%+q: %s, %v, want %s", password, got, err, want)
		}
		mustRun(t, admin, "SET password_encryption = 'md5'")
		mustRun(t, admin, "ALTER ROLE scram_user PASSWORD "+pq.QuoteLiteral(password))
		want = mustQuery(t, admin, "SELECT rolpassword FROM pg_authid WHERE rolname = 'scram_user'")
		if got, err := EncryptPassword(password, "scram_user", "md5"); err != nil || got != want {
			t.Errorf("%+q: %s, %v, want %s", password, got, err, want)
		}
		mustRun(t, admin, "SET password_encryption = 'scram-sha-256'")
	}
}
