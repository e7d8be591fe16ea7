package dial

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/psyco-go/psyco/internal/tlsconf"
	"github.com/psyco-go/psyco/internal/wire"
)

// TLS are the settings about TLS.
type TLS struct {
	Mode     string // sslmode
	Direct   bool   // sslnegotiation=direct
	CertMode string // sslcertmode
	// Own says that Config returns the program's own configuration, for which there is
	// TLS or nothing, whatever Mode says, unless it is disable.
	Own bool
	// Config makes the configuration of a handshake.
	Config func(host Host) (*tls.Config, error)
}

var (
	// errPlaintext: the server has no TLS, and sslmode is content without.
	errPlaintext = errors.New("psyco: continue in plain text")

	// Why sslcertmode=require refuses a server.
	ErrNoCertRequest = errors.New("psyco: sslcertmode=require: the server did not ask for a client certificate in a TLS handshake")
	ErrNoCertSent    = errors.New("psyco: sslcertmode=require: the server asked for a client certificate, but there is none to send: name one with sslcert= and sslkey=")
)

// encryption is what one attempt to connect uses.
type encryption bool

const (
	plaintext encryption = false
	encrypted encryption = true
)

// encryptions lists what to try on an address, in order: the next is for when
// the server refuses the one before (libpq: select_next_encryption_method).
// A tls.Config given by the program is never traded for plain text.
func (t *TLS) encryptions(network string) []encryption {
	switch mode := t.Mode; {
	case network == "unix", mode == "disable":
		return []encryption{plaintext}
	case t.Own:
		return []encryption{encrypted}
	case mode == "allow":
		return []encryption{plaintext, encrypted}
	case mode == "prefer", mode == "":
		return []encryption{encrypted, plaintext}
	default:
		return []encryption{encrypted}
	}
}

// handshakeError marks a TLS handshake that failed, for whatever reason.
type handshakeError struct{ cause error }

func (e *handshakeError) Error() string { return e.cause.Error() }
func (e *handshakeError) Unwrap() error { return e.cause }

// startTLS returns nc with TLS on it. It is errPlaintext if the server has no
// TLS and plain is set: nc can then be used as it is. The caller closes nc.
func (p *Params) startTLS(nc net.Conn, host Host, plain bool) (*tls.Conn, error) {
	if !p.TLS.Direct {
		if err := p.requestTLS(nc, plain); err != nil {
			return nil, err
		}
	}
	conf, err := p.TLS.Config(host)
	if err != nil {
		return nil, &handshakeError{err}
	}
	cert := watchCertRequest(conf)
	secured := tls.Client(nc, conf)
	if err := secured.Handshake(); err != nil {
		return nil, &handshakeError{err}
	}
	if p.TLS.Direct && secured.ConnectionState().NegotiatedProtocol != tlsconf.ALPN {
		return nil, errors.New("psyco: sslnegotiation=direct: the server did not agree to speak PostgreSQL's protocol (ALPN)")
	}
	if p.TLS.CertMode == "require" {
		switch {
		case !cert.requested:
			return nil, ErrNoCertRequest
		case !cert.sent:
			return nil, ErrNoCertSent
		}
	}
	return secured, nil
}

// certRequest is what became of a server's request for a client certificate.
type certRequest struct{ requested, sent bool }

// watchCertRequest notes whether the server asks for a client certificate and gets one
// (libpq: ssl_cert_requested and ssl_cert_sent).
func watchCertRequest(conf *tls.Config) *certRequest {
	request := new(certRequest)
	give, certs := conf.GetClientCertificate, conf.Certificates
	if give == nil {
		give = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			for i := range certs { // as crypto/tls does
				if info.SupportsCertificate(&certs[i]) == nil {
					return &certs[i], nil
				}
			}
			return &tls.Certificate{}, nil
		}
	}
	conf.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		request.requested = true
		cert, err := give(info)
		request.sent = err == nil && cert != nil && len(cert.Certificate) > 0
		return cert, err
	}
	return request
}

// requestTLS asks the server for TLS.
func (p *Params) requestTLS(nc net.Conn, plain bool) error {
	if _, err := nc.Write(wire.AppendSSLRequest(nil)); err != nil {
		return fmt.Errorf("psyco: asking for TLS: %w", err)
	}
	// A server says nothing more before the handshake: a second byte would be
	// someone else's (CVE-2021-23222).
	var answer [2]byte
	n, err := nc.Read(answer[:])
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return fmt.Errorf("psyco: the server closed the connection when asked for TLS: %w", io.ErrUnexpectedEOF)
	case n == 0:
		return fmt.Errorf("psyco: asking for TLS: %w", err)
	case n > 1 && (answer[0] == 'S' || answer[0] == 'N'):
		return errors.New("psyco: received unencrypted data after the answer to the request for TLS; someone may be tampering with the connection")
	}
	switch answer[0] {
	case 'S':
		return nil
	case 'N':
		if plain {
			return errPlaintext
		}
		return &noTLSError{p.NoTLS}
	case 'E':
		// Its text is not shown: the sender is not authenticated yet
		// (CVE-2024-10977).
		return errors.New("psyco: the server answered the request for TLS with an error")
	default:
		return fmt.Errorf("psyco: the answer to the request for TLS is %q; is this a PostgreSQL server?", answer[0])
	}
}

// noTLSError says that the server has no TLS.
type noTLSError struct{ err error }

func (e *noTLSError) Error() string { return e.err.Error() }
func (e *noTLSError) Unwrap() error { return e.err }
