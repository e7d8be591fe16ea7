package conninfo_test

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/psyco-go/psyco/internal/conninfo"
	"github.com/psyco-go/psyco/internal/conninfo/conninfotest"
)

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
			s := &conninfotest.Surroundings{Files: fstest.MapFS{"home/tester/.pgpass": {Data: []byte("*:*:*:*:pw\n"), Mode: tt.mode}}}
			if got := conninfo.ReadPassfile("/home/tester/.pgpass", s.Source()).Password("h", "5432", "d", "u"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got := s.Warn.String(); got != tt.warn {
				t.Errorf("warning %q, want %q", got, tt.warn)
			}
		})
	}
	t.Run("unreadable", func(t *testing.T) {
		s := &conninfotest.Surroundings{Files: conninfotest.File("home/tester/.pgpass", "*:*:*:*:pw\n")}
		src := s.Source()
		src.ReadFile = func(string) ([]byte, error) { return nil, fs.ErrPermission }
		password := conninfo.ReadPassfile("/home/tester/.pgpass", src).Password("h", "5432", "d", "u")
		if password != "" || !strings.Contains(s.Warn.String(), "could not read password file") {
			t.Errorf("password %q, warning %q", password, s.Warn.String())
		}
	})
}
