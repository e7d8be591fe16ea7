package psyco

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/dial"
	"github.com/psyco-go/psyco/internal/tlsconf"
)

// tlsConfigPrefix marks an sslmode that names a registered tls.Config.
const tlsConfigPrefix = "pqgo-"

var tlsConfigs sync.Map // string → *tls.Config

// RegisterTLSConfig makes config available to connection strings as
// sslmode=pqgo-NAME; a nil config removes the name. The server must then speak
// TLS, and config decides what is verified. What config leaves open is filled
// in as lib/pq does: ServerName with the host (unless sslsni=0), the client
// certificate from sslcert and sslkey, the roots from sslrootcert;
// ssl_max_protocol_version wins over config, ssl_min_protocol_version if it is
// the newer one.
//
// It takes the place of pq.RegisterTLSConfig, whose registry other packages
// cannot read, and registers config there too, so that one call serves both
// drivers. It is safe for concurrent use; config must not be changed afterwards.
func RegisterTLSConfig(name string, config *tls.Config) error {
	name = strings.TrimPrefix(name, tlsConfigPrefix)
	if config == nil {
		tlsConfigs.Delete(name)
	} else {
		tlsConfigs.Store(name, config)
	}
	return pq.RegisterTLSConfig(name, config)
}

func registeredTLSConfig(name string) (*tls.Config, error) {
	registered, ok := tlsConfigs.Load(name)
	if !ok {
		return nil, fmt.Errorf("psyco: sslmode=%s%s: no such configuration; register it with psyco.RegisterTLSConfig(%q, …) in place of pq.RegisterTLSConfig", tlsConfigPrefix, name, name)
	}
	return registered.(*tls.Config), nil
}

// ownTLS returns the program's own tls.Config, if there is one.
func (d *dialer) ownTLS(cfg *Config) *tls.Config {
	if d.tls != nil {
		return d.tls
	}
	return cfg.TLSConfig
}

// tlsConfig makes the configuration of a handshake with host.
func (d *dialer) tlsConfig(cfg *Config, host dial.Host) (*tls.Config, error) {
	settings := cfg.tlsSettings()
	settings.Own = d.ownTLS(cfg)
	conf, err := settings.Config(host.Host, host.Hostaddr)
	for ours, theirs := range map[error]error{
		tlsconf.ErrKeyUnknownOwnership:    pq.ErrSSLKeyUnknownOwnership,
		tlsconf.ErrKeyHasWorldPermissions: pq.ErrSSLKeyHasWorldPermissions,
	} {
		if errors.Is(err, ours) {
			err = &alias{err, theirs}
		}
	}
	return conf, err
}

// alias is an error that is also another one, which programs for lib/pq look for.
type alias struct {
	error
	as error
}

func (a *alias) Unwrap() []error { return []error{a.error, a.as} }

// tlsSettings are the options about TLS.
func (cfg *Config) tlsSettings() *tlsconf.Settings {
	s := &tlsconf.Settings{
		Mode:     cfg.SSLMode,
		RootCert: cfg.SSLRootCert, CRL: cfg.SSLCRL, CRLDir: cfg.SSLCRLDir,
		Cert: cfg.SSLCert, Key: cfg.SSLKey, Password: cfg.SSLPassword, CertMode: cfg.SSLCertMode,
		SNI: cfg.SSLSNI, Inline: cfg.SSLInline,
		MinVersion: cfg.SSLMinProtocolVersion, MaxVersion: cfg.SSLMaxProtocolVersion,
		KeyLogFile: cfg.SSLKeyLogFile,
	}
	if name, ok := strings.CutPrefix(cfg.SSLMode, tlsConfigPrefix); ok {
		s.Registered = func() (*tls.Config, error) { return registeredTLSConfig(name) }
	}
	return s
}
