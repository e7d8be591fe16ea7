package psyco

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

func TestPassfile(t *testing.T) {
	for _, tt := range []struct {
		name, dsn, file string
		want            string // the hosts' passwords
	}{
		{"exact", "host=h port=1 dbname=d user=u", "h:1:d:u:pw\n", "pw"},
		{"wildcards", "host=h", "*:*:*:*:pw\n", "pw"},
		{"the first line that fits", "host=h", "x:*:*:*:a\nh:*:*:*:b\n*:*:*:*:c\n", "b"},
		{"another host", "host=h", "x:*:*:*:a\n", ""},
		{"another port", "host=h", "h:1:*:*:a\n", ""},
		{"the default port", "host=h", "h:5432:*:*:a\n", "a"},
		{"another database", "host=h dbname=d", "*:*:x:*:a\n", ""},
		{"the database is named like the user", "host=h user=u", "*:*:u:u:a\n", "a"},
		{"another user", "host=h user=u", "*:*:*:x:a\n", ""},
		{"the name of the OS user", "host=h", "*:*:*:tester:a\n", "a"},
		{"a star is only a wildcard alone", "host=ha", "h*:*:*:*:a\n", ""},
		{"a prefix is no match", "host=ha", "h:*:*:*:a\nhab:*:*:*:b\n", ""},
		{"each host its own", "host=a,b,c port=1,2,3", "a:1:*:*:pa\nb:1:*:*:pb\nc:3:*:*:pc\n", "pa||pc"},
		{"default sockets are localhost", "", "/tmp:*:*:*:x\nlocalhost:*:*:*:pw\n", "pw|pw|pw"},
		{"so are hosts that name them", "host=/tmp,/var/run/postgresql", "localhost:*:*:*:pw\n", "pw|pw"},
		{"other sockets go by their directory", "host=/s", "localhost:*:*:*:x\n/s:*:*:*:pw\n", "pw"},
		{"the host's name goes before its address", "host=h hostaddr=::1", "\\:\\:1:*:*:*:x\nh:*:*:*:pw\n", "pw"},
		{"an address without a name", "hostaddr=::1", `\:\:1:*:*:*:pw`, "pw"},
		{"escapes", `host=h user='a:b\\c'`, `h:*:*:a\:b\\c:p\:w\\x\y` + "\n", `p:w\xy`},
		{"the password ends at a colon", "host=h", "*:*:*:*:a:b\n", "a"},
		{"comments", "host=h", "#*:*:*:*:a\n *:*:*:*:b\n*:*:*:*:c\n", "c"},
		{"Windows line ends", "host=h", "*:*:*:*:a\r\n", "a"},
		{"too few fields", "host=h", "h\n*:*:*:*\nh:*:*\n", ""},
		{"an empty password ends the search", "host=h", "*:*:*:*:\n*:*:*:*:b\n", ""},
		{"a password in the string", "host=h password=p", "*:*:*:*:a\n", ""},
		{"passfile=", "host=h passfile=/other", "*:*:*:*:a\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &surroundings{files: mapFile("home/tester/.pgpass", tt.file)}
			c, err := parseDSN(tt.dsn, s.source())
			if err != nil {
				t.Fatal(err)
			}
			c.readPassfile(s.source())
			if got := passwords(c); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if s.warn.Len() > 0 {
				t.Errorf("warning: %s", s.warn.String())
			}
		})
	}
}

func passwords(c *Config) string {
	var list []string
	for _, h := range c.Hosts {
		list = append(list, h.Password)
	}
	return strings.Join(list, "|")
}

func TestPassfilePermissions(t *testing.T) {
	for _, tt := range []struct {
		name string
		mode fs.FileMode
		want string // the password
		warn string
	}{
		{"0600", 0o600, "pw", ""},
		{"0400", 0o400, "pw", ""},
		{"0700", 0o700, "pw", ""},
		{"0640", 0o640, "", "psyco: WARNING: password file \"/home/tester/.pgpass\" has group or world access; permissions should be u=rw (0600) or less\n"},
		{"0601", 0o601, "", "psyco: WARNING: password file \"/home/tester/.pgpass\" has group or world access; permissions should be u=rw (0600) or less\n"},
		{"a directory", fs.ModeDir | 0o700, "", "psyco: WARNING: password file \"/home/tester/.pgpass\" is not a plain file\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &surroundings{files: fstest.MapFS{"home/tester/.pgpass": {Data: []byte("*:*:*:*:pw\n"), Mode: tt.mode}}}
			c := mustParse(t, "host=h", nil)
			c.readPassfile(s.source())
			if got := passwords(c); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got := s.warn.String(); got != tt.warn {
				t.Errorf("warning %q, want %q", got, tt.warn)
			}
		})
	}
	t.Run("unreadable", func(t *testing.T) {
		s := &surroundings{files: mapFile("home/tester/.pgpass", "*:*:*:*:pw\n")}
		src := s.source()
		src.readFile = func(string) ([]byte, error) { return nil, fs.ErrPermission }
		c := mustParse(t, "host=h", nil)
		c.readPassfile(src)
		if passwords(c) != "" || !strings.Contains(s.warn.String(), "could not read password file") {
			t.Errorf("password %q, warning %q", passwords(c), s.warn.String())
		}
	})
}

// TestNormalizeReadsPassfile goes through the real file system.
func TestNormalizeReadsPassfile(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("PGPASSFILE", "/nonexistent") // a Config by hand does not look there
	if err := os.WriteFile(filepath.Join(home, ".pgpass"), []byte("h:5432:d:u:from the file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := NewConfig()
	c.Hosts = []Host{{Host: "h"}, {Host: "h", Password: "by hand"}}
	c.User, c.Database = "u", "d"
	for range 2 {
		if err := c.normalize(); err != nil {
			t.Fatal(err)
		}
		if got := passwords(c); got != "from the file|by hand" {
			t.Errorf("got %q", got)
		}
	}
}

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
