package wire

import (
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"
)

// Errors of a COPY that the server started and nobody was ready for. lib/pq
// reports an error of the server with the same text; [Conn.CopyDone] returns these.
var (
	ErrNoCopyReader = errors.New("psyco: COPY … FROM STDIN needs an io.Reader: pass one as the argument of Exec, or use CopyFrom")
	ErrNoCopyWriter = errors.New("psyco: COPY TO is not supported without an io.Writer: pass one as the argument of Exec, or use CopyTo")
)

// copying is the state of COPY in both directions.
type copying struct {
	armed *pump // for the next COPY FROM STDIN
	pump  *pump // started
	allow bool  // lib/pq's own copyin is at work

	foreign atomic.Bool            // lib/pq's copyin has begun, whose goroutine reads
	open    atomic.Bool            // the server is waiting for data
	failure atomic.Pointer[string] // why it should not wait any longer

	out     sink
	tag     string // of the COPY that was armed
	refused error
	abort   func()
}

// CopyIn arms a COPY FROM STDIN: its data is read from r, in a goroutine, until
// io.EOF. Another error of r makes the COPY fail. If the server reports an error
// first, nothing more is sent; a call of r.Read in progress is then left to end
// on its own, its data dropped. The statement must be a simple Query. Only the
// first COPY of a multi-statement string gets r. End it with [Conn.CopyDone].
func (c *Conn) CopyIn(r io.Reader) {
	p := &pump{background: newBackground()}
	p.produce = func(send func([]byte) error) error { return p.pumpReader(r, send) }
	c.armCopyIn(p)
}

// CopyInFunc is [Conn.CopyIn] for data that is made, not read: produce is called
// in the goroutine and gives send one frame after the other. The first
// [CopyHeader] bytes of a frame are send's to fill, the data follows; the memory
// is produce's again when send returns. Once send has returned an error nothing
// more is sent, and produce should return that error.
func (c *Conn) CopyInFunc(produce func(send func(frame []byte) error) error) {
	c.armCopyIn(&pump{background: newBackground(), produce: produce})
}

func (c *Conn) armCopyIn(p *pump) {
	c.copying.armed, c.copying.pump = p, nil
	c.copying.failure.Store(nil)
}

// CopyOut arms a COPY TO STDOUT: its data is written to w, in the goroutine that
// reads the connection, in large pieces that don't split rows needlessly. After
// an error of w, abort is called once, if it isn't nil, and the rest of the data
// is dropped; abort should make the server stop, by a CancelRequest, and not
// block for long. End it with [Conn.CopyDone].
func (c *Conn) CopyOut(w io.Writer, abort func()) {
	c.copying.out = sink{w: w, abort: abort, callback: &c.session.callback}
}

// CopyDone ends what [Conn.CopyIn] or [Conn.CopyOut] began, after the statement
// and whatever its outcome. It returns the number of bytes that were copied and
// the error of the reader or writer itself, if there was one, else
// [ErrNoCopyReader] or [ErrNoCopyWriter] if the last request began a COPY that
// nothing had been armed for. The statement's own error is lib/pq's to tell. A
// panic of the reader continues here.
func (c *Conn) CopyDone() (bytes int64, err error) {
	k := &c.copying
	pump, out := k.pump, k.out
	k.armed, k.pump, k.out, k.tag = nil, nil, sink{}, ""
	if c.reader.modes&modeCopyOut != 0 {
		k.out.err = io.ErrClosedPipe // drops what may still come
	}
	if pump != nil {
		bytes, err = pump.finish()
	}
	bytes += out.bytes
	if err == nil {
		err = out.err
	}
	if err == nil {
		err = k.refused
	}
	k.refused = nil
	return bytes, err
}

// CopyUsed reports whether the server has begun the COPY that was armed last. It
// is valid until [Conn.CopyDone].
func (c *Conn) CopyUsed() bool { return c.copying.used() }

func (k *copying) used() bool { return k.pump != nil || k.out.used }

// CopyTag returns the command tag of the COPY that was armed last, "" if the
// server has not completed it. It is valid until [Conn.CopyDone].
func (c *Conn) CopyTag() string { return c.copying.tag }

// AllowCopyIn says whether lib/pq itself is ready for a CopyInResponse, as it is
// while it prepares pq.CopyIn, but not when it executes. Else the Conn makes a COPY fail that has no reader.
func (c *Conn) AllowCopyIn(allow bool) {
	c.copying.allow = allow
	if allow {
		c.copying.failure.Store(nil)
	}
}

// SetCopyAbort sets what is called when the server begins a COPY TO STDOUT that
// has no writer, so that it needn't be read to its end. See [Conn.CopyOut].
func (c *Conn) SetCopyAbort(abort func()) { c.copying.abort = abort }

// FailCopy makes a COPY FROM STDIN fail, be it one of [Conn.CopyIn] or of
// pq.CopyIn: no more data is sent, but a CopyFail. It may be called from any
// goroutine and doesn't wait: if data is being written, CopyFail comes after it. A
// server that waits for data heeds no CancelRequest, so this is how to cancel.
// It also fails a COPY that was armed and that the server is about to begin.
// Without either it does nothing.
func (c *Conn) FailCopy(reason string) error {
	k := &c.copying
	k.failure.Store(&reason)
	if !k.open.Load() {
		return nil // copyInResponse will see the failure
	}
	if !c.writer.mu.TryLock() {
		return nil // who holds it will see the failure
	}
	defer c.writer.mu.Unlock()
	return c.sendFailure()
}

// sendFailure sends the CopyFail that FailCopy asked for; writer.mu is held.
func (c *Conn) sendFailure() error {
	k := &c.copying
	reason := k.failure.Swap(nil)
	if reason == nil || !k.open.Swap(false) {
		return nil
	}
	_, err := c.send(appendCopyFail(nil, *reason))
	return err
}

// errCopyOver is a message of COPY that was not sent, since the server no longer
// waits for it.
var errCopyOver = errors.New("psyco: the server has ended the COPY")

// writeCopy writes a message of pq.CopyIn.
func (c *Conn) writeCopy(p []byte) (int, error) {
	n, err := c.sendCopy(nil, p)
	if err == errCopyOver {
		return len(p), nil // lib/pq is about to read why
	}
	return n, err
}

// sendCopy sends a message of COPY, of the pump g or of lib/pq.
func (c *Conn) sendCopy(g *background, p []byte) (int, error) {
	n, err := c.sendCopyMessage(g, p)
	if err == nil && c.copying.failure.Load() != nil {
		c.writer.mu.Lock()
		defer c.writer.mu.Unlock()
		err = c.sendFailure()
	}
	return n, err
}

func (c *Conn) sendCopyMessage(g *background, p []byte) (int, error) {
	k := &c.copying
	c.writer.mu.Lock()
	defer c.writer.mu.Unlock()
	// Checked under the lock: what is written here goes out before any later
	// request, and the server ignores it if it has given up meanwhile.
	if !k.open.Load() || g != nil && g.stopped.Load() {
		return 0, errCopyOver
	}
	if p[0] != msgCopyData {
		k.open.Store(false)
	}
	return c.send(p)
}

// copyAnswer disposes of the messages of COPY, and lets all others pass.
func (c *Conn) copyAnswer(typ byte, total int) (verdict, error) {
	rd, k := &c.reader, &c.copying
	switch typ {
	case backCopyInResponse:
		return c.copyInResponse(total)
	case CopyOutResponse:
		if k.out.w != nil && !k.out.used {
			k.out.used = true
			rd.modes |= modeCopyOut
			return c.drop(total)
		}
		rd.modes |= modeRefuse
		k.refused = ErrNoCopyWriter
		if k.abort != nil {
			k.abort()
		}
		return c.drop(total)
	case msgCopyData:
		if rd.modes&modeCopyOut != 0 {
			c.copyRun()
			return verdictDrop, nil
		}
		if rd.modes&modeRefuse != 0 {
			return c.drop(total)
		}
	case msgCopyDone:
		if rd.modes&modeCopyOut != 0 {
			rd.modes &^= modeCopyOut
			k.out.flush()
			return c.drop(total)
		}
		if rd.modes&modeRefuse != 0 {
			return c.drop(total)
		}
	case CommandComplete:
		if rd.modes&modeRefuse != 0 {
			return c.refuse(total)
		}
		if k.tag == "" && k.used() {
			k.tag = string(c.session.tag)
		}
	}
	return c.pass(total)
}

// copyRun takes the CopyData messages at the start of the buffer, since there is
// one for each row. Of the last one a part may not have arrived; a header that
// cannot be right is left for next to find.
func (c *Conn) copyRun() {
	rd := &c.reader
	for rd.w-rd.r >= headerSize && rd.buf[rd.r] == msgCopyData {
		size := int(binary.BigEndian.Uint32(rd.buf[rd.r+1:])) - 4
		if size < 0 || size > longLimit-4 {
			return
		}
		rd.r += headerSize
		if rd.w-rd.r < size {
			rd.drop, rd.toSink = size, true
			return
		}
		c.copying.out.write(rd.buf[rd.r:rd.r+size], true)
		rd.r += size
	}
}

// copyInResponse starts the COPY FROM STDIN, or makes it fail.
func (c *Conn) copyInResponse(total int) (verdict, error) {
	k := &c.copying
	switch {
	case k.allow:
		k.foreign.Store(true)
		k.open.Store(true)
		if _, err := c.failIfAsked(); err != nil {
			return verdictAwait, err
		}
		return c.pass(total)
	case k.armed != nil && !c.writer.extended:
		p := k.armed
		k.armed = nil
		k.open.Store(true)
		switch failed, err := c.failIfAsked(); {
		case err != nil:
			return verdictAwait, err
		case !failed:
			k.pump = p
			go c.run(p)
		}
		return c.drop(total)
	}
	return c.refuseCopyIn(total)
}

// refuseCopyIn makes a COPY fail that nobody has data for.
func (c *Conn) refuseCopyIn(total int) (verdict, error) {
	if c.copying.refused == nil {
		c.copying.refused = ErrNoCopyReader
	}
	b := appendCopyFail(nil, ErrNoCopyReader.Error())
	if c.writer.extended {
		// The server has ignored the Sync that it found where data should be.
		b = AppendSync(b)
	}
	c.writer.mu.Lock()
	defer c.writer.mu.Unlock()
	if _, err := c.send(b); err != nil {
		return verdictAwait, err
	}
	return c.drop(total)
}

// failIfAsked sends what FailCopy asked for before the server began the COPY.
func (c *Conn) failIfAsked() (failed bool, err error) {
	if c.copying.failure.Load() == nil {
		return false, nil
	}
	c.writer.mu.Lock()
	defer c.writer.mu.Unlock()
	return true, c.sendFailure()
}

// refuse gives lib/pq an error in place of the outcome of a COPY TO STDOUT that
// had no writer, and drops the rest of the answer, as after any error.
func (c *Conn) refuse(total int) (verdict, error) {
	const featureNotSupported = "0A000"
	c.reader.modes &^= modeRefuse
	c.reader.modes |= modeDiscard
	return c.replace(total, appendError(nil, featureNotSupported, ErrNoCopyWriter.Error()))
}

// stopCopy is called when the server has reported an error or the end.
func (c *Conn) stopCopy() {
	c.copying.open.Store(false)
	if c.copying.pump != nil {
		c.copying.pump.stopped.Store(true)
	}
}

// sink takes the data of COPY TO STDOUT.
type sink struct {
	w     io.Writer
	abort func()
	used  bool
	buf   []byte
	bytes int64
	err   error

	callback *atomic.Bool // see Conn.InCallback
}

const (
	sinkBuffer = 64 << 10
	sinkFlush  = sinkBuffer / 2
)

// write takes a piece of a CopyData message; last says that it is the last one.
func (s *sink) write(piece []byte, last bool) {
	if s.err != nil {
		return
	}
	if len(s.buf)+len(piece) > sinkBuffer {
		s.flush()
	}
	if len(piece) >= sinkFlush {
		s.flush()
		s.output(piece)
		return
	}
	if s.buf == nil {
		s.buf = make([]byte, 0, sinkBuffer)
	}
	s.buf = append(s.buf, piece...)
	if last && len(s.buf) >= sinkFlush {
		s.flush()
	}
}

func (s *sink) flush() {
	if len(s.buf) > 0 {
		b := s.buf
		s.buf = s.buf[:0]
		s.output(b)
	}
}

func (s *sink) output(b []byte) {
	if s.err != nil {
		return
	}
	s.callback.Store(true)
	n, err := s.w.Write(b)
	s.callback.Store(false)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	s.bytes += int64(max(n, 0))
	if err != nil {
		s.err = err
		if s.abort != nil {
			s.abort()
		}
	}
}
