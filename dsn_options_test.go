package psyco

import (
	"os"
	"strings"
	"testing"
)

func TestOptionErrors(t *testing.T) {
	for _, tt := range []struct{ dsn, want string }{
		{"sslmode=sometimes", `invalid sslmode value: "sometimes" (expected disable, allow, prefer, require, verify-ca, verify-full)`},
		{"sslmode=pqgo-", `invalid sslmode value: "pqgo-" (expected disable, allow, prefer, require, verify-ca, verify-full)`},
		{"sslnegotiation=x", `invalid sslnegotiation value: "x" (expected postgres, direct)`},
		{"sslnegotiation=direct", `weak sslmode "prefer" may not be used with sslnegotiation=direct (use "require", "verify-ca", or "verify-full")`},
		{"sslnegotiation=direct sslmode=allow", `weak sslmode "allow" may not be used with sslnegotiation=direct (use "require", "verify-ca", or "verify-full")`},
		{"sslrootcert=system sslmode=verify-ca", `weak sslmode "verify-ca" may not be used with sslrootcert=system (use "verify-full")`},
		{"sslcertmode=x", `invalid sslcertmode value: "x" (expected allow, disable, require)`},
		{"sslsni=2", `invalid sslsni value: "2" (expected 1 or 0)`},
		{"ssl_min_protocol_version=SSLv3", `invalid ssl_min_protocol_version value: "SSLv3" (expected TLSv1, TLSv1.1, TLSv1.2, TLSv1.3)`},
		{"ssl_max_protocol_version=TLSv1.1", `invalid SSL protocol version range: ssl_min_protocol_version is newer than ssl_max_protocol_version`},
		{"min_protocol_version=2.0", `invalid min_protocol_version value: "2.0" (expected 3.0, 3.2, latest)`},
		{"min_protocol_version=3.2", `min_protocol_version "3.2" is greater than max_protocol_version "3.0"`},
		{"target_session_attrs=master", `invalid target_session_attrs value: "master" (expected any, read-write, read-only, primary, standby, prefer-standby)`},
		{"load_balance_hosts=yes", `invalid load_balance_hosts value: "yes" (expected disable, random)`},
		{"connect_timeout=1s", `invalid integer value "1s" for connection option "connect_timeout"`},
		{"connect_timeout=''", `invalid integer value "" for connection option "connect_timeout"`},
		{"connect_timeout=2147483648", `invalid integer value "2147483648" for connection option "connect_timeout"`},
		{"keepalives=on", `invalid integer value "on" for connection option "keepalives"`},
		{"client_encoding=latin1", `unsupported client_encoding "latin1": must be absent or "UTF8"`},
		{"datestyle=German", `unsupported datestyle "German": must be absent or "ISO, MDY"`},
		{"gssencmode=require", `gssencmode=require is not supported: psyco cannot encrypt with GSSAPI; use sslmode=require or a stronger mode`},
		{"gssencmode=x", `invalid gssencmode value: "x" (expected disable, prefer, require)`},
		{"channel_binding=''", `invalid channel_binding value: "" (expected prefer, disable, require)`},
		{"gssdelegation=1", `gssdelegation=1 is not supported: lib/pq's Kerberos support cannot delegate credentials`},
		{"require_auth=scram", `invalid require_auth value: "scram" (expected password, md5, gss, sspi, scram-sha-256, oauth, none)`},
		{"require_auth=md5,", `invalid require_auth value: "" (expected password, md5, gss, sspi, scram-sha-256, oauth, none)`},
		{"require_auth=!", `invalid require_auth value: "" (expected password, md5, gss, sspi, scram-sha-256, oauth, none)`},
		{"require_auth=md5,!none", `negative require_auth method "!none" cannot be mixed with non-negative methods`},
		{"require_auth=!md5,none", `require_auth method "none" cannot be mixed with negative methods`},
		{"require_auth=md5,none,md5", `require_auth method "md5" is specified more than once`},
		{"require_auth=!md5,!md5", `require_auth method "!md5" is specified more than once`},
		{"replication=database", `replication is not supported: use a client that speaks the replication protocol`},
		{"scram_client_key=secret", `invalid scram_client_key value: "***" (expected 32 bytes in base64)`},
		{"scram_server_key=c2VjcmV0", `invalid scram_server_key value: "***" (expected 32 bytes in base64)`},
		{"binary_parameters=maybe", `invalid binary_parameters value: "maybe" (expected 1 or 0)`},
		{"statement_cache_capacity=-1", `invalid statement_cache_capacity value: -1 (expected 0 or more)`},
		{"prepare_threshold=0", `invalid prepare_threshold value: 0 (expected 1 or more)`},
		{"binding=both", `invalid binding value: "both" (expected server, client)`},
		{"placeholders=qmark", `invalid placeholders value: "qmark" (expected auto, native, psycopg)`},
		// A value that may have swallowed its neighbours is not repeated.
		{`sslmode=x\ password=secret`, `invalid sslmode value: "***" (expected disable, allow, prefer, require, verify-ca, verify-full)`},
	} {
		wantError(t, tt.dsn, nil, tt.want)
	}
}

func TestOptionsAccepted(t *testing.T) {
	for _, dsn := range []string{
		"sslmode=pqgo-mine", "sslmode=pqgo-mine sslnegotiation=direct", "sslmode=require sslnegotiation=direct",
		"client_encoding=auto", "client_encoding=''", "client_encoding=Unicode", "client_encoding=utf_8",
		"connect_timeout=-1", "connect_timeout=1", "keepalives=0", "keepalives_idle=-5",
		"replication=''", "replication=false", "sslcompression=anything", "gsslib=sspi", "require_auth=''", "require_auth=scram-sha-256,none", "require_auth=oauth,none", "require_auth=!password,!md5",
		"sslsni=true", "sslinline=no", "ssl_max_protocol_version=''", "scram_client_key=''", "oauth_issuer=https://i oauth_client_id=c oauth_client_secret=s oauth_scope='a b'",
		"max_protocol_version=latest min_protocol_version=3.2", "datestyle=default",
	} {
		mustParse(t, dsn, nil)
	}
}

func TestOptionValues(t *testing.T) {
	for _, tt := range []struct{ dsn, option, want string }{
		{"connect_timeout=-1", "connect_timeout", "0"},
		{"connect_timeout=1", "connect_timeout", "1"}, // libpq 17 has no minimum
		{"keepalives=2", "keepalives", "1"},
		{"keepalives_count=-1", "keepalives_count", "0"},
		{"ssl_min_protocol_version=''", "ssl_min_protocol_version", "TLSv1"},
		{"ssl_min_protocol_version=TLSV1.0", "ssl_min_protocol_version", "TLSv1"},
		{"sslrootcert=system", "sslmode", "verify-full"},
		{"sslrootcert=system sslinline=1 sslmode=require", "sslmode", "require"},
		{"client_encoding=auto", "client_encoding", "UTF8"},
		{"timezone=default", "timezone", "default"},
	} {
		if got := optionByName(tt.option).get(mustParse(t, tt.dsn, nil)); got != tt.want {
			t.Errorf("%s: %s is %q, want %q", tt.dsn, tt.option, got, tt.want)
		}
	}
}

// TestOptionsAreDocumented: every keyword and variable has its line in the
// table of docs/dsn.md.
func TestOptionsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("docs/dsn.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range options {
		if !strings.Contains(string(doc), "\n| `"+o.name+"`") {
			t.Errorf("docs/dsn.md has no line for %s", o.name)
		}
		for _, env := range o.env {
			if !strings.Contains(string(doc), "`"+env+"`") {
				t.Errorf("docs/dsn.md does not mention %s", env)
			}
		}
	}
}

// checkKeyword reports what the grammar has against a keyword.
func checkKeyword(key string) error {
	_, err := grammar.Parse(key+"=1", (&surroundings{}).Source())
	return err
}

func TestServerParametersAreNotRefused(t *testing.T) {
	data, err := os.ReadFile("testdata/dsn/server_parameters.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for name := range strings.Lines(string(data)) {
		name = strings.TrimSpace(name)
		if strings.HasPrefix(name, "#") {
			continue
		}
		n++
		for _, name := range []string{name, strings.ToLower(name), "my_extension." + name} {
			if optionByName(strings.ToLower(name)) != nil {
				continue
			}
			if err := checkKeyword(name); err != nil && strings.ToLower(name) != "ssl" { // which no client can set
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if n < 400 {
		t.Errorf("only %d names", n)
	}
}

func TestSuggestions(t *testing.T) {
	for key, want := range map[string]string{
		"hots":                     "host",
		"hst":                      "host",
		"Host":                     "host",
		"HOST":                     "host",
		"prot":                     "port",
		"pasword":                  "password",
		"passwrod":                 "password",
		"username":                 "user",
		"db":                       "dbname",
		"databse":                  "dbname",
		"connecttimeout":           "connect_timeout",
		"connection_timeout":       "connect_timeout",
		"connectTimeout":           "connect_timeout",
		"applicationName":          "application_name",
		"application-name":         "application_name",
		"aplication_name":          "application_name",
		"ssl_mode":                 "sslmode",
		"sslMode":                  "sslmode",
		"sslmod":                   "sslmode",
		"sslrootcerts":             "sslrootcert",
		"target_session_attr":      "target_session_attrs",
		"keepalive":                "keepalives",
		"binary_parameter":         "binary_parameters",
		"statement_cache_capcity":  "statement_cache_capacity",
		"search_path":              "",
		"statement_timeout":        "",
		"lock_timeout":             "",
		"my.host":                  "",
		"hots.x":                   "",
		"work_mem":                 "",
		"something_quite_else":     "",
		"tcp_keepalives_idle":      "",
		"tcp_keepalives_interval":  "",
		"tcp_keepalives_count":     "",
		"prepare_threshhold":       "prepare_threshold",
		"role":                     "",
		"min_protocoll_version":    "min_protocol_version",
		"ssl_min_protocoll_versio": "ssl_min_protocol_version",
	} {
		err := checkKeyword(key)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", key, err)
		case want != "" && err == nil:
			t.Errorf("%s: no error, want a hint at %s", key, want)
		case want != "" && !strings.HasSuffix(err.Error(), "did you mean \""+want+"\"?"):
			t.Errorf("%s: %v, want a hint at %s", key, err, want)
		}
	}
}
