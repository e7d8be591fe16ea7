//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// account is the user that runs the server where this process must not: the
// server refuses to run as root. A nil account is the user of this process.
type account struct {
	uid, gid uint32
}

// serverAccount returns nil for an ordinary user.
func serverAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "_postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &account{uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("the server does not run as root, and there is no user postgres or nobody to run it as")
}

// procAttr puts a process into a session of its own, out of reach of the
// terminal's Ctrl-C, and gives it the account's identity.
func (a *account) procAttr() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// own gives the files below dir to the account.
func (a *account) own(dir string) error {
	if a == nil {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(a.uid), int(a.gid))
	})
}

// tempDir returns where the server's directory goes: a place that the account
// can write to and whose name leaves room for a socket's, which ends at 103
// bytes on macOS and 107 on Linux. It is in memory if it may be anywhere and there is
// plenty: an empty server has a thousand files, and every database 300 more.
func (a *account) tempDir() string {
	if os.Getenv("TMPDIR") == "" && isMemory(sharedMemory) {
		return sharedMemory
	}
	const room = 103 - len("/psyco.XXXXXX/.s.PGSQL.65535.lock")
	dir := os.TempDir()
	info, err := os.Stat(dir)
	if err != nil || len(dir) > room || !filepath.IsAbs(dir) || a != nil && info.Mode().Perm()&0o003 != 0o003 || a != nil && !a.reaches(dir) {
		return "/tmp"
	}
	return dir
}

// cacheDir returns where downloads are kept: this user's directory for such things, or
// the system's where the account cannot get at that.
func (a *account) cacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if a != nil && (err != nil || !a.reaches(dir)) {
		return "/var/cache", nil
	}
	return dir, err
}

// reaches reports whether the account may enter every directory above dir.
func (a *account) reaches(dir string) bool {
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

// apply makes a command run as the account.
func (a *account) apply(cmd *exec.Cmd) {
	cmd.Dir = "/"
	cmd.Env = serverEnv(os.Environ())
	cmd.SysProcAttr = a.procAttr()
}

// lock waits for the exclusive lock of a file, which it makes if need be. The
// system releases it when this process ends.
func lock(ctx context.Context, name string) (unlock func() error, err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f.Close, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(err, f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
