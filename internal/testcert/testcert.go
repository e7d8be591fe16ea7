// Package testcert makes the certificates and revocation lists that tests of
// TLS need.
package testcert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// A Cert is a certificate with its key.
type Cert struct {
	X509 *x509.Certificate
	Key  crypto.Signer
}

// An Option changes the certificate that is about to be signed.
type Option func(*x509.Certificate)

// Names sets the DNS names.
func Names(names ...string) Option {
	return func(c *x509.Certificate) { c.DNSNames = names }
}

// IPs sets the addresses.
func IPs(addrs ...string) Option {
	return func(c *x509.Certificate) {
		c.IPAddresses = nil
		for _, a := range addrs {
			c.IPAddresses = append(c.IPAddresses, net.ParseIP(a))
		}
	}
}

// Expired makes a certificate that was valid until an hour ago.
func Expired() Option {
	return func(c *x509.Certificate) {
		c.NotBefore = time.Now().Add(-48 * time.Hour)
		c.NotAfter = time.Now().Add(-time.Hour)
	}
}

// Authority makes a certificate that may sign others.
func Authority() Option {
	return func(c *x509.Certificate) {
		c.IsCA = true
		c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
}

// Signed sets by what algorithm the issuer signs the certificate.
func Signed(a x509.SignatureAlgorithm) Option {
	return func(c *x509.Certificate) { c.SignatureAlgorithm = a }
}

// Keyed sets the algorithm of the certificate's own key. The default is ECDSA.
func Keyed(a x509.PublicKeyAlgorithm) Option {
	return func(c *x509.Certificate) { c.PublicKeyAlgorithm = a }
}

func newKey(a x509.PublicKeyAlgorithm) (crypto.Signer, error) {
	switch a {
	case x509.RSA:
		return rsa.GenerateKey(rand.Reader, 2048)
	case x509.Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

var serial atomic.Int64

// Root returns a self-signed certificate authority.
func Root(tb testing.TB, cn string, opts ...Option) *Cert {
	tb.Helper()
	return sign(tb, nil, cn, append([]Option{Authority()}, opts...)...)
}

// SelfSigned returns a certificate that is its own issuer and no authority.
func SelfSigned(tb testing.TB, cn string, opts ...Option) *Cert {
	tb.Helper()
	return sign(tb, nil, cn, opts...)
}

// Issue returns a certificate signed by c, valid for an hour.
func (c *Cert) Issue(tb testing.TB, cn string, opts ...Option) *Cert {
	tb.Helper()
	return sign(tb, c, cn, opts...)
}

func sign(tb testing.TB, parent *Cert, cn string, opts ...Option) *Cert {
	tb.Helper()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(serial.Add(1)),
		Subject:               pkix.Name{CommonName: cn},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}
	for _, o := range opts {
		o(template)
	}
	key, err := newKey(template.PublicKeyAlgorithm)
	if err != nil {
		tb.Fatal(err)
	}
	c := &Cert{Key: key}
	issuer, signer := template, key
	if parent != nil {
		issuer, signer = parent.X509, parent.Key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		tb.Fatal(err)
	}
	if c.X509, err = x509.ParseCertificate(der); err != nil {
		tb.Fatal(err)
	}
	return c
}

// PEM returns the certificate.
func (c *Cert) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.X509.Raw})
}

// KeyPEM returns the key in PKCS #8 form.
func (c *Cert) KeyPEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(c.Key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// TLS returns the certificate with its key, as crypto/tls takes it.
func (c *Cert) TLS() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{c.X509.Raw}, PrivateKey: c.Key, Leaf: c.X509}
}

// CRL returns c's revocation list of the given certificates, valid until
// nextUpdate.
func (c *Cert) CRL(tb testing.TB, nextUpdate time.Time, revoked ...*Cert) []byte {
	tb.Helper()
	list := &x509.RevocationList{
		Number:     big.NewInt(serial.Add(1)),
		ThisUpdate: nextUpdate.Add(-24 * time.Hour),
		NextUpdate: nextUpdate,
	}
	for _, r := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber:   r.X509.SerialNumber,
			RevocationTime: list.ThisUpdate,
		})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, c.X509, c.Key)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

// Write writes parts, one after the other, to dir/name with mode 0600 and
// returns the path.
func Write(tb testing.TB, dir, name string, parts ...[]byte) string {
	tb.Helper()
	var data []byte
	for _, p := range parts {
		data = append(data, p...)
	}
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}
