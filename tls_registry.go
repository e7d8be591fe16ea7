package psyco

import (
	"crypto/tls"
	"fmt"
	"strings"
	"sync"

	"github.com/lib/pq"
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
