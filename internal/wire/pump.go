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

// pump sends the data of COPY FROM STDIN.
type pump struct {
	background
	produce func(send func(frame []byte) error) error
	bytes   atomic.Int64
	err     error // of produce; valid once done
}

// CopyHeader is what a frame of [Conn.CopyInFunc] leaves free at its start.
const CopyHeader = headerSize

func (p *pump) finish() (int64, error) {
	if !p.end() {
		return p.bytes.Load(), nil
	}
	return p.bytes.Load(), p.err
}

func (c *Conn) run(p *pump) {
	defer close(p.done)
	err := p.protect(func(frame []byte) error {
		if len(frame)-1 > longLimit {
			return fmt.Errorf("psyco: %d bytes of COPY data in one piece are more than the protocol's limit of 1 GiB", len(frame)-CopyHeader)
		}
		frame[0] = msgCopyData
		binary.BigEndian.PutUint32(frame[1:], uint32(len(frame)-1))
		if !c.pumpMessage(p, frame) {
			return errCopyOver
		}
		p.bytes.Add(int64(len(frame) - CopyHeader))
		return nil
	})
	switch err {
	case nil:
		c.pumpMessage(p, []byte{msgCopyDone, 0, 0, 0, 4})
	case errCopyOver:
	default:
		p.err = err
		c.pumpMessage(p, appendCopyFail(nil, err.Error()))
	}
}

// protect calls produce. A panic of it fails the COPY, and continues in the
// goroutine that uses the connection.
func (p *pump) protect(send func([]byte) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			p.panicked = v
			err = fmt.Errorf("psyco: the source of the data panicked: %v", v)
		}
	}()
	return p.produce(send)
}

// pumpReader sends what it reads from r.
func (p *pump) pumpReader(r io.Reader, send func([]byte) error) error {
	frame := make([]byte, CopyHeader+copyFrame)
	for !p.stopped.Load() {
		n, err := p.fill(frame[CopyHeader:], r)
		if n > 0 {
			if err := send(frame[:CopyHeader+n]); err != nil {
				return err
			}
		}
		switch err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
	}
	return errCopyOver
}

// fill fills b as far as the reader goes. Whole frames save system calls, and the
// server shows nothing of a COPY before its end anyway.
func (p *pump) fill(b []byte, r io.Reader) (n int, err error) {
	for empty := 0; n < len(b) && err == nil && !p.stopped.Load(); {
		var m int
		m, err = r.Read(b[n:])
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
