package psyco

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/psyco-go/psyco/internal/conninfo"
)

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
