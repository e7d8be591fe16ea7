package psyco

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
)

// source is where settings come from when the connection string does not say:
// the environment, the file system and the operating system's user. Tests
// pass their own.
type source struct {
	lookup     func(name string) (value string, ok bool)
	readFile   func(name string) ([]byte, error)
	stat       func(name string) (fs.FileInfo, error)
	home       func() string          // "" if unknown
	user       func() (string, error) // the user that runs the process
	socketDirs []string               // where servers put their sockets by default
	sysconfDir string                 // holds the system's pg_service.conf
	windows    bool
	warn       io.Writer
}

// defaultSocketDirs are the places that the PostgreSQL packages of Linux
// distributions and PostgreSQL itself put the socket in.
var defaultSocketDirs = []string{"/var/run/postgresql", "/tmp"}

// systemSource is the surroundings of this process.
func systemSource() *source {
	src := &source{
		lookup:     os.LookupEnv,
		readFile:   os.ReadFile,
		stat:       os.Stat,
		home:       homeDir,
		user:       osUser,
		socketDirs: defaultSocketDirs,
		sysconfDir: "/etc/postgresql-common",
		windows:    runtime.GOOS == "windows",
		warn:       os.Stderr,
	}
	if src.windows {
		src.socketDirs, src.sysconfDir = nil, ""
	}
	return src
}

// homeDir is the directory of .pgpass and .pg_service.conf (libpq:
// pqGetHomeDirectory): $HOME, else the user database's entry, and
// %APPDATA%\postgresql on Windows.
func homeDir() string {
	if runtime.GOOS == "windows" {
		if dir := os.Getenv("APPDATA"); dir != "" {
			return filepath.Join(dir, "postgresql")
		}
		return ""
	}
	if dir := os.Getenv("HOME"); dir != "" {
		return dir
	}
	if u, err := user.LookupId(strconv.Itoa(os.Geteuid())); err == nil {
		return u.HomeDir
	}
	return ""
}

// osUser is the effective user's name (libpq: pg_fe_getauthname). $USER only
// helps where the user database cannot, as in a container without
// /etc/passwd.
func osUser() (string, error) {
	if runtime.GOOS == "windows" {
		u, err := user.Current()
		if err != nil {
			return "", fmt.Errorf("could not look up the local user: %w", err)
		}
		return filepath.Base(u.Username), nil // without the domain
	}
	u, err := user.LookupId(strconv.Itoa(os.Geteuid()))
	if err == nil {
		return u.Username, nil
	}
	if name := os.Getenv("USER"); name != "" {
		return name, nil
	}
	return "", fmt.Errorf("could not look up local user ID %d: %w; name the role with user=", os.Geteuid(), err)
}
