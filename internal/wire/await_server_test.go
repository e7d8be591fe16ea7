package wire_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/pgserver"
	"github.com/psyco-go/psyco/internal/wire"
)

// TestServerAwait takes turns in waiting, being interrupted and running
// statements.
func TestServerAwait(t *testing.T) {
	dsn := pgserver.TestDSN(t)
	s, other := openDSN(t, dsn), openDSN(t, dsn)
	var got []string
	in := wire.Incoming{Notification: func(n wire.Notification) {
		if n.PID != other.PID() || n.Channel != "ch" {
			t.Errorf("notification %+v", n)
		}
		got = append(got, n.Payload)
	}}
	pq.SetNotificationHandler(s.pq, func(n *pq.Notification) { got = append(got, n.Extra) })
	s.must("LISTEN ch")
	var want []string
	for i := range 20 {
		s.SetReadDeadline(time.Unix(1, 0))
		if err := s.Await(in); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("an interrupted wait: %v", err)
		}
		if s.Err() != nil {
			t.Fatalf("an interrupted wait is noted as %v", s.Err())
		}
		s.SetReadDeadline(time.Time{})
		want = append(want, fmt.Sprint(i))
		other.must(fmt.Sprintf("NOTIFY ch, '%d'", i))
		if i%2 == 0 {
			if err := s.Await(in); err != nil {
				t.Fatal(err)
			}
		}
		s.usable()
	}
	for len(got) < len(want) {
		if err := s.Await(in); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	other.must(fmt.Sprintf("SELECT pg_terminate_backend(%d)", s.PID()))
	var fatal *wire.Error
	if err := s.Await(in); !errors.As(err, &fatal) || fatal.Code != "57P01" {
		t.Errorf("after the backend's end: %v", err)
	}
}
