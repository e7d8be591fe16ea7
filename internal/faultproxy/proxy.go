// Package faultproxy is a TCP proxy on loopback that stands between a
// PostgreSQL client and its server and breaks the connection where a test says:
// it cuts, resets, stalls, trickles and delays, at once or at an exact byte or
// message, and counts what went through.
//
//	p, err := faultproxy.New("unix", "/var/run/postgresql/.s.PGSQL.5432")
//	defer p.Close()
//	db, err := sql.Open("psyco", p.ConnInfo()+" user=me")
//	// the server commits, but its answer never arrives:
//	p.On(faultproxy.Before(faultproxy.Then(faultproxy.SQL("COMMIT"),
//		faultproxy.Msg(faultproxy.ToClient, "Z"))), (*faultproxy.Link).Cut)
//
// The proxy reads headers only and forwards bytes as they are. TLS goes through
// untouched: its records are counted and matched in place of messages. All
// methods may be called from any goroutine.
package faultproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Proxy forwards every connection to its listener to one server.
type Proxy struct {
	network, address string
	listener         net.Listener
	ctx              context.Context // done when the proxy closes
	stop             context.CancelFunc
	goroutines       sync.WaitGroup

	mu       sync.Mutex
	links    map[*Link]struct{}
	accepted int
	counts   Counts
	triggers []*Trigger
	observe  func(Message)
	rewrite  func(link int, message []byte) Rewrite
	refuse   bool
	shape    shape // of links to come
}

// New starts a proxy on a free port of 127.0.0.1 to the server at address;
// network is "tcp" or "unix", as for net.Dial. Close it after use.
func New(network, address string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("faultproxy: %w", err)
	}
	p := &Proxy{
		network:  network,
		address:  address,
		listener: listener,
		links:    make(map[*Link]struct{}),
		counts:   newCounts(),
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.goroutines.Go(p.accept)
	return p, nil
}

// Addr is where the proxy listens, as host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// ConnInfo is the start of a connection string that leads to the proxy:
// "host=127.0.0.1 port=…".
func (p *Proxy) ConnInfo() string {
	a := p.listener.Addr().(*net.TCPAddr)
	return fmt.Sprintf("host=%s port=%d", a.IP, a.Port)
}

// Close closes the listener and all connections and returns when no goroutine
// of the proxy is left. It must not be called by a trigger's action.
func (p *Proxy) Close() error {
	p.stop()
	err := p.listener.Close()
	p.Cut()
	p.goroutines.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.goroutines.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	p.mu.Lock()
	refuse := p.refuse
	p.mu.Unlock()
	if refuse {
		reset(client)
		return
	}
	var dialer net.Dialer
	server, err := dialer.DialContext(p.ctx, p.network, p.address)
	if err != nil {
		reset(client) // what a client sees when nobody listens
		return
	}
	p.mu.Lock()
	p.accepted++
	p.counts.Connections++
	l := newLink(p, p.accepted, client, server, p.shape)
	p.links[l] = struct{}{}
	closing := p.ctx.Err() != nil
	p.mu.Unlock()
	if closing {
		l.Cut() // Close no longer sees this link
	}
	l.run()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// On makes do happen once, on the link that reaches the point first. Bytes
// before the point have been handed to the receiver's socket by then; bytes
// behind it follow after do, if do leaves a way. Usual actions are
// (*Link).Cut, (*Link).Reset and functions that call a Link's or the Proxy's
// other methods.
func (p *Proxy) On(point Point, do func(*Link)) *Trigger {
	t := &Trigger{point: point, do: do, fired: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.triggers = append(p.triggers, t)
	return t
}

// Disarm drops all triggers that have not been reached.
func (p *Proxy) Disarm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.triggers = nil
}

// Observe calls fn for every message, in the order in which the proxy reads
// them, until the next call of Observe; nil ends it. fn must not call the proxy.
func (p *Proxy) Observe(fn func(Message)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.observe = fn
}

// Refuse says whether new connections are reset at once, as if nobody listened.
func (p *Proxy) Refuse(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = yes
}

// Cut closes both sides of all connections.
func (p *Proxy) Cut() { p.each(nil, (*Link).Cut) }

// Reset closes both sides of all connections with a TCP reset.
func (p *Proxy) Reset() { p.each(nil, (*Link).Reset) }

// Stall stops forwarding on all connections, also those to come: sockets stay
// open and take bytes until buffers are full, but nothing comes out, not even
// the end of a connection. New connections are accepted and stall, too.
func (p *Proxy) Stall(dir Direction) {
	p.each(func(s *shape) { s.stall(dir, true) }, func(l *Link) { l.Stall(dir) })
}

// Resume ends Stall: what was held back goes out.
func (p *Proxy) Resume(dir Direction) {
	p.each(func(s *shape) { s.stall(dir, false) }, func(l *Link) { l.Resume(dir) })
}

// Trickle forwards at most n bytes at a time and waits after each, on all
// connections, also those to come. n = 0 ends it.
func (p *Proxy) Trickle(dir Direction, n int, pause time.Duration) {
	p.each(func(s *shape) { s.trickle(dir, n, pause) }, func(l *Link) { l.Trickle(dir, n, pause) })
}

// Delay forwards each byte d after it came, on all connections, also those to
// come. It is latency, not a limit of throughput: any number of bytes can be on
// their way.
func (p *Proxy) Delay(dir Direction, d time.Duration) {
	p.each(func(s *shape) { s.delay(dir, d) }, func(l *Link) { l.Delay(dir, d) })
}

// each changes the shape of links to come and does something to all there are.
func (p *Proxy) each(change func(*shape), do func(*Link)) {
	p.mu.Lock()
	if change != nil {
		change(&p.shape)
	}
	links := make([]*Link, 0, len(p.links))
	for l := range p.links {
		links = append(links, l)
	}
	p.mu.Unlock()
	for _, l := range links {
		do(l)
	}
}
