package wire

import (
	"net"
	"runtime"
	"sync/atomic"
	"time"
)

// The answer to a short statement comes from a server on the same machine sooner
// than a thread that sleeps can be woken, above all on virtual machines. So for a
// moment the socket is read again and again before the goroutine is put to sleep.
// That costs CPU time, which is why
//   - it is done while the process waits for one answer only: where it waits for
//     several, there is other work for the CPUs, perhaps the server's;
//   - it is not done where Go uses a single CPU;
//   - a connection does it ever less if it is in vain, as over a network or where
//     others wait too.

const (
	// busyPollTime is about what it costs to fall asleep and be woken.
	busyPollTime = 50 * time.Microsecond
	// busyPollReads ends it where time stands still, as in a bubble of testing/synctest.
	busyPollReads = 2000
	// maxUnpolled is how many answers in a row go unpolled at most.
	maxUnpolled = 256
)

// waiting counts the answers that the process waits for.
var waiting atomic.Int32

// busyPoller is what a connection has learnt about the time its answers take.
type busyPoller struct {
	possible bool // the socket can be read without waiting, and nothing is above it
	unpolled int  // answers to be waited for without polling
	backoff  int  // what unpolled was last set to
	reader   pollReader
}

func (c *Conn) initBusyPoll() {
	switch c.nc.(type) { // exactly: what has one of them inside may do more when it reads
	case *net.TCPConn, *net.UnixConn:
		c.poller.possible = c.raw != nil && runtime.GOMAXPROCS(0) > 1
	}
}

// readAnswer is nc.Read for the first bytes of an answer.
func (c *Conn) readAnswer(p []byte) (int, error) {
	waiting.Add(1)
	defer waiting.Add(-1)
	if b := &c.poller; b.unpolled > 0 {
		b.unpolled--
	} else if b.possible {
		if n, err := c.busyPoll(p); n > 0 || err != nil {
			b.backoff = 0
			return n, err
		}
		b.backoff = min(max(1, 2*b.backoff), maxUnpolled)
		b.unpolled = b.backoff
	}
	return c.nc.Read(p)
}

// busyPoll reads what arrives within a moment, which may be nothing.
func (c *Conn) busyPoll(p []byte) (n int, err error) {
	begin := time.Now()
	for i := 0; i < busyPollReads && waiting.Load() == 1; i++ {
		if n, err = c.readNow(p); n > 0 || err != nil || time.Since(begin) >= busyPollTime {
			break
		}
	}
	return n, err
}
