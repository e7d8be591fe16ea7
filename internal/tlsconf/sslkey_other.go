//go:build !unix

package tlsconf

import "io/fs"

// checkKeyPermissions does nothing where files have no owner and mode as on
// Unix; libpq does not check there either.
func checkKeyPermissions(fs.FileInfo) error { return nil }
