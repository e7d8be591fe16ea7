//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package pgserver

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lib/pq"
)

// start starts a server that the test closes.
func start(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// query returns a one-value result as text.
func query(t *testing.T, dsn, q string) string {
	t.Helper()
	db := open(t, dsn)
	defer db.Close()
	var v string
	if err := db.QueryRowContext(t.Context(), q).Scan(&v); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return v
}

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestStart(t *testing.T) {
	s := start(t, Options{Settings: map[string]string{"application_name": `it's a \ test`}})
	for _, dsn := range []string{
		s.DSN(),
		"postgres://postgres@" + s.Addr() + "/postgres?sslmode=disable",
	} {
		for q, want := range map[string]string{
			"SHOW max_prepared_transactions": "10",
			"SHOW fsync":                     "off",
			"SHOW server_encoding":           "UTF8",
			"SHOW listen_addresses":          "127.0.0.1",
			"SHOW application_name":          `it's a \ test`,
			"SHOW data_directory":            s.DataDir(),
			"SELECT current_user":            "postgres",
			"SELECT datcollate FROM pg_database WHERE datname = current_database()": "C",
		} {
			if got := query(t, dsn, q); got != want {
				t.Errorf("%s: got %q, want %q", q, got, want)
			}
		}
	}
	// Only the server's user may read its files, and root may not run it.
	if out, err := s.Command(t.Context(), "postgres", "-C", "port", "-D", s.DataDir()).CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != strconv.Itoa(s.Port()) {
		t.Errorf("postgres -C port: %v\n%s", err, out)
	}

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(s.DataDir())); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if err := s.Restart(t.Context()); err == nil {
		t.Error("a closed server was restarted")
	}
}

// A backend at work does not notice at once that its server was killed.
func TestRestartAfterKillOfBusyServer(t *testing.T) {
	s := start(t, Options{})
	db := open(t, s.DSN())
	defer db.Close()
	busy := make(chan error, 1)
	go func() {
		var err error
		for err == nil { // until the server is killed
			_, err = db.Exec("/* busy */ DO $$BEGIN FOR i IN 1..3000000 LOOP END LOOP; END$$")
		}
		busy <- err
	}()
	admin := open(t, s.DSN())
	defer admin.Close()
	eventually(t, "the backend is at work", func() bool {
		var at bool
		err := admin.QueryRow("SELECT count(*) > 0 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '/* busy%'").Scan(&at)
		return err == nil && at
	})
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Error(err)
	}
	<-busy
}

func TestStopAndRestart(t *testing.T) {
	s := start(t, Options{})
	db := open(t, s.DSN())
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE kept (n int)"); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		name string
		stop func() error
	}{
		{"kill", s.Kill},
		{"immediate", func() error { return s.Stop(Immediate) }},
		{"fast", func() error { return s.Stop(Fast) }},
		{"twice", func() error { return errors.Join(s.Stop(Fast), s.Stop(Fast)) }},
		{"smart", func() error { db.SetMaxIdleConns(0); return s.Stop(Smart) }},
		{"running", nil},
	} {
		if _, err := db.Exec("INSERT INTO kept VALUES ($1)", i); err != nil {
			t.Fatal(err)
		}
		if c.stop != nil {
			if err := c.stop(); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if err := db.PingContext(t.Context()); err == nil {
				t.Fatalf("%s: the server still answers", c.name)
			}
		}
		if err := s.Restart(t.Context()); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := query(t, s.DSN(), "SELECT count(*) FROM kept"); got != strconv.Itoa(i+1) {
			t.Errorf("%s: %s rows are left of %d", c.name, got, i+1)
		}
	}
}

func TestSetup(t *testing.T) {
	s := start(t, Options{
		HBA: "local all all scram-sha-256\n",
		Setup: func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "extra.conf"), []byte("work_mem = '5MB'\n"), 0o600)
		},
		Settings:   map[string]string{"include": "extra.conf"},
		InitdbArgs: []string{"--data-checksums"},
	})
	db := open(t, s.DSN())
	defer db.Close()
	var refused *pq.Error
	if err := db.Ping(); !errors.As(err, &refused) && (err == nil || !strings.Contains(err.Error(), "password")) {
		t.Errorf("without a password: %v", err)
	}
}

func TestStandby(t *testing.T) {
	primary := start(t, Options{})
	standby := start(t, Options{SkipInitdb: true, Setup: func(dir string) error {
		if _, err := os.Stat(filepath.Join(primary.BinDir(), "pg_basebackup")); err != nil {
			return copyForStandby(primary, dir)
		}
		cmd := primary.Command(t.Context(), "pg_basebackup", "-D", dir, "-d", primary.DSN(), "-R", "-c", "fast", "--no-sync")
		if out, err := cmd.CombinedOutput(); err != nil {
			return errors.New(string(out))
		}
		return nil
	}})
	if got := query(t, standby.DSN(), "SELECT pg_is_in_recovery()"); got != "true" {
		t.Errorf("pg_is_in_recovery: %s", got)
	}
}

func TestStartFails(t *testing.T) {
	for name, c := range map[string]struct {
		options Options
		want    string
	}{
		"initdb":  {Options{InitdbArgs: []string{"--no-such-option"}}, "--no-such-option"},
		"setting": {Options{Settings: map[string]string{"no_such_setting": "1"}}, "no_such_setting"},
		"setup":   {Options{Setup: func(string) error { return fs.ErrInvalid }}, "invalid argument"},
		"bindir":  {Options{BinDir: "/nonexistent"}, "/nonexistent/initdb"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Start(t.Context(), c.options)
			if err == nil {
				s.Close()
				t.Fatal("it started")
			}
			if !strings.HasPrefix(err.Error(), "psycotest: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q does not say %q", err, c.want)
			}
		})
	}
	for name, ended := range map[string]func(cancel func()) Options{
		"before":         func(cancel func()) Options { cancel(); return Options{} },
		"during initdb":  func(cancel func()) Options { time.AfterFunc(50*time.Millisecond, cancel); return Options{} },
		"before a start": func(cancel func()) Options { return Options{Setup: func(string) error { cancel(); return nil }} },
	} {
		t.Run("context ends "+name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			if _, err := Start(ctx, ended(cancel)); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTestDSN(t *testing.T) {
	var mu sync.Mutex
	used, all := map[string]bool{}, map[string]bool{}
	t.Run("group", func(t *testing.T) {
		for range 8 {
			t.Run("parallel", func(t *testing.T) {
				t.Parallel()
				dsn := TestDSN(t)
				name := query(t, dsn, "SELECT current_database()")
				mu.Lock()
				defer mu.Unlock()
				if used[name] {
					t.Errorf("two tests share database %s", name)
				}
				used[name], all[name] = true, true
				t.Cleanup(func() { // before that of TestDSN
					mu.Lock()
					defer mu.Unlock()
					used[name] = false
				})
				leaked := open(t, dsn) // an open connection does not keep a database from the next test
				if _, err := leaked.Exec("CREATE TABLE mine (a int)"); err != nil {
					t.Error(err)
				}
			})
		}
	})
	s, err := Shared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name := range all {
		if got := query(t, s.DSN(), "SELECT count(*) FROM pg_stat_activity WHERE datname = "+pq.QuoteLiteral(name)); got != "0" {
			t.Errorf("somebody is still connected to database %s", name)
		}
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		s, err := Start(b.Context(), Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		s.Close()
		b.StartTimer()
	}
}

func BenchmarkCreateDatabase(b *testing.B) {
	s, err := Shared(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		_, drop, err := s.CreateDatabase(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if err := drop(); err != nil {
			b.Fatal(err)
		}
	}
}
