package dial

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
)

// TestCancelRequestLosesTLS: the context ends while the handshake of the cancel
// request fails, as it does when the network dies under a statement.
func TestCancelRequestLosesTLS(t *testing.T) {
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		socket := &socket{}
		p := &Params{
			TLS: TLS{Mode: "require", Config: func(Host) (*tls.Config, error) { return &tls.Config{InsecureSkipVerify: true}, nil }},
			Dial: func(context.Context, string, string) (net.Conn, error) {
				client, server := net.Pipe()
				go func() {
					io.ReadFull(server, make([]byte, 8))
					server.Write([]byte("S"))
					cancel()
					server.Close()
				}()
				socket.Conn = client
				return socket, nil
			},
		}
		host := Host{Host: "127.0.0.1", Port: 1}
		c := &Conn{params: p, Host: host, Endpoint: Endpoint{host, "tcp", "127.0.0.1:1"}, Encrypted: true, key: []byte("abcd")}
		if err := c.Cancel(ctx); err == nil || !strings.HasPrefix(err.Error(), "psyco: ") {
			t.Fatalf("got %v", err)
		}
		if !socket.closed {
			t.Fatal("the socket was left open")
		}
	}
}

type socket struct {
	net.Conn
	closed bool
}

func (s *socket) Close() error {
	s.closed = true
	return s.Conn.Close()
}
