// Command webapp is a small web application: clients in PostgreSQL, in the
// browser and as JSON. Without a connection string it starts a PostgreSQL server
// of its own, with sample data, and stops it at the end:
//
//	go run ./examples/webapp
//	go run ./examples/webapp -addr :8080 'dbname=test user=alice password=secret host=localhost'
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	_ "github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/psycotest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(ctx, log, os.Args[1:]); err != nil {
		log.Error("webapp", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, log *slog.Logger, args []string) error {
	flags := flag.NewFlagSet("webapp", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:8080", "the address to listen on")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	}
	dsn := flags.Arg(0)
	if dsn == "" {
		log.Info("starting a PostgreSQL server of our own")
		server, err := psycotest.Open(ctx)
		if err != nil {
			return err
		}
		defer server.Close()
		dsn = server.DSN()
	}
	db, err := sql.Open("psyco", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(20)
	db.SetMaxIdleConns(20)
	db.SetConnMaxIdleTime(5 * time.Minute)

	a := newApp(db, log)
	if err := a.store.setUp(ctx); err != nil {
		return err
	}
	if flags.Arg(0) == "" {
		if err := a.store.addSamples(ctx); err != nil {
			return err
		}
	}
	ln, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	log.Info("listening; stop with Ctrl-C", "url", fmt.Sprintf("http://%s/", ln.Addr()))
	return a.serve(ctx, ln)
}

// serve answers requests until ctx ends, and then those that are running.
func (a *app) serve(ctx context.Context, ln net.Listener) error {
	server := &http.Server{
		Handler:           a.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	a.log.Info("shutting down")
	a.draining.Store(true)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	return server.Shutdown(grace)
}
