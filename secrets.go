package psyco

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/psyco-go/psyco/internal/conninfo"
	"github.com/psyco-go/psyco/internal/sqllex"
)

// What holds a password shows it to nobody by accident: not to a verb of fmt, not to a
// logger, not to an encoder of text. FormatDSN is the way to a string with passwords.

var (
	_ = []shy{Config{}, Host{}, (*Connector)(nil)}
	_ = []shy{(*Config)(nil), (*Host)(nil)}
)

type shy interface {
	fmt.Formatter
	fmt.Stringer
	fmt.GoStringer
	json.Marshaler
	encoding.TextMarshaler
	slog.LogValuer
}

// GoString keeps passwords out of %#v too.
func (c Config) GoString() string { return "psyco.Config{" + c.String() + "}" }

// Format writes String, or GoString for %#v, whatever the verb.
func (c Config) Format(f fmt.State, verb rune) { format(f, verb, c) }

// LogValue is String.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText is String.
func (c Config) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// MarshalJSON writes the fields, with *** in the place of passwords and private keys, and
// without TLSConfig.
func (c Config) MarshalJSON() ([]byte, error) {
	type plain Config // without this method
	d := c.Clone()
	d.TLSConfig = nil
	secrets := []*string{&d.Password, &d.SSLPassword, &d.SCRAMClientKey, &d.SCRAMServerKey, &d.OAuthClientSecret}
	if d.SSLInline {
		secrets = append(secrets, &d.SSLKey)
	}
	for _, s := range secrets {
		if *s != "" {
			*s = conninfo.Hidden
		}
	}
	//lint:ignore SA1026 TLSConfig is nil here
	return json.Marshal((*plain)(d))
}

// GoString keeps the password out of %#v too.
func (h Host) GoString() string { return "psyco.Host{" + h.String() + "}" }

// Format writes String, or GoString for %#v, whatever the verb.
func (h Host) Format(f fmt.State, verb rune) { format(f, verb, h) }

// LogValue is String.
func (h Host) LogValue() slog.Value { return slog.StringValue(h.String()) }

// MarshalText is String.
func (h Host) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// MarshalJSON writes the fields, with *** in the place of the password.
func (h Host) MarshalJSON() ([]byte, error) {
	type plain Host // without this method
	if h.Password != "" {
		h.Password = conninfo.Hidden
	}
	return json.Marshal(plain(h))
}

// String returns the configuration, as [Config.String] does.
func (c *Connector) String() string {
	if c == nil {
		return "<nil>"
	}
	return c.cfg.String()
}

// GoString keeps passwords out of %#v too.
func (c *Connector) GoString() string { return "psyco.Connector{" + c.String() + "}" }

// Format writes String, or GoString for %#v, whatever the verb.
func (c *Connector) Format(f fmt.State, verb rune) { format(f, verb, c) }

// LogValue is String.
func (c *Connector) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText is String.
func (c *Connector) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// MarshalJSON writes the configuration, as [Config.MarshalJSON] does.
func (c *Connector) MarshalJSON() ([]byte, error) {
	if c == nil {
		return []byte("null"), nil
	}
	return c.cfg.MarshalJSON()
}

// String returns the servers, without passwords.
func (c *Cluster) String() string {
	var hosts []string
	for _, s := range c.servers {
		hosts = append(hosts, s.host.String())
	}
	return strings.Join(hosts, ", ")
}

// GoString keeps passwords out of %#v too.
func (c *Cluster) GoString() string { return "psyco.Cluster{" + c.String() + "}" }

// Format writes String, or GoString for %#v, whatever the verb.
func (c *Cluster) Format(f fmt.State, verb rune) { format(f, verb, c) }

// String is that of the Cluster.
func (r *ClusterReader) String() string { return r.c.String() }

// GoString keeps passwords out of %#v too.
func (r *ClusterReader) GoString() string { return "psyco.ClusterReader{" + r.String() + "}" }

// Format writes String, or GoString for %#v, whatever the verb.
func (r *ClusterReader) Format(f fmt.State, verb rune) { format(f, verb, r) }

func format(f fmt.State, verb rune, v interface {
	fmt.Stringer
	fmt.GoStringer
}) {
	if verb == 'v' && f.Flag('#') {
		// The writer is fmt's buffer.
		_, _ = io.WriteString(f, v.GoString())
		return
	}
	fmt.Fprintf(f, fmt.FormatString(f, verb), v.String())
}

// Queries and errors quote what a program has sent. Where that must not be shown, as in a log, these
// leave it out.

// withoutLiterals puts ? in the place of a query's literals.
func withoutLiterals(query string) string {
	var b strings.Builder
	s := sqllex.NewScanner(query)
	for tok := s.Next(); tok.Kind != sqllex.End; tok = s.Next() {
		if tok.Kind.IsString() || tok.Kind == sqllex.Number {
			b.WriteByte('?')
		} else {
			b.WriteString(tok.Text(query))
		}
	}
	return b.String()
}

// withoutValues is the text of an error, or less if that may quote a value of an
// argument or of a row.
func withoutValues(err error, pe *pq.Error) string {
	var value *valueError
	var row *RowError
	var stream *streamError
	switch {
	case pe != nil && quotesValues(pe):
		if pe.Position != "" {
			return fmt.Sprintf("%s at character %s (%s)", pe.Code.Name(), pe.Position, pe.Code)
		}
		return fmt.Sprintf("%s (%s)", pe.Code.Name(), pe.Code)
	case pe != nil:
		return err.Error()
	case errors.As(err, &value):
		return "psyco: " + value.where + " cannot be converted"
	case errors.As(err, &row):
		return fmt.Sprintf("psyco: row %d cannot be sent", row.Row)
	case errors.As(err, &stream):
		return "psyco: " + stream.what
	default:
		return err.Error()
	}
}

// quotesValues reports whether an error of the server may quote values in its
// message: data that cannot be converted, what a procedure says, and syntax
// errors, which quote the literal they are at.
func quotesValues(pe *pq.Error) bool {
	if len(pe.Code) != 5 || pe.Code == pqerror.SyntaxError || pe.Routine == "exec_stmt_raise" {
		return true
	}
	switch class(pe.Code) {
	case "22", "38", "39", "P0":
		return true
	}
	return false
}
