//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package pgserver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// installation makes empty programs.
func installation(t *testing.T, dir string, programs ...string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		if err := os.WriteFile(filepath.Join(dir, p), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindBinaries(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir()) // /var is a link on macOS
	if err != nil {
		t.Fatal(err)
	}
	old := installation(t, root+"/lib/9.6/bin", "initdb", "postgres")
	newest := installation(t, root+"/lib/17/bin", "initdb", "postgres")
	installation(t, root+"/lib/18/bin", "psql") // a client without a server
	client := installation(t, root+"/bin", "psql")
	links := installation(t, root+"/links")
	if err := os.Symlink(old+"/initdb", links+"/initdb"); err != nil {
		t.Fatal(err)
	}
	pattern := root + "/lib/*/bin"

	for name, c := range map[string]struct {
		path []string
		dirs []string
		want string
	}{
		"PATH comes first":               {[]string{client, old}, []string{pattern}, old},
		"a link on PATH":                 {[]string{client, links}, nil, old},
		"the newest version":             {[]string{client}, []string{pattern}, newest},
		"the newest of several patterns": {nil, []string{root + "/lib/1*/bin", root + "/lib/9*/bin"}, newest},
		"no server":                      {[]string{client, "relative"}, []string{root + "/lib/18/bin"}, ""},
		"nothing":                        {nil, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := findBinaries(strings.Join(c.path, string(filepath.ListSeparator)), c.dirs)
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestNoServer(t *testing.T) {
	announced := ""
	_, err := ways{
		docker:     noEngine,
		image:      DefaultImage,
		repository: "http://127.0.0.1:1",
		cache:      t.TempDir(),
		announce:   func(what string) { announced += what },
	}.find(t.Context())
	if err == nil {
		t.Fatal("found a server where there is none")
	}
	for _, want := range []string{"psycotest: ", EnvDSN, "install PostgreSQL", "Docker", EnvImage, "download", noEngine, "no initdb"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if os.Geteuid() != 0 && !strings.Contains(announced, "http://127.0.0.1:1") {
		t.Errorf("the download was announced with %q", announced)
	}
	if os.Geteuid() == 0 && announced != "" {
		t.Errorf("root was told %q", announced)
	}

	if _, err := (ways{docker: noEngine, repository: "off"}).find(t.Context()); err == nil || !strings.Contains(err.Error(), EnvDownload) {
		t.Errorf("without downloads: %v", err)
	}
}

func TestExistingServer(t *testing.T) {
	own := start(t, Options{Settings: map[string]string{"password_encryption": "scram-sha-256"}})
	for name, dsn := range map[string]string{
		"keyword/value": own.DSN() + " application_name='an \\'app\\''",
		"URI":           "postgres://postgres:sec%20ret@" + own.Addr() + "/template1?sslmode=disable&dbname=postgres",
		"short URI":     "postgresql://postgres@" + own.Addr() + "?sslmode=disable",
	} {
		t.Run(name, func(t *testing.T) {
			s, err := ways{dsn: dsn}.find(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			fresh, drop, err := s.CreateDatabase(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := query(t, fresh, "SELECT current_database()"); !strings.HasPrefix(got, "psycotest_") {
				t.Errorf("connected to %s", got)
			}
			if err := drop(); err != nil {
				t.Error(err)
			}
			if err := s.Stop(Fast); err == nil {
				t.Error("a server that was not started here was stopped")
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			query(t, own.DSN(), "SELECT 1")
		})
	}
	for name, dsn := range map[string]string{
		"bad string": "host='", "bad URI": "postgres://user:secret@[::1/db",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ways{dsn: dsn}.find(t.Context())
			if err == nil || !strings.Contains(err.Error(), EnvDSN) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v", err)
			}
		})
	}
}
