package wire

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

const (
	copyFrame = 64 << 10 // payload of a CopyData message
	maxEmpty  = 100      // reads without progress, as in package bufio
	patience  = 100 * time.Millisecond
	lastWords = time.Second // for the server's reason after a failed write
)

// background is a goroutine that writes while the connection is being read.
type background struct {
	stopped  atomic.Bool // nothing may be written any more
	done     chan struct{}
	panicked any // valid once done
}

func newBackground() background { return background{done: make(chan struct{})} }

// end stops the goroutine and waits for it, but not for long if it is held up in
// code of the user. It reports whether it has ended.
func (g *background) end() bool {
	g.stopped.Store(true)
	select {
	case <-g.done:
	default:
		t := time.NewTimer(patience)
		defer t.Stop()
		select {
		case <-g.done:
		case <-t.C:
			return false
		}
	}
	if g.panicked != nil {
		panic(g.panicked)
	}
	return true
}

// pump sends what it reads as the data of COPY FROM STDIN.
type pump struct {
	background
	r     io.Reader
	bytes atomic.Int64
	err   error // of the reader; valid once done
}

func (p *pump) finish() (int64, error) {
	if !p.end() {
		return p.bytes.Load(), nil
	}
	return p.bytes.Load(), p.err
}

func (c *Conn) run(p *pump) {
	defer close(p.done)
	buf := make([]byte, headerSize+copyFrame)
	for !p.stopped.Load() {
		n, err := p.read(buf[headerSize:])
		if n > 0 {
			buf[0] = msgCopyData
			binary.BigEndian.PutUint32(buf[1:], uint32(n+4))
			if !c.pumpMessage(p, buf[:headerSize+n]) {
				return
			}
			p.bytes.Add(int64(n))
		}
		switch err {
		case nil:
		case io.EOF:
			c.pumpMessage(p, []byte{msgCopyDone, 0, 0, 0, 4})
			return
		default:
			p.err = err
			c.pumpMessage(p, appendCopyFail(nil, err.Error()))
			return
		}
	}
}

// read fills b as far as the reader goes. Whole frames save system calls, and the
// server shows nothing of a COPY before its end anyway.
func (p *pump) read(b []byte) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			p.panicked = v
			err = fmt.Errorf("psyco: the reader panicked: %v", v)
		}
	}()
	for empty := 0; n < len(b) && err == nil && !p.stopped.Load(); {
		var m int
		m, err = p.r.Read(b[n:])
		if m < 0 || m > len(b)-n {
			return n, fmt.Errorf("psyco: the reader returned an impossible count: %d", m)
		}
		n += m
		if m > 0 {
			empty = 0
		} else if empty++; empty == maxEmpty && err == nil {
			err = io.ErrNoProgress
		}
	}
	return n, err
}

// pumpMessage sends a message of COPY and reports whether to go on.
func (c *Conn) pumpMessage(p *pump, b []byte) bool {
	_, err := c.sendCopy(&p.background, b)
	if err != nil && err != errCopyOver {
		c.failBackground(err)
	}
	return err == nil
}

// failBackground tells the reader that a goroutine could not write.
func (c *Conn) failBackground(err error) {
	c.session.background.CompareAndSwap(nil, &protocolError{text: "psyco: sending to the server: " + err.Error(), cause: err})
	c.wakeReader(lastWords)
}

func (c *Conn) backgroundError() error {
	if err := c.session.background.Load(); err != nil {
		return err
	}
	return nil
}
