package psyco

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"

	"github.com/psyco-go/psyco/internal/pgform"
)

// Inet is a value of type inet or cidr: an address with the length of its
// network's prefix. Host bits are kept, so Masked gives the network; a plain
// address has all its bits (/32 or /128).
//
// The zero Inet becomes NULL. For columns that may be NULL use
// sql.Null[psyco.Inet] or a pointer; scanning NULL into an Inet is an error. As
// parameters, netip.Addr, netip.Prefix, net.IP and net.IPNet need no wrapping.
type Inet struct{ netip.Prefix }

var (
	_ sql.Scanner   = (*Inet)(nil)
	_ driver.Valuer = Inet{}
	_ parameter     = Inet{}
	_ textual       = (*Inet)(nil)
)

// Value implements [driver.Valuer].
func (n Inet) Value() (driver.Value, error) {
	if n.Prefix == (netip.Prefix{}) {
		return nil, nil
	}
	text, err := pgform.InetText(n.Prefix)
	if err != nil {
		return nil, prefixed(err)
	}
	return text, nil
}

func (Inet) parameterOID() (oid, fallback uint32) { return pgform.OIDInet, 0 }

// Scan implements [sql.Scanner].
func (n *Inet) Scan(src any) error {
	text, err := scanText(src, "Inet")
	if err != nil {
		return err
	}
	prefix, err := pgform.ParseInet(text)
	if err != nil {
		return prefixed(err)
	}
	n.Prefix = prefix
	return nil
}

// MarshalText implements [encoding.TextMarshaler], and so encoding/json: what the server writes, a
// plain address without its length; "" for the zero Inet.
func (n Inet) MarshalText() ([]byte, error) {
	text, err := n.Value()
	if text == nil || err != nil {
		return []byte{}, err
	}
	return []byte(text.(string)), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (n *Inet) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*n = Inet{}
		return nil
	}
	return n.Scan(string(text))
}

// networkValue converts the address types of net and net/netip.
func networkValue(v any) (value driver.Value, oid, fallback uint32, err error) {
	switch x := v.(type) {
	case netip.Addr:
		if !x.IsValid() {
			return nil, 0, pgform.OIDInet, nil
		}
		if x.Zone() != "" {
			return nil, 0, 0, fmt.Errorf("the address %s has a zone, which inet cannot hold: use WithZone(\"\")", x)
		}
		return x.String(), pgform.OIDInet, 0, nil
	case netip.Prefix:
		if x == (netip.Prefix{}) {
			return nil, 0, pgform.OIDInet, nil
		}
		// psycopg: ip_network is cidr, ip_interface, which has host bits, is inet.
		oid = pgform.OIDInet
		if x == x.Masked() {
			oid = pgform.OIDCIDR
		}
		if !x.IsValid() {
			return nil, 0, 0, fmt.Errorf("netip.Prefix %s is not a network", x)
		}
		return x.String(), oid, 0, nil
	case net.IP:
		if x == nil {
			return nil, 0, pgform.OIDInet, nil
		}
		addr, ok := netip.AddrFromSlice(x)
		if !ok {
			return nil, 0, 0, fmt.Errorf("net.IP has %d bytes instead of 4 or 16", len(x))
		}
		return addr.Unmap().String(), pgform.OIDInet, 0, nil
	case *net.IPNet:
		if x == nil {
			return nil, 0, pgform.OIDInet, nil
		}
		return networkValue(*x)
	case net.IPNet:
		addr, ok := netip.AddrFromSlice(x.IP)
		ones, bits := x.Mask.Size()
		if !ok || bits == 0 {
			return nil, 0, 0, errors.New("net.IPNet has no address, or a mask that is not a prefix")
		}
		if addr = addr.Unmap(); addr.Is4() && bits == 128 {
			ones -= 96
		}
		return networkValue(netip.PrefixFrom(addr, ones))
	case net.HardwareAddr:
		switch {
		case x == nil:
			return nil, 0, pgform.OIDMacaddr, nil
		case len(x) == 6:
			return x.String(), pgform.OIDMacaddr, 0, nil
		case len(x) == 8:
			return x.String(), pgform.OIDMacaddr8, 0, nil
		}
		return nil, 0, 0, fmt.Errorf("net.HardwareAddr has %d bytes: PostgreSQL has macaddr (6) and macaddr8 (8)", len(x))
	}
	return nil, 0, 0, fmt.Errorf("%T is not a network address", v)
}

// setNetwork stores an address of any of the server's network types in dst,
// which has one of Go's.
func setNetwork(dst reflect.Value, text string) error {
	if dst.Type() == reflect.TypeFor[net.HardwareAddr]() {
		mac, err := net.ParseMAC(text)
		if err != nil {
			return err
		}
		dst.SetBytes(mac)
		return nil
	}
	prefix, err := pgform.ParseInet(text)
	if err != nil {
		return err
	}
	whole := prefix.Bits() == prefix.Addr().BitLen()
	switch x := dst.Addr().Interface().(type) {
	case *netip.Prefix:
		*x = prefix
		return nil
	case *net.IPNet:
		*x = net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
		return nil
	case *netip.Addr:
		if whole {
			*x = prefix.Addr()
			return nil
		}
	case *net.IP:
		if whole {
			*x = prefix.Addr().AsSlice()
			return nil
		}
	}
	return fmt.Errorf("%s has a prefix length, which %s would lose: use psyco.Inet or netip.Prefix", text, dst.Type())
}
