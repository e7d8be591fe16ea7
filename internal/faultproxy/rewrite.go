package faultproxy

import (
	"io"
)

// Rewrite is what a client gets in place of a message of its server.
type Rewrite struct {
	Bytes []byte
	Cut   bool // the link is cut behind them
	Mute  bool // the link says nothing more, and stays open
}

// Rewrite calls fn with every message of a server, whole, header included, in the
// order of each link, and sends what it returns. Links made before are not concerned,
// and what is not a message, such as TLS, goes through. fn must not call the proxy, and
// must be safe for concurrent use if there is more than one link.
func (p *Proxy) Rewrite(fn func(link int, message []byte) Rewrite) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rewrite = fn
}

// rewriting is read for the server's side of a link whose messages are rewritten.
func (l *Link) rewriting(fn func(int, []byte) Rewrite, src io.Reader, queue chan<- item) {
	defer close(queue)
	framer := framer{dir: ToClient, asked: &l.asked}
	var buf []byte
	piece := make([]byte, bufLen)
	mute := false
	give := func(it item) bool {
		if mute {
			return true
		}
		select {
		case queue <- it:
			return true
		case <-l.done:
			return false
		}
	}
	for {
		n, err := src.Read(piece)
		buf = append(buf, piece[:n]...)
		for len(buf) > 0 {
			l.proxy.mu.Lock()
			m, ok := framer.next(buf)
			l.proxy.mu.Unlock()
			if framer.phase != typed {
				m.Len, ok = len(buf), true
			}
			if !ok || m.Len > len(buf) {
				break
			}
			it := item{data: clone(buf[:m.Len])}
			if framer.phase == typed {
				r := fn(l.number, it.data)
				it.data = r.Bytes
				if r.Cut {
					it.then = &Trigger{do: (*Link).Cut, fired: make(chan struct{})}
				}
				if !give(it) {
					return
				}
				mute = mute || r.Mute
			} else if !give(it) {
				return
			}
			buf = buf[m.Len:]
		}
		if err != nil {
			mute = false
			give(item{end: true})
			return
		}
	}
}
