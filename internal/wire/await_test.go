package wire

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

func notification(pid int32, channel, payload string) []byte {
	return msg(backNotification, pid, channel, "\x00", payload, "\x00")
}

// TestAwait checks that everything the server says is taken once and in order,
// in whatever pieces it comes.
func TestAwait(t *testing.T) {
	long := strings.Repeat("x", 8000)
	said := cat(notification(7, "a", "one"), notice("careful"), parameter("TimeZone", "Asia/Tokyo"),
		notification(8, "b", ""), failure("FATAL", "57P01", "terminating"))
	for _, pieces := range append(cuts(said), [][]byte{notification(7, "a", long), said}) {
		c, s := connected(t)
		s.pieces = clonePieces(pieces)
		var got []string
		in := Incoming{
			Notification: func(n Notification) { got = append(got, fmt.Sprint(n)) },
			Notice:       func(e *Error) { got = append(got, e.Message) },
		}
		var err error
		for calls := 0; err == nil; calls++ {
			if calls > 5 {
				t.Fatal("Await returned without a message")
			}
			err = c.Await(in)
		}
		var fatal *Error
		if !errors.As(err, &fatal) || fatal.Code != "57P01" || c.Fatal() == nil {
			t.Fatalf("%d pieces: %v", len(pieces), err)
		}
		want := []string{"{7 a one}", "careful", "{8 b }"}
		if len(pieces[0]) > 8000 {
			want = append([]string{"{7 a " + long + "}"}, want...)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%d pieces: got %q", len(pieces), got)
		}
		if v, _ := c.Parameter("TimeZone"); v != "Asia/Tokyo" {
			t.Fatalf("TimeZone is %q", v)
		}
	}
}

func TestAwaitErrors(t *testing.T) {
	tests := []struct {
		name string
		said []byte
		want string
	}{
		{"the end", nil, "the server has closed the connection"},
		{"the end inside a message", notification(1, "a", "b")[:9], "the server has closed the connection"},
		{"an answer", complete("SELECT 1"), `message 'C' while the connection was idle`},
		{"an error", failure("ERROR", "22012", "division by zero"), `message 'E' while the connection was idle`},
		{"a notification without a channel", msg(backNotification, int32(1)), "NotificationResponse of 4 bytes"},
		{"a notification without an end", msg(backNotification, int32(1), "a\x00b"), "NotificationResponse of 7 bytes"},
		{"a notification with too much", msg(backNotification, int32(1), "a\x00b\x00c"), "NotificationResponse of 9 bytes"},
		{"a length below 4", []byte{backNotification, 0, 0, 0, 3}, "message 'A' of 3 bytes"},
		{"a length beyond all", []byte{backParameterStatus, 0x7f, 0, 0, 0}, "message 'S' of"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, s := connected(t)
			s.pieces = [][]byte{test.said}
			err := c.Await(Incoming{})
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "psyco:") {
				t.Fatalf("error %v, want %q", err, test.want)
			}
			if again := c.Await(Incoming{}); again == nil {
				t.Error("the connection can be used again")
			}
			if len(test.said) < 10 && test.want[:3] == "the" && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%v is not an ErrUnexpectedEOF", err)
			}
		})
	}
}
