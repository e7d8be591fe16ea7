package tlsconf

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"

	"github.com/psyco-go/psyco/internal/conninfo"
	"github.com/psyco-go/psyco/internal/pemkey"
)

// rootCerts is what sslrootcert holds.
type rootCerts struct {
	certs []*x509.Certificate // nil: the system's
}

// all returns every certificate as one to trust, which is how crypto/tls and lib/pq read
// such a file.
func (r *rootCerts) all() *x509.CertPool {
	if r == nil || r.certs == nil {
		return nil
	}
	pool := x509.NewCertPool()
	for _, cert := range r.certs {
		pool.AddCert(cert)
	}
	return pool
}

// split returns the certificates as OpenSSL reads the file: a chain ends with one that is
// its own issuer, and the others are links of chains. So a revoked link is found.
func (r *rootCerts) split() (anchors *x509.CertPool, links []*x509.Certificate) {
	if r == nil || r.certs == nil {
		return nil, nil
	}
	anchors = x509.NewCertPool()
	for _, cert := range r.certs {
		if selfIssued(cert) {
			anchors.AddCert(cert)
		} else {
			links = append(links, cert)
		}
	}
	return anchors, links
}

// selfIssued reports whether a certificate is its own issuer (OpenSSL: EXFLAG_SS).
func selfIssued(cert *x509.Certificate) bool {
	return bytes.Equal(cert.RawIssuer, cert.RawSubject) &&
		(len(cert.AuthorityKeyId) == 0 || len(cert.SubjectKeyId) == 0 || bytes.Equal(cert.AuthorityKeyId, cert.SubjectKeyId))
}

// rootCerts reads sslrootcert, or ~/.postgresql/root.crt if it exists. It
// returns nil if there is none: verify-ca and verify-full then use the
// system's roots, as lib/pq does; libpq calls that sslrootcert=system.
func (s *Settings) rootCerts() (*rootCerts, error) {
	if s.RootCert == "system" {
		return &rootCerts{}, nil
	}
	path, data := s.RootCert, []byte(s.RootCert)
	if s.Inline {
		if path == "" {
			return nil, nil
		}
		path = "sslinline"
	} else {
		given := path != ""
		if !given {
			path = userFile("root.crt")
		}
		var err error
		if data, err = readIfExists(path); err != nil {
			return nil, fmt.Errorf("psyco: sslrootcert: %w", err)
		}
		if data == nil {
			if given && (s.Mode == "verify-ca" || s.Mode == "verify-full") {
				return nil, fmt.Errorf("psyco: sslrootcert %q does not exist; name an existing file, or sslrootcert=system for the system's roots: %w", path, fs.ErrNotExist)
			}
			return nil, nil
		}
	}
	certs, err := parseCerts(data)
	if err != nil {
		return nil, fmt.Errorf("psyco: couldn't parse pem from sslrootcert (%s): %w", path, err)
	}
	return &rootCerts{certs}, nil
}

func parseCerts(data []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("it holds no certificate")
	}
	return certs, nil
}

// setClientCert loads sslcert and sslkey, or the files in ~/.postgresql. A
// certificate file that does not exist means none, as in libpq.
func (s *Settings) setClientCert(conf *tls.Config, roots *rootCerts) error {
	cert, err := s.clientCert()
	if err != nil || cert == nil {
		return err
	}
	// As OpenSSL does: the server may know the root only.
	_, links := roots.split()
	for _, c := range links {
		if c.IsCA && !slices.ContainsFunc(cert.Certificate, func(der []byte) bool { return bytes.Equal(der, c.Raw) }) {
			cert.Certificate = append(cert.Certificate, c.Raw)
		}
	}
	// Not Certificates: those are only sent to servers that name the issuer
	// among the authorities they accept.
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	return nil
}

func (s *Settings) clientCert() (*tls.Certificate, error) {
	if s.CertMode == "disable" {
		return nil, nil
	}
	var certPEM, key []byte
	var err error
	if s.Inline {
		if s.Cert == "" {
			return nil, nil
		}
		certPEM, key = []byte(s.Cert), []byte(s.Key)
	} else {
		certPath := s.Cert
		if certPath == "" {
			certPath = userFile("postgresql.crt")
		}
		if certPEM, err = readIfExists(certPath); err != nil {
			return nil, fmt.Errorf("psyco: sslcert: %w", err)
		}
		if certPEM == nil {
			return nil, nil
		}
		if key, err = s.readKey(); err != nil {
			return nil, err
		}
	}
	private, err := pemkey.Parse(key, s.Password)
	if errors.Is(err, pemkey.ErrPasswordRequired) {
		return nil, fmt.Errorf("psyco: sslkey: %w; set sslpassword", err)
	}
	if err != nil {
		return nil, fmt.Errorf("psyco: sslkey: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("psyco: sslkey: %w", err)
	}
	cert, err := tls.X509KeyPair(certPEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		return nil, fmt.Errorf("psyco: sslcert: %w", err)
	}
	return &cert, nil
}

// Why a private key is not used, in lib/pq's words, which has values of its own for them.
var (
	ErrKeyUnknownOwnership    = errors.New("pq: could not get owner information for private key, may not be properly protected")
	ErrKeyHasWorldPermissions = errors.New("pq: private key has world access; permissions should be u=rw,g=r (0640) if owned by root, or u=rw (0600), or less")
)

// readKey reads the key that belongs to sslcert, unless others could, too.
func (s *Settings) readKey() ([]byte, error) {
	path := s.Key
	if path == "" {
		path = userFile("postgresql.key")
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("psyco: there is a client certificate, but not its key: sslkey: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("psyco: sslkey %q is not a regular file", path)
	}
	if err := checkKeyPermissions(info); err != nil {
		return nil, fmt.Errorf("psyco: sslkey %q: %w", path, err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("psyco: sslkey: %w", err)
	}
	return data, nil
}

// userFile returns the path of a file in the directory where libpq looks for
// defaults, or "" if the user has no home.
func userFile(name string) string {
	switch dir := conninfo.HomeDir(); {
	case dir == "":
		return ""
	case runtime.GOOS == "windows":
		return filepath.Join(dir, name)
	default:
		return filepath.Join(dir, ".postgresql", name)
	}
}

// readIfExists returns nil, without an error, if there is no such file.
func readIfExists(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err == nil && data == nil {
		data = []byte{}
	}
	return data, err
}
