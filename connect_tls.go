package psyco

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/lib/pq"

	"github.com/psyco-go/psyco/internal/tlsconf"
)

// Codes that take the place of a protocol version in a startup packet.
const (
	sslRequestCode    = 1234<<16 | 5679
	cancelRequestCode = 1234<<16 | 5678
)

var (
	// errPlaintext: the server has no TLS, and sslmode is content without.
	errPlaintext = errors.New("psyco: continue in plain text")

	errNoCertRequest = errors.New("psyco: sslcertmode=require: the server did not ask for a client certificate in a TLS handshake")
	errNoCertSent    = errors.New("psyco: sslcertmode=require: the server asked for a client certificate, but there is none to send: name one with sslcert= and sslkey=")
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
func (d *dialer) encryptions(network string) []encryption {
	switch mode := d.cfg.SSLMode; {
	case network == "unix", mode == "disable":
		return []encryption{plaintext}
	case d.ownTLS() != nil:
		return []encryption{encrypted}
	case mode == "allow":
		return []encryption{plaintext, encrypted}
	case mode == "prefer", mode == "":
		return []encryption{encrypted, plaintext}
	default:
		return []encryption{encrypted}
	}
}

// ownTLS returns the program's own tls.Config, if there is one.
func (d *dialer) ownTLS() *tls.Config {
	if d.tls != nil {
		return d.tls
	}
	return d.cfg.TLSConfig
}

// tlsConfig makes the configuration of a handshake with host.
func (d *dialer) tlsConfig(host Host) (*tls.Config, error) {
	settings := d.cfg.tlsSettings()
	settings.Own = d.ownTLS()
	conf, err := settings.Config(host.Host, host.Hostaddr)
	for ours, theirs := range map[error]error{
		tlsconf.ErrKeyUnknownOwnership:    pq.ErrSSLKeyUnknownOwnership,
		tlsconf.ErrKeyHasWorldPermissions: pq.ErrSSLKeyHasWorldPermissions,
	} {
		if errors.Is(err, ours) {
			err = &alias{err, theirs}
		}
	}
	return conf, err
}

// alias is an error that is also another one, which programs for lib/pq look for.
type alias struct {
	error
	as error
}

func (a *alias) Unwrap() []error { return []error{a.error, a.as} }

// tlsSettings are the options about TLS.
func (cfg *Config) tlsSettings() *tlsconf.Settings {
	s := &tlsconf.Settings{
		Mode:     cfg.SSLMode,
		RootCert: cfg.SSLRootCert, CRL: cfg.SSLCRL, CRLDir: cfg.SSLCRLDir,
		Cert: cfg.SSLCert, Key: cfg.SSLKey, Password: cfg.SSLPassword, CertMode: cfg.SSLCertMode,
		SNI: cfg.SSLSNI, Inline: cfg.SSLInline,
		MinVersion: cfg.SSLMinProtocolVersion, MaxVersion: cfg.SSLMaxProtocolVersion,
		KeyLogFile: cfg.SSLKeyLogFile,
	}
	if name, ok := strings.CutPrefix(cfg.SSLMode, tlsConfigPrefix); ok {
		s.Registered = func() (*tls.Config, error) { return registeredTLSConfig(name) }
	}
	return s
}

// handshakeError marks a TLS handshake that failed, for whatever reason.
type handshakeError struct{ cause error }

func (e *handshakeError) Error() string { return e.cause.Error() }
func (e *handshakeError) Unwrap() error { return e.cause }

// startTLS returns nc with TLS on it. It is errPlaintext if the server has no
// TLS and plain is set: nc can then be used as it is. The caller closes nc.
func (d *dialer) startTLS(nc net.Conn, host Host, plain bool) (*tls.Conn, error) {
	direct := d.cfg.SSLNegotiation == "direct"
	if !direct {
		if err := requestTLS(nc, plain); err != nil {
			return nil, err
		}
	}
	conf, err := d.tlsConfig(host)
	if err != nil {
		return nil, &handshakeError{err}
	}
	cert := watchCertRequest(conf)
	secured := tls.Client(nc, conf)
	if err := secured.Handshake(); err != nil {
		return nil, &handshakeError{err}
	}
	if direct && secured.ConnectionState().NegotiatedProtocol != tlsconf.ALPN {
		return nil, errors.New("psyco: sslnegotiation=direct: the server did not agree to speak PostgreSQL's protocol (ALPN)")
	}
	if d.cfg.SSLCertMode == "require" {
		switch {
		case !cert.requested:
			return nil, errNoCertRequest
		case !cert.sent:
			return nil, errNoCertSent
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
func requestTLS(nc net.Conn, plain bool) error {
	request := binary.BigEndian.AppendUint32(nil, 8)
	request = binary.BigEndian.AppendUint32(request, sslRequestCode)
	if _, err := nc.Write(request); err != nil {
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
		return pq.ErrSSLNotSupported // lib/pq's programs compare with this value
	case 'E':
		// Its text is not shown: nobody has vouched for the sender yet
		// (CVE-2024-10977).
		return errors.New("psyco: the server answered the request for TLS with an error")
	default:
		return fmt.Errorf("psyco: the answer to the request for TLS is %q; is this a PostgreSQL server?", answer[0])
	}
}
