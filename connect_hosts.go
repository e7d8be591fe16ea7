package psyco

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"path"
	"slices"
	"strconv"

	"github.com/lib/pq"
)

// endpoint is one address of a host.
type endpoint struct {
	host             Host
	network, address string
}

// String names the host and, if it differs, the address.
func (e endpoint) String() string {
	name := e.host.Host
	if name == "" || e.network == "unix" {
		return e.address
	}
	name = net.JoinHostPort(name, strconv.Itoa(int(e.host.Port)))
	if name == e.address {
		return name
	}
	addr, _, err := net.SplitHostPort(e.address)
	if err != nil {
		addr = e.address
	}
	return name + " (" + addr + ")"
}

// connect opens a session on the first host that can be reached and is of the
// wanted kind. Its error is the server's *pq.Error, or whatever else went
// wrong, as it is, if there is one host; for several it lists every attempt.
// It is never driver.ErrBadConn, which database/sql would answer by trying
// again.
func (d *dialer) connect(ctx context.Context) (*session, error) {
	hosts := slices.Clone(d.cfg.Hosts)
	if d.random() {
		rand.Shuffle(len(hosts), func(i, j int) { hosts[i], hosts[j] = hosts[j], hosts[i] })
	}
	t := target(d.cfg.TargetSessionAttrs)
	s, failed := d.tryHosts(ctx, t, hosts)
	if s == nil && t == preferStandby && last(failed).next != stop {
		s, failed = d.tryHosts(ctx, anyTarget, hosts)
	}
	if s == nil {
		return nil, summarize(failed, len(hosts))
	}
	return s, nil
}

func (d *dialer) random() bool { return d.cfg.LoadBalanceHosts == "random" }

func (d *dialer) tryHosts(ctx context.Context, t target, hosts []Host) (*session, []*attemptError) {
	var failed []*attemptError
	for _, host := range hosts {
		s, errs := d.tryHost(ctx, t, host)
		if s != nil {
			return s, nil
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
func (d *dialer) tryHost(ctx context.Context, t target, host Host) (*session, []*attemptError) {
	password, err := d.passwordFor(ctx, host)
	if err != nil {
		return nil, []*attemptError{{host.String(), stop, fmt.Errorf("psyco: the password for %s: %w", host, err)}}
	}
	endpoints, err := d.endpoints(ctx, host)
	if err != nil {
		next := otherHost
		if ctx.Err() != nil {
			next, err = stop, fmt.Errorf("psyco: looking up %s: %w", host, ctx.Err())
		}
		return nil, []*attemptError{{host.String(), next, err}}
	}
	var failed []*attemptError
	for _, at := range endpoints {
		s, errs := d.tryEndpoint(ctx, t, at, password)
		if s != nil {
			return s, nil
		}
		failed = append(failed, errs...)
		if last(failed).next != otherAddress {
			break
		}
	}
	return nil, failed
}

func (d *dialer) passwordFor(ctx context.Context, host Host) (string, error) {
	switch {
	case d.password != nil:
		return d.password(ctx, d.cfg.Clone(), host)
	case d.cfg.Password != "":
		return d.cfg.Password, nil
	default:
		return host.Password, nil
	}
}

// endpoints lists the addresses of a host. A dialer of the program's own gets
// the name: it may know names that are unknown here.
func (d *dialer) endpoints(ctx context.Context, host Host) ([]endpoint, error) {
	port := strconv.Itoa(int(host.Port))
	if host.Hostaddr == "" && isSocket(host.Host) {
		return []endpoint{{host, "unix", path.Join(host.Host, ".s.PGSQL."+port)}}, nil
	}
	name := host.Hostaddr
	if name == "" {
		name = host.Host
	}
	if d.dial != nil || host.Hostaddr != "" {
		return []endpoint{{host, "tcp", net.JoinHostPort(name, port)}}, nil
	}
	if limit := d.cfg.ConnectTimeout; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	addrs, err := net.DefaultResolver.LookupIPAddr(ctx, name)
	if err != nil {
		return nil, err
	}
	if d.random() {
		rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	}
	endpoints := make([]endpoint, len(addrs))
	for i, addr := range addrs {
		endpoints[i] = endpoint{host, "tcp", net.JoinHostPort(addr.String(), port)}
	}
	return endpoints, nil
}

func last(failed []*attemptError) *attemptError { return failed[len(failed)-1] }

// summarize makes one error of all attempts.
func summarize(failed []*attemptError, hosts int) error {
	if last(failed).next == stop {
		// One of the default sockets answered: those that do not exist are not
		// worth a word, and the error stays the server's own.
		failed = slices.DeleteFunc(failed, isMissingSocket)
	}
	if hosts == 1 || len(failed) == 1 {
		if pe := mostTelling(failed); pe != nil {
			return pe
		}
		// One attempt speaks for itself, and so does one that was answered.
		if end := last(failed); len(failed) == 1 || end.next == stop {
			return end.cause
		}
	}
	errs := make([]error, len(failed))
	for i, f := range failed {
		errs[i] = f
	}
	// lib/pq's programs find the list one Unwrap down.
	return fmt.Errorf("psyco: could not connect to any of the hosts:\n%w", errors.Join(errs...))
}

func isMissingSocket(e *attemptError) bool {
	var op *net.OpError
	return e.next != stop && errors.As(e, &op) && op.Net == "unix" && errors.Is(op, fs.ErrNotExist)
}

// mostTelling picks the server's error that is worth showing. Where one attempt
// was with TLS and one without, pg_hba.conf often has a line for one of them
// only: the other error is then about the missing line.
func mostTelling(failed []*attemptError) error {
	var found *pq.Error
	for _, f := range failed {
		var pe *pq.Error
		if errors.As(f, &pe) && (found == nil || found.Code == "28000") {
			found = pe
		}
	}
	if found == nil {
		return nil
	}
	return found
}
