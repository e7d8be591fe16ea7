package conninfo

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

// Source is where settings come from when the connection string does not say:
// the environment, the file system and the operating system's user. Tests
// pass their own.
type Source struct {
	Lookup     func(name string) (value string, ok bool)
	ReadFile   func(name string) ([]byte, error)
	Stat       func(name string) (fs.FileInfo, error)
	Home       func() string          // "" if unknown
	User       func() (string, error) // the user that runs the process
	SocketDirs []string               // where servers put their sockets by default
	SysconfDir string                 // holds the system's pg_service.conf
	Windows    bool
	Warn       io.Writer
}

// DefaultSocketDirs are the places that the PostgreSQL packages of Linux
// distributions and PostgreSQL itself put the socket in.
var DefaultSocketDirs = []string{"/var/run/postgresql", "/tmp"}

// SystemSource is the surroundings of this process.
func SystemSource() *Source {
	src := &Source{
		Lookup:     os.LookupEnv,
		ReadFile:   os.ReadFile,
		Stat:       os.Stat,
		Home:       HomeDir,
		User:       OSUser,
		SocketDirs: DefaultSocketDirs,
		SysconfDir: "/etc/postgresql-common",
		Windows:    runtime.GOOS == "windows",
		Warn:       os.Stderr,
	}
	if src.Windows {
		src.SocketDirs, src.SysconfDir = nil, ""
	}
	return src
}

// HomeDir is the directory of .pgpass and .pg_service.conf (libpq:
// pqGetHomeDirectory): $HOME, else the user database's entry, and
// %APPDATA%\postgresql on Windows.
func HomeDir() string {
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

// OSUser is the effective user's name (libpq: pg_fe_getauthname). $USER only
// helps where the user database cannot, as in a container without
// /etc/passwd.
func OSUser() (string, error) {
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
