// Package conninfotest makes up the surroundings in which tests read connection
// strings.
package conninfotest

import (
	"bytes"
	"cmp"
	"io/fs"
	"strings"
	"testing/fstest"

	"github.com/psyco-go/psyco/internal/conninfo"
)

// Surroundings are an environment, a file system and a user.
type Surroundings struct {
	Env   map[string]string
	Files fstest.MapFS // without the leading slash
	User  string       // "" is tester
	Warn  bytes.Buffer
}

// Source returns the surroundings as a source of settings.
func (s *Surroundings) Source() *conninfo.Source {
	name := func(path string) string { return strings.TrimPrefix(path, "/") }
	return &conninfo.Source{
		Lookup:     func(key string) (string, bool) { v, ok := s.Env[key]; return v, ok },
		ReadFile:   func(path string) ([]byte, error) { return fs.ReadFile(s.Files, name(path)) },
		Stat:       func(path string) (fs.FileInfo, error) { return fs.Stat(s.Files, name(path)) },
		Home:       func() string { return "/home/tester" },
		User:       func() (string, error) { return cmp.Or(s.User, "tester"), nil },
		SocketDirs: conninfo.DefaultSocketDirs,
		SysconfDir: "/etc",
		Warn:       &s.Warn,
	}
}

// File is a file system of one file, which nobody else may read.
func File(name, text string) fstest.MapFS {
	return fstest.MapFS{name: {Data: []byte(text), Mode: 0o600}}
}
