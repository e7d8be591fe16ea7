package connect_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/faultproxy"
	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/testdb"
	"github.com/psyco-go/psyco/internal/testsize"
)

// newListener returns a Listener that reconnects fast, and is closed with the
// test.
func newListener(t testing.TB, dsn string, opts *psyco.ListenerOptions) *psyco.Listener {
	t.Helper()
	c, err := psyco.NewConnector(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if opts == nil {
		opts = &psyco.ListenerOptions{}
	}
	if opts.ReconnectMin == 0 {
		opts.ReconnectMin, opts.ReconnectMax = time.Millisecond, 10*time.Millisecond
	}
	l := psyco.NewListener(c, opts)
	t.Cleanup(func() { l.Close() })
	return l
}

func listen(t testing.TB, l *psyco.Listener, channels ...string) {
	t.Helper()
	if err := l.Listen(t.Context(), channels...); err != nil {
		t.Fatal(err)
	}
}

func notify(t testing.TB, h psyco.Handle, channel, payload string) {
	t.Helper()
	if err := psyco.Notify(context.Background(), h, channel, payload); err != nil {
		t.Fatal(err)
	}
}

// hear returns the next n events: "channel:payload", or "missed".
func hear(t testing.TB, l *psyco.Listener, n int) []string {
	t.Helper()
	var got []string
	if n == 0 {
		return got
	}
	for e, err := range l.Notifications(t.Context()) {
		switch {
		case errors.Is(err, psyco.ErrNotificationsMissed):
			got = append(got, "missed")
		case err != nil:
			t.Fatalf("after %d of %d events: %v", len(got), n, err)
		default:
			got = append(got, e.Channel+":"+e.Payload)
		}
		if len(got) == n {
			break
		}
	}
	if len(got) != n {
		t.Fatalf("the sequence has ended after %d of %d events", len(got), n)
	}
	return got
}

func wantEvents(t testing.TB, l *psyco.Listener, want ...string) {
	t.Helper()
	if got := hear(t, l, len(want)); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// listenerProxy returns a database's connection string that leads through a
// proxy, and one that does not.
func listenerProxy(t *testing.T) (p *faultproxy.Proxy, through, direct string) {
	t.Helper()
	direct = pgserver.TestDSN(t)
	p = testdb.Proxy(t)
	return p, direct + " " + p.ConnInfo(), direct
}

func TestListener(t *testing.T) {
	dsn := pgserver.TestDSN(t)
	db := open(t, dsn)
	l := newListener(t, dsn, nil)
	channels := []string{"jobs", "Jobs", "with space", `with "quotes"`, "with 'quotes'", "semi;colon", "Übergröße",
		"select", "$1", "%s", strings.Repeat("x", 63)}
	listen(t, l, channels...)
	for _, name := range channels {
		notify(t, db, name, "payload of "+name)
		wantEvents(t, l, name+":payload of "+name)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	mustExec(t, conn, "NOTIFY jobs")
	var pid int
	if err := conn.QueryRowContext(t.Context(), "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	for n, err := range l.Notifications(t.Context()) {
		if want := (psyco.Notification{PID: uint32(pid), Channel: "jobs"}); n != want || err != nil {
			t.Errorf("got %+v, %v; want %+v", n, err, want)
		}
		break
	}
}

// TestListenerIdempotent counts statements: what is so already is not asked for.
func TestListenerIdempotent(t *testing.T) {
	p, dsn, _ := listenerProxy(t)
	l := newListener(t, dsn, nil)
	statements := func() int { return p.Counts().Messages(faultproxy.ToServer, "Q") }
	tests := []struct {
		name  string
		do    func(ctx context.Context, channels ...string) error
		names []string
		want  int
	}{
		{"nothing", l.Listen, nil, 0},
		{"one", l.Listen, []string{"a"}, 1},
		{"again", l.Listen, []string{"a"}, 0},
		{"another twice", l.Listen, []string{"b", "a", "b"}, 1},
		{"end of what is not", l.Unlisten, []string{"c"}, 0},
		{"end", l.Unlisten, []string{"a", "b", "c", "a"}, 1},
		{"end again", l.Unlisten, []string{"a", "b"}, 0},
		{"once more", l.Listen, []string{"a"}, 1},
	}
	for _, test := range tests {
		before := statements()
		if err := test.do(t.Context(), test.names...); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if n := statements() - before; n != test.want {
			t.Errorf("%s: %d statements, want %d", test.name, n, test.want)
		}
	}
}

func TestUnlisten(t *testing.T) {
	dsn := pgserver.TestDSN(t)
	db := open(t, dsn)
	l := newListener(t, dsn, nil)
	listen(t, l, "a", "b", "c")
	if err := l.Unlisten(t.Context(), "a", "b"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		notify(t, db, name, "1")
	}
	wantEvents(t, l, "c:1")
	listen(t, l, "a")
	notify(t, db, "b", "2")
	notify(t, db, "a", "2")
	wantEvents(t, l, "a:2")
}

// TestListenerManyNotifications lets ten times as many wait as the Listener
// holds, and goes on while the next ones come.
func TestListenerManyNotifications(t *testing.T) {
	const n = 10_000
	dsn := pgserver.TestDSN(t)
	db := open(t, dsn)
	l := newListener(t, dsn, nil)
	listen(t, l, "ch")
	mustExec(t, db, "SELECT pg_notify('ch', i::text) FROM generate_series(0, $1) i", n-1)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := n; i < 2*n; i += 100 {
			mustExec(t, db, "SELECT pg_notify('ch', i::text) FROM generate_series($1::int, $2::int) i", i, i+99)
		}
	})
	defer wg.Wait()
	for got := 0; got < 2*n; { // in parts: leaving the loop loses nothing
		for _, e := range hear(t, l, 500) {
			if e != "ch:"+strconv.Itoa(got) {
				t.Fatalf("notification %d is %q", got, e)
			}
			got++
		}
		listen(t, l, "ch"+strconv.Itoa(got)) // while others wait
	}
}

// TestListenerManyReaders: each notification goes to one of the loops.
func TestListenerManyReaders(t *testing.T) {
	const n, readers = 2000, 8
	dsn := pgserver.TestDSN(t)
	db := open(t, dsn)
	l := newListener(t, dsn, nil)
	listen(t, l, "ch")
	var mu sync.Mutex
	seen := make(map[string]int)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for e, err := range l.Notifications(ctx) {
				if err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
					continue
				}
				mu.Lock()
				seen[e.Payload]++
				if len(seen) == n {
					cancel()
				}
				mu.Unlock()
			}
		})
	}
	mustExec(t, db, "SELECT pg_notify('ch', i::text) FROM generate_series(1, $1) i", n)
	wg.Wait()
	for payload, times := range seen {
		if times != 1 {
			t.Errorf("%s came %d times", payload, times)
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d came", len(seen), n)
	}
}

// TestListenerReconnects loses the connection in several ways.
func TestListenerReconnects(t *testing.T) {
	kill := func(t *testing.T, p *faultproxy.Proxy, admin psyco.Handle) {
		mustExec(t, admin, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	}
	tests := []struct {
		name  string
		lose  func(t *testing.T, p *faultproxy.Proxy, admin psyco.Handle)
		cause func(err error) bool
	}{
		{"cut", func(_ *testing.T, p *faultproxy.Proxy, _ psyco.Handle) { p.Cut() },
			func(err error) bool { return strings.Contains(err.Error(), "the server has closed the connection") }},
		{"reset", func(_ *testing.T, p *faultproxy.Proxy, _ psyco.Handle) { p.Reset() },
			func(err error) bool { return strings.Contains(err.Error(), "the connection is lost") }},
		{"pg_terminate_backend", kill,
			func(err error) bool { return pq.As(err, pqerror.AdminShutdown) != nil }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, dsn, direct := listenerProxy(t)
			admin := open(t, direct)
			admin.SetMaxOpenConns(1)
			l := newListener(t, dsn, nil)
			listen(t, l, "a", "b")
			for range 3 {
				test.lose(t, p, admin)
				ctx := t.Context()
				for _, err := range l.Notifications(ctx) {
					if !errors.Is(err, psyco.ErrNotificationsMissed) || !test.cause(err) {
						t.Fatalf("got %v", err)
					}
					break
				}
				// The event comes when the channels are listened to again.
				notify(t, admin, "b", "1")
				notify(t, admin, "a", "2")
				wantEvents(t, l, "b:1", "a:2")
			}
		})
	}
}

// TestListenerServerRestart also finds channels that were added meanwhile.
func TestListenerServerRestart(t *testing.T) {
	testsize.Slow(t)
	ctx := t.Context()
	s, err := pgserver.Start(ctx, pgserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l := newListener(t, s.DSN(), nil)
	listen(t, l, "a")
	for _, stop := range []func() error{
		func() error { return s.Stop(pgserver.Fast) },
		func() error { return s.Stop(pgserver.Immediate) },
		s.Kill,
	} {
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		added := make(chan error, 1)
		go func() { added <- l.Listen(ctx, "b") }()
		if err := s.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		wantEvents(t, l, "missed")
		if err := <-added; err != nil {
			t.Fatal(err)
		}
		db := open(t, s.DSN())
		notify(t, db, "a", "1")
		notify(t, db, "b", "2")
		wantEvents(t, l, "a:1", "b:2")
		db.Close()
		if err := l.Unlisten(ctx, "b"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestListenerStalledNetwork: nothing says that the connection is dead but the
// ping that is not answered.
func TestListenerStalledNetwork(t *testing.T) {
	p, dsn, direct := listenerProxy(t)
	stalled := p.On(faultproxy.After(faultproxy.Then(faultproxy.SQL("LISTEN"), faultproxy.Msg(faultproxy.ToClient, "Z"))),
		func(l *faultproxy.Link) { l.Stall(faultproxy.Both) })
	l := newListener(t, dsn+" connect_timeout=60", &psyco.ListenerOptions{PingInterval: time.Second})
	listen(t, l, "ch")
	<-stalled.Fired()
	wantEvents(t, l, "missed")
	notify(t, open(t, direct), "ch", "1")
	wantEvents(t, l, "ch:1")
}

// TestListenerStalledConnect: an attempt to connect ends, too.
func TestListenerStalledConnect(t *testing.T) {
	p, dsn, direct := listenerProxy(t)
	l := newListener(t, dsn, &psyco.ListenerOptions{PingInterval: time.Second})
	p.Stall(faultproxy.ToClient)
	err := l.Listen(t.Context(), "ch")
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "PingInterval") {
		t.Fatalf("Listen: %v", err)
	}
	p.Resume(faultproxy.ToClient)
	listen(t, l, "ch")
	notify(t, open(t, direct), "ch", "1")
	wantEvents(t, l, "ch:1")
}

// TestListenerPings waits for signs of life on an idle connection.
func TestListenerPings(t *testing.T) {
	p, dsn, direct := listenerProxy(t)
	l := newListener(t, dsn+" connect_timeout=60", &psyco.ListenerOptions{PingInterval: 20 * time.Millisecond})
	listen(t, l, "ch")
	third := p.On( // the third EmptyQueryResponse
		faultproxy.After(faultproxy.Nth(3, faultproxy.Msg(faultproxy.ToClient, "I"))),
		func(*faultproxy.Link) {})
	<-third.Fired()
	notify(t, open(t, direct), "ch", "1")
	if e := hear(t, l, 1)[0]; e != "missed" && e != "ch:1" { // a busy machine may not answer in time
		t.Errorf("got %q", e)
	}
}

// TestListenFirstConnection: as long as nothing is listened to, errors come out.
func TestListenFirstConnection(t *testing.T) {
	p, dsn, direct := listenerProxy(t)
	l := newListener(t, dsn, nil)
	p.Refuse(true)
	for range 2 {
		if err := l.Listen(t.Context(), "ch"); err == nil || !strings.Contains(err.Error(), p.Addr()) && !strings.Contains(err.Error(), "starting a session") {
			t.Fatalf("Listen: %v", err)
		}
	}
	p.Refuse(false)
	listen(t, l, "ch")
	notify(t, open(t, direct), "ch", "1")
	wantEvents(t, l, "ch:1")

	l = newListener(t, direct+" dbname=nowhere", nil)
	if err := l.Listen(t.Context(), "ch"); pq.As(err, pqerror.InvalidCatalogName) == nil {
		t.Errorf("Listen: %v", err)
	}
}

// TestListenWhileDisconnected waits for the connection, and no longer than ctx.
func TestListenWhileDisconnected(t *testing.T) {
	p, dsn, direct := listenerProxy(t)
	l := newListener(t, dsn, nil)
	listen(t, l, "a")
	p.Refuse(true)
	p.Cut()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := l.Listen(ctx, "b"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Listen: %v", err)
	}
	if err := l.Listen(ctx, "b"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Listen: %v", err)
	}
	added := make(chan error, 1)
	go func() { added <- l.Listen(t.Context(), "c") }()
	p.Refuse(false)
	if err := <-added; err != nil {
		t.Fatal(err)
	}
	db := open(t, direct)
	for _, name := range []string{"b", "a", "c"} {
		notify(t, db, name, "1")
	}
	wantEvents(t, l, "missed", "a:1", "c:1")
}

// TestListenCutAnywhere cuts the network at each message of connecting and
// listening. Listen's promise holds nevertheless.
func TestListenCutAnywhere(t *testing.T) {
	testsize.Slow(t)
	p, dsn, direct := listenerProxy(t)
	db := open(t, direct)
	first := newListener(t, dsn, nil)
	listen(t, first, "ch")
	first.Close()
	counts := p.Counts()
	messages := counts.Messages(faultproxy.Both, "")
	if messages < 10 {
		t.Fatalf("only %d messages", messages)
	}
	for i := range testsize.Some(8, messages) {
		p.On(faultproxy.After(faultproxy.Nth(i, func(faultproxy.Message) bool { return true })), (*faultproxy.Link).Cut)
		l := newListener(t, dsn, nil)
		for l.Listen(t.Context(), "ch") != nil { // the first connection
		}
		p.Disarm()
		notify(t, db, "ch", "1")
		got := hear(t, l, 1)
		if got[0] != "missed" && got[0] != "ch:1" {
			t.Errorf("message %d: got %q", i, got)
		}
		l.Close()
	}
}

// TestListenerGaps sends numbers while connections are lost at random: a number
// may be missing only where the Listener says so.
func TestListenerGaps(t *testing.T) {
	const n = 2000
	p, dsn, direct := listenerProxy(t)
	db := open(t, direct)
	db.SetMaxOpenConns(1)
	l := newListener(t, dsn, nil)
	listen(t, l, "ch")
	done := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() {
		for i := 0; ; i = min(i+1, n) { // the last number until it is heard
			if i < n && rand.IntN(n/20) == 0 {
				p.Cut()
			}
			select {
			case <-done:
				return
			default:
			}
			if err := psyco.Notify(context.Background(), db, "ch", strconv.Itoa(i)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	defer sender.Wait()
	defer close(done)
	last, missed, heard, gaps := -1, false, 0, 0
	for e, err := range l.Notifications(t.Context()) {
		if errors.Is(err, psyco.ErrNotificationsMissed) {
			missed = true
			gaps++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		i, err := strconv.Atoi(e.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if i <= last || i != last+1 && !missed {
			t.Fatalf("%d came after %d, missed: %t", i, last, missed)
		}
		last, missed = i, false
		heard++
		if i == n {
			break
		}
	}
	t.Logf("heard %d of %d, %d gaps", heard, n, gaps)
}

func TestListenerContext(t *testing.T) {
	dsn := pgserver.TestDSN(t)
	l := newListener(t, dsn, nil)
	listen(t, l, "ch")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		time.Sleep(time.Millisecond)
		cancel()
	}()
	var errs []error
	for _, err := range l.Notifications(ctx) {
		errs = append(errs, err)
	}
	if len(errs) != 1 || errs[0] != context.Canceled {
		t.Errorf("got %v", errs)
	}
	if err := l.Listen(ctx, "other"); err != context.Canceled {
		t.Errorf("Listen: %v", err)
	}
	notify(t, open(t, dsn), "ch", "still here")
	wantEvents(t, l, "ch:still here")
}

func TestListenerClose(t *testing.T) {
	t.Run("unused", func(t *testing.T) {
		l := newListener(t, pgserver.TestDSN(t), nil)
		for range 2 {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("while waiting", func(t *testing.T) {
		p, dsn, _ := listenerProxy(t)
		l := newListener(t, dsn, nil)
		listen(t, l, "ch")
		told := p.On(faultproxy.After(faultproxy.Msg(faultproxy.ToServer, "X")), func(*faultproxy.Link) {})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for n, err := range l.Notifications(context.Background()) {
					t.Errorf("got %v, %v", n, err)
				}
			})
		}
		time.Sleep(time.Millisecond)
		l.Close()
		wg.Wait()
		<-told.Fired() // the server was told
		for name, err := range map[string]error{"Listen": l.Listen(t.Context(), "x"), "Unlisten": l.Unlisten(t.Context(), "x")} {
			if !errors.Is(err, net.ErrClosed) || err.Error() != "psyco: the Listener is closed: use of closed network connection" {
				t.Errorf("%s: %v", name, err)
			}
		}
		for n, err := range l.Notifications(context.Background()) {
			t.Errorf("after Close: %v, %v", n, err)
		}
	})
	// In these the answer never comes: Close must not wait for it.
	for name, stallAt := range map[string]faultproxy.Match{
		"while connecting": faultproxy.Msg(faultproxy.ToClient, "R"),
		"while listening":  faultproxy.SQL("LISTEN"),
	} {
		t.Run(name, func(t *testing.T) {
			p, dsn, _ := listenerProxy(t)
			stalled := p.On(faultproxy.Before(stallAt), func(l *faultproxy.Link) { l.Stall(faultproxy.Both) })
			l := newListener(t, dsn, nil)
			answer := make(chan error, 1)
			go func() { answer <- l.Listen(context.Background(), "ch") }()
			<-stalled.Fired()
			l.Close()
			if err := <-answer; !errors.Is(err, net.ErrClosed) && !errors.Is(err, context.Canceled) {
				t.Errorf("Listen: %v", err)
			}
		})
	}
	t.Run("while reconnecting", func(t *testing.T) {
		p, dsn, _ := listenerProxy(t)
		l := newListener(t, dsn, &psyco.ListenerOptions{ReconnectMin: time.Hour})
		listen(t, l, "ch")
		p.Cut()
		answer := make(chan error, 1)
		go func() { answer <- l.Listen(context.Background(), "other") }()
		time.Sleep(time.Millisecond)
		l.Close()
		if err := <-answer; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("Listen: %v", err)
		}
	})
	t.Run("with a full queue", func(t *testing.T) {
		dsn := pgserver.TestDSN(t)
		l := newListener(t, dsn, nil)
		listen(t, l, "ch")
		mustExec(t, open(t, dsn), "SELECT pg_notify('ch', i::text) FROM generate_series(1, 5000) i")
		hear(t, l, 1)
		l.Close()
	})
}

func TestListenerMistakes(t *testing.T) {
	dsn := pgserver.TestDSN(t)
	l := newListener(t, dsn, nil)
	for _, test := range []struct{ name, want string }{
		{"", "psyco: the name of a channel is empty"},
		{strings.Repeat("é", 32), "is 64 bytes long"},
		{"a\x00b", "contains a zero byte"},
	} {
		for _, do := range []func(context.Context, ...string) error{l.Listen, l.Unlisten} {
			if err := do(t.Context(), "fine", test.name); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%q: %v", test.name, err)
			}
		}
	}
	// What the server refuses fails the call alone, and all of it.
	if err := l.Listen(t.Context(), "fine", "bad \xff"); pq.As(err, pqerror.CharacterNotInRepertoire) == nil {
		t.Errorf("not UTF-8: %v", err)
	}
	listen(t, l, "other")
	db := open(t, dsn)
	notify(t, db, "fine", "1")
	notify(t, db, "other", "2")
	wantEvents(t, l, "other:2")

	base, err := pq.NewConnector(dsn)
	if err != nil {
		t.Fatal(err)
	}
	wrapped := psyco.NewListener(psyco.Wrap(base), nil)
	defer wrapped.Close()
	if err := wrapped.Listen(t.Context(), "ch"); err == nil || !strings.HasPrefix(err.Error(), "psyco: a Listener needs psyco's own connections") {
		t.Errorf("behind Wrap: %v", err)
	}
}

// TestListenerConcurrency listens and unlistens from many goroutines while
// notifications come and backends are killed.
func TestListenerConcurrency(t *testing.T) {
	dsn := pgserver.TestDSN(t)
	db := open(t, dsn)
	l := newListener(t, dsn, nil)
	listen(t, l, "always")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var loops, work sync.WaitGroup
	for range 3 {
		loops.Go(func() {
			for _, err := range l.Notifications(ctx) {
				if err != nil && !errors.Is(err, psyco.ErrNotificationsMissed) && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}
		})
	}
	for i := range 8 {
		work.Go(func() {
			name := fmt.Sprint("ch", i%4)
			for j := range 50 {
				do := l.Listen
				if (i+j)%2 == 0 {
					do = l.Unlisten
				}
				if err := do(ctx, name); err != nil {
					t.Error(err)
				}
				if err := psyco.Notify(ctx, db, name, "x"); err != nil {
					t.Error(err)
				}
				if i == 0 && j%10 == 9 {
					mustExec(t, db, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'")
				}
			}
		})
	}
	work.Wait()
	cancel()
	loops.Wait()
	listen(t, l, "end")
	notify(t, db, "end", "of the test")
	for {
		if e := hear(t, l, 1); e[0] == "end:of the test" || e[0] == "missed" {
			break
		}
	}
}

// TestListenerLogs: losing and regaining the connection is logged, Close is not.
func TestListenerLogs(t *testing.T) {
	lines := make(chan string, 1000)
	var log string
	out := writerFunc(func(line []byte) (int, error) {
		lines <- string(line)
		return len(line), nil
	})
	p, dsn, _ := listenerProxy(t)
	l := newListener(t, dsn, &psyco.ListenerOptions{Logger: slog.New(slog.NewTextHandler(out, nil)), ReconnectMin: 10 * time.Millisecond})
	listen(t, l, "ch")
	p.Refuse(true)
	p.Cut()
	for !strings.Contains(log, "cannot connect") {
		log += <-lines
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := l.Listen(ctx, "other"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	p.Refuse(false)
	wantEvents(t, l, "missed")
	l.Close()
	close(lines)
	for line := range lines {
		log += line
	}
	for _, want := range []string{"has lost its connection", "cannot connect", "has connected again"} {
		if !strings.Contains(log, want) {
			t.Errorf("%q is not in %s", want, log)
		}
	}
	if strings.Count(log, "has lost its connection") != 1 || strings.Count(log, "has connected again") != 1 {
		t.Errorf("log:\n%s", log)
	}
}

// BenchmarkListener sends a notification and waits for it.
func BenchmarkListener(b *testing.B) {
	dsn := pgserver.TestDSN(b)
	db := open(b, dsn)
	l := newListener(b, dsn, nil)
	listen(b, l, "ch")
	next, stop := iter.Pull2(l.Notifications(b.Context()))
	defer stop()
	for b.Loop() {
		notify(b, db, "ch", "x")
		if _, err, _ := next(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestNotify(t *testing.T) {
	inModes(t, func(t *testing.T, db *sql.DB) {
		ctx := t.Context()
		l := newListener(t, sameDatabase(t, db), nil)
		const channel = `it's "a" channel; %s $1`
		listen(t, l, channel)
		long := strings.Repeat("x", 7999)
		for _, payload := range []string{"", "it's; $1 %s \\ é", long} {
			notify(t, db, channel, payload)
			wantEvents(t, l, channel+":"+payload)
		}

		conn, err := db.Conn(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		undone := mustBegin(t, db)
		tx := mustBegin(t, db)
		notify(t, undone, channel, "undone")
		notify(t, tx, channel, "in a transaction")
		notify(t, tx, channel, "in a transaction")
		if err := undone.Rollback(); err != nil {
			t.Fatal(err)
		}
		notify(t, conn, channel, "before the commit")
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		notify(t, conn, channel, "after the commit")
		wantEvents(t, l, channel+":before the commit", channel+":in a transaction", channel+":after the commit")

		for _, test := range []struct{ name, channel, payload string }{
			{"a long payload", "ch", long + "x"},
			{"a long channel", strings.Repeat("x", 64), ""},
			{"no channel", "", ""},
		} {
			err := psyco.Notify(ctx, db, test.channel, test.payload)
			if pe, ok := err.(*pq.Error); !ok || pe.Code != pqerror.InvalidParameterValue {
				t.Errorf("%s: %v", test.name, err)
			}
		}
	})
}

// TestNotifyCost: warm, one round trip.
func TestNotifyCost(t *testing.T) {
	tx := mustBegin(t, testDB(t))
	for range 3 {
		notify(t, tx, "ch", "x")
	}
	if n := roundTrips(t, tx, func() { notify(t, tx, "ch", "y") }); n != 1 {
		t.Errorf("%d round trips", n)
	}
}

func TestNoticeLogger(t *testing.T) {
	var out bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	db := testDB(t, psyco.WithNoticeLogger(logger))
	db.SetMaxOpenConns(1)
	mustExec(t, db, "SET client_min_messages = debug1")
	tests := []struct {
		sql  string
		want map[string]string
	}{
		{"DO $$ BEGIN RAISE WARNING 'careful' USING HINT = 'look', DETAIL = 'here'; END $$",
			map[string]string{"level": "WARN", "msg": "careful", "severity": "WARNING", "code": "01000", "hint": "look", "detail": "here"}},
		{"DO $$ BEGIN RAISE NOTICE 'by the way' USING TABLE = 't', COLUMN = 'c', SCHEMA = 's', CONSTRAINT = 'k'; END $$",
			map[string]string{"level": "INFO", "msg": "by the way", "severity": "NOTICE", "code": "00000",
				"table": "t", "column": "c", "schema": "s", "constraint": "k"}},
		{"DO $$ BEGIN RAISE INFO 'so'; END $$", map[string]string{"level": "INFO", "msg": "so", "severity": "INFO", "code": "00000"}},
		{"DO $$ BEGIN RAISE DEBUG 'detail'; END $$", map[string]string{"level": "DEBUG", "msg": "detail", "severity": "DEBUG", "code": "00000"}},
	}
	for _, test := range tests {
		out.Reset()
		if _, err := db.ExecContext(context.Background(), test.sql); err != nil {
			t.Fatal(err)
		}
		found := false
		for line := range strings.Lines(out.String()) {
			var got map[string]string
			if err := json.Unmarshal([]byte(line), &got); err != nil {
				t.Fatal(err)
			}
			if got["msg"] != test.want["msg"] {
				continue // what the server says at debug1 by itself
			}
			found = true
			for key := range got {
				if _, ok := test.want[key]; !ok && key != "time" && key != "where" {
					t.Errorf("%s: an attribute %s=%q", test.sql, key, got[key])
				}
			}
			for key, want := range test.want {
				if got[key] != want {
					t.Errorf("%s: %s is %q, want %q", test.sql, key, got[key], want)
				}
			}
		}
		if !found {
			t.Errorf("%s: no line in %q", test.sql, out.String())
		}
	}
}

// TestNotifyRefusedAtCommit checks what becomes of a transaction whose COMMIT the
// server refuses, as it does when its queue of notifications is full. That takes
// gigabytes to bring about; a deferred trigger gives the same answer in its place.
func TestNotifyRefusedAtCommit(t *testing.T) {
	ctx := t.Context()
	db := testDB(t)
	db.SetMaxOpenConns(1)
	mustExec(t, db, `CREATE TABLE t (n int);
		CREATE FUNCTION full_queue() RETURNS trigger LANGUAGE plpgsql AS
			$$BEGIN RAISE EXCEPTION 'too many notifications in the NOTIFY queue' USING ERRCODE = '54000'; END$$;
		CREATE CONSTRAINT TRIGGER full_queue AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION full_queue()`)
	pid := all(t, db, "SELECT pg_backend_pid()")
	for name, commit := range map[string]func(work func(tx *sql.Tx) error) error{
		"Commit": func(work func(tx *sql.Tx) error) error {
			tx := mustBegin(t, db)
			if err := work(tx); err != nil {
				t.Fatal(err)
			}
			return tx.Commit()
		},
		"InTx": func(work func(tx *sql.Tx) error) error { return psyco.InTx(ctx, db, nil, work) },
	} {
		calls := 0
		err := commit(func(tx *sql.Tx) error {
			calls++
			if err := psyco.Notify(ctx, tx, "ch", "payload"); err != nil {
				return err
			}
			_, err := tx.Exec("INSERT INTO t VALUES (%s)", 1)
			return err
		})
		if pe, ok := err.(*pq.Error); !ok || pe.Code != pqerror.ProgramLimitExceeded {
			t.Errorf("%s: error %#v", name, err)
		}
		if calls != 1 {
			t.Errorf("%s: the work was done %d times", name, calls)
		}
		if s := txStatus(t, db); s != 'I' {
			t.Errorf("%s: the connection is in state %c", name, s)
		}
		if got := all(t, db, "SELECT pg_backend_pid() WHERE NOT EXISTS (SELECT FROM t)"); !slices.Equal(got, pid) {
			t.Errorf("%s: got %q, want the same connection %q and no row", name, got, pid)
		}
	}
}
