// Command playground shows in the browser what psyco makes of a query: the text that the
// server gets, its parameters, the messages on the wire, rows and errors. It starts a PostgreSQL
// server of its own, with a database that is dropped at the end:
//
//	go run ./examples/playground
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/psyco-go/psyco/psycotest"
)

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	port := flag.Int("port", 8081, "the port of 127.0.0.1 to listen on; 0 takes a free one")
	flag.Parse()
	ready := func(url string) { log.Printf("open %s and stop with Ctrl-C", url) }
	if err := run(ctx, *port, ready); err != nil {
		log.Fatal(err)
	}
}

// run serves the page until ctx ends. It calls ready with its address.
func run(ctx context.Context, port int, ready func(url string)) (err error) {
	log.Print("starting a PostgreSQL server of our own")
	server, err := psycotest.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	p, err := newPlayground(ctx, server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()

	// Nobody else can come in: what people type here runs.
	ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	ready(fmt.Sprintf("http://%s/", ln.Addr()))
	web := &http.Server{Handler: p.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(ln) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*timeLimit)
	defer cancel()
	return web.Shutdown(grace)
}
