package psyco_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"slices"
	"testing"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/psycotest"
)

func TestHandlersOfAConnection(t *testing.T) {
	conn := oneConn(t, "")
	var got []string
	err := psyco.WithConn(context.Background(), conn, func(c *psyco.Conn) error {
		c.SetNoticeHandler(func(e *pq.Error) { got = append(got, e.Message) })
		c.SetNotificationHandler(func(n *pq.Notification) { got = append(got, n.Channel+"="+n.Extra) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, conn, "DO $$ BEGIN RAISE NOTICE 'hello'; END $$; LISTEN ch; NOTIFY ch, 'x'")
	mustExec(t, conn, "SELECT 1")
	if !slices.Equal(got, []string{"hello", "ch=x"}) {
		t.Fatalf("got %q", got)
	}
}

func ExampleConn_SetNoticeHandler() {
	ctx := context.Background()
	srv, err := psycotest.Open(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	db, err := sql.Open("psyco", srv.DSN())
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	err = psyco.WithConn(ctx, conn, func(c *psyco.Conn) error {
		c.SetNoticeHandler(func(n *pq.Error) { fmt.Println(n.Severity, n.Message) })
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := conn.ExecContext(ctx, "DO $$ BEGIN RAISE NOTICE 'half way'; END $$"); err != nil {
		log.Fatal(err)
	}
	// Output: NOTICE half way
}
