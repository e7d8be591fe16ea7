//go:build unix

package tlsconf

import (
	"io/fs"
	"syscall"
)

// checkKeyPermissions refuses a private key that others can read: root's may be
// readable by a group (libpq: initialize_SSL).
func checkKeyPermissions(info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ErrKeyUnknownOwnership
	}
	forbidden := fs.FileMode(0o077)
	if stat.Uid == 0 {
		forbidden = 0o037
	}
	if info.Mode()&forbidden != 0 {
		return ErrKeyHasWorldPermissions
	}
	return nil
}
