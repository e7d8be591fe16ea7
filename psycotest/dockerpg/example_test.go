package dockerpg_test

import (
	"context"
	"fmt"
	"log"

	"github.com/psyco-go/psyco/psycotest"
	_ "github.com/psyco-go/psyco/psycotest/dockerpg"
)

// A server of a version, whatever is installed here. It needs a Docker engine.
func Example() {
	server, err := psycotest.Open(context.Background(), psycotest.Image("postgres:16"))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	fmt.Println(server.DSN())
}
