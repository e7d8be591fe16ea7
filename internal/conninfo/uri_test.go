package conninfo_test

import (
	"reflect"
	"testing"
)

// TestParseURI holds the cases of libpq's own test of URIs (001_uri.pl) and
// more. They are facts: what libpq reads out of a string.
func TestParseURI(t *testing.T) {
	type kv = map[string]string
	for uri, want := range map[string]kv{
		// libpq's
		"postgresql://uri-user:secret@host:12345/db":                 {"user": "uri-user", "password": "secret", "dbname": "db", "host": "host", "port": "12345"},
		"postgresql://uri-user@host:12345/db":                        {"user": "uri-user", "dbname": "db", "host": "host", "port": "12345"},
		"postgresql://uri-user@host/db":                              {"user": "uri-user", "dbname": "db", "host": "host"},
		"postgresql://host:12345/db":                                 {"dbname": "db", "host": "host", "port": "12345"},
		"postgresql://host/db":                                       {"dbname": "db", "host": "host"},
		"postgresql://uri-user@host:12345/":                          {"user": "uri-user", "host": "host", "port": "12345"},
		"postgresql://uri-user@host/":                                {"user": "uri-user", "host": "host"},
		"postgresql://uri-user@":                                     {"user": "uri-user"},
		"postgresql://host:12345/":                                   {"host": "host", "port": "12345"},
		"postgresql://host:12345":                                    {"host": "host", "port": "12345"},
		"postgresql://host/":                                         {"host": "host"},
		"postgresql://host":                                          {"host": "host"},
		"postgresql://":                                              {},
		"postgresql://?hostaddr=127.0.0.1":                           {"hostaddr": "127.0.0.1"},
		"postgresql://example.com?hostaddr=63.1.2.4":                 {"host": "example.com", "hostaddr": "63.1.2.4"},
		"postgresql://%68ost/":                                       {"host": "host"},
		"postgresql://host/db?user=uri-user":                         {"user": "uri-user", "dbname": "db", "host": "host"},
		"postgresql://host/db?user=uri-user&port=12345":              {"user": "uri-user", "dbname": "db", "host": "host", "port": "12345"},
		"postgresql://host/db?u%73er=someotheruser&port=12345":       {"user": "someotheruser", "dbname": "db", "host": "host", "port": "12345"},
		"postgresql://host:12345?user=uri-user":                      {"user": "uri-user", "host": "host", "port": "12345"},
		"postgresql://host?user=uri-user":                            {"user": "uri-user", "host": "host"},
		"postgresql://host?":                                         {"host": "host"},
		"postgresql://[::1]:12345/db":                                {"dbname": "db", "host": "::1", "port": "12345"},
		"postgresql://[::1]/db":                                      {"dbname": "db", "host": "::1"},
		"postgresql://[2001:db8::1234]/":                             {"host": "2001:db8::1234"},
		"postgresql://[200z:db8::1234]/":                             {"host": "200z:db8::1234"},
		"postgresql://[::1]":                                         {"host": "::1"},
		"postgres://":                                                {},
		"postgres:///":                                               {},
		"postgres:///db":                                             {"dbname": "db"},
		"postgres://uri-user@/db":                                    {"user": "uri-user", "dbname": "db"},
		"postgres://?host=/path/to/socket/dir":                       {"host": "/path/to/socket/dir"},
		"postgres://@host":                                           {"host": "host"},
		"postgres://host:/":                                          {"host": "host"},
		"postgres://:12345/":                                         {"port": "12345"},
		"postgres://otheruser@?host=/no/such/directory":              {"user": "otheruser", "host": "/no/such/directory"},
		"postgres://otheruser@/?host=/no/such/directory":             {"user": "otheruser", "host": "/no/such/directory"},
		"postgres://otheruser@:12345?host=/no/such/socket/path":      {"user": "otheruser", "host": "/no/such/socket/path", "port": "12345"},
		"postgres://otheruser@:12345/db?host=/path/to/socket":        {"user": "otheruser", "dbname": "db", "host": "/path/to/socket", "port": "12345"},
		"postgres://:12345/db?host=/path/to/socket":                  {"dbname": "db", "host": "/path/to/socket", "port": "12345"},
		"postgres://:12345?host=/path/to/socket":                     {"host": "/path/to/socket", "port": "12345"},
		"postgres://%2Fvar%2Flib%2Fpostgresql/dbname":                {"dbname": "dbname", "host": "/var/lib/postgresql"},
		"postgresql://host?sslmode=disable":                          {"host": "host", "sslmode": "disable"},
		"postgresql://h1:1,h2,[::1]:3,:4,/db":                        {"host": "h1,h2,::1,,", "port": "1,,3,4,", "dbname": "db"},
		"postgres://h?ssl=true":                                      {"host": "h", "sslmode": "require"},
		"postgres://h/db\n":                                          {"host": "h", "dbname": "db"},
		"postgres://h/db?user=u\r\n":                                 {"host": "h", "dbname": "db", "user": "u"},
		"postgres://me@server:p@ss@h/db":                             {"user": "me@server", "password": "p@ss", "host": "h", "dbname": "db"},
		"postgres://u:p:a@s@h1:1,h2:2?dbname=a@b":                    {"user": "u", "password": "p:a@s", "host": "h1,h2", "port": "1,2", "dbname": "a@b"},
		"postgres://u:p@@abstract/db":                                {"user": "u", "password": "p", "host": "@abstract", "dbname": "db"},
		"postgres://?user=a@b":                                       {"user": "?user=a", "host": "b"},
		"postgres://h?requiressl=1":                                  {"host": "h", "sslmode": "require"},
		"postgres://h?host=other&host=last":                          {"host": "last"},
		"postgres://h/db#part":                                       {"host": "h", "dbname": "db#part"},
		"postgres://h/a/b":                                           {"host": "h", "dbname": "a/b"},
		"postgres://user:pass:word@h":                                {"user": "user", "password": "pass:word", "host": "h"},
		"postgres://user:pass?word@h":                                {"user": "user", "password": "pass?word", "host": "h"},
		"postgres://user%3A:p%40ss%2F@h":                             {"user": "user:", "password": "p@ss/", "host": "h"},
		"postgres://h?search_path=a%2Cb&application_name=x+y":        {"host": "h", "search_path": "a,b", "application_name": "x+y"},
		"postgres://h?options=-c%20geqo%3Doff":                       {"host": "h", "options": "-c geqo=off"},
		"postgres://h?user=":                                         {"host": "h", "user": ""},
		"postgres://%2Ftmp,localhost:5433/db?target_session_attrs=a": {"host": "/tmp,localhost", "port": ",5433", "dbname": "db", "target_session_attrs": "a"},
	} {
		set, err := parse(uri)
		if err != nil {
			t.Errorf("%s: %v", uri, err)
			continue
		}
		if got := texts(set); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", uri, got, want)
		}
	}
}

func TestURIErrors(t *testing.T) {
	for _, tt := range []struct{ uri, want string }{
		// libpq's
		{"postgresql://host?uzer=", `invalid connection option "uzer": did you mean "user"?`},
		{"postgresql://host/db?u%7aer=someotheruser&port=12345", `invalid connection option "uzer": did you mean "user"?`},
		{"postgre://", `invalid URI: it begins with "postgre://": write "postgres://"`},
		{"postgres://[::1", `end of string reached when looking for matching "]" in IPv6 host address in URI`},
		{"postgres://[]", `IPv6 host address may not be empty in URI`},
		{"postgres://[::1]z", `unexpected character "z" at position 17 in URI (expected ":" or "/")`},
		{"postgresql://host?zzz", `missing key/value separator "=" in URI query parameter: "zzz"`},
		{"postgresql://host?value1&value2", `missing key/value separator "=" in URI query parameter: "value1"`},
		{"postgresql://host?key=key=value", `extra key/value separator "=" in URI query parameter: "key" (write %3D for a "=" in the value)`},
		{"postgres://host?dbname=%XXfoo", `invalid percent-encoded token: "%XXfoo" (write %25 for a "%")`},
		{"postgresql://a%00b", `forbidden value %00 in percent-encoded value: "a%00b" (write %25 for a "%")`},
		{"postgresql://%zz", `invalid percent-encoded token: "%zz" (write %25 for a "%")`},
		{"postgresql://%1", `invalid percent-encoded token: "%1" (write %25 for a "%")`},
		{"postgresql://%", `invalid percent-encoded token: "%" (write %25 for a "%")`},
		// What could be a piece of a password is not repeated.
		{"postgres://h?a=1;b=2", `separate the options of a URI with "&", not with ";": after "a"`},
		{"postgres://u:secret@h1,u:secret@h2/db", `invalid port number in URI: percent-encode the "/" of a password as %2F and the "@" as %40`},
		{"postgres://u:sec%ret@h", `invalid percent-encoded token: "***" (write %25 for a "%")`},
		{"postgres://u:sec/ret@h/db", `invalid port number in URI: percent-encode the "/" of a password as %2F and the "@" as %40`},
		{"postgres://u:12/ret%@h/db", `invalid percent-encoded token: "***" (write %25 for a "%")`},
		{"postgres://u:s@cr/et@h/db", `the database's name in the URI has an "@": percent-encode it as %40, and if it belongs to the password, the "/" too, as %2F`},
		{"postgres://h?password=sec&ret", `missing key/value separator "=" in URI query parameter: "***"`},
		{"postgres://h?password=sec&ret=x=y", `extra key/value separator "=" in URI query parameter: "***" (write %3D for a "=" in the value)`},
		{"postgres://h?password=sec%re", `invalid percent-encoded token: "***" (write %25 for a "%")`},
		{"postgres://h?password=sec=ret", `extra key/value separator "=" in URI query parameter: "password" (write %3D for a "=" in the value)`},
	} {
		wantError(t, tt.uri, tt.want)
	}
}
