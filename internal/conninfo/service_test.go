package conninfo_test

import (
	"cmp"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/psyco-go/psyco/internal/conninfo/conninfotest"
)

func TestService(t *testing.T) {
	files := func(pairs ...string) fstest.MapFS {
		m := make(fstest.MapFS)
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
		}
		return m
	}
	const user, system = "home/tester/.pg_service.conf", "etc/pg_service.conf"
	type env = map[string]string
	for _, tt := range []struct {
		name, dsn string
		env       env
		files     fstest.MapFS
		want      string // host and database
	}{
		{"the user's file", "service=s", nil, files(user, "[s]\nhost=u\n", system, "[s]\nhost=x\n"), "u tester"},
		{"the system's file", "service=s", nil, files(system, "[s]\nhost=x\n"), "x tester"},
		{"the system's file if the user's has no such section", "service=s", nil, files(user, "[t]\nhost=u\n", system, "[s]\nhost=x\n"), "x tester"},
		{"PGSYSCONFDIR", "service=s", env{"PGSYSCONFDIR": "/other"}, files("other/pg_service.conf", "[s]\nhost=o\n"), "o tester"},
		{"PGSERVICEFILE", "service=s", env{"PGSERVICEFILE": "/sf"}, files("sf", "[s]\nhost=f\n", user, "[s]\nhost=u\n"), "f tester"},
		{"servicefile", "service=s servicefile=/sf", env{"PGSERVICEFILE": "/no"}, files("sf", "[s]\nhost=f\n"), "f tester"},
		{"PGSERVICE", "", env{"PGSERVICE": "s"}, files(user, "[s]\nhost=u\n"), "u tester"},
		{"the string's service goes before PGSERVICE", "service=s", env{"PGSERVICE": "t"}, files(user, "[t]\nhost=t\n[s]\nhost=u\n"), "u tester"},
		{"an empty name is not a service", "service='' host=h", env{"PGSERVICE": "t"}, nil, "h tester"},
		{"an empty PGSERVICE is not a service", "host=h", env{"PGSERVICE": ""}, nil, "h tester"},
		{"the first line wins", "service=s", nil, files(user, "[s]\nhost=1\nhost=2\n"), "1 tester"},
		{"only the first section", "service=s", nil, files(user, "[s]\nhost=1\n[s]\ndbname=2\n"), "1 tester"},
		{"comments and spaces", "service=s", nil, files(user, "# c\n\n[s]\r\n  host=1\t\r\n # dbname=x\ndbname=a b\n"), "1 a b"},
		{"no spaces around =", "service=s", nil, files(user, "[s]\nhost= 1\n"), " 1 tester"},
		{"values are literal", "service=s", nil, files(user, "[s]\nhost='a'\ndbname=host=b\n"), "'a' host=b"},
		{"a line before the section is not read", "service=s", nil, files(user, "nonsense\n[s]\nhost=1\n"), "1 tester"},
		{"the last line needs no newline", "service=s", nil, files(user, "[s]\nhost=1"), "1 tester"},
		{"lib/pq's and psyco's options", "service=s", nil, files(user, "[s]\nhost=1\nbinary_parameters=1\nbinding=client\ndatabase=d\n"), "1 d"},
		{"requiressl", "service=s", nil, files(user, "[s]\nhost=1\nrequiressl=1\n"), "1 tester"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set, err := grammar.Parse(tt.dsn, (&conninfotest.Surroundings{Env: tt.env, Files: tt.files}).Source())
			if err != nil {
				t.Fatal(err)
			}
			if got := set["host"].Value + " " + cmp.Or(set["dbname"].Value, "tester"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}

	for _, tt := range []struct {
		name, dsn string
		env       env
		files     fstest.MapFS
		want      string
	}{
		{"no files", "service=s", nil, nil, `definition of service "s" not found`},
		{"no such section", "", env{"PGSERVICE": "s"}, files(user, "[t]\n"), `definition of service "s" not found (from environment variable PGSERVICE)`},
		{"no PGSERVICEFILE", "service=s", env{"PGSERVICEFILE": "/sf"}, nil, `service file "/sf" not found`},
		{"no equals sign", "service=s", nil, files(user, "[s]\npassword secret\n"), `syntax error in service file "/home/tester/.pg_service.conf", line 2`},
		{"an unknown option", "service=s", nil, files(user, "[s]\n\nsearch_path=secret\n"), `syntax error in service file "/home/tester/.pg_service.conf", line 3`},
		{"a space before =", "service=s", nil, files(user, "[s]\nhost =1\n"), `syntax error in service file "/home/tester/.pg_service.conf", line 2`},
		{"a service in a service", "service=s", nil, files(user, "[s]\nservice=t\n"), `nested service specifications not supported in service file "/home/tester/.pg_service.conf", line 2`},
		{"LDAP", "service=s", nil, files(user, "[s]\nldap://x\n"), `LDAP lookup is not supported in service file "/home/tester/.pg_service.conf", line 2`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := grammar.Parse(tt.dsn, (&conninfotest.Surroundings{Env: tt.env, Files: tt.files}).Source())
			if err == nil || err.Error() != tt.want {
				t.Errorf("\n got %v\nwant %s", err, tt.want)
			}
		})
	}

	t.Run("a file that cannot be read", func(t *testing.T) {
		src := (&conninfotest.Surroundings{}).Source()
		src.ReadFile = func(string) ([]byte, error) { return nil, fs.ErrPermission }
		_, err := grammar.Parse("service=s", src)
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "could not read service file") {
			t.Errorf("got %v", err)
		}
	})
}
