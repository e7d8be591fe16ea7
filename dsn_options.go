package psyco

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/psyco-go/psyco/internal/conninfo"
	"github.com/psyco-go/psyco/internal/scram"
)

const (
	defaultPort             = 5432
	defaultCacheCapacity    = 256
	defaultPrepareThreshold = 2
)

// option is a keyword of connection strings.
type option struct {
	name string
	env  []string // environment variables, the first that is set counts
	// codec moves the value into a Config and back. The zero codec is for
	// options that only act while a string is read.
	codec
	// shield is what FormatDSN writes for an option that no field holds, to
	// keep the environment out.
	shield string
	secret bool
	// param: the value lives in RuntimeParams.
	param bool
}

// codec reads the text of an option into a Config, writes it back, and checks
// the field, also when it was set by hand.
type codec struct {
	set   func(c *Config, text string) error
	get   func(c *Config) string
	check func(c *Config) error
}

// options lists every keyword that is not a run-time parameter, in the order
// in which FormatDSN writes them. host, hostaddr and port are three columns of
// one list: Config.apply reads them together.
var options = []*option{
	{name: "service", env: []string{"PGSERVICE"}},
	{name: "servicefile", env: []string{"PGSERVICEFILE"}},
	{name: "host", env: []string{"PGHOST"}, codec: codec{get: hostColumn}},
	{name: "hostaddr", env: []string{"PGHOSTADDR"}, codec: codec{get: hostaddrColumn}},
	{name: "port", env: []string{"PGPORT"}, codec: codec{get: portColumn}},
	{name: "dbname", env: []string{"PGDATABASE"}, codec: text(func(c *Config) *string { return &c.Database })},
	{name: "user", env: []string{"PGUSER"}, codec: text(func(c *Config) *string { return &c.User })},
	{name: "password", env: []string{"PGPASSWORD"}, secret: true, codec: text(func(c *Config) *string { return &c.Password })},
	{name: "passfile", env: []string{"PGPASSFILE"}, codec: text(func(c *Config) *string { return &c.Passfile })},
	{name: "require_auth", env: []string{"PGREQUIREAUTH"}, codec: codec{
		set:   func(c *Config, v string) error { c.RequireAuth = v; return nil },
		get:   func(c *Config) string { return c.RequireAuth },
		check: checkRequireAuth}},
	{name: "channel_binding", env: []string{"PGCHANNELBINDING"}, codec: enum("channel_binding", func(c *Config) *string { return &c.ChannelBinding })},
	{name: "connect_timeout", env: []string{"PGCONNECT_TIMEOUT"}, codec: duration("connect_timeout", time.Second, func(c *Config) *time.Duration { return &c.ConnectTimeout })},
	{name: "client_encoding", env: []string{"PGCLIENTENCODING"}, codec: codec{
		set:   func(c *Config, v string) error { c.ClientEncoding = v; return nil },
		get:   func(c *Config) string { return c.ClientEncoding },
		check: checkClientEncoding}},
	{name: "options", env: []string{"PGOPTIONS"}, codec: text(func(c *Config) *string { return &c.Options })},
	{name: "application_name", env: []string{"PGAPPNAME"}, codec: text(func(c *Config) *string { return &c.ApplicationName })},
	{name: "fallback_application_name", codec: text(func(c *Config) *string { return &c.FallbackApplicationName })},
	{name: "keepalives", codec: codec{
		set: func(c *Config, v string) error {
			n, err := parseInt("keepalives", v)
			c.Keepalives = n != 0
			return err
		},
		get: func(c *Config) string { return formatBool(c.Keepalives) }}},
	{name: "keepalives_idle", codec: duration("keepalives_idle", time.Second, func(c *Config) *time.Duration { return &c.KeepalivesIdle })},
	{name: "keepalives_interval", codec: duration("keepalives_interval", time.Second, func(c *Config) *time.Duration { return &c.KeepalivesInterval })},
	{name: "keepalives_count", codec: count("keepalives_count", func(c *Config) *int { return &c.KeepalivesCount })},
	{name: "tcp_user_timeout", codec: duration("tcp_user_timeout", time.Millisecond, func(c *Config) *time.Duration { return &c.TCPUserTimeout })},
	{name: "replication", codec: codec{set: refuseReplication}},
	{name: "gssencmode", env: []string{"PGGSSENCMODE"}, shield: "prefer", codec: codec{set: unless("gssencmode", "require",
		"psyco cannot encrypt with GSSAPI; use sslmode=require or a stronger mode", "disable", "prefer", "require")}},
	{name: "sslmode", env: []string{"PGSSLMODE"}, codec: codec{
		set:   func(c *Config, v string) error { c.SSLMode = v; return nil },
		get:   func(c *Config) string { return c.SSLMode },
		check: func(c *Config) error { return checkSSLMode(c.SSLMode) }}},
	{name: "requiressl"}, // translated to sslmode while a string is read
	{name: "sslnegotiation", env: []string{"PGSSLNEGOTIATION"}, codec: enum("sslnegotiation", func(c *Config) *string { return &c.SSLNegotiation })},
	{name: "sslcompression", env: []string{"PGSSLCOMPRESSION"}, codec: ignored},
	{name: "sslcert", env: []string{"PGSSLCERT"}, codec: text(func(c *Config) *string { return &c.SSLCert })},
	{name: "sslkey", env: []string{"PGSSLKEY"}, secret: true, codec: text(func(c *Config) *string { return &c.SSLKey })},
	{name: "sslpassword", secret: true, codec: text(func(c *Config) *string { return &c.SSLPassword })},
	{name: "sslcertmode", env: []string{"PGSSLCERTMODE"}, codec: enum("sslcertmode", func(c *Config) *string { return &c.SSLCertMode })},
	{name: "sslrootcert", env: []string{"PGSSLROOTCERT"}, codec: text(func(c *Config) *string { return &c.SSLRootCert })},
	{name: "sslcrl", env: []string{"PGSSLCRL"}, codec: text(func(c *Config) *string { return &c.SSLCRL })},
	{name: "sslcrldir", env: []string{"PGSSLCRLDIR"}, codec: text(func(c *Config) *string { return &c.SSLCRLDir })},
	{name: "sslsni", env: []string{"PGSSLSNI"}, codec: boolean("sslsni", func(c *Config) *bool { return &c.SSLSNI })},
	{name: "sslinline", codec: boolean("sslinline", func(c *Config) *bool { return &c.SSLInline })},
	{name: "requirepeer", env: []string{"PGREQUIREPEER"}, codec: text(func(c *Config) *string { return &c.RequirePeer })},
	// lib/pq reads the SSLPG… names.
	{name: "ssl_min_protocol_version", env: []string{"PGSSLMINPROTOCOLVERSION", "SSLPGMINPROTOCOLVERSION"}, codec: tlsVersion("ssl_min_protocol_version", "TLSv1", func(c *Config) *string { return &c.SSLMinProtocolVersion })},
	{name: "ssl_max_protocol_version", env: []string{"PGSSLMAXPROTOCOLVERSION", "SSLPGMAXPROTOCOLVERSION"}, codec: tlsVersion("ssl_max_protocol_version", "", func(c *Config) *string { return &c.SSLMaxProtocolVersion })},
	{name: "min_protocol_version", env: []string{"PGMINPROTOCOLVERSION"}, codec: enum("min_protocol_version", func(c *Config) *string { return &c.MinProtocolVersion })},
	{name: "max_protocol_version", env: []string{"PGMAXPROTOCOLVERSION"}, codec: enum("max_protocol_version", func(c *Config) *string { return &c.MaxProtocolVersion })},
	{name: "krbsrvname", env: []string{"PGKRBSRVNAME"}, codec: text(func(c *Config) *string { return &c.KrbSrvname })},
	{name: "krbspn", codec: text(func(c *Config) *string { return &c.KrbSpn })},
	{name: "gsslib", env: []string{"PGGSSLIB"}, codec: ignored},
	{name: "gssdelegation", env: []string{"PGGSSDELEGATION"}, shield: "0", codec: codec{set: unless("gssdelegation", "1",
		"lib/pq's Kerberos support cannot delegate credentials")}},
	{name: "target_session_attrs", env: []string{"PGTARGETSESSIONATTRS"}, codec: enum("target_session_attrs", func(c *Config) *string { return &c.TargetSessionAttrs })},
	{name: "load_balance_hosts", env: []string{"PGLOADBALANCEHOSTS"}, codec: enum("load_balance_hosts", func(c *Config) *string { return &c.LoadBalanceHosts })},

	{name: "scram_client_key", secret: true, codec: scramKey("scram_client_key", func(c *Config) *string { return &c.SCRAMClientKey })},
	{name: "scram_server_key", secret: true, codec: scramKey("scram_server_key", func(c *Config) *string { return &c.SCRAMServerKey })},
	{name: "sslkeylogfile", codec: text(func(c *Config) *string { return &c.SSLKeyLogFile })},

	{name: "oauth_issuer", codec: text(func(c *Config) *string { return &c.OAuthIssuer })},
	{name: "oauth_client_id", codec: text(func(c *Config) *string { return &c.OAuthClientID })},
	{name: "oauth_client_secret", secret: true, codec: text(func(c *Config) *string { return &c.OAuthClientSecret })},
	{name: "oauth_scope", codec: text(func(c *Config) *string { return &c.OAuthScope })},

	// lib/pq's.
	{name: "binary_parameters", codec: boolean("binary_parameters", func(c *Config) *bool { return &c.BinaryParameters })},
	{name: "disable_prepared_binary_result", codec: boolean("disable_prepared_binary_result", func(c *Config) *bool { return &c.DisablePreparedBinaryResult })},
	{name: "datestyle", env: []string{"PGDATESTYLE"}, shield: dateStyle, codec: codec{set: checkDateStyle}},

	// Parameters of the server with an environment variable; the word
	// "default" leaves them to the server (libpq: build_startup_packet).
	{name: "timezone", env: []string{"PGTZ"}, param: true, codec: runtimeParam("timezone")},
	{name: "geqo", env: []string{"PGGEQO"}, param: true, codec: runtimeParam("geqo")},

	// Prisma's, Supabase's and Vercel's.
	{name: "pgbouncer", codec: boolean("pgbouncer", func(c *Config) *bool { return &c.PgBouncer })},

	// psyco's own.
	{name: "statement_cache_capacity", codec: codec{
		set: func(c *Config, v string) (err error) {
			c.StatementCacheCapacity, err = parseInt("statement_cache_capacity", v)
			return err
		},
		get:   func(c *Config) string { return strconv.Itoa(c.StatementCacheCapacity) },
		check: func(c *Config) error { return atLeast(0, "statement_cache_capacity", c.StatementCacheCapacity) }}},
	{name: "prepare_threshold", codec: codec{
		set: func(c *Config, v string) (err error) {
			c.PrepareThreshold, err = parseInt("prepare_threshold", v)
			return err
		},
		get:   func(c *Config) string { return strconv.Itoa(c.PrepareThreshold) },
		check: func(c *Config) error { return atLeast(1, "prepare_threshold", c.PrepareThreshold) }}},
	{name: "binding", codec: enum("binding", func(c *Config) *string { return &c.Binding })},
	{name: "placeholders", codec: enum("placeholders", func(c *Config) *string { return &c.Placeholders })},
}

// grammar is how strings with these options are read. It and optionsByName are made
// in init because the table's functions refer to them.
var (
	grammar       *conninfo.Grammar
	optionsByName = make(map[string]*option)
)

func init() {
	keywords := make([]conninfo.Option, len(options))
	for i, o := range options {
		optionsByName[o.name] = o
		// The server takes the names of its parameters in any case.
		keywords[i] = conninfo.Option{Name: o.name, Env: o.env, Secret: o.secret, AnyCase: o.param || o.name == "datestyle"}
	}
	// lib/pq's other names.
	grammar = conninfo.NewGrammar(keywords, map[string]string{"database": "dbname", "tz": "timezone"})
}

func optionByName(name string) *option { return optionsByName[name] }

// choices are the words an option takes; the first is the default.
var choices = map[string][]string{
	"channel_binding":      {"prefer", "disable", "require"},
	"sslnegotiation":       {"postgres", "direct"},
	"sslcertmode":          {"allow", "disable", "require"},
	"min_protocol_version": {"3.0", "3.2", "latest"},
	"max_protocol_version": {"3.0", "3.2", "latest"},
	"target_session_attrs": {"any", "read-write", "read-only", "primary", "standby", "prefer-standby"},
	"load_balance_hosts":   {"disable", "random"},
	"binding":              {"server", "client"},
	"placeholders":         {"auto", "native", "psycopg"},
}

func text(field func(*Config) *string) codec {
	return codec{
		set: func(c *Config, v string) error { *field(c) = v; return nil },
		get: func(c *Config) string { return *field(c) },
	}
}

// enum is one of choices[name].
func enum(name string, field func(*Config) *string) codec {
	c := text(field)
	c.check = func(c *Config) error { return checkChoice(name, *field(c), choices[name]) }
	return c
}

// scramKey is a key of SCRAM-SHA-256, in base64.
func scramKey(name string, field func(*Config) *string) codec {
	c := text(field)
	c.check = func(c *Config) error {
		if *field(c) == "" {
			return nil
		}
		if key, err := base64.StdEncoding.DecodeString(*field(c)); err != nil || len(key) != scram.KeySize {
			return fmt.Errorf("invalid %s value: %q (expected %d bytes in base64)", name, conninfo.Hidden, scram.KeySize)
		}
		return nil
	}
	return c
}

func checkChoice(name, v string, words []string) error {
	if slices.Contains(words, v) {
		return nil
	}
	return fmt.Errorf("invalid %s value: %q (expected %s)", name, conninfo.Show(v), strings.Join(words, ", "))
}

func boolean(name string, field func(*Config) *bool) codec {
	return codec{
		set: func(c *Config, v string) (err error) {
			*field(c), err = parseBool(name, v)
			return err
		},
		get: func(c *Config) string { return formatBool(*field(c)) },
	}
}

// duration is a whole number of units. libpq takes negative ones for 0.
func duration(name string, unit time.Duration, field func(*Config) *time.Duration) codec {
	return codec{
		set: func(c *Config, v string) error {
			n, err := parseInt(name, v)
			*field(c) = time.Duration(max(n, 0)) * unit
			return err
		},
		// Rounded up, so that a short limit does not become none at all.
		get: func(c *Config) string { return strconv.Itoa(int((*field(c) + unit - 1) / unit)) },
		check: func(c *Config) error {
			if d := *field(c); d < 0 || d > math.MaxInt32*unit {
				return fmt.Errorf("invalid %s value: %v (expected 0 to %v)", name, d, math.MaxInt32*unit)
			}
			return nil
		},
	}
}

func count(name string, field func(*Config) *int) codec {
	return codec{
		set: func(c *Config, v string) error {
			n, err := parseInt(name, v)
			*field(c) = max(n, 0)
			return err
		},
		get:   func(c *Config) string { return strconv.Itoa(*field(c)) },
		check: func(c *Config) error { return atLeast(0, name, *field(c)) },
	}
}

func atLeast(low int, name string, n int) error {
	if n < low || n > math.MaxInt32 {
		return fmt.Errorf("invalid %s value: %d (expected %d or more)", name, n, low)
	}
	return nil
}

// ignored is an option without any effect, in current libpq or for Go.
var ignored = codec{set: func(*Config, string) error { return nil }}

// unless refuses the one value that cannot be honoured; the others, words or
// anything if there are none, change nothing.
func unless(name, refused, why string, words ...string) func(*Config, string) error {
	return func(_ *Config, v string) error {
		if v == refused {
			return fmt.Errorf("%s=%s is not supported: %s", name, v, why)
		}
		if len(words) > 0 {
			return checkChoice(name, v, words)
		}
		return nil
	}
}

func refuseReplication(_ *Config, v string) error {
	if on, err := parseBool("replication", v); err == nil && !on || v == "" {
		return nil
	}
	return errors.New("replication is not supported: use a client that speaks the replication protocol")
}

// runtimeParam stores a server parameter that the environment can set.
func runtimeParam(name string) codec {
	return codec{
		set: func(c *Config, v string) error {
			if !strings.EqualFold(v, "default") {
				c.setRuntimeParam(name, v)
			}
			return nil
		},
		get: func(c *Config) string {
			for key, v := range c.RuntimeParams {
				if strings.EqualFold(key, name) {
					return v
				}
			}
			return "default"
		},
	}
}

func (c *Config) setRuntimeParam(name, value string) {
	if c.RuntimeParams == nil {
		c.RuntimeParams = make(map[string]string)
	}
	c.RuntimeParams[name] = value
}

// parseInt reads a C int, with spaces around it (libpq: parse_int_param).
func parseInt(name, v string) (int, error) {
	n, err := strconv.ParseInt(strings.Trim(v, " \t\n\v\f\r"), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("invalid integer value %q for connection option %q", conninfo.Show(v), name)
	}
	return int(n), nil
}

// parseBool takes the words that PostgreSQL and lib/pq take.
func parseBool(name, v string) (bool, error) {
	switch strings.ToLower(v) {
	case "1", "t", "true", "y", "yes", "on":
		return true, nil
	case "0", "f", "false", "n", "no", "off":
		return false, nil
	}
	return false, fmt.Errorf("invalid %s value: %q (expected 1 or 0)", name, conninfo.Show(v))
}

func formatBool(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// checkClientEncoding takes every spelling of UTF8 that the server takes, and
// auto, which for psyco is always UTF8.
func checkClientEncoding(c *Config) error {
	if v := c.ClientEncoding; v != "" && v != "auto" && !isUTF8(v) {
		return fmt.Errorf("unsupported client_encoding %q: must be absent or \"UTF8\"", conninfo.Show(v))
	}
	c.ClientEncoding = "UTF8"
	return nil
}

// isUTF8 compares as the server does: letters and digits alone count.
func isUTF8(name string) bool {
	name = strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z' || '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, name)
	return name == "utf8" || name == "unicode"
}

// dateStyle is the only one whose output lib/pq can read; it sends it itself.
const dateStyle = "ISO, MDY"

func checkDateStyle(_ *Config, v string) error {
	if v == dateStyle || strings.EqualFold(v, "default") {
		return nil
	}
	return fmt.Errorf("unsupported datestyle %q: must be absent or %q", conninfo.Show(v), dateStyle)
}

var tlsVersions = []string{"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}

// tlsVersion is one of tlsVersions in any case, or lib/pq's TLSv1.0. In a
// string, an empty one sets no limit, in Config that is noLimit.
func tlsVersion(name, noLimit string, field func(*Config) *string) codec {
	c := text(field)
	c.set = func(c *Config, v string) error {
		*field(c) = cmp.Or(v, noLimit)
		return nil
	}
	c.check = func(c *Config) error {
		v := *field(c)
		if strings.EqualFold(v, "TLSv1.0") {
			v = "TLSv1"
		}
		i := slices.IndexFunc(tlsVersions, func(w string) bool { return strings.EqualFold(v, w) })
		switch {
		case i >= 0:
			*field(c) = tlsVersions[i]
		case v != "":
			return checkChoice(name, v, tlsVersions)
		}
		return nil
	}
	return c
}

var authMethodNames = []string{"password", "md5", "gss", "sspi", "scram-sha-256", "oauth", "none"}

// checkRequireAuth: a list of methods, all with "!" in front or none (libpq:
// pqConnectOptions2).
func checkRequireAuth(c *Config) error {
	if c.RequireAuth == "" {
		return nil
	}
	seen := make(map[string]bool)
	negative := strings.HasPrefix(c.RequireAuth, "!")
	for _, entry := range strings.Split(c.RequireAuth, ",") {
		method, negated := strings.CutPrefix(entry, "!")
		switch {
		case negated && !negative:
			return fmt.Errorf("negative require_auth method %q cannot be mixed with non-negative methods", conninfo.Show(entry))
		case !negated && negative:
			return fmt.Errorf("require_auth method %q cannot be mixed with negative methods", conninfo.Show(entry))
		case seen[method]:
			return fmt.Errorf("require_auth method %q is specified more than once", conninfo.Show(entry))
		}
		if err := checkChoice("require_auth", method, authMethodNames); err != nil {
			return err
		}
		seen[method] = true
	}
	return nil
}

var sslModes = []string{"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}

// checkSSLMode also takes lib/pq's pqgo-NAME, a registered tls.Config.
func checkSSLMode(v string) error {
	if len(v) > len("pqgo-") && strings.HasPrefix(v, "pqgo-") {
		return nil
	}
	if v == "no-verify" { // node-postgres's
		return errors.New(`invalid sslmode value: "no-verify": write sslmode=require, which checks no certificate either`)
	}
	return checkChoice("sslmode", v, sslModes)
}
