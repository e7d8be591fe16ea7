package psyco_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/psyco-go/psyco"
)

// A worker that is told about its jobs.
func ExampleListener() {
	connector, db := exampleServer()
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	l := psyco.NewListener(connector, nil)
	defer l.Close()
	if err := l.Listen(ctx, "example_jobs"); err != nil {
		log.Fatal(err)
	}

	if err := psyco.Notify(ctx, db, "example_jobs", "wash the dishes"); err != nil {
		log.Fatal(err)
	}

	for n, err := range l.Notifications(ctx) {
		if errors.Is(err, psyco.ErrNotificationsMissed) {
			continue // look for jobs in their table
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(n.Channel, n.Payload)
		break
	}
	// Output: example_jobs wash the dishes
}

func ExampleNewListener() {
	connector, err := psyco.NewConnector("host=db1,db2 target_session_attrs=read-write")
	if err != nil {
		log.Fatal(err)
	}
	l := psyco.NewListener(connector, &psyco.ListenerOptions{
		PingInterval: 10 * time.Second,
		ReconnectMax: time.Second,
		Logger:       slog.Default(),
	})
	defer l.Close() // nothing is connected before the first Listen
	fmt.Println("ready")
	// Output: ready
}

func ExampleListenerOptions() {
	connector, db := exampleServer()
	defer db.Close()
	l := psyco.NewListener(connector, &psyco.ListenerOptions{PingInterval: 5 * time.Second})
	defer l.Close()
	fmt.Println(l.Listen(context.Background(), "example_jobs"))
	// Output: <nil>
}

func ExampleListener_Listen() {
	connector, db := exampleServer()
	defer db.Close()
	ctx := context.Background()
	l := psyco.NewListener(connector, nil)
	defer l.Close()
	fmt.Println(l.Listen(ctx, "example_orders", "example_payments"))
	fmt.Println(l.Listen(ctx, "example_orders")) // it is so already
	// Output:
	// <nil>
	// <nil>
}

func ExampleListener_Unlisten() {
	connector, db := exampleServer()
	defer db.Close()
	ctx := context.Background()
	l := psyco.NewListener(connector, nil)
	defer l.Close()
	if err := l.Listen(ctx, "example_orders"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Unlisten(ctx, "example_orders"))
	// Output: <nil>
}

// The context says how long to wait.
func ExampleListener_Notifications() {
	connector, db := exampleServer()
	defer db.Close()
	l := psyco.NewListener(connector, nil)
	defer l.Close()
	if err := l.Listen(context.Background(), "example_silence"); err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	for n, err := range l.Notifications(ctx) {
		fmt.Println(n.Payload, err)
	}
	// Output: context deadline exceeded
}

func ExampleListener_Close() {
	connector, db := exampleServer()
	defer db.Close()
	l := psyco.NewListener(connector, nil)
	if err := l.Listen(context.Background(), "example_silence"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Close())
	for range l.Notifications(context.Background()) {
		fmt.Println("never")
	}
	// Output: <nil>
}

func ExampleNotify() {
	_, db := exampleServer()
	defer db.Close()
	// In a transaction it is sent with the commit.
	fmt.Println(psyco.Notify(context.Background(), db, "example_jobs", `{"id": 7}`))
	// Output: <nil>
}

func ExampleNotification() {
	n := psyco.Notification{PID: 4711, Channel: "jobs", Payload: "wash the dishes"}
	fmt.Println(n.Channel, n.Payload)
	// Output: jobs wash the dishes
}

func ExampleWithNoticeLogger() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	_, db := exampleServer(psyco.WithNoticeLogger(logger))
	defer db.Close()
	if _, err := db.Exec("DROP TABLE IF EXISTS no_such_table"); err != nil {
		log.Fatal(err)
	}
	// Output: level=INFO msg="table \"no_such_table\" does not exist, skipping" severity=NOTICE code=00000
}
