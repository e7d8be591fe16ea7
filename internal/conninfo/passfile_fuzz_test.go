package conninfo

import (
	"strings"
	"testing"
)

// FuzzPassfile: a file that was written with escapes gives the password back,
// whatever stands above the line.
func FuzzPassfile(f *testing.F) {
	f.Add("", "h", "u", "pw")
	f.Add("#x\n*:*", "a:b", `c\d`, `\:*`)
	f.Fuzz(func(t *testing.T, above, host, user, password string) {
		if strings.ContainsAny(host+user+password, "\x00\r\n") || host == "" {
			t.Skip()
		}
		if strings.HasPrefix(host, "#") { // a comment: libpq has no escape for it either
			host = "h" + host
		}
		escape := strings.NewReplacer(`\`, `\\`, `:`, `\:`)
		line := escape.Replace(host) + ":1:*:" + escape.Replace(user) + ":" + escape.Replace(password)
		if host == "*" || user == "*" {
			line = "*:1:*:*:" + escape.Replace(password)
		}
		lines := append(strings.Split(above, "\n"), line)
		got := findPassword(lines, host, "1", "d", user)
		if above := findPassword(lines[:len(lines)-1], host, "1", "d", user); got != password && got != above {
			t.Errorf("%q gives %q, want %q", line, got, password)
		}
		if above == "" && got != password {
			t.Errorf("%q gives %q, want %q", line, got, password)
		}
	})
}
