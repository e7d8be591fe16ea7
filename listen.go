package psyco

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/wire"
)

// ErrNotificationsMissed is in the chain of an error that [Listener.Notifications]
// yields after the connection was lost and made again: what was sent in between
// did not arrive. The channels are listened to again by then, so a program that
// now looks at the data itself misses nothing. The chain also has the reason why
// the connection was lost.
var ErrNotificationsMissed = errors.New("psyco: the listener's connection was lost and made again, and notifications may have been missed")

// errListenerClosed is returned by the methods of a closed Listener.
var errListenerClosed = fmt.Errorf("psyco: the Listener is closed: %w", net.ErrClosed)

// ListenerOptions are a Listener's settings. The zero value of each field is
// its default.
type ListenerOptions struct {
	// PingInterval is how long the connection may be silent before the server
	// is asked for a sign of life, which must come within the same time. It
	// also limits an attempt to connect, unless the connection string has
	// connect_timeout. The default is 30 seconds.
	PingInterval time.Duration

	// After the connection was lost, the Listener waits for ReconnectMin before
	// it connects again, and after each failure twice as long, up to
	// ReconnectMax; of each pause a random half is left out, so that the
	// clients of a server that restarts do not all come at once. The defaults
	// are 100 milliseconds and 30 seconds.
	ReconnectMin, ReconnectMax time.Duration

	// Logger is told when the connection is lost and made again, and why an
	// attempt failed. The default is not to log.
	Logger *slog.Logger
}

// defaults returns the options with every default filled in.
func (o *ListenerOptions) defaults() ListenerOptions {
	filled := ListenerOptions{}
	if o != nil {
		filled = *o
	}
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&filled.PingInterval, 30 * time.Second},
		{&filled.ReconnectMin, 100 * time.Millisecond},
		{&filled.ReconnectMax, 30 * time.Second},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	filled.ReconnectMax = max(filled.ReconnectMax, filled.ReconnectMin)
	if filled.Logger == nil {
		filled.Logger = slog.New(slog.DiscardHandler)
	}
	return filled
}

// A Listener receives notifications on a connection of its own, which it opens
// with its Connector, keeps alive, and makes again when it is lost. The
// connection must not go through a pooler in transaction mode: Listen returns an error that
// says so where psyco finds one. Close it after use.
//
// All methods are safe for concurrent use. Of several goroutines that range
// over Notifications, each notification goes to one.
type Listener struct {
	con  *Connector
	opts ListenerOptions

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wake   chan struct{} // holds a token when the goroutine has a reason to look again

	channels map[string]bool // what the server sends, or will after the next connect; the goroutine's own

	mu       sync.Mutex
	running  chan struct{} // closed at the end of the goroutine; nil if there is none yet
	commands []*listenCommand
	queue    []event
	arrival  chan struct{} // closed by the next event; nil if nobody waits
	full     bool          // the goroutine waits for room in the queue
	conn     *conn         // the connection, while there is one
	waiting  bool          // for the server: only then may another goroutine set conn's deadline
}

// event is what Notifications yields: a notification or an error.
type event struct {
	Notification
	err error
}

// queueLimit is how many notifications wait for the program before the Listener
// stops reading. The server then keeps those that follow in its own queue.
const queueLimit = 1024

// listenCommand is a call of Listen or Unlisten.
type listenCommand struct {
	verb     string // LISTEN or UNLISTEN
	channels []string
	done     chan error // has room for the answer
}

// NewListener returns a Listener that connects as c does; the connection is made
// by the first call of Listen. Settings made by [WithOnConnect] and the handler of
// [WithNoticeHandler] apply to it, that of [WithNotificationHandler] does not. A nil
// opts stands for the defaults.
func NewListener(c *Connector, opts *ListenerOptions) *Listener {
	l := &Listener{
		con:      c,
		opts:     opts.defaults(),
		wake:     make(chan struct{}, 1),
		channels: make(map[string]bool),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Listen begins to listen to channels, all or, after an error, none of them.
// Once it has returned nil, Notifications yields every notification that is sent
// to them, or an error with [ErrNotificationsMissed]. Names are taken as they are,
// as if in double quotes: LISTEN Jobs in SQL is the channel "jobs". Listening to
// a channel twice is the same as once.
//
// The error for a server that cannot be reached is that of connecting, unless
// the Listener has channels already and is about to connect again: Listen waits
// for that. When ctx ends first, it is not known whether the channels are listened
// to; it does no harm to call Listen or Unlisten again.
func (l *Listener) Listen(ctx context.Context, channels ...string) error {
	return l.command(ctx, "LISTEN", channels)
}

// Unlisten ends listening to channels. Those that are not listened to are ignored.
// Notifications yields what has arrived before. Errors and ctx are
// as with Listen.
func (l *Listener) Unlisten(ctx context.Context, channels ...string) error {
	return l.command(ctx, "UNLISTEN", channels)
}

func (l *Listener) command(ctx context.Context, verb string, channels []string) error {
	if l.con.base != nil {
		return errors.New("psyco: a Listener needs psyco's own connections, not those behind Wrap: use NewConnector")
	}
	for _, name := range channels {
		if err := checkChannel(name); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	cmd := &listenCommand{verb, slices.Clone(channels), make(chan error, 1)}
	l.mu.Lock()
	if l.ctx.Err() != nil {
		l.mu.Unlock()
		return errListenerClosed
	}
	if l.running == nil {
		l.running = make(chan struct{})
		go l.run()
	}
	l.commands = append(l.commands, cmd)
	l.interrupt()
	l.mu.Unlock()

	select {
	case err := <-cmd.done:
		return err
	case <-ctx.Done():
		l.withdraw(cmd)
		return ctx.Err()
	}
}

// withdraw takes back a command, unless it is under way.
func (l *Listener) withdraw(cmd *listenCommand) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.commands, cmd); i >= 0 {
		l.commands = slices.Delete(l.commands, i, i+1)
	}
}

// maxChannelName is NAMEDATALEN-1. The server would cut a longer name in LISTEN,
// so that nothing ever came, and refuses it in pg_notify.
const maxChannelName = 63

func checkChannel(name string) error {
	switch {
	case name == "":
		return errors.New("psyco: the name of a channel is empty")
	case len(name) > maxChannelName:
		return fmt.Errorf("psyco: the name of the channel %q is %d bytes long: %d is the most that PostgreSQL takes", name, len(name), maxChannelName)
	case strings.ContainsRune(name, 0):
		return fmt.Errorf("psyco: the name of the channel %q contains a zero byte", name)
	}
	return nil
}

// Notifications yields notifications as they arrive, in the order in which they
// were sent. It goes on until ctx ends, which it yields as its last error, or
// the Listener is closed, which just ends the sequence. Any other error has
// [ErrNotificationsMissed] in its chain and does not end it:
//
//	for n, err := range l.Notifications(ctx) {
//		if errors.Is(err, psyco.ErrNotificationsMissed) {
//			// look at the data itself, then go on
//		} else if err != nil {
//			return err
//		}
//		…
//	}
//
// Leaving the loop loses nothing: what has arrived waits for the next one.
// Up to about a thousand notifications wait in memory, and more at the server,
// whose queue is 8 GB large and shared by all its clients.
func (l *Listener) Notifications(ctx context.Context) iter.Seq2[Notification, error] {
	return func(yield func(Notification, error) bool) {
		for {
			e, ok := l.next(ctx)
			if !ok {
				if err := ctx.Err(); err != nil && l.ctx.Err() == nil {
					yield(Notification{}, err)
				}
				return
			}
			if !yield(e.Notification, e.err) {
				return
			}
		}
	}
}

// next waits for an event. It returns false if ctx or the Listener has ended.
func (l *Listener) next(ctx context.Context) (event, bool) {
	for ctx.Err() == nil && l.ctx.Err() == nil {
		l.mu.Lock()
		if len(l.queue) > 0 {
			e := l.queue[0]
			l.queue[0] = event{}
			l.queue = l.queue[1:]
			if l.full && len(l.queue) <= queueLimit/2 {
				l.full = false
				l.interrupt()
			}
			l.mu.Unlock()
			return e, true
		}
		if l.arrival == nil {
			l.arrival = make(chan struct{})
		}
		arrival := l.arrival
		l.mu.Unlock()
		select {
		case <-arrival:
		case <-ctx.Done():
		case <-l.ctx.Done():
		}
	}
	return event{}, false
}

// push adds an event to the queue.
func (l *Listener) push(e event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, e)
	if l.arrival != nil {
		close(l.arrival)
		l.arrival = nil
	}
}

// interrupt makes the Listener's goroutine look at commands, queue and ctx
// again. mu is held.
func (l *Listener) interrupt() {
	if l.waiting {
		l.conn.wire.SetReadDeadline(time.Unix(1, 0))
		return
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Close ends the connection and every loop over Notifications; what has not been
// yielded is dropped. Calls of Listen and Unlisten return an error that is
// net.ErrClosed. Close returns when nothing of the Listener is left; closing it
// twice does no harm.
func (l *Listener) Close() error {
	l.mu.Lock()
	l.cancel()
	l.interrupt()
	if l.conn != nil && !l.waiting {
		l.conn.wire.Close() // it may be in the middle of a statement
	}
	running := l.running
	l.mu.Unlock()
	if running != nil {
		<-running
	}
	return nil
}

// quoteChannels returns the statements for a list of channels; together they
// are one transaction.
func quoteChannels(verb string, channels []string) string {
	var b strings.Builder
	for _, name := range channels {
		b.WriteString(verb + " " + pq.QuoteIdentifier(name) + ";")
	}
	return b.String()
}

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
	err = l.ctx.Err()
	if err == nil {
		err = c.needsSession(ctx, "a Listener")
	}
	if err != nil {
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

// missed reports to the program that notifications may have been missed, unless that is what was
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

// Notification is a message that some session sent with NOTIFY.
type Notification struct {
	PID     uint32 // of the sender's backend
	Channel string
	Payload string
}

// Notify sends a notification to all sessions that listen to a channel, when
// h's transaction is committed, or at once if h is in none. The channel's name
// is taken as it is, as by [Listener.Listen]. A transaction sends the same payload
// to the same channel only once.
//
// The error is the server's: 22023 for a payload of 8000 bytes or more and for
// a name that is empty or longer than 63 bytes, 54000 if the queue of
// notifications is full. Behind Wrap it works, too.
func Notify(ctx context.Context, h Handle, channel, payload string) error {
	_, err := h.ExecContext(ctx, "SELECT pg_notify($1, $2)", channel, payload)
	return err
}

// handler makes h lib/pq's handler of notices or notifications. lib/pq calls it in the
// middle of an answer: if h panics, the rest of that is lost, and so is the session, see guard.
func handler[E any](s *session, h func(*E)) func(*E) {
	if h == nil {
		return nil
	}
	return func(e *E) { s.wire.Callback(func() { h(e) }) }
}

// logNotice returns a notice handler that writes to logger.
func logNotice(logger *slog.Logger) func(*pq.Error) {
	return func(e *pq.Error) {
		attrs := []slog.Attr{slog.String("severity", e.Severity), slog.String("code", string(e.Code))}
		for _, a := range []struct{ key, value string }{
			{"detail", e.Detail},
			{"hint", e.Hint},
			{"where", e.Where},
			{"schema", e.Schema},
			{"table", e.Table},
			{"column", e.Column},
			{"constraint", e.Constraint},
		} {
			if a.value != "" {
				attrs = append(attrs, slog.String(a.key, a.value))
			}
		}
		logger.LogAttrs(context.Background(), noticeLevel(e), e.Message, attrs...)
	}
}

// noticeLevel: the severity may be in the language of lc_messages, in which case
// the class of the code knows a warning.
func noticeLevel(e *pq.Error) slog.Level {
	switch {
	case e.Severity == "WARNING" || class(e.Code) == "01":
		return slog.LevelWarn
	case e.Severity == "DEBUG":
		return slog.LevelDebug
	}
	return slog.LevelInfo
}
