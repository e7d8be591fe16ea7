package connect_test

import (
	"database/sql"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/psyco-go/psyco"
)

// TestListenerTLS interrupts the wait for the server again and again: a read of
// a TLS connection must survive that, in the middle of a record too.
func TestListenerTLS(t *testing.T) {
	s := withTLS(t)
	dsn := tcp(s, "user=tls_only sslmode=require")
	con, err := psyco.NewConnector(dsn)
	if err != nil {
		t.Fatal(err)
	}
	l := psyco.NewListener(con, &psyco.ListenerOptions{PingInterval: 2 * time.Second})
	defer l.Close()
	ctx := t.Context()
	if err := l.Listen(ctx, "ch"); err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(con)
	defer db.Close()
	if got := all(t, db, "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'tls_only'"); !slices.Equal(got, []string{"true"}) {
		t.Fatalf("TLS: %v", got)
	}
	const n = 500
	sent := make(chan error, 1)
	go func() {
		for i := range n {
			if err := psyco.Notify(ctx, db, "ch", strconv.Itoa(i)); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := l.Listen(ctx, "other"+strconv.Itoa(i%7)); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	next := 0
	for e, err := range l.Notifications(ctx) {
		if err != nil || e.Payload != strconv.Itoa(next) {
			t.Errorf("notification %d: %q, %v", next, e.Payload, err)
			break
		}
		if next++; next == n {
			break
		}
	}
	close(stop)
	<-stopped
	if err := <-sent; err != nil {
		t.Error(err)
	}
}
