package pgserver

import "syscall"

const (
	// sharedMemory is where Linux has a file system in memory that every user
	// may write to.
	sharedMemory = "/dev/shm"

	magicOfTmpfs = 0x01021994
	// plenty is more than tests put into a database. What runs in a container
	// often has 64 MB.
	plenty = 2 << 30
)

// isMemory reports whether dir is in memory and has plenty of it.
func isMemory(dir string) bool {
	var fs syscall.Statfs_t
	return syscall.Statfs(dir, &fs) == nil && int64(fs.Type) == magicOfTmpfs && fs.Bavail*uint64(fs.Bsize) >= plenty
}
