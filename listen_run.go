package psyco

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/wire"
)

// run is the Listener's goroutine. It alone uses the connection and channels.
func (l *Listener) run() {
	defer close(l.running)
	defer l.refuse(errListenerClosed)
	pause := l.opts.ReconnectMin
	var lost error // why the last connection ended
	for l.idle() {
		began := time.Now()
		c, err := l.connect(lost)
		if err == nil {
			lost = l.serve(c)
			l.disconnect(c)
			if time.Since(began) > pause {
				pause = l.opts.ReconnectMin
			}
		}
		switch {
		case l.ctx.Err() != nil:
			return
		case err == nil:
			l.opts.Logger.Warn("psyco: the listener has lost its connection", slog.Any("error", lost))
		case len(l.channels) == 0:
			l.refuse(err) // nobody has been promised anything yet
			continue
		default:
			l.opts.Logger.Warn("psyco: the listener cannot connect", slog.Any("error", err))
		}
		l.sleep(pause/2 + rand.N(pause/2+1))
		pause = min(2*pause, l.opts.ReconnectMax)
	}
}

// idle waits until a connection is needed. It returns false when the Listener
// has been closed.
func (l *Listener) idle() bool {
	for l.ctx.Err() == nil {
		l.mu.Lock()
		needed := len(l.commands)+len(l.channels) > 0
		l.mu.Unlock()
		if needed {
			return true
		}
		l.rest()
	}
	return false
}

// rest waits for interrupt.
func (l *Listener) rest() {
	select {
	case <-l.wake:
	case <-l.ctx.Done():
	}
}

func (l *Listener) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.ctx.Done():
	}
}

// refuse answers all commands that wait.
func (l *Listener) refuse(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, cmd := range l.commands {
		cmd.done <- err
	}
	l.commands = nil
}

// connect opens a connection that listens to all channels. If they were listened
// to before, on a connection that was lost, it says so in the queue.
func (l *Listener) connect(lost error) (*conn, error) {
	ctx := l.ctx
	if l.con.cfg.ConnectTimeout == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, l.opts.PingInterval,
			fmt.Errorf("the Listener's PingInterval of %s is over", l.opts.PingInterval))
		defer cancel()
	}
	c, err := l.con.connect(ctx)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.conn = c // from here on, Close ends it
	l.mu.Unlock()
	if err := l.ctx.Err(); err != nil {
		l.disconnect(c)
		return nil, err
	}

	var early []event // follow what happened before them
	c.sess.onNotification(func(n *pq.Notification) { early = append(early, notified(n)) })
	if len(l.channels) > 0 {
		names := slices.Sorted(maps.Keys(l.channels))
		if err := l.request(c, quoteChannels("LISTEN", names)); err != nil {
			l.disconnect(c)
			return nil, err
		}
		l.opts.Logger.Info("psyco: the listener has connected again")
		l.missed(lost)
	}
	for _, e := range early {
		l.push(e)
	}
	c.sess.onNotification(func(n *pq.Notification) { l.push(notified(n)) })
	return c, nil
}

func notified(n *pq.Notification) event {
	return event{Notification: Notification{Channel: n.Channel, Payload: n.Extra, PID: uint32(n.BePid)}}
}

// missed tells that notifications may have been missed, unless that is what was
// told last.
func (l *Listener) missed(lost error) {
	l.mu.Lock()
	n := len(l.queue)
	told := n > 0 && l.queue[n-1].err != nil
	l.mu.Unlock()
	if !told {
		l.push(event{err: fmt.Errorf("%w: %w", ErrNotificationsMissed, lost)})
	}
}

func (l *Listener) disconnect(c *conn) {
	l.mu.Lock()
	l.conn = nil
	l.mu.Unlock()
	c.Close()
}

// serve uses a connection until it is lost, and returns why, or nil if the
// Listener has been closed.
func (l *Listener) serve(c *conn) error {
	in := wire.Incoming{Notification: func(n wire.Notification) { l.push(event{Notification: Notification(n)}) }}
	if h := l.con.dialer.onNotice; h != nil {
		in.Notice = func(e *wire.Error) { c.wire.Callback(func() { h(pqError(e)) }) }
	}
	for l.ctx.Err() == nil {
		if err := l.execute(c); err != nil {
			return err
		}
		if err := l.await(c, in); err != nil {
			if fatal := c.wire.Fatal(); fatal != nil {
				err = pqError(fatal)
			}
			c.lost = err
			return err
		}
	}
	return nil
}

// await waits for the server, for a command, or for room in the queue.
func (l *Listener) await(c *conn, in wire.Incoming) error {
	l.mu.Lock()
	l.full = len(l.queue) >= queueLimit
	switch {
	case len(l.commands) > 0 || l.ctx.Err() != nil:
		l.mu.Unlock()
		return nil
	case l.full:
		l.mu.Unlock()
		l.rest()
		return nil
	}
	ping := time.Now().Add(l.opts.PingInterval)
	c.wire.SetReadDeadline(ping)
	l.waiting = true
	l.mu.Unlock()

	err := hear(c.wire, in)

	l.mu.Lock()
	l.waiting = false
	l.mu.Unlock()
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if time.Now().Before(ping) {
		return nil // interrupted
	}
	return l.request(c, "")
}

// hear waits for what the server says by itself.
func hear(w *wire.Conn, in wire.Incoming) (err error) {
	defer guard(w, &err)
	return w.Await(in)
}

// execute runs the commands that wait. Its error is that of a lost connection.
func (l *Listener) execute(c *conn) error {
	for {
		l.mu.Lock()
		if len(l.commands) == 0 {
			l.mu.Unlock()
			return nil
		}
		cmd := l.commands[0]
		l.commands = l.commands[1:]
		l.mu.Unlock()

		listen := cmd.verb == "LISTEN"
		var names []string
		for _, name := range cmd.channels {
			if l.channels[name] != listen && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			err := l.request(c, quoteChannels(cmd.verb, names))
			if c.lost != nil {
				l.mu.Lock()
				l.commands = slices.Insert(l.commands, 0, cmd)
				l.mu.Unlock()
				return err
			}
			if err != nil {
				cmd.done <- err
				continue
			}
		}
		for _, name := range names {
			if listen {
				l.channels[name] = true
			} else {
				delete(l.channels, name)
			}
		}
		cmd.done <- nil
	}
}

// request runs a statement that the server must answer within PingInterval.
func (l *Listener) request(c *conn, sql string) error {
	call := "Listen"
	if sql == "" {
		call = "Ping"
	}
	return c.trace(l.ctx, call, sql, func(context.Context) error {
		c.wire.SetDeadline(time.Now().Add(l.opts.PingInterval))
		err := c.fault(c.simple(sql))
		c.wire.SetDeadline(time.Time{})
		if c.lost != nil {
			return c.lost // err may be database/sql's wish for a retry
		}
		return err
	})
}
