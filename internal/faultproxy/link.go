package faultproxy

import (
	"io"
	"net"
	"sync"
	"time"
)

// Link is one connection through the proxy.
type Link struct {
	proxy    *Proxy
	number   int
	client   net.Conn
	server   net.Conn
	asked    int       // see framer.asked; guarded by proxy.mu
	lastWent Direction // of the last message read; guarded by proxy.mu

	closeOnce sync.Once
	done      chan struct{} // closed when both sockets are

	mu      sync.Mutex
	shape   shape
	changed chan struct{} // closed and replaced when shape changes
}

// shape is how bytes are forwarded, by direction.
type shape [2]struct {
	stalled bool
	delay   time.Duration
	piece   int // 0: any size
	pause   time.Duration
}

func index(dir Direction) int {
	if dir == ToServer {
		return 0
	}
	return 1
}

func (s *shape) stall(dir Direction, yes bool) {
	for i := range s {
		if dir&(1<<i) != 0 {
			s[i].stalled = yes
		}
	}
}

func (s *shape) trickle(dir Direction, n int, pause time.Duration) {
	for i := range s {
		if dir&(1<<i) != 0 {
			s[i].piece, s[i].pause = max(n, 0), pause
		}
	}
}

func (s *shape) delay(dir Direction, d time.Duration) {
	for i := range s {
		if dir&(1<<i) != 0 {
			s[i].delay = d
		}
	}
}

func newLink(p *Proxy, number int, client, server net.Conn, s shape) *Link {
	return &Link{
		proxy:   p,
		number:  number,
		client:  client,
		server:  server,
		done:    make(chan struct{}),
		shape:   s,
		changed: make(chan struct{}),
	}
}

// Proxy is the proxy that the link goes through.
func (l *Link) Proxy() *Proxy { return l.proxy }

// Number is the link's number, as Message.Conn.
func (l *Link) Number() int { return l.number }

// Cut closes both sides; the peers read the end of the stream.
func (l *Link) Cut() {
	l.close(func(c net.Conn) {
		// close(2) with unread input resets a connection, so end the stream first.
		if w, ok := c.(interface{ CloseWrite() error }); ok {
			w.CloseWrite()
		}
		c.Close()
	})
}

// Reset closes both sides with a TCP reset; a Unix socket has none and is closed.
func (l *Link) Reset() { l.close(reset) }

func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}

func (l *Link) close(how func(net.Conn)) {
	l.closeOnce.Do(func() {
		how(l.client)
		how(l.server)
		close(l.done)
	})
}

// Stall, Resume, Trickle and Delay are as those of Proxy, for this link alone.
func (l *Link) Stall(dir Direction) { l.change(func(s *shape) { s.stall(dir, true) }) }

// Resume ends Stall.
func (l *Link) Resume(dir Direction) { l.change(func(s *shape) { s.stall(dir, false) }) }

// Trickle forwards at most n bytes at a time and waits after each.
func (l *Link) Trickle(dir Direction, n int, pause time.Duration) {
	l.change(func(s *shape) { s.trickle(dir, n, pause) })
}

// Delay forwards each byte d after it came.
func (l *Link) Delay(dir Direction, d time.Duration) {
	l.change(func(s *shape) { s.delay(dir, d) })
}

func (l *Link) change(f func(*shape)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.shape)
	close(l.changed)
	l.changed = make(chan struct{})
}

// run forwards until both directions have ended or the link is closed.
func (l *Link) run() {
	var both sync.WaitGroup
	l.proxy.mu.Lock()
	rewrite := l.proxy.rewrite
	l.proxy.mu.Unlock()
	for _, way := range []struct {
		dir      Direction
		src, dst net.Conn
	}{{ToServer, l.client, l.server}, {ToClient, l.server, l.client}} {
		queue := make(chan item, 256) // of at most bufLen bytes each
		if rewrite != nil && way.dir == ToClient {
			both.Go(func() { l.rewriting(rewrite, way.src, queue) })
		} else {
			both.Go(func() { l.read(way.dir, way.src, queue) })
		}
		both.Go(func() { l.write(way.dir, way.dst, queue) })
	}
	both.Wait()
	l.Cut()
}

const bufLen = 64 << 10

// item is what a reader gives to its writer: bytes, and what happens after
// them. The queue between them is what makes a delay latency and nothing else.
type item struct {
	data []byte
	when time.Time // zero: at once
	then *Trigger
	end  bool // the sender ended its stream
}

func (l *Link) read(dir Direction, src io.Reader, queue chan<- item) {
	defer close(queue)
	framer := framer{dir: dir, asked: &l.asked}
	var (
		buf     = make([]byte, bufLen)
		have    int   // bytes in buf
		rest    int   // bytes of the current message that are to come
		pending []due // triggers inside the current message
	)
	for {
		n, err := src.Read(buf[have:])
		var when time.Time
		l.mu.Lock()
		if d := l.shape[index(dir)].delay; d > 0 {
			when = time.Now().Add(d)
		}
		l.mu.Unlock()
		have += n
		var items []item
		l.proxy.mu.Lock()
		used := l.scan(&framer, buf[:have], &rest, &pending)
		if err != nil {
			used = have // an unfinished head goes out as it is
		}
		items, pending = l.proxy.split(dir, buf[:used], pending)
		l.proxy.counts.bytes[index(dir)] += int64(used)
		l.proxy.mu.Unlock()
		if err != nil {
			items = append(items, item{end: true})
		}
		for _, it := range items {
			it.when = when
			select {
			case queue <- it:
			case <-l.done:
				return
			}
		}
		have = copy(buf, buf[used:have])
		if err != nil {
			return
		}
	}
}

// scan walks the messages of b, adds the triggers that they match to pending
// and returns how many bytes can be forwarded: all but the head of a message
// that is not there yet. The proxy is locked.
func (l *Link) scan(f *framer, b []byte, rest *int, pending *[]due) int {
	p := l.proxy
	used := min(*rest, len(b))
	*rest -= used
	for used < len(b) {
		if f.phase == opaque {
			return len(b)
		}
		m, ok := f.next(b[used:])
		if !ok {
			break
		}
		if m.Len == 0 {
			continue // found to be opaque
		}
		m.Conn = l.number
		if m.Dir == ToServer && m.Type != 'X' && l.lastWent != ToServer {
			p.counts.RoundTrips++
		}
		l.lastWent = m.Dir
		p.counts.messages[index(m.Dir)][m.Type]++
		if p.observe != nil {
			p.observe(m)
		}
		waiting := p.triggers[:0:0]
		for _, t := range p.triggers {
			if t.point.match != nil && t.point.match(m) {
				*pending = append(*pending, due{used + t.at(m), t})
			} else {
				waiting = append(waiting, t)
			}
		}
		p.triggers = waiting
		take := min(m.Len, len(b)-used)
		*rest = m.Len - take
		used += take
	}
	return used
}

// split cuts b at the points of triggers. It returns the triggers that lie
// further on. The proxy is locked.
func (p *Proxy) split(dir Direction, b []byte, pending []due) ([]item, []due) {
	if len(b) > 0 {
		waiting := p.triggers[:0:0]
		for _, t := range p.triggers {
			switch {
			case t.point.match != nil || t.point.dir&dir == 0:
				waiting = append(waiting, t)
			case t.point.n <= int64(len(b)):
				pending = append(pending, due{int(t.point.n), t})
			default:
				t.point.n -= int64(len(b))
				waiting = append(waiting, t)
			}
		}
		p.triggers = waiting
	}
	var (
		items []item
		start int
		later []due
	)
	for len(pending) > 0 {
		first := 0
		for i, d := range pending {
			if d.left < pending[first].left {
				first = i
			}
		}
		d := pending[first]
		pending = append(pending[:first:first], pending[first+1:]...)
		if d.left > len(b) {
			later = append(later, due{d.left - len(b), d.Trigger})
			continue
		}
		items = append(items, item{data: clone(b[start:d.left]), then: d.Trigger})
		start = d.left
	}
	if start < len(b) {
		items = append(items, item{data: clone(b[start:])})
	}
	return items, later
}

func clone(b []byte) []byte { return append([]byte(nil), b...) }

func (l *Link) write(dir Direction, dst net.Conn, queue <-chan item) {
	for it := range queue {
		if !l.send(dir, dst, it) {
			l.Cut() // the reader may wait for room in the queue
			return
		}
	}
}

// send delivers one item and reports whether the link is still there.
func (l *Link) send(dir Direction, dst net.Conn, it item) bool {
	if !l.wait(dir, it.when) {
		return false
	}
	for len(it.data) > 0 {
		l.mu.Lock()
		s := l.shape[index(dir)]
		l.mu.Unlock()
		n := len(it.data)
		if s.piece > 0 {
			n = min(n, s.piece)
		}
		if _, err := dst.Write(it.data[:n]); err != nil {
			return false
		}
		it.data = it.data[n:]
		var when time.Time
		if s.piece > 0 && s.pause > 0 {
			when = time.Now().Add(s.pause)
		}
		if !l.wait(dir, when) {
			return false
		}
	}
	if it.then != nil {
		it.then.fire(l)
	}
	if it.end {
		// Only this half: the receiver may still have something to say.
		w, ok := dst.(interface{ CloseWrite() error })
		return ok && w.CloseWrite() == nil
	}
	return true
}

// wait returns when it is time and the direction is not stalled; false means
// that the link was closed first.
func (l *Link) wait(dir Direction, when time.Time) bool {
	if !when.IsZero() {
		if d := time.Until(when); d > 0 {
			timer := time.NewTimer(d)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-l.done:
				return false
			}
		}
	}
	for {
		l.mu.Lock()
		stalled, changed := l.shape[index(dir)].stalled, l.changed
		l.mu.Unlock()
		if !stalled {
			select {
			case <-l.done:
				return false
			default:
				return true
			}
		}
		select {
		case <-changed:
		case <-l.done:
			return false
		}
	}
}
