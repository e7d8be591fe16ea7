package psyco

import (
	"crypto/tls"
	"time"
)

// Host is one place to connect to: an entry of the host, hostaddr and port
// lists of a connection string.
type Host struct {
	// Host is a DNS name, an IP address, a directory that holds a Unix-domain
	// socket (an absolute path), or an abstract socket ("@name").
	Host string
	// Hostaddr is a numeric address that is dialled instead of looking Host up.
	Hostaddr string
	// Port is the TCP port, or the number in the socket's file name.
	Port uint16
	// Password is what the passfile says for this host. It is used when
	// Config.Password is empty.
	Password string
}

// Config is everything a connection string can say.
type Config struct {
	Hosts    []Host
	User     string
	Password string
	Database string

	Passfile    string
	Service     string
	ServiceFile string

	ConnectTimeout     time.Duration // per address; 0: no limit
	TargetSessionAttrs string        // any, read-write, read-only, primary, standby, prefer-standby
	LoadBalanceHosts   string        // disable, random

	Keepalives         bool
	KeepalivesIdle     time.Duration // 0: the system's default
	KeepalivesInterval time.Duration
	KeepalivesCount    int
	TCPUserTimeout     time.Duration

	SSLMode               string // disable, allow, prefer, require, verify-ca, verify-full, or pqgo-NAME
	SSLNegotiation        string // postgres, direct
	SSLCert               string
	SSLKey                string
	SSLPassword           string
	SSLRootCert           string // a file, or "system"
	SSLCRL                string
	SSLCRLDir             string
	SSLSNI                bool
	SSLMinProtocolVersion string // TLSv1 … TLSv1.3
	SSLMaxProtocolVersion string
	SSLInline             bool // sslcert, sslkey, sslrootcert hold PEM text (lib/pq's extension)

	TLSConfig *tls.Config // set by WithTLSConfig, not by a string

	RequirePeer        string
	RequireAuth        string
	KrbSrvname         string
	KrbSpn             string
	MinProtocolVersion string
	MaxProtocolVersion string

	ApplicationName         string
	FallbackApplicationName string
	ClientEncoding          string
	Options                 string
	RuntimeParams           map[string]string

	BinaryParameters            bool // lib/pq's binary_parameters
	DisablePreparedBinaryResult bool // lib/pq's disable_prepared_binary_result

	StatementCacheCapacity int    // statement_cache_capacity; 0 turns the cache off
	PrepareThreshold       int    // prepare_threshold: the use of a text that prepares it
	Binding                string // binding: server, client
	Placeholders           string // placeholders: auto, native, psycopg
}
