package psyco

import (
	"context"
	"log/slog"

	"github.com/lib/pq"
)

// Notification is a message that some session sent with NOTIFY.
type Notification struct {
	PID     uint32 // of the sender's backend
	Channel string
	Payload string
}

// Notify sends a notification to all sessions that listen to a channel, when
// h's transaction is committed, or at once if h is in none. The channel's name
// is taken as it is, as by Listener.Listen. A transaction sends the same payload
// to the same channel only once.
//
// The error is the server's: 22023 for a payload of 8000 bytes or more and for
// a name that is empty or longer than 63 bytes, 54000 if the queue of
// notifications is full. Behind Wrap it works, too.
func Notify(ctx context.Context, h Handle, channel, payload string) error {
	_, err := h.ExecContext(ctx, "SELECT pg_notify($1, $2)", channel, payload)
	return err
}

// handler makes h lib/pq's handler of notices or notifications. lib/pq calls it in the
// middle of an answer: if h panics, the rest of that is lost, and so is the session, see guard.
func handler[E any](s *session, h func(*E)) func(*E) {
	if h == nil {
		return nil
	}
	return func(e *E) { s.wire.Callback(func() { h(e) }) }
}

// logNotice returns a notice handler that writes to logger.
func logNotice(logger *slog.Logger) func(*pq.Error) {
	return func(e *pq.Error) {
		attrs := []slog.Attr{slog.String("severity", e.Severity), slog.String("code", string(e.Code))}
		for _, a := range []struct{ key, value string }{
			{"detail", e.Detail},
			{"hint", e.Hint},
			{"where", e.Where},
			{"schema", e.Schema},
			{"table", e.Table},
			{"column", e.Column},
			{"constraint", e.Constraint},
		} {
			if a.value != "" {
				attrs = append(attrs, slog.String(a.key, a.value))
			}
		}
		logger.LogAttrs(context.Background(), noticeLevel(e), e.Message, attrs...)
	}
}

// noticeLevel: the severity may be in the language of lc_messages, in which case
// the class of the code knows a warning.
func noticeLevel(e *pq.Error) slog.Level {
	switch {
	case e.Severity == "WARNING" || class(e.Code) == "01":
		return slog.LevelWarn
	case e.Severity == "DEBUG":
		return slog.LevelDebug
	}
	return slog.LevelInfo
}
