package pgform

import (
	"fmt"
	"net/netip"
	"strings"
)

// ParseInet reads an inet or cidr. A plain address has all its bits.
func ParseInet(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("%.60q is not an inet value: %w", text, err)
		}
		return prefix, nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%.60q is not an inet value", text)
	}
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}

// InetText writes a prefix as an inet: a plain address without its length.
func InetText(p netip.Prefix) (string, error) {
	switch {
	case !p.IsValid():
		return "", fmt.Errorf("%s is not a network address", p)
	case p.Bits() == p.Addr().BitLen():
		return p.Addr().String(), nil
	}
	return p.String(), nil
}

// AppendInet writes an inet or cidr in binary (PostgreSQL: network_recv).
func AppendInet(b []byte, p netip.Prefix, isCIDR bool) []byte {
	const inet4, inet6 = 2, 3 // PostgreSQL: PGSQL_AF_INET
	family, cidr := byte(inet4), byte(0)
	if isCIDR {
		cidr = 1
	}
	if !p.Addr().Is4() {
		family = inet6
	}
	addr := p.Addr().AsSlice()
	b = append(b, family, byte(p.Bits()), cidr, byte(len(addr)))
	return append(b, addr...)
}
