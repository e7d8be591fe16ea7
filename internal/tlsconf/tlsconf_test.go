package tlsconf

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"
)

func TestMatchCommonName(t *testing.T) {
	for _, tt := range []struct {
		pattern, host string
		want          bool
	}{
		{"db.example.test", "db.example.test", true},
		{"DB.example.TEST", "db.Example.test", true},
		{"*.example.test", "db.example.test", true},
		{"*.example.test", "a.db.example.test", false},
		{"*.example.test", ".example.test", false},
		{"*.example.test", "example.test", false},
		{"*", "db", false},
		{"*.", "db.", false},
		{"*b.example.test", "db.example.test", false},
		{"d*.example.test", "db.example.test", false},
		{"", "", false},
	} {
		if got := matchCommonName(tt.pattern, tt.host); got != tt.want {
			t.Errorf("%q for %q: %v", tt.pattern, tt.host, got)
		}
	}
}

// TestWhatStaysOfOnesOwn: a configuration of the program's is filled in, and not changed.
func TestWhatStaysOfOnesOwn(t *testing.T) {
	own := func() *tls.Config { return &tls.Config{MinVersion: tls.VersionTLS13} }
	for _, tt := range []struct {
		name     string
		settings Settings
		sni      string
		min, max uint16
	}{
		{"own", Settings{SNI: true, MinVersion: "TLSv1.2", MaxVersion: "TLSv1.2"}, "db", tls.VersionTLS13, 0},
		{"own, by address", Settings{}, "192.0.2.1", tls.VersionTLS13, 0},
		{"registered", Settings{SNI: true, MinVersion: "TLSv1.2"}, "db", tls.VersionTLS13, 0},
		{"registered, without SNI", Settings{MinVersion: "TLSv1"}, "", tls.VersionTLS13, 0},
		{"registered, newest version", Settings{SNI: true, MaxVersion: "TLSv1.3"}, "db", tls.VersionTLS13, tls.VersionTLS13},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("HOME", t.TempDir())
			t.Setenv("APPDATA", t.TempDir())
			theirs, host := own(), "db"
			switch {
			case tt.name == "own, by address":
				tt.settings.Own, host = theirs, ""
			case tt.name == "own":
				tt.settings.Own = theirs
			default:
				tt.settings.Registered = func() (*tls.Config, error) { return theirs, nil }
			}
			conf, err := tt.settings.Config(host, "192.0.2.1")
			if err != nil {
				t.Fatal(err)
			}
			if conf.ServerName != tt.sni || conf.MinVersion != tt.min || conf.MaxVersion != tt.max || !slices.Equal(conf.NextProtos, []string{ALPN}) {
				t.Errorf("name %q, versions %x to %x, protocols %q", conf.ServerName, conf.MinVersion, conf.MaxVersion, conf.NextProtos)
			}
			if conf == theirs || theirs.ServerName != "" || theirs.NextProtos != nil {
				t.Error("the program's own was changed")
			}
		})
	}
}

// TestUnknownVersions: a version that crypto/tls does not have is refused.
func TestUnknownVersions(t *testing.T) {
	for want, settings := range map[string]Settings{
		`ssl_min_protocol_version="SSLv3"`: {Mode: "require", MinVersion: "SSLv3"},
		`ssl_max_protocol_version="SSLv3"`: {Mode: "require", MaxVersion: "SSLv3"},
	} {
		if _, err := settings.Config("db.example.test", ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
