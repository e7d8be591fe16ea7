package psyco

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/psyco-go/psyco/internal/conninfo"
	"github.com/psyco-go/psyco/internal/dial"
)

// Host is one place to connect to: an entry of the host, hostaddr and port
// lists of a connection string.
type Host struct {
	// Host is a DNS name, an IP address, a directory that holds a Unix-domain
	// socket (an absolute path), or an abstract socket ("@name"). With an
	// empty Host and an empty Hostaddr the entry stands for libpq's default:
	// the Unix-domain sockets in /var/run/postgresql and /tmp, then localhost.
	Host string
	// Hostaddr is a numeric address that is dialled instead of looking Host
	// up. Host is then only used to verify certificates, for Kerberos, and to
	// find the password in the passfile.
	Hostaddr string
	// Port is the TCP port, or the number in the socket's file name. 0 means
	// 5432.
	Port uint16
	// Password is the password for this host alone. It is used when
	// [Config.Password] is empty. No connection string can hold it.
	Password string
}

// String returns the host and its port, without the password.
func (h Host) String() string {
	name := h.Host
	if name == "" {
		name = h.Hostaddr
	}
	port := strconv.Itoa(int(h.Port))
	if strings.HasPrefix(name, "/") { // a socket's directory, which may have a colon in it
		return name + ":" + port
	}
	return net.JoinHostPort(name, port)
}

// Config is everything a connection string can say. [ParseDSN] makes one from
// a string, the environment and a service file; [NewConfig] one that holds
// libpq's defaults; and a Config literal works too.
//
// In a literal the zero value of a field means libpq's default, with four
// exceptions, which mean what they say: Keepalives and SSLSNI are off when
// false, StatementCacheCapacity 0 turns the cache off, and times of 0 set no
// limit. Neither the environment nor a service file is consulted for a Config
// that ParseDSN did not make; the passfile is.
//
// A Config may be read by several goroutines at once. A connector works on a
// copy of its own, so later changes do not reach it.
type Config struct {
	// Hosts are tried in order, or in random order (LoadBalanceHosts), until
	// one gives a session of the wanted kind (TargetSessionAttrs). Empty:
	// the sockets in /var/run/postgresql and /tmp, then localhost, port 5432.
	Hosts []Host
	// User is the role to connect as. Empty: the name of the operating
	// system's user that runs the process.
	User string
	// Password is sent when the server asks for one. Empty: [Host.Password], or
	// else what the passfile says when the connection is made.
	Password string
	// Database is the database to connect to. Empty: the one named like User.
	Database string

	// Passfile is the file that passwords are looked up in, one
	// host:port:database:user:password a line. Empty: .pgpass in the home
	// directory (postgresql\pgpass.conf in %APPDATA% on Windows).
	Passfile string

	// ConnectTimeout limits the attempt to connect to one address of one
	// host. 0: no limit. A connection string holds whole seconds.
	ConnectTimeout time.Duration
	// TargetSessionAttrs is the kind of session that is wanted: any,
	// read-write, read-only, primary, standby or prefer-standby.
	TargetSessionAttrs string
	// LoadBalanceHosts is the order in which Hosts, and the addresses of each,
	// are tried: disable (as given) or random.
	LoadBalanceHosts string

	// Keepalives turns TCP keepalive probes on.
	Keepalives bool
	// KeepalivesIdle is the silence after which the first probe is sent.
	// 0: the system's default. A connection string holds whole seconds.
	KeepalivesIdle time.Duration
	// KeepalivesInterval is the time between probes. 0: the system's default.
	// A connection string holds whole seconds.
	KeepalivesInterval time.Duration
	// KeepalivesCount is the number of lost probes after which the connection
	// counts as dead. 0: the system's default.
	KeepalivesCount int
	// TCPUserTimeout is how long sent data may stay unacknowledged before the
	// connection is closed. 0: the system's default. Honoured on Linux, not
	// used elsewhere (as in libpq). A connection string holds milliseconds.
	TCPUserTimeout time.Duration

	// SSLMode is disable, allow, prefer, require, verify-ca, verify-full, or
	// pqgo-NAME for a configuration registered with [RegisterTLSConfig].
	// Empty: prefer, or verify-full if SSLRootCert is "system". It has no
	// meaning for Unix-domain sockets.
	SSLMode string
	// SSLNegotiation is postgres (ask the server first) or direct (start with
	// the TLS handshake; PostgreSQL 17 and later, needs SSLMode require or a
	// stronger one).
	SSLNegotiation string
	// SSLCert is the file with the client's certificate, in PEM. Empty:
	// .postgresql/postgresql.crt in the home directory, if it exists.
	SSLCert string
	// SSLKey is the file with the client's private key, in PEM. Empty:
	// .postgresql/postgresql.key in the home directory.
	SSLKey string
	// SSLPassword decrypts SSLKey.
	SSLPassword string
	// SSLCertMode is allow (send the client's certificate if the server asks
	// for one), disable (never send one) or require (the server has to ask).
	SSLCertMode string
	// SSLRootCert is the file with the certificate authorities to trust, in
	// PEM, or "system" for the operating system's. Empty:
	// .postgresql/root.crt in the home directory, if it exists.
	SSLRootCert string
	// SSLCRL is a file of revoked certificates, in PEM. Empty:
	// .postgresql/root.crl in the home directory, if it exists.
	SSLCRL string
	// SSLCRLDir is a directory of such files.
	SSLCRLDir string
	// SSLSNI sends the host's name in the TLS handshake.
	SSLSNI bool
	// SSLMinProtocolVersion is the oldest TLS version to accept: TLSv1,
	// TLSv1.1, TLSv1.2 (the default) or TLSv1.3.
	SSLMinProtocolVersion string
	// SSLMaxProtocolVersion is the newest TLS version to use. Empty: no limit.
	SSLMaxProtocolVersion string
	// SSLInline says that SSLCert, SSLKey and SSLRootCert hold the PEM text
	// itself and not the name of a file (lib/pq's extension).
	SSLInline bool

	// SSLKeyLogFile is a file to which the secrets of each TLS connection are
	// written, for tools that read captures of the network. Empty: none.
	SSLKeyLogFile string

	// TLSConfig takes the place of the settings above. No connection string
	// can hold it.
	TLSConfig *tls.Config

	// RequirePeer is the operating system's user that has to own the server
	// process, checked on Unix-domain sockets. Empty: not checked.
	RequirePeer string
	// RequireAuth lists the authentication methods that the server may use:
	// password, md5, gss, sspi, scram-sha-256, oauth, none, with commas between them;
	// or, with "!" in front of each, those that it may not. Empty: any.
	RequireAuth string
	// SCRAMClientKey and SCRAMServerKey, in base64, take the place of the password in
	// SCRAM-SHA-256: they come of it and of the salt and the iteration count in the
	// server's pg_authid.
	SCRAMClientKey, SCRAMServerKey string
	// OAuthIssuer is the issuer whose tokens to log in with, or the address of its
	// discovery document: https://…/.well-known/openid-configuration. It is needed, with
	// OAuthClientID, for [WithOAuthToken].
	OAuthIssuer string
	// OAuthClientID and OAuthClientSecret are what the program is registered with at the
	// issuer.
	OAuthClientID, OAuthClientSecret string
	// OAuthScope is the scope of the tokens. Empty: what the server asks for.
	OAuthScope string
	// ChannelBinding is prefer (tie SCRAM to the TLS connection if the server
	// can), require (let no server in that does not) or disable. Empty: prefer.
	ChannelBinding string
	// KrbSrvname is the Kerberos service name. Empty: postgres.
	KrbSrvname string
	// KrbSpn is the whole Kerberos service principal name; it goes before
	// KrbSrvname (lib/pq's extension).
	KrbSpn string
	// MinProtocolVersion is the oldest version of PostgreSQL's protocol to
	// accept: 3.0 (the default), 3.2 or latest.
	MinProtocolVersion string
	// MaxProtocolVersion is the protocol version to ask for: 3.0 (the
	// default), 3.2 or latest.
	MaxProtocolVersion string

	// ApplicationName is shown in pg_stat_activity and in the server's log.
	ApplicationName string
	// FallbackApplicationName is used when ApplicationName is empty.
	FallbackApplicationName string
	// ClientEncoding is UTF8, the only encoding lib/pq can read.
	ClientEncoding string
	// Options are command-line options for the server process, such as
	// "-c geqo=off"; spaces inside a value are written as "\ ".
	Options string
	// RuntimeParams are set when the session starts: search_path,
	// statement_timeout and any other parameter of the server.
	RuntimeParams map[string]string

	// BinaryParameters sends parameters and receives results in binary, in
	// one round trip and without a prepared statement (lib/pq's
	// binary_parameters).
	BinaryParameters bool
	// DisablePreparedBinaryResult has prepared statements return text
	// (lib/pq's disable_prepared_binary_result).
	DisablePreparedBinaryResult bool

	// PgBouncer says that a pooler stands in front of the server which may give each
	// transaction to another session: no statement is left prepared, from the first
	// one on. Otherwise psyco finds out, at the cost of some round trips.
	PgBouncer bool
	// StatementCacheCapacity is the number of prepared statements to keep for
	// each connection. 0 turns the cache off.
	StatementCacheCapacity int
	// PrepareThreshold is the use of a query text, counted from 1, that
	// prepares it, in the same round trip. 0 means the default, 2. Query[T] and its kin
	// prepare one use earlier.
	PrepareThreshold int
	// Binding is server (values travel beside the query) or client (values
	// are written into the query as literals, as psycopg 2 does).
	Binding string
	// Placeholders is auto (the query decides), native ($1 only, as in
	// lib/pq) or psycopg (%s and %(name)s only).
	Placeholders string
}

// NewConfig returns a Config to fill by hand, without a look at the
// environment: TCP keepalives and TLS server names are on, the statement cache
// holds 256 statements, and every other field is zero, which means its
// default.
func NewConfig() *Config {
	return &Config{Keepalives: true, SSLSNI: true, StatementCacheCapacity: defaultCacheCapacity, RuntimeParams: map[string]string{}}
}

// ParseDSN reads a connection string as libpq does: keyword/value pairs
// ("host=/tmp dbname=app") or a URI ("postgres://user@host1:5432,host2/app"),
// and fills what the string leaves out from the service file's section, then
// from the environment, then with the defaults. A dbname (in keyword/value
// form) may itself hold a connection string. Keys that libpq does not know
// become [Config.RuntimeParams], unless they look like a misspelt one.
//
// ParseDSN does not connect, does not look host names up and does not read
// the passfile. Its errors are in libpq's words where libpq has some, and
// never show a password. docs/dsn.md lists every option.
func ParseDSN(dsn string) (*Config, error) {
	c, err := parseDSN(dsn, conninfo.SystemSource())
	if err != nil {
		return nil, fmt.Errorf("psyco: %w", err)
	}
	return c, nil
}

// parseDSN is ParseDSN for any surroundings.
func parseDSN(dsn string, src *conninfo.Source) (*Config, error) {
	set, err := grammar.Parse(dsn, src)
	if err != nil {
		return nil, err
	}
	c := NewConfig()
	if err := c.apply(set); err != nil {
		return nil, err
	}
	if err := c.complete(src); err != nil {
		return nil, err
	}
	return c, nil
}

// apply writes the settings into c and checks each.
func (c *Config) apply(s conninfo.Settings) error {
	for _, o := range options {
		v, ok := s[o.name]
		if !ok || o.set == nil {
			continue
		}
		err := o.set(c, v.Value)
		if err == nil && o.check != nil {
			err = o.check(c)
		}
		if err != nil {
			return s.ErrorAt(o.name, err)
		}
	}
	for key, v := range s {
		if optionByName(key) == nil {
			c.setRuntimeParam(key, v.Value)
		}
	}
	// An application_name that is given but empty stays empty.
	if _, ok := s["application_name"]; ok && c.ApplicationName == "" {
		c.FallbackApplicationName = ""
	}
	return c.applyHosts(s)
}

// normalize makes c ready to connect with: it fills what is empty with the
// defaults and checks every field. Doing it twice changes nothing more.
func (c *Config) normalize() error {
	if err := c.complete(conninfo.SystemSource()); err != nil {
		return fmt.Errorf("psyco: %w", err)
	}
	return nil
}

// passwordFor returns the password for a host. The passfile is read each time, so that a
// change of it is seen.
func (c *Config) passwordFor(h Host, src *conninfo.Source) string {
	if known := cmp.Or(c.Password, h.Password); known != "" || c.Passfile == "" {
		return known
	}
	return conninfo.ReadPassfile(c.Passfile, src).Password(cmp.Or(h.Host, h.Hostaddr), strconv.Itoa(int(h.Port)), c.Database, c.User)
}

// Clone returns a copy that shares nothing with c: hosts, run-time parameters
// and the TLS configuration are copied as well.
func (c *Config) Clone() *Config {
	d := *c
	d.Hosts = slices.Clone(c.Hosts)
	d.RuntimeParams = maps.Clone(c.RuntimeParams)
	d.TLSConfig = c.TLSConfig.Clone()
	return &d
}

// complete fills the fields that are left to their default and checks all of
// them (libpq: pqConnectOptions2).
func (c *Config) complete(src *conninfo.Source) error {
	if err := c.setDefaults(src); err != nil {
		return err
	}
	for _, o := range options {
		if o.get != nil && strings.IndexByte(o.get(c), 0) >= 0 {
			return fmt.Errorf("connection option %q contains a NUL byte", o.name)
		}
		if o.check != nil {
			if err := o.check(c); err != nil {
				return err
			}
		}
	}
	for _, h := range c.Hosts {
		if err := checkHost(h); err != nil {
			return err
		}
	}
	if err := c.checkTLS(); err != nil {
		return err
	}
	if i, j := slices.Index(choices["min_protocol_version"], c.MinProtocolVersion), slices.Index(choices["max_protocol_version"], c.MaxProtocolVersion); i > j {
		return fmt.Errorf("min_protocol_version %q is greater than max_protocol_version %q", c.MinProtocolVersion, c.MaxProtocolVersion)
	}
	return c.checkRuntimeParams()
}

// setDefaults fills what is empty, from the machine where the default depends
// on it.
func (c *Config) setDefaults(src *conninfo.Source) error {
	c.expandHosts(src)
	if c.User == "" {
		name, err := src.User()
		if err != nil {
			return err
		}
		c.User = name
	}
	c.Database = cmp.Or(c.Database, c.User)
	if c.Passfile == "" {
		if home := src.Home(); home != "" {
			c.Passfile = filepath.Join(home, conninfo.PassfileName(src.Windows))
		}
	}
	c.setFixedDefaults()
	return nil
}

func (c *Config) setFixedDefaults() {
	if c.RuntimeParams == nil {
		c.RuntimeParams = map[string]string{} // for WithBeforeConnect
	}
	if c.SSLMode == "" {
		c.SSLMode = "prefer"
		if c.SSLRootCert == "system" && !c.SSLInline {
			c.SSLMode = "verify-full"
		}
	}
	first := func(name string) string { return choices[name][0] }
	c.ChannelBinding = cmp.Or(c.ChannelBinding, first("channel_binding"))
	c.SSLNegotiation = cmp.Or(c.SSLNegotiation, first("sslnegotiation"))
	c.SSLCertMode = cmp.Or(c.SSLCertMode, first("sslcertmode"))
	c.SSLMinProtocolVersion = cmp.Or(c.SSLMinProtocolVersion, "TLSv1.2")
	c.MinProtocolVersion = cmp.Or(c.MinProtocolVersion, first("min_protocol_version"))
	c.MaxProtocolVersion = cmp.Or(c.MaxProtocolVersion, first("max_protocol_version"))
	c.TargetSessionAttrs = cmp.Or(c.TargetSessionAttrs, first("target_session_attrs"))
	c.LoadBalanceHosts = cmp.Or(c.LoadBalanceHosts, first("load_balance_hosts"))
	c.KrbSrvname = cmp.Or(c.KrbSrvname, "postgres")
	c.ApplicationName = cmp.Or(c.ApplicationName, c.FallbackApplicationName)
	c.ClientEncoding = cmp.Or(c.ClientEncoding, "UTF8")
	c.PrepareThreshold = cmp.Or(c.PrepareThreshold, defaultPrepareThreshold)
	c.Binding = cmp.Or(c.Binding, first("binding"))
	c.Placeholders = cmp.Or(c.Placeholders, first("placeholders"))
}

// checkTLS refuses combinations that would weaken what one of them promises.
func (c *Config) checkTLS() error {
	weak := func(need int) bool {
		i := slices.Index(sslModes, c.SSLMode)
		return i >= 0 && i < need
	}
	switch {
	case c.SSLRootCert == "system" && c.SSLMode != "verify-full" && !c.SSLInline:
		return fmt.Errorf("weak sslmode %q may not be used with sslrootcert=system (use \"verify-full\")", c.SSLMode)
	case c.SSLNegotiation == "direct" && weak(slices.Index(sslModes, "require")):
		return fmt.Errorf("weak sslmode %q may not be used with sslnegotiation=direct (use \"require\", \"verify-ca\", or \"verify-full\")", c.SSLMode)
	case c.SSLMaxProtocolVersion != "" && slices.Index(tlsVersions, c.SSLMinProtocolVersion) > slices.Index(tlsVersions, c.SSLMaxProtocolVersion):
		return errors.New("invalid SSL protocol version range: ssl_min_protocol_version is newer than ssl_max_protocol_version")
	}
	return nil
}

// checkRuntimeParams also brings the names that options share into one form.
func (c *Config) checkRuntimeParams() error {
	for _, key := range slices.Sorted(maps.Keys(c.RuntimeParams)) {
		v := c.RuntimeParams[key]
		if !conninfo.ValidParamName(key) {
			return errors.New("RuntimeParams holds a name that no parameter of the server can have")
		}
		if strings.IndexByte(v, 0) >= 0 {
			return fmt.Errorf("run-time parameter %q contains a NUL byte", key)
		}
		o := optionByName(strings.ToLower(key))
		switch {
		case o == nil:
			continue
		case o.name == "datestyle":
			if err := o.set(c, v); err != nil {
				return err
			}
			delete(c.RuntimeParams, key)
		case o.param:
			delete(c.RuntimeParams, key)
			if err := o.set(c, v); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%q is a connection option and no run-time parameter: set the field of Config", key)
		}
	}
	return nil
}

// FormatDSN returns a connection string that [ParseDSN] turns into c again,
// whatever the environment holds by then: every option that could come from
// it is written out. The string holds the passwords. It cannot hold
// [Host.Password] and TLSConfig, and times are rounded up to whole units.
func (c *Config) FormatDSN() string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(c.RuntimeParams)) {
		if optionByName(strings.ToLower(key)) == nil {
			conninfo.AppendPair(&b, key, c.RuntimeParams[key])
		}
	}
	d := c.Clone()
	d.setFixedDefaults()
	plain := NewConfig()
	plain.setFixedDefaults()
	for _, o := range options {
		switch {
		case o.name == "service":
			conninfo.AppendPair(&b, o.name, "") // or $PGSERVICE would be read
		case o.name == "servicefile":
		case o.get == nil && o.shield != "":
			conninfo.AppendPair(&b, o.name, o.shield)
		case o.get == nil:
		case o.env != nil || o.get(d) != o.get(plain):
			conninfo.AppendPair(&b, o.name, o.get(d))
		}
	}
	return b.String()
}

// String returns the options that differ from the defaults, as a connection
// string without passwords and private keys.
func (c Config) String() string {
	var b strings.Builder
	d := c.Clone()
	d.setFixedDefaults()
	plain := NewConfig()
	plain.setFixedDefaults()
	for _, o := range options {
		if o.get == nil || o.param {
			continue
		}
		v := o.get(d)
		switch {
		case v == o.get(plain):
			continue
		case o.name == "sslkey" && !c.SSLInline: // a file's name
		case o.secret:
			v = conninfo.Hidden
		}
		conninfo.AppendPair(&b, o.name, v)
	}
	for _, key := range slices.Sorted(maps.Keys(c.RuntimeParams)) {
		conninfo.AppendPair(&b, key, c.RuntimeParams[key])
	}
	return b.String()
}

// applyHosts puts the host, hostaddr and port lists together (libpq:
// pqConnectOptions2). An entry that names neither host nor address is left
// empty here; it stands for the default places.
func (c *Config) applyHosts(s conninfo.Settings) error {
	names := splitList(s["host"].Value)
	addrs := splitList(s["hostaddr"].Value)
	ports := splitList(s["port"].Value)

	n := max(len(names), len(addrs), 1)
	if len(names) > 0 && len(addrs) > 0 && len(names) != len(addrs) {
		return s.ErrorAt("hostaddr", fmt.Errorf("could not match %d host names to %d hostaddr values", len(names), len(addrs)))
	}
	if len(ports) > 1 && len(ports) != n {
		return s.ErrorAt("port", fmt.Errorf("could not match %d port numbers to %d hosts", len(ports), n))
	}
	c.Hosts = make([]Host, n)
	for i := range c.Hosts {
		h := &c.Hosts[i]
		if len(names) > 0 {
			h.Host = names[i]
		}
		if len(addrs) > 0 {
			h.Hostaddr = addrs[i]
		}
		if len(ports) > 0 {
			var err error
			if h.Port, err = parsePort(ports[min(i, len(ports)-1)]); err != nil {
				return s.ErrorAt("port", err)
			}
		}
	}
	return nil
}

// splitList is nil for an empty list: libpq takes it for one that was not given.
func splitList(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func parsePort(s string) (uint16, error) {
	if s == "" {
		return defaultPort, nil
	}
	n, err := parseInt("port", s)
	if err != nil {
		return 0, err
	}
	if n < 1 || n > 65535 {
		return 0, fmt.Errorf("invalid port number: %q", s)
	}
	return uint16(n), nil
}

// expandHosts gives every host a port and replaces those that are left to the
// default by the places where a local server may listen. Sockets that do not
// exist cost nothing to try, and may exist by the time of a later attempt.
func (c *Config) expandHosts(src *conninfo.Source) {
	if len(c.Hosts) == 0 {
		c.Hosts = []Host{{}}
	}
	hosts := make([]Host, 0, len(c.Hosts)+len(src.SocketDirs))
	for _, h := range c.Hosts {
		if h.Port == 0 {
			h.Port = defaultPort
		}
		if h.Host != "" || h.Hostaddr != "" {
			hosts = append(hosts, h)
			continue
		}
		for _, place := range append(slices.Clone(src.SocketDirs), "localhost") {
			h.Host = place
			hosts = append(hosts, h)
		}
	}
	c.Hosts = hosts
}

func checkHost(h Host) error {
	switch {
	case strings.Contains(h.Host, ","):
		return fmt.Errorf("invalid host %q: write one host for each entry", conninfo.Show(h.Host))
	case !dial.IsSocket(h.Host) && strings.Contains(h.Host, "@"):
		// Most likely the second half of a password, so it is not repeated.
		return errors.New(`host names hold no "@": in a URI, percent-encode the "@" of a user name or password as %40`)
	}
	if h.Hostaddr == "" {
		return checkPort(h.Host)
	}
	if _, err := netip.ParseAddr(h.Hostaddr); err != nil {
		return fmt.Errorf("could not parse network address %q", conninfo.Show(h.Hostaddr))
	}
	return nil
}

// checkPort refuses a host with a port behind it.
func checkPort(host string) error {
	name, port, ok := strings.Cut(host, ":")
	if !ok || dial.IsSocket(host) || port == "" || strings.Trim(port, "0123456789") != "" {
		return nil
	}
	return fmt.Errorf("%q is not a host: the port goes into port=, as in host=%s port=%s", host, name, port)
}

func hostColumn(c *Config) string {
	return column(c.Hosts, func(h Host) string { return h.Host })
}

func hostaddrColumn(c *Config) string {
	return column(c.Hosts, func(h Host) string { return h.Hostaddr })
}

// portColumn is a single port if all hosts have the same.
func portColumn(c *Config) string {
	port := func(h Host) string {
		if h.Port == 0 {
			return strconv.Itoa(defaultPort)
		}
		return strconv.Itoa(int(h.Port))
	}
	if len(c.Hosts) == 0 {
		return port(Host{})
	}
	for _, h := range c.Hosts {
		if port(h) != port(c.Hosts[0]) {
			return column(c.Hosts, port)
		}
	}
	return port(c.Hosts[0])
}

// column joins one field of the hosts, or is empty if it is empty for all.
func column(hosts []Host, field func(Host) string) string {
	list := make([]string, len(hosts))
	for i, h := range hosts {
		list[i] = field(h)
	}
	s := strings.Join(list, ",")
	if len(s) == max(len(list)-1, 0) {
		return ""
	}
	return s
}
