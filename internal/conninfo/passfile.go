package conninfo

import (
	"fmt"
	"slices"
	"strings"
)

// PassfileName is what the passfile in the home directory is called.
func PassfileName(windows bool) string {
	if windows {
		return "pgpass.conf"
	}
	return ".pgpass"
}

// A Passfile holds passwords, one host:port:database:user:password a line. The
// zero value holds none.
type Passfile struct {
	lines      []string
	socketDirs []string // hosts that stand for "localhost"
}

// ReadPassfile reads a passfile (libpq: passwordFromFile). A file that does not
// exist holds no password. A file that others may read is not used; as in libpq
// and lib/pq that is a warning, because the server may not ask for a password at
// all.
func ReadPassfile(name string, src *Source) Passfile {
	info, err := src.Stat(name)
	if err != nil {
		return Passfile{}
	}
	if !src.Windows {
		switch {
		case !info.Mode().IsRegular():
			fmt.Fprintf(src.Warn, "psyco: WARNING: password file %q is not a plain file\n", name)
			return Passfile{}
		case info.Mode().Perm()&0o077 != 0:
			fmt.Fprintf(src.Warn, "psyco: WARNING: password file %q has group or world access; permissions should be u=rw (0600) or less\n", name)
			return Passfile{}
		}
	}
	data, err := src.ReadFile(name)
	if err != nil {
		fmt.Fprintf(src.Warn, "psyco: WARNING: could not read password file: %v\n", err)
		return Passfile{}
	}
	return Passfile{lines: strings.Split(string(data), "\n"), socketDirs: src.SocketDirs}
}

// Password returns the password of the first line that fits, or "".
func (p Passfile) Password(host, port, database, user string) string {
	if slices.Contains(p.socketDirs, host) {
		host = "localhost"
	}
	return findPassword(p.lines, host, port, database, user)
}

// findPassword returns the password of the first line that fits.
func findPassword(lines []string, fields ...string) string {
next:
	for _, line := range lines {
		line = strings.TrimRight(line, "\r")
		if strings.HasPrefix(line, "#") {
			continue
		}
		for _, want := range fields {
			var ok bool
			if line, ok = matchField(line, want); !ok {
				continue next
			}
		}
		return passwordField(line)
	}
	return ""
}

// matchField compares the first field of line with want and returns what
// follows it. "*" fits everything; a backslash takes the character after it
// as it is.
func matchField(line, want string) (rest string, ok bool) {
	if rest, ok := strings.CutPrefix(line, "*:"); ok {
		return rest, true
	}
	for i := 0; i < len(line); i++ {
		c := line[i]
		if c == ':' {
			return line[i+1:], want == ""
		}
		if c == '\\' && i+1 < len(line) {
			i++
			c = line[i]
		}
		if want == "" || c != want[0] {
			return "", false
		}
		want = want[1:]
	}
	return "", false
}

// passwordField ends at a colon, as the others do.
func passwordField(s string) string {
	var b strings.Builder
	for i := 0; i < len(s) && s[i] != ':'; i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
