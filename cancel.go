package psyco

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// cancelRequest asks the server to cancel what the session is doing. The
// request goes to the same address, with TLS and the same checks if the session
// has them (libpq: PQcancelBlocking). When it returns without an error the
// server has acted on it, which may still be before or after the statement's
// end. It may be called from any goroutine.
func (s *session) cancelRequest(ctx context.Context) error {
	if s.key == nil {
		return fmt.Errorf("psyco: the statement cannot be cancelled: %s gave no cancel key", s.endpoint)
	}
	if err := s.sendCancel(ctx); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("psyco: sending a cancel request to %s: %w", s.endpoint, err)
	}
	return nil
}

func (s *session) sendCancel(ctx context.Context) error {
	socket, _, err := s.dialer.dialEndpoint(ctx, s.endpoint)
	if err != nil {
		return err
	}
	defer socket.Close()
	defer context.AfterFunc(ctx, func() { socket.SetDeadline(time.Unix(1, 0)) })()
	nc := socket
	if s.encrypted {
		secured, err := s.dialer.startTLS(socket, s.host, false)
		if err != nil {
			return err
		}
		nc = secured
	}
	request := binary.BigEndian.AppendUint32(nil, uint32(12+len(s.key)))
	request = binary.BigEndian.AppendUint32(request, cancelRequestCode)
	request = binary.BigEndian.AppendUint32(request, s.pid)
	request = append(request, s.key...)
	if _, err := nc.Write(request); err != nil {
		return err
	}
	return awaitClose(nc)
}

// awaitClose reads until the server hangs up, its only answer. How it does so
// is not important.
func awaitClose(nc net.Conn) error {
	_, err := io.Copy(io.Discard, nc)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errReset) {
		return nil
	}
	return err
}
