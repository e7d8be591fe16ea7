package psyco

import (
	"os"
	"strings"
	"testing"
)

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
			if err := checkKey(name); err != nil {
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
		"default_query_exec_mode":  "",
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
		"statement_cache_mode":     "",
		"prepare_threshhold":       "prepare_threshold",
		"pool_max_conns":           "",
		"ssl":                      "",
		"role":                     "",
		"min_protocoll_version":    "min_protocol_version",
		"ssl_min_protocoll_versio": "ssl_min_protocol_version",
	} {
		err := checkKey(key)
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

func TestInvalidNames(t *testing.T) {
	for _, key := range []string{"", "a b", "a-b", "a=b", "'a'", "a/b", "a\\b"} {
		if err := checkKey(key); err == nil || strings.Contains(err.Error(), "did you mean") {
			t.Errorf("%q: %v", key, err)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"host", "host", 0}, {"hots", "host", 1}, {"hst", "host", 1},
		{"hosst", "host", 1}, {"most", "host", 1}, {"abcd", "badc", 2}, {"kitten", "sitting", 3},
	} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := distance(tt.b, tt.a); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.b, tt.a, got, tt.want)
		}
	}
}
