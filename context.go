package psyco

import (
	"context"
	"sync"
	"time"
)

// call watches the contexts of one request. When one ends, the server is asked
// to cancel the statement; if it does not answer within the connector's grace
// period, the connection is cut, so that a dead network cannot hang a caller.
type call struct {
	c    *conn
	own  watched // the statement's context
	tx   watched // the transaction's, if that is another one
	mu   sync.Mutex
	over bool // the request has its answer

	// Made when a context ends.
	answered chan struct{} // closed when the request has its answer
	done     chan struct{} // closed when no cancel request is under way any more

	// Set before done is closed.
	cause  error // the error of the context that ended
	usable bool  // the server has taken every cancel request, and in time
}

// watched is a context and how to stop watching it.
type watched struct {
	ctx  context.Context
	fire func() // kept, so that watching costs no closure
	stop func() bool
}

func newCall(c *conn) *call {
	k := &call{c: c}
	k.own.fire = func() { k.cancel(k.own.ctx) }
	k.tx.fire = func() { k.cancel(k.tx.ctx) }
	return k
}

// watch begins to watch ctx, and the context of the open transaction, for a
// request. It returns nil if neither can end.
func (c *conn) watch(ctx context.Context) *call {
	var txCtx context.Context
	if c.tx != nil && c.tx.ctx.Done() != nil && c.tx.ctx.Done() != ctx.Done() {
		txCtx = c.tx.ctx
	}
	if ctx.Done() == nil && txCtx == nil {
		return nil
	}
	k := c.idleCall
	if k == nil {
		k = newCall(c)
	}
	c.idleCall = nil
	if ctx.Done() != nil {
		k.own.ctx = ctx
		k.own.stop = context.AfterFunc(ctx, k.own.fire)
	}
	if txCtx != nil {
		k.tx.ctx = txCtx
		k.tx.stop = context.AfterFunc(txCtx, k.tx.fire)
	}
	c.running = k
	return k
}

// cancel runs in a goroutine of its own when a context ends.
func (k *call) cancel(ctx context.Context) {
	k.mu.Lock()
	if k.over || k.done != nil {
		k.mu.Unlock()
		return
	}
	k.answered, k.done = make(chan struct{}), make(chan struct{})
	k.mu.Unlock()
	defer close(k.done)

	k.cause = ctx.Err()
	c := k.c
	cut := time.AfterFunc(c.con.grace, func() { c.wire.SetDeadline(time.Unix(1, 0)) })
	// A cancel request that overtakes the statement finds nothing to cancel, so
	// it is repeated until there is an answer.
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		// A server that waits for COPY data, or for the rest of a pipeline, does
		// not heed a cancel request. Both are nothing where there is neither.
		c.wire.FailCopy(k.cause.Error())
		c.wire.AbortExchange()
		sent := c.sess.cancelWithin(c.con.grace) == nil
		again := time.NewTimer(pause)
		select {
		case <-k.answered:
			again.Stop()
			// Without the server's word for it the request may still be under
			// way, and would hit the connection's next statement.
			k.usable = cut.Stop() && sent
			return
		case <-again.C:
		}
	}
}

// cancelWithin asks the server to cancel the session's running statement.
func (s *session) cancelWithin(d time.Duration) error {
	ctx, stop := context.WithTimeout(background, d)
	defer stop()
	return s.link.Cancel(ctx)
}

// end stops watching. It returns the error of the context that ended before the
// request was answered, if one did, and whether the connection can still be
// used.
func (k *call) end() (cause error, usable bool) {
	if k == nil {
		return nil, true
	}
	if k.c.running == k {
		k.c.running = nil
	}
	stopped := true
	for _, w := range []*watched{&k.own, &k.tx} {
		if w.stop != nil {
			if w.stop() {
				w.ctx = nil
			} else {
				stopped = false
			}
			w.stop = nil
		}
	}
	if stopped {
		k.c.idleCall = k // nothing refers to it any more
		return nil, true
	}
	k.mu.Lock()
	k.over = true
	done := k.done
	k.mu.Unlock()
	if done == nil {
		return nil, true
	}
	close(k.answered)
	<-done
	return k.cause, k.usable
}

// finish ends a request: it stops watching and turns lib/pq's error into the
// one the caller gets.
func (c *conn) finish(k *call, err error) error {
	cause, usable := k.end()
	err = c.fault(err)
	if !usable && c.lost == nil {
		c.lost = cause
	}
	if cause == nil || err == nil {
		return err // without an error the answer came first: it has happened
	}
	return &canceledError{cause: cause, err: err}
}
