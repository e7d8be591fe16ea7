package dial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/psyco-go/psyco/internal/wire"
)

// Cancel asks the server to cancel what the session is doing. The
// request goes to the same address, with TLS and the same checks if the session
// has them (libpq: PQcancelBlocking). When it returns without an error the
// server has acted on it, which may still be before or after the statement's
// end. It may be called from any goroutine.
func (c *Conn) Cancel(ctx context.Context) error {
	if c.key == nil {
		return fmt.Errorf("psyco: the statement cannot be cancelled: %s gave no cancel key", c.Endpoint)
	}
	if err := c.sendCancel(ctx); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("psyco: sending a cancel request to %s: %w", c.Endpoint, err)
	}
	return nil
}

func (c *Conn) sendCancel(ctx context.Context) error {
	socket, _, err := c.params.dialEndpoint(ctx, c.Endpoint)
	if err != nil {
		return err
	}
	defer socket.Close()
	defer context.AfterFunc(ctx, func() { socket.SetDeadline(time.Unix(1, 0)) })()
	nc := socket
	if c.Encrypted {
		secured, err := c.params.startTLS(socket, c.Host, false)
		if err != nil {
			return err
		}
		nc = secured
	}
	if _, err := nc.Write(wire.AppendCancelRequest(nil, c.pid, c.key)); err != nil {
		return err
	}
	return awaitClose(nc)
}

// Cancellable reports whether the server gave the session a cancel key.
func (c *Conn) Cancellable() bool { return c.key != nil }

// awaitClose reads until the server hangs up, its only answer. How it does so
// is not important.
func awaitClose(nc net.Conn) error {
	_, err := io.Copy(io.Discard, nc)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errReset) {
		return nil
	}
	return err
}
