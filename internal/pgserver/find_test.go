//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package pgserver

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
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
		named string
		path  []string
		dirs  []string
		want  string
	}{
		"PATH comes first":               {"", []string{client, old}, []string{pattern}, old},
		"a link on PATH":                 {"", []string{client, links}, nil, old},
		"the newest version":             {"", []string{client}, []string{pattern}, newest},
		"the newest of several patterns": {"", nil, []string{root + "/lib/1*/bin", root + "/lib/9*/bin"}, newest},
		"no server":                      {"", []string{client, "relative"}, []string{root + "/lib/18/bin"}, ""},
		"nothing":                        {"", nil, nil, ""},
		"one that was named":             {old, []string{newest}, []string{pattern}, old},
		"a link that was named":          {links, []string{newest}, nil, old},
		"named, without a server":        {client, []string{newest}, []string{pattern}, ""},
		"named, relative":                {"lib/17/bin", []string{newest}, []string{pattern}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := places{bin: c.named, path: strings.Join(c.path, string(filepath.ListSeparator)), dirs: c.dirs}
			got, err := p.find()
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
			if c.named != "" && err != nil && !strings.Contains(err.Error(), EnvBin+" is "+c.named) {
				t.Errorf("the error does not name the directory: %v", err)
			}
		})
	}
}

// TestWays holds the order of ways to what docs/testing.md says.
func TestWays(t *testing.T) {
	bin, err := placesFromEnvironment().find()
	if err != nil {
		t.Fatal(err)
	}
	installed := places{path: bin}
	docker := func(_ context.Context, image string, _ Announcer) (*Server, error) {
		return External("image "+image, "127.0.0.1", 5432, func() error { return nil }), nil
	}
	noDocker := func(context.Context, string, Announcer) (*Server, error) {
		return nil, errors.New("no Docker engine answers")
	}
	for name, c := range map[string]struct {
		ways ways
		want string // how the server was found, or a part of the error
	}{
		"PSYCO_TEST_DSN before all":             {ways{dsn: "host=/nowhere", places: installed, runImage: docker}, "existing"},
		"PSYCO_TEST_BIN before what is on PATH": {ways{places: places{bin: bin, path: "/nowhere"}, runImage: docker}, "own"},
		"PSYCO_TEST_BIN without a server":       {ways{places: places{bin: "/nowhere", path: bin}, runImage: docker}, EnvBin + " is /nowhere"},
		"installed before Docker":               {ways{places: installed, runImage: docker}, "own"},
		"Docker, if linked in":                  {ways{runImage: docker, repository: "off"}, "image " + DefaultImage},
		"Docker with another image":             {ways{runImage: docker, image: "else", repository: "off"}, "image else"},
		"Docker fails, then the download":       {ways{runImage: noDocker, repository: "off"}, EnvDownload + " turns"},
		"Docker is not linked in":               {ways{repository: "off"}, EnvDownload + " turns"},
		"an image, and Docker not linked in":    {ways{image: "else", repository: "off"}, "nothing is downloaded"},
	} {
		t.Run(name, func(t *testing.T) {
			c.ways.announce, c.ways.cache = announce, t.TempDir()
			s, err := c.ways.find(t.Context())
			if err != nil {
				if !strings.HasPrefix(err.Error(), "psycotest: ") || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				return
			}
			got := s.DSN()
			switch {
			case s.guard != nil:
				got = "own"
			case s.isExisting():
				got = "existing"
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNoServer(t *testing.T) {
	var announced strings.Builder
	repository := httptest.NewServer(http.NotFoundHandler())
	defer repository.Close()
	w := ways{repository: repository.URL, cache: t.TempDir(), announce: announceOn(&announced, 0)}
	_, err := w.find(t.Context())
	if err == nil {
		t.Fatal("found a server where there is none")
	}
	for _, want := range []string{"psycotest: ", EnvDSN, "install PostgreSQL", EnvBin, "Docker", `import _ "` + ImagesImport + `"`, EnvDownload, repository.URL, "no initdb"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if want := "psycotest: downloading PostgreSQL " + string(downloadVersion); !strings.HasPrefix(announced.String(), want) || !strings.Contains(announced.String(), repository.URL) {
		t.Errorf("the download was announced with %q", announced.String())
	}

	// Where Docker is linked in, nobody is told to import it.
	w.runImage = func(context.Context, string, Announcer) (*Server, error) { return nil, errors.New("no engine") }
	_, err = w.find(t.Context())
	if err == nil || strings.Contains(err.Error(), "import") || !strings.Contains(err.Error(), "no engine") || !strings.Contains(err.Error(), EnvImage) {
		t.Errorf("with Docker linked in: %v", err)
	}
}

// An image by name is not replaced by anything else.
func TestImageWithoutDocker(t *testing.T) {
	_, _, err := SharedImage(t.Context(), "postgres:16")
	if err == nil || !strings.HasPrefix(err.Error(), "psycotest: cannot run the image postgres:16: ") || !strings.Contains(err.Error(), `imports _ "`+ImagesImport+`"`) {
		t.Errorf("got %v", err)
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
