package dial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// Host is one place to connect to.
type Host struct {
	Host     string // a name, an address, or where a Unix-domain socket is
	Hostaddr string // the address to use, if the name is not to be looked up
	Port     uint16
	Password string
}

// String returns the host and its port.
func (h Host) String() string {
	return net.JoinHostPort(cmp.Or(h.Host, h.Hostaddr), strconv.Itoa(int(h.Port)))
}

// IsSocket reports whether host is the directory of a Unix-domain socket or
// an abstract socket (libpq: is_unixsock_path).
func IsSocket(host string) bool {
	return strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") ||
		runtime.GOOS == "windows" && filepath.IsAbs(host)
}

// Endpoint is one address of a host.
type Endpoint struct {
	Host             Host
	Network, Address string
}

// String names the host and, if it differs, the address.
func (e Endpoint) String() string {
	name := e.Host.Host
	if name == "" || e.Network == "unix" {
		return e.Address
	}
	name = net.JoinHostPort(name, strconv.Itoa(int(e.Host.Port)))
	if name == e.Address {
		return name
	}
	addr, _, err := net.SplitHostPort(e.Address)
	if err != nil {
		addr = e.Address
	}
	return name + " (" + addr + ")"
}

// Connect opens a session on the first host that can be reached and is of the
// wanted kind. The Cause of its [Error] is the server's error, or whatever else went wrong, as
// it is, if there is one host; for several it lists every attempt. It is never
// driver.ErrBadConn, which database/sql would answer by trying again.
func (p *Params) Connect(ctx context.Context) (*Conn, error) {
	hosts := p.Hosts
	if p.Random {
		hosts = slices.Clone(hosts)
		rand.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	}
	var failed []*attemptError
	for _, wanted := range p.Wanted {
		var c *Conn
		if c, failed = p.tryHosts(ctx, wanted, hosts); c != nil {
			return c, nil
		}
		if last(failed).next == stop {
			break
		}
	}
	return nil, summarize(failed, len(hosts))
}

func (p *Params) tryHosts(ctx context.Context, wanted string, hosts []Host) (*Conn, []*attemptError) {
	var failed []*attemptError
	for _, host := range hosts {
		c, errs := p.tryHost(ctx, wanted, host)
		if c != nil {
			return c, nil
		}
		failed = append(failed, errs...)
		if last(failed).next == stop {
			break
		}
	}
	return nil, failed
}

// tryHost tries all addresses of a host. On failure it returns at least one
// error.
func (p *Params) tryHost(ctx context.Context, wanted string, host Host) (*Conn, []*attemptError) {
	password, err := p.Password(ctx, host)
	if err != nil {
		return nil, []*attemptError{{host.String(), stop, fmt.Errorf("the password: %w", err)}}
	}
	endpoints, err := p.endpoints(ctx, host)
	if err != nil {
		next := otherHost
		if ctx.Err() != nil {
			next, err = stop, fmt.Errorf("looking up the host: %w", ctx.Err())
		}
		return nil, []*attemptError{{host.String(), next, err}}
	}
	var failed []*attemptError
	for _, at := range endpoints {
		c, errs := p.tryEndpoint(ctx, wanted, at, password)
		if c != nil {
			return c, nil
		}
		failed = append(failed, errs...)
		if last(failed).next != otherAddress {
			break
		}
	}
	return nil, failed
}

// endpoints lists the addresses of a host. A dialer of the program's own gets
// the name: it may know names that are unknown here.
func (p *Params) endpoints(ctx context.Context, host Host) ([]Endpoint, error) {
	port := strconv.Itoa(int(host.Port))
	if host.Hostaddr == "" && IsSocket(host.Host) {
		return []Endpoint{{host, "unix", path.Join(host.Host, ".s.PGSQL."+port)}}, nil
	}
	name := host.Hostaddr
	if name == "" {
		name = host.Host
	}
	if p.Dial != nil || host.Hostaddr != "" {
		return []Endpoint{{host, "tcp", net.JoinHostPort(name, port)}}, nil
	}
	if limit := p.ConnectTimeout; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	addrs, err := net.DefaultResolver.LookupIPAddr(ctx, name)
	if err != nil {
		return nil, err
	}
	if p.Random {
		rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	}
	endpoints := make([]Endpoint, len(addrs))
	for i, addr := range addrs {
		endpoints[i] = Endpoint{host, "tcp", net.JoinHostPort(addr.String(), port)}
	}
	return endpoints, nil
}

func last(failed []*attemptError) *attemptError { return failed[len(failed)-1] }

// summarize makes one error of all attempts.
func summarize(failed []*attemptError, hosts int) *Error {
	if last(failed).next == stop {
		// One of the default sockets answered: those that do not exist are not
		// worth a word, and the error stays the server's own.
		failed = slices.DeleteFunc(failed, isMissingSocket)
	}
	if hosts == 1 || len(failed) == 1 {
		if told := mostTelling(failed); told != nil {
			return told.alone()
		}
		// One attempt speaks for itself, and so does one that was answered.
		if end := last(failed); len(failed) == 1 || end.next == stop {
			return end.alone()
		}
	}
	all := make([]error, len(failed))
	var advice []string
	for i, f := range failed {
		all[i] = f
		if do := advise(f.cause); do != "" && !slices.Contains(advice, do) {
			advice = append(advice, do)
		}
	}
	return &Error{Cause: errors.Join(all...), Do: strings.Join(advice, "\n")}
}

func isMissingSocket(e *attemptError) bool {
	var op *net.OpError
	return e.next != stop && errors.As(e, &op) && op.Net == "unix" && errors.Is(op, fs.ErrNotExist)
}

// mostTelling picks the server's error that is worth showing. Where one attempt
// was with TLS and one without, pg_hba.conf often has a line for one of them
// only: the other error is then about the missing line.
func mostTelling(failed []*attemptError) (found *attemptError) {
	var said serverError
	for _, f := range failed {
		var se serverError
		if errors.As(f, &se) && (found == nil || said.SQLState() == "28000") {
			found, said = f, se
		}
	}
	return found
}
