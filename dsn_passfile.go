package psyco

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func passfileName(windows bool) string {
	if windows {
		return "pgpass.conf"
	}
	return ".pgpass"
}

// readPassfile looks up a password for each host that has none (libpq:
// passwordFromFile). A file that others may read is not used; as in libpq and
// lib/pq that is a warning on standard error, because the server may not ask
// for a password at all.
func (c *Config) readPassfile(src *source) {
	if c.Password != "" || c.Passfile == "" {
		return
	}
	info, err := src.stat(c.Passfile)
	if err != nil {
		return // no file, no password
	}
	if !src.windows {
		switch {
		case !info.Mode().IsRegular():
			fmt.Fprintf(src.warn, "psyco: WARNING: password file %q is not a plain file\n", c.Passfile)
			return
		case info.Mode().Perm()&0o077 != 0:
			fmt.Fprintf(src.warn, "psyco: WARNING: password file %q has group or world access; permissions should be u=rw (0600) or less\n", c.Passfile)
			return
		}
	}
	data, err := src.readFile(c.Passfile)
	if err != nil {
		fmt.Fprintf(src.warn, "psyco: WARNING: could not read password file: %v\n", err)
		return
	}
	lines := strings.Split(string(data), "\n")
	for i := range c.Hosts {
		h := &c.Hosts[i]
		if h.Password != "" {
			continue
		}
		host := h.Host
		if host == "" {
			host = h.Hostaddr
		}
		if slices.Contains(src.socketDirs, host) {
			host = "localhost"
		}
		h.Password = findPassword(lines, host, strconv.Itoa(int(h.Port)), c.Database, c.User)
	}
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
