package wire

import "sync/atomic"

// Stats counts what went over a connection since it was opened.
type Stats struct {
	// RoundTrips is how often the client waited for the server: an answer was
	// read from the socket after something had been written to it.
	RoundTrips uint64
	// BytesSent and BytesReceived count the bytes of the PostgreSQL protocol,
	// without those of TLS.
	BytesSent, BytesReceived uint64
}

type counters struct {
	wrote                      atomic.Bool // since the last answer
	roundTrips, sent, received atomic.Uint64
}

// Stats returns the counters of the connection. It may be called from any goroutine.
func (c *Conn) Stats() Stats {
	n := &c.session.counters
	return Stats{
		RoundTrips:    n.roundTrips.Load(),
		BytesSent:     n.sent.Load(),
		BytesReceived: n.received.Load(),
	}
}

func (n *counters) read(bytes int) {
	n.received.Add(uint64(bytes))
	if bytes > 0 && n.wrote.Load() && n.wrote.Swap(false) {
		n.roundTrips.Add(1)
	}
}
