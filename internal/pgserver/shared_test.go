package pgserver

import (
	"context"
	"errors"
	"testing"
)

func TestSharing(t *testing.T) {
	found := 0
	s := sharing{find: func(context.Context) (*Server, error) {
		found++
		return &Server{}, nil
	}}
	get := func() *Server {
		t.Helper()
		server, err := s.get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return server
	}
	release := func() {
		t.Helper()
		if err := s.release(); err != nil {
			t.Fatal(err)
		}
	}

	first := get()
	if get() != first || found != 1 {
		t.Errorf("two users have %d servers", found)
	}
	release()
	if first.closed {
		t.Error("the server was closed under its other user")
	}
	release()
	if !first.closed {
		t.Error("nobody closed the server")
	}
	if second := get(); second == first || second.closed || found != 2 {
		t.Errorf("after everybody had left, found %d servers", found)
	}
}

func TestSharingFails(t *testing.T) {
	found := 0
	s := sharing{find: func(ctx context.Context) (*Server, error) {
		found++
		return nil, errors.Join(errors.New("no server"), ctx.Err())
	}}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.get(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
	for range 2 {
		if _, err := s.get(t.Context()); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("with time left: %v", err)
		}
	}
	if found != 2 {
		t.Errorf("looked for a server %d times, want once with each context", found)
	}
}
