package psyco

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/psyco-go/psyco/internal/conninfo"
	"github.com/psyco-go/psyco/internal/conninfo/conninfotest"
)

// surroundings is a source made up for a test.
type surroundings = conninfotest.Surroundings

func mustParse(t *testing.T, dsn string, env map[string]string) *Config {
	t.Helper()
	c, err := parseDSN(dsn, (&surroundings{Env: env}).Source())
	if err != nil {
		t.Fatalf("%q: %v", dsn, err)
	}
	return c
}

// wantError checks that a string is refused with exactly these words.
func wantError(t *testing.T, dsn string, env map[string]string, want string) {
	t.Helper()
	_, err := parseDSN(dsn, (&surroundings{Env: env}).Source())
	if err == nil {
		t.Fatalf("%q: no error, want %q", dsn, want)
	}
	if err.Error() != want {
		t.Errorf("%q:\n got %s\nwant %s", dsn, err, want)
	}
}

func TestDefaults(t *testing.T) {
	got := mustParse(t, "", nil)
	want := &Config{
		Hosts: []Host{
			{Host: "/var/run/postgresql", Port: 5432},
			{Host: "/tmp", Port: 5432},
			{Host: "localhost", Port: 5432},
		},
		User:                   "tester",
		Database:               "tester",
		Passfile:               "/home/tester/.pgpass",
		TargetSessionAttrs:     "any",
		LoadBalanceHosts:       "disable",
		Keepalives:             true,
		SSLMode:                "prefer",
		SSLNegotiation:         "postgres",
		SSLCertMode:            "allow",
		ChannelBinding:         "prefer",
		SSLSNI:                 true,
		SSLMinProtocolVersion:  "TLSv1.2",
		KrbSrvname:             "postgres",
		MinProtocolVersion:     "3.0",
		MaxProtocolVersion:     "3.0",
		ClientEncoding:         "UTF8",
		StatementCacheCapacity: 256,
		PrepareThreshold:       2,
		Binding:                "server",
		Placeholders:           "auto",
		RuntimeParams:          map[string]string{},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got.FormatDSN(), want.FormatDSN())
	}
}

// TestFields sets every option that a field holds to something that is not
// its default.
func TestFields(t *testing.T) {
	got := mustParse(t, `
		host=h1,h2 hostaddr=10.0.0.1,::1 port=1,2 dbname=d user=u password=p passfile=f require_auth=none,gss
		connect_timeout=7 client_encoding=utf-8 options='-c geqo=off'
		application_name=a fallback_application_name=b
		keepalives=0 keepalives_idle=1 keepalives_interval=2 keepalives_count=3 tcp_user_timeout=4
		sslmode=verify-ca sslnegotiation=direct sslcompression=1 sslcert=c sslkey=k sslpassword=sp
		sslcertmode=require sslrootcert=r sslcrl=l sslcrldir=ld sslsni=0 sslinline=yes requirepeer=rp
		ssl_min_protocol_version=tlsv1 ssl_max_protocol_version=TLSv1.3
		min_protocol_version=3.2 max_protocol_version=latest krbsrvname=ks krbspn=kp
		gssencmode=disable channel_binding=disable gsslib=gssapi gssdelegation=0 replication=off
		target_session_attrs=primary load_balance_hosts=random
		binary_parameters=on disable_prepared_binary_result=true datestyle='ISO, MDY' timezone=UTC geqo=off
		statement_cache_capacity=0 prepare_threshold=1 binding=client placeholders=psycopg
		search_path=x a.b=c`, nil)
	want := &Config{
		Hosts:                       []Host{{Host: "h1", Hostaddr: "10.0.0.1", Port: 1}, {Host: "h2", Hostaddr: "::1", Port: 2}},
		User:                        "u",
		Password:                    "p",
		Database:                    "d",
		Passfile:                    "f",
		ConnectTimeout:              7 * time.Second,
		TargetSessionAttrs:          "primary",
		LoadBalanceHosts:            "random",
		KeepalivesIdle:              time.Second,
		KeepalivesInterval:          2 * time.Second,
		KeepalivesCount:             3,
		TCPUserTimeout:              4 * time.Millisecond,
		SSLMode:                     "verify-ca",
		SSLNegotiation:              "direct",
		SSLCert:                     "c",
		SSLKey:                      "k",
		SSLPassword:                 "sp",
		SSLCertMode:                 "require",
		ChannelBinding:              "disable",
		SSLRootCert:                 "r",
		SSLCRL:                      "l",
		SSLCRLDir:                   "ld",
		SSLInline:                   true,
		SSLMinProtocolVersion:       "TLSv1",
		SSLMaxProtocolVersion:       "TLSv1.3",
		RequirePeer:                 "rp",
		RequireAuth:                 "none,gss",
		KrbSrvname:                  "ks",
		KrbSpn:                      "kp",
		MinProtocolVersion:          "3.2",
		MaxProtocolVersion:          "latest",
		ApplicationName:             "a",
		FallbackApplicationName:     "b",
		ClientEncoding:              "UTF8",
		Options:                     "-c geqo=off",
		RuntimeParams:               map[string]string{"timezone": "UTC", "geqo": "off", "search_path": "x", "a.b": "c"},
		BinaryParameters:            true,
		DisablePreparedBinaryResult: true,
		PrepareThreshold:            1,
		Binding:                     "client",
		Placeholders:                "psycopg",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got.FormatDSN(), want.FormatDSN())
	}
}

func TestPrecedence(t *testing.T) {
	service := fstest.MapFS{"sf": {Data: []byte("[s]\nuser=service\n")}}
	env := map[string]string{"PGUSER": "environment", "PGSERVICEFILE": "/sf"}
	for _, tt := range []struct {
		name, dsn string
		env       map[string]string
		want      string
	}{
		{"the string first", "service=s user=string", env, "string"},
		{"then the service", "service=s", env, "service"},
		{"then the environment", "", env, "environment"},
		{"then the default", "", nil, "tester"},
		{"empty hides the service and the environment", "service=s user=''", env, "tester"},
		{"the last of several", "user=a user=b", env, "b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := parseDSN(tt.dsn, (&surroundings{Env: tt.env, Files: service}).Source())
			if err != nil {
				t.Fatal(err)
			}
			if c.User != tt.want {
				t.Errorf("user is %q, want %q", c.User, tt.want)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	get := func(name string) func(*Config) string { return optionByName(name).get }
	for _, tt := range []struct {
		variable, value string
		get             func(*Config) string
		want            string
	}{
		{"PGHOST", "a,b", get("host"), "a,b"},
		{"PGHOST", "", get("host"), "/var/run/postgresql,/tmp,localhost"},
		{"PGHOSTADDR", "::1", get("hostaddr"), "::1"},
		{"PGPORT", "1", get("port"), "1"},
		{"PGDATABASE", "d", get("dbname"), "d"},
		{"PGDATABASE", "host=x", get("dbname"), "host=x"}, // only a string's dbname is expanded
		{"PGUSER", "u", get("user"), "u"},
		{"PGUSER", "u", get("dbname"), "u"},
		{"PGPASSWORD", "p", get("password"), "p"},
		{"PGPASSFILE", "f", get("passfile"), "f"},
		{"PGREQUIREAUTH", "!md5", get("require_auth"), "!md5"},
		{"PGCONNECT_TIMEOUT", "3", get("connect_timeout"), "3"},
		{"PGCLIENTENCODING", "UTF8", get("client_encoding"), "UTF8"},
		{"PGOPTIONS", "-c a=b", get("options"), "-c a=b"},
		{"PGAPPNAME", "a", get("application_name"), "a"},
		{"PGSSLMODE", "allow", get("sslmode"), "allow"},
		{"PGREQUIRESSL", "1", get("sslmode"), "require"},
		{"PGREQUIRESSL", "0", get("sslmode"), "prefer"},
		{"PGSSLCERT", "c", get("sslcert"), "c"},
		{"PGSSLKEY", "k", get("sslkey"), "k"},
		{"PGSSLCERTMODE", "disable", get("sslcertmode"), "disable"},
		{"PGSSLROOTCERT", "r", get("sslrootcert"), "r"},
		{"PGSSLROOTCERT", "system", get("sslmode"), "verify-full"},
		{"PGSSLCRL", "l", get("sslcrl"), "l"},
		{"PGSSLCRLDIR", "l", get("sslcrldir"), "l"},
		{"PGSSLSNI", "0", get("sslsni"), "0"},
		{"PGREQUIREPEER", "r", get("requirepeer"), "r"},
		{"PGSSLMINPROTOCOLVERSION", "TLSv1.3", get("ssl_min_protocol_version"), "TLSv1.3"},
		{"SSLPGMINPROTOCOLVERSION", "TLSv1.0", get("ssl_min_protocol_version"), "TLSv1"},
		{"PGSSLMAXPROTOCOLVERSION", "TLSv1.3", get("ssl_max_protocol_version"), "TLSv1.3"},
		{"SSLPGMAXPROTOCOLVERSION", "TLSv1.2", get("ssl_max_protocol_version"), "TLSv1.2"},
		{"PGMINPROTOCOLVERSION", "3.0", get("min_protocol_version"), "3.0"},
		{"PGMAXPROTOCOLVERSION", "3.2", get("max_protocol_version"), "3.2"},
		{"PGKRBSRVNAME", "k", get("krbsrvname"), "k"},
		{"PGTARGETSESSIONATTRS", "standby", get("target_session_attrs"), "standby"},
		{"PGLOADBALANCEHOSTS", "random", get("load_balance_hosts"), "random"},
		{"PGTZ", "UTC", get("timezone"), "UTC"},
		{"PGTZ", "Default", get("timezone"), "default"},
		{"PGGEQO", "off", get("geqo"), "off"},
		// Without a field: the value is accepted and changes nothing.
		{"PGDATESTYLE", "ISO, MDY", get("user"), "tester"},
		{"PGCHANNELBINDING", "prefer", get("user"), "tester"},
		{"PGGSSENCMODE", "prefer", get("user"), "tester"},
		{"PGGSSLIB", "gssapi", get("user"), "tester"},
		{"PGGSSDELEGATION", "0", get("user"), "tester"},
		{"PGSSLCOMPRESSION", "1", get("user"), "tester"},
		{"PGREALM", "R", get("user"), "tester"},
	} {
		t.Run(tt.variable+"="+tt.value, func(t *testing.T) {
			c := mustParse(t, "", map[string]string{tt.variable: tt.value})
			if got := tt.get(c); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("PGSSLNEGOTIATION", func(t *testing.T) {
		c := mustParse(t, "sslmode=require", map[string]string{"PGSSLNEGOTIATION": "direct"})
		if c.SSLNegotiation != "direct" {
			t.Errorf("got %q", c.SSLNegotiation)
		}
	})
	t.Run("PGSSLMODE goes before PGREQUIRESSL", func(t *testing.T) {
		c := mustParse(t, "", map[string]string{"PGSSLMODE": "disable", "PGREQUIRESSL": "1"})
		if c.SSLMode != "disable" {
			t.Errorf("got %q", c.SSLMode)
		}
	})
	t.Run("the string's parameter in another case goes before PGTZ", func(t *testing.T) {
		c := mustParse(t, "TimeZone=UTC", map[string]string{"PGTZ": "CET"})
		if want := map[string]string{"timezone": "UTC"}; !reflect.DeepEqual(c.RuntimeParams, want) {
			t.Errorf("got %v", c.RuntimeParams)
		}
	})
	t.Run("errors name the variable", func(t *testing.T) {
		wantError(t, "", map[string]string{"PGSSLMODE": ""},
			`invalid sslmode value: "" (expected disable, allow, prefer, require, verify-ca, verify-full) (from environment variable PGSSLMODE)`)
		wantError(t, "", map[string]string{"PGCHANNELBINDING": "perhaps"},
			`invalid channel_binding value: "perhaps" (expected prefer, disable, require) (from environment variable PGCHANNELBINDING)`)
		wantError(t, "", map[string]string{"PGPORT": "x"},
			`invalid integer value "x" for connection option "port" (from environment variable PGPORT)`)
	})
}

func TestApplicationName(t *testing.T) {
	for _, tt := range []struct {
		name, dsn string
		env       string
		want      string
	}{
		{"neither", "", "", ""},
		{"given", "application_name=a fallback_application_name=b", "", "a"},
		{"fallback", "fallback_application_name=b", "", "b"},
		{"environment", "fallback_application_name=b", "e", "e"},
		{"given but empty", "application_name='' fallback_application_name=b", "e", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := map[string]string{}
			if tt.env != "" {
				env["PGAPPNAME"] = tt.env
			}
			c := mustParse(t, tt.dsn, env)
			if err := c.complete((&surroundings{}).Source()); err != nil {
				t.Fatal(err)
			}
			if c.ApplicationName != tt.want {
				t.Errorf("got %q, want %q", c.ApplicationName, tt.want)
			}
		})
	}
}

func TestClone(t *testing.T) {
	c := mustParse(t, "host=a search_path=x", nil)
	d := c.Clone()
	if !reflect.DeepEqual(c, d) {
		t.Fatal("a clone differs")
	}
	d.Hosts[0].Host = "b"
	d.RuntimeParams["search_path"] = "y"
	if c.Hosts[0].Host != "a" || c.RuntimeParams["search_path"] != "x" {
		t.Error("the clone shares its hosts or parameters")
	}
	if (&Config{}).Clone().RuntimeParams != nil {
		t.Error("a clone makes a map of nothing")
	}
}

func TestParseDSNOfThisProcess(t *testing.T) {
	t.Setenv("PGUSER", "somebody")
	t.Setenv("PGSERVICE", "")
	c, err := ParseDSN("host=h dbname=d")
	if err != nil {
		t.Fatal(err)
	}
	if c.User != "somebody" || c.Hosts[0].Host != "h" {
		t.Errorf("got %v", c)
	}
	_, err = ParseDSN("host")
	if err == nil || err.Error() != `psyco: missing "=" after "host" in connection info string` {
		t.Errorf("got %v", err)
	}
}

func TestPassfile(t *testing.T) {
	for _, tt := range []struct {
		name, dsn, file string
		want            string // the passwords for the hosts
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
		{"a password in the string", "host=h password=p", "*:*:*:*:a\n", "p"},
		{"passfile=", "host=h passfile=/other", "*:*:*:*:a\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &surroundings{Files: conninfotest.File("home/tester/.pgpass", tt.file)}
			c, err := parseDSN(tt.dsn, s.Source())
			if err != nil {
				t.Fatal(err)
			}
			if got := passwords(c, s.Source()); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if s.Warn.Len() > 0 {
				t.Errorf("warning: %s", s.Warn.String())
			}
		})
	}
}

func passwords(c *Config, src *conninfo.Source) string {
	var list []string
	for _, h := range c.Hosts {
		list = append(list, c.passwordFor(h, src))
	}
	return strings.Join(list, "|")
}

// TestPassfileOfConfigByHand goes through the real file system.
func TestPassfileOfConfigByHand(t *testing.T) {
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
		if got := passwords(c, conninfo.SystemSource()); got != "from the file|by hand" {
			t.Errorf("got %q", got)
		}
	}
}

func TestErrorNamesServiceFile(t *testing.T) {
	s := &surroundings{Files: conninfotest.File("home/tester/.pg_service.conf", "[s]\nsslmode=x\n")}
	_, err := parseDSN("service=s", s.Source())
	want := `invalid sslmode value: "x" (expected disable, allow, prefer, require, verify-ca, verify-full) (from service file "/home/tester/.pg_service.conf", line 2)`
	if err == nil || err.Error() != want {
		t.Errorf("\n got %v\nwant %s", err, want)
	}
}

// hostile is an environment in which every variable holds something that
// would change the result or spoil it.
func hostile() *surroundings {
	s := &surroundings{Env: map[string]string{"PGREQUIRESSL": "1", "PGSYSCONFDIR": "/nowhere"}, User: "mallory"}
	for _, o := range options {
		for _, name := range o.env {
			s.Env[name] = "hostile"
		}
	}
	return s
}

func TestRoundTrip(t *testing.T) {
	for _, dsn := range []string{
		"",
		"host=a,b port=1,2 hostaddr=10.0.0.1,",
		"hostaddr=10.0.0.1,::1",
		"host=/a@b,@abstract",
		`password='a b\'c\\d' user=' ' options='-c a=b\\ c'`,
		`dbname='dbname=\'a=b\''`,
		"postgres://h/postgres:%2F%2Fx",
		"postgres://h/a%3Db%20%27%5C",
		"application_name=a fallback_application_name=b",
		"application_name='' fallback_application_name=b",
		"fallback_application_name=b",
		"timezone=UTC geqo=off search_path='a, b' my.own='' x.y='=\t'",
		"ssl_min_protocol_version='' sslrootcert=system",
		"sslmode=pqgo-mine sslinline=1 sslkey='-----BEGIN\nEND' sslpassword=x",
		"connect_timeout=3 keepalives=0 keepalives_idle=1 keepalives_count=2 tcp_user_timeout=3",
		"statement_cache_capacity=0 prepare_threshold=5 binding=client placeholders=native binary_parameters=1",
		"min_protocol_version=3.2 max_protocol_version=latest krbspn=x krbsrvname=y requirepeer=z",
		"require_auth=!none target_session_attrs=standby load_balance_hosts=random sslcertmode=disable",
		"passfile=/x/y",
	} {
		c := mustParse(t, dsn, nil)
		text := c.FormatDSN()
		d, err := parseDSN(text, hostile().Source())
		if err != nil {
			t.Errorf("%q became %s: %v", dsn, text, err)
		} else if !reflect.DeepEqual(c, d) {
			t.Errorf("%q:\n got %s\nwant %s", dsn, d.FormatDSN(), text)
		}
	}
}

func TestFormatByHand(t *testing.T) {
	c := &Config{
		Hosts:          []Host{{Host: "h"}},
		User:           "u",
		SSLRootCert:    "system",
		ConnectTimeout: 1500 * time.Millisecond,
		TCPUserTimeout: time.Microsecond,
		RuntimeParams:  map[string]string{"TimeZone": "UTC", "work_mem": "1MB"},
	}
	text := c.FormatDSN()
	for _, want := range []string{
		"host=h", "port=5432", "dbname=''", "sslmode=verify-full", "connect_timeout=2", "tcp_user_timeout=1", "keepalives=0",
		"sslsni=0", "statement_cache_capacity=0", "timezone=UTC", "work_mem=1MB", "datestyle='ISO, MDY'", "service=''",
	} {
		if !strings.Contains(" "+text+" ", " "+want+" ") {
			t.Errorf("%s is not in %s", want, text)
		}
	}
	d := mustParse(t, text, nil)
	if d.Database != "u" || d.Keepalives || d.SSLSNI || d.StatementCacheCapacity != 0 {
		t.Errorf("got %s", d)
	}
}

func TestStringHasNoSecrets(t *testing.T) {
	c := mustParse(t, "host=h user=u password=s3cret1 sslpassword=s3cret2 sslkey=s3cret3 sslinline=1 search_path=x", nil)
	c.Hosts[0].Password = "s3cret4"
	want := `host=h dbname=u user=u password=*** passfile=/home/tester/.pgpass sslkey=*** sslpassword=*** sslinline=1 search_path=x`
	if got := c.String(); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	for _, text := range []string{
		fmt.Sprint(c), fmt.Sprint(*c), fmt.Sprintf("%+v", c), fmt.Sprintf("%v", *c), fmt.Sprintf("%#v", c), fmt.Sprintf("%#v", *c),
		fmt.Sprint(c.Hosts), fmt.Sprintf("%+v", c.Hosts), fmt.Sprintf("%#v", c.Hosts), fmt.Sprintf("%q", c),
	} {
		if strings.Contains(text, "s3cret") {
			t.Errorf("a secret in %s", text)
		}
	}
	if got := mustParse(t, "host=h user=u sslkey=/a/file", nil).String(); !strings.Contains(got, "sslkey=/a/file") {
		t.Errorf("the name of a file is hidden: %s", got)
	}
}

func TestNormalizeByHand(t *testing.T) {
	src := func() *conninfo.Source {
		return (&surroundings{Env: map[string]string{"PGUSER": "no", "PGSSLMODE": "no"}}).Source()
	}
	c := &Config{RuntimeParams: map[string]string{"TimeZone": "UTC", "GEQO": "default", "DateStyle": "ISO, MDY", "a.b": "c"}}
	if err := c.complete(src()); err != nil {
		t.Fatal(err)
	}
	want := mustParse(t, "keepalives=0 sslsni=0 statement_cache_capacity=0 timezone=UTC a.b=c", nil)
	if !reflect.DeepEqual(c, want) {
		t.Errorf("\n got %s\nwant %s", c.FormatDSN(), want.FormatDSN())
	}
	once := c.Clone()
	if err := c.complete(src()); err != nil || !reflect.DeepEqual(c, once) {
		t.Errorf("the second time: %v\n got %s\nwant %s", err, c.FormatDSN(), once.FormatDSN())
	}
	n := NewConfig()
	if err := n.complete(src()); err != nil || !reflect.DeepEqual(n, mustParse(t, "", nil)) {
		t.Errorf("NewConfig: %v, %s", err, n.FormatDSN())
	}

	for want, bad := range map[string]*Config{
		`invalid host "a,b": write one host for each entry`:                                              {Hosts: []Host{{Host: "a,b"}}},
		`could not parse network address "x"`:                                                            {Hosts: []Host{{Hostaddr: "x"}}},
		`invalid sslmode value: "no" (expected disable, allow, prefer, require, verify-ca, verify-full)`: {SSLMode: "no"},
		`invalid binding value: "no" (expected server, client)`:                                          {Binding: "no"},
		`unsupported client_encoding "LATIN1": must be absent or "UTF8"`:                                 {ClientEncoding: "LATIN1"},
		`invalid connect_timeout value: -1s (expected 0 to 596523h14m7s)`:                                {ConnectTimeout: -time.Second},
		`invalid keepalives_count value: -1 (expected 0 or more)`:                                        {KeepalivesCount: -1},
		`invalid prepare_threshold value: -1 (expected 1 or more)`:                                       {PrepareThreshold: -1},
		`connection option "user" contains a NUL byte`:                                                   {User: "a\x00", Database: "d"},
		`run-time parameter "a" contains a NUL byte`:                                                     {RuntimeParams: map[string]string{"a": "\x00"}},
		`RuntimeParams holds a name that no parameter of the server can have`:                            {RuntimeParams: map[string]string{"a b": ""}},
		`"host" is a connection option and no run-time parameter: set the field of Config`:               {RuntimeParams: map[string]string{"host": "a"}},
		`unsupported datestyle "German": must be absent or "ISO, MDY"`:                                   {RuntimeParams: map[string]string{"datestyle": "German"}},
	} {
		if err := bad.complete(src()); err == nil || err.Error() != want {
			t.Errorf("\n got %v\nwant %s", err, want)
		}
	}

	nobody := src()
	nobody.User = func() (string, error) { return "", fmt.Errorf("no such user") }
	if err := (&Config{}).complete(nobody); err == nil {
		t.Error("no error for an unknown user")
	}
	if err := (&Config{User: "u"}).complete(nobody); err != nil {
		t.Errorf("a user is given: %v", err)
	}
}

// FuzzParseDSN: no panic, and every string that is accepted survives
// FormatDSN, in any environment.
func FuzzParseDSN(f *testing.F) {
	for _, o := range options {
		f.Add(o.name + "=1")
		f.Add("postgres://h/?" + o.name + "=on")
	}
	g := newDSNGenerator(3)
	for range 100 {
		f.Add(g.conninfo())
		f.Add(g.uri())
		f.Add(g.localDSN())
	}
	f.Fuzz(func(t *testing.T, dsn string) {
		c, err := parseDSN(dsn, (&surroundings{}).Source())
		if err != nil {
			return
		}
		if len(c.Hosts) == 0 || c.User == "" || c.Database == "" {
			t.Fatalf("%q: incomplete: %s", dsn, c)
		}
		text := c.FormatDSN()
		d, err := parseDSN(text, hostile().Source())
		if err != nil {
			t.Fatalf("%q became %s: %v", dsn, text, err)
		}
		if !reflect.DeepEqual(c, d) {
			t.Errorf("%q:\n got %s\nwant %s", dsn, d.FormatDSN(), text)
		}
	})
}

// FuzzSecrets: no error text holds a password, whatever stands around it.
func FuzzSecrets(f *testing.F) {
	const secret = "s3cretPassw0rd"
	forms := []string{
		"%s password=%s %s",
		"%s password='%s' %s",
		"%s sslpassword = '%s'%s",
		"host=h%s password=%s%s",
		"postgres://%s:%s@%s",
		"postgres://u%s:%s@%s/db",
		"postgres://h/?%s&password=%s&%s",
		"postgres://u:x/%s%s@%s",
	}
	for form := range forms {
		for _, around := range []string{"", "port=", "sslmode=", `sslmode=x\`, "'", "=", "/", "?", "@", "%", "%zz", "[", "[x]y", "a/?port=", "host='", "dbname='", `dbname=\`, "dbname=a=b", "&", "hots=x", "service=", "#", ",", ":"} {
			f.Add(form, around, "")
			f.Add(form, "", around)
			f.Add(form, around, around)
		}
	}
	f.Fuzz(func(t *testing.T, form int, before, after string) {
		if strings.Contains(before+after, secret) {
			t.Skip()
		}
		dsn := fmt.Sprintf(forms[((form%len(forms))+len(forms))%len(forms)], before, secret, after)
		c, err := parseDSN(dsn, (&surroundings{}).Source())
		if err != nil {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%q: the error shows the password: %v", dsn, err)
			}
			return
		}
		// Where it was read as the password and as nothing else, String hides it.
		if c.Password == secret || c.SSLPassword == secret {
			e := c.Clone()
			e.Password, e.SSLPassword = "", ""
			if !strings.Contains(e.FormatDSN(), secret) && strings.Contains(c.String(), secret) {
				t.Errorf("%q: String shows the password: %s", dsn, c)
			}
		}
	})
}

// TestGeneratedRoundTrips does for the recorded corpus what the fuzz target
// does for its inputs.
func TestGeneratedRoundTrips(t *testing.T) {
	accepted := 0
	for _, a := range readCorpus(t, parseCorpus) {
		c, err := parseDSN(a.dsn, (&surroundings{}).Source())
		if err != nil {
			continue
		}
		accepted++
		d, err := parseDSN(c.FormatDSN(), hostile().Source())
		if err != nil || !reflect.DeepEqual(c, d) {
			t.Errorf("%q became %s: %v", a.dsn, c.FormatDSN(), err)
		}
	}
	if accepted < 500 {
		t.Errorf("only %d strings were accepted", accepted)
	}
}

func TestOptionNames(t *testing.T) {
	if len(optionsByName) != len(options) {
		t.Errorf("%d names for %d options", len(optionsByName), len(options))
	}
}

func TestHosts(t *testing.T) {
	three := func(port uint16) []Host {
		return []Host{{Host: "/var/run/postgresql", Port: port}, {Host: "/tmp", Port: port}, {Host: "localhost", Port: port}}
	}
	for _, tt := range []struct {
		name, dsn string
		want      []Host
	}{
		{"none", "", three(5432)},
		{"only a port", "port=1", three(1)},
		{"empty", "host='' hostaddr='' port=''", three(5432)},
		{"one", "host=a", []Host{{Host: "a", Port: 5432}}},
		{"one port for all", "host=a,b port=7", []Host{{Host: "a", Port: 7}, {Host: "b", Port: 7}}},
		{"a port for each", "host=a,b port=7,8", []Host{{Host: "a", Port: 7}, {Host: "b", Port: 8}}},
		{"an empty port in a list", "host=a,b port=7,", []Host{{Host: "a", Port: 7}, {Host: "b", Port: 5432}}},
		{"a URI's ports", "postgres://a:1,b,c:3/", []Host{{Host: "a", Port: 1}, {Host: "b", Port: 5432}, {Host: "c", Port: 3}}},
		{"an empty host in a list", "host=a,, port=1,2,3", append(append([]Host{{Host: "a", Port: 1}}, three(2)...), three(3)...)},
		{"only addresses", "hostaddr=10.0.0.1,::1", []Host{{Hostaddr: "10.0.0.1", Port: 5432}, {Hostaddr: "::1", Port: 5432}}},
		{"names and addresses", "host=a,b hostaddr=10.0.0.1,", []Host{{Host: "a", Hostaddr: "10.0.0.1", Port: 5432}, {Host: "b", Port: 5432}}},
		{"an address with a zone", "hostaddr=fe80::1%eth0", []Host{{Hostaddr: "fe80::1%eth0", Port: 5432}}},
		{"sockets", "host=/a@b,@abstract port=1", []Host{{Host: "/a@b", Port: 1}, {Host: "@abstract", Port: 1}}},
		{"spaces around a port", "host=a port=' 7 '", []Host{{Host: "a", Port: 7}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := mustParse(t, tt.dsn, nil).Hosts; !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestHostErrors(t *testing.T) {
	for _, tt := range []struct{ dsn, want string }{
		{"postgres://u:sec@r,et@h/db", `host names hold no "@": in a URI, percent-encode the "@" of a user name or password as %40`},
		{"host=a,b port=1,2,3", "could not match 3 port numbers to 2 hosts"},
		{"host=a,b,c port=1,2", "could not match 2 port numbers to 3 hosts"},
		{"port=1,2", "could not match 2 port numbers to 1 hosts"},
		{"host=a,b hostaddr=10.0.0.1", "could not match 2 host names to 1 hostaddr values"},
		{"port=x", `invalid integer value "x" for connection option "port"`},
		{"port=1.5", `invalid integer value "1.5" for connection option "port"`},
		{"port=99999999999", `invalid integer value "99999999999" for connection option "port"`},
		{"port=0", `invalid port number: "0"`},
		{"port=65536", `invalid port number: "65536"`},
		{"port=-1", `invalid port number: "-1"`},
		{"hostaddr=localhost", `could not parse network address "localhost"`},
		{"host=a,localhost:5433", `"localhost:5433" is not a host: the port goes into port=, as in host=localhost port=5433`},
		{"hostaddr=10.0.0", `could not parse network address "10.0.0"`},
	} {
		wantError(t, tt.dsn, nil, tt.want)
	}
}

func TestHostString(t *testing.T) {
	for want, h := range map[string]Host{
		"a:1":         {Host: "a", Hostaddr: "10.0.0.1", Port: 1, Password: "secret"},
		"[::1]:2":     {Hostaddr: "::1", Port: 2, Password: "secret"},
		"/tmp:5432":   {Host: "/tmp", Port: 5432},
		"[fe80::1]:3": {Host: "fe80::1", Port: 3},
	} {
		if got := h.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := h.GoString(); got != "psyco.Host{"+want+"}" {
			t.Errorf("got %s", got)
		}
	}
}

// A program may add a run-time parameter to any Config that psyco has made, or gives to its functions.
func TestConfigTakesRuntimeParams(t *testing.T) {
	parsed, err := ParseDSN("host=a")
	if err != nil {
		t.Fatal(err)
	}
	byHand, err := NewConnectorConfig(&Config{Hosts: []Host{{Host: "a"}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]*Config{"ParseDSN": parsed, "its clone": parsed.Clone(), "NewConfig": NewConfig(), "Connector.Config": byHand.Config()} {
		if c.RuntimeParams == nil {
			t.Errorf("%s: RuntimeParams is nil, and an assignment panics", name)
		}
	}
}
