//go:build unix

package connect_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
)

// dsnServer listens in one of the default socket directories, and has users
// that need a password.
func dsnServer(t *testing.T) *pgserver.Server {
	t.Helper()
	bareEnvironment(t)
	s, err := pgserver.Start(t.Context(), pgserver.Options{
		Settings: map[string]string{"unix_socket_directories": "/tmp"},
		HBA: `local all password_user password
local all scram_user scram-sha-256
local all all trust
host all scram_user all scram-sha-256
host all all all trust
`})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	db := open(t, fmt.Sprintf("port=%d user=postgres dbname=postgres", s.Port()))
	mustExec(t, db, `CREATE ROLE scram_user LOGIN PASSWORD E's:es\\ame'; CREATE ROLE password_user LOGIN PASSWORD 'sesame'`)
	mustExec(t, db, "CREATE DATABASE scram_user")
	return s
}

// answerTo connects, runs a query with one value, and closes the connection.
func answerTo(dsn, query string) (answer string, err error) {
	db, err := sql.Open("psyco", dsn)
	if err != nil {
		return "", err
	}
	defer db.Close()
	err = db.QueryRow(query).Scan(&answer)
	return answer, err
}

func wantAnswer(t *testing.T, dsn, query, want string) {
	t.Helper()
	if got, err := answerTo(dsn, query); err != nil || got != want {
		t.Errorf("%s: %s: got %q, %v; want %q", dsn, query, got, err, want)
	}
}

func writeFile(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	if !filepath.IsAbs(name) {
		name = filepath.Join(t.TempDir(), name)
	}
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return name
}

const (
	overSocket = "SELECT inet_server_addr() IS NULL"
	appName    = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"
)

func TestConnectByDSN(t *testing.T) {
	s := dsnServer(t)
	port := strconv.Itoa(s.Port())
	t.Run("socket", func(t *testing.T) { testSockets(t, port) })
	t.Run("passfile", func(t *testing.T) { testPassfile(t, port) })
	t.Run("service", func(t *testing.T) { testService(t, port) })
	t.Run("precedence", func(t *testing.T) { testPrecedence(t, port) })
	t.Run("defaults of the user", func(t *testing.T) { testUserDefaults(t, port) })
	t.Run("requirepeer", func(t *testing.T) { testRequirePeer(t, port) })
	t.Run("run-time parameters", func(t *testing.T) { testRunTimeParameters(t, port) })
}

func testSockets(t *testing.T, port string) {
	for dsn, socket := range map[string]string{
		"port=" + port + " user=postgres":                                        "true", // the first of the default places that answers
		"postgres://postgres@:" + port:                                           "true",
		"host='' port=" + port + " user=postgres":                                "true",
		"host=/tmp port=" + port + " user=postgres":                              "true",
		"postgres://postgres@%2Ftmp:" + port:                                     "true",
		"postgresql://postgres@:" + port + "/postgres?host=/tmp":                 "true",
		"host=/nonexistent,/tmp port=" + port + " user=postgres":                 "true",
		"postgres://postgres@%2Fnonexistent:" + port + ",%2Ftmp:" + port + "/":   "true",
		"host=localhost port=" + port + " user=postgres":                         "false",
		"postgres://postgres@127.0.0.1:" + port:                                  "false",
		"host=nonsense.invalid hostaddr=127.0.0.1 user=postgres port=" + port:    "false",
		"postgres://postgres@[::1]:" + port + ",127.0.0.1:" + port + "/postgres": "false",
	} {
		wantAnswer(t, dsn, overSocket, socket)
	}
	t.Run("PGHOST", func(t *testing.T) {
		t.Setenv("PGHOST", "/tmp")
		t.Setenv("PGPORT", port)
		t.Setenv("PGUSER", "postgres")
		wantAnswer(t, "", overSocket, "true")
	})
	t.Run("nobody listens", func(t *testing.T) {
		_, err := answerTo("port=1 user=postgres", "SELECT 1")
		for _, place := range []string{"/var/run/postgresql/.s.PGSQL.1", "/tmp/.s.PGSQL.1", "localhost:1"} {
			if err == nil || !strings.Contains(err.Error(), place) {
				t.Errorf("no word of %s: %v", place, err)
			}
		}
		if !errors.Is(err, os.ErrNotExist) || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("the causes are lost: %v", err)
		}
	})
	t.Run("a host name with @", func(t *testing.T) {
		_, err := answerTo("postgres://postgres:half@b,secret@127.0.0.1:"+port+"/", "SELECT 1")
		if err == nil || !strings.HasPrefix(err.Error(), "psyco: ") || !strings.Contains(err.Error(), "%40") || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v", err)
		}
	})
}

func testPassfile(t *testing.T, port string) {
	const socketUser, tcpUser = "user=password_user dbname=postgres", "user=scram_user host=127.0.0.1"
	for _, tt := range []struct {
		name, text, dsn string
		mode            os.FileMode
		ok              bool
	}{
		{"exact", "127.0.0.1:" + port + `:scram_user:scram_user:s\:es\\ame`, tcpUser, 0o600, true},
		{"wildcards", `*:*:*:*:s\:es\\ame`, tcpUser, 0o600, true},
		{"a default socket is localhost", "localhost:" + port + ":postgres:password_user:sesame", socketUser, 0o600, true},
		{"a socket by its directory", "localhost:*:*:*:sesame", "host=/tmp " + socketUser, 0o600, true},
		{"comment and other lines", "# 1\nelsewhere:*:*:*:x\n*:1:*:*:x\n*:*:*:postgres:x\n*:*:*:*:sesame\n", socketUser, 0o400, true},
		{"the first line that fits", "*:*:*:*:wrong\n*:*:*:*:sesame", socketUser, 0o600, false},
		{"another port", "*:1:*:*:sesame", socketUser, 0o600, false},
		{"others may read it", "*:*:*:*:sesame", socketUser, 0o644, false},
		{"password in the string", "*:*:*:*:wrong", socketUser + " password=sesame", 0o600, true},
		{"empty", "", socketUser, 0o600, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := writeFile(t, "pass", tt.text, tt.mode)
			dsn := tt.dsn + " port=" + port
			check := func(dsn string) {
				t.Helper()
				want := "scram_user"
				if strings.Contains(tt.dsn, "password_user") {
					want = "password_user"
				}
				got, err := answerTo(dsn, "SELECT current_user")
				if tt.ok && (err != nil || got != want) {
					t.Errorf("got %q, %v", got, err)
				}
				if pe, ok := err.(*pq.Error); !tt.ok && (!ok || pe.Code != "28P01") {
					t.Errorf("got %v, want 28P01", err)
				}
			}
			check(dsn + " passfile=" + file)
			t.Setenv("PGPASSFILE", file)
			check(dsn)
			t.Setenv("PGPASSFILE", filepath.Join(t.TempDir(), "none"))
			check(dsn + " passfile=" + file) // the string goes before the environment
			os.Unsetenv("PGPASSFILE")
			writeFile(t, filepath.Join(os.Getenv("HOME"), ".pgpass"), tt.text, tt.mode)
			defer os.Remove(filepath.Join(os.Getenv("HOME"), ".pgpass"))
			check(dsn)
		})
	}
}

func testService(t *testing.T, port string) {
	text := fmt.Sprintf("# comment\n[other]\nport=1\n\n[mine]\nport=%s\nuser=postgres\napplication_name=from service\noptions=-csearch_path=pg_catalog\n", port)
	file := writeFile(t, "service.conf", text, 0o644)
	check := func(t *testing.T, dsn string) {
		t.Helper()
		wantAnswer(t, dsn, appName, "from service")
		wantAnswer(t, dsn, "SHOW search_path", "pg_catalog")
	}
	t.Run("PGSERVICEFILE", func(t *testing.T) {
		t.Setenv("PGSERVICEFILE", file)
		check(t, "service=mine")
		check(t, "postgres://?service=mine")
		t.Setenv("PGSERVICE", "mine")
		check(t, "")
	})
	t.Run("option", func(t *testing.T) { check(t, "service=mine servicefile="+file) })
	t.Run("home", func(t *testing.T) {
		writeFile(t, filepath.Join(os.Getenv("HOME"), ".pg_service.conf"), text, 0o644)
		defer os.Remove(filepath.Join(os.Getenv("HOME"), ".pg_service.conf"))
		check(t, "service=mine")
	})
	t.Run("PGSYSCONFDIR", func(t *testing.T) {
		writeFile(t, filepath.Join(os.Getenv("PGSYSCONFDIR"), "pg_service.conf"), text, 0o644)
		defer os.Remove(filepath.Join(os.Getenv("PGSYSCONFDIR"), "pg_service.conf"))
		check(t, "service=mine")
	})
	t.Run("unknown", func(t *testing.T) {
		t.Setenv("PGSERVICEFILE", file)
		if _, err := answerTo("service=nobody", "SELECT 1"); err == nil || err.Error() != `psyco: definition of service "nobody" not found` {
			t.Errorf("got %v", err)
		}
	})
}

// testPrecedence takes away one source after the other.
func testPrecedence(t *testing.T, port string) {
	service := fmt.Sprintf("[s]\nport=%s\nuser=postgres\napplication_name=service\noptions=-cgeqo_effort=2\n", port)
	t.Setenv("PGSERVICEFILE", writeFile(t, "service.conf", service, 0o644))
	t.Setenv("PGSERVICE", "s")
	t.Setenv("PGAPPNAME", "environment")
	t.Setenv("PGOPTIONS", "-cgeqo_effort=3")
	t.Setenv("PGPORT", "1")
	t.Setenv("PGUSER", "scram_user")
	const effort = "SHOW geqo_effort"

	str := "port=" + port + " user=postgres application_name=string options=-cgeqo_effort=1 fallback_application_name=fallback"
	wantAnswer(t, str, appName, "string")
	wantAnswer(t, str, effort, "1")
	wantAnswer(t, "fallback_application_name=fallback", appName, "service")
	wantAnswer(t, "", effort, "2")
	wantAnswer(t, "", "SELECT current_user", "postgres")
	wantAnswer(t, "application_name='' fallback_application_name=fallback", appName, "") // given, though empty

	os.Unsetenv("PGSERVICE")
	t.Setenv("PGPORT", port)
	t.Setenv("PGUSER", "postgres")
	wantAnswer(t, "fallback_application_name=fallback", appName, "environment")
	wantAnswer(t, "", effort, "3")

	os.Unsetenv("PGAPPNAME")
	os.Unsetenv("PGOPTIONS")
	wantAnswer(t, "fallback_application_name=fallback", appName, "fallback")
	wantAnswer(t, "", appName, "")
	wantAnswer(t, "", effort, "5")
	wantAnswer(t, "", "SELECT current_database()", "postgres")
}

// testUserDefaults: the user is the process's, and the database has its name.
func testUserDefaults(t *testing.T, port string) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if me.Username != "postgres" {
		db := open(t, "port="+port+" user=postgres")
		name := psyco.Identifier{me.Username}.String()
		mustExec(t, db, "CREATE ROLE "+name+" LOGIN")
		mustExec(t, db, "CREATE DATABASE "+name)
	}
	t.Setenv("USER", "somebody") // libpq asks the system, not the environment
	wantAnswer(t, "port="+port, "SELECT current_user", me.Username)
	wantAnswer(t, "port="+port, "SELECT current_database()", me.Username)
	wantAnswer(t, "port="+port+" user=postgres", "SELECT current_database()", "postgres")
}

func testRequirePeer(t *testing.T, port string) {
	info, err := os.Stat("/tmp/.s.PGSQL." + port)
	if err != nil {
		t.Fatal(err)
	}
	owner, err := user.LookupId(fmt.Sprint(info.Sys().(*syscall.Stat_t).Uid))
	if err != nil {
		t.Fatal(err)
	}
	dsn := "port=" + port + " user=postgres requirepeer="
	wantAnswer(t, dsn+owner.Username, overSocket, "true")
	wantAnswer(t, "host=127.0.0.1 "+dsn+"nobody-here", overSocket, "false") // for sockets only
	want := fmt.Sprintf("psyco: connecting to /tmp/.s.PGSQL.%s as user \"postgres\", database \"postgres\": requirepeer specifies \"nobody-here\", but actual peer user name is %q", port, owner.Username)
	if _, err := answerTo("host=/tmp "+dsn+"nobody-here", "SELECT 1"); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	t.Setenv("PGREQUIREPEER", "nobody-here")
	if _, err := answerTo("port="+port+" user=postgres", "SELECT 1"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("by the environment: %v", err)
	}
}

func testRunTimeParameters(t *testing.T, port string) {
	base := "port=" + port + " user=postgres "
	uri := "postgres://postgres@:" + port + "/?"
	wantAnswer(t, base+"search_path='a, b'", "SHOW search_path", "a, b")
	wantAnswer(t, uri+"search_path="+url.QueryEscape("a,b"), "SHOW search_path", "a,b")
	wantAnswer(t, base+"statement_timeout=1234 my.own=1", "SHOW statement_timeout", "1234ms")
	wantAnswer(t, base+"statement_timeout=1234 my.own=1", "SHOW my.own", "1")
	wantAnswer(t, base+"TimeZone=Europe/Berlin", "SHOW timezone", "Europe/Berlin")
	wantAnswer(t, base+"options='-c search_path=x -c geqo=off'", "SHOW geqo", "off")
	_, err := answerTo(base+"no_such_parameter=1", "SELECT 1")
	if pe, ok := err.(*pq.Error); !ok || pe.Code != "42704" || !strings.Contains(pe.Message, "no_such_parameter") ||
		!strings.HasPrefix(pe.Hint, `psyco sent "no_such_parameter" as a run-time parameter`) {
		t.Errorf("a parameter that the server does not know: %v", err)
	}
	if _, err := answerTo(base+"serch_path=a", "SELECT 1"); err == nil {
		t.Error("a misspelt parameter was accepted")
	}

	// What one session sets does not come back in another.
	db := open(t, base+"search_path=a")
	db.SetMaxIdleConns(0)
	mustExec(t, db, "SET search_path = b")
	if got := all(t, db, "SHOW search_path"); got[0] != "a" {
		t.Errorf("search_path %q", got)
	}
}

// TestNoConnectionForBadDSN: what is refused is refused before anything is
// sent.
func TestNoConnectionForBadDSN(t *testing.T) {
	bareEnvironment(t)
	dialled := false
	for _, dsn := range []string{
		"postgres://u:p@x,y@h/db", "host=a,b port=1,2,3", "port=0", "pasword=secret-word", "sslmode=maybe",
		"replication=true", "gssencmode=require", "channel_binding=perhaps", "client_encoding=LATIN1",
	} {
		c, err := psyco.NewConnector(dsn, psyco.WithDialer(func(context.Context, string, string) (net.Conn, error) {
			dialled = true
			return nil, errors.New("dialled")
		}))
		if err == nil {
			_, err = c.Connect(t.Context())
		}
		if err == nil || !strings.HasPrefix(err.Error(), "psyco: ") || strings.Contains(err.Error(), "secret-word") {
			t.Errorf("%s: %v", dsn, err)
		}
		if dialled {
			t.Fatalf("%s was dialled", dsn)
		}
	}
}
