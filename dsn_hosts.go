package psyco

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/psyco-go/psyco/internal/conninfo"
	"github.com/psyco-go/psyco/internal/dial"
)

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
	return fmt.Errorf("%q is no host: the port goes into port=, as in host=%s port=%s", host, name, port)
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
