package psyco

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/psyco-go/psyco/internal/conninfo"
)

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
