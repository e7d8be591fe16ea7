package faultproxy

import "maps"

// Counts says what went into a proxy. Messages and bytes count when the proxy
// reads them, whether or not a fault keeps them from arriving.
type Counts struct {
	Connections int // accepted and connected to the server
	// RoundTrips counts turnarounds: messages to the server that are the first of
	// a connection or follow one from the server. Terminate waits for no answer
	// and is not counted.
	RoundTrips int

	bytes    [2]int64
	messages [2]map[byte]int
}

func newCounts() Counts {
	return Counts{messages: [2]map[byte]int{{}, {}}}
}

// Bytes is how many bytes went in the direction, or with Both in either.
func (c Counts) Bytes(dir Direction) int64 {
	var sum int64
	for i, d := range []Direction{ToServer, ToClient} {
		if dir&d != 0 {
			sum += c.bytes[i]
		}
	}
	return sum
}

// Messages is how many messages whose type is in types went in the direction;
// with types "", how many of any type.
func (c Counts) Messages(dir Direction, types string) int {
	match := Msg(dir, types)
	sum := 0
	for i, d := range []Direction{ToServer, ToClient} {
		for typ, n := range c.messages[i] {
			if match(Message{Dir: d, Type: typ}) {
				sum += n
			}
		}
	}
	return sum
}

// Counts is what went in since the start or the last ResetCounts.
func (p *Proxy) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.counts
	for i, m := range c.messages {
		c.messages[i] = maps.Clone(m)
	}
	return c
}

// ResetCounts sets all counts to 0. A turnaround is still seen as one: an idle
// connection's next request is a new round trip.
func (p *Proxy) ResetCounts() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts = newCounts()
}
